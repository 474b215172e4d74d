"""What the search finds, and where: whatever has a name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from relaykit.docs_gen.downloads import DOWNLOADS
from relaykit.docs_gen.links import ERRORS, LIMITS
from relaykit.docs_gen.model import (
    Code,
    Entry,
    FrameView,
    Guide,
    Prose,
    RequirementView,
    ScenarioView,
    SharedType,
    Table,
)
from relaykit.docs_gen.suite import ListedCase
from relaykit.docs_gen.text import plain, slug
from relaykit.schemas import Catalogue

_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_WORD = re.compile(r"`((?:--)?\{?[A-Za-z][\w.-]{3,}\}?)`|\*\*([A-Za-z][\w -]{3,30})\*\*")
"""What a guide sets off: a name in code (`RELAYKIT_SECRET`, `--launch`), or a term in bold."""
_SPOKEN = re.compile(r"[a-z0-9]{3,}")
_OFTEN = 2
"""A word that stands in more sections than this is no clue to any of them."""
_ROWS = {"key-": "target file", "control-": "control interface"}
"""Rows of generated tables that are found, by how their anchors begin: others are named elsewhere."""


def entries(
    catalogue: Catalogue,
    frames: Iterable[FrameView],
    types: Iterable[SharedType],
    requirements: Iterable[RequirementView],
    scenarios: Iterable[ScenarioView],
    probes: Iterable[ListedCase],
    guides: Iterable[Guide],
) -> tuple[Entry, ...]:
    """Everything that search finds. Where the name says enough there is no text."""
    found = [Entry("Getting started", "overview", "index", "Write a client or a server, check a frame.")]
    for view in frames:
        found += _of_frame(view)
    found += _of_protocol(catalogue)
    found += [Entry(each.name, "shared type", f"reference/types#{each.name}", each.title) for each in types]
    found += [Entry(each.title, "download", "reference/downloads", each.name) for each in DOWNLOADS]
    found += [
        Entry(rule.id, f"{rule.level}, {rule.area_title}", rule.target, plain(rule.text))
        for rule in requirements
    ]
    found += [Entry(each.id, "scenario", each.target, each.title) for each in scenarios]
    found += [Entry(each.id, "probe", each.target, "") for each in probes]
    spoken = _spoken(guides := tuple(guides))
    for guide in guides:
        found += _of_guide(guide, spoken)
    named = {entry.title for entry in found}
    for guide in guides:
        for entry in _words(guide):
            if entry.title not in named:
                named.add(entry.title)
                found.append(entry)
    return tuple(found)


def _of_frame(view: FrameView) -> Iterator[Entry]:
    kind = "you send" if view.sends else "you receive"
    yield Entry(view.type, kind, view.target, f"{view.title}. {plain(view.description)}")
    for field in view.fields:
        if not field.extra:
            target = f"{view.target}#{field.anchor}"
            yield Entry(field.name, f"field of {view.type}", target, plain(field.description))


def _of_protocol(catalogue: Catalogue) -> Iterator[Entry]:
    protocol = catalogue.protocol
    for error in protocol.error_codes.values():
        yield Entry(error.name, "error code", f"{ERRORS}#{error.name}", error.description)
    for close in protocol.close_codes.values():
        target = f"{ERRORS}#close-{close.code}"
        yield Entry(str(close.code), "close code", target, f"{close.title}. {close.when}")
    for limit in (*protocol.limits.values(), *protocol.timing.values()):
        yield Entry(limit.name, "limit", f"{LIMITS}#{limit.name}", limit.title)
    for each in protocol.capabilities.values():
        yield Entry(each.name, "capability", f"reference/capabilities#{each.name}", each.description)


def _of_guide(guide: Guide, spoken: Mapping[str, str]) -> Iterator[Entry]:
    yield Entry(guide.title, "guide", guide.target, plain(guide.summary), spoken.get(guide.target, ""))
    for block in guide.blocks:
        if isinstance(block, Prose):
            for heading in _headings(block.text):
                target = f"{guide.target}#{slug(heading)}"
                yield Entry(heading, f"guide, {guide.title}", target, "", spoken.get(target, ""))
        elif isinstance(block, Code) and block.language == "console":
            about = block.text.partition("\n\n")[2].strip().partition("\n\n")[0]
            target = f"{guide.target}#{block.caption.replace(' ', '-')}"
            yield Entry(block.caption, "command", target, " ".join(about.split()))
        elif isinstance(block, Table):
            for row in block.rows:
                for prefix, kind in _ROWS.items():
                    if row.anchor is not None and row.anchor.startswith(prefix):
                        name = row.anchor.removeprefix(prefix)
                        yield Entry(name, kind, f"{guide.target}#{row.anchor}", "")


def _headings(text: str) -> list[str]:
    """The second-level headings."""
    return [line[3:].strip() for line in text.splitlines() if line.startswith("## ")]


def _words(guide: Guide) -> Iterator[Entry]:
    """The words that a guide sets off, each under the heading where it first does."""
    for place, text in _sections(guide):
        for code, term in _WORD.findall(text):
            yield Entry(code or term, guide.title, place, "")


def _sections(guide: Guide) -> Iterator[tuple[str, str]]:
    """A guide's prose, paragraph lines with the target of the heading above them."""
    place = guide.target
    for block in guide.blocks:
        if isinstance(block, Prose):
            for line in _FENCED.sub("", block.text).splitlines():
                if line.startswith("## "):
                    place = f"{guide.target}#{slug(line[3:].strip())}"
                yield place, line


def _spoken(guides: Iterable[Guide]) -> Mapping[str, str]:
    """What the sections of guides speak of: target → the words that tell it from others, each once."""
    found: dict[str, dict[str, None]] = {}
    for guide in guides:
        for place, text in ((guide.target, guide.summary), *_sections(guide)):
            found.setdefault(place, {}).update(dict.fromkeys(_SPOKEN.findall(plain(text).lower())))
    counts = Counter(word for words in found.values() for word in words)
    return {
        place: " ".join(word for word in words if counts[word] <= _OFTEN) for place, words in found.items()
    }
