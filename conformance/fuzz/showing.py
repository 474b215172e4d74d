"""What all ways of fuzzing show alike: how they begin, and what they found."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import click

from relaykit.conformance.aiming import Aim
from relaykit.conformance.fuzz.hunt import Limits
from relaykit.conformance.reports.text import scrubbed, visible

UNTRIED = "not tried again: it was interrupted"
"""In place of what `replay` says of a file."""


def start_line(what: str, aimed: Aim, seed: str, limits: Limits) -> None:
    """Say what begins, and with which seed: whatever ends it, it can be begun again."""
    name, url = aimed.target.name, aimed.target.url
    target = visible(aimed.redactor.text(url if name == url else f"{name} at {url}"))
    until = [f"up to {limits.seconds:g} s"] if limits.seconds < math.inf else []
    until += [f"up to {limits.frames:,} frames"] if limits.frames is not None else []
    click.echo(f"fuzzing {what} · {target} · {', '.join(until)} · seed {seed}", err=True)


def once_more(aimed: Aim, seed: str, *options: str) -> str:
    """The command that makes the same choices once more, against the same target."""
    words = (scrubbed(word) if " " in word else word for word in aimed.words)
    return visible(shlex.join(("relaykit", "fuzz", *words, *options, "--seed", seed)))


def found_or_expected(finding: Mapping[str, Any]) -> tuple[str, str]:
    """What stands before a finding, and its style."""
    if finding["expected_failure"] is not None:
        return " EXPECTED ", "yellow reverse"
    return " FOUND ", "bold red reverse"


def found_in_all(findings: Sequence[Mapping[str, Any]]) -> str:
    """How many there are, in words."""
    count = sum(each["expected_failure"] is None for each in findings)
    expected = len(findings) - count
    said = f"{count} found" if count else "nothing found"
    return f"{said}, {expected} expected," if expected else said
