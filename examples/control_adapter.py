"""A control adapter in Python: a class with a method for each operation that your server can arrange.

The suite makes one object of it for a run, with the `options` of the target file, calls the methods with the
operation's arguments as keywords, and closes it at the end. A method may be async; one that is not runs in a
thread. Operations without a method are missing, and the cases that need them are untestable. Where the server
answers that it cannot do what is asked, as for a group that is not there, `ControlRefusedError` says so; any
other exception is a failure.

This one asks the reference server's administrative interface. Yours asks whatever your server offers.
"""

import os
from typing import Any

import aiohttp

from relaykit.conformance.api import ControlRefusedError


class Adapter:
    def __init__(self, url: str = "http://127.0.0.1:8788") -> None:
        self.url = url
        self.session: aiohttp.ClientSession | None = None

    async def ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """What your server's own interface wants: adapt this."""
        if self.session is None:
            token = os.environ["RELAYKIT_CONTROL_TOKEN"]
            self.session = aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"})
        async with self.session.post(f"{self.url}/{path}", json=body) as response:
            if response.status >= 300:
                refused = response.status in (400, 404, 409)
                raise (ControlRefusedError if refused else RuntimeError)(
                    f"HTTP {response.status} {await response.text()}"
                )
            return dict(await response.json())

    async def create_user(self, **user: Any) -> dict[str, Any]:
        return await self.ask("create_user", user)

    async def add_contact(self, user_id: str, contact_id: str) -> None:
        await self.ask("add_contact", {"user_id": user_id, "contact_id": contact_id})

    async def create_group(self, members: list[str], **more: Any) -> dict[str, Any]:
        return await self.ask("create_group", {"members": members, **more})

    async def add_member(self, group_id: str, user_id: str) -> dict[str, Any]:
        return await self.ask("add_member", {"group_id": group_id, "user_id": user_id})

    async def remove_member(self, group_id: str, user_id: str) -> dict[str, Any]:
        return await self.ask("remove_member", {"group_id": group_id, "user_id": user_id})

    async def conversation(self, **of: Any) -> dict[str, Any]:
        return await self.ask("conversation", of)

    async def close(self) -> None:
        if self.session is not None:
            await self.session.close()
