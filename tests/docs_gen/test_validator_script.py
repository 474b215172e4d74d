"""The validator in the pages judges as `relaykit validate` does: the same verdict, place and rule."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from relaykit.docs_gen.render import static
from relaykit.docs_gen.script_schemas import script_schemas, slim
from relaykit.errors import KitDefect
from relaykit.schemas import Catalogue, load_catalogue

RAW = (
    "",
    "   ",
    "{",
    "{}",
    "[]",
    "null",
    '"x"',
    "1",
    '{"type":"heartbeat"}',
    ' {"type" : "heartbeat"}\n',
    '{"type":"heartbeat"}{"type":"heartbeat"}',
    '{"type":"heartbeat"}\n{"type":"heartbeat"}',
    '{"type":"heartbeat",}',
    "{'type':'heartbeat'}",
    '{type:"heartbeat"}',
    '{"type":"heartbeat","type":"pong"}',
    '{"type":"heartbeat","payload":{"a":1,"a":1}}',
    '{"type":"heartbeat","\\u0074ype":"pong"}',
    '\ufeff{"type":"heartbeat"}',
    '{"type":"presence","payload":{"status":NaN}}',
    '{"type":"presence","payload":{"status":-Infinity}}',
    '{"type":"presence","payload":{"status":1e400}}',
    '{"type":"presence","payload":{"status":9007199254740992}}',
    '{"type":"presence","payload":{"status":9007199254740993}}',
    '{"type":"presence","payload":{"status":-9007199254740993}}',
    '{"type":"presence","payload":{"status":01}}',
    '{"type":"presence","payload":{"status":1.}}',
    '{"type":"presence","payload":{"status":.5}}',
    '{"type":"presence","payload":{"status":"\\ud800"}}',
    '{"type":"presence","payload":{"status":"\\ud83d\\ude00"}}',
    '{"type":"presence","payload":{"\\udc00":1}}',
    '{"type":"presence","payload":{"status":"a\tb"}}',
    '{"type":"presence","payload":{"status":"a\\x"}}',
    '{"type":"presence","payload":{"status":"away"',
    '{"type":"presence","payload":[[[]]}',
    '{"type":"presence"]',
    '{"type":"presence" "payload":{}}',
    '{"type":"presence","payload":truer}',
    '{"type":"presence","payload":True}',
    '{"type":1}',
    '{"type":null}',
    '{"type":"sendd"}',
    '{"type":"SEND"}',
    '{"type":"sent_ack"}',
    '{"type":"constructor"}',
    '{"type":"heartbeat","__proto__":1}',
    '{"type":"heartbeat","__proto__":{"payload":1}}',
    '{"type":"heartbeat","payload":{"constructor":1}}',
    '{"type":"heartbeat","x":' + "[" * 62 + "]" * 62 + "}",
    '{"type":"heartbeat","x":' + "[" * 63 + "]" * 63 + "}",
    '{"type":"heartbeat","x":' + "[" * 64 + "]" * 64 + "}",
    "[" * 70,
)

RUNNER = """
const fs = require("fs");
const validator = require(process.argv[2]);
const {schemas, cases} = JSON.parse(fs.readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(cases.map(([text, direction]) => {
  const verdict = validator.validate(text, direction, schemas);
  const told = verdict.findings.map(f => [f.severity, f.pointer, f.keyword, f.requirement, f.message]);
  return [verdict.valid, verdict.type, told];
})));
"""


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


def _judge_in_node(folder: Path, catalogue: Catalogue, cases: list[tuple[str, str]]) -> list[Any]:
    script = folder / "validator.js"
    script.write_text(static("validator.js"), "utf-8")
    runner = folder / "runner.js"
    runner.write_text(RUNNER, "utf-8")
    given = json.dumps({"schemas": script_schemas(catalogue), "cases": cases})
    node = shutil.which("node") or "node"
    done = subprocess.run([node, runner, script], input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout)
    return found


def _differences(folder: Path, catalogue: Catalogue, cases: list[tuple[str, str]]) -> list[str]:
    found = []
    for (text, direction), (valid, name, findings) in zip(
        cases, _judge_in_node(folder, catalogue, cases), strict=True
    ):
        expected = catalogue.validate(text, direction)
        ours = sorted((f.severity, f.pointer, f.keyword, f.requirement) for f in expected.findings)
        theirs = sorted(tuple(finding[:4]) for finding in findings)
        if (expected.valid, expected.type, ours) != (valid, name, theirs):
            found.append(
                f"{direction} {text[:200]}\n  python {expected.valid} {ours}\n  page   {valid} {theirs}"
            )
    return found


@pytest.mark.node
def test_every_vector_gets_the_same_findings(tmp_path: Path, catalogue: Catalogue) -> None:
    cases = [
        (json.dumps(vector.data, ensure_ascii=False), vector.direction) for vector in catalogue.vectors()
    ]
    assert len(cases) > 1000
    differences = _differences(tmp_path, catalogue, [(text, str(way)) for text, way in cases])
    assert not differences, f"{len(differences)} differ\n" + "\n".join(differences[:5])


@pytest.mark.node
def test_every_example_is_valid_in_the_page(tmp_path: Path, catalogue: Catalogue) -> None:
    cases = [
        (json.dumps(example), spec.direction)
        for spec in catalogue.frames.values()
        for example in spec.examples
    ]
    judged = _judge_in_node(tmp_path, catalogue, [(text, str(way)) for text, way in cases])
    assert [text for (text, _), verdict in zip(cases, judged, strict=True) if not verdict[0]] == []


@pytest.mark.node
@pytest.mark.parametrize("direction", ["c2s", "s2c"])
def test_faults_of_json_itself_are_found_alike(tmp_path: Path, catalogue: Catalogue, direction: str) -> None:
    differences = _differences(tmp_path, catalogue, [(text, direction) for text in RAW])
    assert not differences, "\n".join(differences)


def test_a_keyword_that_the_script_lacks_fails_the_build() -> None:
    with pytest.raises(KitDefect, match="dependentRequired"):
        slim({"properties": {"a": {"dependentRequired": {}}}}, "c2s x")
    with pytest.raises(KitDefect, match="'uri'"):
        slim({"type": "string", "format": "uri"}, "c2s x")
    assert slim({"title": "T", "description": "<script>", "type": "string"}, "c2s x") == {"type": "string"}
