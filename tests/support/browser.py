"""A Chromium that may not reach any network, for tests of pages, and a server that they talk to."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from websockets.sync.server import ServerConnection, serve

_NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def chromium() -> Iterator[Browser]:
    path = next((found for name in _NAMES if (found := shutil.which(name))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Browser, path: Path, **options: Any) -> Iterator[Page]:
    """A page of a file. It fails the test that it tries to load anything else, or writes an error."""
    context: BrowserContext = browser.new_context(**options)
    asked: list[str] = []
    said: list[str] = []
    own = path.as_uri()

    def judge(route: Any) -> None:
        url: str = route.request.url
        if url.partition("#")[0] == own or url.startswith("data:"):
            route.continue_()
        else:
            asked.append(url)
            route.abort()

    try:
        context.route("**/*", judge)
        page = context.new_page()
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("console", lambda line: said.append(line.text) if line.type in ("error", "warning") else None)
        page.on("dialog", lambda dialog: said.append(f"dialog {dialog.message}"))
        page.goto(own)
        yield page
        assert asked == [], f"the page asks the network for {asked}"
        assert said == [], f"the page complains: {said}"
    finally:
        context.close()


def visit(page: Page, site: Path, name: str) -> None:
    """Open a page of a site in a folder: `frames/c2s/send#fields`."""
    file, _, anchor = name.partition("#")
    page.goto(f"file://{site}/{file}.html" + (f"#{anchor}" if anchor else ""))


@contextmanager
def talking(talk: Callable[[ServerConnection], None]) -> Iterator[str]:
    """The address of a server that does with each connection what the test says."""
    with serve(talk, "127.0.0.1", 0, select_subprotocol=lambda _, offered: offered[0]) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/ws"
        finally:
            server.shutdown()
            thread.join()
