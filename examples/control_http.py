"""A control interface over HTTP, beside your server: here Python, with nothing but its standard library.

    CONTROL_TOKEN=… python3 control_http.py 8789

The suite sends POST /<operation> with a JSON object and the token, and takes a JSON object as the answer; a
4xx with {"error": "…"} says why an operation could not be carried out, a 404 without it that it is not
offered. A test build of your server may as well answer this itself: `relaykit export openapi` describes it.

This one asks the reference server's administrative interface. Yours asks whatever your server offers. It
listens on loopback alone: who can reach it can do anything with your server's users.
"""

import hmac
import json
import os
import sys
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ADMIN = os.environ.get("ADMIN_URL", "http://127.0.0.1:8788")
ADMIN_TOKEN = os.environ["RELAYKIT_CONTROL_TOKEN"]
TOKEN = os.environ["CONTROL_TOKEN"]
MOST = 1 << 20  # bytes of a request


def ask(path: str, body: dict) -> dict:
    """What your server's own interface wants: adapt this."""
    request = urllib.request.Request(
        f"{ADMIN}/{path}",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {ADMIN_TOKEN}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


OPERATIONS = {
    "/create_user": lambda given: ask("create_user", given),
    "/add_contact": lambda given: ask("add_contact", given),
    "/create_group": lambda given: ask("create_group", given),
    "/add_member": lambda given: ask("add_member", given),
    "/remove_member": lambda given: ask("remove_member", given),
    "/conversation": lambda given: ask("conversation", given),
}


class Control(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        given = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), MOST))
        expected = f"Bearer {TOKEN}".encode()
        if not hmac.compare_digest(self.headers.get("Authorization", "").encode(), expected):
            self.answer(401, {"error": "the control token is wrong"})
            return
        operation = OPERATIONS.get(self.path)
        if operation is None:
            self.answer(404, {})
            return
        try:
            self.answer(200, operation(json.loads(given)))
        except urllib.error.HTTPError as error:
            self.answer(
                error.code, {"error": f"HTTP {error.code} {error.read(300).decode(errors='replace')}"}
            )
        except (OSError, ValueError) as error:
            self.answer(502, {"error": str(error)})

    def answer(self, status: int, body: dict) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing: the suite's transcripts have it all."""


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 8789), Control)
print(f"control on http://127.0.0.1:{server.server_port}", flush=True)
try:
    server.serve_forever()
except KeyboardInterrupt:
    server.server_close()
