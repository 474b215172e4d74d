"""A lint rule: the suite waits for events with deadlines, and sleeps nowhere but where sleeping is the point.

A sleep in a case is either too short for a busy machine or wastes everybody's time.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from relaykit import conformance

ROOT = Path(conformance.__file__).parent
MEANT = {
    "fence.py": "the quiet window, within which a target may fan out later than it answers",
    "pacing.py": "the pace that the target file asks for, or that the target's limit permits",
    "wire_protocol.py": "frames that wait for that pace go out before a connection is closed",
    "deaths.py": "a moment for a foreign process to die or to come back, of which nothing tells",
}
"""File → why it may sleep."""
_SLEEPERS = {("asyncio", "sleep"), ("time", "sleep"), ("trio", "sleep"), ("anyio", "sleep")}


def sleeps(code: str) -> Iterator[tuple[int, str]]:
    """(line, what) of each place that sleeps; `asyncio.sleep(0)`, which yields one turn, does not."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (node.module, alias.name) in _SLEEPERS:
                    yield node.lineno, f"from {node.module} import {alias.name}"
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name == "asyncio.sleep" and [ast.unparse(each) for each in node.args] == ["0"]:
                continue
            # A sleep in disguise: nobody else can set an event that has no name.
            disguised = name == "asyncio.wait_for" and "Event().wait()" in ast.unparse(node)
            if disguised or tuple(name.split(".")) in _SLEEPERS:
                yield node.lineno, ast.unparse(node)


def test_the_suite_sleeps_only_where_it_is_meant_to() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {what}"
        for path in sorted(ROOT.rglob("*.py"))
        if str(path.relative_to(ROOT)) not in MEANT
        for line, what in sleeps(path.read_text())
    ]
    assert not found, "wait for an event with a deadline instead (`Context.wait`, `Connection.beat`)"


def test_each_exception_is_needed() -> None:
    assert [name for name in MEANT if not list(sleeps((ROOT / name).read_text()))] == []


@pytest.mark.parametrize(
    "code",
    [
        "await asyncio.sleep(0.1)",
        "time.sleep(x)",
        "from asyncio import sleep",
        "from time import sleep as pause",
        "await asyncio.wait_for(asyncio.Event().wait(), 3)",
    ],
)
def test_the_rule_bites(code: str) -> None:
    wrapped = f"async def case():\n    {code}\n" if code.startswith("await") else code
    assert list(sleeps(wrapped))


def test_one_turn_of_the_loop_is_no_sleep() -> None:
    assert not list(sleeps("async def case():\n    await asyncio.sleep(0)\n"))
