"""Configurations in which defects show: how the server is set up, and what a target file says of it.

Both are templates: `{dir}` is a folder of the run, `{port}` and `{control_port}` are free ports. The secrets
come from the environment: RELAYKIT_SECRET signs tokens, RELAYKIT_CONTROL_TOKEN opens the control interface.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from relaykit.schemas import load_catalogue

STANDARD = "standard"
_PREVIOUS = {"file": "{dir}/previous.txt"}
_HS256 = {"algorithm": "HS256", "secret": {"env": "RELAYKIT_SECRET"}}
# Small, so that reaching them costs little; what is slow here is slow everywhere.
_LIMITS = {"connections_per_user": 6, "burst": 60}


@dataclass(frozen=True, slots=True)
class Setup:
    """One configuration.

    Attributes:
        config: the server's configuration file.
        target: the target file that describes the server then.
        files: that stand in the folder of the run: name → text. Keys are made anew each time.
        sound: whether a server without a defect is as the target file says.
    """

    config: Mapping[str, Any]
    target: Mapping[str, Any]
    files: Mapping[str, str] = field(default_factory=dict)
    sound: bool = True


def _es256(name: str) -> dict[str, Any]:
    return {"algorithm": "ES256", "pem": {"file": f"{{dir}}/{name}"}}


def _minted(name: str) -> dict[str, Any]:
    return {"algorithm": "ES256", "key": {"file": f"{{dir}}/{name}"}}


def _private_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def setups() -> Mapping[str, Setup]:
    """Name → configuration."""
    protocol = load_catalogue().protocol
    limits = {name: limit.default for name, limit in protocol.limits.items() if not limit.fixed} | _LIMITS
    timing = {name: limit.default for name, limit in protocol.timing.items()}
    config: dict[str, Any] = {"store": "{dir}/store.db", "keys": [_HS256], "limits": limits}
    target: dict[str, Any] = {
        "url": f"ws://127.0.0.1:{{port}}{protocol.path}",
        "tokens": {"mint": {"secret": {"env": "RELAYKIT_SECRET"}}},
        "control": {
            "http": {"url": "http://127.0.0.1:{control_port}", "token": {"env": "RELAYKIT_CONTROL_TOKEN"}}
        },
        "limits": limits,
        "timing": timing,
        "legacy": {"query": "frames=1"},
        "capabilities": dict.fromkeys(protocol.capabilities, True),
    }
    few = {**limits, "waiting_per_user": 80}
    return MappingProxyType(
        {
            STANDARD: Setup(config, target),
            "no-legacy": Setup(
                {**config, "legacy_frames": False},
                {**target, "capabilities": {**target["capabilities"], "legacy_frames": False}},
            ),
            "few-waiting": Setup({**config, "limits": few}, {**target, "limits": few}),
            # The server answers at its own path only; what the target file says is for one that does not.
            "another-path": Setup(config, {**target, "url": "ws://127.0.0.1:{port}/socket"}, sound=False),
            "with-origin": Setup(
                {**config, "origins": ["https://app.example.org"]},
                {**target, "headers": {"Origin": "https://app.example.org"}},
            ),
            "public-key": Setup(
                {**config, "keys": [_es256("key.pem")]},
                {**target, "tokens": {"mint": _minted("key.pem")}},
                {"key.pem": _private_key()},
            ),
            "two-algorithms": Setup(
                {**config, "keys": [_HS256, _es256("key.pem")]},
                {**target, "tokens": {**target["tokens"], "previous": _minted("key.pem")}},
                {"key.pem": _private_key()},
            ),
            "two-secrets": Setup(
                {**config, "keys": [_HS256, {"algorithm": "HS256", "secret": _PREVIOUS}]},
                {**target, "tokens": {**target["tokens"], "previous": {"secret": _PREVIOUS}}},
                {"previous.txt": secrets.token_hex(32)},
            ),
            "tls": Setup(
                {**config, "tls_self_signed": True, "tls_ca_out": "{dir}/ca.pem"},
                {
                    **target,
                    "url": f"wss://127.0.0.1:{{port}}{protocol.path}",
                    "tls": {"ca_file": "{dir}/ca.pem"},
                },
            ),
        }
    )
