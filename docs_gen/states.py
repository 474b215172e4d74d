"""State diagrams, from `guides/states.yaml`; what they name must exist in the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from relaykit.config import Document, parse_yaml, require_valid
from relaykit.docs_gen.model import State, StateDiagram, Transition
from relaykit.errors import UsageError
from relaykit.schemas import Catalogue

_NAME: Mapping[str, Any] = {"type": "string", "pattern": "^[a-z][a-z_]*$"}
_NAMES: Mapping[str, Any] = {"type": "array", "items": {"type": "string"}, "uniqueItems": True}
_SCHEMA: Mapping[str, Any] = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "id": _NAME,
            "title": {"type": "string"},
            "description": {"type": "string"},
            "states": {
                "type": "object",
                "additionalProperties": {
                    "type": "object",
                    "properties": {
                        "title": {"type": "string"},
                        "at": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
                        "kind": {"enum": ["start", "end"]},
                    },
                    "required": ["title", "at"],
                    "additionalProperties": False,
                },
            },
            "moves": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        **{name: {"type": "string"} for name in ("from", "to", "label", "words")},
                        "bend": {"type": "number"},
                        "frames": _NAMES,
                        "requirements": _NAMES,
                    },
                    "required": ["from", "to", "label", "words"],
                    "additionalProperties": False,
                },
            },
        },
        "required": ["id", "title", "description", "states", "moves"],
        "additionalProperties": False,
    },
}


def state_diagrams(catalogue: Catalogue) -> Mapping[str, StateDiagram]:
    """The diagrams by their IDs.

    Raises:
        UsageError: the file is wrong, or names a frame, requirement or state that does not exist.
    """
    source = resources.files("relaykit.docs_gen").joinpath("guides/states.yaml")
    document = parse_yaml(source.read_text("utf-8"), "docs_gen/guides/states.yaml")
    require_valid(document, _SCHEMA)
    return {
        entry["id"]: _diagram(entry, f"/{i}", document, catalogue) for i, entry in enumerate(document.data)
    }


def _diagram(entry: Any, pointer: str, document: Document, catalogue: Catalogue) -> StateDiagram:
    types = catalogue.types("c2s") | catalogue.types("s2c")
    for place, move in enumerate(entry["moves"]):
        for name, known in (
            *((frame, types) for frame in move.get("frames", ())),
            *((id_, catalogue.requirements) for id_ in move.get("requirements", ())),
            (move["from"], entry["states"]),
            (move["to"], entry["states"]),
        ):
            if name not in known:
                raise UsageError(f"{document.place(f'{pointer}/moves/{place}')}: {name!r} does not exist")
    return StateDiagram(
        id=entry["id"],
        title=entry["title"],
        description=entry["description"],
        states=tuple(
            State(name, state["title"], state["at"][0], state["at"][1], state.get("kind", ""))
            for name, state in entry["states"].items()
        ),
        transitions=tuple(
            Transition(
                move["from"],
                move["to"],
                move["label"],
                move["words"],
                float(move.get("bend", 0)),
                tuple(move.get("requirements", ())),
            )
            for move in entry["moves"]
        ),
    )
