"""Profiles: what a badge may claim, as sets of capabilities."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.catalogues import copied

from relaykit.errors import UsageError
from relaykit.schemas import load_catalogue

CATALOGUE = load_catalogue()


def test_every_capability_counts_for_a_profile() -> None:
    # One that stood in none could be broken by a server that claims everything.
    named = {c for p in CATALOGUE.protocol.profiles.values() for c in p.capabilities | p.optional}
    assert named == set(CATALOGUE.protocol.capabilities)


def test_every_profile_needs_what_no_server_may_leave_out() -> None:
    required = {c.name for c in CATALOGUE.protocol.capabilities.values() if c.required}
    assert required
    for profile in CATALOGUE.protocol.profiles.values():
        assert required <= profile.capabilities, profile.name


def test_a_profile_has_what_it_extends() -> None:
    profiles = CATALOGUE.protocol.profiles
    assert profiles["calls"].capabilities == {"core", "calls"}
    assert profiles["calls"].optional == profiles["core"].optional == {"presence", "typing", "media_keys"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("capabilities: [groups]", "capabilities: [group]", "no capability 'group'"),
        ("extends: core, capabilities: [groups]", "extends: calls, capabilities: [groups]", "no profile"),
        ("optional: [presence,", "optional: [presense,", "no capability 'presense'"),
    ],
)
def test_a_wrong_name_is_told_with_its_line(old: str, new: str, said: str, tmp_path: Path) -> None:
    root = copied(tmp_path)
    path = root / "protocol.yaml"
    text = path.read_text("utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), "utf-8")
    line = next(n for n, row in enumerate(text.splitlines(), 1) if old in row)
    with pytest.raises(UsageError, match=said) as caught:
        load_catalogue(root)
    assert f"protocol.yaml:{line}:" in str(caught.value)
