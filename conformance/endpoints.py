"""Where a target file says the server listens, and what TLS needs to get there."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from relaykit.config import Document
from relaykit.conformance.control_spec import secret_at
from relaykit.errors import UsageError

_LONGEST_PEM = 2**20


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS settings of a target file.

    Attributes:
        ca_file: PEM file with the authorities to trust; None: those of the system.
        certificate: PEM file with the certificate that the suite shows, for servers that ask for one.
        key: PEM file with its private key; None: it stands in the same file.
        password: of that key.
        insecure: accept whatever certificate the server shows.
    """

    ca_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    password: str | None = None
    insecure: bool = False

    def context(self) -> ssl.SSLContext:
        """A context for clients.

        Raises:
            UsageError: one of the files cannot be used.
        """
        if self.ca_file is not None:
            _look_into(self.ca_file, "ca_file", "certificate")
        try:
            context = ssl.create_default_context(cafile=str(self.ca_file) if self.ca_file else None)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(f"{self.ca_file}: not a usable CA file: {_said(error)}") from error
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate is not None:
            self._show(context, self.certificate)
        return context

    def _show(self, context: ssl.SSLContext, certificate: Path) -> None:
        asked = False

        def password() -> str:
            # Without this, OpenSSL would ask on the terminal and wait.
            nonlocal asked
            asked = True
            return self.password or ""

        _look_into(certificate, "certificate", "certificate")
        _look_into(self.key or certificate, "key", "private key")
        files = f"{certificate}{f' and {self.key}' if self.key else ''}"
        try:
            context.load_cert_chain(certificate, self.key, password)
        except (OSError, ValueError) as error:
            if asked:
                wrong = "is wrong" if self.password else "is missing"
                raise UsageError(
                    f"{files}: the key is encrypted, and its password {wrong}",
                    hint="tls.key_password: {env: NAME} or {file: PATH}",
                ) from error
            if "KEY_VALUES_MISMATCH" in str(error):
                raise UsageError(
                    f"{files}: the private key is that of another certificate",
                    hint="tls.key: the key for which tls.certificate was made out",
                ) from error
            raise UsageError(f"{files}: not a usable certificate with its key: {_said(error)}") from error

    def out_of_date(self) -> str:
        """Why the certificate that the suite shows is not valid today; nothing if it is, or there is none."""
        from cryptography import x509  # only here: it takes long to load

        if self.certificate is None:
            return ""
        try:
            shown = x509.load_pem_x509_certificate(self.certificate.read_bytes())
        except (OSError, ValueError):
            return ""
        start, end, now = shown.not_valid_before_utc, shown.not_valid_after_utc, datetime.now(UTC)
        if now > end:
            return f"it expired on {end:%Y-%m-%d}"
        return f"it is not valid before {start:%Y-%m-%d %H:%M} UTC" if now < start else ""


def _look_into(file: Path, setting: str, what: str) -> None:
    """See that a PEM file holds what it should, as OpenSSL says neither which file it dislikes nor why.

    Raises:
        UsageError: it does not, or cannot be read.
    """
    try:
        with file.open("rb") as opened:
            text = opened.read(_LONGEST_PEM)
    except OSError as error:
        raise UsageError(
            f"{file}: the {what} cannot be read: {_said(error)}",
            hint=f"check tls.{setting} in the target file",
        ) from error
    if f"{what.upper()}-----".encode() not in text:
        raise UsageError(
            f"{file}: holds no {what} in PEM form", hint=f"tls.{setting}: a PEM file that holds a {what}"
        )


def _said(error: Exception) -> str:
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def read_tls(document: Document, base: Path) -> Tls:
    """The TLS settings of a target file whose shape is right.

    Raises:
        UsageError: the password of the key cannot be read.
    """
    given: dict[str, Any] = document.data.get("tls", {})

    def path(name: str) -> Path | None:
        return base / given[name] if name in given else None

    password = None
    if "key_password" in given:
        password = secret_at(given["key_password"], base, document.place("/tls/key_password"))
    return Tls(path("ca_file"), path("certificate"), path("key"), password, given.get("insecure", False))


def read_urls(document: Document, path: str) -> tuple[str, ...]:
    """The addresses of a target file whose shape is right; one without a path gets the protocol's.

    Raises:
        UsageError: one of them cannot be used, or they mix TLS and none.
    """
    given = document.data["url"]
    if isinstance(given, str):
        return (_usable(document, "/url", given, path),)
    urls = tuple(_usable(document, f"/url/{index}", url, path) for index, url in enumerate(given))
    if len({urlsplit(url).scheme for url in urls}) > 1:
        raise UsageError(f"{document.place('/url')}: /url: either all of them wss://, or none")
    return urls


def _usable(document: Document, pointer: str, url: str, path: str) -> str:
    parts = urlsplit(url)
    try:
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        port_is_fine = False
    if not port_is_fine or not parts.hostname:
        raise UsageError(f"{document.place(pointer)}: {pointer}: not a usable address: {url!r}")
    if parts.fragment or parts.username:
        raise UsageError(f"{document.place(pointer)}: {pointer}: without user name and fragment, please")
    return url if parts.path not in ("", "/") else parts._replace(path=path).geturl()


def at_node(shown: str, first: str, node: str) -> str:
    """An address that was made of the first node's (with a query, perhaps), at another node."""
    if node == first or not shown.startswith(first):
        return shown
    rest = shown[len(first) :]
    if rest[:1] in ("?", "&"):
        return f"{node}{'&' if '?' in node else '?'}{rest[1:]}"
    return shown if rest else node
