"""How fast `relaykit validate` is, beside jsonschema on the same frames, in one run.

    python benchmarks/validate.py [--frames 100000] [--spaced]

Ours: everything from the bytes of an NDJSON file to the written report, duplicate keys detected, direction by
type. Theirs: json.loads, then jsonschema with validators prepared, references through its registry, formats
on, the schema chosen by direction and type; on a sample, scaled up. CPU time, medians of interleaved
repetitions.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import orjson
from referencing import Registry, Resource

from relaykit.schemas import Catalogue, Direction, load_catalogue, thaw
from relaykit.schemas.validate import reports
from relaykit.schemas.validate.checking import Checker, Options
from relaykit.schemas.validate.sources import Source

SAMPLE = 2_000
REPETITIONS = 5
TARGET = 60
EXTRAS = ("seq", "trace_id", "senderId", "msg_id", "ts", "version", "payload_size", "retry", "meta")


def mixed(
    catalogue: Catalogue, number: int, invalid: float = 0.05
) -> Iterator[tuple[Direction, dict[str, Any]]]:
    """Frames of all types in both directions, of which one in twenty is broken in one of several ways."""
    dice = random.Random(20261123)
    pool = [(key, [thaw(example) for example in spec.examples]) for key, spec in catalogue.frames.items()]
    for _ in range(number):
        (direction, _type), examples = dice.choice(pool)
        frame = json.loads(json.dumps(dice.choice(examples)))
        if dice.random() < invalid:
            sound = json.dumps(frame)
            while catalogue.is_valid(frame, direction):
                frame = json.loads(sound)
                _break(frame, dice)
        yield direction, frame


def _break(frame: dict[str, Any], dice: random.Random) -> None:
    payload = frame.get("payload") or {}
    match dice.randrange(4):
        case 0:
            frame["type"] += dice.choice("abcdefghijklmnopqrstuvwxyz")
        case 1:
            frame[dice.choice(EXTRAS)] = 1
        case 2 if payload:
            payload[dice.choice(list(payload))] = dice.choice([5, "", None, [], "!"])
        case 3 if payload:
            del payload[dice.choice(list(payload))]


def reference(catalogue: Catalogue) -> dict[tuple[Direction, str], jsonschema.Draft202012Validator]:
    """jsonschema's validators on the schemas as written, their references resolved through its registry."""
    root = Path(load_catalogue().root)
    files = [root / "types.schema.json", *(Path(spec.source) for spec in catalogue.frames.values())]
    registry: Registry[Any] = Registry().with_resources(
        [(path.as_uri(), Resource.from_contents(json.loads(path.read_text()))) for path in files]
    )
    return {
        key: jsonschema.Draft202012Validator(
            {"$ref": Path(spec.source).as_uri()},
            registry=registry,
            format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER,
        )
        for key, spec in catalogue.frames.items()
    }


def ours(catalogue: Catalogue, path: Path, report: Path) -> tuple[float, Checker]:
    """CPU seconds from the file to the report."""
    checker = Checker(catalogue, Options(), print, lambda *_: None)
    begun = time.process_time()
    with report.open("w", encoding="utf-8") as stream:
        out = reports.make("json", stream.write)
        for outcome in checker.run([Source(path.name, path)]):
            out.add(outcome)
        out.end(checker.counts)
    return time.process_time() - begun, checker


def theirs(
    validators: dict[tuple[Direction, str], jsonschema.Draft202012Validator],
    lines: list[tuple[Direction, bytes]],
) -> tuple[float, int]:
    """CPU seconds for a sample, and how many of it are invalid."""
    invalid = 0
    begun = time.process_time()
    for direction, line in lines:
        frame = json.loads(line)
        validator = validators.get((direction, frame.get("type")))
        invalid += validator is None or bool(list(validator.iter_errors(frame)))
    return time.process_time() - begun, invalid


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="relaykit validate beside jsonschema")
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--spaced", action="store_true", help="JSON with blanks, which costs the slow look")
    arguments = parser.parse_args()
    catalogue = load_catalogue()
    validators = reference(catalogue)
    with tempfile.TemporaryDirectory() as folder:
        path, report = Path(folder, "mixed.ndjson"), Path(folder, "report.json")
        write = (lambda f: json.dumps(f).encode()) if arguments.spaced else orjson.dumps
        lines = [(direction, write(frame)) for direction, frame in mixed(catalogue, arguments.frames)]
        path.write_bytes(b"\n".join(line for _, line in lines) + b"\n")
        sample = lines[:: max(1, len(lines) // SAMPLE)]
        theirs(validators, sample[:200])  # let it resolve its references once
        pairs = []
        for _ in range(REPETITIONS):
            mine, checker = ours(catalogue, path, report)
            other, _ = theirs(validators, sample)
            pairs.append((mine / len(lines), other / len(sample)))
        begun = time.perf_counter()
        command = [sys.executable, "-m", "relaykit.cli", "validate", str(path), "--output", str(report)]
        subprocess.run(
            [*command[:1], "-c", "from relaykit.cli import main; main()", *command[3:]],
            stderr=subprocess.DEVNULL,
            check=False,
        )
        wall = time.perf_counter() - begun
    counts = checker.counts
    mine, other = (statistics.median(column) * 1e6 for column in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    size = sum(len(line) for _, line in lines) / len(lines)
    print(f"{counts.checked:,} frames of {size:.0f} bytes on average, {counts.invalid:,} invalid")
    print(f"relaykit validate  {mine:8.1f} µs a frame, {1e6 / mine:10,.0f} frames/s")
    print(f"jsonschema         {other:8.1f} µs a frame, {1e6 / other:10,.0f} frames/s")
    print(f"ratio              {ratio:8.0f} ×  (wanted: {TARGET} or more)")
    print(f"the command as a whole, start included: {wall:.2f} s")
    return 0 if ratio >= TARGET or arguments.spaced else 1


if __name__ == "__main__":
    sys.exit(main())
