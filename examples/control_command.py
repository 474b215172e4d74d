"""A control adapter as a command, in any language: here Python, with nothing but its standard library.

It takes one JSON object per line, {"id", "operation", "arguments"}, and answers each with a line,
{"id", "result"} or {"id", "error"}. It ends when its input ends. Its log belongs on standard error.

This one asks the reference server's administrative interface. Yours asks whatever your server offers: an HTTP
interface, a database, a command line. Operations that you cannot arrange are answered with "missing"; where
the server answered that it cannot do what is asked, as for a group that is not there, "refused" says so.
"""

import json
import os
import sys
import urllib.error
import urllib.request

ADMIN = os.environ.get("ADMIN_URL", "http://127.0.0.1:8788")
TOKEN = os.environ["RELAYKIT_CONTROL_TOKEN"]


def ask(path: str, body: dict) -> dict:
    """What your server's own interface wants: adapt this."""
    request = urllib.request.Request(
        f"{ADMIN}/{path}",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


OPERATIONS = {
    "create_user": lambda given: ask("create_user", given),
    "add_contact": lambda given: ask("add_contact", given),
    "create_group": lambda given: ask("create_group", given),
    "add_member": lambda given: ask("add_member", given),
    "remove_member": lambda given: ask("remove_member", given),
    "conversation": lambda given: ask("conversation", given),
}

for line in sys.stdin:
    request = json.loads(line)
    answer = {"id": request["id"]}
    operation = OPERATIONS.get(request["operation"])
    if operation is None:
        answer |= {"error": "this operation is not offered", "missing": True}
    else:
        try:
            answer["result"] = operation(request["arguments"])
        except urllib.error.HTTPError as error:
            answer["error"] = f"HTTP {error.code} {error.read(300).decode(errors='replace')}"
            answer["refused"] = error.code in (400, 404, 409)  # anything else is a failure
        except OSError as error:
            answer["error"] = f"the server cannot be asked: {error}"
    print(json.dumps(answer), flush=True)
