"""TLS: 1.3 and nothing below, certificates from files or made for the run, no noise about those who err."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from support.process import SECRET, ServerProcess, run
from support.raw import Raw, request
from support.server import Running, in_loop, message, new_id, running_server
from websockets.asyncio.client import connect

from relaykit.reference_server import tls
from relaykit.reference_server.clock import Clock
from relaykit.tokens import mint


def trusting(server: Running) -> ssl.SSLContext:
    """A client's context that trusts the certificate made for this run, and nothing else."""
    made = server.server.certificate
    assert made is not None
    context = ssl.create_default_context(cadata=made.authority.decode())
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


async def peers(server: Running) -> tuple[Any, Any]:
    context = trusting(server)
    return await server.connect(ssl=context), await server.connect(ssl=context)


@in_loop
async def test_a_made_certificate_is_trusted_for_loopback_and_for_nothing_else() -> None:
    async with running_server(tls_self_signed=True) as server:
        assert server.url.startswith("wss://127.0.0.1:")
        alice, bob = await peers(server)
        sent = message(bob.user, ciphertext="A" * 60_000)
        await alice.send(sent)
        await bob.expect("deliver", message_id=sent["message_id"])
        assert alice.socket.transport.get_extra_info("ssl_object").version() == "TLSv1.3"
        token = server.token(new_id(), new_id())
        for name in ("localhost", "::1"):
            url = server.url.replace("127.0.0.1", "localhost")
            async with connect(
                f"{url}?token={token}",
                ssl=trusting(server),
                server_hostname=name,
                host="127.0.0.1",
                proxy=None,
            ):
                pass
        for context, name in (
            (trusting(server), "example.test"),
            (ssl.create_default_context(), "localhost"),
        ):
            with pytest.raises(ssl.SSLCertVerificationError):
                await connect(server.url, ssl=context, server_hostname=name, proxy=None)


@in_loop
async def test_below_tls_1_3_and_without_tls_nothing_is_served(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with running_server(tls_self_signed=True) as server:
        old = trusting(server)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await server.connect(ssl=old)
        raw = await Raw.open(server.port)
        await raw.send(request(f"/ws?token={server.token(new_id(), new_id())}"))
        assert b"HTTP/1.1" not in await raw.ended()
        await raw.close()
        silent = await Raw.open(server.port)
        await silent.close()
        alice, _ = await peers(server)  # the others are served as before
        await alice.silent()
        assert not [r for r in caplog.records if r.levelno > logging.INFO], caplog.text


@in_loop
async def test_a_tls_handshake_that_never_comes_ends() -> None:
    async with running_server(tls_self_signed=True, handshake_timeout_s=0.2) as server:
        raw = await Raw.open(server.port)
        assert await raw.ended() == b""
        await raw.close()


@in_loop
async def test_tls_handshakes_in_progress_are_bounded() -> None:
    async with running_server(tls_self_signed=True, max_handshakes=3) as server:
        idle = [await Raw.open(server.port) for _ in range(3)]
        await server.until(lambda: server.app.tls_handshakes == 3)
        one_more = await Raw.open(server.port)
        assert await one_more.ended() == b""
        await idle.pop().close()
        await server.until(lambda: server.app.tls_handshakes == 2)
        alice = await server.connect(ssl=trusting(server))  # there is room again
        await alice.silent()
        for raw in (one_more, *idle):
            await raw.close()
        await server.until(lambda: not server.app.tls_handshakes)


@in_loop
async def test_a_server_stops_while_tls_handshakes_hang() -> None:
    async with running_server(tls_self_signed=True, shutdown_timeout_s=0.1) as server:
        idle = [await Raw.open(server.port) for _ in range(2)]
        await server.until(lambda: server.app.tls_handshakes == 2)
    for raw in idle:
        assert await raw.ended() == b""
        await raw.close()
    assert not server.app.tls_handshakes


@in_loop
async def test_a_request_in_one_piece_with_the_end_of_the_handshake_is_answered() -> None:
    async with running_server(tls_self_signed=True) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = trusting(server).wrap_bio(incoming, outgoing, server_hostname="localhost")
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                writer.write(outgoing.read())
                incoming.write(await reader.read(65536))
        client.write(request(f"/ws?token={server.token(new_id(), new_id())}"))
        writer.write(outgoing.read())  # the client's Finished, and the request right behind it
        answer = b""
        async with asyncio.timeout(20):
            while b"\r\n\r\n" not in answer:
                incoming.write(await reader.read(65536))
                with contextlib.suppress(ssl.SSLWantReadError):
                    answer += client.read(65536)
        assert answer.startswith(b"HTTP/1.1 101 ")
        writer.transport.abort()


@in_loop
async def test_the_log_says_which_end_of_tls_is_missing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with running_server(tls_self_signed=True) as server:
        raw = await Raw.open(server.port)
        await raw.send(request(f"/ws?token={server.token(new_id(), new_id())}"))
        await raw.ended()
        await raw.close()
    assert "must begin with wss://" in caplog.text


@in_loop
async def test_connections_close_properly_under_tls() -> None:
    async with running_server(tls_self_signed=True) as server:
        alice, bob = await peers(server)
        await alice.close()
        assert alice.socket.close_code == 1000
        await server.until(lambda: not server.app.hub.of_user(alice.user))
        server.app.end(server.app.hub.of_user(bob.user)[0], 1008, "enough")
        assert (await bob.closed()).code == 1008


@in_loop
async def test_slow_readers_are_bounded_under_tls() -> None:
    limits = {"burst": 10_000, "frames_per_second": 10_000}
    async with running_server(tls_self_signed=True, max_outgoing_bytes=200_000, limits=limits) as server:
        alice = await server.connect(ssl=trusting(server))
        token = server.token(bob := new_id(), new_id())
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=trusting(server))
        raw = Raw(reader, writer)
        await raw.request(f"/ws?token={token}")
        writer.transport.pause_reading()
        async with asyncio.timeout(20):
            while server.app.hub.of_user(bob):
                await alice.send(*(message(bob, ciphertext="A" * 60_000) for _ in range(5)))
                for _ in range(5):
                    await alice.expect("sent_ack")
        writer.transport.abort()


