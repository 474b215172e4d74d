"""Opening connections: from an address and a presented token to a `Connection`, or to why there is none."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence

from websockets.client import ClientProtocol
from websockets.extensions import ClientExtensionFactory
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from relaykit.conformance.dial_error import os_words
from relaykit.conformance.record import Recorder
from relaykit.conformance.wire import Connection, DialError

_MAX_MESSAGE = 16 * 2**20


async def dial(
    url: str,
    recorder: Recorder,
    label: str,
    *,
    headers: Mapping[str, str],
    subprotocols: tuple[str, ...] = (),
    extensions: Sequence[ClientExtensionFactory] = (),
    tls: ssl.SSLContext | None = None,
    seconds: float,
    made: Callable[[Connection], None] = lambda _: None,
) -> Connection:
    """Open a connection.

    Args:
        url: with the token in it, if that is how it is presented.
        headers: further handshake headers.
        subprotocols: offered as `Sec-WebSocket-Protocol`, just as they are.
        extensions: of the WebSocket protocol, to be offered.
        seconds: for all of it.
        made: is given the connection before anything can arrive on it.

    Raises:
        DialError: there is none, and why.
    """
    uri = parse_uri(url)
    offered = [Subprotocol(name) for name in subprotocols]
    client = ClientProtocol(
        uri, subprotocols=offered or None, extensions=extensions or None, max_size=_MAX_MESSAGE
    )
    request = client.connect()
    for name, value in headers.items():
        if name.lower() == "host":
            del request.headers["Host"]  # two of them would be an error of ours
        request.headers[name] = value
    loop = asyncio.get_running_loop()
    connection: Connection | None = None

    def fresh() -> Connection:
        new = Connection(client, request, recorder, label)
        made(new)
        return new

    try:
        async with asyncio.timeout(seconds):
            _, connection = await loop.create_connection(
                fresh,
                uri.host,
                uri.port,
                ssl=tls,
                server_hostname=uri.host if tls is not None else None,
            )
            await asyncio.shield(connection.opened)
    except TimeoutError:
        message = f"no answer to the handshake within {seconds:g} s"
        if connection is None:
            raise DialError(
                "unreachable", f"no connection to {uri.host}:{uri.port} within {seconds:g} s"
            ) from None
        connection.leave()
        raise DialError("silent", message) from None
    except OSError as error:
        raise DialError("unreachable", f"{uri.host}:{uri.port}: {os_words(error)}") from error
    except DialError as error:
        if connection is not None:
            connection.leave()
        recorder.transcript.event(label, "s2c", f"refused: {error}")
        raise
    except asyncio.CancelledError:
        if connection is not None:
            connection.leave()
        raise
    return connection
