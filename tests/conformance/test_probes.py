"""Each probe that looks below the frames finds the fault it is there for, and nothing else.

The server is the reference server with a seeded defect, or with settings other than the target file says.
`relaykit selftest` shows that each defect is found; here, that nothing else is said of it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fixtures.fakes import minimal
from fixtures.habits import Habitual
from support.suite import QUICK, all_cases, judge, make_target, relaykit

from relaykit.conformance.results import Verdict

TARGET = """\
url: ws://127.0.0.1:{port}/ws
tokens: {mint: {secret: {env: RELAYKIT_SECRET}}}
control: {http: {url: "http://127.0.0.1:{control_port}", token: {env: RELAYKIT_CONTROL_TOKEN}}}
limits:
  {max_frame_bytes: 65536, connections_per_user: 6, frames_per_second: 50, burst: 60, waiting_per_user: 60}
timing: {reply_ms: 1500, case_s: 30}
"""
SECRETS = {
    "RELAYKIT_SECRET": "a secret of the tests, long enough for it",
    "RELAYKIT_CONTROL_TOKEN": "a-control-token-of-the-tests",
}
STATED = "--limits burst=60 --limits connections_per_user=6 --limits waiting_per_user=60"


def found(tmp_path: Path, defect: str, options: str, *cases: str, target: str = TARGET) -> dict[str, Any]:
    """The requirements that were broken in a run against the defective server, each with its verdict."""
    file, out = tmp_path / "target.yaml", tmp_path / "report.json"
    file.write_text(target)
    serve = (
        f"{sys.executable} -m relaykit.reference_server.defects {defect} "
        f"--port {{port}} --control-port {{control_port}} "
        f"--store {tmp_path / 'store.db'} {STATED} {options}"
    )
    chosen = [word for case in cases for word in ("--run", case)]
    words = ("test", "-t", str(file), "--launch", serve, "--report", f"json={out}", "--retries", "0", *chosen)
    ended = asyncio.run(relaykit(*words, **SECRETS))
    assert out.exists(), ended
    data = json.loads(out.read_text())
    assert not [case for case in data["cases"] if case["verdict"] == "error"], ended
    return {row["id"]: row["verdict"] for row in data["requirements"] if row["verdict"] in ("fail", "warn")}


@pytest.mark.parametrize(
    ("case", "defect", "options", "broken"),
    [
        ("connections-of-a-user", "none", "--limits connections_per_user=4", {"LIM-01"}),
        ("connections-of-a-user", "none", "--limits connections_per_user=9", {"LIM-02"}),
        ("connections-of-a-user", "too-many-is-forbidden", "", {"LIM-03"}),
        ("connections-of-a-user", "too-many-makes-room", "", {"LIM-04"}),
        ("connections-of-a-user", "ended-connections-count", "", {"LIM-05"}),
        ("connections-of-others", "connections-of-others-count", "", {"LIM-21"}),
        ("rate-within-the-limit", "none", "--limits burst=20", {"LIM-06"}),
        ("rate-beyond-the-limit", "none", "--limits burst=100000", {"LIM-07"}),
        ("rate-beyond-the-limit", "limited-yet-done", "", {"LIM-09"}),
        ("rate-beyond-the-limit", "limited-for-ever", "", {"LIM-14"}),
        ("rate-counts-everything", "keep-alives-are-free", "", {"LIM-10"}),
        ("rate-of-others", "one-rate-for-all", "", {"LIM-15"}),
        ("waiting-messages-bounded", "full-mailbox-acknowledged", "", {"LIM-20"}),
        ("streamed-while-connecting", "new-before-waiting", "", {"OFF-09"}),
        ("idle-is-pinged", "none", "--timing ping_interval_s=80", {"KEEP-05"}),
        ("silence-times-out", "none", "--timing idle_timeout_s=1000", {"KEEP-07", "KEEP-08"}),
        ("silence-times-out", "silent-closed-without-a-word", "", {"KEEP-07"}),
        ("data-keeps-alive", "data-is-no-life", "", {"KEEP-09"}),
        ("control-frames-keep-alive", "control-frames-are-no-life", "", {"KEEP-10"}),
        ("server-fault", "acknowledged-and-failed", "", {"ERR-07", "ERR-09"}),
        ("server-fault", "fault-blamed-on-the-client", "", {"ERR-07", "ERR-09"}),
        ("server-fault", "never-gets-over-it", "", {"ERR-10"}),
        ("server-fault", "failed-message-refused", "", {"ERR-11"}),
        ("survives-sigkill", "none", "--store :memory:", {"MSG-14", "MSG-15"}),
        ("shutdown", "shuts-down-as-if-done", "", {"CONN-18"}),
        ("shutdown", "none", "--store :memory:", {"MSG-15"}),
        ("foreign-origin", "none", "--origin null", {"CONN-15"}),
        ("foreign-origin", "bad-origin-is-a-bad-request", "", {"CONN-17"}),
        ("foreign-origin", "bad-origin-is-cut", "--origin https://good.example", {"CONN-19"}),
        ("carriers-disagree", "bad-token-is-cut", "", {"CONN-19"}),
        ("token-large-claims", "huge-number-cuts-the-handshake", "", {"CONN-19"}),
        ("deflate-offer", "compressed-frames-garbled", "", {"TRAN-04"}),
        ("deflate-unasked", "compressed-for-everybody", "", {"TRAN-05"}),
        ("deflate-bomb", "none", "--limits max_frame_bytes=2000000", {"TRAN-06"}),
    ],
)
def test_a_probe_finds_its_fault(
    tmp_path: Path, case: str, defect: str, options: str, broken: set[str]
) -> None:
    assert set(found(tmp_path, defect, options, case)) == broken


def test_a_server_that_cuts_whoever_exceeds_the_rate_is_found(tmp_path: Path) -> None:
    config = tmp_path / "server.yaml"
    config.write_text("refusals_before_close: 1\n")
    broken = found(tmp_path, "none", f"--config {config}", "rate-beyond-the-limit")
    assert set(broken) == {"LIM-12"}


@pytest.mark.parametrize("size", [1024, 1025, 2000])
def test_frames_too_small_to_fill_what_lies_between_leave_a_slow_reader_untestable(size: int) -> None:
    async def main() -> None:
        async with minimal().running() as url:
            limits = {"frames_per_second": 50, "burst": 200, "max_frame_bytes": size}
            result = await judge(make_target(url, timing=QUICK, limits=limits), all_cases("slow-reader"))
        found = result.cases[0]
        assert found.verdict is Verdict.UNTESTABLE, found
        assert "too few" in found.reason

    asyncio.run(main())


def test_a_server_that_waits_for_a_slow_reader_is_found() -> None:
    limits = {"max_frame_bytes": 65536, "frames_per_second": 50, "burst": 200}

    async def run() -> dict[str, Any]:
        async with minimal().running() as url:  # it writes to one connection after the other
            result = await judge(make_target(url, timing=QUICK, limits=limits), all_cases("slow-reader"))
        return {row.id: row.verdict for row in result.requirements if row.verdict in ("fail", "warn")}

    assert set(asyncio.run(run())) == {"LIM-22"}


def test_a_server_that_is_elsewhere_is_found(tmp_path: Path) -> None:
    target = TARGET.replace("/ws\n", "/socket\n")
    assert set(found(tmp_path, "another-path", "", "endpoint-path", target=target)) == {"CONN-01"}


def test_a_server_without_compression_gets_a_warning(tmp_path: Path) -> None:
    config = tmp_path / "server.yaml"
    config.write_text("compression: false\n")
    broken = found(tmp_path, "none", f"--config {config}", "deflate-offer", "deflate-bomb")
    assert broken == {"TRAN-03": "warn"}


@pytest.mark.parametrize(
    ("defect", "broken"),
    [("none", set()), ("old-tls-spoken", {"TRAN-01"}), ("only-old-tls-spoken", {"TRAN-01", "TRAN-02"})],
)
def test_versions_of_tls_are_told_apart(tmp_path: Path, defect: str, broken: set[str]) -> None:
    target = TARGET.replace("url: ws:", "url: wss:") + "tls: {insecure: true}\n"
    options = "--tls-self-signed"
    assert set(found(tmp_path, defect, options, "tls-versions", target=target)) == broken


@pytest.mark.parametrize(
    ("case", "fault", "broken"),
    [
        ("undocumented-not-forwarded", "forwards-bad", "VAL-09"),
        ("token-not-repeated", "tells-token", "PRIV-04"),
        ("refusal-form", "bare-close", "CONN-10"),
        ("refusal-form", "error-twice", "CONN-09"),
        ("refusal-form", "error-open", "CONN-09"),
        ("refusal-form", "error-1000", "CONN-12"),
    ],
)
def test_the_minimal_server_with_a_fault_is_found(case: str, fault: str, broken: str) -> None:
    async def run(*faults: str) -> dict[str, str]:
        async with minimal(*faults).running() as url:
            result = await judge(make_target(url, timing=QUICK), all_cases(case))
        shape = "ENV-05"  # what is forwarded has one property too many, which is a finding of its own
        return {
            r.id: r.verdict for r in result.requirements if r.verdict in ("fail", "warn") and r.id != shape
        }

    assert set(asyncio.run(run(fault))) == {broken}
    assert not asyncio.run(run())


def test_a_server_that_half_believes_a_token_is_found() -> None:
    async def run(*faults: str) -> list[str]:
        async with minimal(*faults).running() as url:
            result = await judge(make_target(url, timing=QUICK), all_cases("token-within-leeway"))
        return [finding.message for case in result.cases for finding in case.findings]

    assert not asyncio.run(run())
    (said,) = asyncio.run(run("half-believes"))
    assert said == "expired within the leeway: the connection opened, and nothing came"


def test_a_token_in_a_cookie_is_worth_a_word() -> None:
    async def run(*faults: str) -> list[tuple[str, str]]:
        async with minimal(*faults).running() as url:
            result = await judge(make_target(url, timing=QUICK), all_cases("token-in-other-places"))
        return [(finding.severity, finding.message) for case in result.cases for finding in case.findings]

    assert asyncio.run(run()) == []
    assert asyncio.run(run("takes-cookies")) == [("warn", "a token in a cookie opens a session")]


def test_where_the_clock_cannot_be_moved_keep_alive_is_judged_by_waiting(tmp_path: Path) -> None:
    """All at once, since it takes the time it takes: long enough for signs of life to come in time."""
    target = TARGET.replace("CONTROL_TOKEN}", "CONTROL_TOKEN}, operations: [create_user]")
    target = target.replace("timing: {", "timing: {ping_interval_s: 2, idle_timeout_s: 6, ")
    options = "--timing ping_interval_s=2 --timing idle_timeout_s=6"
    broken = {
        "none": set(),
        "no-ping": {"KEEP-05"},
        "silent-not-closed": {"KEEP-08"},
        "data-is-no-life": {"KEEP-09"},
        "control-frames-are-no-life": {"KEEP-10"},
    }

    def one(defect: str) -> set[str]:
        folder = tmp_path / defect
        folder.mkdir()
        return set(found(folder, defect, options, "keep-alive-by-waiting", target=target))

    with ThreadPoolExecutor(len(broken)) as pool:
        assert dict(zip(broken, pool.map(one, broken), strict=True)) == broken


@pytest.mark.parametrize(
    ("case", "setting"),
    [
        ("token-within-leeway", "timing: {clock_leeway_s: 0}"),  # AUTH-13
        ("rate-counts-everything", "refusals_before_close: 20"),  # VAL-14
    ],
)
def test_either_choice_that_a_may_leaves_passes(tmp_path: Path, case: str, setting: str) -> None:
    config = tmp_path / "server.yaml"
    config.write_text(f"{setting}\n")
    assert not found(tmp_path, "none", f"--config {config}", case)


@pytest.mark.parametrize(("faults", "broken"), [((), set()), (("delivers-refused",), {"LIM-09"})])
def test_identifiers_in_capitals_pongs_unasked_and_whole_numbers_with_a_point_are_right(
    faults: tuple[str, ...], broken: set[str]
) -> None:
    limits = {"burst": 40.0, "frames_per_second": 20.0}

    async def run() -> dict[str, str]:
        async with Habitual(frozenset(faults), limits=limits).running() as url:
            cases = all_cases("rate-beyond-the-limit", "ping-is-answered", "fragments-are-joined")
            result = await judge(make_target(url, timing=QUICK, limits=limits), cases)
        assert {case.verdict for case in result.cases} <= {"pass", "fail"}
        return {r.id: r.verdict for r in result.requirements if r.verdict in ("fail", "warn")}

    assert set(asyncio.run(run())) == broken


def test_two_errors_for_one_refused_frame_are_found(tmp_path: Path) -> None:
    assert set(found(tmp_path, "limited-twice", "", "rate-beyond-the-limit")) == {"ERR-04"}


def test_a_low_bound_of_what_may_wait_is_in_no_other_cases_way(tmp_path: Path) -> None:
    limits = "--limits waiting_per_user=40"
    target = TARGET.replace("waiting_per_user: 60", "waiting_per_user: 40")
    cases = ("waiting-messages-bounded", "rate-*", "slow-reader", "streamed-while-connecting", "area:offline")
    assert not found(tmp_path, "none", limits, *cases, target=target)
