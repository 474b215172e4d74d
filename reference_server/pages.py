"""The documentation over HTTP, on a loopback port of its own, with a console that can connect at once.

Whoever brings pages registers a function under the entry-point group `relaykit.pages`: it gives file name →
text. The server knows no more of it than that; in `console.html` it puts what `dev.for_console` says in the
place of `null` in the script element `relay-dev`.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any

from aiohttp import web

from relaykit.errors import UsageError
from relaykit.reference_server.dev import PAGES, pages_available
from relaykit.reference_server.http import listen

log = logging.getLogger(__name__)

_HOST = "127.0.0.1"
_OWN_NAMES = ("127.0.0.1", "localhost", "[::1]")
_CONSOLE = "console.html"
_HOLDER = '<script type="application/json" id="relay-dev">{}</script>'
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_KINDS = {
    "html": "text/html",
    "css": "text/css",
    "js": "text/javascript",
    "json": "application/json",
    "md": "text/markdown",
    "csv": "text/csv",
}
Facts = Callable[[], Mapping[str, Any]]


class PagesServer:
    """Serves the documentation. It is made when it is first asked for: most runs never ask."""

    def __init__(self, port: int, facts: Facts) -> None:
        """Prepare.

        Args:
            port: 0 for any free one.
            facts: what the console is told, asked each time.

        Raises:
            UsageError: nobody brings pages.
        """
        if not pages_available():
            raise UsageError("docs_port: no documentation is installed")
        self._port = port
        self._facts = facts
        self._runner: web.AppRunner | None = None
        self._files: asyncio.Task[dict[str, str]] | None = None

    async def start(self) -> None:
        """Listen, and serve from now on.

        Raises:
            UsageError: the port cannot be listened on.
        """
        http = web.Application()
        http.add_routes([web.get("/{path:.*}", self._serve)])
        self._runner = await listen(http, _HOST, self._port, "--docs-port")

    @property
    def url(self) -> str:
        """Where the documentation is."""
        assert self._runner is not None
        return f"http://{_HOST}:{self._runner.addresses[0][1]}/"

    @property
    def origins(self) -> tuple[str, ...]:
        """What the console's `Origin` is, by whichever of our names a browser has called us."""
        assert self._runner is not None
        return tuple(f"http://{name}:{self._runner.addresses[0][1]}" for name in _OWN_NAMES)

    async def stop(self) -> None:
        """Stop serving."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _serve(self, request: web.Request) -> web.Response:
        # A page of a stranger that calls itself by a name for this machine's address must not read tokens.
        if request.host.rpartition(":")[0] not in _OWN_NAMES and request.host not in _OWN_NAMES:
            return web.Response(status=403, text="this is served on 127.0.0.1 only\n", headers=_HEADERS)
        if self._files is None:
            self._files = asyncio.create_task(asyncio.to_thread(_made))
        try:
            files = await asyncio.shield(self._files)
        except Exception:
            log.exception("the documentation cannot be made")
            self._files = None
            return web.Response(status=500, text="the documentation cannot be made: see the log\n")
        name = request.path.removeprefix("/") or "index.html"
        name = name if name in files else f"{name}.html"
        if name not in files:
            return web.Response(status=404, text="there is no such page\n", headers=_HEADERS)
        text = files[name]
        if name == _CONSOLE:
            text = text.replace(_HOLDER.format("null"), _HOLDER.format(_script_json(self._facts())))
        kind = _KINDS.get(name.rpartition(".")[2], "text/plain")
        return web.Response(text=text, content_type=kind, charset="utf-8", headers=_HEADERS)


def _made() -> dict[str, str]:
    entry, *_ = entry_points(group=PAGES, name="docs")
    make: Callable[[], Mapping[str, str]] = entry.load()
    return dict(make())


def _script_json(value: Any) -> str:
    """JSON that may stand inside a script element."""
    return json.dumps(value).replace("<", "\\u003c")
