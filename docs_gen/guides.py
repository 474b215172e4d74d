"""Guides: prose of our own with generated parts inside. A part is a line `::name argument …`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import resources

from relaykit.config import suggest
from relaykit.docs_gen.material import Material
from relaykit.docs_gen.model import Block, Guide, Prose
from relaykit.docs_gen.parts import PARTS
from relaykit.errors import UsageError

_PART = re.compile(r"::([a-z-]+)((?: +\S+)*) *")
ORDER = (
    "connecting",
    "frames",
    "messages",
    "offline",
    "groups",
    "presence",
    "typing-and-media",
    "calls",
    "device-sync",
    "device-approval",
    "keep-alive",
    "limits",
    "errors",
    "deprecated",
    "client",
    "server",
    "suite",
    "fuzzing",
    "target-file",
    "control",
    "ci",
    "commands",
)
"""The order in which a newcomer reads them; each is a file `guides/<name>.md`."""


def shown_scenarios() -> tuple[str, ...]:
    """The scenarios whose diagrams guides show, in reading order: they tell the usual course of things."""
    lines = (line for name in ORDER for line in _text(name).splitlines())
    parts = (match for line in lines if (match := _PART.fullmatch(line)) and match[1] == "scenario")
    return tuple(dict.fromkeys(id_ for part in parts for id_ in part[2].split()))


def _text(name: str) -> str:
    return resources.files("relaykit.docs_gen").joinpath("guides", f"{name}.md").read_text("utf-8")


def read_guides(material: Material) -> tuple[Guide, ...]:
    """Every guide, its parts generated.

    Raises:
        UsageError: a guide lacks its head, or asks for a part that does not exist; names file and line.
    """
    return tuple(read_guide(name, _text(name), material) for name in ORDER)


def read_guide(slug: str, text: str, material: Material) -> Guide:
    """One guide. Its first line is its title (`# …`), its second paragraph its summary.

    Raises:
        UsageError: see `read_guides`.
    """
    head, _, rest = text.partition("\n")
    summary, _, body = rest.strip("\n").partition("\n\n")
    if not head.startswith("# ") or not summary:
        raise UsageError(f"docs_gen/guides/{slug}.md:1: a guide begins with '# Title' and a summary")
    above = text.count("\n", 0, text.index(body)) if body else 0
    return Guide(
        slug, head[2:].strip(), summary.replace("\n", " "), tuple(_blocks(slug, body, above, material))
    )


def _blocks(slug: str, body: str, above: int, material: Material) -> Iterator[Block]:
    prose: list[str] = []
    for number, line in enumerate(body.split("\n"), above + 1):
        match = _PART.fullmatch(line)
        if match is None:
            prose.append(line)
            continue
        if any(text.strip() for text in prose):
            yield Prose("\n".join(prose).strip() + "\n")
        prose = []
        place = f"docs_gen/guides/{slug}.md:{number}"
        part = PARTS.get(match[1])
        if part is None:
            raise UsageError(f"{place}: there is no part {match[1]!r}{suggest(match[1], PARTS)}")
        try:
            yield from part(material, tuple(match[2].split()))
        except UsageError as error:
            raise UsageError(f"{place}: {error}") from error
    if any(text.strip() for text in prose):
        yield Prose("\n".join(prose).strip() + "\n")
