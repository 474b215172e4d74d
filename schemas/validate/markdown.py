"""Frames in Markdown: its fenced json blocks, with comments stripped, every frame with its own line."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from relaykit.schemas import strict_json
from relaykit.schemas.catalogue import Catalogue
from relaykit.schemas.strict_json import BOM, FrameError
from relaykit.schemas.validate.cutting import MAX_FRAME, Cutter, too_large
from relaykit.schemas.wording import kind_of, shorten


@dataclass(frozen=True, slots=True)
class Sketch:
    """A block that shows the form of something rather than a frame."""

    why: str
    type: str | None = None


_FENCE = re.compile(
    rb"^(?P<indent>[ \t]*+(?:>[ \t]?+)*+[ \t]*+)(?P<marks>`{3,}|~{3,})[ \t]*(?P<info>[^`\r\n]*)"
)
_JSON = re.compile(r"(?i)^\{?\.?(json|jsonc|json5|ndjson|jsonl)\b")
_COMMENT = re.compile(rb'"(?:[^"\\\n]++|\\.)*+"|//[^\n]*+|/\*(?:[^*]++|\*(?!/))*+\*/', re.S)
_EMPTY = re.compile(rb"[{\[]\s*+[}\]]")
_OUTSIDE_STRINGS = re.compile(rb'"(?:[^"\\\n]++|\\.)*+"', re.S)
_ELISION = re.compile(r"\.\.\.|…|<[A-Za-z][^<>\n]*>")
# `<type>`, `{type}`, `type`, `message_type`, `TYPE`, `...`
_PLACEHOLDER = re.compile(r"[<{\[(…]|\.\.\.|^[A-Z][A-Z_]*$|(?i:^(?:[a-z]+_)*type$)")


def blocks(lines: Iterable[bytes]) -> Iterator[tuple[bytes | FrameError, int]]:
    """The text of every fenced json block, and the line its content begins on."""
    fence: re.Match[bytes] | None = None
    content: list[bytes] = []
    size = start = number = 0
    wanted = False

    def finished() -> tuple[bytes | FrameError, int]:
        return (b"".join(content) if size <= MAX_FRAME else too_large(start)), start

    for number, raw in enumerate(lines, 1):
        line = raw.removeprefix(BOM) if number == 1 else raw
        match = _FENCE.match(line)
        if fence is None:
            if match:
                fence, content, size, start = match, [], 0, number + 1
                wanted = bool(_JSON.match(match["info"].decode(errors="replace").strip()))
        elif match and _closes(match, fence):
            if wanted:
                yield finished()
            fence = None
        elif wanted:
            size += len(line)
            if size <= MAX_FRAME:
                content.append(line.removeprefix(fence["indent"]))
    if fence is not None and wanted:
        yield finished()


def _closes(match: re.Match[bytes], fence: re.Match[bytes]) -> bool:
    same = match["marks"][:1] == fence["marks"][:1] and len(match["marks"]) >= len(fence["marks"])
    return same and not match["info"].strip()


def frames(lines: Iterable[bytes], catalogue: Catalogue) -> Iterator[tuple[bytes | FrameError | Sketch, int]]:
    """Every value in the json blocks of a Markdown text, and its line; what is no frame as a `Sketch`."""
    envelope = {name for spec in catalogue.frames.values() for name in spec.schema.get("properties", ())}
    types = {name for _, name in catalogue.frames}
    for block, start in blocks(lines):
        if isinstance(block, FrameError):
            yield block, start
            continue
        stripped = _COMMENT.sub(_blanked, block)
        if b"..." in block or "…".encode() in block or b"<" in block:
            elided = _ELISION.search(_OUTSIDE_STRINGS.sub(b"", stripped).decode(errors="replace"))
            if elided:
                yield Sketch(f"it leaves something out ({elided.group()})"), start + _blank_lines(stripped)
                continue
        hollow = _hollow(block, stripped)
        for piece, line in Cutter(io.BytesIO(stripped).read).document():
            where = start + line - 1
            if isinstance(piece, FrameError):
                yield piece, where
            else:
                yield _frame_or_sketch(piece, hollow, envelope, types), where


def _blanked(found: re.Match[bytes]) -> bytes:
    text = found.group()
    return text if text.startswith(b'"') else re.sub(rb"[^\n]", b" ", text)


def _blank_lines(text: bytes) -> int:
    return text[: len(text) - len(text.lstrip())].count(b"\n")


def _hollow(block: bytes, stripped: bytes) -> bool:
    """Whether an object or array of the block holds a comment and nothing else."""
    return any(block[m.start() : m.end()] != m.group() for m in _EMPTY.finditer(stripped))


def _frame_or_sketch(
    piece: bytes, hollow: bool, envelope: set[str], types: set[str]
) -> bytes | FrameError | Sketch:
    try:
        value: Any = strict_json.loads(piece)
    except FrameError:
        return piece  # judged, and found broken, like any other
    if not isinstance(value, dict):
        return Sketch(f"it is {kind_of(value)}, not an object")
    if "type" not in value and not envelope & value.keys():
        return Sketch("it has no type, nor any field of a frame")
    name = value.get("type")
    if isinstance(name, str) and name not in types and (hollow or _PLACEHOLDER.search(name)):
        return Sketch(f"its type {shorten(name)} is a placeholder", name)
    return piece
