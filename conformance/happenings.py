"""What happens in cases that have no steps to draw, for `relaykit explain`: probes and derived cases."""

from __future__ import annotations

import inspect
import json
import linecache
import re
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from relaykit.conformance.codes import NOT_UTF8
from relaykit.conformance.derived.binding import sample
from relaykit.conformance.derived.effects import effects
from relaykit.conformance.derived.family import ON_REFUSAL, family
from relaykit.conformance.matching import plain
from relaykit.conformance.results import Case
from relaykit.schemas import Catalogue

_LONGEST = 300
_NAMES = ("alice.phone", "alice.laptop", "bob")
_MOST_EFFECTS = 3
_SCREEN = 70
"""Lines of code that are shown, helpers included; the probe itself always is."""


def happenings(catalogue: Catalogue, case: Case) -> list[str]:
    """Lines that say what a probe or a derived case sends and wants."""
    if case.kind == "derived":
        return list(_derived(catalogue, case))
    return list(_code(case))


def _derived(catalogue: Catalogue, case: Case) -> Iterator[str]:
    each = family(catalogue)[case.id]
    data, frame = each.draft.filled(sample())
    width = max(map(len, _NAMES))

    def arrow(who: str, way: str, text: str) -> str:
        return f"  {who:>{width}} {way} server   {text}"

    yield f"  {', '.join(_NAMES)} are connected, and have written to each other (ids are made up here)"
    note = "" if each.draft.valid else "   (invalid)"
    yield arrow(_NAMES[0], "──▶", f"{_cut(data.decode('utf-8', 'backslashreplace'))}{note}")
    if each.draft.valid:
        sent = frame if isinstance(frame, dict) else json.loads(data)  # some drafts are given as text
        wanted = list(effects(catalogue, sent, defaultdict(lambda: _NAMES[2])))
        for effect in wanted[:_MOST_EFFECTS]:
            which = " or ".join(_cut(_json(pattern)) for pattern in effect.any_of)
            who = effect.who if effect.who in _NAMES else "bob"
            yield arrow(who, "◀──", f"{which}   [{', '.join(dict.fromkeys(effect.requirements))}]")
        if len(wanted) > _MOST_EFFECTS:
            yield f"  {'':>{width}}              and {len(wanted) - _MOST_EFFECTS} more like that"
        rules = [name for name in each.served if name]
        yield arrow(_NAMES[0], "◀──", f"no error   [{', '.join(rules)}]")
        return
    if catalogue.protocol.faults["c2s"]["utf8"] in each.refusal:
        yield arrow(_NAMES[0], "◀──", f"close {NOT_UTF8}   [{', '.join(each.refusal)}]")
        return
    yield arrow(_NAMES[0], "◀──", f"one error, invalid_message   [{', '.join((*each.refusal, 'ERR-04'))}]")
    yield f"  {'':>{width}}              nothing else comes of it, to nobody   [VAL-11, VAL-12]"
    yield arrow(_NAMES[0], "──▶", "heartbeat")
    yield arrow(_NAMES[0], "◀──", "heartbeat_ack: the connection lives on   [VAL-13]")
    assert {"VAL-11", "VAL-12", "VAL-13", "ERR-04"} <= set(ON_REFUSAL)  # said above


def _code(case: Case) -> Iterator[str]:
    """The code of a probe: at most a screen, and what it wants stands beside what it sends."""
    path, _, line = case.source.rpartition(":")
    block = inspect.getblock(linecache.getlines(path)[int(line) - 1 :])
    start = next((n for n, text in enumerate(block) if text.lstrip().startswith(("async def", "def"))), 0)
    about = inspect.getdoc(inspect.unwrap(case.run))
    if about:
        yield from textwrap.indent(about, "  ").splitlines()
    yield "  its code (`context.fail` names what is wrong, `context.prove` what was shown):"
    shown = textwrap.dedent("".join(block[start:])).rstrip().splitlines()
    for helper in _helpers(case, shown):
        if len(shown) + len(helper) < _SCREEN:
            shown += ["", *helper]
    yield from (f"    {line}".rstrip() for line in shown)


def _helpers(case: Case, lines: Iterable[str]) -> Iterator[list[str]]:
    """The functions of its own module that the code calls, without those that these call in turn."""
    known = inspect.unwrap(case.run).__globals__
    for name in dict.fromkeys(re.findall(r"\b(_\w+)\(", "\n".join(lines))):
        helper = known.get(name)
        if inspect.isfunction(helper) and helper.__globals__ is known:
            yield inspect.getsource(helper).rstrip().splitlines()


def _json(value: Any) -> str:
    return json.dumps(plain(value), ensure_ascii=False)


def _cut(text: str) -> str:
    shown = text if text.isprintable() else ascii(text)[1:-1]
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"
