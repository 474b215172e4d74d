"""What the pages say comes from the data, whole and escaped."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from support.html_page import HtmlPage

from relaykit.conformance.loader import load_files
from relaykit.docs_gen import build
from relaykit.docs_gen.diagrams import Box, sentences
from relaykit.docs_gen.sequence import sequence
from relaykit.docs_gen.states import state_diagrams
from relaykit.schemas import load_catalogue


def test_every_frame_field_rule_and_code_is_found_by_its_name(documentation: build.Documentation) -> None:
    found = {(row["title"], row["href"]) for row in build.search_entries(documentation.site, ".html")}
    titles = {title for title, _ in found}
    catalogue = documentation.catalogue
    assert titles >= {name for _, name in catalogue.frames}
    assert titles >= set(catalogue.requirements) | set(catalogue.protocol.error_codes)
    for view in documentation.site.frames:
        for field in view.fields:
            assert field.extra or (field.name, f"{view.target}.html#{field.anchor}") in found


def test_every_field_of_every_example_stands_in_the_field_table(documentation: build.Documentation) -> None:
    def paths(value: Any, prefix: str) -> Iterator[str]:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                yield f"{prefix}{key}"
                yield from paths(inner, f"{prefix}{key}.")
        elif isinstance(value, list):
            for inner in value:
                yield from paths(inner, f"{prefix[:-1]}[].")

    open_objects = ("payload.candidate.", "payload.metadata.")  # their further members are anybody's
    for view in documentation.site.frames:
        known = {field.path for field in view.fields}
        for example in documentation.catalogue.frame(view.direction, view.type).examples:
            unknown = {path for path in paths(example, "") if not path.startswith(open_objects)} - known
            assert unknown == set(), view.target


def test_invalid_examples_show_the_errors_they_earn(documentation: build.Documentation) -> None:
    for view in documentation.site.frames:
        assert view.invalid, view.target
        for example in view.invalid:
            judged = documentation.catalogue.validate(example.compact, view.direction)
            assert not judged.valid
            assert [fault.message for fault in example.faults] == [f.message for f in judged.findings]
            assert any(line.marked for line in example.lines), (view.target, example.caption)


def test_captions_tell_examples_apart_and_say_what_is_wrong_with_what(
    documentation: build.Documentation,
) -> None:
    views = {view.target: view for view in documentation.site.frames}
    for view in views.values():
        captions = [example.caption for example in (*view.examples, *view.invalid)]
        assert len(set(captions)) == len(captions) or view.target == "frames/c2s/read_receipt", captions
        undocumented = [each for each in view.invalid if "is not documented" in each.faults[0].message]
        assert len(undocumented) <= 1, view.target
    assert "Only what is required: `status` `away`" in {
        e.caption for e in views["frames/c2s/presence"].examples
    }
    assert "With null for what has no value" in {e.caption for e in views["frames/c2s/send"].examples}
    wrong = {example.caption for example in views["frames/c2s/presence"].invalid}
    assert {"`payload.status`: a word that is not in the list", "An undocumented property"} <= wrong


def test_what_is_judged_in_every_case_is_said_so_where_nothing_else_proves_it(
    documentation: build.Documentation,
) -> None:
    for rule in documentation.site.requirements:
        throughout = [case for case in rule.cases if case.title.startswith("in every case: ")]
        assert throughout in ([], list(rule.cases)), rule.id
        assert all(case.id.startswith("shape-") for case in throughout), rule.id
        if rule.id == "MSG-04":
            assert "in every case: each `deliver` that the server sends" in {
                case.title for case in throughout
            }


def test_restarts_and_connections_beside_older_ones_are_said(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(
        """\
- id: comes-back
  title: A device that comes back
  area: messages
  catches: Nothing, it is for a test.
  actors: {alice: {}}
  steps:
    - connect: {as: alice, overlap: true, req: CONN-14}
    - restart: kill
    - restart: stop
    - connect: {as: alice, req: MSG-15}
"""
    )
    (scenario,) = load_files(load_catalogue(), [path])
    rows = sequence(scenario).rows
    assert [row.label for row in rows if not isinstance(row, Box)] == [
        *("connects again", "killed and started again", "stopped and started again", "connects"),
    ]
    assert next(sentences(rows))[1] == "alice connects again, and closes its older connection then"


def test_state_diagrams_name_only_what_exists(documentation: build.Documentation) -> None:
    diagrams = state_diagrams(documentation.catalogue)
    assert set(diagrams) == {"message", "call", "device"}


def _change(path: Path, key: str, text: str) -> None:
    schema = json.loads(path.read_text("utf-8"))
    schema[key] = text
    path.write_text(json.dumps(schema), "utf-8")


def test_a_changed_description_changes_its_pages_and_nothing_else_is_needed(
    changed: Path, files: Mapping[str, str]
) -> None:
    words = "Tells everyone that the marmalade is ready."
    _change(changed / "frames/c2s/typing.schema.json", "description", words)
    now = build.site_files(build.documentation(load_catalogue(changed)))
    for name in ("frames/c2s/typing.html", "frames/c2s/typing.md", "guides/frames.html", "search.json"):
        assert words.removesuffix(".") in now[name], name
        assert words.removesuffix(".") not in files[name], name


def test_markup_in_the_data_is_text_on_the_page(changed: Path) -> None:
    evil = "<script>alert(1)</script> & <img src=x onerror=alert(1)> `</code><b>` [x](javascript:alert)"
    schema = json.loads((changed / "frames/c2s/typing.schema.json").read_text("utf-8"))
    schema["description"] = schema["title"] = evil
    schema["x-replies"][0]["when"] = evil
    schema["properties"]["payload"]["description"] = evil
    schema["properties"]["payload"]["properties"]["is_typing"]["description"] = evil
    (changed / "frames/c2s/typing.schema.json").write_text(json.dumps(schema), "utf-8")
    rules = changed / "requirements/typing.yaml"
    first, rest = rules.read_text("utf-8").split("  text: ", 1)
    sentence = json.dumps(f"A `typing` MUST show {evil}.")
    rules.write_text(f"{first}  text: {sentence}\n{rest.partition(chr(10))[2]}", "utf-8")
    documentation = build.documentation(load_catalogue(changed))
    now = build.site_files(documentation)
    for name, text in now.items():
        if name.endswith(".html"):
            assert "<script>alert" not in text, name
            assert "<img" not in text, name
            assert "javascript:" not in re.sub(r">[^<]*<|content=\"[^\"]*\"", "", text), name
    assert "&lt;script&gt;alert(1)" in now["frames/c2s/typing.html"]
    whole = build.single_file(documentation)
    assert "<script>alert" not in whole
    assert (
        HtmlPage(whole).tags["script"]
        == HtmlPage(build.single_file(build.documentation(load_catalogue()))).tags["script"]
    )


def test_a_rule_names_those_without_which_it_shows_in_nothing(
    documentation: build.Documentation, files: Mapping[str, str]
) -> None:
    resting = [rule for rule in documentation.catalogue.requirements.values() if rule.presupposes]
    told = {
        row["id"]: row["presupposes"]
        for row in json.loads(files["downloads/requirements.json"])["requirements"]
    }
    for rule in resting:
        assert told[rule.id] == list(rule.presupposes)
        area = documentation.catalogue.protocol.areas[rule.area].file
        section = files[f"requirements/{area}.md"].partition(f"## {rule.id}\n")[2].partition("\n## ")[0]
        assert "Shows only where these are kept" in section
        assert all(f"[{base}](" in section for base in rule.presupposes)
