"""Tokens that must not open a session (source: Message Authentication; section 2 of the decisions).

Every probe first shows that the device's honest token is served: a target that turns everybody away
would otherwise pass them all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from relaykit.conformance import forging
from relaykit.conformance.context import Context, Device, NotApplicableError, UntestableError, present
from relaykit.conformance.keys import foreign_key, public_pem
from relaykit.conformance.refusal import FORM, judge_form, refused, tried
from relaykit.conformance.registry import Probe, probe
from relaykit.conformance.values import fresh_uuid

Make = Callable[[Context, Device], Iterable[tuple[str, str | None]]]
"""Gives tokens that must be refused, each with a name for what is wrong with it; None: no token at all."""
_MARGIN_S = 30
"""Beyond the clock leeway by this much, so that no clock's drift decides."""


async def _all_refused(context: Context, requirement: str, make: Make) -> None:
    device = context.device("alice")
    context.step = "honest token"
    await (await device.connect()).close(context.env.waits.reply)
    try:
        for what, token in make(context, device):
            await refused(context, device, token, what, requirement)
    except UntestableError as reason:
        # What could be tried without a key of the target's was judged; makers put the rest last.
        if not context.outcomes:
            raise
        context.recorder.transcript.event("alice", "c2s", f"what follows cannot be tried: {reason}")


@dataclass(frozen=True, slots=True)
class Family:
    """Tokens that break one requirement, tried one after the other in one case."""

    id: str
    title: str
    requirement: str
    catches: str
    make: Make
    where: str = ""

    def probe(self) -> Probe:
        async def run(context: Context) -> None:
            await _all_refused(context, self.requirement, self.make)

        made = probe(
            self.id,
            title=self.title,
            area="authentication",
            requirements=(self.requirement, *FORM),
            catches=self.catches,
            forges=True,
            where=self.where,
        )(run)
        return replace(made, origin=self.make)


def _none(_: Context, __: Device) -> Iterable[tuple[str, str | None]]:
    yield "no token", None
    yield "an empty token", ""


def _garbage(context: Context, device: Device) -> Iterable[tuple[str, str | None]]:
    honest = device.token()
    yield "a word", "token"
    yield "three words", "not.a.token"
    yield "4,000 letters", "A" * 4000
    yield "an honest token with a fourth part", f"{honest}.e30"
    head, payload, signature = forging.parts(honest)
    yield "an honest token without its signature part", f"{head}.{payload}"
    yield "a header that is no JSON", f"{forging.encoded('{')}.{payload}.{signature}"
    yield "claims that are no object", forging.signed(context, "[1,2]")


def _signature(context: Context, device: Device) -> Iterable[tuple[str, str | None]]:
    honest = device.token()
    yield "one bit of the signature changed", forging.flipped(honest)
    yield "no signature", forging.resigned(honest, "")
    yield "half a signature", forging.resigned(honest, honest.rsplit(".", 1)[1][:20])
    stranger = forging.claims(context, device, sub=fresh_uuid(context.rng))
    head, _, signature = forging.parts(honest)
    yield (
        "other claims under the signature of an honest token",
        f"{head}.{forging.encoded(stranger)}.{signature}",
    )
    other = device.token(key=foreign_key(context.env.target.minting.algorithm))
    yield "signed with another key", other


def _algorithm(context: Context, device: Device) -> Iterable[tuple[str, str | None]]:
    own = context.env.target.minting
    if own.algorithm == "HS256":
        for name, digest in (("HS384", "sha384"), ("HS512", "sha512")):
            header = {"typ": "JWT", "alg": name}
            claims = forging.claims(context, device)
            yield (
                f"{name} with the true secret",
                forging.hmac_signed(header, claims, own.key.encode(), digest),
            )
    for name in context.env.catalogue.protocol.algorithms:
        if name != own.algorithm:
            yield f"{name} with a key of our own", device.token(key=foreign_key(name), algorithm=name)
    header = {"typ": "JWT", "alg": "XY256"}
    yield (
        "an algorithm that does not exist",
        forging.unsigned(header, forging.claims(context, device), "AAAA"),
    )


