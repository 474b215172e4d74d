"""The client that the guide shows works: in a real browser, against the reference server."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from support.process import ServerProcess

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
    ask = urllib.request.Request(  # noqa: S310
        f"{server.ready['control_url']}/drop_connection",
        json.dumps({"user_id": user, "device_id": device}).encode(),
        {"Authorization": f"Bearer {TOKEN}"},
    )
    with urllib.request.urlopen(ask) as answer:  # noqa: S310
        assert answer.status == 200


def test_the_client_of_the_guide_talks_comes_back_and_gives_up_what_is_wrong(
    browser: Browser, tmp_path: Path
) -> None:
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

        wrong = page.evaluate(send, {**to_bob, "ciphertext": ""})
        _wait(page, "alice", "failed", wrong)
        log, frames = page.evaluate("[log, sent]")
        page.evaluate("alice.close(); bob.close()")
        page.close()
    assert [entry[2] for entry in log if entry[:2] == ["bob", "deliver"]] == [first, second]
    catalogue = load_catalogue()
    invalid = [text for text in frames if not catalogue.validate(text, "c2s").valid]
    assert [json.loads(text)["message_id"] for text in invalid] == [wrong]
