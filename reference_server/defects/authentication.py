"""Defects in who is let in, and as whom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jwt
import orjson

from relaykit.reference_server import auth
from relaykit.reference_server.app import App
from relaykit.reference_server.auth import AuthError, Identity, Key, Verifier
from relaykit.reference_server.defects import Defect, defect
from relaykit.reference_server.defects.blocks import Frame, Handler, handling
from relaykit.reference_server.defects.seams import Seams, swapped
from relaykit.reference_server.handshake import Admission, Door
from relaykit.reference_server.ids import canonical_uuid
from relaykit.reference_server.session import Session

_SOMEBODY = "00000000-0000-4000-8000-00000000000a"
_SOMETHING = "00000000-0000-4000-8000-00000000000b"
_FAR = 4_000_000_000.0

Claims = dict[str, Any]


def _claims(token: str) -> Claims:
    """What a token claims, believed or not."""
    return dict(jwt.decode(token, options={"verify_signature": False}))


def _identity(claims: Claims) -> Identity:
    user, device = canonical_uuid(claims.get("sub")), canonical_uuid(claims.get("device_id"))
    if user is None or device is None:
        raise AuthError("not a token")
    return Identity(user, device, float(claims.get("exp", _FAR)))


def believing(when: Callable[[str], bool]) -> Callable[[Seams], None]:
    """Tokens of which something is so are believed without a look at their signature."""

    def apply(seams: Seams) -> None:
        def verify(original: Callable[..., Identity], self: Verifier, token: str) -> Identity:
            try:
                return original(self, token)
            except AuthError:
                if not _decodes(token) or not when(token):
                    raise
                return _identity(_claims(token))

        seams.around(Verifier, "verify", verify)

    return apply


def _decodes(token: str) -> bool:
    try:
        jwt.get_unverified_header(token)
        _claims(token)
    except (jwt.PyJWTError, ValueError, TypeError):
        return False
    return True


def _algorithm(token: str) -> str:
    return str(jwt.get_unverified_header(token).get("alg"))


def _well_formed(name: str, value: Any) -> bool:
    if name == "exp":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return canonical_uuid(value) is not None


def _missing_only(name: str, made: Any) -> Callable[[Seams], None]:
    def apply(seams: Seams) -> None:
        def object_(original: Callable[[bytes], Claims], data: bytes) -> Claims:
            value = original(data)
            if "alg" not in value:
                value.setdefault(name, made)
            return value

        seams.around(auth, "_object", object_)

    return apply


def _malformed_only(name: str, made: Any) -> Callable[[Seams], None]:
    def apply(seams: Seams) -> None:
        def object_(original: Callable[[bytes], Claims], data: bytes) -> Claims:
            value = original(data)
            if "alg" not in value and name in value and not _well_formed(name, value[name]):
                value[name] = made
            return value

        seams.around(auth, "_object", object_)

    return apply


def _ignoring(claim: str) -> Callable[[Seams], None]:
    """A claim that says when the token is good is not looked at."""

    def apply(seams: Seams) -> None:
        def moment(original: Callable[..., float | None], claims: Claims, name: str) -> float | None:
            found = original(claims, name)
            return (_FAR if claim == "exp" else None) if name == claim and found is not None else found

        seams.around(auth, "_moment", moment)

    return apply


TOKENS = (
    Defect(
        "foreign-signature-accepted",
        "Tokens that no key of the server has signed are believed.",
        ("AUTH-03",),
        believing(lambda token: _algorithm(token) == "HS256"),
    ),
    Defect(
        "foreign-algorithm-accepted",
        "Tokens of algorithms that the server is not set up for are believed.",
        ("AUTH-04",),
        believing(
            lambda token: (
                _algorithm(token) not in ("HS256", "RS256", "ES256", "EdDSA")
                and _algorithm(token).lower() != "none"
            )
        ),
    ),
    Defect(
        "hs512-accepted",
        "Tokens are verified with the secret by whichever HMAC they name.",
        ("AUTH-04",),
        lambda seams: _by_any_hmac(seams),
    ),
    Defect(
        "unsigned-accepted",
        "Unsigned tokens (`alg` none) are believed.",
        ("AUTH-05",),
        believing(lambda token: _algorithm(token) == "none"),
    ),
    Defect(
        "unsigned-accepted-in-capitals",
        "Unsigned tokens are believed if `none` is written in other letter case.",
        ("AUTH-05",),
        believing(lambda token: _algorithm(token) != "none" and _algorithm(token).lower() == "none"),
    ),
    Defect(
        "token-without-sub-accepted",
        "A token without `sub` is good for a user that all such tokens share.",
        ("AUTH-08",),
        _missing_only("sub", _SOMEBODY),
    ),
    Defect(
        "token-without-device-accepted",
        "A token without `device_id` is good for a device that all such tokens share.",
        ("AUTH-08",),
        _missing_only("device_id", _SOMETHING),
    ),
    Defect(
        "token-without-exp-accepted",
        "A token without `exp` never expires.",
        ("AUTH-09",),
        _missing_only("exp", _FAR),
    ),
    Defect(
        "malformed-sub-accepted",
        "A token whose `sub` is no UUID is accepted.",
        ("AUTH-10",),
        _malformed_only("sub", _SOMEBODY),
    ),
    Defect(
        "malformed-device-accepted",
        "A token whose `device_id` is no UUID is accepted.",
        ("AUTH-10",),
        _malformed_only("device_id", _SOMETHING),
    ),
    Defect(
        "malformed-exp-accepted",
        "A token whose `exp` is no number never expires.",
        ("AUTH-10",),
        _malformed_only("exp", _FAR),
    ),
    Defect("expired-accepted", "Expired tokens are accepted.", ("AUTH-11",), _ignoring("exp")),
    Defect("early-token-accepted", "Tokens are accepted before their `nbf`.", ("AUTH-12",), _ignoring("nbf")),
)


def _by_any_hmac(seams: Seams) -> None:
    def verify(original: Callable[..., Identity], self: Verifier, token: str) -> Identity:
        if not _decodes(token) or _algorithm(token) not in ("HS384", "HS512"):
            return original(self, token)
        for key in self._keys:
            try:
                return _identity(jwt.decode(token, key.material, [_algorithm(token)]))
            except (jwt.PyJWTError, TypeError):
                continue
        raise AuthError("not a token")

    seams.around(Verifier, "verify", verify)


def _no_token_needed(words: str) -> Callable[..., tuple[str, bool]]:
    def token(
        original: Callable[..., tuple[str, bool]], self: Door, headers: Any, parameters: Any
    ) -> tuple[str, bool]:
        from relaykit.reference_server.handshake import Refusal

        try:
            return original(self, headers, parameters)
        except Refusal as refusal:
            if words not in refusal.text:
                raise
            return "anonymous", False

    return token


def _anonymously(when: Callable[[str], bool]) -> Callable[[Seams], None]:
    """Tokens of which something is so, and that are none at all, open a session of an anonymous user."""

    def apply(seams: Seams) -> None:
        def verify(original: Callable[..., Identity], self: Verifier, token: str) -> Identity:
            if when(token):
                return Identity(_SOMEBODY, _SOMETHING, _FAR)
            return original(self, token)

        seams.around(Verifier, "verify", verify)

    return apply


@defect("no-token-needed", "Without a token, a session of an anonymous user is opened.", "AUTH-01")
def no_token_needed(seams: Seams) -> None:
    seams.around(Door, "_token", _no_token_needed("a token is required"))
    _anonymously(lambda token: token == "anonymous")(seams)  # noqa: S105


@defect("any-text-is-a-token", "A token that is no JWT opens a session of an anonymous user.", "AUTH-02")
def any_text_is_a_token(seams: Seams) -> None:
    _anonymously(lambda token: not _decodes(token))(seams)


@defect("embedded-key-trusted", "A key that stands in the token's own header (`jwk`) verifies it.", "AUTH-07")
def embedded_key_trusted(seams: Seams) -> None:
    def own_key(token: str) -> bool:
        header = jwt.get_unverified_header(token)
        try:
            jwt.decode(token, jwt.PyJWK(header["jwk"], header["alg"]).key, [header["alg"]])
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            return False
        return True

    believing(own_key)(seams)


@defect(
    "public-key-as-secret",
    "A token whose HMAC was made with the server's public key is believed.",
    "AUTH-06",
    setup="public-key",
)
def public_key_as_secret(seams: Seams) -> None:
    import hashlib
    import hmac

    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    def verify(original: Callable[..., Identity], self: Verifier, token: str) -> Identity:
        if not _decodes(token) or _algorithm(token) != "HS256":
            return original(self, token)
        parts = auth._parts(token)
        for key in self._keys:
            if hasattr(key.material, "public_bytes"):
                pem = key.material.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
                for secret in (pem, pem.strip()):
                    made = hmac.new(secret, parts.signed, hashlib.sha256).digest()
                    if hmac.compare_digest(made, parts.signature):
                        return _identity(orjson.loads(parts.payload))
        return original(self, token)

    seams.around(Verifier, "verify", verify)


def _with_keys(change: Callable[[list[Key]], list[Key]]) -> Callable[[Seams], None]:
    """The server verifies with other keys than it is set up with."""

    def apply(seams: Seams) -> None:
        def made(
            original: Callable[..., None], self: Verifier, keys: Any, clock: Any, leeway_s: float
        ) -> None:
            original(self, change(list(keys)), clock, leeway_s=leeway_s)

        seams.around(Verifier, "__init__", made)

    return apply


KEYS = (
    Defect(
        "private-keys-ignored",
        "Tokens signed with a private key are refused, though their public key is configured.",
        ("AUTH-14",),
        _with_keys(lambda keys: [key for key in keys if key.algorithm == "HS256"]),
        setup="two-algorithms",
    ),
    Defect(
        "previous-key-forgotten",
        "Of several keys the first one alone is used.",
        ("AUTH-23",),
        _with_keys(lambda keys: keys[:1]),
        setup="two-secrets",
    ),
)


def _as_claimed(field: str) -> Handler:
    """A session acts as whom its frames claim to be from."""

    def wrapper(original: Handler, app: App, session: Session, frame: Frame) -> None:
        claimed = frame.get(f"{'sender' if field == 'user' else field}_id")
        if claimed is None:
            original(app, session, frame)
            return
        with swapped(session, field, claimed.lower()):
            original(app, session, frame)

    return wrapper


IDENTITIES = (
    Defect(
        "acts-as-the-claimed-user",
        "A session acts as the user that its frames claim in `sender_id`.",
        ("AUTH-17", "ENV-08"),
        handling("*", _as_claimed("user")),
    ),
    Defect(
        "acts-as-the-claimed-device",
        "A session acts as the device that its frames claim in `device_id`.",
        ("AUTH-18", "ENV-09"),
        handling("*", _as_claimed("device")),
    ),
)


@defect("unknown-devices-refused", "A further device of a user is refused until it is created.", "AUTH-19")
def unknown_devices_refused(seams: Seams) -> None:
    from relaykit.reference_server.handshake import Refusal

    def enter(
        original: Callable[..., None], self: App, connection: Any, admission: Admission, response: Any
    ) -> None:
        # The suite's first look at the target must go on working: only a user's further devices are unknown.
        identity = admission.identity
        known = self.mailboxes.boxes(identity.user)
        if known and all(box.device != identity.device for box in known if box.device):
            raise Refusal(401, "Authentication failed: this device is not known.")
        original(self, connection, admission, response)

    seams.around(App, "enter", enter)


@defect("devices-by-id-alone", "Devices of two users with the same device_id are taken for one.", "AUTH-20")
def devices_by_id_alone(seams: Seams) -> None:
    """Whoever connected with a device_id first owns it."""
    owners: dict[str, str] = {}

    def enter(
        original: Callable[..., None], self: App, connection: Any, admission: Admission, response: Any
    ) -> None:
        identity = admission.identity
        owner = owners.setdefault(identity.device, identity.user)
        admission = replace(admission, identity=replace(identity, user=owner))
        original(self, connection, admission, response)

    seams.around(App, "enter", enter)
