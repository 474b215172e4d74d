"""Strict JSON: every fault has a reason of its own and a place, and hostile input costs linear time."""

from __future__ import annotations

import contextlib
import json
import random
import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from relaykit.schemas import FrameError, strict_json
from relaykit.schemas.frozen import freeze, thaw
from relaykit.schemas.leaky import may_leak
from relaykit.schemas.scan import scan
from relaykit.schemas.strict_json import decode, loads, plain
from relaykit.schemas.wording import shorten

FAULTS: list[tuple[bytes, str, int]] = [
    (b"", "json", 0),
    (b"   ", "json", 3),
    (b"hello", "json", 0),
    (b'{"a":1', "json", 6),
    (b'{"a":1,}', "json", 7),
    (b'{"a" 1}', "json", 5),
    (b'{"a":1}{"b":2}', "json", 7),
    (b"{'a':1}", "json", 1),
    (b'{"a":01}', "json", 5),
    (b'{"a":1.}', "json", 5),
    (b'{"a":"x\ny"}', "json", 5),
    (b'{"a":"\\x"}', "json", 5),
    (b'{"a":[1,2}', "json", 9),
    (b'{"a":tru}', "json", 5),
    (b'{"type":"ping","type":"ping"}', "duplicate-key", 15),
    (b'{"a":{"b":1,"c":[{"d":1,"\\u0064":2}]}}', "duplicate-key", 24),
    (b'{"a":NaN}', "nan", 5),
    (b'{"a":-Infinity}', "nan", 5),
    (b'{"a":1e400}', "nan", 5),
    (b'{"a":"\\ud800"}', "surrogate", 5),
    (b'{"\\udc00\\ud800":1}', "surrogate", 1),
    (b'{"a":9007199254740993}', "integer", 5),
    (b'{"a":-9007199254740993}', "integer", 5),
    (b'{"a":' + b"9" * 10_000 + b"}", "integer", 5),
    (b'{"a":' * 65 + b"1" + b"}" * 65, "depth", 5 * 64),
    (b'{"a":' + b"[" * 64 + b"]" * 64 + b"}", "depth", 5 + 63),
    (b"[" * 100_000, "depth", 64),
    (b'\xef\xbb\xbf{"a":1}', "bom", 0),
    ('{"a":1}'.encode("utf-16"), "utf8", 0),
    (b"\xef\xbb\xbf\xad", "utf8", 3),
    (b'{"a":"\xff"}', "utf8", 6),
    (b'{"a":"\xed\xa0\x80"}', "utf8", 6),
    (b'{"a":"\xc0\x80"}', "utf8", 6),
    (b"[1]", "object", 0),
    (b'"text"', "object", 0),
    (b"null", "object", 0),
]


@pytest.mark.parametrize(("data", "reason", "offset"), FAULTS, ids=lambda value: repr(value)[:40])
def test_each_fault_has_its_reason_and_place(data: bytes, reason: str, offset: int) -> None:
    with pytest.raises(FrameError) as caught:
        decode(data)
    assert (caught.value.reason, caught.value.offset) == (reason, offset)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"a":[1,2.5,-0,1E5,true,false,null,"\\u00e9\\n\\/"]}',
        ' { "a" : 1 }\r\n',
        '{"a":9007199254740992,"b":-9007199254740992}',
        '{"a":"\\ud83d\\ude00","b":"é😀"}',
        '{"a":{"x":1},"b":{"x":1}}',
        '{"a":' * 64 + "1" + "}" * 64,
        '{"a":"[[[[{{{{' + "[" * 100 + '"}',
        '{"a":"\\\\ud800","b":"\\\\"}',
        '{"a":1e-400,"b":123456789012345678901234567890.0}',
    ],
)
def test_what_is_right_passes_as_text_and_as_bytes(text: str) -> None:
    assert decode(text) == decode(text.encode()) == json.loads(text)


def test_a_lone_surrogate_in_text_is_told_from_other_faults() -> None:
    with pytest.raises(FrameError) as caught:
        decode('{"a":"\ud800"}')
    assert caught.value.reason == "surrogate"


def test_the_line_of_a_fault_is_named_in_frames_of_several_lines() -> None:
    with pytest.raises(FrameError, match="on line 3 of the frame") as caught:
        decode(b'{\n"a":1,\n "a":2}')
    assert caught.value.line == 3


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"a":"x\ny"}', "not JSON: found a broken string (no end, a control character or a wrong escape)"),
        (b"{'a':1}", 'not JSON: found "\'" where a key is expected, at byte 1'),
        (b'{"a":tru}', 'not JSON: found "tru" where a value is expected, at byte 5'),
        (b'{"a":1,}', 'not JSON: found "}" where a key is expected, at byte 7'),
        (b'{"a":1', "not JSON: it ends where a comma or the end is expected, at byte 6"),
        (b'{"a":1}}', 'not JSON: found "}" where nothing more is expected, at byte 7'),
    ],
)
def test_a_fault_says_what_was_found_and_what_was_expected(data: bytes, said: str) -> None:
    with pytest.raises(FrameError) as caught:
        decode(data)
    assert said in str(caught.value)


