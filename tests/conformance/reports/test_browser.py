"""The HTML report in a real browser: both themes, a phone, the keyboard, no script, hostile contents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from support.axe import violations
from support.browser import chromium, opened
from support.reports import case, entry, finding, hostile, huge, make, row

from relaykit.conformance.reports.html import to_html

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


def ordinary(passing: int = 30) -> dict[str, Any]:
    long = {"type": "deliver", "payload": {"ciphertext": "QUJD" * 60, "message_type": "text"}}
    lines = [*case()["transcript"], entry("mallory", "s2c", long, 9.0)]
    leaks = finding("PRIV-01", message="mallory got deliver", actual=long, actor="mallory", t_ms=9.5)
    soft = finding("MSG-13", message="late", severity="warn", level="SHOULD", blame="unspecified")
    shape = finding("MSG-12", step="/payload/ciphertext", actual=long, actor="mallory", case="leaks")
    return make(
        [
            case("leaks", "fail", findings=[leaks, finding("MSG-12")], transcript=lines),
            case("late", "warn", findings=[soft], level="SHOULD"),
            case("excused", "fail", expected_failure="ticket 7"),
            case("shape-deliver", "fail", kind="shape", transcript=[], findings=[shape], area="envelope"),
            case("kit", "error", findings=[finding(None, blame="kit")]),
            *(case(f"passes-{n}") for n in range(passing)),
            case("quiet", "untestable"),
            case("typed", "not-applicable", reason="the target does not declare typing", area="typing"),
        ],
        [
            row("MSG-12", "fail"),
            row("MSG-13", "warn", level="SHOULD"),
            row("PRIV-01", "fail"),
            row("MSG-14", "untested"),
        ],
        notes=["a heartbeat is not answered: absence is judged by waiting alone"],
        stale=["target.yaml:12: carrier-header is expected to fail, but passes"],
        server_log=["listening", "something went wrong " * 30],
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    made = {}
    for name, data in {
        "ordinary": ordinary(),
        "small": ordinary(2),
        "hostile": hostile(),
        "huge": huge(),
    }.items():
        made[name] = folder / f"{name}.html"
        made[name].write_bytes(to_html(data))
    return made


def unfold(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")


@pytest.mark.node
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_nobody_is_kept_out(browser: Browser, pages: dict[str, Path], scheme: str, size: Any) -> None:
    # Without motion: what fades in has no contrast yet.
    with opened(browser, pages["small"], color_scheme=scheme, viewport=size, reduced_motion="reduce") as page:
        unfold(page)
        assert violations(page) == []


@pytest.mark.node
def test_axe_would_notice(browser: Browser, pages: dict[str, Path]) -> None:
    with opened(browser, pages["small"], reduced_motion="reduce") as page:
        page.evaluate("document.querySelector('h1').style.color = '#ddd'")
        page.evaluate("document.querySelector('.theme').removeAttribute('aria-label')")
        found = {line.partition(":")[0] for line in violations(page)}
        assert found == {"color-contrast", "button-name"}


@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
@pytest.mark.parametrize("name", ["ordinary", "hostile"])
def test_nothing_is_wider_than_a_phone(
    browser: Browser, pages: dict[str, Path], name: str, script: bool
) -> None:
    with opened(browser, pages[name], viewport=PHONE, java_script_enabled=script) as page:
        unfold(page)
        page.locator("main").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_without_script_all_of_it_can_be_read(browser: Browser, pages: dict[str, Path]) -> None:
    with opened(browser, pages["ordinary"], java_script_enabled=False) as page:
        expect(page.locator("h1")).to_be_visible()
        expect(page.locator(".filter")).to_be_hidden()
        expect(page.locator("button.theme")).to_be_hidden()
        expect(page.get_by_role("heading", name="mallory got deliver")).to_be_visible()
        expect(page.locator("#c-leaks svg.seq")).to_be_visible()
        passing = page.locator("#c-passes-3")
        expect(passing.locator(".cmd")).to_be_hidden()
        passing.locator("summary").first.click()
        expect(passing.locator(".cmd")).to_be_visible()
        frames = passing.locator(".frames")
        frames.locator("summary").first.click()
        frames.locator("li summary").first.click()
        expect(frames.locator("pre").first).to_contain_text('"ciphertext": "QQ=="')


def test_search_and_filters(browser: Browser, pages: dict[str, Path]) -> None:
    with opened(browser, pages["ordinary"]) as page:
        shown = page.locator(".case:visible")
        expect(shown).to_have_count(37)
        page.keyboard.press("/")
        expect(page.locator("#q")).to_be_focused()
        page.keyboard.type("PRIV-01 mallory")
        expect(shown).to_have_count(1)
        expect(page.locator(".found")).to_have_text("1 of 37 cases")
        expect(page.get_by_role("heading", name="Passed")).to_be_hidden()
        page.locator("#q").fill("no such thing")
        expect(page.locator(".nothing")).to_be_visible()
        page.locator("#reset").click()
        expect(shown).to_have_count(37)
        page.locator("#q").fill("deliver")  # a type that only went over the wire
        expect(page.locator("#c-passes-3")).to_be_visible()
        expect(page.locator("#c-typed")).to_be_visible()
        page.locator("#q").fill("")
        page.get_by_label("pass 30").uncheck(force=True)
        expect(shown).to_have_count(7)
        page.locator("#level").select_option("SHOULD")
        expect(shown).to_have_count(1)
        page.locator("#level").select_option("")
        page.locator("#area").select_option("typing")
        expect(shown).to_have_count(1)
        # A link to what is filtered away brings it back.
        page.evaluate("location.hash = '#c-passes-3'")
        expect(page.locator("#c-passes-3 .cmd")).to_be_visible()


def test_links_lead_from_findings_to_frames_and_back(browser: Browser, pages: dict[str, Path]) -> None:
    with opened(browser, pages["ordinary"]) as page:
        leaks = page.locator("#c-leaks")
        leaks.get_by_role("link", name="The frame: line 7").click()
        row_ = page.locator("li:target")
        expect(row_).to_be_in_viewport()
        expect(row_).to_contain_text("mallory got deliver")
        row_.get_by_role("link", name="Finding 1").click()
        expect(page.locator(".point:target h4")).to_be_in_viewport()
        leaks.get_by_role("link", name="PRIV-01").first.click()
        expect(page.locator("#r-PRIV-01")).to_be_in_viewport()


def test_a_command_and_a_frame_can_be_copied(browser: Browser, pages: dict[str, Path]) -> None:
    with opened(browser, pages["ordinary"], permissions=["clipboard-read", "clipboard-write"]) as page:
        leaks = page.locator("#c-leaks")
        leaks.get_by_role("button", name="Copy the command").click()
        expect(leaks.locator(".cmd .copy")).to_have_text("Copied")
        command = "relaykit test -t 'acme target.yaml' --run leaks"
        assert page.evaluate("navigator.clipboard.readText()") == command
        frame = leaks.locator("li.hit", has_text="mallory").locator(".copyable")
        frame.get_by_role("button").click()
        expect(frame.get_by_role("button")).to_have_text("Copied")
        assert '"type": "deliver"' in page.evaluate("navigator.clipboard.readText()")


def test_the_theme_follows_the_system_and_the_button(browser: Browser, pages: dict[str, Path]) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    with opened(browser, pages["ordinary"], color_scheme="dark") as page:
        dark = page.evaluate(colour)
        page.get_by_role("button", name="Change theme").click()
        light = page.evaluate(colour)
        assert light == "rgb(255, 255, 255)" != dark
        page.reload()
        assert page.evaluate(colour) == light


def test_the_keyboard_reaches_everything(browser: Browser, pages: dict[str, Path]) -> None:
    with opened(browser, pages["ordinary"]) as page:
        page.keyboard.press("Tab")
        expect(page.locator(".skip")).to_be_focused()
        passing = page.locator("#c-passes-3 > summary")
        passing.focus()
        page.keyboard.press("Enter")
        expect(page.locator("#c-passes-3 .cmd")).to_be_visible()
        page.keyboard.press("Tab")
        expect(page.locator("#c-passes-3 .scroll")).to_be_focused()


def test_nothing_from_the_wire_runs(browser: Browser, pages: dict[str, Path]) -> None:
    with opened(browser, pages["hostile"]) as page:
        unfold(page)
        page.locator("#q").fill("script")
        expect(page.locator(".found")).not_to_be_empty()
        page.evaluate("document.querySelectorAll('a, button').forEach(each => each.click())")
        assert page.evaluate("window.pwned") is None
        assert page.evaluate("document.querySelectorAll('main img, main script, main iframe').length") == 0


def test_printing_unfolds_what_failed_and_hides_the_controls(
    browser: Browser, pages: dict[str, Path]
) -> None:
    with opened(browser, pages["ordinary"], color_scheme="dark") as page:
        page.locator("#c-leaks > summary").click()
        expect(page.locator("#c-leaks .scene")).to_be_hidden()
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        page.emulate_media(media="print")
        expect(page.locator("#c-leaks .scene")).to_be_visible()
        expect(page.locator(".filter")).to_be_hidden()
        assert page.evaluate("getComputedStyle(document.body).color") == "rgb(27, 32, 39)"


def test_a_thousand_cases_can_be_searched(browser: Browser, pages: dict[str, Path]) -> None:
    with opened(browser, pages["huge"]) as page:
        page.locator("#q").fill("case-777")
        expect(page.locator(".case:visible")).to_have_count(1)


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_a_frame_stands_in_one_row_with_who_sent_it(
    browser: Browser, tmp_path: Path, viewport: dict[str, Any]
) -> None:
    lines = [entry("alice", "c2s", {"type": "heartbeat"}, 1.0) | {"kit": True}]
    path = tmp_path / "report.html"
    found = [finding("MSG-12", actor="alice", t_ms=2.0, actual=None)]
    path.write_bytes(
        to_html(make([case("a", "fail", findings=found, transcript=lines)], [row("MSG-12", "fail")]))
    )
    with opened(browser, path, viewport=viewport) as page:
        places = [page.locator(f".frames li.kit .{name}").bounding_box() for name in ("a", "l", "k")]
        assert all(places)
        tops = [place["y"] + place["height"] / 2 for place in places if place]
        assert max(tops) - min(tops) < 8
