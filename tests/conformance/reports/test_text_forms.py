"""Markdown and SARIF: what they say, and that nothing from the wire can leave its place."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from markdown_it import MarkdownIt
from support.reports import HOSTILE, case, finding, hostile, make, row

from relaykit.conformance.reports.markdown import block, code, to_markdown, words
from relaykit.conformance.reports.sarif import STEP, to_sarif
from relaykit.conformance.reports.text import json_lines, marked, place, scrubbed, visible

BROKEN = make(
    [
        case("passes"),
        case("breaks", "fail"),
        case("soft", "warn", findings=[finding("MSG-13", severity="warn")]),
    ],
    [row(verdict="fail"), row("MSG-13", "warn", level="SHOULD"), row("MSG-14")],
)


def test_the_markdown_summary_is_short_and_tells_failures_first() -> None:
    shown = to_markdown(BROKEN).decode()
    order = [
        "❌ 1 case failed, 1 MUST broken",
        "### Failures (1)",
        "breaks",
        "Warnings (1)",
        "| Area |",
        "The run",
    ]
    places = [shown.index(part) for part in order]
    assert places == sorted(places)
    assert "Core cannot be claimed: broken: MSG-12. 1 pass, 1 fail, 1 warn." in shown
    for part in ("--run breaks", "ab" * 32, "MUST answer a `send` that", "relaykit 0.1.0"):
        assert part in shown
    for part in ("2.50 s behind", "11. Message Sent Acknowledgment", "alice expected sent_ack"):
        assert words(part) in shown
    assert "passes" not in shown
    # A thousand failures are named, not told.
    many = make([case(f"case-{n}", "fail") for n in range(1000)], [row(verdict="fail")])
    assert len(to_markdown(many)) < 200_000
    assert "And 970 more" in to_markdown(many).decode()


def test_untestable_cases_are_given_with_their_reasons() -> None:
    shown = to_markdown(
        make([case("first-device", "untestable"), case("x", "untestable", reason="no limit")])
    ).decode()
    assert "the target states no control interface: `first-device`" in shown
    assert "no limit: `x`" in shown


def _elements(data: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Raw HTML and links, as a reader of Markdown that takes HTML finds them."""
    raw: list[str] = []
    links: list[str] = []
    for token in MarkdownIt("commonmark", {"html": True}).enable("table").parse(to_markdown(data).decode()):
        for each in (token, *(token.children or ())):
            if each.type in ("html_block", "html_inline"):
                raw += re.findall(r"<[^>]*>", each.content)
            if each.type in ("link_open", "image"):
                links.append(str(each.attrs))
    return raw, links


def test_nothing_from_the_wire_is_markdown_or_html() -> None:
    raw, links = _elements(hostile())
    assert set(raw) == {"<details>", "</details>", "<summary>", "</summary>", "<b>", "</b>"}
    assert links == []
    shown = to_markdown(hostile()).decode()
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x08\x0b-\x1f\ud800-\udfff]", shown)
    assert "\n# heading" not in re.sub(r"(`{3,})[^\n]*\n.*?\n\1", "", shown, flags=re.S)


@pytest.mark.parametrize("text", [*HOSTILE, "`", "``", "a`b``c", "` `", "", " "])
def test_code_stays_code(text: str) -> None:
    (token,) = MarkdownIt("commonmark").parseInline(f"x {code(text)} y")[0].children[1:2]
    assert token.type == "code_inline"
    fence = MarkdownIt("commonmark").parse(block(text))
    assert [each.type for each in fence] == ["fence"]


def test_sarif_has_a_rule_per_requirement_and_a_result_per_finding() -> None:
    log = json.loads(to_sarif(BROKEN))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert (driver["name"], driver["version"]) == ("relaykit", "0.1.0")
    assert [rule["id"] for rule in driver["rules"]] == ["MSG-12", "MSG-13"]
    assert driver["rules"][0]["defaultConfiguration"]["level"] == "error"
    assert driver["rules"][1]["defaultConfiguration"]["level"] == "warning"
    first, second = run["results"]
    assert (first["ruleId"], first["ruleIndex"], first["level"]) == ("MSG-12", 0, "error")
    assert (second["ruleId"], second["ruleIndex"], second["level"]) == ("MSG-13", 1, "warning")
    for part in ("alice expected sent_ack", "Expected:", "--run breaks"):
        assert part in first["message"]["text"]
    where = first["locations"][0]["physicalLocation"]
    assert where["artifactLocation"] == {
        "uri": "conformance/scenarios/messages.yaml",
        "uriBaseId": "RELAYKIT",
    }
    assert where["region"]["startLine"] == 12
    assert "RELAYKIT" in run["originalUriBaseIds"]
    properties = run["properties"]
    assert properties["target"]["clock_skew_s"] == -2.5
    assert (properties["seed"], properties["protocol"]["catalogue"]) == ("2f1ea167", "ab" * 32)


