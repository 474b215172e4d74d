"""How fast `relaykit validate` is, beside jsonschema on the same frames, in one run.

    python benchmarks/validate.py [--frames 100000] [--spaced]

Ours: everything from the bytes of NDJSON files to the written report, duplicate keys detected. Theirs:
json.loads and jsonschema with validators prepared, references through its registry, formats on, the schema
chosen by type; on a sample. Both do the same work: told the direction, a frame is held against one schema;
not told, a frame whose type exists in both directions is valid if it fits either. CPU time per frame, the
best of interleaved repetitions for each side, since other processes only ever add to it.
"""

from __future__ import annotations

import argparse
import json
import random
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

from relaykit.schemas import DIRECTIONS, Catalogue, Direction, load_catalogue, thaw
from relaykit.schemas.validate import reports
from relaykit.schemas.validate.checking import Checker, Options, Way
from relaykit.schemas.validate.sources import Source

SLICES = 50
"""The frames are dealt into so many samples, each as mixed as the whole."""
REPETITIONS = 7
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


Validators = dict[tuple[Direction, str], jsonschema.Draft202012Validator]


def reference(catalogue: Catalogue) -> Validators:
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


def ours(catalogue: Catalogue, paths: dict[Way, Path], report: Path) -> tuple[float, int, int]:
    """CPU seconds from the files to the report, frames, and invalid ones."""
    begun = time.process_time()
    checked = invalid = 0
    with report.open("w", encoding="utf-8") as stream:
        for way, path in paths.items():
            checker = Checker(catalogue, Options(direction=way), print, lambda *_: None)
            out = reports.make("json", stream.write)
            for outcome in checker.run([Source(path.name, path)]):
                out.add(outcome)
            out.end(checker.counts)
            checked, invalid = checked + checker.counts.checked, invalid + checker.counts.invalid
    return time.process_time() - begun, checked, invalid


def theirs(validators: Validators, lines: list[tuple[Direction, bytes]], told: bool) -> tuple[float, int]:
    """CPU seconds for a sample, and how many of it are invalid."""
    invalid = 0
    begun = time.process_time()
    for direction, line in lines:
        frame = json.loads(line)
        ways: tuple[Direction, ...] = (direction,) if told else DIRECTIONS
        for way in ways:
            validator = validators.get((way, frame["type"]))
            if validator is not None and not list(validator.iter_errors(frame)):
                break
        else:
            invalid += 1
    return time.process_time() - begun, invalid


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="relaykit validate beside jsonschema")
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--spaced", action="store_true", help="JSON with blanks, which costs the slow look")
    arguments = parser.parse_args()
    catalogue = load_catalogue()
    validators = reference(catalogue)
    write = (lambda f: json.dumps(f).encode()) if arguments.spaced else orjson.dumps
    lines = [(direction, write(frame)) for direction, frame in mixed(catalogue, arguments.frames)]
    size = sum(len(line) for _, line in lines) / len(lines)
    print(f"{len(lines):,} frames of {size:.0f} bytes on average, mixed; µs of CPU time a frame")
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        whole = Path(folder, "mixed.ndjson")
        whole.write_bytes(b"".join(line + b"\n" for _, line in lines))
        parts: dict[Way, Path] = {way: Path(folder, f"{way}.ndjson") for way in DIRECTIONS}
        for way, path in parts.items():
            path.write_bytes(b"".join(line + b"\n" for direction, line in lines if direction == way))
        slices = [lines[start::SLICES] for start in range(SLICES)]
        works: list[tuple[str, dict[Way, Path]]] = [("by type", {"auto": whole}), ("told", parts)]
        for name, paths in works:
            told = name == "told"
            theirs(validators, slices[0][:200], told)  # let it resolve its references once
            mine: list[float] = []
            other: list[float] = []
            for sample in slices[:REPETITIONS]:
                seconds, checked, invalid = ours(catalogue, paths, report)
                mine.append(seconds / checked * 1e6)
                other.append(theirs(validators, sample, told)[0] / len(sample) * 1e6)
            ratios.append(min(other) / min(mine))
            print(
                f"direction {name:8} {invalid:6,} invalid   relaykit validate {min(mine):5.2f}"
                f"   jsonschema {min(other):6.1f}   ratio {ratios[-1]:4.0f} × (wanted: {TARGET})"
            )
        begun = time.perf_counter()
        command = [sys.executable, "-c", "from relaykit.cli import main; main()", "validate", str(whole)]
        subprocess.run([*command, "--output", str(report)], stderr=subprocess.DEVNULL, check=False)
        wall = time.perf_counter() - begun
    print(f"the command as a whole, start included: {wall:.2f} s")
    return 0 if max(ratios) >= TARGET or arguments.spaced else 1


if __name__ == "__main__":
    sys.exit(main())
