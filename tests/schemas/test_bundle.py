"""Bundles: self-contained, open as a client needs them, and understood by any draft 2020-12 validator."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import jsonschema_rs
import pytest
from click.testing import CliRunner
from support.catalogues import named
from support.node_tools import run_node

from relaykit.errors import UsageError
from relaykit.schemas import DIRECTIONS, Vector, bundle, frame_bundle, load_catalogue, thaw
from relaykit.schemas.export.commands import export

CATALOGUE = load_catalogue()


def rust(schema: Any) -> Any:
    return jsonschema_rs.Draft202012Validator(
        schema, offline=True, validate_formats=True, ignore_unknown_formats=False
    )


def vectors() -> list[Vector]:
    return [vector for vector in CATALOGUE.vectors() if isinstance(vector.data, dict)]


@pytest.mark.parametrize("extensions", [True, False])
@pytest.mark.parametrize("closed", [True, False])
def test_everything_is_inside(extensions: bool, closed: bool) -> None:
    text = json.dumps(bundle(CATALOGUE, extensions=extensions, closed=closed))
    references = set(re.findall(r'"\$ref": "([^"]+)"', text))
    defined = json.loads(text)["$defs"]
    assert references - {f"#/$defs/{name}" for name in defined} == set()
    assert ('"x-' in text) == extensions
    assert "$id" not in text
    jsonschema.Draft202012Validator.check_schema(json.loads(text))
    for direction, name in CATALOGUE.frames:
        assert f"{direction}.{name}" in defined


@pytest.mark.parametrize("closed", [True, False])
def test_the_bundle_judges_like_the_catalogue(closed: bool) -> None:
    whole = bundle(CATALOGUE, extensions=False, closed=closed)
    judges = {d: rust({**whole, "anyOf": [{"$ref": f"#/$defs/{d}"}]}) for d in DIRECTIONS}
    either = rust(whole)
    alone = {
        key: rust(frame_bundle(spec, extensions=False, closed=closed))
        for key, spec in CATALOGUE.frames.items()
    }
    differing = []
    for vector in vectors():
        verdict = CATALOGUE.validate(vector.data, vector.direction, strict=closed).valid
        assert judges[vector.direction].is_valid(vector.data) == verdict, f"{named(vector)}: of its direction"
        if vector.data.get("type") == vector.type:
            assert alone[vector.direction, vector.type].is_valid(vector.data) == verdict, named(vector)
        assert either.is_valid(vector.data) or not verdict, f"{named(vector)}: of either direction"
        if verdict != vector.valid:
            differing.append(named(vector))
    # Open, the bundle takes what is undocumented, and nothing else than that.
    assert bool(differing) is not closed, differing[:5]


def test_opening_touches_frames_from_servers_only() -> None:
    loose, tight = bundle(CATALOGUE, closed=False), bundle(CATALOGUE, closed=True)
    for direction, name in CATALOGUE.frames:
        key = f"{direction}.{name}"
        assert (loose["$defs"][key] == tight["$defs"][key]) == (direction == "c2s"), key
    extra = {"type": "ping", "new_field": 1, "payload": {"another": 1}}
    assert rust(loose).is_valid(extra)
    assert not rust(tight).is_valid(extra)
    assert not rust(loose).is_valid({"type": "heartbeat", "new_field": 1})


def test_bundling_leaves_the_catalogue_alone() -> None:
    before = thaw(CATALOGUE.frame("s2c", "deliver").bundled)
    frame_bundle(CATALOGUE.frame("s2c", "deliver"), extensions=False)["properties"].clear()
    bundle(CATALOGUE, extensions=False)
    assert CATALOGUE.frame("s2c", "deliver").bundled == before


def run(*arguments: str) -> Any:
    return CliRunner().invoke(export, ["bundle", *arguments])


def test_the_command_writes_the_same(tmp_path: Path) -> None:
    assert json.loads(run().stdout) == bundle(CATALOGUE)
    assert json.loads(run("--no-extensions", "--closed").stdout) == bundle(
        CATALOGUE, extensions=False, closed=True
    )
    assert json.loads(run("--frame", "s2c/deliver").stdout) == frame_bundle(CATALOGUE.frame("s2c", "deliver"))
    path = tmp_path / "bundle.json"
    assert run("--output", str(path)).stdout == ""
    assert json.loads(path.read_text()) == bundle(CATALOGUE)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--frame", "send"], "names no frame"),
        (["--frame", "c2s/sned"], "did you mean 'send'"),
        (["--output", "/nowhere/at/all"], "cannot be written"),
    ],
)
def test_mistakes_are_named(arguments: list[str], said: str) -> None:
    result = run(*arguments)
    assert isinstance(result.exception, UsageError)
    assert said in str(result.exception)


AJV = """
const Ajv = require("ajv/dist/2020").default, addFormats = require("ajv-formats").default;
const {schemas, frames} = JSON.parse(require("fs").readFileSync(0));
const judged = schemas.map(schema => {
  const ajv = new Ajv({strict: true});
  addFormats(ajv);
  const check = ajv.compile(schema);
  return frames.map(frame => check(frame));
});
console.log(JSON.stringify(judged));
"""


@pytest.mark.node
def test_ajv_takes_the_bundle_in_its_strictest_mode_and_judges_alike() -> None:
    schemas = [bundle(CATALOGUE, extensions=False, closed=closed) for closed in (True, False)]
    given = vectors()
    verdicts = run_node(AJV, given={"schemas": schemas, "frames": [vector.data for vector in given]})
    for schema, judged in zip(schemas, verdicts, strict=True):
        ours = rust(schema)
        odd = [
            named(vector)
            for vector, verdict in zip(given, judged, strict=True)
            if ours.is_valid(vector.data) != verdict and ":60" not in json.dumps(vector.data)
        ]
        assert odd == []
