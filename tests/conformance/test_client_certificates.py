"""TLS with certificates on both sides: what a target file states, and what is said where it does not do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fixtures import fakes
from support.certificates import Authority
from support.suite import all_cases, judge, make_target, relaykit
from websockets.asyncio.server import serve

from relaykit.conformance.advice import tls_hint
from relaykit.conformance.endpoints import Tls
from relaykit.conformance.results import RunResult, Verdict
from relaykit.errors import UnreachableError, UsageError

MINE = {"ca_file": "ca.pem", "certificate": "client.pem", "key": "client-key.pem"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of an authority; in `strangers` those of another one."""
    made: Path = tmp_path_factory.mktemp("certificates")
    Authority().write(made)
    (made / "strangers").mkdir()
    Authority("strangers").write(made / "strangers")
    (made / "both.pem").write_text((made / "client.pem").read_text() + (made / "client-key.pem").read_text())
    (made / "garbage.pem").write_text("nothing of that kind")
    return made


def tls_of(folder: Path, given: dict[str, str]) -> Tls:
    return Tls(**{name: folder / file for name, file in given.items()})


def demanding(folder: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(folder / "server.pem", folder / "server-key.pem")
    context.load_verify_locations(folder / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


@contextmanager
def refusing(context: ssl.SSLContext) -> Iterator[str]:
    """A server that takes no client's handshake, and says by an alert why: asyncio's end without a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def refuse() -> None:
            with contextlib.suppress(OSError):
                while True:
                    accepted, _ = listening.accept()
                    with context.wrap_socket(
                        accepted, server_side=True, do_handshake_on_connect=False
                    ) as one:
                        with contextlib.suppress(OSError):
                            one.do_handshake()
                        # What is left unread would turn the end into a reset, which may overtake the alert.
                        with contextlib.suppress(OSError):
                            one.settimeout(5)
                            socket.socket.shutdown(one, socket.SHUT_WR)
                            while socket.socket.recv(one, 65536):
                                pass

        thread = threading.Thread(target=refuse, daemon=True)
        thread.start()
        yield f"wss://127.0.0.1:{listening.getsockname()[1]}/ws"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@pytest.mark.parametrize(
    ("given", "insecure"),
    [
        (MINE, False),
        ({"ca_file": "ca.pem", "certificate": "both.pem"}, False),
        ({**MINE, "ca_file": "strangers/ca.pem"}, True),
    ],
    ids=["two files", "one file", "insecure"],
)
def test_a_server_that_asks_for_a_certificate_gets_one(
    folder: Path, given: dict[str, str], insecure: bool
) -> None:
    async def main() -> RunResult:
        server = fakes.minimal()
        async with serve(
            server.handle,
            "127.0.0.1",
            0,
            ssl=demanding(folder),
            process_request=server.answer,
            select_subprotocol=server.choose,
            ping_interval=None,
        ) as listening:
            url = f"wss://127.0.0.1:{listening.sockets[0].getsockname()[1]}/ws"
            files: dict[str, Any] = {name: str(folder / file) for name, file in given.items()}
            tls = {**files, "insecure": insecure}
            return await judge(make_target(url, tls=tls), all_cases("message-life", "tls-versions"))

    result = asyncio.run(main())
    assert [case.verdict for case in result.cases if case.case.kind != "shape"] == [Verdict.PASS] * 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"ca_file": "ca.pem"}, "state tls.certificate and tls.key"),
        (
            {"ca_file": "ca.pem", "certificate": "strangers/client.pem", "key": "strangers/client-key.pem"},
            "strangers/client.pem: it does not trust the authority that signed it",
        ),
        (
            {"ca_file": "ca.pem", "certificate": "expired.pem", "key": "client-key.pem"},
            "expired.pem: it takes it for expired, or not valid yet (it expired on ",
        ),
        (
            {"ca_file": "ca.pem", "certificate": "server.pem", "key": "server-key.pem"},
            "server.pem: it is not made out for clients",
        ),
    ],
)
def test_an_alert_about_the_certificate_is_explained(folder: Path, given: dict[str, str], said: str) -> None:
    files = {name: str(folder / file) for name, file in given.items()}
    with refusing(demanding(folder)) as url, pytest.raises(UnreachableError) as caught:
        asyncio.run(judge(make_target(url, tls=files), all_cases("message-life")))
    assert said in str(caught.value.hint)


def test_a_connection_that_ends_without_an_alert_leaves_the_certificate_in_doubt(folder: Path) -> None:
    async def main(**given: str) -> None:
        async with serve(fakes.minimal().handle, "127.0.0.1", 0, ssl=demanding(folder)) as listening:
            url = f"wss://127.0.0.1:{listening.sockets[0].getsockname()[1]}/ws"
            files = {name: str(folder / file) for name, file in given.items()}
            await judge(make_target(url, tls=files), all_cases("message-life"))

    for given, said in (
        ({"ca_file": "ca.pem"}, "tls.certificate and tls.key"),
        ({**MINE, "certificate": "expired.pem"}, "tls.certificate (it expired on "),
    ):
        with pytest.raises(UnreachableError) as caught:
            asyncio.run(main(**given))
        assert said in str(caught.value.hint)


@pytest.mark.parametrize(
    ("alert", "said"),
    [
        ("[SSL: SSLV3_ALERT_CERTIFICATE_REVOKED]", "client.pem: it has been revoked"),
        ("[SSL: TLSV1_ALERT_DECRYPT_ERROR]", "client.pem: it trusts an authority of that name, but another"),
        ("[SSL: SSLV3_ALERT_BAD_CERTIFICATE]", "client.pem: its own log should say why"),
        (
            "certificate verify failed: IP address mismatch, certificate is not valid for '::1'",
            "another name",
        ),
        ("certificate verify failed: Hostname mismatch, certificate is not valid for 'h'.", "another name"),
        ("certificate verify failed: certificate has expired", "not valid today: renew it"),
        # That may be about anything: the certificate is not accused.
        ("[SSL: SSLV3_ALERT_HANDSHAKE_FAILURE]", "the server ends the TLS handshake"),
    ],
)
def test_what_openssl_says_accuses_what_it_is_about(folder: Path, alert: str, said: str) -> None:
    assert said in tls_hint(alert, tls_of(folder, MINE))


@pytest.mark.parametrize(
    ("given", "said", "hint"),
    [
        (
            {"certificate": "nowhere.pem"},
            "nowhere.pem: the certificate cannot be read: No such",
            "tls.certificate",
        ),
        ({**MINE, "key": "nowhere.pem"}, "nowhere.pem: the private key cannot be read: No such", "tls.key"),
        ({"ca_file": "nowhere.pem"}, "nowhere.pem: the certificate cannot be read: No such", "tls.ca_file"),
        (
            {"ca_file": "strangers"},
            "strangers: the certificate cannot be read: Is a directory",
            "tls.ca_file",
        ),
        ({"ca_file": "garbage.pem"}, "garbage.pem: holds no certificate", "tls.ca_file"),
        ({"certificate": "client.pem"}, "client.pem: holds no private key", "tls.key"),
        (
            {"certificate": "client-key.pem", "key": "client.pem"},
            "client-key.pem: holds no cert",
            "tls.certificate",
        ),
        ({**MINE, "key": "server-key.pem"}, "the private key is that of another certificate", "tls.key"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(folder: Path, given: dict[str, str], said: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        tls_of(folder, given).context()
    assert said in str(caught.value)
    assert hint in str(caught.value.hint)


def test_a_key_whose_password_is_missing_asks_nobody(folder: Path) -> None:
    def made(password: str | None) -> ssl.SSLContext:
        return Tls(None, folder / "client.pem", folder / "locked-key.pem", password).context()

    assert made("open sesame")
    with pytest.raises(UsageError, match="its password is missing") as caught:
        made(None)
    assert "tls.key_password" in str(caught.value.hint)
    with pytest.raises(UsageError, match="its password is wrong"):
        made("close sesame")


@pytest.mark.parametrize(
    ("tls", "code", "said"),
    [
        ("{ca_file: ca.pem, certificate: client.pem}", 2, "holds no private key"),
        ("{ca_file: ca.pem}", 3, "state tls.certificate and tls.key"),
    ],
)
def test_doctor_and_test_say_the_same(folder: Path, tmp_path: Path, tls: str, code: int, said: str) -> None:
    async def both(file: Path) -> list[Any]:
        return [await relaykit("doctor", "-t", str(file)), await relaykit("test", "-t", str(file))]

    with refusing(demanding(folder)) as url:
        file = folder / f"{tmp_path.name}.yaml"
        file.write_text(f"url: {url}\ntls: {tls}\ntokens: {{mint: {{secret: {{value: {'s' * 32}}}}}}}\n")
        for ended in asyncio.run(both(file)):
            assert ended.code == code, ended
            assert said in " ".join((ended.out + ended.err).split())
