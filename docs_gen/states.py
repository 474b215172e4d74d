"""State diagrams: the catalogue's state machines, laid out as `guides/states.yaml` says."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from relaykit.config import Document, parse_yaml, require_valid
from relaykit.docs_gen.diagrams import State, StateDiagram, Transition
from relaykit.errors import UsageError
from relaykit.schemas import Catalogue, Machine, state_machines

_PLACE: Mapping[str, Any] = {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}
_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": {
        "type": "object",
        "properties": {
            "at": {"type": "object", "additionalProperties": _PLACE},
            "bends": {"type": "object", "additionalProperties": {"type": "number"}},
        },
        "required": ["at"],
        "additionalProperties": False,
    },
}


def state_diagrams(catalogue: Catalogue) -> Mapping[str, StateDiagram]:
    """The diagrams by their IDs.

    Raises:
        UsageError: the layout is wrong: a state has no place, or it names what does not exist.
    """
    source = resources.files("relaykit.docs_gen").joinpath("guides/states.yaml")
    document = parse_yaml(source.read_text("utf-8"), "docs_gen/guides/states.yaml")
    require_valid(document, _SCHEMA)
    machines = {machine.id: machine for machine in state_machines(catalogue)}
    _same(document, "", document.data, machines)
    return {name: _diagram(machine, document) for name, machine in machines.items()}


def _same(document: Document, pointer: str, laid_out: Any, known: Any) -> None:
    for name in sorted(set(laid_out) ^ set(known)):
        what = "has no place" if name in known else "does not exist"
        raise UsageError(f"{document.place(pointer)}: {name!r} {what}")


def _diagram(machine: Machine, document: Document) -> StateDiagram:
    layout, pointer = document.data[machine.id], f"/{machine.id}"
    bends = dict(layout.get("bends", {}))
    _same(document, f"{pointer}/at", layout["at"], machine.states)
    diagram = StateDiagram(
        id=machine.id,
        title=machine.title,
        description=machine.description,
        states=tuple(
            State(name, state.title, layout["at"][name][0], layout["at"][name][1], state.kind)
            for name, state in machine.states.items()
        ),
        transitions=tuple(
            Transition(
                move.start,
                move.end,
                move.label,
                move.words,
                float(bends.pop(f"{move.start}-{move.end}", 0)),
                move.requirements,
            )
            for move in machine.moves
        ),
    )
    for name in bends:
        raise UsageError(f"{document.place(f'{pointer}/bends/{name}')}: {name!r} is not an arrow")
    return diagram
