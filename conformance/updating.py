"""`--update-expectations`: the expected failures of a target file, brought up to date with a run.

They are changed as text, line by line: what else stands in the file (comments, order, quotes) stays as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from relaykit.config import Document, load_yaml, parse_yaml
from relaykit.conformance.expectations import KEY, Expectation
from relaykit.conformance.judge import expect_failures, stale_entries
from relaykit.conformance.reports.text import shorten, visible
from relaykit.conformance.results import CaseResult, RunResult, Verdict
from relaykit.errors import KitDefect, UsageError

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Update:
    """What `--update-expectations` changes.

    Attributes:
        added: new entries: a case, and the reason that was made up for it.
        removed: stale entries.
        left: cases that failed now and then: no expectation can be right about them.
    """

    added: tuple[Expectation, ...]
    removed: tuple[Expectation, ...]
    left: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"{len(self.added)} added", f"{len(self.removed)} removed"]
        if self.left:
            parts.append(f"not added, since flaky: {', '.join(self.left)}")
        return ", ".join(parts)


def update_of(
    results: Sequence[CaseResult],
    expected: Sequence[Expectation],
    today: date,
    redact: Callable[[str], str] = lambda text: text,
) -> Update:
    """The change after which a run like this one has no unexpected failure and no stale expectation."""
    failed = [each for each in results if each.verdict is Verdict.FAIL and each.expected_failure is None]
    flaky = [each.case.id for each in failed if each.stability is not None and each.stability.flaky]
    added = tuple(
        Expectation(each.case.id, None, redact(_reason(each, today)), "")
        for each in failed
        if each.case.id not in flaky
    )
    # An entry whose day has passed makes room for the new one.
    lapsed = [entry for entry in expected if entry.case in {each.case for each in added}]
    stale = stale_entries(results, expected)
    return Update(added, tuple(dict.fromkeys((*stale, *lapsed))), tuple(flaky))


def updated(result: RunResult, expected: Sequence[Expectation], update: Update) -> None:
    """Judge a run by the expectations as they are now."""
    now = (*(entry for entry in expected if entry not in update.removed), *update.added)
    result.cases, result.stale = expect_failures(
        [replace(each, expected_failure=None) for each in result.cases], now
    )


def _reason(result: CaseResult, today: date) -> str:
    """A reason that asks for a better one, and says what failed and when."""
    severe = [finding for finding in result.findings if finding.severity == "fail"]
    names = ", ".join(dict.fromkeys(finding.requirement for finding in severe if finding.requirement))
    what = visible(severe[0].message).replace("\n", " ") if severe else "it failed"
    return shorten(f"TODO: why? Failed on {today}: {f'{names}: ' if names else ''}{what}", 240)


def place_of(target_file: Path, document: Document) -> Path:
    """The file in which the target file keeps its expected failures: itself, or the one it names."""
    named = document.data.get(KEY) if isinstance(document.data, dict) else None
    return target_file.parent / named if isinstance(named, str) else target_file


def apply(target_file: Path, update: Update) -> Path:
    """Write a change into the file in which the target file keeps its expected failures.

    Returns:
        that file.

    Raises:
        UsageError: it cannot be read or written.
    """
    path = place_of(target_file, load_yaml(target_file))
    text = ""
    if path.exists():
        load_yaml(path)  # for its errors
        text = path.read_text("utf-8")
    alone = path != target_file
    changed = rewritten(text, update, alone=alone)
    try:
        beside = path.with_name(f".{path.name}.new")
        beside.write_text(changed, "utf-8")
        if path.exists():
            beside.chmod(path.stat().st_mode & 0o7777)
        beside.replace(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error
    return path


def rewritten(text: str, update: Update, *, alone: bool) -> str:
    """The text of a file with a change in its list of expected failures.

    Args:
        alone: the list is all that the file holds; else it stands under `expected_failures`.
    """
    before = parse_yaml(text).data
    node = _list_node(text, alone)
    entries = _entries(before, alone)
    keep = [entry for entry in entries if not _is_removed(entry, update.removed)]
    wanted = [*keep, *({"case": each.case, "reason": each.reason} for each in update.added)]
    if node is not None and node.value and not node.flow_style:
        changed = _in_block(text, node, entries, update)
    else:
        changed = _anew(text, node, wanted, alone)
    # Files have more forms than one thinks of: nothing is written that does not read as meant.
    after = parse_yaml(changed).data
    others = ({k: v for k, v in (data or {}).items() if k != KEY} for data in (before, after) if not alone)
    first, *rest = others if not alone else ({},)
    if _entries(after, alone) != wanted or any(each != first for each in rest):
        raise KitDefect("the expected failures could not be written without changing more of the file")
    return changed


def _entries(data: Any, alone: bool) -> list[Mapping[str, Any]]:
    found = data if alone else (data or {}).get(KEY)
    return list(found or [])


def _is_removed(entry: Mapping[str, Any], removed: Iterable[Expectation]) -> bool:
    return any(
        entry.get("case") == each.case and entry.get("requirement") == each.requirement for each in removed
    )


def _list_node(text: str, alone: bool) -> Any:
    """The YAML node of the list, or None."""
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
    finally:
        loader.dispose()
    if alone or root is None:
        return root if isinstance(root, yaml.SequenceNode) else None
    return next((value for key, value in root.value if key.value == KEY), None)


def _in_block(text: str, node: Any, entries: Sequence[Mapping[str, Any]], update: Update) -> str:
    """The list is written with a dash per entry: take out lines, and put new ones after the last entry."""
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    first = lines[node.value[0].start_mark.line]
    indent = first[: len(first) - len(first.lstrip())]
    end = _last_line(node.value[-1]) + 1
    gone: set[int] = set()
    for entry, item in zip(entries, node.value, strict=True):
        if _is_removed(entry, update.removed):
            gone |= set(range(item.start_mark.line, _last_line(item) + 1))
    new = [line for each in update.added for line in _lines(each, indent)]
    kept = [line for number, line in enumerate(lines[:end]) if number not in gone]
    if not new and len(gone) and all(_is_removed(entry, update.removed) for entry in entries):
        kept.append(f"{indent}[]\n")  # a key without a value would be null
    return "".join((*kept, *new, *lines[end:]))


def _last_line(node: Any) -> int:
    """The line in which a node ends; the end mark of a block stands after the blanks that follow it."""
    if isinstance(node, yaml.ScalarNode):
        end = node.end_mark
        return int(end.line - 1 if end.column == 0 and end.line > node.start_mark.line else end.line)
    if node.flow_style or not node.value:
        return int(node.end_mark.line)
    last = node.value[-1]
    return _last_line(last[1] if isinstance(last, tuple) else last)


def _anew(text: str, node: Any, wanted: Sequence[Mapping[str, Any]], alone: bool) -> str:
    """There is no list yet, or one between brackets, which is written anew."""
    indent = "" if alone else "  "
    body = "".join(
        line
        for entry in wanted
        for line in _lines(
            Expectation(
                entry.get("case"),
                entry.get("requirement"),
                entry["reason"],
                "",
                date.fromisoformat(entry["until"]) if "until" in entry else None,
            ),
            indent,
        )
    )
    if node is None:
        gap = "" if not text or text.endswith("\n") else "\n"
        head = "" if alone else f"\n{KEY}:\n"
        return f"{text}{gap}{head}{body}" if body else text
    start, end = node.start_mark.index, node.end_mark.index
    before, after = text[:start].rstrip(" "), text[end:]
    if not body:
        return f"{before} []{after}".lstrip(" ")
    rest = after.lstrip(" ")  # a comment behind the bracket, perhaps
    blank = " " if rest and not rest.startswith("\n") else ""
    return (before + "\n" + body.rstrip("\n") + blank + rest).lstrip("\n")


def _lines(entry: Expectation, indent: str) -> list[str]:
    name = f"case: {entry.case}" if entry.case else f"requirement: {entry.requirement}"
    lines = [f"{indent}- {name}\n", f"{indent}  reason: {json.dumps(entry.reason, ensure_ascii=False)}\n"]
    return [*lines, f'{indent}  until: "{entry.until}"\n'] if entry.until else lines
