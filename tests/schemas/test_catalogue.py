"""The catalogue: what it knows, that it never changes, that any other is read, what broken ones get."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from support.catalogues import FRAMES, PROTOCOL, frame, write_catalogue

from relaykit import schemas
from relaykit.errors import UsageError
from relaykit.schemas import DIRECTIONS, UnknownType, load_catalogue, thaw
from relaykit.schemas.flatten import deepest, flattened


def test_the_installed_catalogue_is_read_once() -> None:
    assert load_catalogue() is load_catalogue()


def test_it_knows_every_frame_by_direction_and_type() -> None:
    catalogue = load_catalogue()
    assert {(d, t) for d in DIRECTIONS for t in catalogue.types(d)} == set(catalogue.frames)
    spec = catalogue.frame("c2s", "send")
    assert (spec.direction, spec.type, Path(spec.source).name) == ("c2s", "send", "send.schema.json")
    assert any(reply.type == "sent_ack" for reply in spec.replies)


def test_an_unknown_type_is_a_key_error_that_names_the_nearest() -> None:
    with pytest.raises(KeyError, match="did you mean 'send'"):
        load_catalogue().frame("c2s", "snd")
    with pytest.raises(UnknownType) as caught:
        load_catalogue().frame("s2c", "send")
    assert "there is no s2c frame" in str(caught.value)


def test_every_bundled_schema_stands_alone() -> None:
    for spec in load_catalogue().frames.values():
        references = re.findall(r'"\$ref": "([^"]+)"', json.dumps(spec.bundled))
        assert all(reference.startswith("#/$defs/") for reference in references)
        needed = {reference.removeprefix("#/$defs/") for reference in references}
        assert needed == set(spec.bundled.get("$defs", {})), "only what is needed, and all of it"
        jsonschema_rs.Draft202012Validator(thaw(spec.bundled), offline=True)


def test_it_cannot_be_changed() -> None:
    catalogue = load_catalogue()
    spec = catalogue.frame("c2s", "send")
    changes: list[Callable[[], Any]] = [
        lambda: catalogue.frames.__setitem__(("c2s", "x"), spec),
        lambda: spec.schema.__setitem__("type", "array"),
        lambda: spec.bundled["properties"].clear(),
        lambda: spec.examples[0].update(type="x"),
        lambda: catalogue.protocol.limits.clear(),
        lambda: catalogue.requirements.clear(),
    ]
    for change in changes:
        with pytest.raises((TypeError, AttributeError)):
            change()
    with pytest.raises(dataclasses.FrozenInstanceError):
        catalogue.digest = ""


def test_protocol_values_are_at_hand() -> None:
    protocol = load_catalogue().protocol
    assert protocol.limits["max_depth"].fixed
    assert protocol.capabilities["core"].required
    assert {"auth_failed", "rate_limited"} <= protocol.error_codes.keys()
    assert all(code == entry.code for code, entry in protocol.close_codes.items())


def test_the_requirements_that_faults_break_exist() -> None:
    catalogue = load_catalogue()
    named = {rule for faults in catalogue.protocol.faults.values() for rule in faults.values()}
    assert named
    assert named <= catalogue.requirements.keys()


def test_another_catalogue_is_read_just_as_well(tmp_path: Path) -> None:
    toy = load_catalogue(write_catalogue(tmp_path))
    assert toy.protocol.name == "Toy"
    assert toy.types("c2s") == {"move"}
    assert toy.types("s2c") == {"move", "tell"}
    assert toy.validate(b'{"type":"move","payload":{"x":1,"of":null}}', "c2s").valid
    assert not toy.validate(b'{"type":"heartbeat"}', "c2s").valid
    assert set(toy.frame("c2s", "move").bundled["$defs"]) == {"id", "point"}


def test_the_digest_changes_with_any_file(tmp_path: Path) -> None:
    before = load_catalogue(write_catalogue(tmp_path)).digest
    assert load_catalogue(tmp_path).digest == before
    path = tmp_path / "types.schema.json"
    path.write_text(path.read_text().replace("Point", "Pound"))
    assert load_catalogue(tmp_path).digest != before


def test_definitions_of_one_name_in_two_files_stay_apart(tmp_path: Path) -> None:
    (tmp_path / "more.schema.json").write_text(json.dumps({"$defs": {"id": {"type": "integer"}}}))
    both = {
        "type": "object",
        "properties": {
            "a": {"allOf": [{"$ref": "../../types.schema.json#/$defs/id"}]},
            "b": {"allOf": [{"$ref": "../../more.schema.json#/$defs/id"}]},
        },
    }
    write_catalogue(tmp_path, frames={("c2s", "both"): frame("c2s", "both", both)})
    toy = load_catalogue(tmp_path)
    assert toy.validate({"type": "both", "payload": {"a": "x", "b": 1}}, "c2s").valid
    assert not toy.validate({"type": "both", "payload": {"a": "x", "b": "x"}}, "c2s").valid


def test_a_schema_may_refer_to_a_whole_file(tmp_path: Path) -> None:
    (tmp_path / "whole.schema.json").write_text(json.dumps({"type": "integer"}))
    schema = frame("c2s", "count", {"allOf": [{"$ref": "../../whole.schema.json"}]})
    toy = load_catalogue(write_catalogue(tmp_path, frames={("c2s", "count"): schema}))
    assert set(toy.frame("c2s", "count").bundled["$defs"]) == {"whole"}
    assert toy.validate({"type": "count", "payload": 1}, "c2s").valid
    assert not toy.validate({"type": "count", "payload": "1"}, "c2s").valid


def test_schemas_that_refer_to_themselves_work(tmp_path: Path) -> None:
    types = {"$defs": {"tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}}
    schema = frame("c2s", "grow", {"allOf": [{"$ref": "../../types.schema.json#/$defs/tree"}]})
    toy = load_catalogue(write_catalogue(tmp_path, types=types, frames={("c2s", "grow"): schema}))
    assert toy.validate({"type": "grow", "payload": [[], [[]]]}, "c2s").valid
    assert not toy.validate({"type": "grow", "payload": [[], [1]]}, "c2s").valid


def _broken(folder: Path, what: str) -> None:
    """Write a catalogue with one thing wrong."""
    frames = {key: json.loads(json.dumps(schema)) for key, schema in FRAMES.items()}
    move = frames["c2s", "move"]
    if what == "reference":
        move["properties"]["payload"] = {"$ref": "../../types.schema.json#/$defs/pont"}
    elif what == "reference-file":
        move["properties"]["payload"] = {"$ref": "../../typos.schema.json#/$defs/point"}
    elif what == "direction":
        move["x-direction"] = "s2c"
    elif what == "const":
        move["properties"]["type"] = {"const": "moved"}
    elif what == "schema":
        move["properties"]["payload"] = {"type": "strin"}
    write_catalogue(folder, frames=frames)
    path = folder / "frames/c2s/move.schema.json"
    if what == "json":
        path.write_text('{\n  "title": "x",\n}')
    elif what == "duplicate":
        path.write_text('{"title": "x",\n "title": "y"}')
    elif what == "protocol":
        (folder / "protocol.yaml").write_text(PROTOCOL.replace("default: 8", "defualt: 8"))
    elif what == "keyword":
        (folder / "meta.schema.json").write_text(
            json.dumps({"properties": {"title": {"maxLength": 2}, "x-direction": True}})
        )


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("json", r"move\.schema\.json:3: not JSON"),
        ("duplicate", r"move\.schema\.json:2: the key \"title\" stands twice"),
        ("reference", r"move\.schema\.json: \$ref .*#/\$defs/pont.*did you mean 'point'"),
        ("reference-file", r"move\.schema\.json: \$ref .*typos\.schema\.json.*cannot be read"),
        ("direction", r"move\.schema\.json: /x-direction"),
        ("const", r"move\.schema\.json: /properties/type/const"),
        ("schema", r"move\.schema\.json: /properties/payload/type: not a JSON Schema"),
        ("protocol", r"protocol\.yaml:9: /limits/max_depth/defualt: unknown key 'defualt'.*'default'"),
        ("keyword", r"move\.schema\.json:1: /title"),
    ],
)
def test_broken_files_are_named_with_the_place(tmp_path: Path, what: str, said: str) -> None:
    _broken(tmp_path, what)
    with pytest.raises(UsageError, match=said):
        load_catalogue(tmp_path)


def test_a_folder_that_is_no_catalogue_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=f"{re.escape(str(tmp_path))}: no catalogue: it has no protocol.yaml"
    ):
        load_catalogue(tmp_path)
    (tmp_path / "protocol.yaml").write_text(PROTOCOL)
    with pytest.raises(UsageError, match="no catalogue"):
        load_catalogue(tmp_path)


def _requirement(id_: str, more: str = "") -> str:
    return (
        f"- {{id: {id_}, level: MUST, text: A server MUST do what this sentence says., source: Overview,"
        f" provenance: documented, frames: []{more}}}\n"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (_requirement("TOY-01") * 2, r"toys\.yaml:2: TOY-01 stands twice, first at .*toys\.yaml:1"),
        (_requirement("ZZZ-01"), r"toys\.yaml:1: ZZZ-01: .*no area ZZZ"),
        ("- {id: TOY-01}\n", r"toys\.yaml:1: .*level"),
        (
            _requirement("TOY-01", ", presupposes: [TOY-02]"),
            r"toys\.yaml:1: TOY-01 presupposes TOY-02, which is no requirement",
        ),
        (
            _requirement("TOY-01", ", presupposes: [TOY-02]")
            + _requirement("TOY-02", ", presupposes: [TOY-03]")
            + _requirement("TOY-03"),
            r"toys\.yaml:1: TOY-01 presupposes TOY-02, which presupposes others itself",
        ),
    ],
    ids=["twice", "area", "shape", "no-base", "chain"],
)
def test_broken_requirements_are_named_with_the_place(tmp_path: Path, text: str, said: str) -> None:
    write_catalogue(tmp_path)
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "toys.yaml").write_text(text)
    toy = load_catalogue(tmp_path)
    with pytest.raises(UsageError, match=said):
        len(toy.requirements)


def test_broken_vectors_are_named_with_the_place(tmp_path: Path) -> None:
    write_catalogue(tmp_path)
    path = tmp_path / "vectors" / "c2s" / "move.json"
    path.parent.mkdir(parents=True)
    path.write_text('[\n {"description": "x",\n  "tests": [{"description": "y", "data": {}}]}]')
    with pytest.raises(UsageError, match=r"move\.json:3: /0/tests/0"):
        list(load_catalogue(tmp_path).vectors())


def test_the_flattened_schema_judges_like_the_bundled_one() -> None:
    """The quick verdict comes from a rewritten schema: it must be the same on everything known."""
    verdicts = {True: 0, False: 0}
    forms = {
        key: [
            jsonschema_rs.Draft202012Validator(
                thaw(form), validate_formats=True, ignore_unknown_formats=False
            ).is_valid
            for form in (spec.bundled, flattened(spec.bundled))
        ]
        for key, spec in load_catalogue().frames.items()
    }
    for vector in load_catalogue().vectors():
        written, flat = (judge(vector.data) for judge in forms[vector.direction, vector.type])
        assert written == flat, vector
        verdicts[written] += 1
    assert min(verdicts.values()) > 100


@pytest.mark.parametrize(
    "schema",
    [
        {"allOf": [{"properties": {"a": {"type": "string"}}}], "additionalProperties": False},
        {"allOf": [{"properties": {"a": {"type": "string"}}}], "additionalProperties": {"type": "integer"}},
        {"properties": {"a": {"minLength": 2}}, "allOf": [{"properties": {"a": {"maxLength": 3}}}]},
        {"properties": {"a": {"minLength": 2}}, "allOf": [{"properties": {"a": {"minLength": 3}}}]},
        {
            "required": ["a"],
            "allOf": [{"required": ["b"]}, {"additionalProperties": False, "properties": {"a": True}}],
        },
        {"allOf": [{"additionalProperties": False, "properties": {"a": True}}, {"properties": {"b": True}}]},
        {"properties": {"b": True}, "allOf": [{"additionalProperties": False, "properties": {"a": True}}]},
        {
            "allOf": [{"if": {"required": ["a"]}, "then": {"required": ["b"]}}],
            "if": {"required": ["b"]},
            "then": False,
        },
        {"allOf": [{"enum": [1, {"a": "x"}]}], "enum": [True, {"a": "x"}]},
        {"allOf": [False]},
        {"unevaluatedProperties": False, "allOf": [{"properties": {"a": True}}]},
        {"contains": {"$ref": "#/$defs/one"}, "$defs": {"one": {"const": 1}}},
        {"$ref": "#/$defs/one", "minProperties": 2, "$defs": {"one": {"type": "object"}}},
        {"properties": {"a": {"type": "string", "pattern": "^x.?$", "not": {"pattern": "\n"}}}},
        {"properties": {"a": {"type": "string", "pattern": "^[^y]*$", "not": {"pattern": "\n"}}}},
    ],
    ids=lambda schema: json.dumps(schema)[:50],
)
def test_flattening_never_changes_the_meaning(schema: dict[str, Any]) -> None:
    values: list[Any] = [
        {},
        *({"a": value} for value in ("x", "xx", "xxxx", "x\n", 1)),
        *({"b": value} for value in ("x", 1)),
        *({"a": value, "b": 1} for value in ("x", "xxx", 1)),
        {"c": 1},
        1,
        True,
        [],
        [1],
        [2],
    ]
    written, flat = (jsonschema_rs.Draft202012Validator(form) for form in (schema, flattened(schema)))
    assert [written.is_valid(value) for value in values] == [flat.is_valid(value) for value in values]


@pytest.mark.parametrize(
    ("schema", "levels"),
    [
        (False, 0),
        (True, math.inf),
        ({}, math.inf),
        ({"type": "string"}, 0),
        ({"enum": [1, "x"]}, 0),
        ({"const": {"a": 1}}, math.inf),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, math.inf),
        ({"type": "object", "additionalProperties": False}, 1),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}, 1),
        ({"type": "array"}, math.inf),
        ({"type": ["array", "null"], "items": {"type": "string"}}, 1),
        ({"type": "array", "items": {"type": "object", "additionalProperties": False}}, 2),
        ({"anyOf": [{"type": "null"}, {"type": "array", "items": {"type": "null"}}]}, 1),
        ({"allOf": [{"type": "object"}, {"type": "object", "additionalProperties": False}]}, 1),
    ],
    ids=json.dumps,
)
def test_how_deep_a_value_can_be(schema: Any, levels: float) -> None:
    assert deepest(schema) == levels


def test_what_is_left_out_the_validator_says_by_itself() -> None:
    """UUIDs are left to their format, and patterns end where the string does."""
    types = json.loads((load_catalogue().root / "types.schema.json").read_text())["$defs"]
    uuid, opaque, stamp = ((types[name], flattened(types[name])) for name in ("uuid", "opaque", "timestamp"))
    assert "pattern" not in uuid[1]
    assert "not" not in opaque[1]
    assert "not" not in stamp[1]
    known = "6Ba7b810-9dad-11d1-80b4-00c04fd430c8"
    odd = [*map(chr, range(0x180)), "\u0660", "\u2010", "\uff10", "\U0001d7d8"]
    texts = [known[:at] + one + known[at + gone :] for at in range(37) for gone in (0, 1) for one in odd]
    texts += [known[:at] for at in range(37)] + [known + known, f"{{{known}}}", f"urn:uuid:{known}"]
    texts += [known.replace("-", ""), known.upper(), "q83v==", "q83v=\n", "a\n", "\n", "", "a b", "a-_+/"]
    texts += [stamp + end for stamp in types["timestamp"]["examples"] for end in ("", "\n", " ")]
    for written, flat in (uuid, opaque, stamp):
        judges = [
            jsonschema_rs.Draft202012Validator(form, validate_formats=True, pattern_options=engine).is_valid
            for form in (written, flat)
            for engine in (jsonschema_rs.RegexOptions(), jsonschema_rs.FancyRegexOptions())
        ]
        verdicts = [tuple(judge(text) for judge in judges) for text in texts]
        assert set(verdicts) == {(True,) * 4, (False,) * 4}


def test_the_docstring_teaches_what_is_true() -> None:
    import doctest

    assert doctest.testmod(schemas).failed == 0
    assert doctest.testmod(schemas).attempted >= 3
