"""Identifiers: UUIDs are compared without case, so the server keeps them in lower case throughout."""

from __future__ import annotations

import re
import uuid
from binascii import unhexlify
from collections.abc import Mapping
from typing import Any

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def canonical_uuid(value: object) -> str | None:
    """`value` in lower case if it is a UUID in its text form with dashes, else None."""
    if isinstance(value, str):
        lowered = value.lower()
        if _UUID.fullmatch(lowered):
            return lowered
    return None


def key_of(message_id: str) -> bytes:
    """A message's UUID as 16 bytes, the same for every spelling."""
    return unhexlify(message_id.replace("-", ""))


def text_of(key: bytes) -> str:
    """The UUID of a key in its text form."""
    return str(uuid.UUID(bytes=key))


def message_id_of(frame: Mapping[str, Any]) -> str | None:
    """A frame's message_id if it has a proper one, as the client wrote it."""
    message_id = frame.get("message_id")
    return message_id if canonical_uuid(message_id) else None
