"""Certificates of the tests' own authority: for a server on loopback and for a client."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_CURVE = ec.SECP256R1()


class Authority:
    """An authority that has certified a server and a client."""

    def __init__(self, name: str = "authority") -> None:
        self.name = name
        self.key = ec.generate_private_key(_CURVE)
        self.server_key = ec.generate_private_key(_CURVE)
        self.client_key = ec.generate_private_key(_CURVE)
        self.certificate = self._certify(name, self.key, None)

    def _certify(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        usage: x509.ObjectIdentifier | None,
        days: int = 1,
    ) -> x509.Certificate:
        start = datetime.now(UTC) - timedelta(days=3)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + timedelta(days=3 + days))
            .add_extension(x509.BasicConstraints(ca=usage is None, path_length=None), critical=True)
        )
        if usage is not None:
            loopback = x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))
            builder = builder.add_extension(x509.SubjectAlternativeName([loopback]), critical=False)
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def write(self, folder: Path) -> None:
        """ca.pem, and server.pem, server-key.pem, client.pem, client-key.pem.

        Of the same client: expired.pem, a certificate that has expired, and locked-key.pem, its key with the
        password "open sesame".
        """
        server, client = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
        for name, certificate in (
            ("ca", self.certificate),
            ("server", self._certify("server", self.server_key, server)),
            ("client", self._certify("client", self.client_key, client)),
            ("expired", self._certify("client", self.client_key, client, days=-1)),
        ):
            (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        plain = serialization.NoEncryption()
        locked = serialization.BestAvailableEncryption(b"open sesame")
        for name, key, how in (
            ("server", self.server_key, plain),
            ("client", self.client_key, plain),
            ("locked", self.client_key, locked),
        ):
            text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)
            (folder / f"{name}-key.pem").write_bytes(text)
