"""Where TLS connections are taken in: counted from the first byte of TCP on, so that handshakes in progress
are bounded in number as well as in time.

With `create_server(ssl=…)` nobody would hear of a connection before its TLS handshake is over.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relaykit.reference_server.app import App

log = logging.getLogger(__name__)

_PAUSE_S = 0.2  # before another try, when no connection can be accepted
# OpenSSL's names for what a client sends that does not speak TLS at all.
_PLAIN = {"HTTP_REQUEST", "HTTPS_PROXY_REQUEST"}


class TlsListener:
    """Accepts connections and shakes hands on each; what is within TLS then belongs to a protocol of its own.

    Args:
        context: how TLS is spoken.
        inner: makes the protocol that is served over TLS.
    """

    def __init__(self, app: App, context: ssl.SSLContext, inner: Callable[[], asyncio.Protocol]) -> None:
        self._app = app
        self._context = context
        self._inner = inner
        self._tasks: set[asyncio.Task[None]] = set()
        self.sockets: list[socket.socket] = []
        """What it listens on."""

    async def start(self, host: str, port: int, backlog: int) -> None:
        """Listen, and accept from now on.

        Raises:
            OSError: the address cannot be listened on.
        """
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        try:
            for family, address in dict.fromkeys((one[0], one[4]) for one in found):
                self.sockets.append(socket.create_server(address[:2], family=family, backlog=backlog))
        except OSError:
            self.close()
            raise
        for listening in self.sockets:
            listening.setblocking(False)
            self._spawn(self._accept(listening))

    def close(self) -> None:
        """Listen no more, and drop what has not come to the end of its handshake."""
        for task in self._tasks:
            task.cancel()
        for listening in self.sockets:
            listening.close()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listening)
            except OSError as error:  # too many open files, for example
                self._app.sparing.warn(log, "no connection can be accepted: %s", error.strerror or error)
                await asyncio.sleep(_PAUSE_S)
                continue
            if self._app.may_shake_hands():
                self._app.tls_handshakes += 1
                self._spawn(self._shake_hands(connection))
            else:
                connection.close()

    async def _shake_hands(self, connection: socket.socket) -> None:
        settings = self._app.settings
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._inner,
                connection,
                ssl=self._context,
                ssl_handshake_timeout=settings.handshake_timeout_s,
                ssl_shutdown_timeout=settings.close_timeout_s,
            )
        except ssl.SSLError as error:
            hint = ": the client does not speak TLS; its URL must begin with wss://"
            why = hint if error.reason in _PLAIN else f": {error.reason or error}"
            log.info("TLS handshake failed%s", why)
        except OSError as error:  # gone, or too slow
            log.info("TLS handshake failed: %s", error.strerror or str(error) or "the client is gone")
        finally:
            self._app.tls_handshakes -= 1
