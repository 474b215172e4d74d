"""As many connections as the settings say, if the system lets the process open as many files."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
from support.process import ServerProcess

from relaykit.reference_server.open_files import OTHERS, connections_for

INFINITY = resource.RLIM_INFINITY


class System:
    """The limits of a system; it may permit less than it says."""

    def __init__(self, soft: int, hard: int, true: int) -> None:
        self.limits, self.true = (soft, hard), true

    def get(self, _which: int) -> tuple[int, int]:
        return self.limits

    def set(self, _which: int, limits: tuple[int, int]) -> None:
        if limits[0] > self.true:
            raise ValueError("not allowed to raise it")
        self.limits = limits


@pytest.mark.parametrize(
    ("soft", "hard", "true", "connections", "left"),
    [
        (1024, 1 << 20, 1 << 20, 20_000, 20_000 + OTHERS),  # raised
        (1024, INFINITY, 1 << 20, 20_000, 20_000 + OTHERS),
        (INFINITY, INFINITY, 1 << 20, 20_000, INFINITY),  # as it was
        (65_536, 65_536, 65_536, 20_000, 65_536),
        (256, 4096, 4096, 4096 - OTHERS, 4096),  # as far as it goes
        (256, INFINITY, 0, 256 - OTHERS, 256),  # or not at all
    ],
)
def test_the_soft_limit_is_raised_or_kept_to(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, true: int, connections: int, left: int
) -> None:
    system = System(soft, hard, true)
    monkeypatch.setattr(resource, "getrlimit", system.get)
    monkeypatch.setattr(resource, "setrlimit", system.set)
    assert connections_for(20_000) == connections
    assert system.limits == (left, hard)


def test_a_server_raises_its_own(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, RELAYKIT_SERVE_MAX_CONNECTIONS="100") as server:
        text = Path(f"/proc/{server.ready['pid']}/limits").read_text()
    (line,) = [one for one in text.splitlines() if one.startswith("Max open files")]
    assert int(line.split()[3]) >= 100 + OTHERS
