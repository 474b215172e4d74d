"""What `relaykit validate` reads: every kind of file, folders, patterns, standard input."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from support.validating import HEARTBEAT, HERE, PING, WRONG, counts, ndjson, places, report, run

from relaykit.schemas import load_catalogue, thaw
from relaykit.schemas.validate import markdown


def test_a_frame_an_array_and_several_frames_as_json(write: Any) -> None:
    assert counts(report(write("one.json", HEARTBEAT))) == (1, 1, 0, 0)
    pretty = json.dumps([HEARTBEAT, WRONG, PING], indent=2).encode()
    result = report(write("many.json", pretty))
    assert counts(result) == (3, 2, 1, 0)
    assert places(result) == [(5, 1, "presence")]
    several = b"\n".join(json.dumps(frame, indent=2).encode() for frame in (HEARTBEAT, WRONG))
    assert places(report(write("several.json", several))) == [(4, 1, "presence")]


def test_in_ndjson_each_line_stands_alone(write: Any) -> None:
    lines = (
        HEARTBEAT,
        b"",
        b"{broken",
        [HEARTBEAT],
        b"\xff\xfe\xff",
        b'{"type":"heartbeat"}\r',
        WRONG,
        b'{"type":"heartbeat","type":"heartbeat"}',
        PING,
    )
    result = report(write("lines.ndjson", ndjson(*lines)))
    assert counts(result) == (8, 3, 5, 0)
    assert [(frame["line"], frame["index"], frame["errors"][0]["keyword"]) for frame in result["frames"]] == [
        (3, 1, "json"),
        (4, 2, "object"),
        (5, 3, "utf8"),
        (7, 5, "enum"),
        (8, 6, "duplicate-key"),
    ]


def test_ndjson_is_judged_alike_line_by_line_and_in_blocks(write: Any) -> None:
    """The quick way over blocks must not differ from the way each line would go alone."""
    frames: list[Any] = [
        thaw(example) for spec in load_catalogue().frames.values() for example in spec.examples
    ]
    frames += [vector.data for vector in load_catalogue().vectors() if isinstance(vector.data, dict)]
    lines = [json.dumps(frame, separators=(",", ":"), ensure_ascii=False).encode() for frame in frames]
    together = report(write("all.ndjson", ndjson(*lines)), "--all")
    apart = report(write("all.json", b"[" + b",\n".join(lines) + b"]"), "--all")
    quick = report(write("all.ndjson", ndjson(*lines)))
    assert len(together["frames"]) == len(lines)
    strip = lambda result: [{k: v for k, v in frame.items() if k != "source"} for frame in result["frames"]]  # noqa: E731
    assert strip(together) == strip(apart)
    assert strip(quick) == [frame for frame in strip(together) if frame["errors"]]
    assert counts(together) == counts(apart) == counts(quick)


def test_too_deep_is_seen_on_the_quick_way_too(write: Any) -> None:
    deep = b'{"a":' * 64 + b"1" + b"}" * 64
    candidate = thaw(load_catalogue().frame("c2s", "ice_candidate").examples[0])
    candidate["payload"]["candidate"]["more"] = "HERE"
    allowed = json.dumps(candidate, separators=(",", ":")).encode()
    lines = [
        allowed,
        allowed.replace(b'"HERE"', deep),
        b'{"type":"ping","x":' + deep + b"}",
        json.dumps(HEARTBEAT, separators=(",", ":")).encode(),
    ]
    result = report(write("deep.ndjson", ndjson(*lines)))
    assert counts(result) == (4, 2, 2, 0)
    assert [frame["errors"][0]["keyword"] for frame in result["frames"]] == ["depth", "depth"]


def test_a_duplicate_key_among_valid_lines_is_seen(write: Any) -> None:
    """Nothing else in the block is odd: only writing the frame again shows it."""
    twice = b'{"type":"presence","payload":{"status":"away","status":"online"}}'
    result = report(write("twice.ndjson", ndjson(b'{"type":"heartbeat"}', twice, b'{"type":"heartbeat"}')))
    assert [(frame["line"], frame["errors"][0]["keyword"]) for frame in result["frames"]] == [
        (2, "duplicate-key")
    ]


def test_recorded_lines_say_their_direction(write: Any) -> None:
    path = write(
        "recorded.ndjson",
        ndjson(
            {"direction": "c2s", "frame": HEARTBEAT, "t_ms": 1},
            {"direction": "s2c", "frame": HEARTBEAT},
            {"direction": "s2c", "frame": '{"type":"ping","type":"ping"}'},
            {"direction": "s2c", "frame": 5},
            {"direction": "up", "frame": PING},
            {"direction": "s2c"},
            {"frame": PING},
        ),
    )
    result = report(path)
    assert counts(result) == (7, 1, 6, 0)
    assert [frame["direction"] for frame in result["frames"]] == ["s2c", "s2c", "s2c", None, None, None]
    assert [frame["errors"][0]["keyword"] for frame in result["frames"]] == [
        "type",
        "duplicate-key",
        "object",
        "enum",
        "required",
        "required",
    ]
    assert [frame["errors"][0]["message"].split()[0] for frame in result["frames"][-2:]] == [
        '"frame"',
        '"direction"',
    ], "what is missing of the recording is named"
    assert report(path, "--direction", "c2s") == result, "what the recording says counts"


def test_faults_of_json_are_charged_to_who_sent_the_frame(write: Any) -> None:
    lines = (
        rb'{"direction":"c2s","frame":{"type":"heartbeat","payload":NaN}}',
        rb'{"direction":"c2s","frame":{"type":"heartbeat","type":"heartbeat"}}',
        rb'{"frame": {"type":"error","payload":12345678901234567890}, "direction": "s2c"}',
        rb'{"direction":"c2s","frame":{"type":"heartbeat"',
        b'{"direction":"c2s","frame":{"type":"\xff"}}',
        rb'{"type":"heartbeat","type":"heartbeat"}',
        rb'{"type":"typing","type":"typing"}',
        rb'{"direction":"c2s","direction":"s2c","frame":{"type":"heartbeat"}}',
        rb'{"direction":"c2s","frame":{"type":"heartbeat"},"t":NaN}',
    )
    path = write("faults.ndjson", b"\n".join(lines))
    errors = [
        ("c2s", "heartbeat", "VAL-04", 30),  # counted from where the frame begins
        ("c2s", "heartbeat", "VAL-15", 20),
        ("s2c", "error", "ENV-13", 26),
        ("c2s", None, "VAL-01", 19),
        ("c2s", "\\udcff", "TRAN-08", 9),
        ("c2s", "heartbeat", "VAL-15", 20),  # it has but one direction
        (None, "typing", None, 17),
        (None, None, None, 19),  # of the record, which is nobody's frame
        (None, None, None, 52),
    ]
    told = [
        (f["direction"], f["type"], f["errors"][0]["requirement"], f["errors"][0]["message"].split()[-1])
        for f in report(path)["frames"]
    ]
    assert told == [(*rest, str(at)) for *rest, at in errors]
    charged = [f["direction"] for f in report(path, "--direction", "s2c")["frames"]]
    assert charged == ["c2s", "c2s", "s2c", "c2s", "c2s", *["s2c"] * 4], "what was recorded goes before"


def test_types_of_both_directions_are_valid_in_either_and_else_judged_by_the_nearer(write: Any) -> None:
    example = {(d, n): thaw(spec.examples[0]) for (d, n), spec in load_catalogue().frames.items()}
    path = write("both.ndjson", ndjson(example["c2s", "presence"], example["s2c", "presence"]))
    assert counts(report(path)) == (2, 2, 0, 0)
    assert counts(report(path, "--direction", "s2c")) == (2, 1, 1, 0)
    device = {"device_id": "x", "device_type": "web", "status": "active"}
    payload = {
        **example["s2c", "presence"]["payload"],
        "devices": [device],
        "last_seen": "2026-01-01T00:00:00Z",
    }
    nearer = {"type": "presence", "payload": payload}
    assert [frame["direction"] for frame in report(write("n.json", nearer))["frames"]] == ["s2c"]


def test_a_browsers_recording(write: Any) -> None:
    def message(way: str, data: str, opcode: int = 1) -> dict[str, Any]:
        return {"type": way, "time": 1.5, "opcode": opcode, "data": data}

    har = {
        "log": {
            "version": "1.2",
            "entries": [
                {
                    "_webSocketMessages": [
                        message("send", json.dumps(HEARTBEAT)),
                        message("receive", "AAA=", 2),
                    ],
                    "request": {"url": "ws://127.0.0.1/ws?token=eyJhbGciOiJIUzI1NiJ9.e30.secret"},
                },
                {"response": {"content": {"text": '"_webSocketMessages": [{"type":"send"}]'}}},
                {
                    "_webSocketMessages": [
                        message("receive", json.dumps(HEARTBEAT)),
                        message("receive", "no json"),
                        message("error", "x"),
                    ]
                },
            ],
        }
    }
    for path in (write("session.har", har), write("har.json", json.dumps(har, indent=1).encode())):
        done = run(path, "--format", "json")
        result = json.loads(done.stdout)
        assert counts(result) == (3, 1, 2, 0)
        assert [(f["index"], f["direction"], f["errors"][0]["keyword"]) for f in result["frames"]] == [
            (1, "s2c", "type"),
            (2, "s2c", "json"),
        ]
        assert "1 binary message passed over; 1 other entry passed over" in done.stderr
        assert "secret" not in done.stdout + done.stderr


def test_markdown(write: Any) -> None:
    result = report(HERE / "frames.md")
    assert counts(result) == (6, 3, 3, 0)
    told = [(f["line"], f["valid"], f["type"], f["errors"][0]["keyword"]) for f in result["frames"]]
    assert told == [
        (17, False, "pingg", "type"),
        (31, None, "message_type", "sketch"),
        (40, None, None, "sketch"),
        (44, None, None, "sketch"),
        (48, False, "presence", "enum"),
        (56, False, "heartbeat", "duplicate-key"),
    ]
    text = (HERE / "frames.md").read_bytes()
    assert counts(report("-", stdin=text)) == (6, 3, 3, 0)
    sketch_only = run(write("sketch.md", b"```json\n{...}\n```\n"))
    assert sketch_only.returncode == 4
    assert "not a frame" in sketch_only.stdout


@pytest.mark.parametrize(
    ("block", "why"),
    [
        ('{"type": "ping"}', None),
        ('{"type": "pingg"}', None),  # a slip, which is to be told
        ('{"type": "pingg", "payload": {}}', None),
        ('{"type": "pingg", "payload": {\n// what it holds\n}}', 'its type "pingg" is a placeholder'),
        ('{"type": "ping", "payload": {\n// what it holds\n}}', None),
        ('{"type": "<type>"}', 'its type "<type>" is a placeholder'),
        ('{"type": "TYPE"}', 'its type "TYPE" is a placeholder'),
        ('{"type": "message_type"}', 'its type "message_type" is a placeholder'),
        ('{"type": "ping", ...}', "it leaves something out (...)"),
        ('{"type": "ping", "payload": <payload>}', "it leaves something out (<payload>)"),
        ('{"a": 1}', "it has no type, nor any field of a frame"),
        ('{"payload": {}}', None),
        ("5", "it is a number, not an object"),
    ],
)
def test_a_sketch_is_told_from_a_frame(block: str, why: str | None) -> None:
    lines = f"```json\n{block}\n```\n".encode().splitlines(keepends=True)
    ((found, line),) = markdown.frames(lines, load_catalogue())
    assert line == 2
    assert (found.why if isinstance(found, markdown.Sketch) else None) == why


def test_folders_patterns_and_standard_input(write: Any, tmp_path: Path) -> None:
    write("a/one.json", HEARTBEAT)
    write("a/b/two.ndjson", ndjson(PING, WRONG))
    write("a/b/notes.txt", b"no frames")
    write("a/.hidden/three.json", WRONG)
    write("a/node_modules/four.json", WRONG)
    (tmp_path / "a" / "circle").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "a" / "b" / "pipe.json")  # which nobody will ever write to
    patterns = ["a/*.json", "a/b/**/*.*json"]
    for arguments in (["a"], patterns, ["a/**/*.*json"], ["a/one.json", "a/b"], ["a", "a/one.json"]):
        done = run(*arguments, "--format", "json", cwd=tmp_path)
        assert counts(json.loads(done.stdout)) == (3, 2, 1, 0), arguments
    assert counts(report("-", stdin=ndjson(HEARTBEAT, WRONG))) == (2, 1, 1, 0)
    assert report("-", stdin=ndjson(WRONG))["frames"][0]["source"] == "<stdin>"


def test_the_kind_can_be_said_where_the_name_misleads(write: Any) -> None:
    path = write("frames.log", b"header\n" + ndjson(HEARTBEAT))
    assert counts(report(path)) == (2, 1, 1, 0)
    markdown = write("doc.txt", b'text\n```json\n{"type":"heartbeat"}\n```\n')
    assert counts(report(markdown)) == (1, 1, 0, 0)
    assert counts(report(markdown, "--input", "ndjson"))[0] == 4
    marked = write("marked.md", b'\xef\xbb\xbf```json\n{"type":"heartbeat"}\n```\n')
    assert counts(report(marked)) == (1, 1, 0, 0), "as some editors begin every file"


@pytest.mark.parametrize(
    ("content", "keyword"),
    [
        (b'\xef\xbb\xbf{"type":"heartbeat"}', "bom"),
        ('{"type":"heartbeat"}'.encode("utf-16"), "utf8"),
        (b"\x7fELF\x00\x01\x02", "utf8"),
        (b'[{"type":"heartbeat"}', "json"),
        (b'[{"type":"heartbeat"},]', "json"),
        (b'[{"type":"heartbeat"} {"type":"heartbeat"}]', "json"),
        (b'{"type":"heartbeat"', "json"),
        (b"[[[[", "json"),
        (b"[" * 100_000, "depth"),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_broken_files_are_invalid_not_fatal(write: Any, content: bytes, keyword: str) -> None:
    path = write("broken.json", content)
    done = run(path, "--format", "json")
    assert done.returncode == 1
    assert keyword in [error["keyword"] for f in json.loads(done.stdout)["frames"] for error in f["errors"]]
