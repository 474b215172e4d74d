"""Tokens that the suite does not sign itself: asked for over HTTP or by a command, or given beforehand."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import ssl
from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Protocol

from relaykit.conformance.stops import UntestableError
from relaykit.conformance.templates import LIFETIME, filled, names_in
from relaykit.conformance.token_spec import (
    DEFAULT_LIFETIME_S,
    CommandTokens,
    HttpTokens,
    Identity,
    Minting,
    TokenSource,
)
from relaykit.pointers import at_pointer

if TYPE_CHECKING:
    import aiohttp

_AT_ONCE = 8
_SHOWN = 300
_MAX_TOKEN = 65536
_LONGEST = 2**20
"""No answer of an issuer is longer, and no command prints more."""
_CHUNK = 65536
_LAST_WORDS_S = 2.0
"""What a command that was killed has written is read for so long."""


class Stream(Protocol):
    """What `asyncio` and `aiohttp` read from."""

    async def read(self, n: int = -1, /) -> bytes: ...


class TooMuchError(Exception):
    """A stream holds more than is taken."""


class TokenError(Exception):
    """No token was given out; the message says what came instead."""


class Issuer:
    """Gives tokens for users and devices, from wherever the target file says.

    Args:
        seconds: within which a token must be there.
        secret: is told every token that does not look like one.
        tls: for https://; None: as the system trusts.
    """

    def __init__(
        self,
        source: TokenSource,
        seconds: float,
        secret: Callable[[str], None],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.source = source
        self._seconds = seconds
        self._secret = secret
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None
        self._few = asyncio.Semaphore(_AT_ONCE)
        self._free = deque(source if isinstance(source, tuple) else ())

    @property
    def fixed(self) -> bool:
        """Whether there are only so many users, which the cases must share."""
        return isinstance(self.source, tuple)

    def lease(self, devices: int) -> Identity:
        """A fixed user with so many devices: of those with the fewest, who has been out of use for longest.

        Raises:
            UntestableError: there is none left.
        """
        fit = [identity for identity in self._free if len(identity.devices) >= devices]
        if fit:  # those with more devices are kept for who needs them
            chosen = min(fit, key=lambda identity: len(identity.devices))
            self._free.remove(chosen)
            return chosen
        more = "one with one device" if devices == 1 else f"one with {devices} devices"
        raise UntestableError(
            f"needs more users than tokens.identities lists: {more} is missing (list it there, or let the "
            "suite make users up: tokens.mint or tokens.fetch)"
        )

    def give_back(self, identities: Collection[Identity]) -> None:
        """These users are free for other cases."""
        self._free.extend(identities)

    @property
    def asks_for_lifetime(self) -> bool:
        """Whether where tokens are fetched it is said how long they are to be valid."""
        match self.source:
            case HttpTokens() as spec:
                return LIFETIME in names_in([spec.url, spec.headers, spec.body])
            case CommandTokens() as spec:
                return LIFETIME in names_in(list(spec.words))
            case _:
                return False

    async def token(self, user_id: str, device_id: str, lifetime_s: int = DEFAULT_LIFETIME_S) -> str:
        """A token for this device of this user.

        Args:
            lifetime_s: how many seconds it is to be valid, where the source asks for that.

        Raises:
            TokenError: none was given out.
            UntestableError: the fixed tokens have none for this device.
        """
        names: dict[str, str | int] = {"user_id": user_id, "device_id": device_id, LIFETIME: lifetime_s}
        match self.source:
            case Minting():
                raise TypeError("tokens are minted")
            case HttpTokens() as spec:
                async with self._few:
                    token = await self._fetch(spec, names)
            case CommandTokens() as spec:
                async with self._few:
                    token = await self._run(spec, names)
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

    async def _fetch(self, spec: HttpTokens, names: Mapping[str, str | int]) -> str:
        import aiohttp  # only here: it takes long to load

        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._seconds))
        headers = {name: str(filled(value, names)) for name, value in spec.headers.items()}
        if spec.bearer is not None:
            headers["Authorization"] = f"Bearer {spec.bearer}"
        body = {} if spec.body is None else {"json": filled(spec.body, names)}
        url = filled(spec.url, names)
        try:
            async with self._session.request(
                spec.method, url, headers=headers, ssl=self._tls or True, **body
            ) as response:
                status = response.status
                answer = (await _at_most(response.content, _LONGEST)).decode("utf-8", "replace")
        except TimeoutError:
            raise TokenError(f"{spec.method} {url}: no answer within {self._seconds:g} s") from None
        except TooMuchError:
            raise TokenError(f"{spec.method} {url}: the answer is longer than {_LONGEST} bytes") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise TokenError(f"{spec.method} {url}: {error}") from error
        if status >= 300:
            raise TokenError(f"{spec.method} {url}: HTTP {status} {answer[:_SHOWN]}")
        if spec.pointer is None:
            return answer.strip()
        # What came is not shown from here on: it may be a token in another place.
        try:
            token = at_pointer(json.loads(answer), spec.pointer)
        except (ValueError, RecursionError):
            raise TokenError(f"{spec.method} {url}: the answer is not JSON") from None
        if not isinstance(token, str):
            raise TokenError(f"{spec.method} {url}: the answer has no text at {spec.pointer}")
        return token

    async def _run(self, spec: CommandTokens, names: Mapping[str, str | int]) -> str:
        words = [str(filled(word, names)) for word in spec.words]
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
        assert process.stdout is not None and process.stderr is not None
        readers = (
            asyncio.create_task(_at_most(process.stdout, _LONGEST)),
            asyncio.create_task(_last(process.stderr, _SHOWN)),
        )
        try:
            async with asyncio.timeout(self._seconds):
                out, err = await asyncio.gather(*readers)
                await process.wait()
        except TimeoutError:
            raise TokenError(f"{words[0]} did not end within {self._seconds:g} s") from None
        except TooMuchError:
            raise TokenError(f"{words[0]} printed more than {_LONGEST} bytes") from None
        finally:
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                # Its end is known once nothing is left to read.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LAST_WORDS_S):
                        await asyncio.gather(_last(process.stdout, 0), _last(process.stderr, 0))
                await process.wait()
        if process.returncode != 0:
            said = err.decode("utf-8", "replace").strip()
            raise TokenError(f"{words[0]} ended with exit status {process.returncode}: {said}")
        return out.decode("utf-8", "replace").strip()


async def _at_most(stream: Stream, most: int) -> bytes:
    """All that a stream holds.

    Raises:
        TooMuchError: that is more than so many bytes.
    """
    data = b""
    while chunk := await stream.read(_CHUNK):
        data += chunk
        if len(data) > most:
            raise TooMuchError
    return data


async def _last(stream: Stream, most: int) -> bytes:
    """The last bytes of a stream, of which the rest is thrown away."""
    data = b""
    while chunk := await stream.read(_CHUNK):
        data = (data + chunk)[-most:] if most else b""
    return data
