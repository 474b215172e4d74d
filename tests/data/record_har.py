"""Records chromium.har anew: a real Chromium session against the reference server.

    .venv/bin/python tests/data/record_har.py

Chromium's own HAR export cannot be driven without its developer tools, so the frames are those that the
DevTools protocol reports (`Network.webSocketFrameSent`, `…Received`), laid out as the export lays them out:
`_webSocketMessages` with `type`, `time`, `opcode` and `data`. Tokens do not get into the file.
"""

from __future__ import annotations

import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import uuid
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from relaykit.redaction import Redactor
from relaykit.tokens import mint

SECRET = "only-for-the-recording-0123456789abcdef"
ALICE, BOB, MESSAGE = (str(uuid.UUID(int=n, version=4)) for n in (0xA11CE, 0xB0B, 0x3E55A6E))

# What a small chat client does: sends, acknowledges, reads, keeps alive, and once gets it wrong.
SCRIPT = """
async ([url, tokens, ids]) => {
  const open = token => new Promise((resolve, reject) => {
    const socket = new WebSocket(url, ['Bearer', token]);
    const got = [], waiting = [];
    socket.onopen = () => resolve({
      say: frame => socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame)),
      hear: type => new Promise(done => {
        const index = got.findIndex(frame => frame.type === type);
        index >= 0 ? done(got.splice(index, 1)[0]) : waiting.push([type, done]);
      }),
      close: () => new Promise(done => { socket.onclose = done; socket.close(1000); }),
    });
    socket.onerror = () => reject(new Error('the socket failed'));
    socket.onmessage = event => {
      const frame = JSON.parse(event.data);
      const index = waiting.findIndex(([type]) => type === frame.type);
      index >= 0 ? waiting.splice(index, 1)[0][1](frame) : got.push(frame);
    };
  });
  const alice = await open(tokens[0]), bob = await open(tokens[1]);
  alice.say({type: 'presence', payload: {status: 'online'}});
  alice.say({type: 'send', message_id: ids.message, timestamp: new Date().toISOString(),
    payload: {receiver_id: ids.bob, ciphertext: 'R3LDvMOfZSBhdXMgS8O2bG4=', message_type: 'text'}});
  await alice.hear('sent_ack');
  const delivered = await bob.hear('deliver');
  bob.say({type: 'delivery_ack', message_id: delivered.message_id});
  await alice.hear('status_update');
  bob.say({type: 'read_receipt', payload: {message_ids: [delivered.message_id]}});
  await alice.hear('status_update');
  alice.say({type: 'ice_candidate', payload: {target_id: ids.bob, candidate: new RTCIceCandidate({
    candidate: 'candidate:1 1 udp 2122260223 192.0.2.1 54321 typ host', sdpMid: '0', sdpMLineIndex: 0,
  }).toJSON()}});
  await bob.hear('ice_candidate');
  alice.say({type: 'send', payload: {receiver_id: ids.bob}});
  await alice.hear('error');
  alice.say({type: 'heartbeat'});
  await alice.hear('heartbeat_ack');
  await alice.close(); await bob.close();
}
"""


def main() -> None:
    """Start the server and the browser, play the script, write the file."""
    chromium = shutil.which("chromium") or sys.exit("chromium is not installed")
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "RELAYKIT_SECRET": SECRET}
        command = [Path(sys.executable).with_name("relaykit"), "serve", "--port", "0", "--store", ":memory:"]
        server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
        pages = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            entries = _record(chromium, f"http://127.0.0.1:{pages.server_address[1]}/", url)
        finally:
            server.terminate()
            server.wait(10)
            pages.shutdown()
    creator = {"name": "relaykit tests/data/record_har.py", "version": "1"}
    har = {"log": {"version": "1.2", "creator": creator, "pages": [], "entries": entries}}
    text = json.dumps(har, indent=1)
    for token_word in (SECRET, "eyJ"):
        assert token_word not in text
    (Path(__file__).with_name("chromium.har")).write_text(text + "\n", encoding="utf-8")
    print(sum(len(entry["_webSocketMessages"]) for entry in entries), "frames")


def _record(chromium: str, page_url: str, url: str) -> list[dict[str, Any]]:
    entries: dict[str, dict[str, Any]] = {}
    redactor = Redactor()

    def frame(kind: str, event: dict[str, Any]) -> None:
        response = event["response"]
        entries[event["requestId"]]["_webSocketMessages"].append(
            {
                "type": kind,
                "time": event["timestamp"],
                "opcode": response["opcode"],
                "data": response["payloadData"],
            }
        )

    def created(event: dict[str, Any]) -> None:
        request = {"method": "GET", "url": redactor.text(event["url"]), "httpVersion": "HTTP/1.1"}
        request |= {"headers": [], "queryString": [], "cookies": [], "headersSize": -1, "bodySize": 0}
        response = {
            "status": 101,
            "statusText": "Switching Protocols",
            "httpVersion": "HTTP/1.1",
            "headers": [],
        }
        response |= {"cookies": [], "content": {"size": 0, "mimeType": "x-unknown"}, "redirectURL": ""}
        response |= {"headersSize": -1, "bodySize": -1}
        entry = {"_resourceType": "websocket", "startedDateTime": "2026-11-23T00:00:00.000Z", "time": 0}
        entry |= {"request": request, "response": response, "cache": {}, "_webSocketMessages": []}
        entries[event["requestId"]] = entry | {"timings": {"send": -1, "wait": -1, "receive": -1}}

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        session = page.context.new_cdp_session(page)
        session.on("Network.webSocketCreated", created)
        session.on("Network.webSocketFrameSent", functools.partial(frame, "send"))
        session.on("Network.webSocketFrameReceived", functools.partial(frame, "receive"))
        session.send("Network.enable")
        page.goto(page_url)
        devices = [str(uuid.uuid4()), str(uuid.uuid4())]
        tokens = [
            mint(user_id=u, device_id=d, key=SECRET) for u, d in zip((ALICE, BOB), devices, strict=True)
        ]
        page.evaluate(SCRIPT, [url, tokens, {"message": MESSAGE, "bob": BOB}])
        browser.close()
    return list(entries.values())


if __name__ == "__main__":
    main()
