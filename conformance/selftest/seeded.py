"""The program that starts servers with defects, as a black box: what it lists, and how it is started.

    PROGRAM --list --format json        → {"setups": {name: {"config", "target", "files", …}}, "defects": […]}
    PROGRAM NAME --config FILE --port P --control-port C      (`none` in place of NAME: no defect)
    PROGRAM --fork                      starts many, as requests say, if the list has {"forks": true}

In a setup `{dir}`, `{port}` and `{control_port}` stand for a folder of the server's own and for free ports.
"""

from __future__ import annotations

import asyncio
import fnmatch
import json
import random
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from relaykit.conformance import api
from relaykit.conformance.launch import free_ports
from relaykit.conformance.target import Target
from relaykit.errors import KitDefect, UsageError

PROGRAM = (sys.executable, "-m", "relaykit.reference_server.defects")
"""The reference server's own defects."""
SOUND = "none"
_FIELDS = ("id", "area", "requirement", "setup")


@dataclass(frozen=True, slots=True)
class Seeded:
    """One defect as the program lists it.

    Attributes:
        breaks: the requirements that it breaks.
        setup: the configuration in which it shows.
    """

    id: str
    title: str
    area: str
    breaks: tuple[str, ...]
    setup: str


@dataclass(frozen=True, slots=True)
class Setup:
    """A configuration: of the server, the target file that describes it, and files beside them.

    `sound`: whether a server without a defect is as the target file says.
    """

    config: Mapping[str, Any]
    target: Mapping[str, Any]
    files: Mapping[str, str]
    sound: bool


@dataclass(frozen=True, slots=True)
class Listing:
    """What a program has to offer; `forks`: whether it can start many servers quickly."""

    program: tuple[str, ...]
    defects: tuple[Seeded, ...]
    setups: Mapping[str, Setup]
    forks: bool = False


async def list_defects(program: Sequence[str], requirements: Iterable[str]) -> Listing:
    """Ask a program for its defects.

    Args:
        requirements: all that exist.

    Raises:
        UsageError: it cannot be run.
        KitDefect: what it lists is malformed, or names a requirement that does not exist.
    """
    words = (*program, "--list", "--format", "json")
    try:
        process = await asyncio.create_subprocess_exec(
            *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
    except OSError as error:
        raise UsageError(f"{program[0]} cannot be run: {error.strerror}") from error
    out, err = await process.communicate()
    if process.returncode != 0:
        last = err.decode(errors="replace").strip().splitlines()[-1:] or ["it wrote nothing"]
        raise UsageError(f"{shlex.join(words)} ended with exit status {process.returncode}: {last[0]}")
    try:
        data = json.loads(out)
        defects = tuple(
            Seeded(one["id"], one["title"], one["area"], tuple(one["breaks"]), one["setup"])
            for one in data["defects"]
        )
        setups = {
            name: Setup(one["config"], one["target"], one.get("files", {}), one.get("sound", True))
            for name, one in data["setups"].items()
        }
    except (ValueError, LookupError, TypeError) as error:
        raise KitDefect(f"{shlex.join(words)}: no list of defects: {error!r}") from error
    known = set(requirements)
    for each in defects:
        unknown = sorted(set(each.breaks) - known)
        if unknown or not each.breaks or each.setup not in setups:
            raise KitDefect(
                f"the defect {each.id} breaks {', '.join(unknown) or 'nothing'} in the setup {each.setup!r}"
            )
    return Listing(tuple(program), defects, setups, data.get("forks") is True)


def choose(listing: Listing, patterns: Sequence[str]) -> tuple[Seeded, ...]:
    """The defects that patterns choose: globs of IDs, or `area:`, `requirement:`, `setup:` and a glob.

    Raises:
        UsageError: a pattern is malformed, or fits nothing.
    """
    if not patterns:
        return listing.defects
    for pattern in patterns:
        kind, colon, _ = pattern.partition(":")
        if colon and kind not in _FIELDS:
            raise UsageError(f"{pattern}: the part before ':' is one of {', '.join(_FIELDS)}")
        if not any(_fits(each, pattern) for each in listing.defects):
            raise UsageError(
                f"--run {pattern}: no defect fits", hint="`relaykit selftest --list` shows the defects"
            )
    return tuple(each for each in listing.defects if any(_fits(each, pattern) for pattern in patterns))


def some_of(defects: Sequence[Seeded], count: int, seed: str) -> tuple[Seeded, ...]:
    """So many defects, chosen by a seed: each of another area for as long as there are any."""
    chance = random.Random(seed)
    waiting: dict[str, list[Seeded]] = {}
    for each in chance.sample(defects, len(defects)):
        waiting.setdefault(each.area, []).append(each)
    turns = [group[turn] for turn in range(len(defects)) for group in waiting.values() if turn < len(group)]
    kept = {each.id for each in turns[:count]}
    return tuple(each for each in defects if each.id in kept)


def _fits(each: Seeded, pattern: str) -> bool:
    kind, colon, glob = pattern.partition(":")
    if not colon:
        kind, glob = "id", pattern
    values = {"area": (each.area,), "requirement": each.breaks, "setup": (each.setup,)}.get(kind, (each.id,))
    return any(fnmatch.fnmatchcase(value, glob) for value in values)


@dataclass(frozen=True, slots=True)
class Server:
    """One server to be started: how, and the target that it then is."""

    command: str
    target: Target


def prepare(
    listing: Listing,
    name: str,
    setup: str,
    folder: Path,
    secrets: Mapping[str, str],
    timing: Mapping[str, float],
    taken: set[int],
) -> Server:
    """Choose ports, and write the server's configuration file.

    Args:
        name: of a defect, or `SOUND`.
        folder: the server's own; it exists.
        secrets: variables of the environment that the setup names, and their values.
        timing: how long the suite waits; see the target file.
        taken: ports that this run has chosen before, as whoever got one need not listen yet; these are added.

    Raises:
        KitDefect: the setup's target is none.
    """
    port, control_port = free_ports(2, taken)
    taken |= {port, control_port}
    words = {"dir": str(folder), "port": str(port), "control_port": str(control_port)}
    chosen = listing.setups[setup]
    for beside, text in chosen.files.items():
        (folder / beside).write_text(text, encoding="utf-8")
    file = folder / "server.yaml"
    file.write_text(yaml.safe_dump(_filled(chosen.config, words, {})), encoding="utf-8")
    options = ("--config", str(file), "--port", words["port"], "--control-port", words["control_port"])
    data = _filled(chosen.target, words, secrets)
    data["timing"] = {**data.get("timing", {}), **timing}
    try:
        target = api.target(data, base=folder)
    except UsageError as error:
        raise KitDefect(f"the target of the setup {setup!r}: {error}") from error
    return Server(shlex.join((*listing.program, name, *options)), target)


def _filled(value: Any, words: Mapping[str, str], secrets: Mapping[str, str]) -> Any:
    """A template with its words, and with secrets in place of the variables that hold them."""
    if isinstance(value, str):
        for name, text in words.items():
            value = value.replace(f"{{{name}}}", text)
        return value
    if isinstance(value, Mapping):
        if set(value) == {"env"} and value["env"] in secrets:
            return {"value": secrets[value["env"]]}
        return {key: _filled(item, words, secrets) for key, item in value.items()}
    return [_filled(item, words, secrets) for item in value] if isinstance(value, list) else value
