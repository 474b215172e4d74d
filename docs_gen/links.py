"""Where things are: the target of every frame, requirement, error code and limit, by name."""

from __future__ import annotations

from dataclasses import dataclass

from relaykit.docs_gen.model import Link
from relaykit.schemas import DIRECTIONS, Catalogue, Direction

ERRORS, LIMITS, COMMANDS = "guides/errors", "guides/limits", "guides/commands"


@dataclass(frozen=True, slots=True)
class Names:
    """Looks up what a name means. Every method gives a target, or None for a name it does not know."""

    catalogue: Catalogue

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
        return self.requirement(name) or self.frame(name, prefer)

    def capability(self, name: str) -> Link:
        return Link(self.catalogue.protocol.capabilities[name].title, f"reference/capabilities#{name}")


def area_of(names: Names, ids: tuple[str, ...], capability: str) -> tuple[str, str]:
    """File name and title of the area a frame belongs to: that of the requirement its schema names."""
    protocol = names.catalogue.protocol
    for id_ in ids:
        area = protocol.areas.get(id_.partition("-")[0])
        if area:
            return area.file, area.title
    return capability, protocol.capabilities[capability].title
