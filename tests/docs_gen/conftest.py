"""The documentation, built once for all tests that only read it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright
from support.html_page import HtmlPage

from relaykit.docs_gen import build
from relaykit.schemas import load_catalogue

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def documentation() -> build.Documentation:
    return build.documentation(load_catalogue())


@pytest.fixture(scope="session")
def files(documentation: build.Documentation) -> Mapping[str, str]:
    return build.site_files(documentation)


@pytest.fixture(scope="session")
def pages(files: Mapping[str, str]) -> Mapping[str, HtmlPage]:
    """The pages for readers: not the one that only holds data."""
    return {
        name: HtmlPage(text)
        for name, text in files.items()
        if name.endswith(".html") and not name.startswith("assets/")
    }


@pytest.fixture(scope="session")
def single(documentation: build.Documentation) -> str:
    return build.single_file(documentation)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    folder = tmp_path / "schemas"
    shutil.copytree(ROOT / "schemas", folder, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
    return folder