def test_the_authority_cannot_sign_again_and_the_fingerprint_is_the_leafs() -> None:
    made = tls.make_certificate(Clock().now(), tls.names_for("192.0.2.7"))
    leaf, authority = (x509.load_pem_x509_certificate(pem) for pem in (made.chain, made.authority))
    assert made.fingerprint.replace(":", "").lower() == leaf.fingerprint(hashes.SHA256()).hex()
    key = serialization.load_pem_private_key(made.key, None)
    encoding = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert key.public_key().public_bytes(*encoding) == leaf.public_key().public_bytes(*encoding)
    assert authority.public_key().public_bytes(*encoding) != leaf.public_key().public_bytes(*encoding)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1", "192.0.2.7"]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A certificate with its key, another key, an encrypted one, and rubbish."""
    made, other = (tls.make_certificate(Clock().now()) for _ in range(2))
    (tmp_path / "cert.pem").write_bytes(made.chain)
    (tmp_path / "key.pem").write_bytes(made.key)
    (tmp_path / "ca.pem").write_bytes(made.authority)
    (tmp_path / "other.pem").write_bytes(other.key)
    (tmp_path / "rubbish.pem").write_bytes(b"\x00rubbish")
    (tmp_path / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    encrypted = serialization.load_pem_private_key(made.key, None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"a password"),
    )
    (tmp_path / "encrypted.pem").write_bytes(encrypted)
    return tmp_path


@in_loop
async def test_a_certificate_from_files(files: Path) -> None:
    async with running_server(tls_cert=str(files / "cert.pem"), tls_key=str(files / "key.pem")) as server:
        alice = await server.connect(ssl=ssl.create_default_context(cafile=files / "ca.pem"))
        await alice.silent()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tls-cert", "{}/cert.pem"], "both a certificate and its key"),
        (["--tls-key", "{}/key.pem"], "both a certificate and its key"),
        (["--tls-cert", "{}/cert.pem", "--tls-key", "{}/none.pem"], "none.pem: the key cannot be read"),
        (["--tls-cert", "{}/rubbish.pem", "--tls-key", "{}/key.pem"], "no certificate in PEM form"),
        (["--tls-cert", "{}/broken.pem", "--tls-key", "{}/key.pem"], "not a certificate with its key"),
        (["--tls-cert", "{}/cert.pem", "--tls-key", "{}/other.pem"], "other.pem: not the key of"),
        (["--tls-cert", "{}/cert.pem", "--tls-key", "{}/encrypted.pem"], "the key is encrypted"),
        (["--tls-cert", "{}/cert.pem", "--tls-key", "{}/key.pem", "--tls-self-signed"], "exclude each other"),
        (["--tls-ca-out", "{}/ca.pem"], "nothing to write without --tls-self-signed"),
        (["--tls-self-signed", "--tls-ca-out", "{}/no/ca.pem"], "certificate cannot be written"),
    ],
)
def test_what_cannot_be_served_is_told(files: Path, arguments: list[str], words: str) -> None:
    result = run("serve", "--port", "0", *(argument.format(files) for argument in arguments))
    assert (result.returncode, result.stdout) == (2, "")
    assert words in result.stderr
    assert "Traceback" not in result.stderr


@in_loop
async def test_the_command_writes_what_clients_are_to_trust(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    with ServerProcess(tmp_path, "--tls-self-signed", "--tls-ca-out", str(authority)) as server:
        assert server.ready["url"].startswith("wss://")
        context = ssl.create_default_context(cafile=authority)
        token = mint(user_id=new_id(), device_id=new_id(), key=SECRET)
        async with connect(f"{server.url}?token={token}", ssl=context, proxy=None) as socket:
            der = socket.transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        shown = server.log.read_text()
        fingerprint = x509.load_der_x509_certificate(der).fingerprint(hashes.SHA256()).hex(":").upper()
        assert f"certificate: SHA-256 {fingerprint}" in shown
        assert "PRIVATE KEY" not in authority.read_text()


@in_loop
async def test_a_server_that_does_not_start_leaves_another_ones_authority_alone(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    with ServerProcess(tmp_path, "--tls-self-signed", "--tls-ca-out", str(authority)) as server:
        before, port = authority.read_text(), str(urlsplit(server.url).port)
        result = run("serve", "--port", port, "--tls-self-signed", "--tls-ca-out", str(authority))
        assert result.returncode == 2
        assert authority.read_text() == before
        other = tmp_path / "other.pem"
        assert run("serve", "--port", port, "--tls-self-signed", "--tls-ca-out", str(other)).returncode == 2
        assert not other.exists()
