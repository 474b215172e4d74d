"""Results that builds keep for the next one, in the user's cache folder.

What the suite and every `--help` say, which examples are the most telling, and the other forms of the schemas
follow from the kit's own files and from the catalogue alone; finding it out takes longer than drawing all
pages. The key of what is kept names all of these, so that nothing is ever out of date: a file that was
touched makes another key.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
_ROOMS = ("schemas", "conformance", "reference_server", "docs_gen")
_KEPT = 24
"""Results that stay; several kits on one machine share the folder."""


def cache_folder() -> Path | None:
    """A folder of the user's own for what builds keep; None where there can be none."""
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "relaykit"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        stat = folder.stat()
    except (OSError, RuntimeError):
        return None  # a read-only home, or none: then everything is found out each time
    # What is read back is trusted like code: nobody else may have written it.
    foreign = hasattr(os, "getuid") and (stat.st_uid != os.getuid() or stat.st_mode & 0o022)
    return folder if not foreign and os.access(folder, os.W_OK) else None


def kept(name: str, key: str, make: Callable[[], T]) -> T:
    """What `make` makes, from the last time if it is known.

    Args:
        name: of the result.
        key: what it depends on besides the kit itself.
        make: makes it; its result can be pickled.
    """
    folder = cache_folder()
    if folder is None:
        return make()
    whole = hashlib.sha256(f"{_KIT}\n{name}\n{key}".encode()).hexdigest()
    path = folder / f"docs-{whole[:32]}.pickle"
    with contextlib.suppress(Exception):  # absent, cut off, of another Python: made anew
        found: T = pickle.loads(path.read_bytes())  # noqa: S301  (see cache_folder)
        return found
    value = make()
    with contextlib.suppress(OSError):
        _write(path, pickle.dumps(value, pickle.HIGHEST_PROTOCOL))
        _forget(folder)
    return value


def _write(path: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".docs-")
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    Path(name).replace(path)  # whole or not at all, whoever builds at the same time


def _forget(folder: Path) -> None:
    by_age = sorted(folder.glob("docs-*.pickle"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in by_age[_KEPT:]:
        path.unlink(missing_ok=True)


def _kit() -> str:
    """What changes whenever any file of the kit does, or what draws its help."""
    total = hashlib.sha256(f"{sys.version} {version('click')}".encode())
    for package in ("relaykit", *(f"relaykit.{room}" for room in _ROOMS)):
        spec = find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            for line in sorted(_files(folder)):
                total.update(line.encode())
    return total.hexdigest()


def _files(folder: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                if entry.name != "__pycache__":
                    yield from _files(entry.path)
            else:
                stat = entry.stat()
                yield f"{entry.path} {stat.st_size} {stat.st_mtime_ns}\n"


_KIT = _kit()
"""Taken before the suite and the commands are loaded: an edit in between makes no wrong entry."""
