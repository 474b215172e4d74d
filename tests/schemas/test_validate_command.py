"""`relaykit validate`, as its users run it: every kind of file, every form of report, every way to fail."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from relaykit.schemas import load_catalogue, thaw
from relaykit.schemas.validate import cutting

HERE = Path(__file__).parents[1] / "data"
COMMAND = [sys.executable, "-c", "from relaykit.cli import main; main()", "validate"]
HEARTBEAT = {"type": "heartbeat"}
PING = {"type": "ping"}
WRONG = {"type": "presence", "payload": {"status": "onlin"}}


def run(*arguments: object, stdin: bytes = b"", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], input=stdin, capture_output=True, timeout=100, check=False, cwd=cwd
    )
    assert b"Traceback" not in done.stderr
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def report(*arguments: object, stdin: bytes = b"") -> dict[str, Any]:
    """The JSON report."""
    result: dict[str, Any] = json.loads(run(*arguments, "--format", "json", stdin=stdin).stdout)
    return result


def counts(result: dict[str, Any]) -> tuple[int, int, int, int]:
    return result["checked"], result["valid"], result["invalid"], result["warnings"]


def places(result: dict[str, Any]) -> list[tuple[int, int, str | None]]:
    return [(frame["line"], frame["index"], frame["type"]) for frame in result["frames"]]


def ndjson(*frames: Any) -> bytes:
    return b"".join(
        (frame if isinstance(frame, bytes) else json.dumps(frame).encode()) + b"\n" for frame in frames
    )


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write_(name: str, content: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    return write_


# --- what is read -------------------------------------------------------------------------------------------


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


# --- how it ends --------------------------------------------------------------------------------------------


def test_exit_codes(write: Any, tmp_path: Path) -> None:
    valid, invalid = write("valid.json", HEARTBEAT), write("invalid.json", WRONG)
    assert run(valid).returncode == 0
    assert run(valid, invalid).returncode == 1
    assert run(write("warned.json", {**PING, "x": 1})).returncode == 0
    assert run(write("warned.json", {**PING, "x": 1}), "--strict").returncode == 1
    nothing = run(write("empty.json", b""))
    assert nothing.returncode == 4
    assert "empty.json: it is empty" in nothing.stderr
    assert run(tmp_path / "no*.json").returncode == 4
    for arguments in (
        [],
        [tmp_path / "missing.json"],
        [valid, "--format", "pdf"],
        [valid, "--direction", "up"],
    ):
        done = run(*arguments)
        assert done.returncode == 2, arguments
        assert len(done.stderr.splitlines()) < 8


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_cannot_be_read(write: Any) -> None:
    path = write("secret.json", HEARTBEAT)
    path.chmod(0)
    _unreadable(path, write("fine.json", HEARTBEAT))


def test_a_device_that_cannot_be_read(write: Any) -> None:
    if not Path("/proc/self/mem").exists():
        pytest.skip("no /proc on this machine")
    _unreadable(Path("/proc/self/mem"), write("fine.json", HEARTBEAT))


def _unreadable(path: Path, fine: Path) -> None:
    done = run(fine, path)
    assert done.returncode == 2
    assert f"{path}: cannot be read" in done.stderr
    assert "1 file could not be read" in done.stdout, "the others are checked all the same"


def test_an_invalid_frame_counts_for_more_than_a_file_that_cannot_be_read(write: Any) -> None:
    if not Path("/proc/self/mem").exists():
        pytest.skip("no /proc on this machine")
    assert run(write("wrong.json", WRONG), "/proc/self/mem").returncode == 1


def test_fail_fast_stops_at_the_first_invalid_frame(write: Any) -> None:
    path = write("many.ndjson", ndjson(HEARTBEAT, {**PING, "x": 1}, WRONG, WRONG, HEARTBEAT))
    result = report(path, path.with_name("many.ndjson"), "--fail-fast")
    assert counts(result) == (3, 2, 1, 1)
    assert places(result) == [(2, 1, "ping"), (3, 2, "presence")]


def test_all_lists_valid_frames_too(write: Any) -> None:
    path = write("two.ndjson", ndjson(HEARTBEAT, WRONG))
    assert len(report(path)["frames"]) == 1
    assert [frame["valid"] for frame in report(path, "--all")["frames"]] == [True, False]


@pytest.mark.parametrize("engine", ["jsonschema-rs", "jsonschema", "both"])
def test_engines_report_the_same(write: Any, engine: str) -> None:
    path = write("two.ndjson", ndjson(HEARTBEAT, WRONG, {**PING, "x": 1}, {"type": "send"}))
    assert report(path, "--engine", engine) == report(path)


def test_disagreeing_validators_are_exit_5(write: Any) -> None:
    code = (
        "import jsonschema; from relaykit.schemas import validation; from relaykit.cli import main;"
        "validation.Judge.reference = jsonschema.Draft202012Validator({}); main()"
    )
    path = write("wrong.ndjson", ndjson(HEARTBEAT, WRONG))
    done = subprocess.run(
        [sys.executable, "-c", code, "validate", str(path), "--engine", "both"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 5
    assert f"{path.as_posix()}:2: c2s presence: the validators disagree" in done.stderr


def test_a_reader_that_goes_away_is_no_error(write: Any) -> None:
    path = write("many.ndjson", ndjson(*[WRONG] * 20_000))
    process = subprocess.Popen([*COMMAND, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) != 0


def test_interrupted_it_sums_up_what_was_done() -> None:
    process = subprocess.Popen(
        [*COMMAND, "-", "--format", "json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    # The report is buffered: give it enough to write something, then interrupt it waiting for more.
    process.stdin.write(ndjson(*[WRONG] * 2000))
    process.stdin.flush()
    head = b""
    while len(head) < 1000:
        head += process.stdout.read(1000)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 130
    result = json.loads(head + out)
    assert result["checked"] == result["invalid"] == len(result["frames"]) > 0
    assert b"interrupted" in error
    assert b"Traceback" not in error


def test_frames_on_a_pipe_are_judged_as_they_come() -> None:
    process = subprocess.Popen(
        [*COMMAND, "-", "--fail-fast"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write(ndjson(HEARTBEAT, WRONG))
    process.stdin.flush()
    assert process.wait(60) == 1  # although the pipe is still open
    process.communicate()


# --- reports ------------------------------------------------------------------------------------------------


@pytest.fixture
def mixed(write: Any) -> Path:
    path: Path = write(
        "mixed.ndjson",
        ndjson(HEARTBEAT, WRONG, {**PING, "x<&>": "\x1b[31m"}, b"\x01{", {"type": "\x1b]0;x\x07"}),
    )
    return path


def test_text_names_place_type_pointer_expectation_value_and_requirement(mixed: Path) -> None:
    done = run(mixed)
    rule = next(
        finding.requirement
        for finding in load_catalogue().validate(WRONG, "c2s").findings
        if finding.requirement
    )
    expected = (
        f"{mixed.as_posix()}:2: error: c2s presence /payload/status: must be one of "
        f'"online", "offline", "away", "busy" (did you mean \'online\'?); got "onlin" [{rule}]'
    )
    lines = done.stdout.splitlines()
    assert expected in lines
    assert lines[-1] == "5 frames checked in 1 source: 2 valid (1 with warnings), 3 invalid"
    assert "\x1b" not in done.stdout, "nothing in a frame may steer the terminal"


def test_json_has_the_promised_shape(mixed: Path) -> None:
    result = report(mixed)
    assert result.keys() == {"checked", "valid", "invalid", "warnings", "frames"}
    for frame in result["frames"]:
        assert frame.keys() == {"source", "line", "index", "type", "direction", "valid", "errors"}
        for error in frame["errors"]:
            assert error.keys() == {"severity", "pointer", "keyword", "message", "requirement"}
    assert counts(result) == (5, 2, 3, 1)


def test_junit_counts_what_it_lists(mixed: Path) -> None:
    root = ET.fromstring(run(mixed, HERE / "frames.md", "--format", "junit").stdout)  # noqa: S314
    suites = {suite.get("name"): suite for suite in root}
    assert set(suites) == {mixed.as_posix(), (HERE / "frames.md").as_posix(), "valid"}
    assert int(root.get("tests", "")) == len(root.findall(".//testcase"))
    assert int(root.get("failures", "")) == len(root.findall(".//failure")) == 6
    for suite in root:
        assert int(suite.get("tests", "")) == len(suite.findall("testcase"))
        assert int(suite.get("failures", "")) == len(suite.findall("testcase/failure"))
        assert int(suite.get("skipped", "")) == len(suite.findall("testcase/skipped"))
    assert "onlin" in ET.tostring(suites[mixed.as_posix()], encoding="unicode")


def test_sarif_points_to_files_and_rules(mixed: Path) -> None:
    log = json.loads(run(mixed, "--format", "sarif").stdout)
    (session,) = log["runs"]
    assert log["version"] == "2.1.0"
    rules = session["tool"]["driver"]["rules"]
    assert len(session["results"]) == 4
    for result in session["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"].endswith("mixed.ndjson")
        assert place["region"]["startLine"] in (2, 3, 4, 5)
    assert log["runs"][0]["results"][0]["message"]["text"].startswith("c2s presence /payload/status: must be")


def test_github_annotations_cannot_be_broken_out_of(write: Any) -> None:
    path = write("a,b:c%.ndjson", ndjson({"type": "x\n::error::y"}, WRONG))
    lines = run(path, "--format", "github").stdout.splitlines()
    assert len(lines) == 3
    assert all(line.startswith(("::error file=", "::notice title=")) for line in lines)
    assert "a%2Cb%3Ac%25.ndjson,line=2,title=c2s presence" in lines[1]


def test_names_of_files_cannot_forge_lines_or_steer_the_terminal(write: Any) -> None:
    path = write("a\n::error::forged\x1b[31m.ndjson", ndjson(WRONG))
    for format_ in ("text", "github"):
        done = run(path, "--format", format_)
        assert len(done.stdout.splitlines()) == 2
        assert "\x1b" not in done.stdout


@pytest.mark.parametrize("format_", ["text", "json", "junit", "sarif", "github"])
def test_reports_go_to_a_file_and_the_summary_to_the_terminal(
    mixed: Path, tmp_path: Path, format_: str
) -> None:
    path = tmp_path / "report"
    done = run(mixed, "--format", format_, "--output", path)
    assert done.stdout == ""
    assert "5 frames checked" in done.stderr
    assert path.read_text() == run(mixed, "--format", format_).stdout


def test_a_report_never_overwrites_what_is_checked(mixed: Path) -> None:
    before = mixed.read_bytes()
    done = run(mixed.parent, "--output", mixed)
    assert done.returncode == 2
    assert mixed.read_bytes() == before
    assert run(mixed, "--output", "/nowhere/at/all").returncode == 2


def test_tokens_in_frames_stay_out_of_reports(write: Any) -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"
    path = write(
        "token.ndjson", ndjson({"type": token}, {**HEARTBEAT, token: token}, {**WRONG, "payload": token})
    )
    for format_ in ("text", "json", "junit", "sarif", "github"):
        done = run(path, "--format", format_)
        assert "c2lnbmF0dXJl" not in done.stdout + done.stderr, format_
        assert "eyJzdWIi" not in done.stdout + done.stderr, format_


def test_reports_survive_a_poor_terminal(mixed: Path) -> None:
    for format_ in ("text", "json", "junit", "sarif", "github"):
        done = subprocess.run(
            [*COMMAND, str(mixed), str(HERE / "frames.md"), "--format", format_],
            env={**os.environ, "PYTHONIOENCODING": "ascii"},
            capture_output=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 1
        assert done.stdout.isascii()
        assert b"Traceback" not in done.stderr


def test_help_teaches() -> None:
    text = run("--help").stdout
    for word in ("NDJSON", "HAR", "Markdown", "Examples", "--fail-fast", "Exit codes", "session.har"):
        assert word in text


# --- size ---------------------------------------------------------------------------------------------------


def _peak(path: Path) -> int:
    """Most memory that checking a file took, in KiB."""
    code = (
        "import sys; from pathlib import Path; from relaykit.cli import main\n"
        "try: main()\n"
        "except SystemExit: print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0],"
        " file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "validate", str(path), "--output", os.devnull],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return int(done.stderr.splitlines()[-1])


def _kinds(number: int) -> Iterator[tuple[str, bytes, bytes, bytes]]:
    frame = json.dumps({**PING, "payload": {"x": "y" * 400}}).encode()
    message = json.dumps({"type": "receive", "opcode": 1, "data": frame.decode()}).encode()
    yield "lines.ndjson", b"", (frame + b"\n") * number, b""
    yield "array.json", b"[", (frame + b",\n") * number + frame, b"]"
    yield (
        "session.har",
        b'{"log":{"entries":[{"_webSocketMessages":[',
        (message + b",") * number + message,
        b"]}]}}",
    )
    yield "doc.md", b"", (b"```json\n" + frame + b"\n```\n") * number, b""
    yield "one.json", b'{"x":"', b"z" * 2000 * number, b'"}'


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc on this machine")
def test_memory_stays_flat(tmp_path: Path) -> None:
    small = tmp_path / "small.json"
    small.write_bytes(b'{"type":"heartbeat"}')
    base = _peak(small)
    for name, head, body, tail in _kinds(50_000):
        path = tmp_path / name
        path.write_bytes(head + body + tail)
        assert path.stat().st_size > 20_000_000
        allowed = 20_000 if name != "one.json" else 2 * (cutting.MAX_FRAME >> 10) + 20_000
        assert _peak(path) < base + allowed, name


def test_frames_beyond_all_bounds_are_passed_over(write: Any) -> None:
    huge = b'{"type":"heartbeat","x":"' + b"y" * cutting.MAX_FRAME + b'"}'
    for path in (
        write("huge.ndjson", ndjson(HEARTBEAT, huge, HEARTBEAT)),
        write("huge.json", b'[{"type":"heartbeat"},' + huge + b',{"type":"heartbeat"}]'),
    ):
        result = report(path)
        assert counts(result) == (3, 2, 1, 0)
        assert result["frames"][0]["errors"][0]["keyword"] == "size"
        assert result["frames"][0]["index"] == 1


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64])
def test_cutting_does_not_depend_on_where_reading_stops(chunk: int) -> None:
    documents = [
        b'[{"a":"]}\\"{["},\n [1,2] , "x,]" ,null,tru]',
        b'{"a":1}\n{"b":"}\\\\"}  {"c":{}}',
        b"[1 2,,3,]",
        b'[{"a":"\\',
        b'\xef\xbb\xbf[{"a":1}] tail {"b":1}',
        b"]}{[",
    ]
    for document in documents:
        whole = _cut(document, 1 << 20)
        assert _cut(document, chunk) == whole, document


def _cut(document: bytes, chunk: int) -> list[tuple[bytes | str, int]]:
    at = 0

    def read(_size: int) -> bytes:
        nonlocal at
        at += chunk
        return document[at - chunk : at]

    return [
        (value if isinstance(value, bytes) else str(value), line)
        for value, line in cutting.Cutter(read).document()
    ]
