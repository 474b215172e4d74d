"""Frames to clients: those that are prepared say what made ones say, whatever the catalogue stamps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.catalogues import copied

from relaykit.errors import KitDefect
from relaykit.reference_server.clock import Clock
from relaykit.reference_server.frames import Frames
from relaykit.schemas import Catalogue, load_catalogue

CATALOGUE = load_catalogue()
MESSAGE, USER, AT = (
    "550e8400-e29b-41d4-a716-446655440000",
    "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
    "2025-12-04T07:00:00.123Z",
)
PAYLOAD = {"receiver_id": USER, "ciphertext": "q83vASNF", "message_type": "text"}


def frames(catalogue: Catalogue = CATALOGUE, **more: Any) -> Frames:
    return Frames(catalogue, Clock(), server_id='server "1"', **more)


def stamping(folder: Path, kind: str, **stamps: str) -> Catalogue:
    """The catalogue, with more stamps on one type."""
    root = copied(folder)
    path = root / "frames" / "s2c" / f"{kind}.schema.json"
    schema = json.loads(path.read_text(encoding="utf-8"))
    schema["x-stamps"] |= {f"/{field}": source for field, source in stamps.items()}
    path.write_text(json.dumps(schema), encoding="utf-8")
    return load_catalogue(root)


def as_text(payload: dict[str, Any]) -> str:
    return json.dumps(payload, separators=(",", ":"))


@pytest.mark.parametrize("check", [False, True])
def test_a_prepared_frame_is_the_frame_that_is_made(check: bool) -> None:
    made = frames(check=check)
    deliver = made.deliver(as_text(PAYLOAD), MESSAGE, USER, AT)
    assert json.loads(deliver) == json.loads(
        made.make("deliver", dict(PAYLOAD), message=MESSAGE, user=USER, at=AT)
    )
    ack = made.sent_ack('{"status":"sent"}', MESSAGE, AT)
    assert json.loads(ack) == json.loads(made.make("sent_ack", {"status": "sent"}, message=MESSAGE, at=AT))
    assert CATALOGUE.validate(deliver, "s2c", strict=True).valid
    assert CATALOGUE.validate(ack, "s2c", strict=True).valid


@pytest.mark.parametrize("kind", ["deliver", "sent_ack"])
def test_a_stamp_that_the_catalogue_adds_is_set(tmp_path: Path, kind: str) -> None:
    made = frames(stamping(tmp_path, kind, server_id="server"), check=True)
    if kind == "deliver":
        frame = json.loads(made.deliver(as_text(PAYLOAD), MESSAGE, USER, AT))
    else:
        frame = json.loads(made.sent_ack('{"status":"sent"}', MESSAGE, AT))
    assert frame["server_id"] == 'server "1"'
    assert frame["message_id"] == MESSAGE
    assert frame["timestamp"] == AT


def test_what_is_prepared_is_checked_too() -> None:
    made = frames(check=True)
    with pytest.raises(KitDefect, match="status"):
        made.sent_ack('{"status":"gone"}', MESSAGE, AT)
    assert made.defects
