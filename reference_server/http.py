"""Ports for HTTP beside the one for WebSockets: control, metrics, documentation."""

from __future__ import annotations

from aiohttp import web

from relaykit.errors import UsageError


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
    runner = web.AppRunner(http, access_log=None, shutdown_timeout=stop_s)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        await runner.cleanup()
        raise UsageError(
            f"cannot listen on {host}:{port}: {error.strerror or error}",
            hint=f"give another {option}, or 0 for any free one",
        ) from error
    return runner
