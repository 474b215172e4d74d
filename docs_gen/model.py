"""The view model: what the pages say, resolved and linked, before anything is drawn.

Texts are plain, with two bits of markup that every output can draw: `code` and [words](target). A target
names a page of the site without its suffix, and perhaps an anchor: `frames/c2s/send#field-payload`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from relaykit.docs_gen.diagrams import Sequence, StateDiagram
from relaykit.schemas import Direction


@dataclass(frozen=True, slots=True)
class Link:
    """Words that lead to a target."""

    words: str
    target: str


@dataclass(frozen=True, slots=True)
class Field:
    """A row of a field table.

    Attributes:
        path: dotted, from the frame's root: `payload.ciphertext`; an array's items as `payload.devices[]`.
        type: JSON types in words: `string`, `string or null`.
        kind: the shared type it is of, with a link to its description.
        stamped: what the server sets there, in words, if it does.
        constraints: limits in words.
        rules: what holds between the fields inside (objects only).
        extra: an optional envelope field, which most frames leave out.
        deprecated: that it is deprecated, with its note, if it is.
    """

    path: str
    depth: int
    type: str
    kind: Link | None
    required: bool
    description: str
    stamped: str | None
    constraints: tuple[str, ...]
    rules: tuple[str, ...]
    extra: bool
    deprecated: str | None = None

    @property
    def prefix(self) -> str:
        return self.path[: len(self.path) - len(self.name)]

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]

    @property
    def anchor(self) -> str:
        return f"field-{self.path.replace('[]', '')}"


@dataclass(frozen=True, slots=True)
class SharedType:
    """A form that values have, wherever they stand. `closed`: `values` are all there are."""

    name: str
    title: str
    type: str
    description: str
    pattern: str | None
    values: str
    closed: bool
    used: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of JSON text and what it is: `key`, `str`, `num`, `word`, or empty for marks and blanks."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line of JSON; `marked` when a fault stands on it."""

    tokens: tuple[Token, ...]
    marked: bool = False

    @property
    def text(self) -> str:
        return "".join(token.text for token in self.tokens)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with an invalid example."""

    pointer: str
    message: str
    requirement: str | None


@dataclass(frozen=True, slots=True)
class Example:
    """A frame as JSON, valid or with the faults it has."""

    caption: str
    lines: tuple[Line, ...]
    compact: str
    faults: tuple[Fault, ...] = ()

    @property
    def text(self) -> str:
        return "\n".join(line.text for line in self.lines)


@dataclass(frozen=True, slots=True)
class Answer:
    """What may answer a frame; `code` for an error."""

    frame: Link
    code: Link | None
    when: str


@dataclass(frozen=True, slots=True)
class CaseView:
    """A case of the suite that proves requirements; `verdict` is its last result, if a report is given."""

    id: str
    title: str
    link: str | None
    kind: str
    verdict: str | None


@dataclass(frozen=True, slots=True)
class DerivedCase:
    """A derived case: the last part of its ID, what it tries, and its last result."""

    name: str
    about: str
    verdict: str | None


@dataclass(frozen=True, slots=True)
class DerivedFrame:
    """The derived cases of one type, by the place in the frame that they are about.

    Attributes:
        server_only: clients must not send the type at all.
    """

    name: str
    target: str | None
    server_only: bool
    count: int
    places: tuple[tuple[str, tuple[DerivedCase, ...]], ...]


@dataclass(frozen=True, slots=True)
class DefectView:
    """A server with one seeded defect, and what the suite made of it.

    Attributes:
        setup: the configuration in which it shows.
        outcome: `killed`, or how it got away.
        breaks: each requirement that it breaks, the outcome for it, and the cases that caught it by it.
    """

    id: str
    title: str
    area: str
    setup: str
    outcome: str
    breaks: tuple[tuple[Link, str, tuple[Link, ...]], ...]
    reason: str | None

    @property
    def target(self) -> str:
        return f"requirements/defects#{self.id}"

    def caught(self, requirement: str) -> bool:
        """Whether a step that names the requirement failed."""
        return any(link.words == requirement and outcome == "killed" for link, outcome, _ in self.breaks)


@dataclass(frozen=True, slots=True)
class Proof:
    """Whether seeded defects that break a requirement are caught: `proven`, `open` or `untested`."""

    verdict: str
    defects: tuple[DefectView, ...]
    reason: str | None

    def caught(self, requirement: str) -> int:
        """How many of the defects were caught by a step that names the requirement."""
        return sum(defect.caught(requirement) for defect in self.defects)


@dataclass(frozen=True, slots=True)
class RequirementView:
    """A requirement with everything that points to it or that it points to."""

    id: str
    level: str
    text: str
    source: str
    provenance: str
    area: str
    area_title: str
    capability: str | None
    frames: tuple[Link, ...]
    error_codes: tuple[Link, ...]
    presupposes: tuple[Link, ...]
    untested: str | None
    cases: tuple[CaseView, ...]
    verdict: str | None
    proof: Proof | None

    @property
    def target(self) -> str:
        return f"requirements/{self.area}#{self.id}"


@dataclass(frozen=True, slots=True)
class FrameView:
    """A page about one frame."""

    type: str
    direction: Direction
    title: str
    description: str
    area: str
    area_title: str
    capability: Link
    since: str
    deprecated: str | None
    replacement: Link | None
    way: tuple[str, ...]
    way_note: str
    counterpart: Link | None
    answers: tuple[Answer, ...]
    answered_by: tuple[Link, ...]
    fields: tuple[Field, ...]
    rules: tuple[str, ...]
    examples: tuple[Example, ...]
    invalid: tuple[Example, ...]
    requirements: tuple[RequirementView, ...]
    scenarios: tuple[Link, ...]
    diagram: Sequence | None
    source: str

    @property
    def target(self) -> str:
        return f"frames/{self.direction}/{self.type}"

    @property
    def sends(self) -> bool:
        return self.direction == "c2s"


@dataclass(frozen=True, slots=True)
class ScenarioView:
    """A page about one scenario."""

    id: str
    title: str
    area: str
    area_title: str
    catches: str
    capabilities: tuple[Link, ...]
    requirements: tuple[Link, ...]
    frames: tuple[Link, ...]
    diagram: Sequence
    verdict: str | None
    source: str
    slow: bool

    @property
    def target(self) -> str:
        return f"scenarios/{self.id}"


# --- prose with generated parts -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Prose:
    """Markdown of a guide."""

    text: str


@dataclass(frozen=True, slots=True)
class TableRow:
    anchor: str | None
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A generated table; its first column heads each row."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[TableRow, ...]


@dataclass(frozen=True, slots=True)
class Code:
    """A generated text, shown as it is; JSON comes as `lines`, which have colours."""

    caption: str
    language: str
    text: str
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True)
class Rules:
    """Requirements in full."""

    caption: str
    requirements: tuple[RequirementView, ...]


Block = Prose | Table | Code | Rules | Sequence | StateDiagram


@dataclass(frozen=True, slots=True)
class Guide:
    slug: str
    title: str
    summary: str
    blocks: tuple[Block, ...]

    @property
    def target(self) -> str:
        return f"guides/{self.slug}"


@dataclass(frozen=True, slots=True)
class Download:
    """A file for programs. `command` writes it by itself, if one does."""

    name: str
    title: str
    text: str
    command: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that search finds. `words`: what else is spoken of there, to be found and not shown."""

    title: str
    kind: str
    target: str
    text: str
    words: str = ""


@dataclass(frozen=True, slots=True)
class Term:
    """A name in the index, and everywhere it is described."""

    name: str
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class NavGroup:
    """A group of the navigation; `tone` per link tells the direction of frames."""

    title: str
    links: tuple[tuple[Link, str], ...]


@dataclass(frozen=True, slots=True)
class Site:
    """Everything that is drawn. `run`: in words the run that the verdicts are from, if there are any."""

    name: str
    version: str
    digest: str
    frames: tuple[FrameView, ...]
    requirements: tuple[RequirementView, ...]
    scenarios: tuple[ScenarioView, ...]
    guides: tuple[Guide, ...]
    areas: Mapping[str, str]
    defects: tuple[DefectView, ...]
    entries: tuple[Entry, ...]
    report: Mapping[str, str | None] | None
    run: str | None
