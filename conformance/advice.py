"""What to change where a target cannot be reached, or takes no token: for preflight and `relaykit doctor`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime

from relaykit.conformance.dial_error import DialError
from relaykit.conformance.endpoints import Tls
from relaykit.conformance.environment import Environment
from relaykit.errors import UnreachableError

_FAR_S = 60.0
_DISLIKED = {
    "UNKNOWN_CA": "it does not trust the authority that signed it",
    "DECRYPT_ERROR": "it trusts an authority of that name, but another one signed it (was it made anew?)",
    "EXPIRED": "it takes it for expired, or not valid yet",
    "REVOKED": "it has been revoked",
    "UNSUPPORTED_CERTIFICATE": "it is not made out for clients (its extended key usage)",
}
"""What a server has against a certificate, by the alert that it ends the handshake with."""


def refused_hint(refused: Sequence[DialError], *, minted: bool) -> str:
    """What to change where a server answers handshakes, but opens no session.

    Args:
        minted: whether the suite signs its tokens itself.
    """
    statuses = {error.status for error in refused}
    if len(statuses) == 1 and (status := next(iter(statuses))) is not None:
        if 300 <= status < 400:
            return "it sends clients elsewhere: state that address as `url` (ws:// or wss://)"
        if status < 300 or status in (404, 405, 426):
            return "a web server answers there, and no WebSocket: check host, port and path of `url`"
        if status == 429:
            return "it limits connections: state pacing.connections_per_second, or wait a while"
        if status >= 500:
            return "the server, or a proxy before it, fails: its own log should say why"
        if status == 403:
            return (
                "it may want an origin (headers: {Origin: …} in the target file), or know its users; else "
                "check `tokens`"
            )
    far = _clock(refused)
    if far is not None:
        return (
            f"by its answer its clock is {far:+.0f} s from ours, so that our tokens are expired or not yet "
            "valid there: set the clocks, or give them a longer tokens.mint.lifetime_s"
        )
    if not minted:
        return (
            "is the token that was given out one of this server's, still good, and the whole of it? "
            "Else check the path of `url`, and whether it limits connections"
        )
    return (
        "check algorithm and secret under `tokens` (does the server verify with the same key, and does it "
        "want further claims, such as iss or aud?), the path of `url`, its clock (did an earlier run move "
        "it?), and whether it limits connections"
    )


def _clock(refused: Sequence[DialError]) -> float | None:
    """By how many seconds the server's clock is ahead, by the `Date` of its answers, if that is far."""
    for error in refused:
        date = next((value for name, value in error.headers if name.lower() == "date"), "")
        try:
            stated = parsedate_to_datetime(date).timestamp()
        except (ValueError, OverflowError):
            continue
        if abs(stated - time.time()) > _FAR_S:
            return stated - time.time()
    return None


def cut_hint(env: Environment) -> str:
    """What to change where a server ends connections without answering the handshake."""
    if env.tls is None:
        perhaps = "does it speak WebSocket there, or wss:// instead of ws://?"
    elif env.target.tls.certificate is None:
        perhaps = "does it ask clients for a certificate (tls.certificate and tls.key in the target file)?"
    else:
        perhaps = f"does it take the certificate of tls.certificate{_dated(env.target.tls)}?"
    return f"its own log should say why; {perhaps}"


def _dated(tls: Tls) -> str:
    wrong = tls.out_of_date()
    return f" ({wrong})" if wrong else ""


def tls_hint(said: str, tls: Tls) -> str:
    """What to change where TLS fails, by what OpenSSL says of it."""
    said = said.upper().replace(" ", "_")
    if "ALERT" in said:
        return _alert_hint(said, tls)
    if "WRONG_VERSION_NUMBER" in said or "RECORD_LAYER_FAILURE" in said:
        return "no TLS is spoken there: ws:// in place of wss://?"
    if "HOSTNAME_MISMATCH" in said or "IP_ADDRESS_MISMATCH" in said or "NOT_VALID_FOR" in said:
        return "its certificate is for another name: use that in `url`, or state tls.insecure: true"
    if "EXPIRED" in said or "NOT_YET_VALID" in said:
        return "its certificate is not valid today: renew it, or state tls.insecure: true"
    if tls.ca_file is not None:
        return (
            f"{tls.ca_file} does not hold the authority that signed the server's certificate: "
            "check tls.ca_file"
        )
    return "for a certificate of your own state tls.ca_file in the target file, or tls.insecure: true"


def _alert_hint(said: str, tls: Tls) -> str:
    def about(*words: str) -> bool:
        return any(word in said for word in words)

    if tls.certificate is None and about("CERTIFICATE", "UNKNOWN_CA", "HANDSHAKE_FAILURE"):
        return (
            "the server asks clients for a certificate: state tls.certificate and tls.key in the target file"
        )
    if tls.certificate is not None and about("CERTIFICATE", "UNKNOWN_CA", "DECRYPT_ERROR"):
        why = next((why for word, why in _DISLIKED.items() if word in said), "its own log should say why")
        return f"the server does not take the certificate of {tls.certificate}: {why}{_dated(tls)}"
    return "the server ends the TLS handshake; its own log should say why (versions, cipher suites, names?)"


def hopeless(env: Environment, error: DialError) -> UnreachableError:
    """The error for a server with which it is no use to go on."""
    url = env.target.url
    if error.kind == "unreachable" and env.tls is not None and "SSL" in str(error):
        return UnreachableError(
            f"{url} cannot be reached: {error}", hint=tls_hint(str(error), env.target.tls)
        )
    if error.kind == "unreachable":
        return UnreachableError(
            f"{url} cannot be reached: {error}",
            hint="is the server running there? `--launch 'COMMAND --port {port}'` starts and stops it",
        )
    if error.kind == "silent":
        return UnreachableError(
            f"{url}: {error}",
            hint="something accepts connections there but never answers; a slow server needs a longer "
            "timing.connect_ms, or --timeout-factor",
        )
    return UnreachableError(
        f"{url}: {error}",
        hint="what listens there does not speak WebSocket; check host, port and path (and ws:// against wss://)",
    )
