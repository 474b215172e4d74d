"""The pages in a real browser: both themes, 390 px, search, keyboard, paper, no scripts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from support.axe import violations
from support.browser import visit

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
    *("scenarios/derived", "requirements/defects", "guides/client", "guides/fuzzing"),
)
SINGLE = ("single#frames.c2s.send", "single#validator")


_THIN = """() => document.querySelectorAll("main *").forEach((parent) =>
  [...parent.children].slice(60).forEach((each) => each.remove()))"""
"""The longest lists lose what is like the rest of them: axe takes a second for every thousand elements."""


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
        visit(page, site, name)
        page.evaluate(_THIN)
        found += [f"{name}: {each}" for each in violations(page)]
        page.emulate_media(color_scheme=schemes[1])
        found += [f"{name}, {schemes[1]}: {each}" for each in violations(page, colours_only=True)]
        page.emulate_media(color_scheme=schemes[0])
    context.close()
    assert found == []


@pytest.mark.node
@pytest.mark.parametrize("query", ["send", "nothing-of-this-name", ""])
def test_axe_finds_nothing_in_the_open_search(browser: Browser, site: Path, query: str) -> None:
    context = browser.new_context(color_scheme="light")
    page = context.new_page()
    visit(page, site, "frames/c2s/presence")
    page.keyboard.press("/")
    page.get_by_role("combobox", name="Search").fill(query)
    if query == "send":
        expect(page.locator("dialog.search li").first).to_be_visible()
    found = violations(page)
    page.emulate_media(color_scheme="dark")
    found += violations(page, colours_only=True)
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
    visit(page, site, "frames/c2s/send")
    expect(page.locator("#field-payload\\.ciphertext")).to_be_visible()
    expect(page.locator(".copy").first).to_be_hidden()
    page.locator(".find").click()
    expect(page).to_have_url(f"file://{site}/contents.html")
    visit(page, site, "validator")
    expect(page.get_by_text("The validator needs scripts")).to_be_visible()
    visit(page, site, "single#frames.c2s.send--fields")
    expect(page.locator("[id='frames.c2s.send--field-payload.ciphertext']")).to_be_visible()
    expect(page.locator("[id='frames.c2s.send'] table.fields td").nth(1)).to_have_text("Always send.")
    context.close()


def test_print_shows_every_payload(page: Page, site: Path) -> None:
    visit(page, site, "frames/c2s/send")
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    for block in page.locator("main pre").all():
        expect(block).to_be_visible()
    expect(page.locator(".top")).to_be_hidden()


def test_the_theme_is_kept(page: Page, site: Path) -> None:
    visit(page, site, "index")
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Change theme").click()
    after = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert before != after
    visit(page, site, "frames/index")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == after


def test_the_menu_of_a_phone_leads_to_pages(browser: Browser, site: Path) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    visit(page, site, "index")
    menu = page.get_by_role("navigation", name="Pages")
    expect(menu).to_be_hidden()
    page.get_by_role("button", name="Pages").click()
    menu.get_by_role("link", name="Calls").click()
    expect(page).to_have_url(f"file://{site}/guides/calls.html")
    context.close()


def test_the_single_file_shows_one_page_at_a_time(page: Page, site: Path) -> None:
    visit(page, site, "single")
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Life of a message").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Life of a message")
    page.locator("section.shown").get_by_role("link", name="sent_ack").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("sent_ack")
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Life of a message")
    visit(page, site, "single#frames.c2s.send--field-payload.ciphertext")
    expect(page.locator("[id='frames.c2s.send--field-payload.ciphertext']")).to_be_in_viewport()
    visit(page, site, "single#MSG-12")
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
    ["/payload/ciphertext", "field of ", "field-payload.ciphertext"],
    ["/payload/attachments/0/media_id", "field of ", "field-payload.attachments.media_id"],
    ["/payload/candidate/sdpMid", "field of ice_candidate", "field-payload.candidate.sdpMid"],
    ["/type", "field of ", "field-type"],
    ["candidate.candidate", "field of ice_candidate", "field-payload.candidate.candidate"],
    ["payload.candidate", "field of ice_candidate", "field-payload.candidate"],
    ["payload.sdpMid", "field of ice_candidate", "field-payload.candidate.sdpMid"],
    ["payload.ciphertext deliver", "field of deliver", "field-payload.ciphertext"],
    ["s2c presence", "you receive", "s2c"],
    ["c2s presence", "you send", "c2s"],
    ["c2s pong", "you send", "pong"],
    ["invalid_message nonsense", "error code", "invalid_message"],
]
"""What is found first: a query, the kind, and a part of the place."""


@pytest.mark.parametrize("name", ["frames/c2s/send", "single"])
def test_every_name_is_found_on_the_first_page(
    page: Page, site: Path, documentation: build.Documentation, name: str
) -> None:
    visit(page, site, name)
    page.keyboard.press("/")
    page.get_by_role("combobox", name="Search").fill("send")
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
    visit(page, site, "frames/c2s/send")
    page.keyboard.press("/")
    page.get_by_role("combobox", name="Search").fill("JWT")
    expect(page.locator("dialog.search li").first).to_contain_text("The token")
    assert [name for kind, name in kinds if kind == "script"] == ["site.js"]
    assert kinds[-1] == ("document", "search.html")


def test_search_goes_by_keyboard(page: Page, site: Path) -> None:
    visit(page, site, "guides/messages")
    page.keyboard.press("/")
    box = page.get_by_role("combobox", name="Search")
    box.fill("sent_ack")
    expect(page.locator("dialog.search li a").first).to_contain_text("sent_ack")
    chosen = page.get_by_role("option", selected=True)
    expect(chosen).to_have_count(1)
    page.keyboard.press("ArrowDown")
    expect(chosen).to_have_id("found-1")
    expect(box).to_have_attribute("aria-activedescendant", "found-1")
    page.keyboard.press("ArrowUp")
    expect(chosen).to_contain_text("sent_ack")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"file://{site}/frames/s2c/sent_ack.html")
    page.keyboard.press("Control+k")
    page.get_by_role("combobox", name="Search").fill("<img src=x onerror=alert(1)>")
    expect(page.get_by_text("Nothing of that name.")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog.search")).to_be_hidden()
