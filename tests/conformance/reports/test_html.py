"""The HTML report as a file: what it says; that nothing from the wire is markup, how big it gets."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from support.reports import HOSTILE, case, entry, finding, hostile, huge, make, row

from relaykit.conformance.reports.html import to_html


class Reader(HTMLParser):
    """Elements with their attributes and text; checks that they are nested properly."""

    VOID = frozenset(("meta", "link", "input", "path", "rect", "circle", "br"))

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), (tag, attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag, (tag, self.open[-5:])

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)


def read(data: dict[str, Any], **more: Any) -> Reader:
    reader = Reader()
    reader.feed(to_html(data, **more).decode())
    assert reader.open == []
    return reader


def words(reader: Reader) -> str:
    return re.sub(r"\s+", " ", "".join(reader.words))


def test_a_report_names_what_identifies_the_run() -> None:
    shown = words(read(make([case(), case("first-device", "untestable")])))
    for part in (
        "relaykit 0.1.0",
        "Relay Messaging Protocol 1.0",
        "ab" * 32,
        "2f1ea167",
        "Acme relay 4.2 · ws://127.0.0.1:8787/ws",
        "2.50 s behind",
        "Profile of the run",
        "the target states no control interface",
        "header",
    ):
        assert part in shown, part


def test_failures_come_first_and_are_told_in_full() -> None:
    data = make([case("passes"), case("warns", "warn"), case("fails", "fail")], [row(verdict="fail")])
    reader = read(data)
    ids = [a["id"] for tag, a in reader.elements if tag == "details" and "case" in str(a.get("class"))]
    assert ids == ["c-fails", "c-warns", "c-passes"]
    assert [a["id"] for tag, a in reader.elements if "open" in a and a.get("id")] == ["c-fails"]
    shown = words(reader)
    for part in (
        "1 case failed, 1 MUST broken",
        "Core cannot be claimed: broken: MSG-12",
        "alice expected sent_ack, but nothing came",
        "A server MUST answer a send that it accepts with a sent_ack",
        "documented · 11. Message Sent Acknowledgment",
        "conformance/scenarios/messages.yaml:12",
        "relaykit test -t 'acme target.yaml' --run fails",
    ):
        assert part in shown, part
    # Nobody's home folder is anybody's business.
    assert "/opt/site-packages" not in shown


def test_a_finding_stands_beside_the_frame_it_is_about() -> None:
    wrong = {"type": "deliver", "message_id": "m1", "payload": {"ciphertext": "changed"}}
    lines = [
        entry("alice", "c2s", {"type": "send"}, 1.0),
        entry("bob.phone", "s2c", wrong, 2.0),
        entry("bob.phone", "s2c", {"type": "ping"}, 3.0),
    ]
    about = finding(message="the ciphertext differs", actual=wrong, actor="bob.phone", t_ms=3.5)
    late = finding(message="nothing else came", actor="bob", t_ms=3.5)
    page = to_html(make([case(verdict="fail", transcript=lines, findings=[about, late])])).decode()
    items = re.findall(r"<li id=\"d0-0-(\d)\".*?</li>", page, re.S)
    assert items == ["1", "2", "3"]
    second, third = (re.search(rf"<li id=\"d0-0-{n}\".*?</li>", page, re.S)[0] for n in (2, 3))
    assert "the ciphertext differs" in second
    assert "after this: nothing else came" in third
    # On the diagram, the arrow is the finding's, with its number.
    drawing = page[page.index('<svg class="seq"') :]
    drawing = drawing[: drawing.index("</svg>")]
    arrow = drawing[drawing.index("deliver") :]
    assert arrow.index('class="wire bad"') < arrow.index('class="mark bad"') < arrow.index("ping")


def test_a_misshapen_frame_is_shown_where_it_was_first_seen() -> None:
    frame = {"type": "sent_ack", "payload": {"status": "Sent"}}
    origin = case("message-life", transcript=[*case()["transcript"], entry("alice", "s2c", frame, 7.0)])
    shape = case(
        "shape-sent-ack",
        "fail",
        kind="shape",
        transcript=[],
        findings=[finding("MSG-15", step="/payload/status", actual=frame, t_ms=7.0, case="message-life")],
    )
    reader = read(make([origin, shape]))
    assert "What went over the wire in message-life" in words(reader)
    page = to_html(make([origin, shape])).decode()
    assert page.count('<mark>    "status": "Sent"</mark>') == 2
    # Running the shape alone would run nothing.
    assert "--run message-life" in words(reader)
    assert "--run shape" not in words(reader)


def test_nothing_from_the_wire_is_markup() -> None:
    reader = read(hostile())
    kinds = {tag for tag, _ in reader.elements}
    assert "img" not in kinds
    assert "textarea" not in kinds
    assert sum(tag == "script" for tag, _ in reader.elements) == 2
    assert sum(tag == "style" for tag, _ in reader.elements) == 1
    for tag, attributes in reader.elements:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, attributes)
            assert name != "style", (tag, attributes)
            if name in ("href", "src"):
                assert (value or "").startswith(("#", "data:image/svg+xml,")), (tag, attributes)
    ids = [a["id"] for _, a in reader.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["href"] for t, a in reader.elements if t == "a"} <= {f"#{name}" for name in ids}
    shown = words(reader)
    # It is all there to be read, though.
    for attack in HOSTILE[:-1]:
        assert re.sub(r"\s+", " ", attack) in shown
    assert "49" not in re.findall(r"\{\{ 7 \* 7 \}\}|\b49\b", shown)
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x08\x0b-\x1f\ud800-\udfff]", "".join(reader.words))
    assert "\\u202eot" in shown


def test_the_page_may_run_its_own_scripts_only() -> None:
    page = to_html(make()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy
    assert "default-src &#39;none&#39;" in policy[1]
    assert "unsafe" not in policy[1]
    assert policy[1].count("sha256-") == 3


@pytest.mark.parametrize("where", ["options", "frames"])
def test_secrets_that_a_command_line_holds_are_left_out(where: str) -> None:
    launch = "serve --db-password hunter22 --api-key=abc123 --secret-file key.pem TOKEN=zzz --port {port}"
    options = {"launch": launch} if where == "options" else {"launch": None}
    page = to_html(make([case(verdict="fail")], options=options)).decode()
    for secret in ("hunter22", "abc123", "zzz"):
        assert secret not in page
    assert ("key.pem" in page) == (where == "options")


def test_a_run_of_a_thousand_cases_stays_a_usable_file() -> None:
    page = to_html(huge()).decode()
    assert 1_000_000 < len(page) < 5_000_000
    assert page.count('<details class="case') == 1000
    # Failures are drawn with their frames, however many cases pass.
    for n in range(0, 1000, 20):
        start = page.index(f'id="c-case-{n}"')
        body = page[start : page.index("Run just this", start)]
        assert '<svg class="seq"' in body
        assert 'class="frames"' in body
    assert re.search(r"[0-9,]+ cases below show less of their transcripts", page)


def test_a_small_budget_spares_the_failures() -> None:
    data = make([case("passes"), case("fails", "fail"), *(case(f"more-{n}") for n in range(50))])
    page = to_html(data, budget=90_000).decode()
    start = page.index('id="c-fails"')
    assert 'class="frames"' in page[start : page.index("Run just this", start)]
    assert "left out here to keep the file small" in page


def test_a_long_transcript_is_shown_around_what_went_wrong() -> None:
    lines = [entry("alice", "c2s", {"type": "send", "n": n}, float(n)) for n in range(500)]
    data = make([case(verdict="fail", transcript=lines, findings=[finding(t_ms=300.2)])])
    page = to_html(data).decode()
    numbers = [int(n) for n in re.findall(r'<li id="d0-0-(\d+)"', page)]
    assert len(numbers) <= 80
    assert {1, 295, 301, 305, 500} <= set(numbers)
    assert "lines not shown; the JSON report has them" in page


def test_what_a_passing_case_is_made_of_is_shown_before_its_preliminaries() -> None:
    lines = []
    for n in range(20):
        lines += [
            entry(f"user{n}", "s2c", None, float(n), event="connected"),
            entry(f"user{n}", "c2s", {"type": "heartbeat"}, float(n), kit=True),
            entry(f"user{n}", "s2c", {"type": "heartbeat_ack"}, float(n), kit=True),
        ]
    lines[30:30] = [entry("user0", "c2s", {"type": "send", "n": n}, 30.0) for n in range(25)]
    page = to_html(make([case(transcript=lines)])).decode()
    assert page.count('<span class="l">send</span>') == 25
    assert "heartbeat" not in page[page.index('class="frames"') :]


def test_a_report_of_an_older_kit_is_rendered_all_the_same() -> None:
    data = json.loads(json.dumps(make([case(verdict="fail"), case("shape-x", kind="shape", transcript=[])])))
    for name in ("areas", "profiles"):
        del data["protocol"][name]
    del (
        data["options"],
        data["target"]["clock_skew_s"],
        data["outcome"]["profiles"],
        data["notes"],
        data["stale"],
    )
    del data["server_log"], data["outcome"]["interrupted"]
    for each in data["cases"]:
        for name in ("kind", "source", "catches", "capabilities"):
            each.pop(name, None)
        for found in each["findings"]:
            for name in ("level", "severity", "step", "actor", "t_ms"):
                del found[name]
    for each in data["requirements"]:
        for name in ("text", "source", "area"):
            del each[name]
    shown = words(read(data))
    assert "Clock skew" in shown
    assert "not known" in shown


def test_nothing_ran() -> None:
    assert "Nothing was executed" in words(read(make([])))
