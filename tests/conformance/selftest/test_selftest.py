"""`relaykit selftest` as a user runs it: a sample of the seeded defects, and what is wrong on the way."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest
from support.suite import relaykit

from relaykit.config import Document, problems
from relaykit.conformance.cases import load_cases
from relaykit.conformance.selftest import matrix
from relaykit.conformance.selftest.seeded import PROGRAM, list_defects
from relaykit.schemas import load_catalogue

# A server that lists one defect, and is sound: the defect survives.
SOUND = """\
import json, os, sys
from relaykit.reference_server.defects.__main__ import listing, main
if sys.argv[1] == "--list":
    found = listing()
    claim = {"title": "Nothing is wrong.", "area": "typing", "setup": "standard"}
    found["defects"] = [{"id": name, "breaks": ["TYP-09"], **claim} for name in ("none", "gone")]
    print(json.dumps(found))
elif sys.argv[1] == "gone":
    sys.exit("no")
else:
    main()
"""


@pytest.mark.timeout(300)
def test_a_few_defects_are_killed(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    wanted = ("time-as-a-number", "ciphertext-reencoded")
    words = [word for name in wanted for word in ("--run", name)]
    ended = asyncio.run(
        relaykit("selftest", *words, "--timeout-factor", "3", "--report", f"json={report}", seconds=240)
    )
    assert ended.code == 0, ended
    data = json.loads(report.read_text())
    assert {one["id"]: one["outcome"] for one in data["defects"]} == dict.fromkeys(wanted, "killed")
    assert data["sound"] == []
    assert problems(Document(str(report), data, {}), matrix.schema()) == []


@pytest.mark.timeout(300)
def test_a_defect_that_survives_or_does_not_start_fails_the_run(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(SOUND)
    command = f"{sys.executable} {program}"
    ended = asyncio.run(
        relaykit("selftest", "--defects", command, "--run", "none", "--timeout-factor", "3", seconds=240)
    )
    assert ended.code == 1, ended
    assert "survived" in ended.out
    ended = asyncio.run(relaykit("selftest", "--defects", command, "--run", "gone", seconds=120))
    assert ended.code == 5, ended
    assert "unusable" in ended.out


def test_mistakes_are_usage_errors(tmp_path: Path) -> None:
    broken = tmp_path / "matrix.json"
    broken.write_text("{")
    for words, said in (
        (("--run", "no-such-thing"), "no defect fits"),
        (("--run", "colour:red"), "the part before ':'"),
        (("--report", "html=x.html"), "json=FILE"),
        (("--report", f"json={tmp_path}"), "this is a folder"),
        (("--report", f"json={broken}/x"), "cannot be written there"),
        (("--matrix", str(tmp_path)), "this is a folder"),
        (("--matrix", f"{broken}/x"), "cannot be written there"),
        (("--defects", "/no/such/program"), "cannot be run"),
        (("--defects", "false"), "exit status 1"),
        (("--run", "time-as-a-number", "--matrix", str(broken)), "not a matrix"),
    ):
        ended = asyncio.run(relaykit("selftest", *words))
        assert ended.code == 2, ended
        assert said in ended.err, ended
        assert not ended.out, "before anything ran"


def test_a_sample_is_the_same_for_the_same_seed() -> None:
    words = ("selftest", "--sample", "3", "--seed", "x", "--list", "--format", "json")
    one, two = (asyncio.run(relaykit(*words)).out for _ in range(2))
    assert one == two
    assert len(json.loads(one)) == 3


def test_the_committed_matrix_is_about_the_defects_and_cases_that_there_are() -> None:
    catalogue, data = load_catalogue(), matrix.committed()
    assert problems(Document(str(matrix.COMMITTED), data, {}), matrix.schema()) == []
    listing = asyncio.run(list_defects(PROGRAM, catalogue.requirements))
    said = {one["id"]: (one["title"], one["area"], one["setup"], one["breaks"]) for one in data["defects"]}
    assert said == {
        each.id: (each.title, each.area, each.setup, list(each.breaks)) for each in listing.defects
    }, "run `relaykit selftest --matrix conformance/selftest/matrix.json`"
    cases = {case.id for case in load_cases(catalogue)}
    for one in data["defects"]:
        for kills in one["kills"].values():
            named = {kill["case"] for kill in kills if not kill["case"].startswith("shape-")}
            assert named <= cases or named & cases, (one["id"], named - cases)