def _mutations(seed: int, number: int) -> list[bytes]:
    """Valid compact and spaced JSON, with bytes changed, put in and taken out."""
    dice = random.Random(seed)
    sample: Any = {
        "a": [1, -2.5e3, True, None, {"b": 'é\n"x', "c": {}}],
        "d": "\\u0041",
        "e": 2**53 - 1,
    }
    texts = [orjson.dumps(sample), json.dumps(sample).encode(), json.dumps(sample, indent=1).encode()]
    result = []
    for _ in range(number):
        data = bytearray(dice.choice(texts))
        for _ in range(dice.randrange(3)):
            at = dice.randrange(len(data))
            data[at : at + dice.randrange(3)] = dice.choice(
                [b"", b'"', b"{", b"}", b",", b"1", b"\\", b"\xff", b" "]
            )
        result.append(bytes(data))
    return result


def test_the_scan_finds_a_fault_exactly_where_parsers_refuse() -> None:
    """The scanner explains; orjson, which decides, must never disagree with it."""
    refused = 0
    for data in _mutations(7, 4000):
        try:
            data.decode()
        except UnicodeDecodeError:
            continue
        try:
            orjson.loads(data)
            text_is_json = True
        except orjson.JSONDecodeError:
            text_is_json = False
        fault = scan(data, 64)
        refused += not text_is_json
        if text_is_json:
            assert fault is None or fault.reason in ("duplicate-key", "integer", "depth"), data
        else:
            assert fault is not None, data
    assert refused > 500


def test_quick_and_slow_look_agree() -> None:
    taken = 0
    for data in _mutations(8, 4000):
        quick = strict_json.glance(data, 64)
        try:
            slow = loads(data)
        except FrameError:
            assert quick is None, data
            continue
        if quick is not None:
            taken += 1
            assert quick == slow
    assert taken > 300


def test_the_quick_look_takes_blanks_between_values_but_no_duplicates() -> None:
    dice = random.Random(9)
    tricky = ["a", "b", ", ", ",", ": ", '": ', '":', ', "', ', {"', "a, ", "a,", '\\", "a": 1', "\u0001"]
    taken = refused = 0
    for _ in range(3000):
        keys = [dice.choice(tricky) for _ in range(dice.randint(1, 3))]
        members = ", ".join(f"{json.dumps(key)}: {json.dumps(dice.choice([*tricky, 1]))}" for key in keys)
        data = f'{{"x": [{{{members}}}, {{"y": 1}}]}}'.encode()
        quick = strict_json.glance(data, 64)
        if len(set(keys)) < len(keys):
            refused += 1
            assert quick is None, data
        elif quick is not None:
            taken += 1
            assert quick == json.loads(data)
    assert taken > 300
    assert refused > 300
    assert strict_json.glance(json.dumps({"type": "ping", "payload": {}}).encode(), 64) is not None


def test_the_quick_look_takes_many_containers_but_no_deep_ones() -> None:
    """What is wide costs a parse, and no slow look for its brackets alone."""
    wide = json.dumps({"x": [[], {}] * 5000}, separators=(",", ":")).encode()
    assert strict_json.glance(wide, 3) == json.loads(wide)
    assert strict_json.glance(wide, 2) is None
    with pytest.raises(FrameError, match="nested deeper than 2 levels"):
        decode(wide, max_depth=2)


@pytest.mark.parametrize(
    "make",
    [
        lambda n: b"[" * n,
        lambda n: b'{"a":' * n,
        lambda n: b'{"a":[' + b"[]," * n + b"1]}",
        lambda n: b"{" + b'"a":1,' * n + b'"a":1}',
        lambda n: b'{"a":"' + b'\\"' * n,
        lambda n: b'{"a":' + b"9" * n + b"}",
        lambda n: b'{"a":' + b" " * n + b"x}",
        lambda n: b'{"a":"' + b"\\u0041" * n + b'"}' + b"x",
    ],
    ids=["arrays", "objects", "wide", "duplicates", "quotes", "digits", "blanks", "escapes"],
)
def test_hostile_input_costs_linear_time(make: Callable[[int], bytes]) -> None:
    """A step per byte squared would take minutes; a step per byte takes a moment on any machine."""
    data = make(300_000)
    begun = time.process_time()
    with contextlib.suppress(FrameError):
        decode(data)
    assert time.process_time() - begun < 20


