"""Defects in the synchronisation of a user's devices."""

from __future__ import annotations

from relaykit.reference_server.app import App
from relaykit.reference_server.defects import Defect, defect
from relaykit.reference_server.defects.blocks import (
    Frame,
    Handler,
    altering,
    both,
    echoing,
    handling,
    keeping,
    lacking,
    loosened,
    own_devices_too,
    reencoded,
    relaying,
    saying,
)
from relaykit.reference_server.defects.seams import Seams
from relaykit.reference_server.session import Session

KINDS = ("sync_request", "sync_data", "sync_ack")
_RULES = {"sync_request": "SYNC-01", "sync_data": "SYNC-02", "sync_ack": "SYNC-03"}

SHAPES = tuple(
    Defect(
        f"{kind.replace('_', '-')}-without-{pointer.split('/')[-1].replace('_', '-')}",
        f"A {kind} from the server lacks its {pointer.split('/')[-1]}.",
        (_RULES[kind],),
        lacking(kind, pointer),
    )
    for kind, pointer in (
        *((kind, pointer) for kind in KINDS for pointer in ("/sender_id", "/device_id", "/timestamp")),
        *((kind, "/payload/target_device_id") for kind in KINDS),
        ("sync_data", "/payload/encrypted_data"),
    )
)


def _no_data(original: Handler, app: App, session: Session, frame: Frame) -> None:
    frame["payload"].setdefault("encrypted_data", "AAAA")
    original(app, session, frame)


@defect("client-sync-data-without-data", "A client's sync_data without data is taken.", "SYNC-02")
def client_sync_data_without_data(seams: Seams) -> None:
    loosened("sync_data", "/$defs/syncDataPayload/required/encrypted_data")(seams)
    handling("sync_data", _no_data)(seams)


def _untargeted(original: Handler, app: App, session: Session, frame: Frame) -> None:
    """Without a target, all of the user's other devices are meant."""
    if "target_device_id" in frame["payload"]:
        original(app, session, frame)
        return
    for other in app.hub.of_user(session.user):
        if other is not session:
            one = {**frame, "payload": {**frame["payload"], "target_device_id": other.device}}
            original(app, session, one)


LOOSE = tuple(
    Defect(
        f"client-{kind.replace('_', '-')}-without-target",
        f"A client's {kind} without a target goes to all of the user's devices.",
        (_RULES[kind],),
        both(loosened(kind, "/$defs/syncPayload/required/target_device_id"), handling(kind, _untargeted)),
    )
    for kind in ("sync_request", "sync_ack")
)


def _of_anybody(original: Handler, app: App, session: Session, frame: Frame) -> None:
    target = frame["payload"]["target_device_id"].lower()
    found = [other for other in app.hub if other.device == target and other.user != session.user]
    if not found:
        original(app, session, frame)
        return
    data = app.frames.make(frame["type"], dict(frame["payload"]), user=session.user, device=session.device)
    for other in found:
        app.turn.send(other, data)


REACH = (
    *(
        Defect(
            f"{kind.replace('_', '-')}-lost",
            f"A {kind} reaches no device.",
            ("SYNC-04",),
            relaying(kind, lambda *_: ()),
        )
        for kind in KINDS
    ),
    Defect(
        "sync-to-all-devices",
        "A sync frame reaches all of the user's devices.",
        ("SYNC-05",),
        relaying(KINDS, own_devices_too),
    ),
    Defect(
        "sync-to-another-user",
        "A sync frame reaches the device it names, whosesoever that is.",
        ("SYNC-06",),
        handling(KINDS, _of_anybody),
    ),
    Defect(
        "sync-data-reencoded",
        "The encrypted_data is decoded and encoded again.",
        ("SYNC-07",),
        altering("sync_data", "/payload/encrypted_data", reencoded),
    ),
    Defect(
        "sync-target-replaced",
        "A sync frame names another device as its target.",
        ("SYNC-08",),
        saying(KINDS, "/payload/target_device_id", "00000000-0000-4000-8000-000000000000"),
    ),
    Defect(
        "sync-comes-back",
        "A sync frame comes back to the sending connection.",
        ("SYNC-09",),
        echoing(KINDS),
    ),
    Defect(
        "sync-waits",
        "A sync frame waits for a device that is away.",
        ("SYNC-10",),
        keeping(KINDS, "target_device_id", of_device=True),
    ),
)


@defect("sync-data-overtaken", "A sync_data is overtaken by what its sender sends next.", "MSG-41")
def sync_data_overtaken(seams: Seams) -> None:
    def wrapper(original: Handler, app: App, session: Session, frame: Frame) -> None:
        def now() -> None:
            app.turn.schedule()
            original(app, session, frame)

        app.clock.call_later(0.03, now)

    handling("sync_data", wrapper)(seams)
