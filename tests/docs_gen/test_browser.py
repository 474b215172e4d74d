"""The pages in a real browser: both themes, 390 px, search, keyboard, and tools that work."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from support.axe import violations
from support.process import ServerProcess
from websockets.asyncio.server import ServerConnection, serve

from relaykit.docs_gen import build
from relaykit.schemas import load_catalogue

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

ONE_OF_EACH = (
    *("index", "frames/index", "frames/c2s/send", "guides/calls", "guides/errors", "guides/commands"),
    *("requirements/index", "requirements/typing", "scenarios/index", "scenarios/message-life"),
    *("scenarios/probes", "reference/types", "reference/downloads", "validator", "console", "contents"),
)
MORE = (
    *("frames/s2c/presence", "frames/c2s/message", "guides/messages", "guides/server", "guides/target-file"),
    *("scenarios/derived", "requirements/defects"),
)
SINGLE = ("single#frames.c2s.send", "single#validator")


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


_THIN = """() => document.querySelectorAll("main *").forEach((parent) =>
  [...parent.children].slice(60).forEach((each) => each.remove()))"""
"""The longest lists lose what is like the rest of them: axe takes a second for every thousand elements."""


def _open(page: Page, site: Path, name: str) -> None:
    file, _, anchor = name.partition("#")
    page.goto(f"file://{site}/{file}.html" + (f"#{anchor}" if anchor else ""))


# --- for everybody ------------------------------------------------------------------------------------------


@pytest.mark.node
# A slow machine may take minutes for the single file's tens of thousands of elements.
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("width", "schemes", "names"),
    [
        (1280, ("light", "dark"), (*ONE_OF_EACH, *MORE)),
        (390, ("dark", "light"), ONE_OF_EACH),
        (1280, ("light", "dark"), SINGLE),
    ],
)
def test_axe_finds_nothing(
    browser: Browser, site: Path, width: int, schemes: tuple[Any, Any], names: tuple[str, ...]
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=schemes[0])
    page = context.new_page()
    found = []
    for name in names:
        _open(page, site, name)
        page.evaluate(_THIN)
        found += [f"{name}: {each}" for each in violations(page)]
        page.emulate_media(color_scheme=schemes[1])
        found += [f"{name}, {schemes[1]}: {each}" for each in violations(page, colours_only=True)]
        page.emulate_media(color_scheme=schemes[0])
    context.close()
    assert found == []


def test_nothing_scrolls_sideways_on_a_phone(browser: Browser, site: Path) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    wide = []
    paths = sorted(site.rglob("*.html"))
    scenarios = [path for path in paths if path.parent.name == "scenarios"]  # much alike: some will do
    for path in [path for path in paths if path not in scenarios] + scenarios[::12]:
        page.goto(f"file://{path}")
        if page.evaluate("document.documentElement.scrollWidth") > 390:
            wide.append(path.relative_to(site).as_posix())
    context.close()
    assert wide == []


def test_everything_is_readable_without_scripts(browser: Browser, site: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    _open(page, site, "frames/c2s/send")
    expect(page.locator("#field-payload\\.ciphertext")).to_be_visible()
    expect(page.locator(".copy").first).to_be_hidden()
    page.locator(".find").click()
    expect(page).to_have_url(f"file://{site}/contents.html")
    _open(page, site, "validator")
    expect(page.get_by_text("The validator needs scripts")).to_be_visible()
    _open(page, site, "single#frames.c2s.send--fields")
    expect(page.locator("[id='frames.c2s.send--field-payload.ciphertext']")).to_be_visible()
    expect(page.locator("[id='frames.c2s.send'] table.fields td").nth(1)).to_have_text("Always send.")
    context.close()


def test_print_shows_every_payload(page: Page, site: Path) -> None:
    _open(page, site, "frames/c2s/send")
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    for block in page.locator("main pre").all():
        expect(block).to_be_visible()
    expect(page.locator(".top")).to_be_hidden()


def test_the_theme_is_kept(page: Page, site: Path) -> None:
    _open(page, site, "index")
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Change theme").click()
    after = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert before != after
    _open(page, site, "frames/index")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == after


def test_the_menu_of_a_phone_leads_to_pages(browser: Browser, site: Path) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    _open(page, site, "index")
    menu = page.get_by_role("navigation", name="Pages")
    expect(menu).to_be_hidden()
    page.get_by_role("button", name="Pages").click()
    menu.get_by_role("link", name="Calls").click()
    expect(page).to_have_url(f"file://{site}/guides/calls.html")
    context.close()


def test_the_single_file_shows_one_page_at_a_time(page: Page, site: Path) -> None:
    _open(page, site, "single")
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Life of a message").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Life of a message")
    page.locator("section.shown").get_by_role("link", name="sent_ack").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("sent_ack")
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Life of a message")
    _open(page, site, "single#frames.c2s.send--field-payload.ciphertext")
    expect(page.locator("[id='frames.c2s.send--field-payload.ciphertext']")).to_be_in_viewport()
    _open(page, site, "single#MSG-12")
    expect(page.locator("[id='MSG-12']")).to_be_in_viewport()
    page.keyboard.press("Tab")
    page.get_by_role("link", name="Skip to content").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Messages")
    for nowhere in ("nonsense", "%E0%A4%A", '"><b>'):
        page.evaluate("hash => { location.hash = hash }", nowhere)
        expect(page.get_by_role("heading", level=1)).to_contain_text("Relay Messaging Protocol")
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    expect(page.locator("[id='guides.calls'] h1")).to_be_visible()


# --- search -------------------------------------------------------------------------------------------------


FIRST = [
    ["backoff", "guide", "client"],
    ["JWT", "guide", "connecting"],
    ["ack", "you ", "_ack"],
    ["token", "guide", "connecting"],
    ["offline", "you ", "user_offline"],
    ["read receipt", "you ", "read_receipt"],
    ["relaykit serve", "command", "commands"],
    ["timestamp deliver", "field of deliver", "field-timestamp"],
    ["invalid_message nonsense", "error code", "invalid_message"],
]
"""What is found first: a query, the kind, and a part of the place."""


@pytest.mark.parametrize("name", ["frames/c2s/send", "single"])
def test_every_name_is_found_on_the_first_page(
    page: Page, site: Path, documentation: build.Documentation, name: str
) -> None:
    _open(page, site, name)
    page.keyboard.press("/")
    page.get_by_role("searchbox").fill("send")
    expect(page.locator("dialog.search li").first).to_be_visible()
    catalogue = load_catalogue()
    queries = {
        *(kind for _, kind in catalogue.frames),
        *catalogue.requirements,
        *catalogue.protocol.error_codes,
        *(field.name for view in documentation.site.frames for field in view.fields if not field.extra),
    }
    wrong = page.evaluate(
        """expected => expected.filter(([q, kind, place]) => {
          const [first] = relayFind(q);
          return !(first.kind.startsWith(kind) && first.href.replace(".html", "").includes(place));
        })""",
        FIRST,
    )
    assert wrong == []
    missing = page.evaluate(
        "queries => queries.filter(q => !relayFind(q).slice(0, 10).some(({ title }) => title === q))",
        sorted(queries),
    )
    assert missing == []
    assert page.evaluate("relayFind('payload.ciphertext')[0].title") == "ciphertext"


def test_search_loads_data_and_no_script(page: Page, site: Path) -> None:
    kinds: list[tuple[str, str]] = []
    page.on("request", lambda ask: kinds.append((ask.resource_type, ask.url.rpartition("/")[2])))
    _open(page, site, "frames/c2s/send")
    page.keyboard.press("/")
    page.get_by_role("searchbox").fill("JWT")
    expect(page.locator("dialog.search li").first).to_contain_text("The token")
    assert [name for kind, name in kinds if kind == "script"] == ["site.js"]
    assert kinds[-1] == ("document", "search.html")


def test_search_goes_by_keyboard(page: Page, site: Path) -> None:
    _open(page, site, "guides/messages")
    page.keyboard.press("/")
    box = page.get_by_role("searchbox")
    box.fill("sent_ack")
    expect(page.locator("dialog.search li a").first).to_contain_text("sent_ack")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"file://{site}/frames/s2c/sent_ack.html")
    page.keyboard.press("Control+k")
    page.get_by_role("searchbox").fill("<img src=x onerror=alert(1)>")
    expect(page.get_by_text("Nothing of that name.")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog.search")).to_be_hidden()


# --- the tools ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["validator", "single#validator"])
def test_the_validator_shows_errors_at_their_place(page: Page, site: Path, name: str) -> None:
    _open(page, site, name)
    form = page.locator("[data-tool=validator]")
    text = form.locator("textarea")
    text.fill('{"type": "presence",\n "payload": {"status": "onlin"}}')
    expect(form.locator(".no")).to_have_text("Invalid: 1 finding")
    finding = form.locator(".findings li")
    expect(finding).to_contain_text("(line 2) must be one of")
    finding.locator("button").click()
    assert text.evaluate("e => e.value.slice(e.selectionStart, e.selectionEnd)") == '"onlin"'
    text.fill('{"type": "presence", "payload": {"status": "online"}}')
    expect(form.locator(".ok")).to_have_text("Valid: presence")
    text.fill('{"type": "presence", "type": "pong"}')
    expect(form.locator(".findings")).to_contain_text('the key "type" stands twice')
    form.locator("[name=example]").select_option("s2c deliver")
    expect(form.locator(".ok")).to_have_text("Valid: deliver")


def test_the_browser_judges_every_vector_as_the_catalogue_does(page: Page, site: Path) -> None:
    catalogue = load_catalogue()
    cases = []
    for vector in catalogue.vectors():
        text = json.dumps(vector.data, ensure_ascii=False)
        cases.append([text, vector.direction, catalogue.validate(text, vector.direction).valid])
    _open(page, site, "validator")
    wrong = page.evaluate(
        "cases => cases.filter(([t, d, v]) => relayValidator.validate(t, d, relaySchemas).valid !== v)", cases
    )
    assert wrong == []


def test_an_example_opens_in_the_validator(page: Page, site: Path) -> None:
    _open(page, site, "frames/s2c/deliver")
    page.locator(".try").first.click()
    expect(page.locator("[data-tool=validator] .ok")).to_have_text("Valid: deliver")


def test_copying_copies_the_frame(browser: Browser, site: Path) -> None:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    _open(page, site, "frames/c2s/presence")
    page.locator(".first .copy").click()
    expect(page.locator(".first .copy")).to_have_text("Copied")
    copied = json.loads(page.evaluate("navigator.clipboard.readText()"))
    context.close()
    assert copied == load_catalogue().frame("c2s", "presence").examples[0]


class _Peer:
    """A WebSocket server in a thread: takes any token, answers a heartbeat, then says something wrong."""

    def __enter__(self) -> _Peer:
        self._loop = asyncio.new_event_loop()
        self.heard: list[Any] = []
        self.offered: list[str] = []
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,))
        self._thread.start()
        assert started.wait(20)
        return self

    def _run(self, started: threading.Event) -> None:
        async def main() -> None:
            self._stop = asyncio.Event()
            async with serve(self._talk, "127.0.0.1", 0, select_subprotocol=self._select) as server:
                self.port = next(iter(server.sockets)).getsockname()[1]
                started.set()
                await self._stop.wait()

        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(main())

    def _select(self, _connection: ServerConnection, offered: Any) -> Any:
        self.offered = list(offered)
        return offered[0]

    async def _talk(self, connection: ServerConnection) -> None:
        async for text in connection:
            self.heard.append(json.loads(text))
            await connection.send('{"type":"heartbeat_ack","timestamp":"2026-03-01T09:30:00Z"}')
            await connection.send('{"type":"heartbeat_ack","timestamp":"yesterday <b>"}')

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        self._loop.close()


def test_the_console_talks_to_a_server_and_judges_what_comes(browser: Browser, site: Path) -> None:
    with _Peer() as peer:
        given = json.dumps(
            {"url": f"ws://127.0.0.1:{peer.port}/ws", "people": {"alice": "a.b.c", "bob": "d.e.f"}}
        )
        text = (site / "console.html").read_text("utf-8")
        holder = '<script type="application/json" id="relay-dev">null</script>'
        assert holder in text
        (site / "dev.html").write_text(text.replace(holder, holder.replace("null", given)), "utf-8")
        context = browser.new_context()
        page = context.new_page()
        _open(page, site, "dev")
        form = page.locator("[data-tool=console]")
        expect(form.locator("[name=token]")).to_have_value("a.b.c")
        form.locator("[name=who]").select_option("bob")
        expect(form.locator("[name=token]")).to_have_value("d.e.f")
        form.locator("[name=who]").select_option("alice")
        form.get_by_role("button", name="Connect").click()
        expect(form.locator(".status")).to_have_text("Connected.")
        form.locator("[name=example]").select_option("c2s heartbeat")
        form.get_by_role("button", name="Send").click()
        expect(form.locator(".log .in")).to_have_count(2)
        expect(form.locator(".log .out")).to_contain_text("you send heartbeat · valid")
        expect(form.locator(".log .in").nth(1)).to_contain_text("you receive heartbeat_ack · valid")
        expect(form.locator(".log .in.bad")).to_contain_text("/timestamp")
        form.get_by_role("button", name="Disconnect").click()
        expect(form.locator(".status")).to_contain_text("Closed: 1000")
        context.close()
    (site / "dev.html").unlink()
    assert peer.heard == [{"type": "heartbeat"}]
    assert peer.offered == ["Bearer", "a.b.c"]


def test_the_console_of_serve_dev_talks_to_the_server(browser: Browser, tmp_path: Path) -> None:
    with ServerProcess(tmp_path, "--dev", "--no-log-frames") as server:
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"{server.ready['docs_url']}console", timeout=60_000)
        form = page.locator("[data-tool=console]")
        form.locator("[name=who]").select_option(label="alice phone")
        form.get_by_role("button", name="Connect").click()
        expect(form.locator(".status")).to_have_text("Connected.", timeout=20_000)
        form.locator("[name=example]").select_option("c2s send")
        form.get_by_role("button", name="Send").click()
        expect(form.locator(".log")).to_contain_text("you receive sent_ack · valid", timeout=20_000)
        expect(form.locator(".log .bad")).to_have_count(0)
        page.keyboard.press("Control+k")  # over HTTP the search fetches its data
        page.get_by_role("searchbox").fill("JWT")
        expect(page.locator("dialog.search li").first).to_contain_text("The token")
        context.close()
