"""The client that the guide shows works: in a real browser, against the reference server."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from support.browser import talking
from support.process import ServerProcess
from websockets.sync.server import ServerConnection

from relaykit.schemas import load_catalogue

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

CLIENT = Path(__file__).parents[2] / "docs_gen/guides/client.js"
TOKEN = "the-control-token-of-one-test"
START = """() => {
  window.log = [];
  window.sent = [];  // every frame that goes out
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (text) { sent.push(text); return send.call(this, text); };
  const given = JSON.parse(document.getElementById("relay-dev").textContent);
  for (const name of ["alice", "bob"])
    window[name] = new Client(given.url, () => given.people[`${name} phone`],
      (...told) => log.push([name, ...told].slice(0, 3)));
}"""


def _wait(page: Page, *entry: str) -> None:
    page.wait_for_function("entry => log.some(each => String(each) === String(entry))", arg=list(entry))


def _drop(server: ServerProcess, user: str, device: str) -> None:
    """Cut a device's connection, as a network would."""
    ask = urllib.request.Request(
        f"{server.ready['control_url']}/drop_connection",
        json.dumps({"user_id": user, "device_id": device}).encode(),
        {"Authorization": f"Bearer {TOKEN}"},
    )
    with urllib.request.urlopen(ask) as answer:
        assert answer.status == 200


def test_the_client_of_the_guide_talks_comes_back_and_gives_up_what_is_wrong(
    browser: Browser, tmp_path: Path
) -> None:
    catalogue = load_catalogue()
    most = int(catalogue.protocol.limits["max_frame_bytes"].default)
    with ServerProcess(
        tmp_path, "--dev", "--no-log-frames", "--control-port", "0", RELAYKIT_CONTROL_TOKEN=TOKEN
    ) as server:
        page = browser.new_page()
        page.goto(f"{server.ready['docs_url']}console", timeout=60_000)
        people: dict[str, Any] = server.ready["dev"]["users"]
        page.add_script_tag(content=CLIENT.read_text("utf-8"))
        page.evaluate(START)
        to_bob = {"receiver_id": people["bob"]["user_id"], "message_type": "text"}
        send = "payload => alice.send(payload)"

        first = page.evaluate(send, {**to_bob, "ciphertext": "Zmlyc3Q="})  # before there is a connection
        _wait(page, "alice", "sent", first)
        _wait(page, "bob", "deliver", first)
        _wait(page, "alice", "delivered", first)

        for name in ("alice", "bob"):
            devices = people[name]["devices"]
            _drop(server, people[name]["user_id"], devices["phone"])
        second = page.evaluate(send, {**to_bob, "ciphertext": "c2Vjb25k"})
        _wait(page, "alice", "sent", second)
        _wait(page, "bob", "deliver", second)
        _wait(page, "alice", "delivered", second)

        large = page.evaluate(send, {**to_bob, "ciphertext": "A" * most})
        third = page.evaluate(send, {**to_bob, "ciphertext": "dGhpcmQ="})
        _wait(page, "alice", "failed", large)
        _wait(page, "alice", "sent", third)
        _wait(page, "bob", "deliver", third)

        wrong = page.evaluate(send, {**to_bob, "ciphertext": ""})
        _wait(page, "alice", "failed", wrong)
        log, frames = page.evaluate("[log, sent]")
        page.evaluate("alice.close(); bob.close()")
        page.close()
    assert [entry[2] for entry in log if entry[:2] == ["bob", "deliver"]] == [first, second, third]
    invalid = [text for text in frames if not catalogue.validate(text, "c2s").valid]
    assert [json.loads(text)["message_id"] for text in invalid] == [wrong]


# --- servers that refuse ------------------------------------------------------------------------------------

COUNTED = """() => {
  window.log = [];
  window.opened = 0;
  window.WebSocket = class extends WebSocket { constructor(...given) { opened++; super(...given); } };
  window.show = (...told) => log.push(told.slice(0, 2));
}"""


@pytest.fixture
def lone(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """A page with nothing but the client."""
    (tmp_path / "page.html").write_text("<title>A client</title>", "utf-8")
    context = browser.new_context()
    page = context.new_page()
    page.clock.install()  # it goes on by itself, and leaps where a test says so
    page.goto((tmp_path / "page.html").as_uri())
    page.add_script_tag(content=CLIENT.read_text("utf-8"))
    page.evaluate(COUNTED)
    yield page
    context.close()


def _error(code: str, **more: Any) -> str:
    payload = {"error_code": code, "message": "No.", "timestamp": "2026-03-01T09:30:00Z", "reconnect": True}
    return json.dumps({"type": "error", "payload": {**payload, **more}})


def _ack(frame: dict[str, Any]) -> str:
    head = {"type": "sent_ack", "message_id": frame["message_id"], "timestamp": "2026-03-01T09:30:00Z"}
    return json.dumps({**head, "payload": {"status": "sent"}})


def test_errors_for_every_frame_over_the_rate_lead_to_one_rest(lone: Page) -> None:
    frames = []

    def talk(connection: ServerConnection) -> None:
        left, last = 20, time.monotonic()
        for text in connection:
            frames.append(text)
            now = time.monotonic()
            if now - last > 0.5:
                left = 20
            left, last = left - 1, now
            connection.send(_ack(json.loads(text)) if left >= 0 else _error("rate_limited", retry_after=1))

    with talking(talk) as url:
        lone.evaluate(
            """url => {
              window.client = new Client(url, () => "t", show);
              for (let i = 0; i < 60; i++) client.send({ ciphertext: "a" });
            }""",
            url,
        )
        lone.wait_for_function("log.filter(([what]) => what === 'sent').length === 60")
        lone.evaluate("client.close()")
    assert len({json.loads(text)["message_id"] for text in frames}) == 60
    assert len(frames) <= 60 + 16 * 4  # what was under way when the server refused, each time


def test_a_server_that_refuses_fresh_tokens_is_left_alone(lone: Page) -> None:
    def talk(connection: ServerConnection) -> None:
        connection.send(_error("auth_failed"))

    with talking(talk) as url:
        lone.evaluate("url => { window.client = new Client(url, () => 't', show); }", url)
        lone.wait_for_function("log.length > 0")
        lone.clock.run_for(600_000)
        assert lone.evaluate("[log, opened]") == [[["stopped", "auth_failed"]], 2]


def test_a_client_that_gets_no_token_asks_again(lone: Page) -> None:
    def talk(connection: ServerConnection) -> None:
        for text in connection:
            connection.send(_ack(json.loads(text)))

    with talking(talk) as url:
        lone.evaluate(
            """url => {
              let asked = 0;
              const token = async () => { if (!asked++) throw new Error("offline"); return "t"; };
              window.client = new Client(url, token, show);
              client.send({ ciphertext: "a" });
            }""",
            url,
        )
        lone.wait_for_function("log.some(([what]) => what === 'sent')")
        lone.evaluate("client.close()")


def test_a_client_closed_while_it_waits_for_a_token_opens_nothing(lone: Page) -> None:
    lone.evaluate(
        """async () => {
          const token = new Promise((give) => { window.give = give; });
          const client = new Client("ws://127.0.0.1:1/", () => token, show);
          client.close();
          give("t");
        }"""
    )
    lone.clock.run_for(600_000)
    assert lone.evaluate("opened") == 0
