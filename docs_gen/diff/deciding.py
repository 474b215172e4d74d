"""Whether a change of a schema breaks: c2s must not narrow, s2c must not widen.

An old client must go on working with a new server. What it sends (anything that the old c2s schema permits)
the new one must permit; what a new server sends (exactly what the new s2c schema documents) the old one must
permit, undocumented properties aside, since clients tolerate those.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, Literal

import jsonschema_rs

from relaykit.schemas import Direction, thaw
from relaykit.schemas.bundle import opened
from relaykit.schemas.flatten import flattened

if TYPE_CHECKING:
    from relaykit.docs_gen.diff.languages import Compared

Breaks = Literal["yes", "no", "unknown"]


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether it breaks, and if one was found, a value that shows it."""

    breaks: Breaks
    witness: Any = None


def flat(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A bundled schema with references and `allOf` folded in, as far as that changes nothing.

    Whole: what is left out for one validator in one edition alone would look like a change.
    """
    return flattened(thaw(schema), whole=True)


def decide(direction: Direction, old: Any, new: Any, samples: Iterable[Any] = ()) -> Decision:
    """Judge the change of a flattened schema.

    Args:
        direction: who sends what it describes.
        old, new: the schema in the two editions.
        samples: values to try where the schemas alone do not decide: those of the side that sends.
    """
    sends, takes = (old, new) if direction == "c2s" else (_closed(new), _opened(old))
    verdict = _satisfiable(sends, takes)
    if verdict == "unknown":
        verdict = _satisfiable(sends, _aligned(sends, takes))
    if verdict == "no":
        return Decision("no")
    tried = (*samples, *_made_up(sends, takes))
    shown = [sample for sample in tried if _fits(sends, sample) and not _fits(takes, sample)]
    if shown:
        return Decision("yes", min(shown, key=lambda sample: len(str(sample))))
    return Decision("yes" if verdict == "unknown" and _goes_beyond(sends, takes) else verdict)


_LEAST = ("minLength", "minItems", "minimum")
_MOST = ("maxLength", "maxItems", "maximum")


def _goes_beyond(sends: Any, takes: Any) -> bool:
    """Whether all that differs is a bound, or some, beyond which the sender goes.

    That the library cannot say so is for other words beside it (`uniqueItems` with a `format`), which do not
    change. Sizes are no more than probable to be reached, but nobody bounds what cannot occur.
    """
    if not isinstance(sends, Mapping) or not isinstance(takes, Mapping):
        return False
    bounds = (*_LEAST, *_MOST)
    rest = [{key: value for key, value in side.items() if key not in bounds} for side in (sends, takes)]
    if rest[0] != rest[1]:
        return False
    less = (sends.get(word, 0 if word != "minimum" else -inf) < takes.get(word, -inf) for word in _LEAST)
    more = (sends.get(word, inf) > takes.get(word, inf) for word in _MOST)
    return any((*less, *more))


# jsonschema-rs leaves regular expressions alone. What follows reads those that stand in the same place.


def _aligned(sends: Any, takes: Any) -> Any:
    """What is taken, narrowed to the sender's patterns wherever those match nothing else.

    Then nothing that is sent is refused for a pattern, and the other keywords decide. Only where a schema
    demands something, never below `not`, `if` or `oneOf`: there narrower would mean wider.
    """
    if not isinstance(sends, Mapping) or not isinstance(takes, Mapping):
        return takes
    narrowed = dict(takes)
    if _differ(sends, takes, "pattern"):
        compared = _beyond(sends, takes)
        if compared.whole and not compared.texts:
            narrowed["pattern"] = sends["pattern"]
    if isinstance(takes.get("properties"), Mapping):
        theirs = sends.get("properties", {})
        narrowed["properties"] = {
            name: _aligned(theirs.get(name), sub) for name, sub in takes["properties"].items()
        }
    if "items" in takes:
        narrowed["items"] = _aligned(sends.get("items"), takes["items"])
    for keyword in ("anyOf", "allOf"):
        here, there = sends.get(keyword, ()), takes.get(keyword, ())
        if there and len(here) == len(there):
            narrowed[keyword] = [_aligned(one, other) for one, other in zip(here, there, strict=True)]
    return narrowed


def _made_up(sends: Any, takes: Any) -> Iterator[Any]:
    """Values that a pattern of the sender matches and the other's does not."""
    if not isinstance(sends, Mapping) or not isinstance(takes, Mapping):
        return
    if _differ(sends, takes, "pattern"):
        yield from _beyond(sends, takes).texts
    for keyword in ("anyOf", "oneOf", "allOf"):
        for one, other in zip(sends.get(keyword, ()), takes.get(keyword, ()), strict=False):
            yield from _made_up(one, other)
    for value in _made_up(sends.get("items"), takes.get("items")):
        yield [value]


def _beyond(sends: Mapping[str, Any], takes: Mapping[str, Any]) -> Compared:
    from relaykit.docs_gen.diff.languages import beyond  # only here: it takes long to load

    return beyond(sends["pattern"], takes["pattern"], sends.get("minLength", 0), sends.get("maxLength"))


def _differ(one: Mapping[str, Any], other: Mapping[str, Any], keyword: str) -> bool:
    return keyword in one and keyword in other and bool(one[keyword] != other[keyword])


def same(one: Any, other: Any) -> bool:
    """Whether two schemas provably permit the same, however they say it."""
    return _satisfiable(one, other) == "no" and _satisfiable(other, one) == "no"


def _satisfiable(sends: Any, takes: Any) -> Breaks:
    """Whether there is a value that one side sends and the other does not take."""
    try:
        refused = _canonical(sends).subtract(_canonical(takes))
        return _word(str(refused.satisfiability()))
    except (ValueError, jsonschema_rs.ReferencingError):  # a form that the library does not model
        return "unknown"


def _word(said: str) -> Breaks:
    return "yes" if said == "yes" else "no" if said == "no" else "unknown"


def _canonical(schema: Any) -> jsonschema_rs.CanonicalSchema:
    return jsonschema_rs.canonicalize(schema, validate_formats=True, offline=True)


def _fits(schema: Any, value: Any) -> bool:
    try:
        return jsonschema_rs.is_valid(schema, thaw(value), validate_formats=True, offline=True)
    except ValueError:
        return False


def _opened(schema: Any) -> Any:
    return opened(schema) if isinstance(schema, Mapping) else schema


def _closed(schema: Any) -> Any:
    """Exactly what is documented. Bundles hold s2c frames opened: what a server sends must be closed again.

    Members that a schema leaves open on purpose are closed here as well; clients tolerate any, so that
    nothing is lost by it.
    """

    if not isinstance(schema, Mapping):
        return schema
    shut = dict(schema)
    if isinstance(shut.get("items"), Mapping):
        shut["items"] = _closed(shut["items"])
    if isinstance(shut.get("properties"), Mapping):
        shut["properties"] = {name: _closed(sub) for name, sub in shut["properties"].items()}
        if shut.get("type") == "object" and "allOf" not in shut:
            shut["additionalProperties"] = False
    return shut
