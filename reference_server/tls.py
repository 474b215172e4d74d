"""TLS: certificates from files, or one for loopback made for this run (source: Security Considerations).

Nothing below TLS 1.3 is spoken.
"""

from __future__ import annotations

import ipaddress
import ssl
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from relaykit.errors import UsageError

if TYPE_CHECKING:
    from cryptography import x509

    from relaykit.reference_server.settings import Settings

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_LIFETIME = timedelta(days=397)  # what browsers accept at most
_SKEW = timedelta(hours=1)  # for clients whose clock is behind


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate made for this run, as PEM: itself, its key, and the authority that clients may trust."""

    chain: bytes
    key: bytes
    authority: bytes
    fingerprint: str
    """SHA-256 of the certificate, as `openssl x509 -fingerprint -sha256` shows it."""


def context_of(settings: Settings, made: Certificate | None) -> ssl.SSLContext | None:
    """How TLS is spoken; None if it is not.

    Args:
        made: the certificate of a server whose settings ask for a self-signed one.

    Raises:
        UsageError: the files are not there, no certificate or key, or do not fit each other.
    """
    if made is not None:
        with tempfile.TemporaryDirectory(prefix="relaykit-") as folder:  # only its owner can look into it
            chain, key = Path(folder) / "chain.pem", Path(folder) / "key.pem"
            chain.write_bytes(made.chain)
            key.write_bytes(made.key)
            return _context(str(chain), str(key))
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return _context(settings.tls_cert, settings.tls_key)


def check(settings: Settings) -> None:
    """See that what the settings say about TLS makes sense.

    Raises:
        UsageError: it does not.
    """
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise UsageError("TLS needs both a certificate and its key", hint="give --tls-cert and --tls-key")
    if settings.tls_self_signed and settings.tls_cert is not None:
        raise UsageError("--tls-self-signed and --tls-cert exclude each other")
    if settings.tls_ca_out is not None and not settings.tls_self_signed:
        raise UsageError("--tls-ca-out: there is nothing to write without --tls-self-signed")


def _context(chain: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    for path, what in ((chain, "certificate"), (key, "key")):
        try:
            text = Path(path).read_bytes()
        except OSError as error:
            raise UsageError(f"{path}: the {what} cannot be read: {error.strerror}") from error
        if b"-----BEGIN " not in text:
            raise UsageError(f"{path}: no {what} in PEM form")
    try:
        # A password is never asked for: a server has nobody to ask.
        context.load_cert_chain(chain, key, password=lambda: "")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise UsageError(f"{key}: not the key of the certificate in {chain}") from error
        raise UsageError(
            f"{chain}, {key}: not a certificate with its key, or the key is encrypted"
            f" ({error.reason or 'unreadable'})"
        ) from error
    except OSError as error:
        raise UsageError(f"{chain}, {key}: cannot be read: {error.strerror}") from error
    return context


def make_certificate(now: float, names: Iterable[str] = _LOOPBACK) -> Certificate:
    """A certificate for names and addresses, by an authority whose key is thrown away at once.

    Args:
        now: Unix time from which it is valid.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    start = datetime.fromtimestamp(now, UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "relaykit, made for one run")])
    ca_id = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())

    def begun(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ca_name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start - _SKEW)
            .not_valid_after(start + _LIFETIME)
        )

    authority = (
        begun(ca_name, ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .add_extension(ca_id, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    leaf = (
        begun(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]), key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(list(map(_general_name, names))), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ca_id), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    return Certificate(
        leaf.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        authority.public_bytes(serialization.Encoding.PEM),
        leaf.fingerprint(hashes.SHA256()).hex(":").upper(),
    )


def names_for(host: str) -> list[str]:
    """The names of a made certificate: loopback, and the address that is listened on if it is one."""
    wildcard = host in ("0.0.0.0", "::")  # noqa: S104  (compared with, not bound to)
    return list(dict.fromkeys((*_LOOPBACK, *(() if wildcard else (host,)))))


def _usage(*, authority: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
