"""The older forms of message and status frames, for connections that ask for them (source: 1, 2; decisions,
section 1, Deprecated frames).

What is stored has the present form; a legacy connection gets it rewritten when it is sent. `group_message` is
of the older generation itself and stays as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from relaykit.reference_server.app import App

Frame = dict[str, Any]


def as_send(frame: Frame, message_id: str) -> Frame:
    """A client's `message` as the `send` it stands for."""
    old = frame["payload"]
    payload = {
        "receiver_id": old["recipient_id"],
        "ciphertext": old["encrypted_content"],
        "message_type": old["message_type"],
    }
    return {"type": "send", "message_id": message_id, "payload": payload}


def rewritten(app: App, data: bytes) -> bytes:
    """What a legacy connection gets in place of a stored frame: `message` for `deliver`.

    Raises:
        StoreError: the conversation cannot be looked up.
    """
    frame = orjson.loads(data)
    if frame["type"] != "deliver":
        return data
    new, sender = frame["payload"], frame["sender_id"]
    # The client may write in the conversation that it is told of, so that must be known from now on.
    conversation = app.people.conversation_of({sender, new["receiver_id"].lower()})
    payload = {
        "conversation_id": conversation,
        "encrypted_content": new["ciphertext"],
        "message_type": new["message_type"],
    }
    if new.get("media_id") is not None:
        # No attachment: that would have to state a size, which is not known here.
        payload["metadata"] = {"content_type": new["media_type"], "media_id": new["media_id"]}
    return app.frames.make(
        "message", payload, user=sender, message=frame["message_id"], at=frame["timestamp"]
    )
