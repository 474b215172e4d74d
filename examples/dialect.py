"""A dialect: the suite speaks the protocol, the server something near it, and this translates.

The server of this example calls `type` "kind" and `payload` "body", wants each frame numbered and signed with
the token of the connection, and joins frames with newlines into one message. None of that is the protocol, so
the report lists each difference as a failure, and no profile can be claimed; all else is judged behind them.

The suite makes one object of the class for a run, with the `options` of the target file. Either method may be
missing. `peer` is whose connection it is: `user_id`, `device_id`, `token`, and `memory`, a dict of your own
that lives as long as the connection.
"""

import hashlib
import hmac
import json
from typing import Any

NAMES = {"type": "kind", "payload": "body"}


class Dialect:
    def outgoing(self, frame: dict[str, Any], peer: Any) -> dict[str, Any]:
        """What is sent for a frame: a dict, a text, or a list of these.

        Frames that are wrong on purpose come here, too: take nothing for granted.
        """
        theirs = {NAMES.get(name, name): value for name, value in frame.items()}
        peer.memory["count"] = peer.memory.get("count", 0) + 1
        theirs["number"] = peer.memory["count"]
        text = json.dumps(theirs, sort_keys=True, separators=(",", ":"))
        key = (peer.token or "").encode()
        theirs["signature"] = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        return theirs

    def incoming(self, text: str, peer: Any) -> list[dict[str, Any]]:
        """The frames that a message holds: a dict, a text, or a list of these."""
        ours = {theirs: name for name, theirs in NAMES.items()}
        return [
            {ours.get(name, name): value for name, value in json.loads(line).items()}
            for line in text.splitlines()
            if line
        ]
