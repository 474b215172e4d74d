"""Choosing cases by patterns."""

from __future__ import annotations

import pytest
from support.suite import every_case

from relaykit.conformance.cases import PROFILES, fits, select
from relaykit.conformance.judge import Rules
from relaykit.errors import UsageError
from relaykit.schemas import load_catalogue

CATALOGUE = load_catalogue()


def ids(**options: object) -> list[str]:
    return [case.id for case in select(CATALOGUE, every_case(), **options)]


@pytest.mark.parametrize(
    ("pattern", "among"),
    [
        ("message-life", "message-life"),
        ("message-*", "message-life"),
        ("id:message-life", "message-life"),
        ("area:messages", "message-life"),
        ("requirement:MSG-12", "message-life"),
        ("requirement:PRIV-*", "message-life"),
        ("frame:deliver", "message-life"),
        ("kind:probe", "token-unsigned"),
        ("level:MUST", "message-life"),
    ],
)
def test_patterns(pattern: str, among: str) -> None:
    chosen = ids(run=[pattern])
    assert among in chosen
    assert among not in ids(skip=[pattern])
    assert all(fits(case, pattern) for case in every_case() if case.id in chosen)


def test_several_patterns_add_up_and_skip_goes_before() -> None:
    both = ids(run=["message-life", "token-*"])
    assert "message-life" in both
    assert "token-unsigned" in both
    assert "token-unsigned" not in ids(run=["token-*"], skip=["token-unsigned"])


def test_the_order_is_that_of_the_areas() -> None:
    kinds = [case.kind == "derived" for case in every_case()]
    assert kinds == sorted(kinds), "derived cases come last: what is written for people is judged first"
    areas = [case.area for case in every_case() if case.kind != "derived"]
    assert areas == sorted(areas, key=[a.file for a in CATALOGUE.protocol.areas.values()].index)


@pytest.mark.parametrize(
    ("pattern", "said"), [("nothing-like-it", "no case fits"), ("aera:x", "is one of id, area")]
)
def test_a_pattern_that_fits_nothing_is_no_silent_success(pattern: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        ids(run=[pattern])


def test_rules_leave_out_cases_that_prove_nothing_then() -> None:
    documented = ids(rules=Rules(documented_only=True))
    assert "message-life" in documented
    # Every requirement of this one is inferred.
    inferred = [
        case.id
        for case in every_case()
        if all(CATALOGUE.requirements[name].provenance == "inferred" for name in case.requirements)
    ]
    assert inferred
    assert not set(inferred) & set(documented)
    assert len(ids(rules=Rules(frozenset({"MUST"})))) < len(ids())


def test_profiles_leave_out_what_takes_long_unless_it_is_named() -> None:
    smoke, default, full = (ids(profile=name) for name in PROFILES)
    slow = {case.id for case in every_case() if case.slow}
    alone = {case.id for case in every_case() if case.exclusive}
    assert slow and alone
    assert set(full) - set(default) == slow
    derived = {case.id for case in every_case() if case.kind == "derived"}
    assert set(default) - set(smoke) == (alone - slow) | derived
    assert ids(profile="smoke", run=["shutdown"]) == ["shutdown"]


def test_what_fills_a_limit_or_exhausts_runs_alone() -> None:
    # One frame as large as permitted holds nobody up.
    heavy = [case for case in every_case() if case.destructive or case.limits - {"max_frame_bytes"}]
    assert {"flood-goes-on", "many-devices", "connections-of-a-user"} <= {case.id for case in heavy}
    assert not [case.id for case in heavy if not case.exclusive]
