"""Tokens that the suite does not sign itself: asked for over HTTP or by a command, or given beforehand."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from relaykit.conformance.matching import pointer_get
from relaykit.conformance.stops import UntestableError
from relaykit.conformance.token_spec import CommandTokens, HttpTokens, Identity, Minting, TokenSource

if TYPE_CHECKING:
    import aiohttp

_AT_ONCE = 8
_SHOWN = 300
_MAX_TOKEN = 65536


class TokenError(Exception):
    """No token was given out; the message says what came instead."""


class Issuer:
    """Gives tokens for users and devices, from wherever the target file says.

    Args:
        seconds: within which a token must be there.
        secret: is told every token that does not look like one.
    """

    def __init__(self, source: TokenSource, seconds: float, secret: Callable[[str], None]) -> None:
        self.source = source
        self._seconds = seconds
        self._secret = secret
        self._session: aiohttp.ClientSession | None = None
        self._few = asyncio.Semaphore(_AT_ONCE)
        self._free = deque(source if isinstance(source, tuple) else ())

    @property
    def fixed(self) -> bool:
        """Whether there are only so many users, which the cases must share."""
        return isinstance(self.source, tuple)

    def lease(self, devices: int) -> Identity:
        """A fixed user with so many devices, the one that has been out of use for longest.

        Raises:
            UntestableError: there is none left.
        """
        for identity in self._free:
            if len(identity.devices) >= devices:
                self._free.remove(identity)
                return identity
        more = "one with one device" if devices == 1 else f"one with {devices} devices"
        raise UntestableError(f"needs more users than tokens.identities lists: {more} is missing")

    def give_back(self, identities: Collection[Identity]) -> None:
        """These users are free for other cases."""
        self._free.extend(identities)

    async def token(self, user_id: str, device_id: str) -> str:
        """A token for this device of this user.

        Raises:
            TokenError: none was given out.
            UntestableError: the fixed tokens have none for this device.
        """
        match self.source:
            case Minting():
                raise TypeError("tokens are minted")
            case HttpTokens() as spec:
                async with self._few:
                    token = await self._fetch(spec, {"user_id": user_id, "device_id": device_id})
            case CommandTokens() as spec:
                async with self._few:
                    token = await self._run(spec, {"user_id": user_id, "device_id": device_id})
            case identities:
                for identity in identities:
                    if identity.user_id == user_id and device_id in identity.devices:
                        return identity.devices[device_id]
                raise UntestableError("needs a token that tokens.identities does not list")
        if not token or len(token) > _MAX_TOKEN or not token.isascii() or not token.isprintable():
            raise TokenError("what was given out is no token: it is empty, too long, or not printable")
        if not token.startswith("eyJ"):
            self._secret(token)
        return token

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _fetch(self, spec: HttpTokens, names: Mapping[str, str]) -> str:
        import aiohttp  # only here: it takes long to load

        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._seconds))
        headers = {name: _filled(value, names) for name, value in spec.headers.items()}
        if spec.bearer is not None:
            headers["Authorization"] = f"Bearer {spec.bearer}"
        body = {} if spec.body is None else {"json": _filled(spec.body, names)}
        url = _filled(spec.url, names)
        try:
            async with self._session.request(spec.method, url, headers=headers, **body) as response:
                status, answer = response.status, await response.text(errors="replace")
        except TimeoutError:
            raise TokenError(f"{spec.method} {url}: no answer within {self._seconds:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise TokenError(f"{spec.method} {url}: {error}") from error
        if status >= 300:
            raise TokenError(f"{spec.method} {url}: HTTP {status} {answer[:_SHOWN]}")
        if spec.pointer is None:
            return answer.strip()
        # What came is not shown from here on: it may be a token in another place.
        try:
            token = pointer_get(json.loads(answer), spec.pointer)
        except (ValueError, RecursionError):
            raise TokenError(f"{spec.method} {url}: the answer is not JSON") from None
        if not isinstance(token, str):
            raise TokenError(f"{spec.method} {url}: the answer has no text at {spec.pointer}")
        return token

    async def _run(self, spec: CommandTokens, names: Mapping[str, str]) -> str:
        words = [_filled(word, names) for word in spec.words]
        try:
            process = await asyncio.create_subprocess_exec(
                *words,
                cwd=spec.folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise TokenError(f"{words[0]} cannot be run: {error}") from error
        try:
            async with asyncio.timeout(self._seconds):
                out, err = await process.communicate()
        except TimeoutError:
            raise TokenError(f"{words[0]} did not end within {self._seconds:g} s") from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if process.returncode != 0:
            said = err[-_SHOWN:].decode("utf-8", "replace").strip()
            raise TokenError(f"{words[0]} ended with exit status {process.returncode}: {said}")
        return out.decode("utf-8", "replace").strip()


def _filled(value: Any, names: Mapping[str, str]) -> Any:
    """The value with the names in all of its texts."""
    if isinstance(value, str):
        for name, text in names.items():
            value = value.replace(f"{{{name}}}", text)
        return value
    if isinstance(value, Mapping):
        return {key: _filled(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, names) for item in value]
    return value
