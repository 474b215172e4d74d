"""What machines find beside the pages, and what the matrix says of defects."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from fnmatch import fnmatch

import pytest

from relaykit.conformance.selftest.matrix import committed
from relaykit.docs_gen import build
from relaykit.docs_gen.downloads import DOWNLOADS, ROOT_FILES, download_files
from relaykit.docs_gen.suite import Results, told
from relaykit.schemas import load_catalogue
from relaykit.schemas.export.commands import exports


@pytest.fixture(scope="module")
def documentation() -> build.Documentation:
    return build.documentation(
        load_catalogue(), Results("a run", {}, {"MSG-12": "pass"}, "2026-01-31", "1.2")
    )


@pytest.fixture(scope="module")
def files(documentation: build.Documentation) -> Mapping[str, str]:
    return build.site_files(documentation)


def test_every_export_is_written_and_named(
    documentation: build.Documentation, files: Mapping[str, str]
) -> None:
    written = {name.removeprefix("downloads/") for name in files if name.startswith("downloads/")}
    assert written == {each.name for each in DOWNLOADS}
    assert written >= set(exports(documentation.catalogue))
    page = files["reference/downloads.html"]
    for each in DOWNLOADS:
        assert f'href="../downloads/{each.name}"' in page
        assert f"(downloads/{each.name})" in files["llms.txt"]
    for each in ROOT_FILES:
        assert each.name in files
        assert f'href="../{each.name}"' in page


def test_the_matrix_of_requirements_is_the_same_as_csv_and_json(
    documentation: build.Documentation,
) -> None:
    found = download_files(documentation.catalogue, documentation.site)
    table = list(csv.DictReader(io.StringIO(found["downloads/requirements.csv"])))
    data = json.loads(found["downloads/requirements.json"])
    judged = {"target": "a run", "started": "2026-01-31", "kit": "1.2", "catalogue": None}
    assert data["report"] == judged
    requirements = documentation.catalogue.requirements
    assert [row["id"] for row in table] == [row["id"] for row in data["requirements"]] == list(requirements)
    for row, entry in zip(table, data["requirements"], strict=True):
        rule = requirements[row["id"]]
        assert (row["level"], row["provenance"]) == (rule.level, rule.provenance)
        assert row["cases"].split() == entry["cases"]
        assert row["defects"].split() == entry["defects"]
        assert int(row["caught"]) == entry["caught"] <= len(entry["defects"])
        assert (row["verdict"] or None) == entry["verdict"]
    assert sum(bool(entry["cases"]) for entry in data["requirements"]) > 300


def test_defects_stand_beside_the_requirements_that_they_break(
    documentation: build.Documentation, files: Mapping[str, str]
) -> None:
    matrix = committed()
    views = {view.id: view for view in documentation.site.requirements}
    for row in matrix["requirements"]:
        proof = views[row["id"]].proof
        if row["defects"]:
            assert proof is not None
            assert [defect.id for defect in proof.defects] == row["defects"]
            caught = proof.caught(row["id"])
            assert (row["verdict"] == "proven") == (caught == len(row["defects"]))
            area = views[row["id"]].area
            assert f"{caught} of {len(row['defects'])} seeded" in files[f"requirements/{area}.html"]
    page = files["requirements/defects.html"]
    for defect in matrix["defects"]:
        assert f'id="{defect["id"]}"' in page
        for kills in defect["kills"].values():
            for kill in kills:
                assert f"{kill['case']}</a>" in page, kill


def test_derived_cases_stand_together(documentation: build.Documentation, files: Mapping[str, str]) -> None:
    derived = [case for case in told(documentation.catalogue).cases if case.kind == "derived"]
    page = files["scenarios/derived.html"]
    assert len(derived) > 1000
    others = page.partition('id="server-only"')[2]
    assert page.count("<li><code>") + others.count("<li id=") == len(derived)
    views = {view.id: view for view in documentation.site.requirements}
    for case in derived:
        for id_ in case.requirements:
            groups = [proving.id for proving in views[id_].cases if proving.kind == "derived"]
            assert any(fnmatch(case.id, group) for group in groups), (case.id, id_)
    assert all(len(view.cases) < 100 for view in views.values())


def test_of_derived_cases_the_worst_result_is_shown() -> None:
    catalogue = load_catalogue()
    first, second, *_ = [
        case for case in told(catalogue).cases if case.kind == "derived" and case.frame == "send"
    ]
    results = Results("a run", {first.id: "fail", second.id: "pass"})
    site = build.documentation(catalogue, results).site
    views = {view.id: view for view in site.requirements}
    groups = [c for id_ in first.requirements for c in views[id_].cases if fnmatch(first.id, c.id)]
    assert groups
    assert {group.verdict for group in groups} == {"fail"}


def test_a_formula_is_text_in_a_table() -> None:
    from relaykit.docs_gen.downloads import _cell

    assert _cell("=HYPERLINK(1)") == "'=HYPERLINK(1)"
    assert _cell(["a", "b"]) == "a b"
    assert _cell(None) == ""
