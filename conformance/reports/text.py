"""Words for reports: hostile text made visible, JSON by lines, where a case stands, how to run it again."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from relaykit.conformance.results import GATHERED
from relaykit.pointers import escape
from relaykit.redaction import REDACTED
from relaykit.schemas.wording import counted

Data = Mapping[str, Any]

_KIT_PLACE = re.compile(r"(?:^|[\\/])((?:conformance|schemas)[\\/](?:scenarios|probes|frames)[\\/].+)$")
_PRIVATE = re.compile(r"(?i)(pass(?:word|wd)?|secret|token|credential|api[-_]?key|private[-_]?key)")
_PLAIN = re.compile(r"[A-Za-z0-9@%+=:,./_{}-]+")


def visible(text: str) -> str:
    """Text with whatever a reader would not see (controls, bidirectional overrides, lone surrogates) escaped.

    What came over the wire must not reorder or hide the words around it.
    """
    if text.isprintable():
        return text
    return "".join(c if c == "\n" or c.isprintable() else _escaped(c) for c in text)


def _escaped(char: str) -> str:
    code = ord(char)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\u{{{code:x}}}"


def shorten(text: str, most: int) -> str:
    """At most so many characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def one_line(value: Any, most: int = 400) -> str:
    """A value in one line, cut; a text is given as it is."""
    if value is None:
        return "nothing"
    if not isinstance(value, str):
        value = json.dumps(value, ensure_ascii=False, default=str)
    return shorten(visible(value).replace("\n", "⏎"), most)


def json_lines(value: Any) -> Iterator[tuple[str, str]]:
    """Indented JSON, line by line, each with the JSON pointer of the value that begins in it."""
    yield from _lines(value, "", "", "", "")


