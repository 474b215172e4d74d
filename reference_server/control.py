"""The control interface over HTTP: `POST /<operation>` with a token of its own, JSON both ways.

Off unless it is asked for, on a loopback port of its own. What it offers and how requests look is read from
control.openapi.yaml; what the operations do stands in `control_operations`.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import orjson
from aiohttp import web

from relaykit.config import Document, problems, suggest
from relaykit.errors import UsageError
from relaykit.reference_server.control_operations import OPERATIONS, Missing
from relaykit.reference_server.devices import Conflict
from relaykit.reference_server.http import REQUEST_S, listen
from relaykit.reference_server.metrics import routes
from relaykit.reference_server.settings import host_in_url
from relaykit.reference_server.store import StoreError
from relaykit.schemas import FrameError, Operation, control_operations, thaw

if TYPE_CHECKING:
    from relaykit.reference_server.app import App

log = logging.getLogger(__name__)

_MAX_BODY = 1024 * 1024
_STOP_S = 1.0  # for requests that are under way when the server stops


class ControlServer:
    """Serves the control interface of one server."""

    def __init__(self, app: App, token: str) -> None:
        """Prepare every operation.

        Raises:
            UsageError: the token is no proper one, or the address is not a loopback one and may not be.
        """
        settings = app.settings
        if not token.isascii() or not token.isprintable() or " " in token or not token:
            raise UsageError("the control token must be printable ASCII without spaces")
        if not settings.control_remote and not _is_loopback(settings.control_host):
            raise UsageError(
                f"the control interface may do anything, but {settings.control_host} is no loopback address",
                hint="--control-remote permits it all the same",
            )
        self._app = app
        self._token = token.encode()
        self._calls = {name: _Call(operation) for name, operation in control_operations().items()}
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen, and serve from now on.

        Raises:
            UsageError: the address cannot be listened on.
        """
        settings = self._app.settings
        http = web.Application(client_max_size=_MAX_BODY)
        if self._app.watch is not None:
            http.add_routes(routes(self._app, self._app.watch.counters))
        http.router.add_route("*", "/{path:.*}", self._serve)
        host, port = settings.control_host, settings.control_port
        self._runner = await listen(http, host, port, "--control-port", stop_s=_STOP_S)

    @property
    def url(self) -> str:
        """Where operations are posted to, without the operation's name."""
        assert self._runner is not None
        return f"http://{host_in_url(self._app.settings.control_host)}:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Stop serving."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _serve(self, request: web.Request) -> web.Response:
        if not self._authorized(request):
            refusal = _error(401, "a control token is required: Authorization: Bearer <control token>")
            refusal.headers["WWW-Authenticate"] = "Bearer"
            return refusal
        name = request.path.removeprefix("/")
        call = self._calls.get(name)
        if call is None:
            return _error(404, f"there is no operation named {name[:40]!r}{suggest(name[:40], self._calls)}")
        if request.method != "POST":
            refusal = _error(405, "operations are posted")
            refusal.headers["Allow"] = "POST"
            return refusal
        encoding = request.headers.get("Content-Encoding", "identity")
        if encoding.strip().lower() != "identity":
            return _error(400, f"the body has to be JSON as it is, without Content-Encoding: {encoding[:40]}")
        try:
            async with asyncio.timeout(REQUEST_S):
                body = await request.read()
        except TimeoutError:
            refusal = _error(408, "the request took too long")
            refusal.force_close()
            return refusal
        except web.HTTPRequestEntityTooLarge:
            return _error(413, f"a request has at most {_MAX_BODY} bytes")
        status, answer = call.carry_out(self._app, body)
        if status >= 400:
            log.info("control: %s refused with %d: %s", name, status, answer["error"])
        else:
            log.info("control: %s", name)
        return web.Response(status=status, body=orjson.dumps(answer), content_type="application/json")

    def _authorized(self, request: web.Request) -> bool:
        given = request.headers.getall("Authorization", ())
        scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        same = hmac.compare_digest(token.strip().encode(errors="surrogateescape"), self._token)
        return same and scheme.lower() == "bearer"


class _Call:
    """One operation, ready to be called."""

    def __init__(self, operation: Operation) -> None:
        self._name = operation.name
        self._schema = thaw(operation.request)
        self._is_valid = _validator(operation.request).is_valid
        self._fits = _validator(operation.response).is_valid
        self._operation = OPERATIONS[operation.name]

    def carry_out(self, app: App, body: bytes) -> tuple[int, dict[str, Any]]:
        """Status and body of the answer."""
        try:
            arguments = app.catalogue.decode(body or b"{}")
        except FrameError as error:
            return 400, {"error": f"not a JSON object: {error}"}
        if not self._is_valid(arguments):
            found = problems(Document(self._name, arguments, {}), self._schema)
            return 400, {"error": "; ".join(f"{p.pointer or '(request)'}: {p.message}" for p in found[:3])}
        try:
            answer = self._operation(app, arguments)
        except Missing as missing:
            return 404, {"error": str(missing)}
        except Conflict as conflict:
            return 409, {"error": str(conflict)}
        except UsageError as error:
            return 400, {"error": f"{error}; {error.hint}" if error.hint else str(error)}
        except StoreError:
            return 503, {"error": "the server could not store this; nothing was changed"}
        except Exception:
            log.exception("the control operation %s failed", self._name)
            return 500, {"error": "the server failed"}
        finally:
            app.turn.flush()  # what the operation says is under way before it is answered
        if app.settings.check_output and not self._fits(answer):
            app.frames.defects.append(f"control: the answer of {self._name} does not fit its schema")
        return 200, answer


def _validator(schema: Any) -> Any:
    return jsonschema_rs.Draft202012Validator(thaw(schema), validate_formats=True, offline=True)


def _error(status: int, text: str) -> web.Response:
    return web.Response(status=status, body=orjson.dumps({"error": text}), content_type="application/json")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
