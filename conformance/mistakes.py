"""What servers commonly get wrong, by requirement and by case: titles of defects that the suite finds.

They come from the matrix that `relaykit selftest` renews, as data: the suite does not know the servers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

_MATRIX = Path(__file__).parent / "selftest" / "matrix.json"


@dataclass(frozen=True, slots=True)
class Mistakes:
    """What a server may do, as sentences, by the requirement that it breaks and by the case that finds it."""

    of_requirement: Mapping[str, tuple[str, ...]]
    of_case: Mapping[str, tuple[str, ...]]


@cache
def mistakes() -> Mistakes:
    """All that is known of the defects which the suite has been shown to find."""
    data: dict[str, Any] = json.loads(_MATRIX.read_text("utf-8"))
    by_requirement: dict[str, dict[str, None]] = {}
    by_case: dict[str, dict[str, None]] = {}
    for defect in data["defects"]:
        if defect["outcome"] != "killed":
            continue
        for name in defect["breaks"]:
            by_requirement.setdefault(name, {})[defect["title"]] = None
        for kills in defect.get("kills", {}).values():
            for kill in kills:
                by_case.setdefault(kill["case"], {})[defect["title"]] = None
    return Mistakes(
        MappingProxyType({name: tuple(titles) for name, titles in by_requirement.items()}),
        MappingProxyType({name: tuple(titles) for name, titles in by_case.items()}),
    )
