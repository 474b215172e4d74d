"""The commands as a user has them: exit codes, messages, launching, Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import textwrap
from pathlib import Path
from xml.etree import ElementTree

import pytest
from fixtures import fakes
from support.suite import Ended, relaykit, start

QUICK = "timing: {reply_ms: 1500, quiet_ms: 60, connect_ms: 3000, case_s: 15}\n"


def target_file(tmp_path: Path, url: str, more: str = "", *, patient: bool = False) -> str:
    path = tmp_path / "target.yaml"
    timing = QUICK.replace("reply_ms: 1500", "reply_ms: 60000") if patient else QUICK
    path.write_text(f"url: {url}\ntokens: {{mint: {{secret: {{env: THE_SECRET}}}}}}\n{timing}{more}")
    return str(path)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def judged(tmp_path: Path, url: str, *words: str, more: str = "") -> Ended:
    path = target_file(tmp_path, url, more)
    return await relaykit("test", "-t", path, *words, THE_SECRET=fakes.SECRET)


def test_a_run_ends_with_a_summary_reports_and_exit_codes(tmp_path: Path) -> None:
    async def main() -> None:
        out, xml = tmp_path / "r.json", tmp_path / "r.xml"
        reports = ("--report", f"json={out}", "--report", f"junit={xml}")
        async with fakes.minimal().running() as url:
            ended = await judged(tmp_path, url, "--run", "message-life", "--seed", "abc", *reports)
        assert ended.code == 0, ended
        assert "message-life" not in ended.out  # what passes is not listed
        assert "seed abc" in ended.out
        data = json.loads(out.read_text())
        assert data["outcome"]["exit_code"] == 0
        assert data["seed"] == "abc"
        assert xml.read_text().startswith("<?xml")
        async with fakes.minimal("no-ack").running() as url:
            ended = await judged(tmp_path, url, "--run", "message-life")
        assert ended.code == 1, ended
        assert "MSG-12" in ended.out
        assert "Traceback" not in ended.out + ended.err

    asyncio.run(main())


def test_an_address_and_a_secret_suffice(tmp_path: Path) -> None:
    async def main() -> None:
        (tmp_path / "key").write_text(fakes.SECRET)
        async with fakes.minimal().running() as url:
            words = ("test", "--url", url, "--run", "message-life")
            ended = await relaykit(*words, "--secret-file", str(tmp_path / "key"))
            assert ended.code == 0, ended
            ended = await relaykit(*words, RELAYKIT_SECRET=fakes.SECRET)
            assert ended.code == 0, ended
            ended = await relaykit(*words)
        assert ended.code == 2
        assert "RELAYKIT_SECRET" in ended.err

    asyncio.run(main())


def test_what_nobody_declares_is_tried_where_there_is_no_target_file() -> None:
    async def main() -> None:
        words = ("--run", "typing-*", "--run", "legacy-*", "--run", "message-life")
        async with fakes.minimal().running() as url:
            ended = await relaykit("test", "--url", url, *words, RELAYKIT_SECRET=fakes.SECRET)
        assert ended.code == 0, ended
        assert "capability typing could not be tried: taken as not served" in ended.out
        assert "capability legacy_frames was tried: taken as not served" in ended.out
        assert "capability calls" not in ended.out  # no chosen case asks for it

    asyncio.run(main())


def test_nobody_there_is_exit_3_with_what_to_do(tmp_path: Path) -> None:
    out, xml = tmp_path / "r.json", tmp_path / "r.xml"
    words = ("--report", f"json={out}", "--report", f"junit={xml}")
    ended = asyncio.run(judged(tmp_path, f"ws://127.0.0.1:{free_port()}/ws", *words))
    assert ended.code == 3
    # A job that only keeps the reports shows why, and nothing green.
    data = json.loads(out.read_text())
    assert data["outcome"]["exit_code"] == 3
    assert "cannot be reached" in data["outcome"]["text"]
    assert {case["verdict"] for case in data["cases"]} == {"untestable"}
    suites = ElementTree.parse(xml).getroot()
    assert (suites.get("errors"), suites.get("failures")) == ("1", "0")
    assert [case.get("name") for case in suites.iter("testcase") if case.find("error") is not None] == [
        "preflight"
    ]
    assert "cannot be reached" in ended.err
    assert "--launch" in ended.err
    assert "Traceback" not in ended.err


def test_everybody_refused_is_exit_3(tmp_path: Path) -> None:
    async def main() -> None:
        async with fakes.raw(fakes.refuses) as url:
            ended = await judged(tmp_path, url)
        assert ended.code == 3
        assert "HTTP 403" in ended.err
        assert "eyJ" not in ended.err

    asyncio.run(main())


def test_no_token_is_shown_though_the_target_says_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with fakes.raw(fakes.refuses_with_the_token) as url:
            ended = await judged(tmp_path, url)
        assert ended.code == 3
        assert "HTTP 401 bad" in ended.err
        assert "eyJ" not in ended.err + ended.out

    asyncio.run(main())


def test_a_hostile_target_steers_neither_terminal_nor_reports(tmp_path: Path) -> None:
    async def main() -> None:
        out, xml = tmp_path / "r.json", tmp_path / "r.xml"
        reports = ("--report", f"json={out}", "--report", f"junit={xml}")
        async with fakes.sockets(fakes.is_hostile) as url:
            ended = await judged(tmp_path, url, "--run", "area:messages", "--retries", "0", *reports)
        assert ended.code == 1, ended
        assert not set(ended.out) & set("\x1b\x07\x00\u202e")
        json.loads(out.read_bytes())
        ElementTree.fromstring(xml.read_bytes())

    asyncio.run(main())


def test_nothing_executed_is_exit_4(tmp_path: Path) -> None:
    async def main() -> None:
        async with fakes.minimal().running() as url:
            ended = await judged(tmp_path, url, "--run", "frame:call_offer", "--skip", "area:validation")
        assert ended.code == 4, ended
        assert "not-applicable" in ended.out

    asyncio.run(main())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--run", "no-such-case"], "no case fits"),
        (["--report", "pdf=x"], "json=FILE"),
        (["--level", "PERHAPS"], "PERHAPS"),
        (["--scenarios", "/nowhere"], "no such scenario"),
        (["--timeout-factor", "nan"], "not a number"),
        (["--no-such-option"], "No such option"),
        (["--capability", "flying"], "flying"),
        (["--shard", "5/4"], "1/4"),
        (["--repeat", "0"], "--repeat"),
        (["--pause-on-fail"], "no terminal"),
        (["--run", "dialect-deliver"], "there is nothing to see"),
    ],
)
def test_usage_errors_are_exit_2_before_anything_connects(
    tmp_path: Path, words: list[str], said: str
) -> None:
    ended = asyncio.run(judged(tmp_path, f"ws://127.0.0.1:{free_port()}/ws", *words))
    assert ended.code == 2, ended
    assert said in ended.err
    assert "Traceback" not in ended.err


def test_a_broken_target_file_is_exit_2_with_its_line(tmp_path: Path) -> None:
    ended = asyncio.run(judged(tmp_path, "ws://127.0.0.1:1", more="capabilites: {}\n"))
    assert ended.code == 2
    assert "target.yaml:4: /capabilites: unknown key" in ended.err


def test_own_scenarios_run_beside_the_kits(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        textwrap.dedent("""\
        - id: of-my-own
          title: A heartbeat is answered at my place
          area: keepalive
          catches: A server that does not answer.
          actors: {alice: {}}
          steps:
            - send: {as: alice, frame: {type: heartbeat}}
            - expect: {as: alice, frame: {type: heartbeat_ack}, req: KEEP-03}
        """)
    )

    async def main() -> None:
        async with fakes.minimal().running() as url:
            words = ("--scenarios", str(tmp_path / "mine.yaml"), "--run", "of-my-own", "-v")
            ended = await judged(tmp_path, url, *words)
        assert ended.code == 0, ended
        assert "of-my-own" in ended.out

    asyncio.run(main())


LAUNCHED = """\
import asyncio, os, sys
sys.path.insert(0, {tests!r})
from fixtures import fakes
fakes.SECRET = os.environ["RELAYKIT_SECRET"]
import websockets.asyncio.server as server
port, original = int(sys.argv[1]), fakes.serve
def serve(handler, host, _port, **options):
    return original(handler, host, port, **options)