def test_sarif_of_odd_findings() -> None:
    data = make(
        [
            case("steps", "fail", findings=[finding(None)]),
            case("excused", "fail", expected_failure="ticket 7", source="/elsewhere/my own.yaml:3"),
            case("newer", "fail", findings=[finding("NEW-99")], source=""),
            case("quiet", "untestable"),
        ]
    )
    (run,) = json.loads(to_sarif(data))["runs"]
    assert {rule["id"] for rule in run["tool"]["driver"]["rules"]} == {"MSG-12", "NEW-99", STEP}
    results = {result["properties"]["case"]: result for result in run["results"]}
    for result in results.values():
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    assert results["excused"]["suppressions"][0]["justification"] == "ticket 7"
    uri = results["excused"]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == "file:///elsewhere/my%20own.yaml"
    assert "physicalLocation" not in results["newer"]["locations"][0]
    assert run["properties"]["untestable"] == {"quiet": "the target states no control interface"}


def test_a_finding_keeps_its_fingerprint_from_run_to_run() -> None:
    def prints(**more: Any) -> list[str]:
        data = make([case(verdict="fail", findings=[finding(**more)])])
        return [
            r["partialFingerprints"]["relaykit/v1"] for r in json.loads(to_sarif(data))["runs"][0]["results"]
        ]

    assert prints() == prints(message="said otherwise", actual={"a": 1}, t_ms=1.0)
    assert prints() != prints(step="/steps/2/expect")


def test_hostile_texts_are_json_all_the_same() -> None:
    assert "\u202e" not in json.dumps(json.loads(to_sarif(hostile()))["runs"][0]["results"][-1]["message"])


def test_what_nobody_would_see_is_made_visible() -> None:
    assert visible("a\u202eb\x07\ud800\U000e0041") == "a\\u202eb\\u0007\\ud800\\u{e0041}"
    assert visible("Grüße, 你好 🙂\n") == "Grüße, 你好 🙂\n"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("/a/conformance/scenarios/x.yaml:3", ("conformance/scenarios/x.yaml", 3)),
        ("C:\\kit\\conformance\\probes\\x.py:30", ("conformance/probes/x.py", 30)),
        ("/a/schemas/frames/s2c/x.schema.json", ("schemas/frames/s2c/x.schema.json", None)),
        ("mine/x.yaml:3", ("mine/x.yaml", 3)),
        ("", ("", None)),
    ],
)
def test_places(source: str, expected: tuple[str, int | None]) -> None:
    assert place(source) == expected


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("serve --port {port}", "serve --port {port}"),
        ("serve --token abc --x", "serve --token ‹redacted› --x"),
        ("DB_PASSWORD=abc serve", "DB_PASSWORD=‹redacted› serve"),
        ("serve --secret-file key.pem", "serve --secret-file key.pem"),
        ("serve 'unbalanced", "serve 'unbalanced"),
    ],
)
def test_command_lines_are_scrubbed(command: str, shown: str) -> None:
    assert (
        scrubbed(command)
        .replace("'‹redacted›'", "‹redacted›")
        .replace("'DB_PASSWORD=‹redacted›'", shown[:22])
        == shown
    )


def test_json_lines_know_their_pointers() -> None:
    value = {"a/b": {"list": [1, {"x": "ü\n"}], "empty": {}}, "n": None}
    lines = list(json_lines(value))
    assert json.loads("\n".join(line for _, line in lines)) == value
    assert lines[marked(lines, "/a~1b/list/1/x") or 0][1].strip() == '"x": "ü\\n"'
    # What is missing is marked where it should have been.
    assert lines[marked(lines, "/a~1b/list/1/gone") or 0][0] == "/a~1b/list/1"
    assert marked(lines, "") is None
