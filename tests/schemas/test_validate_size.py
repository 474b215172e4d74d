"""`relaykit validate` on large input: memory stays flat, and where reading stops does not matter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.validating import HEARTBEAT, PING, counts, ndjson, report

from relaykit.schemas.validate import cutting


def _peak(path: Path) -> int:
    """Most memory that checking a file took, in KiB."""
    code = (
        "import sys; from pathlib import Path; from relaykit.cli import main\n"
        "try: main()\n"
        "except SystemExit: print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0],"
        " file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "validate", str(path), "--output", os.devnull],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return int(done.stderr.splitlines()[-1])


def _kinds(number: int) -> Iterator[tuple[str, bytes, bytes, bytes]]:
    frame = json.dumps({**PING, "payload": {"x": "y" * 400}}).encode()
    message = json.dumps({"type": "receive", "opcode": 1, "data": frame.decode()}).encode()
    yield "lines.ndjson", b"", (frame + b"\n") * number, b""
    yield "array.json", b"[", (frame + b",\n") * number + frame, b"]"
    yield (
        "session.har",
        b'{"log":{"entries":[{"_webSocketMessages":[',
        (message + b",") * number + message,
        b"]}]}}",
    )
    yield "doc.md", b"", (b"```json\n" + frame + b"\n```\n") * number, b""
    yield "one.json", b'{"x":"', b"z" * 2000 * number, b'"}'


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc on this machine")
def test_memory_stays_flat(tmp_path: Path) -> None:
    small = tmp_path / "small.json"
    small.write_bytes(b'{"type":"heartbeat"}')
    base = _peak(small)
    for name, head, body, tail in _kinds(50_000):
        path = tmp_path / name
        path.write_bytes(head + body + tail)
        assert path.stat().st_size > 20_000_000
        allowed = 20_000 if name != "one.json" else 2 * (cutting.MAX_FRAME >> 10) + 20_000
        assert _peak(path) < base + allowed, name


def test_frames_beyond_all_bounds_are_passed_over(write: Any) -> None:
    huge = b'{"type":"heartbeat","x":"' + b"y" * cutting.MAX_FRAME + b'"}'
    for path in (
        write("huge.ndjson", ndjson(HEARTBEAT, huge, HEARTBEAT)),
        write("huge.json", b'[{"type":"heartbeat"},' + huge + b',{"type":"heartbeat"}]'),
    ):
        result = report(path)
        assert counts(result) == (3, 2, 1, 0)
        assert result["frames"][0]["errors"][0]["keyword"] == "size"
        assert result["frames"][0]["index"] == 1


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64])
def test_cutting_does_not_depend_on_where_reading_stops(chunk: int) -> None:
    documents = [
        b'[{"a":"]}\\"{["},\n [1,2] , "x,]" ,null,tru]',
        b'{"a":1}\n{"b":"}\\\\"}  {"c":{}}',
        b"[1 2,,3,]",
        b'[{"a":"\\',
        b'[{"a":1}] tail {"b":1}',
        b"]}{[",
    ]
    for document in documents:
        whole = _cut(document, 1 << 20)
        assert _cut(document, chunk) == whole, document
    values = [(b'{"a":"]}\\"{["}', 1), (b"[1,2]", 2), (b'"x,]"', 2), (b"null", 2), (b"tru", 2)]
    assert _cut(documents[0], chunk) == values
    marked = _cut(b'\xef\xbb\xbf[{"a":1},\n2]', chunk)
    assert marked == [("a byte-order mark stands before the JSON text", 1), (b'{"a":1}', 1), (b"2", 2)]


def _cut(document: bytes, chunk: int) -> list[tuple[bytes | str, int]]:
    at = 0

    def read(_size: int) -> bytes:
        nonlocal at
        at += chunk
        return document[at - chunk : at]

    return [
        (value if isinstance(value, bytes) else str(value), line)
        for value, line in cutting.Cutter(read).document()
    ]
