"""Defects at the door: path, carriers of the token, origins, and devices that connect twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from relaykit.reference_server.app import App
from relaykit.reference_server.auth import AuthError, Identity
from relaykit.reference_server.connection import Connection
from relaykit.reference_server.defects import Defect, defect
from relaykit.reference_server.defects.blocks import Frame, sending
from relaykit.reference_server.defects.seams import Seams
from relaykit.reference_server.handshake import Admission, Door, Refusal
from relaykit.reference_server.hub import Hub
from relaykit.reference_server.session import Session

Examine = Callable[[Door, Request], Admission]


def examining(change: Callable[[Examine, Door, Request], Admission]) -> Callable[[Seams], None]:
    """The door looks at a request in another way."""

    def apply(seams: Seams) -> None:
        def examine(original: Examine, self: Door, request: Request) -> Admission:
            return change(original, self, request)

        seams.around(Door, "examine", examine)

    return apply


def _without_carrier(carrier: str) -> Callable[[Seams], None]:
    """A token in this carrier is not seen."""

    def token(
        original: Callable[..., tuple[str, bool]], self: Door, headers: Headers, parameters: Any
    ) -> tuple[str, bool]:
        seen = Headers(headers.raw_items())
        if carrier == "query":
            parameters = [(name, value) for name, value in parameters if name != "token"]
        elif carrier in seen:
            del seen[carrier]
        return original(self, seen, parameters)

    return lambda seams: seams.around(Door, "_token", token)


def _not_announced(original: Examine, door: Door, request: Request) -> Admission:
    return replace(original(door, request), subprotocol=None)


def _mixed(original: Examine, door: Door, request: Request) -> Admission:
    """The user of the first token, and the device of the second."""
    try:
        return original(door, request)
    except Refusal:
        query = dict(parse_qsl(request.path.partition("?")[2])).get("token")
        _scheme, _, other = request.headers.get("Authorization", "").partition(" ")
        if not query or not other:
            raise
        try:
            one, two = door.verifier.verify(query), door.verifier.verify(other.strip())
        except AuthError:
            raise Refusal(401, "Authentication failed.") from None
        return Admission(replace(one, device=two.device), None, False)


def _status(original: Examine, door: Door, request: Request, *, of: int, status: int) -> Admission:
    try:
        return original(door, request)
    except Refusal as refusal:
        if refusal.status != of:
            raise
        raise Refusal(status, refusal.text) from None


CARRIERS = (
    Defect(
        "no-token-in-the-query", "A token in the query is not seen.", ("CONN-02",), _without_carrier("query")
    ),
    Defect(
        "no-token-in-the-header",
        "A token in the Authorization header is not seen.",
        ("CONN-03",),
        _without_carrier("Authorization"),
    ),
    Defect(
        "no-token-as-subprotocol",
        "A token that is offered as a subprotocol is not seen.",
        ("CONN-04",),
        _without_carrier("Sec-WebSocket-Protocol"),
    ),
    Defect(
        "bearer-not-selected",
        "The subprotocol Bearer is not selected.",
        ("CONN-05",),
        examining(_not_announced),
    ),
    Defect(
        "two-tokens-mixed",
        "Of two different tokens, one gives the user and the other the device.",
        ("CONN-07",),
        examining(_mixed),
    ),
    Defect(
        "bad-token-is-a-server-error",
        "A bad token is refused with the HTTP status 500.",
        ("CONN-08",),
        examining(partial(_status, of=401, status=500)),
    ),
    Defect(
        "bad-origin-is-a-server-error",
        "A foreign origin is refused with the HTTP status 500.",
        ("CONN-08",),
        examining(partial(_status, of=403, status=500)),
    ),
)


def _accepting(change: Callable[[Response, Request | None], None]) -> Callable[[Seams], None]:
    """The handshake is answered in another way."""

    def apply(seams: Seams) -> None:
        requests: dict[Connection, Request] = {}

        def request_(original: Callable[..., None], self: Connection, request: Request, alone: bool) -> None:
            requests[self] = replace(request)  # what the server has answered it forgets
            original(self, request, alone=alone)

        def accept(original: Callable[..., None], self: Connection, response: Response) -> None:
            change(response, requests.pop(self, None))
            original(self, response)

        seams.around(Connection, "_request", request_)
        seams.around(Connection, "accept", accept)

    return apply


def _token_echoed(response: Response, request: Request | None) -> None:
    offered = request.headers.get("Sec-WebSocket-Protocol", "") if request is not None else ""
    if "," in offered:
        del response.headers["Sec-WebSocket-Protocol"]
        response.headers["Sec-WebSocket-Protocol"] = offered


def _path_echoed(response: Response, request: Request | None) -> None:
    if request is not None:
        response.headers["X-Request-Path"] = request.path


ANSWERS = (
    Defect(
        "token-echoed-as-subprotocol",
        "The response selects the token as a subprotocol, too.",
        ("CONN-06",),
        _accepting(_token_echoed),
    ),
    Defect(
        "token-echoed-with-the-path",
        "A header of the response repeats the path with its query.",
        ("CONN-06",),
        _accepting(_path_echoed),
    ),
)


@defect("another-path", "The endpoint is /socket instead of /ws.", "CONN-01", setup="another-path")
def another_path(seams: Seams) -> None:
    def examine(original: Examine, self: Door, request: Request) -> Admission:
        path, _, query = request.path.partition("?")
        if path != "/socket":
            raise Refusal(404, "There is nothing here.")
        return original(self, replace(request, path=f"{self.path}?{query}"))

    seams.around(Door, "examine", examine)


def _checking(change: Callable[[Callable[..., None], Door, Headers], None]) -> Callable[[Seams], None]:
    def apply(seams: Seams) -> None:
        def check(original: Callable[..., None], self: Door, headers: Headers) -> None:
            change(original, self, headers)

        seams.around(Door, "_check_origin", check)

    return apply


def _origin_required(original: Callable[..., None], door: Door, headers: Headers) -> None:
    """A page cannot set that header, so whoever does is no browser: an origin is demanded all the same."""
    if "Authorization" in headers and not headers.get_all("Origin"):
        raise Refusal(403, "An Origin is required.")
    original(door, headers)


def _by_its_beginning(original: Callable[..., None], door: Door, headers: Headers) -> None:
    origins = headers.get_all("Origin")
    if not any(pattern.match(origin) for origin in origins for pattern in door.origins or ()):
        original(door, headers)


def _null_permitted(original: Callable[..., None], door: Door, headers: Headers) -> None:
    if headers.get_all("Origin") != ["null"]:
        original(door, headers)


ORIGINS = (
    Defect(
        "origin-by-its-beginning",
        "An origin is permitted if it begins as a permitted one does.",
        ("CONN-15",),
        _checking(_by_its_beginning),
        setup="with-origin",
    ),
    Defect(
        "null-origin-permitted",
        "The origin `null`, which pages in frames and files have, is permitted.",
        ("CONN-15",),
        _checking(_null_permitted),
    ),
    Defect(
        "origin-demanded",
        "An Origin is demanded where the token comes in a header.",
        ("CONN-16",),
        _checking(_origin_required),
    ),
)


def _entering(change: Callable[..., None]) -> Callable[[Seams], None]:
    def apply(seams: Seams) -> None:
        def enter(
            original: Callable[..., None],
            self: App,
            connection: Any,
            admission: Admission,
            response: Response,
        ) -> None:
            change(original, self, connection, admission, response)

        seams.around(App, "enter", enter)

    return apply


def _once_only(
    original: Callable[..., None], app: App, connection: Any, admission: Admission, response: Response
) -> None:
    if app.hub.of_device(admission.identity.user, admission.identity.device):
        raise Refusal(409, "This device is connected already.")
    original(app, connection, admission, response)


def _to_the_oldest(frame: Frame, to: Session, app: App) -> object:
    return frame if app.hub.of_device(to.user, to.device)[:1] == [to] else None


def _with_its_device(original: Callable[..., None], self: Hub, session: Session) -> None:
    there = self.of_device(session.user, session.device)
    for one in there if session in there else ():
        original(self, one)


TWICE = (
    Defect(
        "second-connection-refused",
        "A device that is connected already is refused.",
        ("CONN-13",),
        _entering(_once_only),
    ),
    Defect(
        "second-connection-not-served",
        "Of two connections of a device the older one alone gets messages.",
        ("CONN-14",),
        sending("deliver", _to_the_oldest),
    ),
    Defect(
        "older-connection-unregisters",
        "When a connection ends, the newer ones of its device are forgotten too.",
        ("CONN-14", "PRES-08"),
        lambda seams: seams.around(Hub, "remove", _with_its_device),
    ),
)


def _turned_out(says: Callable[[App], list[bytes]], code: int) -> Callable[[Seams], None]:
    """Bad tokens open the socket, are told something, and turned out with a close code."""
    nobody = Identity("00000000-0000-4000-8000-00000000000c", "00000000-0000-4000-8000-00000000000d", 4e9)

    def examine(original: Examine, self: Door, request: Request) -> Admission:
        try:
            return original(self, request)
        except Refusal as refusal:
            if refusal.status != 401:
                raise
            return Admission(nobody, None, False)

    def enter(
        original: Callable[..., None], app: App, connection: Any, admission: Admission, response: Response
    ) -> None:
        original(app, connection, admission, response)
        if admission.identity is nobody:
            for data in says(app):
                app.turn.send(connection.session, data)
            app.end(connection.session, code, "")

    def apply(seams: Seams) -> None:
        seams.around(Door, "examine", examine)
        _entering(enter)(seams)

    return apply


def _auth_failed(app: App) -> bytes:
    return app.frames.error("auth_failed", "bad token", reconnect=False)


REFUSALS = (
    Defect(
        "refuses-with-more-than-an-error",
        "A bad token gets a heartbeat_ack before the error.",
        ("CONN-09",),
        _turned_out(lambda app: [app.frames.make("heartbeat_ack"), _auth_failed(app)], 1008),
    ),
    Defect(
        "refuses-without-a-word",
        "A bad token opens the socket, which is closed at once.",
        ("CONN-10",),
        _turned_out(lambda _: [], 1008),
    ),
    Defect(
        "refuses-with-a-code-of-its-own",
        "A bad token gets its error, and the close code 4401.",
        ("CONN-12",),
        _turned_out(lambda app: [_auth_failed(app)], 4401),
    ),
    Defect(
        "bad-token-is-a-bad-request",
        "A bad token is refused with the HTTP status 400.",
        ("CONN-11",),
        examining(partial(_status, of=401, status=400)),
    ),
    Defect(
        "bad-origin-is-a-bad-request",
        "A foreign origin is refused with the HTTP status 400.",
        ("CONN-17",),
        examining(partial(_status, of=403, status=400)),
    ),
)


def _cut(status: int) -> Callable[[Seams], None]:
    """Who is to be refused with this status gets no answer."""

    def apply(seams: Seams) -> None:
        def refuse(original: Callable[..., None], self: Connection, refusal: Refusal) -> None:
            if refusal.status == status:
                self.abort()
            else:
                original(self, refusal)

        seams.around(Connection, "_refuse", refuse)

    return apply


CUTS = (
    Defect(
        "bad-token-is-cut", "The connection of a bad token is cut without an answer.", ("CONN-19",), _cut(401)
    ),
    Defect(
        "bad-origin-is-cut",
        "The connection of a foreign origin is cut without an answer.",
        ("CONN-19",),
        _cut(403),
    ),
)


@defect("shuts-down-as-if-done", "At shutdown connections are closed with the code 1000.", "CONN-18")
def shuts_down_as_if_done(seams: Seams) -> None:
    def end(original: Callable[..., None], self: App, session: Session, code: int, reason: str) -> None:
        original(self, session, 1000 if code == 1001 else code, reason)

    seams.around(App, "end", end)
