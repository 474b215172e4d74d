"""Objects of the user's own Python code that a target file names: control adapters and dialects."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relaykit.errors import UsageError


def load_object(reference: str, folder: Path, options: Mapping[str, Any], *, place: str, what: str) -> Any:
    """The object that `file.py:attribute` or `package.module:attribute` names; a class is made one.

    Args:
        folder: files are relative to it, and modules are looked for there first.
        options: given to a class as keywords.
        place: where the target file names it; `what`: what it is to be. Both for messages.

    Raises:
        UsageError: there is none, or it cannot be made.
    """
    source, _, name = reference.rpartition(":")
    try:
        found: Any = _file(folder, source) if source.endswith(".py") else _module(folder, source)
        for part in name.split("."):
            found = getattr(found, part)
        return found(**options) if isinstance(found, type) else found
    except (Exception, SystemExit) as error:
        # Whatever the file does while it is loaded is the user's, `sys.exit` included: say what, and where.
        raise UsageError(
            f"{place}: the {what} {reference!r} cannot be loaded: {type(error).__name__}: {error}",
            hint="adapter: file.py:Class (relative to the target file) or package.module:attribute",
        ) from error


def _file(folder: Path, source: str) -> Any:
    path = (folder / source).resolve()
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    # A name that no package has, so that nothing is shadowed.
    name = f"relaykit_adapter_{abs(hash(path)):x}"
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None:
        raise ImportError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    found.loader.exec_module(module)
    return module


def _module(folder: Path, source: str) -> Any:
    path = str(folder.resolve())
    sys.path.insert(0, path)
    try:
        return importlib.import_module(source)
    finally:
        sys.path.remove(path)
