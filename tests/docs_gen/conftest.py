"""The documentation, built once for all tests that only read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page
from support.browser import chromium
from support.catalogues import copied
from support.html_page import HtmlPage

from relaykit.docs_gen import build
from relaykit.schemas import load_catalogue


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
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, documentation: build.Documentation) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build.write(build.site_files(documentation), folder)
    (folder / "single.html").write_text(build.single_file(documentation), "utf-8")
    return folder


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that fails the test on any error of a script, and on any request beyond the files."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(20_000)
    page = context.new_page()
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("console", lambda entry: trouble.append(entry.text) if entry.type == "error" else None)
    page.on("request", lambda ask: None if ask.url.startswith("file://") else trouble.append(ask.url))
    yield page
    context.close()
    assert trouble == []


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """A copy of the catalogue, to be changed."""
    return copied(tmp_path, vectors=True)
