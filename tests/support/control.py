"""The control interface of a server under test, over HTTP as any test bench would use it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from support.server import Running, running_server

TOKEN = "the-control-token-of-the-tests"


@dataclass
class Bench:
    """A server and its control interface."""

    server: Running
    session: aiohttp.ClientSession

    async def call(self, operation: str, **arguments: Any) -> tuple[int, dict[str, Any]]:
        """Status and body of an operation's answer."""
        async with self.session.post(
            f"{self.server.server.control_url}/{operation}", json=arguments
        ) as answer:
            return answer.status, await answer.json()

    async def do(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """The answer to an operation that must succeed."""
        status, answer = await self.call(operation, **arguments)
        assert status == 200, (operation, status, answer)
        return answer

    async def refused(self, status: int, operation: str, **arguments: Any) -> str:
        """The error of an operation that must be refused with this status."""
        got, answer = await self.call(operation, **arguments)
        assert got == status, (operation, got, answer)
        assert set(answer) == {"error"}
        return str(answer["error"])


@asynccontextmanager
async def bench(**changes: Any) -> AsyncIterator[Bench]:
    """A server with a control interface; `changes` as for `running_server`."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        running_server(control_port=0, control_token=TOKEN, **changes) as server,
        aiohttp.ClientSession(headers=headers) as session,
    ):
        yield Bench(server, session)