def _lines(value: Any, pointer: str, indent: str, before: str, after: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        yield pointer, f"{indent}{before}{{"
        last = len(value) - 1
        for n, (key, item) in enumerate(value.items()):
            name = f"{_scalar(str(key))}: "
            yield from _lines(
                item, f"{pointer}/{escape(str(key))}", f"{indent}  ", name, "," if n < last else ""
            )
        yield "\0", f"{indent}}}{after}"
    elif isinstance(value, (list, tuple)) and value:
        yield pointer, f"{indent}{before}["
        last = len(value) - 1
        for n, item in enumerate(value):
            yield from _lines(item, f"{pointer}/{n}", f"{indent}  ", "", "," if n < last else "")
        yield "\0", f"{indent}]{after}"
    else:
        yield pointer, f"{indent}{before}{_scalar(value)}{after}"


def _scalar(value: Any) -> str:
    return visible(json.dumps(value, ensure_ascii=False, default=str))


def marked(lines: list[tuple[str, str]], pointer: str) -> int | None:
    """The line that a pointer means; the nearest enclosing one if what it names is not there."""
    places = {where: n for n, (where, _) in reversed(list(enumerate(lines)))}
    while pointer:
        if pointer in places:
            return places[pointer]
        pointer = pointer.rpartition("/")[0]
    return None


def place(source: str) -> tuple[str, int | None]:
    """Where a case is written: the file (for the kit's own ones from the kit's root) and the line."""
    path, colon, line = source.rpartition(":")
    if not colon or not line.isdigit():
        path, line = source, ""
    found = _KIT_PLACE.search(path)
    return (found[1].replace("\\", "/") if found else path), int(line) if line else None


def rerun(data: Data, case: Data) -> str:
    """The command that runs just this case again: as it was, where the server starts anew."""
    options = data.get("options", {})
    words = ["relaykit", "test"]
    for name, option in (
        ("target_file", "-t"),
        ("url", "--url"),
        ("secret_file", "--secret-file"),
        ("launch", "--launch"),
    ):
        if options.get(name):
            words += [option, scrubbed(str(options[name]))]
    if len(words) == 2:
        words += ["--url", str(data["target"]["url"])]
    for name, option in (("capabilities", "--capability"), ("scenarios", "--scenarios")):
        for value in options.get(name) or ():
            words += [option, str(value)]
    names = [case["id"]]
    if case.get("kind") in GATHERED:
        # One that was first seen outside of any case (in preflight) shows whatever is run.
        known = {each["id"] for each in data["cases"]}
        names = [each for each in origins(case) if each in known]
    elif case.get("kind") == "run":
        # It takes all suspects together.
        names = list(dict.fromkeys(n for f in case["findings"] for n in f["actual"]["suspects"]))[:64]
    for name in names:
        words += ["--run", name]
    if options.get("allow_destructive"):
        words.append("--allow-destructive")
    for name in ("level", "provenance", "timeout_factor"):
        if options.get(name) not in (None, "all", 1.0):
            words += [f"--{name.replace('_', '-')}", str(options[name])]
    if options.get("launch"):  # a server that goes on running knows the seed's users and messages by now
        words += ["--seed", str(case.get("seed", data["seed"]))]
    return visible(shlex.join(words))


def origins(case: Data) -> list[str]:
    """The cases in which the findings of a shape were first seen: only running those can show it again."""
    return list(dict.fromkeys(f["case"] for f in case["findings"] if f.get("case")))


def scrubbed(command: str) -> str:
    """A command line without the values of options and variables that sound like secrets (but file names)."""
    try:
        words = shlex.split(command)
    except ValueError:
        return command
    shown: list[str] = []
    hide = False
    for word in words:
        name, equals, value = word.partition("=")
        private = bool(_PRIVATE.search(name)) and not name.endswith("-file")
        if hide:
            shown.append(REDACTED)
        elif private and equals and value:
            shown.append(f"{name}={REDACTED}")
        else:
            shown.append(word)
        hide = not hide and private and not equals and name.startswith("-")
    # Braces as in {port} need no quotes within a quoted command, where quotes could hardly be read.
    return " ".join(word if _PLAIN.fullmatch(word) else shlex.quote(word) for word in shown)


def anchor(name: str) -> str:
    """An element ID made of any name."""
    return re.sub(r"[^A-Za-z0-9_-]", lambda found: f".{ord(found[0]):x}", name)


_BLAMES = {
    "target": "the target",
    "kit": "the kit, not the target",
    "environment": "the environment (what lies between suite and target), not the target's behaviour",
    "unspecified": "unspecified: the source leaves this open, and the rule is inferred; it may be disputed",
}


def sent_text(entry: Data, most: int = 400) -> str:
    """What somebody sent or did, in one line."""
    what = entry["event"] if entry.get("event") else entry["frame"]
    return f"{visible(entry['actor'])} → {one_line(what, most)}"


def blamed(finding: Data) -> str:
    """Who is to blame for a finding, in words."""
    return _BLAMES.get(finding["blame"], str(finding["blame"]))


NOT_RUN_AGAIN = "not run again"


def steadiness(case: Data) -> str:
    """`deterministic`, `flaky 1/3`, `not run again`, or nothing where a case ran but once."""
    found = case.get("stability")
    if not found:
        return NOT_RUN_AGAIN if case.get("not_run_again") else ""
    return "deterministic" if found["result"] == "deterministic" else f"flaky {found['same']}/{found['runs']}"


def steadiness_text(case: Data) -> str:
    """What runs of a case beyond the first have shown, or why there were none; nothing if none were due."""
    found = case.get("stability")
    if not found:
        return str(case.get("not_run_again", ""))
    runs, same, verdict = found["runs"], found["same"], case["verdict"]
    if not found.get("alone"):
        return f"{verdict} in {'each' if same == runs else same} of {runs} runs beside other cases"
    if same == 0:
        return f"it failed beside other cases, and in none of {counted(runs, 'run')} alone"
    if same == runs:
        return f"it failed again in {'each of ' if runs > 1 else ''}{counted(runs, 'run')} alone"
    return f"it failed again in {same} of {runs} runs alone"