BAD_VALUES: list[tuple[Any, str, str]] = [
    ({"a": [1, float("nan")]}, "nan", "/a/1"),
    ({"a": float("inf")}, "nan", "/a"),
    ({"a": {"b/c~": "\ud800"}}, "surrogate", "/a/b~1c~0"),
    ({"\udc00": 1}, "surrogate", ""),
    ({"a": 2**53 + 1}, "integer", "/a"),
    ({1: 2}, "json", ""),
    ({"a": {1, 2}}, "json", "/a"),
    ({"a": b"x"}, "json", "/a"),
]


@pytest.mark.parametrize(("value", "reason", "pointer"), BAD_VALUES, ids=lambda value: ascii(value)[:30])
def test_parsed_values_are_looked_at_as_strictly(value: Any, reason: str, pointer: str) -> None:
    with pytest.raises(FrameError) as caught:
        plain(value)
    assert (caught.value.reason, caught.value.pointer) == (reason, pointer)


def test_parsed_values_that_contain_themselves_end_at_the_depth_limit() -> None:
    loop: dict[str, Any] = {}
    loop["a"] = loop
    with pytest.raises(FrameError) as caught:
        plain(loop)
    assert caught.value.reason == "depth"


def test_frozen_values_behave_like_json_and_do_not_change() -> None:
    value = {"a": [1, {"b": None}], "c": "x"}
    frozen = freeze(value)
    assert frozen == value
    assert json.loads(json.dumps(frozen)) == orjson.loads(orjson.dumps(frozen)) == value
    for change in (
        lambda: frozen.update(a=1),
        lambda: frozen.__setitem__("a", 1),
        lambda: frozen.pop("a"),
        lambda: frozen["a"].append(1),
        lambda: frozen["a"].__setitem__(0, 2),
        lambda: frozen["a"][1].clear(),
        lambda: frozen["a"].sort(),
    ):
        with pytest.raises(TypeError, match="copy"):
            change()
    copy = thaw(frozen)
    copy["a"][1]["b"] = 1
    assert frozen == value


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("x" * 10_000, '"' + "x" * 59 + '…"'),
        ("a\x1b[31m\u202eb\x85", '"a\\u001b[31m\\u202eb\\u0085"'),
        ({"a": 1}, "object (1 property)"),
        (list(range(10**6)), "array (1,000,000 items)"),
        (10**10_000, "an integer of 33220 bits"),
        (None, "null"),
        (True, "true"),
        (1.5, "1.5"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_are_shown_short_and_harmless(value: Any, shown: str) -> None:
    assert shorten(value) == shown


LONG = "k" * 65


@pytest.mark.parametrize(
    ("text", "leaky"),
    [
        (f'{{"{LONG}":1,"{LONG}":2}}', True),
        (f'{{"{LONG}" \n:1,"{LONG}":2}}', True),
        (f'{{"{LONG[:40]}\\"{LONG[:40]}":1,"{LONG[:40]}\\"{LONG[:40]}":2}}', True),
        (f'{{"é{LONG[:63]}":1,"é{LONG[:63]}":2}}', True),  # bytes count, not characters
        (f'{{"{LONG[:64]}":1,"{LONG[:64]}":2}}', False),
        (f'{{"a":"{LONG}","b":"{LONG}"}}', False),
        (f'{{"a":"{LONG}"}}', False),
    ],
)
def test_text_that_would_cost_memory_for_good_is_seen(text: str, leaky: bool) -> None:
    assert may_leak(text.encode()) is leaky
    with contextlib.suppress(FrameError):
        assert decode(text.encode(), wary=True) == decode(text.encode())


def test_wary_or_not_the_same_faults_are_found() -> None:
    for text in (
        f'{{"{LONG}":1,"{LONG}":2}}',
        f'{{"{LONG}":{2**60},"{LONG}":2}}',
        "[" * 70 + f'{{"{LONG}":"\\',
    ):
        found = []
        for wary in (False, True):
            with pytest.raises(FrameError) as caught:
                decode(text.encode(), wary=wary)
            found.append((caught.value.reason, str(caught.value)))
        assert found[0] == found[1]


@pytest.mark.parametrize("text", ['{"a":1,"a":2', '{"a":1,"a":2}', "[" * 70, f"[{2**60}]", "[1 2]", "[NaN]"])
def test_a_long_text_is_not_scanned_by_the_wary(text: str) -> None:
    blanks = " " * strict_json.LONG
    for wary, placed in ((False, True), (True, False)):
        with pytest.raises(FrameError) as caught:
            decode((blanks + text).encode(), wary=wary)
        assert (caught.value.offset is not None) is placed
        assert str(caught.value)
    with pytest.raises(FrameError) as caught:  # a short one is
        decode(text.encode(), wary=True)
    assert caught.value.offset is not None
