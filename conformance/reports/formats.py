"""The one table of report formats: for `relaykit test --report FORMAT=FILE` and `relaykit report FORMAT`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relaykit.config import suggest
from relaykit.conformance.report import to_json, to_junit
from relaykit.conformance.reports.badge import to_endpoint, to_svg
from relaykit.conformance.reports.html import to_html
from relaykit.conformance.reports.markdown import to_markdown
from relaykit.conformance.reports.sarif import to_sarif
from relaykit.errors import UsageError

Writer = Callable[[Mapping[str, Any]], bytes]


@dataclass(frozen=True, slots=True)
class Format:
    """A format: what it is for, and its writer; by the file's suffix where there are several."""

    about: str
    writers: Mapping[str, Writer]

    def writer(self, path: Path) -> Writer:
        """The writer for a file.

        Raises:
            UsageError: the suffix says none of them.
        """
        if "" in self.writers:
            return self.writers[""]
        found = self.writers.get(path.suffix.lower())
        if found is None:
            raise UsageError(f"{path}: the file's name ends with {' or '.join(self.writers)}")
        return found


FORMATS: Mapping[str, Format] = {
    "json": Format("everything, for programs (and for `relaykit report`)", {"": to_json}),
    "junit": Format("JUnit XML, for CI", {"": to_junit}),
    "html": Format("one page with diagrams and frames, for people", {"": to_html}),
    "markdown": Format("a summary for CI, failures first", {"": to_markdown}),
    "sarif": Format("SARIF 2.1.0, for code scanning", {"": to_sarif}),
    "badge": Format(
        "what may be claimed: F.svg, or F.json for shields", {".svg": to_svg, ".json": to_endpoint}
    ),
}


def parse_report(spec: str) -> tuple[str, Path]:
    """`FORMAT=FILE` as format and path.

    Raises:
        UsageError: anything else.
    """
    kind, equals, name = spec.partition("=")
    if kind not in FORMATS or not equals or not name:
        known = " or ".join(f"{each}=FILE" for each in FORMATS)
        raise UsageError(
            f"--report {spec}: use {known}{suggest(kind, FORMATS) if kind not in FORMATS else ''}"
        )
    path = Path(name)
    FORMATS[kind].writer(path)
    return kind, path


def write(data: Mapping[str, Any], kind: str, path: Path) -> None:
    """Write one report file, making its folder.

    Raises:
        UsageError: it cannot be written.
    """
    save(FORMATS[kind].writer(path)(data), path)


def writable(path: Path) -> None:
    """Look whether a report file can be written, as far as can be seen without writing it.

    Raises:
        UsageError: it cannot.
    """
    if path.is_dir():
        raise UsageError(
            f"{path}: a report is a file, and this is a folder", hint=f"such as {path / 'report'}"
        )
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise UsageError(f"{path}: the report cannot be written there")


def save(content: bytes, path: Path) -> None:
    """Write a file, making its folder.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise UsageError(f"{path}: the report cannot be written: {error.strerror}") from error