fakes.serve = serve
print("server log line", flush=True)
async def main():
    async with fakes.minimal(*sys.argv[2:]).running():
        await asyncio.Event().wait()
asyncio.run(main())
"""


def test_shards_are_disjoint_whole_and_merge_to_one_report(tmp_path: Path) -> None:
    async def main() -> None:
        async with fakes.minimal().running() as url:
            for part in (1, 2, 3):
                out = f"json={tmp_path / f'{part}.json'}"
                words = ("--run", "area:messages", "--shard", f"{part}/3", "--report", out, "--retries", "0")
                await judged(tmp_path, url, *words)
            whole = f"json={tmp_path / 'whole.json'}"
            await judged(tmp_path, url, "--run", "area:messages", "--report", whole, "--retries", "0")
        parts = [str(tmp_path / f"{part}.json") for part in (1, 2, 3)]
        ended = await relaykit("report", "merge", *parts, "-o", str(tmp_path / "merged.json"))
        assert ended.code == 0, ended

    asyncio.run(main())
    data = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("*.json")}
    ids = {
        name: [case["id"] for case in each["cases"] if case["kind"] != "shape"] for name, each in data.items()
    }
    assert sorted(ids["1"] + ids["2"] + ids["3"]) == sorted(ids["whole"])
    assert all(ids[part] for part in "123")
    merged = {case["id"]: case["verdict"] for case in data["merged"]["cases"]}
    assert merged == {case["id"]: case["verdict"] for case in data["whole"]["cases"]}
    assert data["merged"]["summary"] == data["whole"]["summary"]
    assert data["merged"]["outcome"]["exit_code"] == data["whole"]["outcome"]["exit_code"]


def test_a_missing_shard_is_noted(tmp_path: Path) -> None:
    async def main() -> Ended:
        async with fakes.minimal().running() as url:
            for part in (1, 3):
                out = f"json={tmp_path / f'{part}.json'}"
                words = ("--run", "area:messages", "--shard", f"{part}/3", "--report", out, "--retries", "0")
                await judged(tmp_path, url, *words)
        parts = [str(tmp_path / f"{part}.json") for part in (1, 3)]
        return await relaykit("report", "merge", *parts, "-o", str(tmp_path / "merged.json"))

    assert asyncio.run(main()).code == 0
    notes = json.loads((tmp_path / "merged.json").read_text())["notes"]
    assert any("2/3" in note for note in notes), notes


def test_repetition_and_an_end_after_failures(tmp_path: Path) -> None:
    async def main() -> None:
        out = tmp_path / "r.json"
        words = ("--run", "message-life", "--run", "read-once", "--repeat", "2", "--max-fail", "1", "-j", "1")
        async with fakes.minimal("no-ack").running() as url:
            ended = await judged(tmp_path, url, *words, "--report", f"json={out}")
        assert ended.code == 1, ended
        assert "--max-fail" in ended.out
        cases = json.loads(out.read_text())["cases"]
        (failed,) = (c for c in cases if c["verdict"] == "fail" and c["kind"] != "shape")
        assert failed["stability"] == {"result": "deterministic", "runs": 2, "same": 2, "alone": False}

    asyncio.run(main())


def script(tmp_path: Path, text: str) -> str:
    path = tmp_path / "server.py"
    path.write_text(text)
    return f"{sys.executable} {path}"


def test_a_launched_target_is_started_judged_and_stopped(tmp_path: Path) -> None:
    async def main() -> None:
        command = script(tmp_path, LAUNCHED.format(tests=str(Path(__file__).parents[1])))
        pids = tmp_path / "pid"
        shell = f"sh -c 'echo $$ > {pids}; exec {command} {{port}}'"
        ended = await relaykit("test", "--launch", shell, "--run", "message-life")
        assert ended.code == 0, ended
        assert "server log line" not in ended.out
        with pytest.raises(ProcessLookupError):
            os.kill(int(pids.read_text()), 0)
        ended = await relaykit("test", "--launch", f"{command} {{port}} no-ack", "--run", "message-life")
        assert ended.code == 1, ended
        assert "server log line" in ended.out  # where something failed, its own words help

    asyncio.run(main())


def test_a_launched_target_that_dies_is_said_with_its_last_words(tmp_path: Path) -> None:
    command = script(tmp_path, "print('about to fail'); raise SystemExit(7)")
    ended = asyncio.run(relaykit("test", "--launch", f"{command} {{port}}", "--run", "message-life"))
    assert ended.code == 3, ended
    assert "ended with exit status 7" in ended.err
    assert "about to fail" in ended.err


def test_a_launched_target_that_dies_during_the_run_is_named(tmp_path: Path) -> None:
    command = script(tmp_path, LAUNCHED.format(tests=str(Path(__file__).parents[1])))
    out = tmp_path / "r.json"
    words = ("--run", "message-life", "--report", f"json={out}")
    ended = asyncio.run(relaykit("test", "--launch", f"{command} {{port}} dies", *words))
    assert ended.code == 1, ended
    said = "the launched target ended with exit status 3 while this case ran alone"
    assert said in " ".join(ended.out.split())
    data = json.loads(out.read_text())
    (case,) = (case for case in data["cases"] if case["kind"] != "shape")
    assert case["verdict"] == "fail"
    assert case["findings"][0]["blame"] == "target"
    assert case["findings"][0]["actual"]["its last lines"][-1] == "server log line"


def test_a_launched_target_that_never_listens_is_given_up_and_killed(tmp_path: Path) -> None:
    pids = tmp_path / "pid"
    command = script(
        tmp_path,
        f"import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"open({str(pids)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)\n",
    )
    words = ("test", "--launch", f"{command} {{port}}", "--run", "message-life", "--timeout-factor", "0.1")
    ended = asyncio.run(relaykit(*words))
    assert ended.code == 3, ended
    assert "does not listen" in ended.err
    with pytest.raises(ProcessLookupError):
        os.kill(int(pids.read_text()), 0)


def test_a_command_that_does_not_exist_is_a_usage_error() -> None:
    ended = asyncio.run(relaykit("test", "--launch", "/no/such/server {port}"))
    assert ended.code == 2
    assert "cannot be run" in ended.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("trying", [False, True])  # whether it is tried yet what the target serves
def test_an_interrupted_run_tidies_up_and_still_reports(
    tmp_path: Path, number: signal.Signals, trying: bool
) -> None:
    async def main() -> None:
        out = tmp_path / "r.json"
        asked = asyncio.Event()
        server = fakes.minimal()
        area, more = ("calls", "capabilities: {calls: probe}\n") if trying else ("messages", "")

        served = server.frame

        async def stuck(peer: fakes.Peer, data: str | bytes) -> None:
            if "heartbeat" in str(data):
                await served(peer, data)
            else:
                asked.set()

        server.frame = stuck
        async with server.running() as url:
            path = target_file(tmp_path, url, more, patient=True)
            process = await start(
                *("test", "-t", path, "--run", f"area:{area}", "--report", f"json={out}"),
                THE_SECRET=fakes.SECRET,
            )
            async with asyncio.timeout(60):
                await asked.wait()
                process.send_signal(number)
                shown, said = await process.communicate()
            assert process.returncode == 130, (shown, said)
            assert "interrupted" in shown.decode()
            assert b"Traceback" not in said
            data = json.loads(out.read_text())
            assert data["summary"]["untestable"] > 0
            assert any("interrupted" in case.get("reason", "") for case in data["cases"])
            assert trying == all("interrupted" in case.get("reason", "") for case in data["cases"])
            async with asyncio.timeout(10):
                while server.peers:  # noqa: ASYNC110 - its connections end as well; nothing tells when
                    await asyncio.sleep(0)

    asyncio.run(main())