def _unsigned(context: Context, device: Device) -> Iterable[tuple[str, str | None]]:
    signature = forging.parts(device.token())[2]
    for name in ("none", "None", "NONE", "nOnE", ""):
        header = {"typ": "JWT", "alg": name}
        yield f"alg {name!r}, no signature", forging.unsigned(header, forging.claims(context, device))
    claims = forging.claims(context, device)
    yield "alg 'none' with a signature", forging.unsigned({"typ": "JWT", "alg": "none"}, claims, signature)
    yield "no alg at all", forging.unsigned({"typ": "JWT"}, claims, signature)


def _confusion(context: Context, device: Device) -> Iterable[tuple[str, str | None]]:
    own = context.env.target.minting
    if own.algorithm.startswith("HS"):
        raise NotApplicableError(
            "the target verifies with a shared secret: it holds no public key to confuse"
        )
    for what, key in (
        ("PEM", public_pem(own.key)),
        ("PEM without its last line break", public_pem(own.key).strip()),
    ):
        header = {"typ": "JWT", "alg": "HS256"}
        claims = forging.claims(context, device)
        yield f"HS256 with the public key ({what})", forging.hmac_signed(header, claims, key, "sha256")


def _brought(context: Context, device: Device) -> Iterable[tuple[str, str | None]]:
    claims = forging.claims(context, device)
    secret = foreign_key("HS256")
    jwk = {"kty": "oct", "k": forging.encoded(secret), "alg": "HS256"}
    for what, more, key in (
        ("its own key as jwk", {"jwk": jwk}, secret),
        ("a kid that is a path to an empty file", {"kid": "../../../../../../dev/null"}, b""),
        ("a kid that is SQL", {"kid": "' UNION SELECT 'key' --"}, b"key"),
        ("a key at an address of its own", {"jku": "http://127.0.0.1:9/keys.json", "kid": "1"}, secret),
    ):
        header = {"typ": "JWT", "alg": "HS256", **more}
        yield f"a token that brings {what}", forging.hmac_signed(header, claims, key, "sha256")


def _identity(context: Context, device: Device) -> Iterable[tuple[str, str | None]]:
    yield "no sub", device.token(claims={"sub": None})
    yield "no device_id", device.token(claims={"device_id": None})


def _no_exp(context: Context, device: Device) -> Iterable[tuple[str, str | None]]:
    yield "no exp", device.token(claims={"exp": None})


def _malformed(context: Context, device: Device) -> Iterable[tuple[str, str | None]]:
    user = device.user.id
    wrong: tuple[Any, ...] = (
        "",
        "alice",
        user.replace("-", ""),
        f"{{{user}}}",
        f"{user}\n",
        f"{user}0",
        7,
        [user],
    )
    for name in ("sub", "device_id"):
        for value in wrong:
            claims = forging.claims(context, device, **{name: value})
            yield f"{name} {_shown(value, user, 'id')}", forging.signed(context, claims)
        yield f"{name} null", forging.signed(context, {**forging.claims(context, device), name: None})
    later = int(context.env.now()) + 3600
    for value in ("soon", str(later), True, [later], {"at": later}):
        claims = forging.claims(context, device, exp=value)
        yield f"exp {_shown(value, str(later), 'time')}", forging.signed(context, claims)
    yield "exp null", forging.signed(context, {**forging.claims(context, device), "exp": None})


def _shown(value: Any, made_up: str, name: str) -> str:
    """A claim as a step's name shows it, which is the same in every run."""
    text = json.dumps(value).replace(made_up, f"<{name}>")
    return text.replace(made_up.replace("-", ""), f"<{name} without hyphens>")


def _expired(context: Context, device: Device) -> Iterable[tuple[str, str | None]]:
    leeway = context.env.target.timing["clock_leeway_s"]
    now = int(context.env.now())
    long_ago = now - int(leeway) - _MARGIN_S
    yield "expired just beyond the leeway", device.token(claims={"iat": long_ago - 600, "exp": long_ago})
    yield "expired a day ago", device.token(claims={"iat": now - 90_000, "exp": now - 86_400})
    yield "expired in 1970", device.token(claims={"iat": 0, "exp": 1})
    yield "expired before 1970", device.token(claims={"iat": 0, "exp": -1})


