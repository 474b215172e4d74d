"""The fixtures for those who write clients, as a project of theirs uses them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CONFTEST = 'pytest_plugins = ["relaykit.pytest_fixtures"]\n'
TESTS = """\
import json
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

def test_a_message_arrives(relay_server):
    alice, bob = relay_server.user(), relay_server.user()
    message = {
        "type": "send",
        "message_id": "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        "payload": {"receiver_id": bob.id, "ciphertext": "YQ==", "message_type": "text"},
    }
    with connect(alice.url, proxy=None) as one, connect(bob.url, proxy=None) as two:
        one.send(json.dumps(message))
        assert json.loads(one.recv(timeout=20))["type"] == "sent_ack"
        got = json.loads(two.recv(timeout=20))
        assert (got["type"], got["sender_id"]) == ("deliver", alice.id)

def test_the_control_interface(relay_server):
    alice, bob = relay_server.user(), relay_server.user()
    group = relay_server.control("create_group", members=[alice.id, bob.id])
    assert set(group["members"]) == {alice.id, bob.id}
    with pytest.raises(RuntimeError, match="create_grup: HTTP 404"):
        relay_server.control("create_grup")

def test_tokens(relay_server):
    late = relay_server.user(lifetime_s=-3600)
    with pytest.raises(InvalidStatus):
        connect(late.url, proxy=None)

def test_another_server(relay_server, start_relay_server):
    other = start_relay_server("--limits", "connections_per_user=1")
    assert other.url != relay_server.url
    user = other.user()
    with connect(user.url, proxy=None), pytest.raises(InvalidStatus):
        connect(other.user(user.id).url, proxy=None)

def test_a_server_that_does_not_start(start_relay_server):
    with pytest.raises(RuntimeError, match="(?s)did not start:.*brust"):
        start_relay_server("--limits", "brust=1")

def test_where_it_runs(relay_server):
    with open("pid", "w") as file:
        file.write(str(relay_server.process.pid))
"""


def test_clients_get_a_server_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_client.py").write_text(TESTS)
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env=kept,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "6 passed" in ended.stdout
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text()}").exists()
