"""Derived cases stand together in reports: there are too many to be listed one by one."""

from __future__ import annotations

import io
import re

from rich.console import Console
from support.reports import case, finding, make, row

from relaykit.conformance import terminal
from relaykit.conformance.reports.families import families, in_short, named, shown_in_full
from relaykit.conformance.reports.html import to_html

WRITTEN = case("message-life", "fail", findings=[finding()])
NAMES = [f"derived/send/payload.x/form-{number}" for number in range(7)]
MADE = [
    case(name, "fail", kind="derived", findings=[finding()])
    for name in (*NAMES, "derived/typing/envelope/nan")
]


def test_families_are_by_frame_and_what_people_wrote_stands_first() -> None:
    found = [(family.name, len(family.cases)) for family in families([*MADE[:3], WRITTEN, *MADE[3:]])]
    assert found == [("", 1), ("derived/send", 7), ("derived/typing", 1)]


def test_only_the_first_failures_are_shown_in_full() -> None:
    cases = [WRITTEN, *MADE]
    assert shown_in_full(cases) == [WRITTEN, *MADE[:5]]
    short = [("derived/send/payload.x", ["form-5", "form-6"]), ("derived/typing/envelope", ["nan"])]
    assert in_short(cases) == short
    assert in_short(cases[:6]) == []


def test_a_requirement_names_what_people_wrote_and_counts_the_rest() -> None:
    assert named(["message-life", *NAMES]) == (["message-life"], 7)


def test_the_page_and_the_terminal_show_them_so() -> None:
    data = make([WRITTEN, *MADE], [row(cases=["message-life", *NAMES])])
    page = to_html(data).decode()
    assert re.search(
        r'<details class="family" open><summary><code>derived/send</code>.*7 derived cases', page
    )
    assert page.count('class="family"') == 2
    out = io.StringIO()
    terminal.show(data, Console(file=out, width=160))
    assert "derived/send/payload.x/ form-5, form-6" in out.getvalue()
    assert "form-4" in out.getvalue()
