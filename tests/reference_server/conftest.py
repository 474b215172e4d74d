"""Async tests of the server run on both event loops: asyncio's own and uvloop, whose transports differ."""

from __future__ import annotations

import asyncio

import pytest
import support.server

LOOPS = {"asyncio": asyncio.new_event_loop}
try:
    import uvloop
except ImportError:
    pass
else:
    LOOPS["uvloop"] = uvloop.new_event_loop


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if getattr(metafunc.function, "in_loop", False):
        metafunc.fixturenames.append("event_loop_kind")
        metafunc.parametrize("event_loop_kind", LOOPS, indirect=True)


@pytest.fixture
def event_loop_kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which loop `in_loop` makes."""
    monkeypatch.setattr(support.server, "new_loop", LOOPS[request.param])
