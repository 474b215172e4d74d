"""What a run lets a server claim: the outcome in words, and the profiles to which it conforms.

Pure functions over the report's data, so that `relaykit report merge` concludes as `relaykit test` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from relaykit.schemas.wording import counted

Data = Mapping[str, Any]

_MUSTS = ("MUST", "MUST NOT")
_NOT_SHOWN = ("untestable", "untested")


def outcome_text(
    counts: Mapping[str, int],
    expected: int,
    stale: int,
    flaky: int = 0,
    *,
    not_run: int = 0,
    interrupted: bool,
) -> str:
    """The run in one sentence.

    Args:
        counts: verdict → cases, in the order in which readers care.
        expected: how many failures the target file expects.
        stale: how many of its expectations did not fail.
        flaky: how many cases did not come to the same verdict each time.
        not_run: how many of the untestable ones had not had their turn when the run ended.
    """
    counts = {name: count - (not_run if name == "untestable" else 0) for name, count in counts.items()}
    counts |= {"not run": not_run}
    parts = [
        f"{count} {verdict}{f' ({expected} expected)' if verdict == 'fail' and expected else ''}"
        for verdict, count in counts.items()
        if count
    ]
    text = ", ".join(parts) or "nothing ran"
    if flaky:
        text += f"; {flaky} flaky"
    if stale:
        text += f"; {counted(stale, 'stale expectation')}"
    return f"interrupted: {text}" if interrupted else text


def claims(data: Data) -> list[dict[str, Any]]:
    """For each profile of the protocol, whether the run lets the target claim it, and what stands against it.

    A profile is `conformant` only if no case within it failed, and no MUST that applies was broken or left
    unshown. `broken` beats `unshown`, and what is not declared claims nothing.
    """
    return [_claim(data, profile) for profile in data["protocol"].get("profiles", ())]


def _claim(data: Data, profile: Data) -> dict[str, Any]:
    declared = set(data["target"].get("capabilities", ()))
    needed = set(profile["capabilities"])
    judged = needed | (set(profile.get("optional", ())) & declared)
    musts = [
        row
        for row in data["requirements"]
        if row["level"] in _MUSTS and (row.get("capability") or "core") in judged
    ]
    broken = [row["id"] for row in musts if row["verdict"] in ("fail", "error")]
    # A step that names no requirement had to work all the same.
    failed = [
        case["id"]
        for case in data["cases"]
        if case["verdict"] in ("fail", "error")
        and set(case.get("capabilities", ())) <= judged
        and _broken_here(case).isdisjoint(broken)
    ]
    # What no suite can see from outside is excused by the catalogue itself, with its reason.
    unshown = [row["id"] for row in musts if row["verdict"] in _NOT_SHOWN and not row.get("untested")]
    missing = sorted(needed - declared)
    verdict = (
        "not-declared"
        if missing
        else "broken"
        if broken or failed
        else "unshown"
        if unshown or not data["cases"]
        else "conformant"
    )
    return {
        "name": profile["name"],
        "title": profile["title"],
        "verdict": verdict,
        "missing": missing,
        "broken": [] if missing else [*broken, *failed],
        "unshown": [] if missing else unshown,
    }


def _broken_here(case: Data) -> set[str | None]:
    return {finding["requirement"] for finding in case["findings"]}


def claimed(data: Data) -> list[str]:
    """The names of the profiles that the run lets the target claim."""
    return [
        claim["name"] for claim in data["outcome"].get("profiles", ()) if claim["verdict"] == "conformant"
    ]


def claim_text(data: Data) -> str:
    """The claim in a sentence: `conformant to core, groups`, or why nothing can be claimed."""
    names = claimed(data)
    if names:
        return f"conformant to {', '.join(names)}"
    profiles = data["outcome"].get("profiles", ())
    first = next((c for c in profiles if c["verdict"] != "not-declared"), None)
    if first is None:
        return "no profile is claimed"
    said = f"{first['name']} cannot be claimed: {against(first)}"
    return f"{said}; `relaykit explain {first['name']}` says what shows them" if first["unshown"] else said


def against(claim: Data) -> str:
    """What stands against a claim, in words; empty for a profile that may be claimed."""
    if claim["verdict"] == "not-declared":
        return f"the target does not declare {', '.join(claim['missing'])}"
    parts = []
    if claim["broken"]:
        parts.append(f"broken: {_some(claim['broken'])}")
    if claim["unshown"]:
        parts.append(f"not shown: {_some(claim['unshown'])}")
    return "; ".join(parts)


def _some(names: Iterable[str], most: int = 4) -> str:
    listed = list(names)
    more = len(listed) - most
    return ", ".join(listed[:most]) + (f" and {more} more" if more > 0 else "")
