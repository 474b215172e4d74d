"""The state machines: what is wrong in their file is said with its place."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from relaykit.errors import UsageError
from relaykit.schemas import load_catalogue, state_machines

ROOT = load_catalogue().root


def test_each_machine_has_its_states_and_ways() -> None:
    machines = {machine.id: machine for machine in state_machines(load_catalogue())}
    assert set(machines) == {"message", "call", "device"}
    ringing = [move for move in machines["call"].moves if (move.start, move.end) == ("ringing", "over")]
    assert [way.id for way in ringing[0].ways][:2] == ["call-rejected", "call-answered-with-busy"]
    assert ringing[0].requirements == ("CALL-30", "CALL-32", "CALL-31", "CALL-33", "CALL-35", "CALL-36")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("to: sent", "to: snt", "there is no state 'snt' (did you mean 'sent'?)"),
        ("frames: [send, sent_ack]", "frames: [sendd]", "there is no frame 'sendd' (did you mean 'send'?)"),
        ("[MSG-12, MSG-14]", "[MSG-99]", "there is no requirement 'MSG-99'"),
        ("message-stored-for-absent", "message-refused", "there are two ways 'message-refused'"),
        ("label: send again", "labl: send again", "unknown key 'labl' (did you mean 'label'?)"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = (ROOT / "states.yaml").read_text("utf-8")
    assert old in text
    (tmp_path / "states.yaml").write_text(text.replace(old, new, 1), "utf-8")
    shutil.copy(ROOT / "protocol.yaml", tmp_path)
    with pytest.raises(UsageError) as caught:
        state_machines(load_catalogue(), tmp_path)
    assert said in str(caught.value)
    assert f"{tmp_path / 'states.yaml'}:" in str(caught.value)
