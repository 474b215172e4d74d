"""The validator, the console and the copy buttons in a real browser."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from support.browser import talking, visit
from support.process import ServerProcess
from websockets.sync.server import ServerConnection

from relaykit.schemas import load_catalogue

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


@pytest.mark.parametrize("name", ["validator", "single#validator"])
def test_the_validator_shows_errors_at_their_place(page: Page, site: Path, name: str) -> None:
    visit(page, site, name)
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


@pytest.mark.parametrize(
    ("text", "laid"),
    [
        ('{"type":"heartbeat","type":"pong"}', '{\n  "type": "heartbeat",\n  "type": "pong"\n}'),
        ('{"a":9007199254740993}', '{\n  "a": 9007199254740993\n}'),
        (
            ' {"a":[ ],"b" :{"c": "\\u0041\\\\\\", {}: [1]"},"2":[1.0,-0 ,null],"1":{}} ',
            '{\n  "a": [],\n  "b": {\n    "c": "\\u0041\\\\\\", {}: [1]"\n  },\n  "2": [\n    1.0,\n    -0,\n'
            '    null\n  ],\n  "1": {}\n}',
        ),
        ('{"a":1', '{"a":1'),
        ('"a  {b"', '"a  {b"'),
    ],
)
def test_formatting_changes_nothing_but_blanks(page: Page, site: Path, text: str, laid: str) -> None:
    visit(page, site, "validator")
    form = page.locator("[data-tool=validator]")
    form.locator("textarea").fill(text)
    before = form.locator(".verdict-box p").inner_text()
    form.get_by_role("button", name="Format").click()
    expect(form.locator("textarea")).to_have_value(laid)
    expect(form.locator(".verdict-box p")).to_have_text(before)
    page.evaluate(
        """text => {
          sessionStorage.relayFrame = JSON.stringify(["c2s", text]);
          dispatchEvent(new Event("relay-try"));
        }""",
        text,
    )
    expect(form.locator("textarea")).to_have_value(laid)
    expect(form.locator(".verdict-box p")).to_have_text(before)


def test_the_browser_judges_every_vector_as_the_catalogue_does(page: Page, site: Path) -> None:
    catalogue = load_catalogue()
    cases = []
    for vector in catalogue.vectors():
        text = json.dumps(vector.data, ensure_ascii=False)
        cases.append([text, vector.direction, catalogue.validate(text, vector.direction).valid])
    visit(page, site, "validator")
    wrong = page.evaluate(
        "cases => cases.filter(([t, d, v]) => relayValidator.validate(t, d, relaySchemas).valid !== v)", cases
    )
    assert wrong == []


def test_an_example_opens_in_the_validator(page: Page, site: Path) -> None:
    visit(page, site, "frames/s2c/deliver")
    page.locator(".try").first.click()
    expect(page.locator("[data-tool=validator] .ok")).to_have_text("Valid: deliver")


def test_copying_copies_the_frame(browser: Browser, site: Path) -> None:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    visit(page, site, "frames/c2s/presence")
    page.locator(".first .copy").click()
    expect(page.locator(".first .copy")).to_have_text("Copied")
    copied = json.loads(page.evaluate("navigator.clipboard.readText()"))
    context.close()
    assert copied == load_catalogue().frame("c2s", "presence").examples[0]


def test_the_console_talks_to_a_server_and_judges_what_comes(browser: Browser, site: Path) -> None:
    heard, offered = [], []

    def talk(connection: ServerConnection) -> None:
        """Take any token, answer a heartbeat, then say something wrong."""
        assert connection.request is not None
        offered.append(connection.request.headers["Sec-WebSocket-Protocol"])
        for text in connection:
            heard.append(json.loads(text))
            connection.send('{"type":"heartbeat_ack","timestamp":"2026-03-01T09:30:00Z"}')
            connection.send('{"type":"heartbeat_ack","timestamp":"yesterday <b>"}')

    with talking(talk) as url:
        given = json.dumps({"url": url, "people": {"alice": "a.b.c", "bob": "d.e.f"}})
        text = (site / "console.html").read_text("utf-8")
        holder = '<script type="application/json" id="relay-dev">null</script>'
        assert holder in text
        (site / "dev.html").write_text(text.replace(holder, holder.replace("null", given)), "utf-8")
        context = browser.new_context()
        page = context.new_page()
        visit(page, site, "dev")
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
    assert heard == [{"type": "heartbeat"}]
    assert offered == ["Bearer, a.b.c"]


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
        page.get_by_role("combobox", name="Search").fill("JWT")
        expect(page.locator("dialog.search li").first).to_contain_text("The token")
        context.close()
