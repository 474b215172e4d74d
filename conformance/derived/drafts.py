"""A derived frame before it is a case: what it is made of, and which constraint it is about."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from relaykit.conformance.values import Scope


@dataclass(frozen=True, slots=True)
class Draft:
    """One frame, or one text that is none, to be sent.

    Attributes:
        place: where in the frame, as `payload.ciphertext`, or `envelope`.
        name: what is done there, for the ID.
        about: that in words, for the title.
        valid: whether the frame is meant to be valid.
        template: the frame, with references for identifiers.
        text: in place of that frame's JSON: the whole text, with references; in it a lone surrogate (U+DC80
            to U+DCFF) stands for a byte (80 to FF) that is no UTF-8. None: the frame as it is.
        aims: pointers to the constraints that it is about, or reasons of strict JSON.
    """

    place: str
    name: str
    about: str
    valid: bool
    template: Mapping[str, Any]
    text: str | None = None
    aims: tuple[str, ...] = ()

    def filled(self, scope: Scope) -> tuple[bytes, Any]:
        """The bytes to send and what to show in the transcript.

        Args:
            scope: what the references mean.
        """
        if self.text is not None:
            text = str(scope.fill(self.text))
            data = text.encode("utf-8", "surrogateescape")
            return data, data.decode("utf-8", "backslashreplace")
        frame = scope.fill(self.template)
        return orjson.dumps(frame), frame


def written(template: Any) -> str:
    """A template as JSON text; references stay what they are."""
    return json.dumps(template, ensure_ascii=False, separators=(",", ":"))