def _early(context: Context, device: Device) -> Iterable[tuple[str, str | None]]:
    leeway = context.env.target.timing["clock_leeway_s"]
    begins = int(context.env.now() + leeway) + _MARGIN_S
    yield "valid from just beyond the leeway", device.token(claims={"nbf": begins, "exp": begins + 3600})
    yield "valid from tomorrow", device.token(claims={"nbf": begins + 86_400, "exp": begins + 90_000})


FAMILIES = tuple(
    family.probe()
    for family in (
        Family(
            "token-absent", "No session without a token", "AUTH-01", "A server that serves anybody.", _none
        ),
        Family(
            "token-garbage",
            "No session for what is no token",
            "AUTH-02",
            "A server that fails open, or falls over, when a token cannot be parsed.",
            _garbage,
        ),
        Family(
            "token-signature",
            "No session for a token whose signature does not fit",
            "AUTH-03",
            "A server that decodes tokens without verifying them.",
            _signature,
        ),
        Family(
            "token-other-algorithm",
            "No session for a token signed with an algorithm that the server is not set up for",
            "AUTH-04",
            "A server that lets the token choose how it is verified.",
            _algorithm,
        ),
        Family(
            "token-unsigned",
            "No session for an unsigned token, however none is spelt",
            "AUTH-05",
            "A server that accepts alg none.",
            _unsigned,
        ),
        Family(
            "token-key-confusion",
            "No session for an HMAC made with the server's public key",
            "AUTH-06",
            "A server that hands its public key to whatever algorithm the token names.",
            _confusion,
            "The target verifies tokens with a public key.",
        ),
        Family(
            "token-brings-key",
            "No session for a token that brings its own key, or points to one",
            "AUTH-07",
            "A server that believes jwk, jku or kid.",
            _brought,
        ),
        Family(
            "token-without-identity",
            "No session for a token without user or device",
            "AUTH-08",
            "A server that makes up an identity, or serves nobody in particular.",
            _identity,
        ),
        Family(
            "token-without-expiry",
            "No session for a token that never expires",
            "AUTH-09",
            "A server that checks exp only where there is one.",
            _no_exp,
        ),
        Family(
            "token-malformed-claims",
            "No session for a token whose user, device or expiry is malformed",
            "AUTH-10",
            "A server that takes any text for an identity, or coerces what is no number.",
            _malformed,
        ),
        Family(
            "token-expired",
            "No session for a token that expired beyond the clock leeway",
            "AUTH-11",
            "A server that does not look at exp.",
            _expired,
        ),
        Family(
            "token-not-yet-valid",
            "No session for a token that is not valid yet",
            "AUTH-12",
            "A server that does not look at nbf.",
            _early,
        ),
    )
)


@probe(
    "token-within-leeway",
    title="A token that expired, or becomes valid, within the leeway is served or refused",
    area="authentication",
    requirements=("AUTH-13",),
    catches="A server that opens the socket for a token it half believes, and then serves nobody.",
    forges=True,
)
async def within_leeway(context: Context) -> None:
    leeway = context.env.target.timing["clock_leeway_s"]
    if leeway < 2:
        raise NotApplicableError("the target states no clock leeway to speak of (timing.clock_leeway_s)")
    device, now = context.device("alice"), context.env.now()
    for what, claims in (
        ("expired within the leeway", {"exp": int(now - leeway / 2)}),
        ("valid from within the leeway on", {"nbf": int(now + leeway / 2)}),
    ):
        context.step = what
        shown = present(context.env, device.token(claims=claims), context.env.carrier)
        outcome = await tried(context, shown, device.label)
        if outcome.form == "session" or (judge_form(context, outcome, what) and outcome.refused):
            context.prove(("AUTH-13",))
        elif outcome.form != "cut":
            context.fail(
                (), f"{what}: {outcome.said}", expected="a session, or a refusal", actual=outcome.said
            )
