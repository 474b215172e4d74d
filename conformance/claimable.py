"""A profile in words, for `relaykit explain core`: what is in it, what shows it, how it is claimed."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Iterator, Sequence

from relaykit.conformance.results import Case
from relaykit.schemas import Catalogue, Profile

_WIDTH = 96


def profile(catalogue: Catalogue, cases: Sequence[Case], name: str) -> str:
    """What a server has to show to claim a profile, and what a run needs for that."""
    found = catalogue.protocol.profiles[name]
    judged = found.capabilities | found.optional
    musts = [
        each.id
        for each in catalogue.requirements.values()
        if each.level in ("MUST", "MUST NOT") and (each.capability or "core") in judged
    ]
    excused = [each for each in musts if catalogue.requirements[each].untested]
    lines = [
        f"{name} · {found.title}: a profile that a run may let a server claim",
        "",
        f"capabilities   {', '.join(sorted(found.capabilities))}",
    ]
    if found.optional:
        lines.append(f"where declared {', '.join(sorted(found.optional))}")
    lines += [
        f"requirements   {len(musts)} MUSTs; {len(excused)} of them no suite can see from outside",
        "",
        *textwrap.wrap(
            "Claimed when no case within it fails, and none of its MUSTs that apply is broken or left "
            "unshown. To see what is missing: the last lines of `relaykit test`, or the requirements of a "
            "report (--report html=report.html). To see what shows one: relaykit explain ID, or for all of "
            "them relaykit list --coverage.",
            _WIDTH,
        ),
        "",
        "what a run needs, beside the default profile of cases against a server that answers heartbeats",
        *_needs(catalogue, cases, found, [each for each in musts if each not in excused]),
        "",
        f"how to claim it: relaykit test -t target.yaml --report badge={name}.svg",
    ]
    return "\n".join(lines)


def _needs(
    catalogue: Catalogue, cases: Sequence[Case], found: Profile, musts: Sequence[str]
) -> Iterator[str]:
    """For each thing that a target file states or a run is told, the MUSTs that nothing shows without it."""
    showing: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        if case.capabilities <= found.capabilities | found.optional:
            for name in case.requirements:
                showing[name].append(case)
    wanting: dict[str, list[str]] = defaultdict(list)
    for name in musts:
        sets = [_wants(case) for case in showing[name]]
        if sets:
            for want in frozenset.intersection(*sets):
                wanting[want].append(name)
        else:
            wanting["a server that behaves so that it shows: frames are judged in every case"].append(name)
    for want, names in sorted(wanting.items(), key=lambda item: (-len(item[1]), item[0])):
        yield f"  {want}"
        yield from textwrap.wrap(
            ", ".join(names), _WIDTH - 4, initial_indent="      for ", subsequent_indent=" " * 10
        )


def _wants(case: Case) -> frozenset[str]:
    """What a case needs from target file and command line."""
    wants = [f"limits.{name} stated" for name in case.limits]
    wants += [f"control: {name}" for name in case.operations]
    wants += ["tokens.mint: tokens that the suite signs itself"] if case.forges else []
    wants += ["--profile full: it waits for seconds"] if case.slow else []
    wants += ["--allow-destructive, where the server is on another machine"] if case.destructive else []
    return frozenset(wants)
