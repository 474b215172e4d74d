"""The library's protocol logic of WebSocket, which knows no I/O, set up for this server."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.server import ServerProtocol

if TYPE_CHECKING:
    from relaykit.reference_server.app import App

# The library logs each connection that opens and closes; that is the server's to say.
_LOG = logging.getLogger(__name__)
_LOG.setLevel(logging.ERROR)

MAX_CONTROL = 125
"""Bytes of a control frame (RFC 6455, 5.5)."""

# No context is kept between messages: an idle connection then costs no compression state at all.
DEFLATE = ServerPerMessageDeflateFactory(
    server_no_context_takeover=True,
    client_no_context_takeover=True,
    server_max_window_bits=12,
    compress_settings={"memLevel": 5},
)


class Protocol(ServerProtocol):
    """The library's, but for the reason it gives for a message that is too large: that would name its own
    limit, which leaves room for a control frame between fragments."""

    def __init__(self, app: App) -> None:
        self.too_large = f"more than {app.max_frame_bytes} bytes"
        super().__init__(extensions=app.extensions, max_size=app.max_frame_bytes + MAX_CONTROL, logger=_LOG)

    def fail(self, code: int, reason: str = "") -> None:
        super().fail(code, self.too_large if reason.startswith("frame ") else reason)
