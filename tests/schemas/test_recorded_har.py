"""A real browser's session (tests/data/record_har.py) goes through `relaykit validate`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HAR = Path(__file__).parents[1] / "data" / "chromium.har"


def test_a_session_recorded_from_chromium_is_read_frame_by_frame() -> None:
    command = [Path(sys.executable).with_name("relaykit"), "validate", "--all", "--format", "json", HAR]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    result = json.loads(done.stdout)
    frames = result["frames"]
    recorded = [
        message
        for entry in json.loads(HAR.read_text())["log"]["entries"]
        for message in entry["_webSocketMessages"]
    ]
    assert len(recorded) > 10
    assert [(frame["direction"], frame["type"]) for frame in frames] == [
        ({"send": "c2s", "receive": "s2c"}[message["type"]], json.loads(message["data"])["type"])
        for message in recorded
    ]
    # The session sends one frame that is wrong on purpose; everything the server said is right.
    (invalid,) = [frame for frame in frames if not frame["valid"]]
    assert (invalid["direction"], invalid["type"]) == ("c2s", "send")
    entry = "".join(HAR.read_text().splitlines()[invalid["line"] - 1 :]).partition('}"')[0]
    assert "receiver_id" in entry
    assert "ciphertext" not in entry
    assert not any(frame["errors"] for frame in frames if frame["direction"] == "s2c")
