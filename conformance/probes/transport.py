"""What happens below the frames: messages that are no text, and what RFC 6455 asks of both sides."""

from __future__ import annotations

import json
import os
import struct
from dataclasses import dataclass, replace

from relaykit.conformance.awaiting import until
from relaykit.conformance.codes import NOT_UTF8, UNSUPPORTED
from relaykit.conformance.context import Context, Device
from relaykit.conformance.matching import compare
from relaykit.conformance.registry import Probe, probe
from relaykit.conformance.talk import (
    UNPADDED,
    end_of,
    expect_frame,
    judge_refusal,
    may_send,
    message,
    nothing_reached,
)
from relaykit.conformance.values import fresh_uuid
from relaykit.conformance.wire import ABNORMAL

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


def raw_frame(
    opcode: int, data: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True
) -> bytes:
    """One WebSocket frame, valid or not (RFC 6455, section 5.2)."""
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    flag, size = (0x80 if masked else 0), len(data)
    if size < 126:
        head += bytes([flag | size])
    elif size < 65536:
        head += bytes([flag | 126]) + struct.pack("!H", size)
    else:
        head += bytes([flag | 127]) + struct.pack("!Q", size)
    if not masked:
        return head + data
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))


async def _pair(context: Context) -> tuple[Device, Device]:
    alice, bob = context.device("alice"), context.device("bob")
    await alice.connect()
    await bob.connect()
    return alice, bob


@probe(
    "binary-message",
    title="A binary message is refused, and what it holds is not passed on",
    area="transport",
    requirements=("TRAN-09", "VAL-12"),
    catches="A server that parses whatever arrives, text or not.",
    frames=("send", "error"),
)
async def binary_message(context: Context) -> None:
    alice, bob = await _pair(context)
    data = json.dumps(message(context, bob.user.id)).encode()
    await may_send(alice.live, data)
    alice.live.send_binary(data)
    await judge_refusal(context, alice, "a binary message", (UNSUPPORTED,), "TRAN-09")
    await nothing_reached(context, bob, "what the binary message holds", "VAL-12")


@probe(
    "invalid-utf8",
    title="Text that is not valid UTF-8 closes the connection with 1007 and is not passed on",
    area="transport",
    requirements=("TRAN-08", "VAL-12"),
    catches="A server that replaces what it cannot decode, or passes it on to clients that must then close.",
    frames=("send",),
)
async def invalid_utf8(context: Context) -> None:
    alice, bob = await _pair(context)
    carol = context.device("carol")
    await carol.connect()
    wrong = json.dumps(message(context, bob.user.id)).encode().replace(b'"text"', b'"te\xc3\x28xt"')
    alice.live.send_text(wrong)
    cut = wrong.index(b"\xc3") + 1  # amid the sequence, so that no fragment is wrong by itself
    await may_send(carol.live, wrong)
    carol.live.write(raw_frame(TEXT, wrong[:cut], fin=False), "invalid UTF-8: a first fragment")
    carol.live.write(raw_frame(CONT, wrong[cut:]), "the rest of the message")
    for device, what in ((alice, "invalid UTF-8"), (carol, "invalid UTF-8 in fragments")):
        connection = device.live
        if await end_of(context, connection) and connection.close_code == NOT_UTF8:
            context.prove(("TRAN-08",), device.label)
        else:
            said = connection.ended or "the connection stays open"
            context.fail(("TRAN-08",), f"{what}: {said}", expected=f"a close with {NOT_UTF8}", actual=said)
    await nothing_reached(context, bob, "what the message holds", "VAL-12")


async def _taken(context: Context, device: Device, name: str) -> bool:
    """Whether the next answer acknowledges a message; it is taken out of the inbox."""
    deadline = until(context, None)
    while not device.live.inbox and device.live.alive and await context.wait(deadline):
        pass
    answer = device.live.inbox.pop(0).frame if device.live.inbox else None
    return compare({"type": "sent_ack", "message_id": name}, answer) is None


@probe(
    "fragments-are-joined",
    title="A frame that comes in fragments, with a ping between them, is one frame",
    area="transport",
    requirements=("TRAN-07", "TRAN-13"),
    catches="A server that takes every fragment for a message of its own.",
    frames=("send", "sent_ack", "deliver"),
)
async def fragments(context: Context) -> None:
    alice, bob = await _pair(context)
    frame, whole = message(context, bob.user.id), message(context, bob.user.id)
    media = {"media_id": f"media-{fresh_uuid(context.rng)}", "media_type": "text/plain; x=\u00fc"}
    whole["payload"] |= media
    alice.live.send(whole)
    # Who fails on media fails on them whole, too: that is another case's affair.
    if await _taken(context, alice, whole["message_id"]):
        frame["payload"] |= media
    data = json.dumps(frame, ensure_ascii=False).encode()
    # Within a character, if there is one: the message is UTF-8, and not each of its fragments.
    amid = data.find(b"\xc3") + 1 or len(data) // 2
    await may_send(alice.live, data, frame)
    alice.live.write(raw_frame(TEXT, data[:7], fin=False), "the first 7 bytes of a send, as a fragment")
    alice.live.write(raw_frame(PING, b"between"), "WebSocket ping b'between'")
    alice.live.write(raw_frame(CONT, data[7:amid], fin=False), "more of it")
    alice.live.write(raw_frame(CONT, data[amid:]), "the rest of the send")
    wanted = {"type": "sent_ack", "message_id": frame["message_id"]}
    await expect_frame(context, alice.live, wanted, ("TRAN-07",))
    wanted = {"type": "deliver", "message_id": frame["message_id"], "payload": {"ciphertext": UNPADDED}}
    await expect_frame(context, bob.live, wanted, ("TRAN-07",), skip=True)
    context.prove(("TRAN-07",))
    if b"between" in alice.live.pongs:  # others may come unasked (RFC 6455, 5.5.3)
        context.prove(("TRAN-13",))
    else:
        got = alice.live.pongs or "no pong"
        context.fail(
            ("TRAN-13",), f"a ping among fragments: {got}", expected="a pong b'between'", actual=str(got)
        )


