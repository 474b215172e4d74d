"""`--update-expectations` writes what failed and takes out what passes; the rest of the file stays."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from fixtures import fakes
from support.suite import Ended, relaykit

from relaykit.config import parse_yaml
from relaykit.conformance.expectations import Expectation
from relaykit.conformance.updating import Update, rewritten

NEW = Expectation("message-life", None, 'TODO: why? It said "no": \\ # and more', "")
OLD = Expectation("no-longer-wrong", None, "old", "")
ADDED = {"case": NEW.case, "reason": NEW.reason}
PLAIN = "# mine\nurl: ws://x/ws   # here\ntokens: {mint: {secret: {env: S}}}\n"


def changed(text: str, *, added: bool = True, removed: bool = False, alone: bool = False) -> str:
    update = Update((NEW,) if added else (), (OLD,) if removed else (), ())
    return rewritten(text, update, alone=alone)


def expected(text: str, *, alone: bool = False) -> object:
    data = parse_yaml(text).data
    return data if alone else data.get("expected_failures")


def test_a_file_without_any_gets_them_at_its_end() -> None:
    for text in (PLAIN, PLAIN.rstrip("\n")):
        after = changed(text)
        assert after.startswith(PLAIN)
        assert expected(after) == [ADDED]


@pytest.mark.parametrize(
    "empty",
    [
        "expected_failures: []\n",
        "expected_failures: []  # none yet\nname: me\n",
        "expected_failures:\n  []\n",
    ],
)
def test_an_empty_list_becomes_one_with_dashes(empty: str) -> None:
    after = changed(PLAIN + empty + "# the end\n")
    assert expected(after) == [ADDED]
    assert "- case: message-life\n" in after
    assert after.startswith(PLAIN)
    assert after.endswith("# the end\n")
    assert ("# none yet" in after) == ("# none yet" in empty)


LISTED = """\
expected_failures:
# the first is old
- case: a-case   # ticket 7
  reason: >
    known for long,
    and long
- {requirement: MSG-12, reason: "known: too"}  # in one line

- case: no-longer-wrong
  reason: old
# and this belongs to what follows

name: me  # the name
"""


def test_new_ones_follow_the_last_and_comments_stay() -> None:
    after = changed(PLAIN + LISTED)
    assert [next(iter(each.values())) for each in expected(after)] == [
        *("a-case", "MSG-12", "no-longer-wrong", "message-life")
    ]
    assert (
        "".join(
            line
            for line in after.splitlines(keepends=True)
            if "message-life" not in line and "TODO" not in line
        )
        == PLAIN + LISTED
    )


def test_stale_ones_are_taken_out_and_nothing_else() -> None:
    after = changed(PLAIN + LISTED, added=False, removed=True)
    assert after == PLAIN + LISTED.replace("- case: no-longer-wrong\n  reason: old\n", "")


def test_the_last_one_leaves_an_empty_list() -> None:
    text = PLAIN + "expected_failures:\n  - case: no-longer-wrong\n    reason: old\nname: me\n"
    after = changed(text, added=False, removed=True)
    assert expected(after) == []
    assert parse_yaml(after).data["name"] == "me"
    assert expected(changed(text, removed=True)) == [ADDED]


def test_a_list_between_brackets_is_written_anew() -> None:
    entries = '{case: a-case, reason: known, until: "2031-01-02"}, {case: no-longer-wrong, reason: old}'
    text = f"{PLAIN}expected_failures: [{entries}]\nname: me\n"
    after = changed(text, removed=True)
    assert expected(after) == [{"case": "a-case", "reason": "known", "until": "2031-01-02"}, ADDED]


def test_a_file_that_holds_nothing_else() -> None:
    assert expected(changed("", alone=True), alone=True) == [ADDED]
    assert expected(changed("# known\n[]\n", alone=True), alone=True) == [ADDED]
    text = "# known\n- case: no-longer-wrong\n  reason: old\n"
    assert expected(changed(text, alone=True, removed=True), alone=True) == [ADDED]
    assert changed(text, alone=True).startswith(text)


def run(tmp_path: Path, file: Path, *words: str, faults: tuple[str, ...] = ()) -> Ended:
    chosen = ("--run", "message-life", "--run", "heartbeat-is-answered", "--retries", "0", *words)

    async def main() -> Ended:
        async with fakes.minimal(*faults).running() as url:
            return await relaykit("test", "-t", str(file), "--url", url, *chosen, THE_SECRET=fakes.SECRET)

    return asyncio.run(main())


@pytest.mark.parametrize("own_file", [False, True])
def test_from_the_first_failure_to_the_day_it_is_mended(tmp_path: Path, own_file: bool) -> None:
    file = tmp_path / "target.yaml"
    named = "expected_failures: known.yaml  # beside this one\n" if own_file else ""
    start = (
        "# a server\nurl: ws://127.0.0.1:1/ws\ntokens: {mint: {secret: {env: THE_SECRET}}}\n"
        f"timing: {{reply_ms: 1500, quiet_ms: 60, case_s: 15}}\n{named}"
    )
    file.write_text(start)
    kept = tmp_path / "known.yaml" if own_file else file
    ended = run(tmp_path, file, "--update-expectations", faults=("no-ack",))
    assert ended.code == 0, ended
    assert "1 added" in ended.out
    assert file.read_text().startswith(start)
    assert "case: message-life" in kept.read_text()
    assert "MSG-12" in kept.read_text()
    assert run(tmp_path, file, faults=("no-ack",)).code == 0
    ended = run(tmp_path, file)
    assert ended.code == 1, ended
    assert kept.name in ended.out.replace("\n", "")
    assert "stale" in ended.out
    assert run(tmp_path, file, "--update-expectations").code == 0
    assert expected(kept.read_text(), alone=own_file) == []


def test_without_a_target_file_there_is_nowhere_to_write(tmp_path: Path) -> None:
    ended = asyncio.run(relaykit("test", "--url", "ws://127.0.0.1:1/ws", "--update-expectations"))
    assert ended.code == 2
    assert "-t" in ended.err


def test_a_list_of_its_own_is_checked_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "target.yaml"
    file.write_text(
        "url: ws://127.0.0.1:1/ws\ntokens: {mint: {secret: {value: aaaaaaaaaaaaaaaa}}}\n"
        "expected_failures: known.yaml\n"
    )
    (tmp_path / "known.yaml").write_text("- case: message-life\n")
    ended = asyncio.run(relaykit("test", "-t", str(file)))
    assert ended.code == 2, ended
    assert "known.yaml:1" in ended.err
    assert "reason" in ended.err
