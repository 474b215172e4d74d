"""Editions: what is compared, read from a folder, a bundle, or a revision of a git repository."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import jsonschema_rs

from relaykit.errors import UsageError
from relaykit.pointers import escape, pointer_of
from relaykit.schemas import (
    DIRECTIONS,
    Catalogue,
    Direction,
    FrameSpec,
    Protocol,
    Requirement,
    load_catalogue,
)
from relaykit.schemas.bundle import DIALECT, bundle
from relaykit.schemas.loading import spec_of

_GIT = "git:"
_FOLDER = "schemas"
_TIMEOUT_S = 60
FrameKey = tuple[Direction, str]


@dataclass(frozen=True, slots=True)
class Edition:
    """One state of the protocol.

    Attributes:
        name: what the user called it.
        requirements, protocol: None where the source has none (a bundle).
        samples: valid frames by direction and type, to try whether the other edition takes them.
        catalogue: what it was read from, unless that was a bundle.
    """

    name: str
    version: str
    frames: Mapping[FrameKey, FrameSpec]
    requirements: Mapping[str, Requirement] | None
    protocol: Protocol | None
    samples: Mapping[FrameKey, tuple[Any, ...]]
    catalogue: Catalogue | None = None


def read_edition(name: str) -> Edition:
    """Read an edition.

    Args:
        name: a folder laid out like schemas/, a bundle written by `relaykit export bundle`, or
            `git:REVISION` (its folder schemas/) or `git:REVISION:FOLDER`.

    Raises:
        UsageError: there is no such thing, or it is broken.
    """
    if name.startswith(_GIT):
        return _from_git(name)
    path = Path(name)
    if path.is_dir():
        return _from_catalogue(name, load_catalogue(path))
    if path.is_file():
        return _from_bundle(name, path)
    raise UsageError(
        f"{name}: there is no such folder or file",
        hint="name a folder like schemas/, a bundle, or a revision as git:v1.0 or git:HEAD~3",
    )


def kit_edition() -> Edition:
    """The catalogue that this kit brings."""
    return _from_catalogue("the kit's own schemas", load_catalogue())


def _from_catalogue(name: str, catalogue: Catalogue) -> Edition:
    samples: dict[FrameKey, list[Any]] = {key: list(spec.examples) for key, spec in catalogue.frames.items()}
    for vector in catalogue.vectors():
        if vector.valid and (vector.direction, vector.type) in samples:
            samples[vector.direction, vector.type].append(vector.data)
    return Edition(
        name=name,
        version=catalogue.protocol.version,
        frames=catalogue.frames,
        requirements=catalogue.requirements,
        protocol=catalogue.protocol,
        samples={key: tuple(found) for key, found in samples.items()},
        catalogue=catalogue,
    )


def alike(edition: Edition, other: Edition) -> Edition:
    """The edition in the form of the other one: beside a bundle, a catalogue is bundled as that was.

    Bundles usually permit in server frames what the catalogue's schemas do not name, as clients must.
    """
    if edition.catalogue is None or other.catalogue is not None:
        return edition
    servers = (spec.schema for (direction, _), spec in other.frames.items() if direction == "s2c")
    closed = any(schema.get("additionalProperties") is False for schema in servers)
    bundled = _of_bundle(edition.name, bundle(edition.catalogue, closed=closed))
    return replace(bundled, samples=edition.samples)


# --- git ----------------------------------------------------------------------------------------------------


def _from_git(name: str) -> Edition:
    revision, _, folder = name.removeprefix(_GIT).partition(":")
    place = folder.strip("/") or _FOLDER
    if not revision or revision.startswith("-"):
        raise UsageError(
            f"{name}: names no revision", hint="write git:v1.0, git:HEAD~3 or git:v1.0:path/of/schemas"
        )
    top = Path(_git(name, Path(), "rev-parse", "--show-toplevel").decode().strip())
    packed = _git(name, top, "archive", "--format=tar", revision, "--", place)
    with tempfile.TemporaryDirectory(prefix="relaykit-") as scratch:
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(scratch, filter="data")
        try:
            return _from_catalogue(name, load_catalogue(Path(scratch) / place))
        except UsageError as error:
            told = str(error).replace(f"{scratch}/", "")
            raise UsageError(f"{name}: this kit cannot read it: {told}", hint=error.hint) from error


def _git(name: str, folder: Path, *words: str) -> bytes:
    try:
        done = subprocess.run(  # noqa: S603  (a revision cannot be taken for an option: it was looked at)
            ("git", *words),  # noqa: S607
            cwd=folder,
            capture_output=True,
            check=False,
            timeout=_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"{name}: git cannot be run: {error}") from error
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise UsageError(f"{name}: {lines[-1] if lines else 'git failed'}")
    return done.stdout


# --- bundles ------------------------------------------------------------------------------------------------


def _from_bundle(name: str, path: Path) -> Edition:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: cannot be read as JSON: {error}") from error
    definitions = data.get("$defs") if isinstance(data, dict) else None
    if not isinstance(definitions, dict) or not dict(_frames_of(definitions)):
        raise UsageError(
            f"{path}: no bundle: it has no $defs such as c2s.send",
            hint="write one with `relaykit export bundle --output FILE`",
        )
    for key, schema in definitions.items():
        if key.startswith(tuple(f"{direction}." for direction in DIRECTIONS)) and not isinstance(
            schema, dict
        ):
            raise UsageError(f"{path}: /$defs/{escape(key)}: not the schema of a frame: no object")
    try:
        jsonschema_rs.meta.validate({**data, "$schema": DIALECT})
        return _of_bundle(name, data)
    except jsonschema_rs.ValidationError as error:
        place = pointer_of(tuple(error.instance_path))
        raise UsageError(f"{path}: {place}: not a JSON Schema: {error.message[:200]}") from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path}: its x- keywords are none of this kit: {error!r}") from error


def _of_bundle(name: str, data: Mapping[str, Any]) -> Edition:
    definitions = data["$defs"]
    keys = dict(_frames_of(definitions))
    shared = {key: sub for key, sub in definitions.items() if key not in keys and key not in DIRECTIONS}
    version = str(data.get("title", "")).rpartition(" ")[2]
    frames = {
        (direction, kind): spec_of(kind, direction, schema, {**schema, "$defs": shared}, name, since=version)
        for direction, kind, schema in ((*keys[key], definitions[key]) for key in keys)
    }
    return Edition(
        name=name,
        version=version,
        frames=frames,
        requirements=None,
        protocol=None,
        samples={key: spec.examples for key, spec in frames.items()},
    )


def _frames_of(definitions: Mapping[str, Any]) -> Iterator[tuple[str, FrameKey]]:
    for key, schema in definitions.items():
        for direction in get_args(Direction):
            if key.startswith(f"{direction}.") and isinstance(schema, Mapping):
                yield key, (direction, key.partition(".")[2])
