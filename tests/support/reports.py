"""Reports made up for tests: small, hostile or huge ones, all of them as the schema says."""

from __future__ import annotations

from typing import Any

import jsonschema

from relaykit.conformance.loader import schema
from relaykit.conformance.reports.claims import claims, outcome_text

VERDICTS = ("pass", "fail", "warn", "not-applicable", "untestable", "error")
VALIDATOR = jsonschema.Draft202012Validator(
    dict(schema("report")), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
)
PROFILES = [
    {"name": "core", "title": "Core", "capabilities": ["core"], "optional": ["typing"]},
    {"name": "calls", "title": "Calls", "capabilities": ["calls", "core"], "optional": ["typing"]},
]


def entry(actor: str, direction: str, frame: Any, t_ms: float, **more: Any) -> dict[str, Any]:
    return {"t_ms": t_ms, "actor": actor, "direction": direction, "frame": frame, **more}


def finding(requirement: str | None = "MSG-12", **more: Any) -> dict[str, Any]:
    return {
        "requirement": requirement,
        "level": "MUST",
        "severity": "fail",
        "provenance": "documented" if requirement else None,
        "blame": "target",
        "message": "alice expected sent_ack, but nothing came",
        "expected": {"type": "sent_ack"},
        "actual": None,
        "step": "/steps/1/expect",
        "actor": "alice",
        "t_ms": 50.0,
        **more,
    }


def transcript() -> list[dict[str, Any]]:
    sent = {"type": "send", "message_id": "m1", "payload": {"ciphertext": "QQ==", "message_type": "text"}}
    return [
        entry("alice", "s2c", None, 1.0, event="connected"),
        entry("bob.phone", "s2c", None, 2.0, event="connected"),
        entry("alice", "c2s", sent, 3.0),
        entry("bob.phone", "s2c", {**sent, "type": "deliver"}, 4.0),
        entry("alice", "c2s", {"type": "heartbeat"}, 5.0, kit=True),
        entry("alice", "s2c", {"type": "heartbeat_ack"}, 6.0, kit=True),
    ]


def case(name: str = "message-life", verdict: str = "pass", **more: Any) -> dict[str, Any]:
    return {
        "id": name,
        "title": "A message travels from send to read",
        "area": "messages",
        "kind": "scenario",
        "verdict": verdict,
        "level": "MUST",
        "requirements": ["MSG-12"],
        "capabilities": ["core"],
        "source": "/opt/site-packages/relaykit/conformance/scenarios/messages.yaml:12",
        "catches": "A server that loses a message.",
        "duration_ms": 12.5,
        "findings": [finding()] if verdict == "fail" else [],
        "transcript": transcript(),
        **({"reason": "the target states no control interface"} if verdict == "untestable" else {}),
        **more,
    }


def row(name: str = "MSG-12", verdict: str = "pass", **more: Any) -> dict[str, Any]:
    return {
        "id": name,
        "area": "messages",
        "level": "MUST",
        "text": "A server MUST answer a `send` that it accepts with a `sent_ack`.",
        "source": "11. Message Sent Acknowledgment",
        "provenance": "documented",
        "verdict": verdict,
        "cases": ["message-life"],
        **more,
    }


