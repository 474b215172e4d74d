"""Ports for HTTP beside the one for WebSockets: control, metrics, documentation.

aiohttp bounds the size of a request; what it leaves to us is how long one may take, and how many connections
there may be.
"""

from __future__ import annotations

import asyncio
import logging
from typing import cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler

from relaykit.errors import UsageError
from relaykit.reference_server.settings import why_not

log = logging.getLogger(__name__)

REQUEST_S = 10.0
"""For the head of a connection's first request to arrive, and for the body of each. By the machine's own
time: this is about the machine, and whoever moves the server's clock ahead must not be cut for it."""
_IDLE_S = 75.0  # for a connection that has had an answer to bring its next request
_LINGER_S = 2.0  # for what is left of a body that nobody asked for, lest a reset swallow the answer
_MOST_CONNECTIONS = 256  # of one port: a few people and programs have to do with it


async def listen(
    http: web.Application, host: str, port: int | None, option: str, *, stop_s: float = 1.0
) -> web.AppRunner:
    """Serve an application until `cleanup()`.

    Args:
        port: 0 for any free one.
        option: of the command line, which could name another port.
        stop_s: how long requests in progress may take when it is stopped, in seconds.

    Raises:
        UsageError: the address cannot be listened on.
    """
    silent: dict[asyncio.BaseProtocol, asyncio.Event] = {}

    @web.middleware
    async def heard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.protocol in silent:
            silent[request.protocol].set()
        return await handler(request)

    http.middlewares.append(heard)
    runner = web.AppRunner(
        http,
        access_log=None,
        logger=_errors,
        auto_decompress=False,  # no body needs it, and one that is broken would be told by aiohttp
        shutdown_timeout=stop_s,
        keepalive_timeout=_IDLE_S,
        lingering_time=_LINGER_S,
    )
    await runner.setup()
    try:
        await _Site(runner, host, port, silent).start()
    except (OSError, UnicodeError) as error:
        await runner.cleanup()
        raise UsageError(
            f"cannot listen on {host}:{port}: {why_not(error)}",
            hint=f"give another {option}, or 0 for any free one",
        ) from error
    return runner


def _is_of_us(record: logging.LogRecord) -> bool:
    """Whether an error that aiohttp logs is ours. What is no HTTP, such as TLS to an address with http://, is
    none: whoever sends it gets 400, and the log no traceback for each."""
    error = record.exc_info[1] if record.exc_info else None
    if not isinstance(error, HttpProcessingError):
        return True
    said = error.message.partition("\n")[0][:100]
    log.info("what came over HTTP is no request: %s", said)
    return False


_errors = logging.getLogger(f"{__name__}.aiohttp")
_errors.addFilter(_is_of_us)


class _Site(web.BaseSite):
    """Where one application is served.

    Args:
        silent: connections, and whether their first request has come, as the application says.
    """

    def __init__(
        self,
        runner: web.AppRunner,
        host: str,
        port: int | None,
        silent: dict[asyncio.BaseProtocol, asyncio.Event],
    ) -> None:
        super().__init__(runner)
        self._host = host
        self._port = port
        self._silent = silent
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        sockets = self._server.sockets if isinstance(self._server, asyncio.Server) else ()
        return f"http://{self._host}:{sockets[0].getsockname()[1] if sockets else self._port}"

    async def start(self) -> None:
        await super().start()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, self._host, self._port)

    def _connection(self) -> asyncio.BaseProtocol:
        server = self._runner.server
        assert server is not None
        if len(server.connections) >= _MOST_CONNECTIONS:
            return _Refusing()
        made = server()
        self._silent[made] = asyncio.Event()
        task = asyncio.get_running_loop().create_task(self._end_if_silent(made))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return made

    async def _end_if_silent(self, made: web.RequestHandler) -> None:
        try:
            async with asyncio.timeout(REQUEST_S):
                await self._silent[made].wait()
        except TimeoutError:
            if made.transport is not None:
                log.info("%s: no request came in time", self.name)
                made.transport.write(_answer("408 Request Timeout", "the request took too long"))
                made.force_close()
        finally:
            del self._silent[made]


class _Refusing(asyncio.Protocol):
    """A connection that is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)
        transport.write(_answer("503 Service Unavailable", "too many connections"))
        transport.close()


def _answer(status: str, text: str) -> bytes:
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
        f"Content-Length: {len(text) + 1}\r\n\r\n{text}\n"
    ).encode()
