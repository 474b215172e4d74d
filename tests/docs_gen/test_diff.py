"""`relaykit docs diff`: every change is found, said in words, and judged: breaks, fine or unknown."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from relaykit.docs_gen.commands import docs
from relaykit.docs_gen.diff.changes import Change, changes
from relaykit.docs_gen.diff.editions import Edition, kit_edition, read_edition
from relaykit.errors import UsageError
from relaykit.schemas import bundle, load_catalogue

ROOT = Path(__file__).parents[2]
Edit = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="module")
def kit() -> Edition:
    return kit_edition()


def edit(changed: Path, frame: str, change: Edit) -> None:
    path = changed / "frames" / f"{frame}.schema.json"
    schema = json.loads(path.read_text("utf-8"))
    change(schema)
    path.write_text(json.dumps(schema), "utf-8")


def payload(schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = schema["properties"]["payload"]
    return found


def only(found: tuple[Change, ...]) -> Change:
    assert len(found) == 1, found
    return found[0]


def _not_reworded(found: tuple[Change, ...]) -> tuple[Change, ...]:
    return tuple(change for change in found if change.kind != "reworded")


TEXT = {"title": "T", "description": "D.", "type": "string"}


@pytest.mark.parametrize(
    ("frame", "change", "field", "kind", "breaks"),
    [
        # What clients send must not narrow.
        ("c2s/presence", lambda p: p["properties"].update(note=TEXT), "payload.note", "added", "no"),
        ("c2s/typing", lambda p: p["properties"].pop("user_id"), "payload.user_id", "removed", "yes"),
        ("c2s/typing", lambda p: p["required"].append("user_id"), "payload.user_id", "changed", "yes"),
        ("c2s/typing", lambda p: p["required"].remove("is_typing"), "payload.is_typing", "changed", "no"),
        (
            "c2s/typing",
            lambda p: p["properties"]["is_typing"].update(type=["boolean", "null"]),
            "payload.is_typing",
            "changed",
            "no",
        ),
        (
            "c2s/typing",
            lambda p: p["properties"]["is_typing"].update(type="string"),
            "payload.is_typing",
            "changed",
            "yes",
        ),
        (
            "c2s/read_receipt",
            lambda p: p["properties"]["message_ids"].update(maxItems=10),
            "payload.message_ids",
            "changed",
            "yes",
        ),
        (
            "c2s/read_receipt",
            lambda p: p["properties"]["message_ids"].update(maxItems=1000),
            "payload.message_ids",
            "changed",
            "no",
        ),
        ("c2s/typing", lambda p: p.pop("additionalProperties"), "payload", "changed", "no"),
        # What servers send must not widen; what is new to clients they pass over.
        ("s2c/typing", lambda p: p["properties"].update(note=TEXT), "payload.note", "added", "no"),
        ("s2c/typing", lambda p: p["required"].remove("timestamp"), "payload.timestamp", "changed", "yes"),
        (
            "s2c/status_update",
            lambda p: p["required"].append("recipient_id"),
            "payload.recipient_id",
            "changed",
            "no",
        ),
        (
            "s2c/status_update",
            lambda p: p["properties"].pop("recipient_id"),
            "payload.recipient_id",
            "removed",
            "no",
        ),
        (
            "s2c/typing",
            lambda p: p["properties"]["is_typing"].update(type=["boolean", "null"]),
            "payload.is_typing",
            "changed",
            "yes",
        ),
        (
            "s2c/typing",
            lambda p: p["properties"]["is_typing"].update({"const": True}),
            "payload.is_typing",
            "changed",
            "no",
        ),
        (
            "s2c/typing",
            lambda p: p["properties"]["is_typing"].update(description="Other words."),
            "payload.is_typing",
            "reworded",
            "no",
        ),
    ],
)
def test_a_changed_field_is_judged(
    changed: Path, kit: Edition, frame: str, change: Edit, field: str, kind: str, breaks: str
) -> None:
    edit(changed, frame, lambda schema: change(payload(schema)))
    found = only(changes(kit, read_edition(str(changed))))
    assert (found.subject, found.place, found.field) == ("field", frame.replace("/", " "), field)
    assert (found.kind, found.breaks) == (kind, breaks), found


def test_a_new_rule_between_fields_breaks_and_shows_a_frame_that_is_refused(
    changed: Path, kit: Edition
) -> None:
    rule = {
        "description": "No status but with words.",
        "not": {"properties": {"is_typing": {"const": False}}},
    }
    edit(changed, "c2s/typing", lambda schema: payload(schema).update(allOf=[rule]))
    found = only(changes(kit, read_edition(str(changed))))
    assert (found.field, found.words, found.breaks) == ("payload", "the rules between its fields", "yes")
    assert found.witness["is_typing"] is False


def test_what_cannot_be_decided_is_unknown_unless_a_valid_frame_decides_it(
    changed: Path, kit: Edition
) -> None:
    def pattern(text: str) -> Edit:
        return lambda schema: payload(schema)["properties"].update(
            conversation_id={**TEXT, "pattern": text, "maxLength": 41}
        )

    edit(changed, "c2s/typing", pattern("^.*[^#]$"))
    undecided = only(_not_reworded(changes(kit, read_edition(str(changed)))))
    assert (undecided.field, undecided.breaks) == ("payload.conversation_id", "unknown")
    assert "look at it" in undecided.why
    edit(changed, "c2s/typing", pattern("^conv-$"))
    decided = only(_not_reworded(changes(kit, read_edition(str(changed)))))
    assert (decided.breaks, decided.witness[:5]) == ("yes", "conv-")


def test_the_same_said_otherwise_is_no_change(changed: Path, kit: Edition) -> None:
    def reworked(schema: dict[str, Any]) -> None:
        inner = payload(schema)
        inner["allOf"] = [{"required": inner.pop("required")}, {"type": ["object"]}]

    edit(changed, "c2s/typing", reworked)
    assert changes(kit, read_edition(str(changed))) == ()


def test_frames_come_and_go(changed: Path, kit: Edition) -> None:
    for way in ("c2s/pong", "s2c/ping"):
        (changed / "frames" / f"{way}.schema.json").unlink()
    less = read_edition(str(changed))
    gone = changes(kit, less)
    assert [(c.kind, c.place, c.breaks) for c in gone] == [
        ("removed", "c2s pong", "yes"),
        ("removed", "s2c ping", "yes"),
    ]
    assert [(c.kind, c.breaks) for c in changes(less, kit)] == [("added", "no")] * 2


def test_what_a_frame_declares_is_compared(changed: Path, kit: Edition) -> None:
    def deprecate(schema: dict[str, Any]) -> None:
        schema["deprecated"] = True
        schema["x-deprecated"] = {"replacement": "send", "note": "Gone soon."}

    edit(changed, "c2s/pong", deprecate)
    edit(changed, "c2s/typing", lambda schema: schema.update({"x-capability": "core"}))
    edit(changed, "c2s/presence", lambda schema: schema.update(description="Other words."))
    found = {c.place: (c.kind, c.words, c.breaks) for c in changes(kit, read_edition(str(changed)))}
    assert found == {
        "c2s pong": ("changed", "deprecated; its replacement is send", "no"),
        "c2s typing": ("changed", "capability: typing → core", "unknown"),
        "c2s presence": ("reworded", "its description", "no"),
    }


def test_what_readers_are_told_is_compared(changed: Path, kit: Edition) -> None:
    def retell(schema: dict[str, Any]) -> None:
        schema["x-since"] = "0.9"
        schema["x-replies"][0]["when"] = "Other words."

    edit(changed, "c2s/call_offer", retell)
    found = [(c.kind, c.words, c.breaks) for c in changes(kit, read_edition(str(changed)))]
    assert found[0] == ("changed", "since version: 1.0 → 0.9", "no")
    assert [(kind, breaks) for kind, _, breaks in found[1:]] == [("reworded", "no")]
    assert "Other words." in found[1][1]


def test_a_new_version_and_a_new_answer_say_nothing_of_others(changed: Path, kit: Edition) -> None:
    path = changed / "protocol.yaml"
    path.write_text(path.read_text("utf-8").replace('version: "1.0"', 'version: "1.1"', 1), "utf-8")
    answer = {"type": "error", "code": "server_error", "when": "The store fails."}
    edit(changed, "c2s/call_offer", lambda schema: schema["x-replies"].append(answer))
    told = only(changes(kit, read_edition(str(changed))))
    assert (told.kind, told.subject, "server_error" in told.words) == ("changed", "frame", True)


def test_deprecated_fields_are_seen(changed: Path, kit: Edition) -> None:
    note = {"deprecated": True, "x-deprecated": {"note": "It lies.", "replacement": "sender_id"}}
    edit(changed, "c2s/typing", lambda schema: payload(schema)["properties"]["user_id"].update(note))
    edit(changed, "c2s/presence", lambda schema: payload(schema)["properties"].update(old={**TEXT, **note}))
    edition = read_edition(str(changed))
    found = {(c.place, c.field): (c.kind, c.words, c.breaks) for c in changes(kit, edition)}
    told = 'deprecated: It lies. Use "sender_id" instead'
    assert found == {
        ("c2s typing", "payload.user_id"): ("changed", told, "no"),
        ("c2s presence", "payload.old"): ("added", f"string, optional, {told}", "no"),
    }
    back = {c.field: c.words for c in changes(edition, kit) if c.place == "c2s typing"}
    assert back == {"payload.user_id": "no longer deprecated"}


def test_requirements_are_compared(changed: Path, kit: Edition) -> None:
    path = changed / "requirements/calls.yaml"
    first, second, *rest = path.read_text("utf-8").split("- id: ")[1:]
    assert "level: MUST\n" in first
    weaker = first.replace("level: MUST\n", "level: SHOULD\n")
    path.write_text("".join(f"- id: {entry}" for entry in (weaker, *rest)), "utf-8")
    id_, gone = first.split()[0], second.split()[0]
    found = {c.place: c for c in changes(kit, read_edition(str(changed))) if c.subject == "requirement"}
    assert (found[gone].kind, found[gone].breaks) == ("removed", "yes")
    assert (found[id_].words, found[id_].breaks) == ("MUST → SHOULD", "yes")
    back = {c.place: c for c in changes(read_edition(str(changed)), kit) if c.subject == "requirement"}
    assert (back[gone].kind, back[gone].breaks) == ("added", "unknown")
    assert back[id_].breaks == "unknown"


def test_codes_and_limits_are_compared(changed: Path, kit: Edition) -> None:
    path = changed / "protocol.yaml"
    text = path.read_text("utf-8")
    path.write_text(
        text.replace(
            "burst: {title: Frames in one burst, default: 200",
            "burst: {title: Frames in one burst, default: 9",
        )
    )
    found = only(changes(kit, read_edition(str(changed))))
    assert (found.place, found.words, found.breaks) == ("limits.burst", "default 200 → 9", "unknown")


@pytest.mark.parametrize(
    ("old", "new", "place", "kind", "breaks"),
    [
        ("path: /ws", "path: /socket", "endpoint.path", "changed", "yes"),
        ("algorithms: [HS256, ", "algorithms: [", "endpoint.algorithms.HS256", "removed", "yes"),
        ("algorithms: [HS256, ", "algorithms: [HS256, ES384, ", "endpoint.algorithms.ES384", "added", "no"),
        ("title: Frames in one burst", "title: Frames at once", "limits.burst", "reworded", "no"),
    ],
)
def test_how_clients_reach_a_server_is_compared(
    changed: Path, kit: Edition, old: str, new: str, place: str, kind: str, breaks: str
) -> None:
    path = changed / "protocol.yaml"
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")
    found = only(changes(kit, read_edition(str(changed))))
    assert (found.place, found.kind, found.breaks) == (place, kind, breaks)


def test_bundles_compare_like_the_catalogue(changed: Path, tmp_path: Path) -> None:
    def written(name: str, catalogue: Any, **how: bool) -> str:
        path = tmp_path / name
        path.write_text(json.dumps(bundle(catalogue, **how)), "utf-8")
        return str(path)

    old = written("old.json", load_catalogue())
    bare = written("bare.json", load_catalogue(), extensions=False)
    edit(changed, "s2c/typing", lambda schema: payload(schema)["properties"].pop("timestamp"))
    edit(changed, "s2c/typing", lambda schema: payload(schema)["required"].remove("timestamp"))
    edit(changed, "s2c/status_update", lambda schema: payload(schema)["properties"].pop("recipient_id"))
    new = written("new.json", load_catalogue(changed))
    for before in (old, bare):
        found = changes(read_edition(before), read_edition(new))
        assert [(c.place, c.field, c.breaks) for c in found if c.kind == "removed"] == [
            ("s2c status_update", "payload.recipient_id", "no"),
            ("s2c typing", "payload.timestamp", "yes"),
        ]
        assert [c for c in found if c.kind != "removed"] == []


@pytest.mark.parametrize("closed", [False, True])
def test_a_bundle_compares_with_a_catalogue(
    kit: Edition, changed: Path, tmp_path: Path, closed: bool
) -> None:
    path = tmp_path / "bundle.json"
    path.write_text(json.dumps(bundle(load_catalogue(), closed=closed)), "utf-8")
    bundled = read_edition(str(path))
    assert changes(bundled, kit) == changes(kit, bundled) == ()
    edit(changed, "c2s/typing", lambda schema: payload(schema)["required"].append("timestamp"))
    found = only(changes(bundled, read_edition(str(changed))))
    assert (found.place, found.field, found.breaks) == ("c2s typing", "payload.timestamp", "yes")


# --- the command --------------------------------------------------------------------------------------------


def run(*arguments: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(docs, ["diff", *map(str, arguments)], standalone_mode=False)
    if done.exception:
        raise done.exception
    return int(done.return_value or 0), done.output


def test_the_command_ends_with_1_on_a_break(changed: Path) -> None:
    assert run(changed) == (0, f"{changed} (1.0) → the kit's own schemas (1.0)\n\nNo changes.\n")
    edit(changed, "c2s/typing", lambda schema: payload(schema)["properties"].pop("user_id"))
    code, output = run(ROOT / "schemas", changed)
    assert code == 1
    assert "c2s typing\n  BREAKS   payload.user_id removed: string (UUID)\n" in output
    assert "a frame that carries it is refused" in output
    assert output.endswith("1 change: 1 breaks, 0 unknown, 0 fine.\n")
    code, output = run(ROOT / "schemas", changed, "--format", "json")
    told = json.loads(output)
    assert code == 1
    assert told["summary"] == {"breaks": 1, "unknown": 0, "fine": 0}
    assert told["changes"][0]["field"] == "payload.user_id"
    assert run(changed, ROOT / "schemas")[0] == 0


def test_unknown_fails_only_when_asked_to(changed: Path) -> None:
    edit(changed, "c2s/typing", lambda schema: schema.update({"x-capability": "core"}))
    assert run(ROOT / "schemas", changed)[0] == 0
    assert run(ROOT / "schemas", changed, "--strict")[0] == 1


def test_a_revision_of_git_is_read(changed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> None:
        who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
        subprocess.run(("git", *who, *words), cwd=changed.parent, check=True, capture_output=True)

    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "one")
    edit(changed, "c2s/typing", lambda schema: payload(schema)["properties"].pop("user_id"))
    monkeypatch.chdir(changed)  # also from below the top of the repository
    code, output = run("git:HEAD", ".")
    assert code == 1
    assert "payload.user_id removed" in output
    assert run("git:HEAD:schemas", "git:HEAD") == (
        0,
        "git:HEAD:schemas (1.0) → git:HEAD (1.0)\n\nNo changes.\n",
    )
    for name, said in (
        ("git:nowhere", "not a valid object name"),
        ("git:--output=x", "names no revision"),
        ("git:HEAD:elsewhere", "elsewhere"),
    ):
        with pytest.raises(UsageError, match=said):
            run(name)
    assert not (changed / "x").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "no bundle"),
        ('{"$defs": {"a": {}}}', "no bundle"),
        ('{"$defs": {"c2s.a": {}, "c2s.send": true}}', "/\\$defs/c2s.send: not the schema of a frame"),
        ('{"$defs": {"c2s.a": {"properties": []}}}', "/\\$defs/c2s.a/properties: not a JSON Schema"),
        ('{"$defs": {"c2s.a": {"x-replies": 5}}}', "x- keywords"),
    ],
)
def test_what_is_no_edition_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "file.json"
    path.write_text(text, "utf-8")
    with pytest.raises(UsageError, match=said):
        run(path)
    with pytest.raises(UsageError, match="no such folder or file"):
        run(tmp_path / "nowhere")
