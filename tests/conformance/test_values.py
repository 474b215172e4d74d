"""References and made-up values: the same for the same seed, fresh otherwise."""

from __future__ import annotations

import re
from typing import Any

import pytest

from relaykit.conformance.grammar import Absent, Match, VarSpec
from relaykit.conformance.values import BadReferenceError, Scope, references

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def scope(seed: str = "s", **kinds: Any) -> Scope:
    specs = {n: VarSpec(n, *(k if isinstance(k, tuple) else (k, None))) for n, k in kinds.items()}
    return Scope(seed, {"alice": {"id": "A", "phone": {"id": "P"}}, "limits": {"burst": 20}}, specs)


def test_a_lone_reference_keeps_the_type_and_an_embedded_one_becomes_text() -> None:
    here = scope()
    assert here.fill("${limits.burst}") == 20
    assert here.fill("at most ${limits.burst}") == "at most 20"
    assert here.fill({"a": ["${alice.id}", {"b": "${alice.phone.id}"}]}) == {"a": ["A", {"b": "P"}]}
    assert here.fill(Match("${alice.id}$")) == Match("A$")
    assert here.fill(Absent()) == Absent()


def test_variables_stay_the_same_and_indexes_make_more() -> None:
    here = scope(m="uuid")
    here.given["i"] = 2
    assert UUID.fullmatch(here.fill("${m}"))
    assert here.fill("${m}") == here.fill("${m}") != here.fill("${m[1]}")
    assert here.fill("${m[i]}") == here.fill("${m[2]}") != here.fill("${m[1]}")
    assert here.fill("${m|upper}") == here.fill("${m}").upper()


def test_the_seed_decides_and_other_variables_do_not_matter() -> None:
    assert scope(m="uuid").fill("${m}") == scope(c="text", m="uuid").fill("${m}")
    assert scope("s", m="uuid").fill("${m}") != scope("t", m="uuid").fill("${m}")


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        ("base64", r"[A-Za-z0-9+/]{44}"),
        (("base64", 5), r"[A-Za-z0-9+/]{5}"),
        (("base64", "${limits.burst}"), r"[A-Za-z0-9+/]{20}"),
        (("text", 7), r"[a-z]{7}"),
        ("conversation", r"conv-.{36}"),
        ("media", r"media-.{36}"),
        ("group", r"group-.{36}"),
        ("request", r"req-.{36}"),
        ("timestamp", r"[0-9-]{10}T[0-9:.]+Z"),
        (("timestamp", 60), r"[0-9-]{10}T[0-9:.]+Z"),
        (("value", "to ${alice.id}"), r"to A"),
    ],
)
def test_kinds_of_values(kind: Any, form: str) -> None:
    assert re.fullmatch(form, scope(x=kind).fill("${x}"))


def test_long_texts_have_their_length() -> None:
    assert len(scope(x=("base64", 70_001)).fill("${x}")) == 70_001


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("${alise.id}", "did you mean 'alice'?"),
        ("${alice.fone.id}", "did you mean 'phone'?"),
        ("${alice[1]}", "only a variable can be indexed"),
        ("${}", "not a reference"),
        ("${alice.id|shout}", "not a reference"),
    ],
)
def test_bad_references_are_explained(text: str, said: str) -> None:
    with pytest.raises(BadReferenceError, match=re.escape(said)):
        scope().fill(text)


def test_all_references_of_a_template_are_found() -> None:
    template = {"${a}": ["x ${b.c}", Match("${d}")], "e": 1}
    assert set(references(template)) == {"a", "b.c", "d"}
