"""What a server has to do with any bytes a client may send: refuse, accept, or either."""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

import jsonschema_rs
import orjson

from relaykit.schemas import Catalogue, Finding, FrameError, thaw
from relaykit.schemas.flatten import flattened


class Duty(IntEnum):
    """What a server has to do with a message.

    VALID is up to whoever made it: one about things that exist MUST be accepted, else either is right.
    """

    REFUSE = 0
    VALID = 1
    EITHER = 2
    CLOSE = 3


class Oracle:
    """Judges messages by the catalogue alone."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self._checks = {kind: catalogue.quick_check(kind, "c2s") for kind in catalogue.types("c2s")}
        self._open = {kind: _open_check(catalogue, kind) for kind in catalogue.types("c2s")}
        levels = {name: row.level for name, row in catalogue.requirements.items()}
        rules = catalogue.protocol.faults["c2s"]
        self._must = {reason: levels[rule].startswith("MUST") for reason, rule in rules.items()}

    def duty(self, data: bytes) -> tuple[Duty, dict[str, Any] | str]:
        """What has to come of a text message with these bytes, and the frame in it, or why there is none."""
        if _is_no_json(data):
            return Duty.REFUSE, "json"
        try:
            frame = self.catalogue.decode(data)
        except FrameError as error:
            if error.reason == "utf8":
                return Duty.CLOSE, error.reason
            return (Duty.REFUSE if self._must.get(error.reason, True) else Duty.EITHER), error.reason
        return self.duty_of(frame), frame

    def duty_of(self, frame: dict[str, Any]) -> Duty:
        """The same for a parsed frame."""
        kind = frame.get("type")
        check = self._checks.get(kind) if type(kind) is str else None
        if check is None or type(kind) is not str:
            return Duty.REFUSE
        if check(frame):
            return Duty.VALID
        # Undocumented properties alone: a server SHOULD refuse them, and never forwards them.
        return Duty.EITHER if self._open[kind](frame) else Duty.REFUSE

    def findings(self, data: bytes) -> tuple[Finding, ...]:
        """What is wrong with a message, in full; slower."""
        return self.catalogue.validate(data, "c2s").findings


def _is_no_json(data: bytes) -> bool:
    """Whether even a lenient reader finds no JSON in it: to find that out costs less than where and why."""
    try:
        orjson.loads(data)
    except ValueError:
        if data[:3] == codecs.BOM_UTF8:
            return False
        try:
            json.loads(data.decode())
        except json.JSONDecodeError:
            return True
        except (ValueError, RecursionError):  # UTF-8 is told apart
            return False
    return False


def _open_check(catalogue: Catalogue, kind: str) -> Any:
    """Whether a frame is valid but for properties that are not documented."""
    schema = _opened(thaw(flattened(catalogue.frame("c2s", kind).bundled, whole=True)))
    return jsonschema_rs.Draft202012Validator(
        schema, validate_formats=True, offline=True, ignore_unknown_formats=False
    ).is_valid


def _opened(schema: Any) -> Any:
    if isinstance(schema, Mapping):
        return {
            key: _opened(value)
            for key, value in schema.items()
            if not (key == "additionalProperties" and value is False)
        }
    return [_opened(item) for item in schema] if isinstance(schema, list) else schema
