"""Defects in media keys."""

from __future__ import annotations

from relaykit.reference_server.app import App
from relaykit.reference_server.defects import Defect, defect
from relaykit.reference_server.defects.blocks import (
    Frame,
    Handler,
    altering,
    echoing,
    everybody,
    handling,
    lacking,
    loosened,
    nobody,
    only_first_device,
    own_devices_too,
    reencoded,
    relaying,
    saying,
)
from relaykit.reference_server.defects.seams import Seams
from relaykit.reference_server.session import Session

_KEY = "/payload/encrypted_key"

SHAPES = tuple(
    Defect(
        f"media-key-without-{name.replace('_', '-')}",
        f"A media_key from the server lacks its {name}.",
        ("MED-01",),
        lacking("media_key", f"/payload/{name}"),
    )
    for name in ("media_id", "recipient_id", "encrypted_key", "algorithm", "timestamp")
)


@defect("client-media-key-without-algorithm", "A client's media_key without an algorithm is taken.", "MED-01")
def client_media_key_without_algorithm(seams: Seams) -> None:
    def wrapper(original: Handler, app: App, session: Session, frame: Frame) -> None:
        frame["payload"].setdefault("algorithm", "AES-256-GCM")
        original(app, session, frame)

    loosened("media_key", "/properties/payload/required/algorithm")(seams)
    handling("media_key", wrapper)(seams)


KEYS = (
    Defect("media-key-lost", "A media_key reaches nobody.", ("MED-02",), relaying("media_key", nobody)),
    Defect(
        "media-key-to-one-device",
        "A media_key reaches one device of its recipient.",
        ("MED-03",),
        relaying("media_key", only_first_device),
    ),
    Defect(
        "media-key-to-everybody",
        "A media_key reaches everybody who is connected.",
        ("MED-04",),
        relaying("media_key", everybody),
    ),
    Defect(
        "media-key-to-own-devices",
        "A media_key reaches the sender's other devices.",
        ("MED-04",),
        relaying("media_key", own_devices_too),
    ),
    Defect(
        "media-key-comes-back",
        "A media_key comes back to the sending connection.",
        ("MED-05",),
        echoing("media_key"),
    ),
    Defect(
        "media-key-reencoded",
        "An encrypted_key is decoded and encoded again.",
        ("MED-06",),
        altering("media_key", _KEY, reencoded),
    ),
    Defect(
        "media-key-altered",
        "The first character of an encrypted_key is another.",
        ("MED-06",),
        altering("media_key", _KEY, lambda key: ("A" if key[0] != "A" else "B") + key[1:]),
    ),
    Defect(
        "media-key-algorithm-guessed",
        "Every media_key has the same algorithm.",
        ("MED-07",),
        saying("media_key", "/payload/algorithm", "AES-256-GCM"),
    ),
    Defect(
        "media-key-of-another-medium",
        "A media_key names another media_id.",
        ("MED-07",),
        saying("media_key", "/payload/media_id", "media-00000000-0000-4000-8000-000000000000"),
    ),
    Defect(
        "media-key-for-another",
        "A media_key names another recipient.",
        ("MED-07",),
        saying("media_key", "/payload/recipient_id", "00000000-0000-4000-8000-000000000000"),
    ),
)


ASCII = (
    Defect(
        "algorithm-in-ascii",
        "In an algorithm, what is not ASCII arrives as question marks.",
        ("MED-07",),
        altering("media_key", "/payload/algorithm", lambda text: text.encode("ascii", "replace").decode()),
    ),
)
