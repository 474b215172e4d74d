"""What other tools read: their own parsers take it without a word, and judge by it as the source does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from click.testing import CliRunner, Result
from openapi_spec_validator import OpenAPIV31SpecValidator
from support.catalogues import copied, named
from support.node_tools import run_node

from relaykit.errors import UsageError
from relaykit.schemas import Vector, control_operations, load_catalogue
from relaykit.schemas.export.asyncapi import VIEWS, View, asyncapi
from relaykit.schemas.export.commands import export, exports
from relaykit.schemas.export.openapi import control_openapi
from relaykit.schemas.export.typescript import typescript
from relaykit.schemas.subschemas import references

CATALOGUE = load_catalogue()


def vectors() -> Iterator[Vector]:
    return CATALOGUE.vectors()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(export, arguments, standalone_mode=False)


# --- AsyncAPI -----------------------------------------------------------------------------------------------

PARSER = """
const { Parser } = require("@asyncapi/parser");
(async () => {
  const parsed = {}, given = JSON.parse(require("fs").readFileSync(0, "utf8"));
  for (const [view, text] of Object.entries(given)) {
    const { document, diagnostics } = await new Parser().parse(JSON.stringify(text));
    parsed[view] = {
      diagnostics: diagnostics.map(each => [each.code, each.path.join("/"), each.message]),
      operations: document ? document.operations().all().map(operation => ({
        id: operation.id(), action: operation.action(),
        messages: operation.messages().all().map(each => [each.id(), each.name(), each.payload().json()]),
        replies: operation.reply()?.messages().all().map(each => each.name()) ?? [],
      })) : [],
    };
  }
  console.log(JSON.stringify(parsed));
})();
"""


@pytest.mark.node
def test_the_official_parser_takes_asyncapi_and_every_vector_is_judged_alike() -> None:
    payloads: dict[View, dict[tuple[str, str], Any]] = {view: {} for view in VIEWS}
    for view, parsed in run_node(PARSER, given={view: asyncapi(CATALOGUE, view) for view in VIEWS}).items():
        # The newest parser, with specifications up to the one that the documents follow (tests/tools). Were
        # 3.1.0 there, it would remark that 3.0.0 is not the latest; but tools pass over 3.1.0 in silence.
        assert parsed["diagnostics"] == [], view
        for operation in parsed["operations"]:
            ((id_, name, payload),) = operation["messages"]
            direction = id_.partition(".")[0]
            assert operation["id"] == id_ == f"{direction}.{name}", view
            sends = (direction == "c2s") == (view == "client")
            assert operation["action"] == ("send" if sends else "receive"), (view, id_)
            spec = CATALOGUE.frame(direction, name)
            assert set(operation["replies"]) == {reply.type for reply in spec.replies}, (view, id_)
            payloads[view][direction, name] = payload
    assert payloads["client"] == payloads["server"]
    assert set(payloads["client"]) == set(CATALOGUE.frames)
    # By draft 7, which AsyncAPI's schemas extend: what they would mean to its readers.
    judges = {
        key: jsonschema_rs.Draft7Validator(payload, offline=True, validate_formats=True)
        for key, payload in payloads["client"].items()
    }
    odd = []
    for vector in vectors():  # of what servers send, undocumented properties are tolerated on both sides
        text = json.dumps(vector.data)
        ours = CATALOGUE.validate(text, vector.direction).valid
        if judges[vector.direction, vector.type].is_valid(vector.data) != ours:
            odd.append(named(vector))
    assert odd == []


def test_asyncapi_holds_everything_inside() -> None:
    for view in VIEWS:
        text = json.dumps(asyncapi(CATALOGUE, view))
        assert '"$ref": "#/' in text
        assert text.count('"$ref"') == text.count('"$ref": "#/')
    client, server = (asyncapi(CATALOGUE, view)["operations"]["c2s.send"]["action"] for view in VIEWS[::-1])
    assert (client, server) == ("send", "receive")


def test_examples_of_asyncapi_are_valid_frames() -> None:
    for key, message in asyncapi(CATALOGUE, "client")["components"]["messages"].items():
        direction = key.partition(".")[0]
        assert message["examples"]
        for example in message["examples"]:
            assert CATALOGUE.validate(example["payload"], direction).valid, key


def test_asyncapi_shows_examples_of_frames_at_their_messages_and_of_types_where_they_are() -> None:
    document = asyncapi(CATALOGUE, "client")
    schemas = document["components"]["schemas"]
    assert [f"{way}.{name}" for way, name in CATALOGUE.frames if "examples" in schemas[f"{way}.{name}"]] == []
    assert schemas["timestamp"]["examples"]
    assert re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", document["info"]["version"]), (
        "as AsyncAPI's readers sort it"
    )


# --- OpenAPI ------------------------------------------------------------------------------------------------


def test_openapi_is_valid_and_describes_every_operation() -> None:
    document = control_openapi(CATALOGUE.root)
    OpenAPIV31SpecValidator(document).validate()
    assert {path.removeprefix("/") for path in document["paths"]} == set(control_operations())
    schemas = document["components"]["schemas"]
    used = {reference for schema in schemas.values() for reference in references(schema)}
    assert used
    assert used <= {f"#/components/schemas/{name}" for name in schemas}
    assert "types.schema.json" not in json.dumps(document)


# --- TypeScript ---------------------------------------------------------------------------------------------

TSC = """
const ts = require("typescript");
const {files} = JSON.parse(require("fs").readFileSync(0));
const options = {strict: true, noEmit: true, exactOptionalPropertyTypes: true, types: [], noLib: false,
  target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ES2022,
  moduleResolution: ts.ModuleResolutionKind.Bundler};
