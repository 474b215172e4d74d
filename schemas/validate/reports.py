"""Reports, each written while the check goes on: text, JSON, JUnit XML, SARIF, and GitHub's annotations."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, Protocol
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

import click
import orjson

from relaykit import __version__
from relaykit.redaction import Redactor
from relaykit.schemas.model import Finding
from relaykit.schemas.validate.checking import Counts, Outcome
from relaykit.schemas.wording import counted, printable

Write = Callable[[str], Any]
_redact = Redactor().text


class Report(Protocol):
    """Takes outcomes as they come."""

    def add(self, outcome: Outcome) -> None:
        """Write one outcome down."""

    def end(self, counts: Counts) -> None:
        """Write the rest; called once, after an interruption too."""


def make(format_: str, write: Write, *, colour: bool = False) -> Report:
    """The report of a format (`FORMATS`), written through `write`; text may have colours.

    Tokens stay out of it, whatever it says: frames hold what their senders like, in names and in values.
    """

    def write_redacted(text: str) -> None:
        write(_redact(text))

    return Text(write_redacted, colour=colour) if format_ == "text" else FORMATS[format_](write_redacted)


def summary(counts: Counts) -> str:
    """One line that says what was checked and found."""
    text = f"{counted(counts.checked, 'frame')} checked in {counted(counts.sources, 'source')}: "
    text += f"{counts.valid:,} valid"
    if counts.warnings:
        text += f" ({counts.warnings:,} with warnings)"
    text += f", {counts.invalid:,} invalid"
    if counts.sketches:
        text += f"; {counted(counts.sketches, 'sketch', 'sketches')} reported"
    for what, number in sorted(counts.skipped.items()):
        text += f"; {counted(number, what)} passed over"
    if counts.unreadable:
        text += f"; {counted(counts.unreadable, 'file')} could not be read"
    return text


def where(outcome: Outcome) -> str:
    """`file:line`, and the frame's number where the line alone does not tell."""
    place = outcome.place
    number = f" (frame {place.index})" if place.numbered else ""
    return f"{place.source}:{place.line}:{number}"


def what(outcome: Outcome) -> str:
    """Direction and type, as far as they are known."""
    return " ".join(word for word in (outcome.direction, outcome.type) if word)


def said(finding: Finding) -> str:
    """A finding in one line."""
    got = f"; got {finding.value}" if finding.value else ""
    return printable(f"{finding.message}{got}")


_COLOURS = {"error": "red", "warning": "yellow", "note": "cyan"}


class Text:
    """A line per finding, as compilers write them."""

    def __init__(self, write: Write, *, colour: bool = False) -> None:
        self._write = write
        self._colour = colour

    def _paint(self, text: str, colour: str) -> str:
        return click.style(text, fg=colour) if self._colour else text

    def add(self, outcome: Outcome) -> None:
        """Write a line per finding."""
        start = printable(f"{where(outcome)}")
        subject = printable(what(outcome))
        if not outcome.findings:
            self._write(f"{start} {self._paint('valid', 'green')}: {subject}\n")
        for finding in outcome.findings:
            severity = self._paint(finding.severity, _COLOURS[finding.severity])
            at = printable(" ".join(word for word in (subject, finding.pointer) if word))
            rule = f" [{finding.requirement or finding.keyword}]"
            self._write(f"{start} {severity}: {at}{': ' if at else ''}{said(finding)}{rule}\n")

    def end(self, counts: Counts) -> None:
        """Write the summary."""
        colour = "red" if counts.invalid else "green" if counts.checked else "yellow"
        self._write(self._paint(summary(counts), colour) + "\n")


def _json(value: Any) -> str:
    """JSON that any terminal or file can hold, whatever its encoding."""
    text = orjson.dumps(value).decode()
    return text if text.isascii() else json.dumps(value)