@probe(
    "ping-is-answered",
    title="A WebSocket ping is answered by a pong with the same data",
    area="transport",
    requirements=("TRAN-13",),
    catches="A server that does not answer, or not with the same data, so that clients think it gone.",
)
async def ping_pong(context: Context) -> None:
    alice = context.device("alice")
    connection = await alice.connect()
    sent = [b"", b"relaykit", bytes(range(125))]
    for data in sent:
        # One at a time: of several pings only the latest need be answered (RFC 6455, 5.5.3).
        connection.pongs.clear()
        connection.write(raw_frame(PING, data), f"WebSocket ping with {len(data)} bytes")
        await connection.beat(context.env.waits.reply)
        if data not in connection.pongs:  # others may come unasked
            context.fail(
                ("TRAN-13",),
                f"a ping with {len(data)} bytes was not answered by a pong with the same",
                expected=str(data),
                actual=[str(pong) for pong in connection.pongs] or connection.ended or "no pong",
            )
            return
    context.prove(("TRAN-13",))


@probe(
    "close-is-answered",
    title="A WebSocket close is answered by a close",
    area="transport",
    requirements=("TRAN-14",),
    catches="A server that just drops the line, or keeps the connection.",
)
async def close_answered(context: Context) -> None:
    connection = await context.device("alice").connect()
    if await connection.close(context.env.waits.reply):
        context.prove(("TRAN-14",))
    else:
        context.fail(("TRAN-14",), "a close was not answered", expected="a close frame", actual="none")


@dataclass(frozen=True, slots=True)
class Forbidden:
    """Bytes that RFC 6455 forbids a client to send: the server must fail the connection."""

    id: str
    title: str
    requirement: str
    catches: str
    bytes: tuple[tuple[str, bytes], ...]

    def probe(self) -> Probe:
        async def run(context: Context) -> None:
            for what, data in self.bytes:
                await _fails(context, what, data, self.requirement)

        made = probe(
            self.id,
            title=self.title,
            area="transport",
            requirements=(self.requirement,),
            catches=self.catches,
        )(run)
        return replace(made, origin=_fails)


async def _fails(context: Context, what: str, data: bytes, requirement: str) -> None:
    device = context.device(f"alice{len(context.users) + 1}")
    connection = await device.connect()
    context.step = what
    connection.write(data, what)
    if await end_of(context, connection) and connection.close_code in (1002, ABNORMAL):
        context.prove((requirement,))
        return
    said = connection.ended or "the connection stays open"
    context.fail((requirement,), f"{what}: {said}", expected="a close with 1002, or none", actual=said)


_HEARTBEAT = b'{"type":"heartbeat"}'
VIOLATIONS = tuple(
    violation.probe()
    for violation in (
        Forbidden(
            "unmasked-frame",
            "A client's frame without a mask ends the connection",
            "TRAN-10",
            "A server that proxies can be tricked through.",
            (("an unmasked text frame", raw_frame(TEXT, _HEARTBEAT, masked=False)),),
        ),
        Forbidden(
            "reserved-bits-and-opcodes",
            "Reserved bits and opcodes end the connection",
            "TRAN-11",
            "A server that guesses what a frame means.",
            (
                ("RSV1 without an extension", raw_frame(TEXT, _HEARTBEAT, rsv=4)),
                ("RSV2", raw_frame(TEXT, _HEARTBEAT, rsv=2)),
                ("RSV3", raw_frame(TEXT, _HEARTBEAT, rsv=1)),
                ("the reserved opcode 3", raw_frame(0x3, _HEARTBEAT)),
                ("the reserved opcode 11", raw_frame(0xB, b"")),
            ),
        ),
        Forbidden(
            "bad-control-frames",
            "Control frames that are fragmented or too long end the connection",
            "TRAN-12",
            "A server that buffers control frames without a bound.",
            (
                ("a fragmented ping", raw_frame(PING, b"x", fin=False)),
                ("a ping of 126 bytes", raw_frame(PING, b"x" * 126)),
                ("a fragmented close", raw_frame(CLOSE, struct.pack("!H", 1000), fin=False)),
            ),
        ),
    )
)
