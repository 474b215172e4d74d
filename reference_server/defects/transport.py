"""Defects below the frames: TLS, compression, and the rules of RFC 6455 that matter to this protocol."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

from websockets.frames import Frame as WireFrame
from websockets.frames import Opcode
from websockets.protocol import Protocol
from websockets.utils import apply_mask

from relaykit.reference_server import tls
from relaykit.reference_server.app import App
from relaykit.reference_server.connection import Connection
from relaykit.reference_server.defects import Defect, defect
from relaykit.reference_server.defects.blocks import receiving
from relaykit.reference_server.defects.seams import Seams
from relaykit.reference_server.dispatch import Dispatcher
from relaykit.reference_server.session import Session
from relaykit.reference_server.wire import Cutter

Message = Callable[..., None]


def _speaking(lowest: ssl.TLSVersion, highest: ssl.TLSVersion) -> Callable[[Seams], None]:
    def apply(seams: Seams) -> None:
        def context(original: Callable[..., ssl.SSLContext], *words: Any) -> ssl.SSLContext:
            made = original(*words)
            made.minimum_version, made.maximum_version = lowest, highest
            return made

        seams.around(tls, "_context", context)

    return apply


TLS = (
    Defect(
        "old-tls-spoken",
        "TLS 1.2 is spoken, too.",
        ("TRAN-01",),
        _speaking(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3),
        setup="tls",
    ),
    Defect(
        "only-old-tls-spoken",
        "TLS 1.2 is all that is spoken.",
        ("TRAN-01", "TRAN-02"),
        _speaking(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2),
        setup="tls",
    ),
)


def _garbled(original: Message, connection: Connection, data: Any, text: bool) -> None:
    original(connection, b"?" if connection._protocol.extensions else data, text=text)


def _compressed_for_all(seams: Seams) -> None:
    def put(original: Callable[[Connection, bytes], None], self: Connection, data: bytes) -> None:
        if self._protocol.extensions or not data.startswith(b'{"type":"deliver"'):
            original(self, data)
        elif not self._closing:
            if not self._chunks:
                self._app.turn.unwritten.append(self)
            plain = WireFrame(Opcode.TEXT, data).serialize(mask=False)
            self._chunks.append(bytes((plain[0] | 0x40,)) + plain[1:])

    seams.around(Connection, "put", put)


def _binary_as_text(original: Message, connection: Connection, data: Any, text: bool) -> None:
    original(connection, data, text=True)


def _binary_ignored(original: Message, connection: Connection, data: Any, text: bool) -> None:
    if text:
        original(connection, data, text=text)


COMPRESSION = (
    Defect(
        "compressed-frames-garbled",
        "Compression is agreed to, and compressed frames are not understood.",
        ("TRAN-04",),
        receiving(_garbled),
    ),
    Defect(
        "compressed-for-everybody",
        "Messages are marked as compressed for clients that did not offer it.",
        ("TRAN-05",),
        _compressed_for_all,
    ),
    Defect(
        "binary-taken-as-text",
        "A binary message is taken as a text message.",
        ("TRAN-09",),
        receiving(_binary_as_text),
    ),
    Defect("binary-ignored", "A binary message is ignored.", ("TRAN-09",), receiving(_binary_ignored)),
)


@defect("size-before-inflating", "The size of a compressed frame counts before it is inflated.", "TRAN-06")
def size_before_inflating(seams: Seams) -> None:
    """What a compressed message grows to is bounded by a thousand times as much."""

    def made(original: Callable[..., None], self: Connection, app: Any) -> None:
        limit = app.max_frame_bytes
        app.max_frame_bytes = 1000 * limit
        try:
            original(self, app)
        finally:
            app.max_frame_bytes = limit

    def message(original: Message, self: Connection, data: Any, text: bool = True) -> None:
        session = self.session
        if session is not None and self._protocol.extensions:
            self._app.dispatcher.receive(session, bytes(data), text=text)
        else:
            original(self, data, text=text)

    seams.around(Connection, "__init__", made)
    seams.around(Connection, "_message", message)


@defect("fragments-not-joined", "Each fragment of a message is taken for a message.", "TRAN-07")
def fragments_not_joined(seams: Seams) -> None:
    def frame(original: Callable[..., None], self: Connection, frame: WireFrame) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.CONT):
            self._message(frame.data)
        else:
            original(self, frame)

    seams.around(Connection, "_frame", frame)


@defect("bad-utf8-is-an-error", "A text that is not UTF-8 gets an error and no close.", "TRAN-08")
def bad_utf8_is_an_error(seams: Seams) -> None:
    def undecodable(
        original: Callable[..., None], self: Dispatcher, session: Session, data: bytes, error: Any
    ) -> None:
        original(self, session, data if data.isascii() else b"{", error)

    seams.around(Dispatcher, "_undecodable", undecodable)


def _feeding(change: Callable[[Cutter, bytes], bytes | None]) -> Callable[[Seams], None]:
    """What arrives in one piece is changed before it is looked at."""

    def apply(seams: Seams) -> None:
        def feed(original: Callable[[Cutter, bytes], None], self: Cutter, data: bytes) -> None:
            changed = change(self, data) if len(data) > 1 else data
            if changed:
                original(self, changed)

        seams.around(Cutter, "feed", feed)

    return apply


def _unmasked_taken(cutter: Cutter, data: bytes) -> bytes | None:
    length = data[1]
    if data[0] != 0x81 or length >= 0x80:
        return data
    start = 2 if length < 126 else 4
    if len(data) < start:
        return data
    cutter._text(data[start:])
    return None


def _reserved_bits_ignored(_cutter: Cutter, data: bytes) -> bytes | None:
    return bytes((data[0] & 0x8F,)) + data[1:] if data[0] & 0x70 else data


def _reserved_opcodes_ignored(_cutter: Cutter, data: bytes) -> bytes | None:
    return None if data[0] & 15 in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15) else data


def _long_control_ignored(_cutter: Cutter, data: bytes) -> bytes | None:
    return None if data[0] & 15 >= 8 and data[1] & 0x7F >= 126 else data


def _fragmented_control_taken(_cutter: Cutter, data: bytes) -> bytes | None:
    return bytes((data[0] | 0x80,)) + data[1:] if 8 <= data[0] & 15 <= 10 and data[0] < 0x80 else data


RULES = (
    Defect(
        "unmasked-frames-taken",
        "Frames of a client that are not masked are taken.",
        ("TRAN-10",),
        _feeding(_unmasked_taken),
    ),
    Defect(
        "reserved-bits-ignored",
        "Reserved bits are ignored.",
        ("TRAN-11",),
        _feeding(_reserved_bits_ignored),
    ),
    Defect(
        "reserved-opcodes-ignored",
        "Frames with a reserved opcode are ignored.",
        ("TRAN-11",),
        _feeding(_reserved_opcodes_ignored),
    ),
    Defect(
        "long-control-frames-ignored",
        "Control frames that are too long are ignored.",
        ("TRAN-12",),
        _feeding(_long_control_ignored),
    ),
    Defect(
        "fragmented-control-frames-taken",
        "Fragmented control frames are taken.",
        ("TRAN-12",),
        _feeding(_fragmented_control_taken),
    ),
)


@defect("half-messages-handled", "What came of a message when its connection ended is handled.", "TRAN-15")
def half_messages_handled(seams: Seams) -> None:
    def lost(original: Callable[..., None], self: Connection, exc: Exception | None) -> None:
        if self._parts is not None:
            self._message(self._parts, text=True)
        original(self, exc)

    seams.around(Connection, "connection_lost", lost)


@defect(
    "announced-bytes-not-awaited",
    "Of a frame that is cut short, what came is handled.",
    "TRAN-15",
)
def announced_bytes_not_awaited(seams: Seams) -> None:
    def lost(original: Callable[..., None], self: Connection, exc: Exception | None) -> None:
        rest = self._cutter.rest if self._cutter is not None else None
        if rest is not None and len(rest) > 8 and rest[0] == 0x81 and rest[1] & 0x7F == 126:
            self._message(apply_mask(bytes(rest[8:]), bytes(rest[4:8])), text=True)
        original(self, exc)

    seams.around(Connection, "connection_lost", lost)


def _answering(change: Callable[[Protocol, WireFrame], WireFrame | None]) -> Callable[[Seams], None]:
    """Frames that the library sends by itself, pongs and closes, leave changed."""

    def apply(seams: Seams) -> None:
        def send(original: Callable[..., None], self: Protocol, frame: WireFrame) -> None:
            changed = change(self, frame)
            if changed is not None:
                original(self, changed)

        seams.around(Protocol, "send_frame", send)

    return apply


CONTROL = (
    Defect(
        "websocket-ping-unanswered",
        "A WebSocket ping is not answered.",
        ("TRAN-13",),
        _answering(lambda _protocol, frame: None if frame.opcode is Opcode.PONG else frame),
    ),
    Defect(
        "empty-pongs",
        "A WebSocket pong carries no data.",
        ("TRAN-13",),
        _answering(
            lambda _protocol, frame: WireFrame(Opcode.PONG, b"") if frame.opcode is Opcode.PONG else frame
        ),
    ),
    Defect(
        "close-unanswered",
        "A WebSocket close is answered by the end of TCP alone.",
        ("TRAN-14",),
        _answering(
            lambda protocol, frame: (
                None if frame.opcode is Opcode.CLOSE and protocol.close_rcvd is not None else frame
            )
        ),
    ),
)


@defect("compression-declined", "An offer of permessage-deflate is never taken up.", "TRAN-03")
def compression_declined(seams: Seams) -> None:
    def made(original: Callable[..., None], self: App, settings: Any, catalogue: Any, keys: Any) -> None:
        original(self, settings, catalogue, keys)
        self.extensions = []

    seams.around(App, "__init__", made)


@defect("second-compressed-garbled", "Of compressed frames the first alone is understood.", "TRAN-04")
def second_compressed_garbled(seams: Seams) -> None:
    begun: set[Connection] = set()

    def frame(original: Callable[..., None], self: Connection, frame: WireFrame) -> None:
        if self._protocol.extensions and frame.opcode is Opcode.TEXT:
            if self in begun:
                frame = WireFrame(Opcode.TEXT, b"?" + bytes(frame.data), frame.fin)
            begun.add(self)
        original(self, frame)

    seams.around(Connection, "_frame", frame)


@defect(
    "ping-ends-a-message",
    "A ping between fragments loses those before it.",
    "TRAN-07",
)
def ping_ends_a_message(seams: Seams) -> None:
    def frame(original: Callable[..., None], self: Connection, frame: WireFrame) -> None:
        if frame.opcode is Opcode.PING and self._parts is not None:
            self._parts.clear()
        original(self, frame)

    seams.around(Connection, "_frame", frame)


@defect(
    "utf8-of-fragments-unchecked",
    "In fragmented texts bad UTF-8 gets an error and no close.",
    "TRAN-08",
)
def utf8_of_fragments_unchecked(seams: Seams) -> None:
    def frame(original: Callable[..., None], self: Connection, frame: WireFrame) -> None:
        whole = frame.opcode is Opcode.CONT and frame.fin and self._parts is not None
        if whole and self._parts is not None:
            try:
                (bytes(self._parts) + bytes(frame.data)).decode()
            except UnicodeDecodeError:
                self._parts[:] = b"{"
                frame = WireFrame(Opcode.CONT, b"")
        original(self, frame)

    seams.around(Connection, "_frame", frame)


@defect("utf8-of-each-fragment", "Each fragment of a text has to be UTF-8 by itself.", "TRAN-07")
def utf8_of_each_fragment(seams: Seams) -> None:
    def frame(original: Callable[..., None], self: Connection, frame: WireFrame) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.CONT) and not (frame.opcode is Opcode.TEXT and frame.fin):
            try:
                bytes(frame.data).decode()
            except UnicodeDecodeError:
                self.fail(1007, "not UTF-8")
                return
        original(self, frame)

    seams.around(Connection, "_frame", frame)


@defect("compressed-fragments-lost", "Of a compressed message the first fragment alone is read.", "TRAN-04")
def compressed_fragments_lost(seams: Seams) -> None:
    def frame(original: Callable[..., None], self: Connection, frame: WireFrame) -> None:
        if self._protocol.extensions and frame.opcode is Opcode.CONT:
            frame = WireFrame(Opcode.CONT, b"", frame.fin)
        original(self, frame)

    seams.around(Connection, "_frame", frame)