class Json:
    """One object; the frames are written first, the counts when they are known."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._first = True
        write('{"frames": [')

    def add(self, outcome: Outcome) -> None:
        """Write one frame."""
        entry = {
            "source": outcome.place.source,
            "line": outcome.place.line,
            "index": outcome.place.index,
            "type": outcome.type,
            "direction": outcome.direction,
            "valid": outcome.valid,
            "errors": [
                {
                    "severity": finding.severity,
                    "pointer": finding.pointer,
                    "keyword": finding.keyword,
                    "message": finding.message,
                    "requirement": finding.requirement,
                }
                for finding in outcome.findings
            ],
        }
        self._write(("\n  " if self._first else ",\n  ") + _json(entry))
        self._first = False

    def end(self, counts: Counts) -> None:
        """Write the counts."""
        numbers = {
            "checked": counts.checked,
            "valid": counts.valid,
            "invalid": counts.invalid,
            "warnings": counts.warnings,
        }
        self._write(("" if self._first else "\n") + "], " + json.dumps(numbers)[1:] + "\n")


class GitHub:
    """Workflow commands that GitHub shows beside the lines of a change."""

    def __init__(self, write: Write) -> None:
        self._write = write

    def add(self, outcome: Outcome) -> None:
        """Write an annotation per finding."""
        place = outcome.place
        for finding in outcome.findings:
            level = "notice" if finding.severity == "note" else finding.severity
            title = f"{what(outcome) or 'frame'} {finding.requirement or finding.keyword}"
            place_ = f"file={_property(place.source)},line={place.line},title={_property(title)}"
            text = f"{finding.pointer}: {said(finding)}" if finding.pointer else said(finding)
            self._write(f"::{level} {place_}::{_data(text)}\n")

    def end(self, counts: Counts) -> None:
        """Write the summary as a notice."""
        self._write(f"::notice title=relaykit validate::{_data(summary(counts))}\n")


def _data(text: str) -> str:
    return printable(text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A"))


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


class Sarif:
    """SARIF 2.1.0, as code scanning tools read it; the rules come after the results, once they are known."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._first = True
        self._rules: dict[str, int] = {}
        write('{"version": "2.1.0", "runs": [{"columnKind": "unicodeCodePoints", "results": [')

    def add(self, outcome: Outcome) -> None:
        """Write a result per finding."""
        place = outcome.place
        for finding in outcome.findings:
            rule = finding.requirement or finding.keyword
            number = self._rules.setdefault(rule, len(self._rules))
            subject = " ".join(word for word in (what(outcome), finding.pointer) if word)
            result = {
                "ruleId": rule,
                "ruleIndex": number,
                "level": finding.severity,
                "message": {"text": f"{subject}: {said(finding)}" if subject else said(finding)},
                "locations": [
                    {
                        "physicalLocation": {
                            "artifactLocation": {"uri": quote(place.source)},
                            "region": {"startLine": place.line},
                        },
                        "logicalLocations": [{"fullyQualifiedName": f"frame {place.index}{finding.pointer}"}],
                    }
                ],
            }
            self._write(("\n  " if self._first else ",\n  ") + _json(result))
            self._first = False

    def end(self, counts: Counts) -> None:
        """Write the rules and how the run went."""
        driver = {
            "name": "relaykit",
            "semanticVersion": __version__,
            "rules": [{"id": rule} for rule in self._rules],
        }
        run = {
            "tool": {"driver": driver},
            "invocations": [{"executionSuccessful": not counts.unreadable}],
            "properties": {"summary": summary(counts)},
        }
        self._write(("" if self._first else "\n") + "], " + json.dumps(run)[1:] + "]}\n")


@dataclass(slots=True)
class _Suite:
    name: str
    tests: int = 0
    failures: int = 0
    skipped: int = 0
    size: int = 0


class JUnit:
    """JUnit XML: a suite per source, a case per reported frame, and one for all the valid ones not listed.

    Readers want the numbers before the cases, so the cases wait in a temporary file.
    """

    def __init__(self, write: Write) -> None:
        self._write = write
        self._cases: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed by end)
        self._suites: list[_Suite] = []
        self._listed_valid = 0

    def add(self, outcome: Outcome) -> None:
        """Write a case; a failure holds what is wrong with its frame."""
        place = outcome.place
        name = f"line {place.line}, frame {place.index}: {what(outcome) or 'no type'}"
        lines = [
            f"{f.severity}: {f.pointer} {said(f)} [{f.requirement or f.keyword}]" for f in outcome.findings
        ]
        text = escape(_xml("\n".join(lines)))
        body = ""
        if outcome.valid is False:
            body = f"<failure message={_attribute(said(outcome.findings[0]))}>{text}</failure>"
        elif outcome.valid is None:
            body = f"<skipped message={_attribute(lines[0])}/>"
        elif lines:
            body = f"<system-out>{text}</system-out>"
        self._listed_valid += outcome.valid is True
        self._case(place.source, name, body, outcome.valid)

    def _case(self, source: str, name: str, body: str, valid: bool | None) -> None:
        if not self._suites or self._suites[-1].name != source:
            self._suites.append(_Suite(source))
        suite = self._suites[-1]
        suite.tests += 1
        suite.failures += valid is False
        suite.skipped += valid is None
        case = f"    <testcase classname={_attribute(source)} name={_attribute(name)}>{body}</testcase>\n"
        suite.size += self._cases.write(_redact(case).encode("ascii", "xmlcharrefreplace"))

    def end(self, counts: Counts) -> None:
        """Write every suite with its numbers, then its cases."""
        rest = counts.valid - self._listed_valid
        if rest:
            self._case("valid", f"{counted(rest, 'valid frame')}, not listed one by one", "", True)
        tests, failures = (sum(getattr(s, key) for s in self._suites) for key in ("tests", "failures"))
        self._write('<?xml version="1.0" encoding="UTF-8"?>\n')
        self._write(f'<testsuites name="relaykit validate" tests="{tests}" failures="{failures}">\n')
        self._cases.seek(0)
        for suite in self._suites:
            name = _attribute(suite.name).encode("ascii", "xmlcharrefreplace").decode()
            numbers = (
                f'tests="{suite.tests}" failures="{suite.failures}" skipped="{suite.skipped}" errors="0"'
            )
            self._write(f"  <testsuite name={name} {numbers}>\n")
            while suite.size and (chunk := self._cases.read(min(suite.size, 1 << 16))):
                suite.size -= len(chunk)
                self._write(chunk.decode())
            self._write("  </testsuite>\n")
        self._write("</testsuites>\n")
        self._cases.close()


def _xml(text: str) -> str:
    """Text without what XML 1.0 cannot hold."""
    return "".join(c if c in "\n\t" or (c >= " " and c not in "\ufffe\uffff") else "\ufffd" for c in text)


def _attribute(text: str) -> str:
    return quoteattr(_xml(text))


FORMATS: dict[str, Callable[[Write], Report]] = {
    "text": Text,
    "json": Json,
    "junit": JUnit,
    "sarif": Sarif,
    "github": GitHub,
}
"""The formats of a report."""