def make(
    cases: list[dict[str, Any]] | None = None, rows: list[dict[str, Any]] | None = None, **more: Any
) -> dict[str, Any]:
    """A report of these cases and requirements, with counts and claims that fit."""
    cases = [case()] if cases is None else cases
    data: dict[str, Any] = {
        "kit": {"name": "relaykit", "version": "0.1.0"},
        "protocol": {
            "name": "Relay Messaging Protocol",
            "version": "1.0",
            "catalogue": "ab" * 32,
            "areas": {"messages": "Messages", "typing": "Device approval and revocation"},
            "profiles": PROFILES,
        },
        "target": {
            "name": "Acme relay 4.2",
            "url": "ws://127.0.0.1:8787/ws",
            "carrier": "header",
            "capabilities": ["core"],
            "clock_skew_s": -2.5,
        },
        "started": "2026-11-23T13:27:52.574Z",
        "duration_s": 1.25,
        "seed": "2f1ea167",
        "options": {"run": [], "skip": [], "level": None, "target_file": "acme target.yaml"},
        "outcome": {"exit_code": 0, "text": "", "interrupted": False},
        "notes": [],
        "stale": [],
        "server_log": [],
        "summary": {verdict: sum(c["verdict"] == verdict for c in cases) for verdict in VERDICTS},
        "cases": cases,
        "requirements": [row()] if rows is None else rows,
        **more,
    }
    expected = sum("expected_failure" in c for c in cases)
    if data["summary"]["fail"] > expected or data["stale"]:
        data["outcome"]["exit_code"] = 1
    data["outcome"]["text"] = outcome_text(data["summary"], expected, len(data["stale"]), interrupted=False)
    data["outcome"]["profiles"] = claims(data)
    VALIDATOR.validate(data)
    return data


HOSTILE = (
    "<script>window.pwned=1</script>",
    "</script><script>window.pwned=1</script>",
    "</style><img src=x onerror='window.pwned=1'>",
    '"><svg onload=window.pwned=1>',
    "javascript:window.pwned=1",
    "]]><!--",
    "</pre></details></textarea></title>",
    "{{ 7 * 7 }}{% raw %}",
    "```\n# heading\n<img src=http://192.0.2.1/x>",
    "[click](http://192.0.2.1/) ![x](http://192.0.2.1/y.png) @everyone #1",
    "right\u202eot left\u2066 bell\x07 null\x00 escape\x1b[31m lone\ud800",
)


def hostile() -> dict[str, Any]:
    """A report in which everything that a server (or a scenario of somebody) can influence attacks."""
    cases = []
    for n, attack in enumerate(HOSTILE):
        frame = {"type": attack, attack: attack, "payload": {"status": attack, "list": [attack, {attack: 1}]}}
        cases.append(
            case(
                f"case-{n}-{attack}",
                "fail",
                title=attack,
                source=f"/home/{attack}.yaml:3",
                catches=attack,
                findings=[
                    finding(
                        message=attack, actual=frame, expected=attack, actor=attack, step=attack, t_ms=2.0
                    ),
                    finding(attack, message=f"2 {attack}", actual=attack),
                ],
                transcript=[
                    entry(attack, "s2c", None, 1.0, event=attack),
                    entry(attack, "s2c", frame, 2.0),
                    entry(attack, "s2c", attack, 3.0),
                ],
                **({"expected_failure": attack} if n == 1 else {}),
            )
        )
    cases.append(case(f"quiet-{HOSTILE[0]}", "untestable", reason=HOSTILE[0]))
    cases.append(case(f"odd-{HOSTILE[3]}", "not-applicable", reason=HOSTILE[3], area="typing"))
    everything = " ".join(HOSTILE)
    return make(
        cases,
        [
            row("MSG-12", "fail", text=everything, source=everything),
            row("MSG-13", "untested", untested=everything),
        ],
        target={"name": everything, "url": everything, "capabilities": ["core"]},
        notes=list(HOSTILE),
        stale=list(HOSTILE),
        server_log=list(HOSTILE),
        seed=HOSTILE[0],
    )


def huge(count: int = 1000) -> dict[str, Any]:
    """A run with many cases and long transcripts, some of them failing."""
    lines = [
        entry(
            "alice" if n % 2 else "bob.phone", "c2s" if n % 3 else "s2c", transcript()[2]["frame"], float(n)
        )
        for n in range(60)
    ]
    cases = [
        case(
            f"case-{n}",
            "fail" if n % 20 == 0 else "pass",
            transcript=lines,
            findings=[] if n % 20 else [finding()],
        )
        for n in range(count)
    ]
    rows = [row(f"MSG-{n:02}", "fail" if n == 12 else "pass") for n in range(1, 350)]
    return make(cases, rows)
