"""Where things are: the target of every frame, requirement, error code and limit, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from relaykit.docs_gen.model import Link
from relaykit.schemas import DIRECTIONS, Catalogue, Direction

ERRORS, LIMITS = "guides/errors", "guides/limits"


@dataclass(frozen=True)
class Names:
    """Looks up what a name means. Every method gives a target, or None for a name it does not know."""

    catalogue: Catalogue

    @cached_property
    def _fields(self) -> frozenset[str]:
        """Names of fields. A word that names a field and a type (`message`) links nowhere by itself."""
        found: set[str] = set()
        for spec in self.catalogue.frames.values():
            found |= set(_property_names(spec.bundled))
        return frozenset(found)

    def frame(self, name: str, prefer: Direction | None = None) -> str | None:
        """A frame type; of two directions the preferred one, else the client's."""
        order = [prefer] if prefer else []
        for direction in (*order, *DIRECTIONS):
            if (direction, name) in self.catalogue.frames:
                return f"frames/{direction}/{name}"
        return None

    def requirement(self, id_: str) -> str | None:
        requirement = self.catalogue.requirements.get(id_)
        if requirement is None:
            return None
        return f"requirements/{self.catalogue.protocol.areas[requirement.area].file}#{id_}"

    def word(self, name: str, prefer: Direction | None = None) -> str | None:
        """Whatever stands as `code` in a text: a frame, an error code, a limit, a requirement."""
        protocol = self.catalogue.protocol
        if name in protocol.error_codes:
            return f"{ERRORS}#{name}"
        if name in protocol.limits or name in protocol.timing:
            return f"{LIMITS}#{name}"
        return self.requirement(name) or (None if name in self._fields else self.frame(name, prefer))

    def capability(self, name: str) -> Link:
        return Link(self.catalogue.protocol.capabilities[name].title, f"reference/capabilities#{name}")


def _property_names(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        properties = schema.get("properties")
        if isinstance(properties, Mapping):
            yield from properties
        for key, inner in schema.items():
            if key != "examples":
                yield from _property_names(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _property_names(inner)


def area_of(names: Names, ids: tuple[str, ...], capability: str) -> tuple[str, str]:
    """File name and title of the area a frame belongs to: that of the requirement its schema names."""
    protocol = names.catalogue.protocol
    for id_ in ids:
        area = protocol.areas.get(id_.partition("-")[0])
        if area:
            return area.file, area.title
    return capability, protocol.capabilities[capability].title
