"""Listening, and shutting down so that nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from relaykit.errors import UsageError
from relaykit.reference_server import devices, keepalive
from relaykit.reference_server.app import App
from relaykit.reference_server.auth import Key
from relaykit.reference_server.connection import Connection
from relaykit.reference_server.settings import Settings
from relaykit.schemas import Catalogue

if TYPE_CHECKING:
    from relaykit.reference_server.control import ControlServer

log = logging.getLogger(__name__)

_BACKLOG = 1024  # TCP connections that wait to be accepted


class Server:
    """A running server: made, started and stopped within one event loop."""

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        keys: Sequence[Key],
        control_token: str | None = None,
    ) -> None:
        """See `App`; the control interface is served if the settings name a port for it.

        Raises:
            UsageError: the control interface may not be served like that.
        """
        self.app = App(settings, catalogue, keys)
        self._control: ControlServer | None = None
        if settings.control_port is not None:
            from relaykit.reference_server.control import ControlServer  # brings a whole HTTP server

            try:
                self._control = ControlServer(self.app, control_token or "")
            except UsageError:
                self.app.store.close()
                raise
        self._listener: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen, and serve from now on.

        Raises:
            UsageError: the address cannot be listened on.
        """
        settings = self.app.settings
        try:
            self._listener = await asyncio.get_running_loop().create_server(
                lambda: Connection(self.app), settings.host, settings.port, backlog=_BACKLOG
            )
        except OSError as error:
            self.app.store.close()
            raise UsageError(
                f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}",
                hint="give another --port, or 0 for any free one",
            ) from error
        if self._control is not None:
            try:
                await self._control.start()
            except UsageError:
                await self.stop()
                raise
        keepalive.start(self.app)
        devices.start(self.app)

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._listener is not None  # noqa: S101
        return int(self._listener.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """Where clients connect to."""
        host = self.app.settings.host
        return f"ws://{f'[{host}]' if ':' in host else host}:{self.port}{self.app.door.path}"

    @property
    def control_url(self) -> str | None:
        """Where the control interface is, if it is served."""
        return None if self._control is None else self._control.url

    async def stop(self) -> None:
        """Stop accepting, commit, close every connection with 1001 and the store."""
        app = self.app
        app.stopping = True
        if self._control is not None:
            await self._control.stop()
        if self._listener is not None:
            self._listener.close()
        app.turn.flush()
        for connection in list(app.connections):
            if connection.session is None:
                connection.abort()
            else:
                app.end(connection.session, 1001, "the server shuts down")
        app.turn.flush()
        if app.connections:
            app.emptied.clear()
            try:
                await asyncio.wait_for(app.emptied.wait(), app.settings.shutdown_timeout_s)
            except TimeoutError:
                await self._abort_all()
        app.turn.flush()
        app.clock.close()
        app.store.close()

    async def _abort_all(self) -> None:
        log.info("%d connections did not close in time", len(self.app.connections))
        for connection in list(self.app.connections):
            connection.abort()
        await asyncio.wait_for(self.app.emptied.wait(), 1.0)
