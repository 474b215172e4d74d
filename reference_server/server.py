"""Listening, and shutting down so that nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from relaykit.errors import UsageError
from relaykit.reference_server import dev, devices, keepalive, observed, tls
from relaykit.reference_server.app import App
from relaykit.reference_server.auth import Key
from relaykit.reference_server.clock import Clock
from relaykit.reference_server.connection import Connection
from relaykit.reference_server.faults import Names
from relaykit.reference_server.handshake import Refusal
from relaykit.reference_server.observed import Observed
from relaykit.reference_server.settings import Settings, host_in_url, why_not
from relaykit.reference_server.tls_listener import TlsListener
from relaykit.schemas import Catalogue

if TYPE_CHECKING:
    from relaykit.reference_server.control import ControlServer
    from relaykit.reference_server.metrics import MetricsServer
    from relaykit.reference_server.pages import PagesServer

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
        tls.check(settings)
        self.certificate: tls.Certificate | None = None
        """The certificate that was made for this run, if one was asked for."""
        if settings.tls_self_signed:
            self.certificate = tls.make_certificate(Clock().now(), tls.names_for(settings.host))
        self._tls = tls.context_of(settings, self.certificate)
        self.app = App(settings, catalogue, keys)
        self.arranged: dev.Arranged | None = None
        """What there is for development, if that was asked for."""
        self._control: ControlServer | None = None
        self._metrics: MetricsServer | None = None
        self._pages: PagesServer | None = None
        self._listener: asyncio.Server | TlsListener | None = None
        try:
            self.app.watch = observed.watch(self.app, dev.NAMES if settings.dev else Names())
            self._add_http(control_token or "", keys)
        except UsageError:
            self.app.store.close()
            raise

    def _add_http(self, control_token: str, keys: Sequence[Key]) -> None:
        settings, watch = self.app.settings, self.app.watch
        # These bring a whole HTTP server.
        if settings.control_port is not None:
            from relaykit.reference_server.control import ControlServer

            self._control = ControlServer(self.app, control_token)
        if settings.metrics_port is not None and watch is not None:
            from relaykit.reference_server.metrics import MetricsServer

            self._metrics = MetricsServer(self.app, watch.counters)
        if settings.docs_port is not None:
            from relaykit.reference_server.pages import PagesServer

            self._pages = PagesServer(settings.docs_port, lambda: dev.for_console(self, keys))

    async def start(self) -> None:
        """Listen, and serve from now on.

        Raises:
            UsageError: the address cannot be listened on.
        """
        settings = self.app.settings
        if settings.dev:
            try:
                self.arranged = dev.arrange(self.app)
            except UsageError:
                self.app.store.close()
                raise
        # Clients come last: whoever waits for their port finds all the others open, too.
        try:
            for http in (self._control, self._metrics, self._pages):
                if http is not None:
                    await http.start()
            self._listener = await self._listen()
        except UsageError:
            await self.stop()
            raise
        except (OSError, UnicodeError) as error:
            await self.stop()
            taken = isinstance(error, OSError) and error.errno in (errno.EADDRINUSE, errno.EACCES)
            raise UsageError(
                f"cannot listen on {settings.host}:{settings.port}: {why_not(error)}",
                hint="give another --port, or 0 for any free one"
                if taken
                else "give a --host that is an address of this machine, such as 127.0.0.1 or 0.0.0.0",
            ) from error
        if self._pages is not None:  # whatever --origin permits, the console that we serve may connect
            self.app.door = self.app.door.admitting(*self._pages.origins)
        keepalive.start(self.app)
        devices.start(self.app)

    async def _listen(self) -> asyncio.Server | TlsListener:
        host, port = self.app.settings.host, self.app.settings.port
        if self._tls is None:
            loop = asyncio.get_running_loop()
            return await loop.create_server(self._connection, host, port, backlog=_BACKLOG)
        listener = TlsListener(self.app, self._tls, self._connection)
        await listener.start(host, port, _BACKLOG)
        return listener

    def _connection(self) -> Connection:
        watch = self.app.watch
        return Connection(self.app) if watch is None else Observed(self.app, watch)

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._listener is not None
        return int(self._listener.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """Where clients connect to."""
        scheme = "ws" if self._tls is None else "wss"
        return f"{scheme}://{host_in_url(self.app.settings.host)}:{self.port}{self.app.door.path}"

    @property
    def control_url(self) -> str | None:
        """Where the control interface is, if it is served."""
        return None if self._control is None else self._control.url

    @property
    def metrics_url(self) -> str | None:
        """Where the metrics are, if they have a port of their own."""
        return None if self._metrics is None else self._metrics.url

    @property
    def docs_url(self) -> str | None:
        """Where the documentation is, if it is served."""
        return None if self._pages is None else self._pages.url

    async def stop(self) -> None:
        """Commit, close every connection with 1001 after what is queued for it, and then the store.

        Until the last of them is gone, new handshakes are answered with 503, and `/healthz` says so, too.
        """
        app = self.app
        app.stopping = True
        app.turn.flush()
        app.draining = set(app.connections)
        for connection in app.draining:
            if connection.session is None:
                connection.refuse(Refusal(503, "The server is shutting down."))
            else:
                app.end(connection.session, 1001, "the server shuts down")
        app.turn.flush()
        if app.draining:
            try:
                await asyncio.wait_for(app.emptied.wait(), app.settings.shutdown_timeout_s)
            except TimeoutError:
                if app.draining:  # their own time to close may have been up in this very moment
                    log.info("%d connections did not close in time", len(app.draining))
        if self._listener is not None:
            self._listener.close()
        for http in (self._control, self._metrics, self._pages):
            if http is not None:
                await http.stop()
        await self._abort_all()
        app.turn.flush()
        app.clock.close()
        app.store.close()

    async def _abort_all(self) -> None:
        app = self.app
        app.draining = set(app.connections)
        if app.draining:
            app.emptied.clear()
            for connection in app.draining:
                connection.abort()
            await asyncio.wait_for(app.emptied.wait(), 1.0)
