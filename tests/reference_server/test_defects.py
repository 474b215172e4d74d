"""Seeded defects: each finds its place in today's server, can be taken back, and is never served."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from relaykit.reference_server import relay
from relaykit.reference_server.connection import Connection
from relaykit.reference_server.defects import Defect, all_defects
from relaykit.reference_server.defects.__main__ import listing
from relaykit.reference_server.defects.seams import SeamError, Seams, swapped
from relaykit.reference_server.defects.setups import setups
from relaykit.reference_server.dispatch import Dispatcher
from relaykit.schemas import load_catalogue

DEFECTS = {name: each for name, (each, _) in all_defects().items()}
MODULE = (sys.executable, "-m", "relaykit.reference_server.defects")


def seen() -> tuple[object, ...]:
    return Connection.put, Dispatcher.__init__, relay.pass_on, load_catalogue()._judges


@pytest.mark.parametrize("defect", DEFECTS.values(), ids=DEFECTS)
def test_each_defect_finds_its_place_and_can_be_taken_back(defect: Defect) -> None:
    before, seams = seen(), Seams()
    try:
        defect.apply(seams)
        assert seams.changes, "it changes nothing"
    finally:
        seams.undo()
    assert seen() == before


def test_each_defect_breaks_requirements_that_exist_in_a_setup_that_exists() -> None:
    known, configured = load_catalogue().requirements, setups()
    for each in DEFECTS.values():
        assert each.breaks and set(each.breaks) <= set(known), each.id
        assert each.setup in configured, each.id
        assert each.title.endswith("."), each.id


def test_the_areas_are_files_of_the_requirements() -> None:
    files = {area.file for area in load_catalogue().protocol.areas.values()}
    assert {area for _, area in all_defects().values()} <= files


def test_serve_never_loads_them() -> None:
    code = (
        "import sys, pkgutil, importlib, relaykit.reference_server as package\n"
        "for info in pkgutil.iter_modules(package.__path__):\n"
        "    if info.name != 'defects': importlib.import_module(f'{package.__name__}.{info.name}')\n"
        "print([name for name in sys.modules if 'defects' in name])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_defect_that_does_not_exist_is_a_usage_error() -> None:
    done = subprocess.run([*MODULE, "no-sent-akc"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no-sent-ack" in done.stderr


def test_programs_can_list_them() -> None:
    done = subprocess.run([*MODULE, "--list", "--format", "json"], capture_output=True, text=True, check=True)
    told, known = json.loads(done.stdout), listing()
    assert told["defects"] == known["defects"]
    assert told["setups"].keys() == known["setups"].keys()


def test_a_place_that_is_gone_or_looks_otherwise_is_told() -> None:
    class Owner:
        def method(self, one: int) -> int:
            return one

    seams = Seams()
    with pytest.raises(SeamError, match="has no other of its own"):
        seams.around(Owner, "other", lambda original, self: original(self))
    with pytest.raises(SeamError, match=r"takes \(self, one\)"):
        seams.around(Owner, "method", lambda original, self, two: original(self, two))
    seams.around(Owner, "method", lambda original, self, one: original(self, one) + 1)
    owner = Owner()
    assert owner.method(1) == 2
    with swapped(owner, "method", lambda one: -one):
        assert owner.method(1) == -1
    seams.undo()
    assert owner.method(1) == 1
