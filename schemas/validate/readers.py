"""Takes frames out of files of each kind, one by one, whatever the size of the file."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator

from relaykit.schemas import strict_json
from relaykit.schemas.catalogue import Catalogue
from relaykit.schemas.model import Direction
from relaykit.schemas.strict_json import FrameError
from relaykit.schemas.validate import markdown
from relaykit.schemas.validate.cutting import CHUNK, MAX_FRAME, Cutter
from relaykit.schemas.validate.markdown import Sketch
from relaykit.schemas.validate.sources import Opened

Item = tuple[bytes | FrameError | Sketch, int, Direction | None]
"""A frame as it stands in the file, why there is none, or what is no frame; its line; its direction."""

_MESSAGES = re.compile(rb'"_webSocketMessages"\s{0,64}:\s{0,64}\[')
_REACH = 160
_WAYS: dict[object, Direction] = {"send": "c2s", "receive": "s2c"}


def items(opened: Opened, catalogue: Catalogue, skipped: Counter[str]) -> Iterator[Item]:
    """Every frame of an opened source that is not NDJSON; for that there is `line_blocks`.

    Args:
        opened: the source.
        catalogue: tells frames in Markdown from sketches.
        skipped: counts what was passed over, by what it was.
    """
    if opened.kind == "json":
        for value, line in Cutter(opened.stream.read1).document():
            yield value, line, None
    elif opened.kind == "har":
        yield from _har(Cutter(opened.stream.read1), skipped)
    elif opened.kind == "markdown":
        bounded = iter(lambda: opened.stream.readline(MAX_FRAME), b"")
        for content, line in markdown.frames(bounded, catalogue):
            yield content, line, None
    elif opened.kind == "binary":
        yield FrameError("utf8", f"not text: {strict_json.FOREIGN}"), 1, None


def line_blocks(stream: io.BufferedReader) -> Iterator[list[bytes | None]]:
    """The lines of a stream, as many at a time as are read, without line feeds; None for one too long."""
    rest = b""
    while chunk := stream.read1(CHUNK):
        lines: list[bytes | None] = [*(rest + chunk).split(b"\n")]
        rest = lines.pop() or b""
        if lines and len(lines[0] or b"") > MAX_FRAME:
            lines[0] = None
        if len(rest) > MAX_FRAME:
            lines.append(None)
            rest = _after_line_feed(stream)
        yield lines
    if rest:
        yield [rest]


def _after_line_feed(stream: io.BufferedReader) -> bytes:
    """Pass over the rest of a line; what was read beyond it."""
    while chunk := stream.read1(CHUNK):
        _, found, rest = chunk.partition(b"\n")
        if found:
            return rest
    return b""


def _har(cutter: Cutter, skipped: Counter[str]) -> Iterator[Item]:
    """The text messages of every connection that a browser recorded; who sent them is recorded as well."""
    while cutter.pass_by(_MESSAGES, _REACH):
        for entry, line in cutter.items():
            if isinstance(entry, FrameError):
                yield entry, line, None
                continue
            try:
                message = strict_json.decode(entry)
            except FrameError as error:
                yield FrameError(error.reason, f"a recorded message is broken: {error}"), line, None
                continue
            way = _WAYS.get(message.get("type"))
            data = message.get("data")
            if way is None or not isinstance(data, str):
                skipped["other entry"] += 1
            elif message.get("opcode", 1) != 1:
                skipped["binary message"] += 1
            else:
                yield data.encode(), line, way
