"""permessage-deflate (source: Security Considerations, Performance), and TLS."""

from __future__ import annotations

import json
import ssl
import zlib

from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from relaykit.conformance.codes import TOO_BIG
from relaykit.conformance.context import (
    CaseStop,
    Context,
    Device,
    NotApplicableError,
    UntestableError,
    present,
)
from relaykit.conformance.probes.sizes import sized
from relaykit.conformance.probes.transport import CONT, TEXT, raw_frame
from relaykit.conformance.registry import probe
from relaykit.conformance.talk import (
    UNPADDED,
    deliver_to,
    expect_frame,
    judge_refusal,
    message,
    nothing_reached,
)
from relaykit.conformance.wire import Connection, DialError

_OFFER = (ClientPerMessageDeflateFactory(client_max_window_bits=True),)


async def _offering(context: Context, device: Device) -> Connection:
    """Connect with an offer of permessage-deflate.

    Raises:
        CaseStop: that is refused, or not served; it is said as an outcome.
    """
    shown = present(context.env, await device.obtain(), context.env.carrier)
    try:
        device.connection = await context.dial(shown, device.label, extensions=_OFFER)
    except DialError as error:
        context.fail_dial(error, ("TRAN-03",), device.label)
        raise CaseStop from None
    return device.connection


def _accepted(connection: Connection) -> bool:
    return any(name.lower() == "sec-websocket-extensions" for name, _ in connection.headers)


async def _agreed(context: Context, device: Device) -> Connection:
    connection = await _offering(context, device)
    if not _accepted(connection):
        raise UntestableError("the target does not accept permessage-deflate")
    return connection


@probe(
    "deflate-offer",
    title="An offer of permessage-deflate is accepted, and compressed frames are frames like any other",
    area="transport",
    requirements=("TRAN-03", "TRAN-04"),
    catches="A server that accepts compression and then takes compressed frames for garbage.",
    frames=("send", "sent_ack", "deliver"),
)
async def deflate_offer(context: Context) -> None:
    alice, bob = context.device("alice"), context.device("bob")
    connection = await _offering(context, alice)
    if not _accepted(connection):
        context.fail(
            ("TRAN-03",),
            "the offer is not accepted",
            expected="Sec-WebSocket-Extensions: permessage-deflate",
            actual="no extension",
        )
        return
    context.prove(("TRAN-03",))
    await _agreed(context, bob)
    if not await bob.live.beat(context.env.waits.reply):
        said = bob.live.ended or "its heartbeat was not answered"
        context.fail(("TRAN-04",), f"with compression agreed, {said}", actual=said, actor=bob.label)
        return
    for ciphertext in ("AAAA" * 2000, UNPADDED, "AAAA" * 2000):  # the last leans on what went before
        frame = message(context, bob.user.id, ciphertext)
        connection.send(frame)
        wanted = {"type": "sent_ack", "message_id": frame["message_id"]}
        await expect_frame(context, connection, wanted, ("TRAN-04",))
        wanted = {"type": "deliver", "message_id": frame["message_id"], "payload": {"ciphertext": ciphertext}}
        await expect_frame(context, bob.live, wanted, ("TRAN-04",))
    context.step = "in fragments"
    frame = message(context, bob.user.id)
    packer = zlib.compressobj(wbits=-15)  # of its own, so that it leans on nothing that went before
    packed = packer.compress(json.dumps(frame).encode()) + packer.flush(zlib.Z_SYNC_FLUSH)
    packed = packed.removesuffix(b"\x00\x00\xff\xff")  # RFC 7692, 7.2.1
    connection.write(raw_frame(TEXT, packed[:20], fin=False, rsv=4), "20 bytes of a compressed send")
    connection.write(raw_frame(CONT, packed[20:]), "the rest of the send")
    wanted = {"type": "sent_ack", "message_id": frame["message_id"]}
    await expect_frame(context, connection, wanted, ("TRAN-04",))
    context.prove(("TRAN-04",))


@probe(
    "deflate-unasked",
    title="Frames for a client that offered no compression are not compressed",
    area="transport",
    requirements=("TRAN-05",),
    catches="A server that compresses for everybody, because its own clients cope.",
    frames=("send", "deliver"),
)
async def deflate_unasked(context: Context) -> None:
    alice, bob = context.device("alice"), context.device("bob")
    await _offering(context, alice)
    try:
        connection = await bob.dial()
    except DialError as error:
        context.fail_dial(error, ("TRAN-05",), bob.label)
        return
    if _accepted(connection):
        said = "the handshake answer agrees to an extension that was not offered"
        context.fail(("TRAN-05",), said, expected="no Sec-WebSocket-Extensions", actual=said)
        return
    if not await connection.beat(context.env.waits.reply):
        said = connection.ended or "its heartbeat was not answered"
        context.fail(("TRAN-05",), f"without an offer: {said}", expected="plain frames", actual=said)
        return
    name = await deliver_to(context, alice, bob.user.id)
    await expect_frame(context, connection, {"type": "deliver", "message_id": name}, ("TRAN-05",))
    context.prove(("TRAN-05",))


@probe(
    "deflate-bomb",
    title="A compressed frame that grows beyond the limit is refused",
    area="transport",
    requirements=("TRAN-06",),
    catches="A server that a few kilobytes can fill with gigabytes.",
    limits=("max_frame_bytes",),
    frames=("send", "error"),
    destructive=True,
)
async def deflate_bomb(context: Context) -> None:
    limit = int(context.env.target.limits["max_frame_bytes"])
    alice, bob = context.device("alice"), context.device("bob")
    await _agreed(context, alice)
    await bob.connect()
    size = limit + 1 if limit > 2**20 else limit * 16
    alice.live.send(sized(context, bob.user.id, size))  # some hundred bytes on the wire
    what = f"a compressed frame that grows to {size} bytes"
    await judge_refusal(context, alice, what, (TOO_BIG,), "TRAN-06")
    await nothing_reached(context, bob, what, "TRAN-06")


@probe(
    "tls-versions",
    title="TLS 1.3 is spoken, and nothing below it",
    area="transport",
    requirements=("TRAN-01", "TRAN-02"),
    catches="A server whose TLS library still permits versions that are broken.",
    where="The target is reached by wss://.",
)
async def tls_versions(context: Context) -> None:
    env = context.env
    if env.tls is None:
        raise NotApplicableError("the target's address is ws://, so that no TLS is spoken with it")
    device = context.device("alice")
    for version, requirement, permitted in (
        (ssl.TLSVersion.TLSv1_3, "TRAN-02", True),
        (ssl.TLSVersion.TLSv1_2, "TRAN-01", False),
    ):
        context.step = version.name
        tls = env.target.tls_context()
        assert tls is not None  # as there was one for all cases
        tls.minimum_version = tls.maximum_version = version
        shown = present(env, await device.obtain(), env.carrier)
        try:
            connection = await context.dial(shown, device.label, tls=tls)
        except DialError as error:
            spoken, said = False, str(error)
        else:
            spoken, said = True, "the handshake succeeds"
            await connection.close(env.waits.reply)
        if spoken is permitted:
            context.prove((requirement,))
        else:
            name = version.name.replace("v", " ").replace("_", ".")
            expected = "a connection" if permitted else "a refusal"
            context.fail((requirement,), f"{name}: {said}", expected=expected, actual=said)