const host = ts.createCompilerHost(options);
const own = host.getSourceFile.bind(host);
host.getSourceFile = (name, ...rest) =>
  name in files ? ts.createSourceFile(name, files[name], options.target) : own(name, ...rest);
host.fileExists = name => name in files || ts.sys.fileExists(name);
host.readFile = name => files[name] ?? ts.sys.readFile(name);
const program = ts.createProgram(Object.keys(files), options, host);
console.log(JSON.stringify(ts.getPreEmitDiagnostics(program).map(each => [
  each.file?.fileName ?? "", each.file ? each.file.getLineAndCharacterOfPosition(each.start).line : 0,
  ts.flattenDiagnosticMessageText(each.messageText, " ")])));
"""


def _compiled(lines: list[str], declarations: str | None = None) -> dict[int, str]:
    """What the compiler says of lines of code that import the declarations: line → message."""
    code = ['import type { ClientFrame, ClientFrames, ServerFrame, ServerFrames } from "./frames";', *lines]
    files = {"/frames.d.ts": declarations or typescript(CATALOGUE), "/use.ts": "\n".join(code)}
    found: dict[int, str] = {}
    for name, line, text in run_node(TSC, given={"files": files}):
        assert name == "/use.ts", (name, text)
        found[line - 1] = text
    return found


def _line(number: int, vector: Vector) -> str:
    who = "Client" if vector.direction == "c2s" else "Server"
    # A fresh literal may hold nothing undocumented; what comes from a server may.
    text = json.dumps(vector.data, ensure_ascii=True)
    return f"const v{number}: {who}Frames[{json.dumps(vector.type)}] = {text};"


def _documented(vector: Vector) -> bool:
    judged = CATALOGUE.judge(dict(vector.data), vector.direction)
    return judged.valid and not judged.findings


@pytest.mark.node
def test_every_valid_vector_has_its_type() -> None:
    valid = [vector for vector in vectors() if vector.valid and _documented(vector)]
    assert len(valid) > 400
    found = _compiled([_line(number, vector) for number, vector in enumerate(valid)])
    assert {number: (valid[number].data, text) for number, text in found.items()} == {}


# What a type cannot say, by the keyword that judges it: forms, limits, and rules that hang on a value.
_BEYOND_TYPES = {
    *("pattern", "format", "minLength", "maxLength", "not", "anyOf"),
    *("minItems", "maxItems", "uniqueItems", "minimum", "maximum"),
}


@pytest.mark.node
def test_most_invalid_vectors_do_not_have_it() -> None:
    wrong = []
    for vector in vectors():
        if vector.valid or vector.direction != "c2s" or not isinstance(vector.data, dict):
            continue
        errors = [f for f in CATALOGUE.judge(dict(vector.data), "c2s").findings if f.severity == "error"]
        told = {finding.keyword for finding in errors}
        whole = any(isinstance(f.value, str) and "." in f.value and f.keyword == "type" for f in errors)
        if not told & _BEYOND_TYPES and not whole:
            wrong.append(vector)
    assert len(wrong) > 300
    found = _compiled([_line(number, vector) for number, vector in enumerate(wrong)])
    taken = [wrong[number].data for number in range(len(wrong)) if number not in found]
    assert taken == []


@pytest.mark.node
def test_the_type_tells_the_frame() -> None:
    use = [
        "declare const frame: ServerFrame;",
        'if (frame.type === "deliver") { const id: string = frame.message_id; }',
        'if (frame.type === "deliver") { const wrong: number = frame.payload.ciphertext; }',
        'const unknown: ClientFrame = { type: "sned" };',
        'const known: ClientFrame = { type: "heartbeat" };',
        'const word: ServerFrames["error"]["payload"]["error_code"] = "a_code_of_their_own";',
    ]
    assert sorted(_compiled(use)) == [2, 3]


def test_no_text_of_a_schema_leaves_its_comment(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    path = folder / "frames/c2s/typing.schema.json"
    schema = json.loads(path.read_text("utf-8"))
    schema["description"] = "Ends */ export const evil = 1; /*\nsecond line"
    path.write_text(json.dumps(schema), "utf-8")
    text = typescript(load_catalogue(folder))
    assert "Ends *\\/ export const evil = 1; /* second line" in text


# --- the commands -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["asyncapi"], "asyncapi.client.json"),
        (["asyncapi", "--view", "server"], "asyncapi.server.json"),
        (["openapi"], "control.openapi.json"),
        (["control-lines"], "control.lines.schema.json"),
        (["typescript"], "frames.d.ts"),
        (["bundle"], "protocol.schema.json"),
    ],
)
def test_each_command_writes_what_the_documentation_holds(
    tmp_path: Path, arguments: list[str], name: str
) -> None:
    out = tmp_path / "out"
    assert run(*arguments, "--output", str(out)).exit_code == 0
    assert out.read_text("utf-8") == exports(CATALOGUE)[name]
    printed = run(*arguments).stdout
    assert printed == out.read_text("utf-8") or json.loads(printed) == json.loads(out.read_text("utf-8"))


def test_a_control_operation_without_an_example_is_the_catalogues_mistake(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    path = folder / "control.openapi.yaml"
    text = path.read_text("utf-8")
    path.write_text(text.replace('examples: [["drop@deliver:3"]]', "title: Faults"), "utf-8")
    assert path.read_text("utf-8") != text
    result = run("control-lines", "--catalogue", str(folder))
    assert isinstance(result.exception, UsageError), result.output
    assert 'set_faults has no example of {"type": "string", "minLength": 1}' in str(result.exception)
