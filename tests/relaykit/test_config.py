"""Configuration files: strict, and every problem names its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from relaykit.config import Tagged, load_yaml, parse_yaml, problems, read_secret, require_valid
from relaykit.errors import UsageError

SCHEMA = {
    "type": "object",
    "properties": {
        "timing": {
            "type": "object",
            "properties": {"reply_ms": {"type": "integer"}, "quiet_ms": {"type": "integer"}},
            "additionalProperties": False,
        },
        "key": {
            "oneOf": [
                {"type": "string"},
                {"type": "object", "properties": {"env": {"type": "string"}}, "additionalProperties": False},
            ]
        },
    },
    "additionalProperties": False,
}


def test_only_true_false_null_and_numbers_are_not_strings() -> None:
    text = (
        "a: no\nb: 2025-12-04\nc: 1_000\nd: 1e3\ne: true\nf: null\ng: '7'\nh: 0x10\ni: 12:30\nj: 007\nk: -2.5"
    )
    assert parse_yaml(text).data == {
        "a": "no",
        "b": "2025-12-04",
        "c": "1_000",
        "d": 1000.0,
        "e": True,
        "f": None,
        "g": "7",
        "h": "0x10",
        "i": "12:30",
        "j": "007",
        "k": -2.5,
    }


def test_a_duplicate_key_names_its_line() -> None:
    with pytest.raises(UsageError, match=r"target\.yaml:3: the key 'a' stands twice"):
        parse_yaml("a: 1\nb: 2\na: 3\n", "target.yaml")


@pytest.mark.parametrize(
    "text", ["a: [1, 2", "a: b: c", "\tx: 1", "a: &x [*x]", "{[a]: 1}", "- !python/object:os.x {}"]
)
def test_what_is_not_plain_yaml_is_a_usage_error_with_its_line(text: str) -> None:
    with pytest.raises(UsageError, match=r"^f\.yaml:\d+"):
        parse_yaml(text, "f.yaml")


def test_aliases_cannot_blow_up_memory() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
    )
    with pytest.raises(UsageError, match="too large"):
        parse_yaml(bomb)


def test_an_unknown_key_names_the_nearest_right_one_and_the_line() -> None:
    document = parse_yaml("timing:\n  quiet_ms: 5\n  replay_ms: 3\n", "t.yaml")
    assert [str(problem) for problem in problems(document, SCHEMA)] == [
        "t.yaml:3: /timing/replay_ms: unknown key 'replay_ms' (did you mean 'reply_ms'?)"
    ]


def test_a_key_that_no_list_of_names_has_is_found_where_it_stands() -> None:
    schema = {"properties": {"deep": {"propertyNames": {"enum": ["x-route", "x-stamps"]}}}}
    document = parse_yaml("deep:\n  x-stamps: 1\n  x-ruote: 2\n", "t.yaml")
    assert [str(problem) for problem in problems(document, schema)] == [
        "t.yaml:3: /deep/x-ruote: unknown key 'x-ruote' (did you mean 'x-route'?)"
    ]


def test_of_alternatives_the_one_that_was_meant_is_explained() -> None:
    document = parse_yaml("key: {enw: X}", "t.yaml")
    (problem,) = problems(document, SCHEMA)
    assert problem.pointer == "/key/enw"
    assert "did you mean 'env'" in problem.message


def test_where_no_alternative_was_meant_all_are_named() -> None:
    (problem,) = problems(parse_yaml("key: 5", "t.yaml"), SCHEMA)
    assert problem.message == '5 is not of type "string" or 5 is not of type "object"'


def test_a_problem_in_a_list_names_the_line_of_its_item() -> None:
    schema = {"properties": {"list": {"items": {"type": "integer"}}}}
    document = parse_yaml("list:\n  - 1\n  - two\n", "t.yaml")
    assert [(p.line, p.pointer) for p in problems(document, schema)] == [(3, "/list/1")]


def test_what_is_not_there_is_placed_at_what_would_hold_it() -> None:
    document = parse_yaml("a:\n  b: 1\nc: 2\n", "t.yaml")
    assert [document.line(pointer) for pointer in ("/a/b", "/a/x", "/a/b/x/y", "/c", "/x", "")] == [
        *(2, 1, 2, 3, 1, 1),
    ]
    assert document.place("/a/b/x") == "t.yaml:2"


def test_documents_are_bounded_in_depth() -> None:
    assert parse_yaml("[" * 65 + "]" * 65).data
    with pytest.raises(UsageError, match="nested too deeply"):
        parse_yaml("[" * 66 + "]" * 66)


def test_a_word_that_is_not_in_the_list_is_shown_with_the_list_and_the_nearest() -> None:
    schema = {"properties": {"mode": {"enum": ["strict", "loose", 5, None]}}}
    said = {
        text: problems(parse_yaml(f"mode: {text}", "t.yaml"), schema)[0].message for text in ("strickt", "6")
    }
    assert said == {
        "strickt": "'strickt' is not one of strict, loose, 5, null (did you mean 'strict'?)",
        "6": "'6' is not one of strict, loose, 5, null",
    }


def test_all_problems_are_reported_at_once() -> None:
    document = parse_yaml("timing: {reply_ms: soon}\nkeys: 1", "t.yaml")
    with pytest.raises(UsageError) as caught:
        require_valid(document, SCHEMA)
    assert "t.yaml:1: /timing/reply_ms" in str(caught.value)
    assert "t.yaml:2: /keys" in str(caught.value)


def test_tags_are_known_only_where_they_are_allowed() -> None:
    assert parse_yaml("a: !match ^x$", tags=frozenset({"!match"})).data == {"a": Tagged("!match", "^x$")}
    with pytest.raises(UsageError, match="!match is not known here"):
        parse_yaml("a: !match ^x$")


def test_an_unreadable_file_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe")
    for path in (tmp_path, tmp_path / "missing.yaml", tmp_path / "binary.yaml"):
        with pytest.raises(UsageError, match=path.name):
            load_yaml(path)


def test_secrets_come_from_the_environment_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("s3cret-value\n")
    monkeypatch.setenv("KEY_FOR_TEST", "from-env")
    assert read_secret({"file": "key"}, base=tmp_path) == "s3cret-value"
    assert read_secret({"env": "KEY_FOR_TEST"}, base=tmp_path) == "from-env"
    monkeypatch.setenv("EMPTY_KEY_FOR_TEST", "")
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "binary").write_bytes(b"\xff")
    for spec, said in (
        ({"file": "none"}, "none: the secret cannot be read: No such file"),
        ({"file": "binary"}, "binary: the secret cannot be read: not UTF-8"),
        ({"file": "empty"}, "empty: the secret is empty"),
        ({"env": "KEY_THAT_IS_NOT_SET"}, "KEY_THAT_IS_NOT_SET is not set or empty"),
        ({"env": "EMPTY_KEY_FOR_TEST"}, "EMPTY_KEY_FOR_TEST is not set or empty"),
        (None, "a secret is missing"),
    ):
        with pytest.raises(UsageError, match=said):
            read_secret(spec, base=tmp_path)
