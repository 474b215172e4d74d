"""Keeps secrets and tokens out of logs, reports and error messages."""

from __future__ import annotations

import html
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

from relaykit.errors import RelaykitError

REDACTED = "‹redacted›"

# Anything that looks like a signed token (header and payload start with base64url of '{"'), whole or cut off,
# or like the base64 of one.
_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*){0,2}|ZXlK[A-Za-z0-9+/_=-]{8,}")
_QUERY = re.compile(r"(\b(?:token|access_token)=)[^&#\s\"']+")
# After "Bearer" any word that cannot be prose: with a digit or a sign in it, or very long.
_BEARER = re.compile(
    r"(?i)(\bBearer[ ,]+)(?!‹)(?=[A-Za-z]*[0-9._~+/=-][A-Za-z0-9]|[A-Za-z]{20})[A-Za-z0-9._~+/=-]{6,}"
)

_SHORT = 6
"""A shorter secret is ignored: it would blot out ordinary text."""
_SHORT_BASE64 = 8
_FEW = 64
"""So many are looked for one by one; of more, only those whose first characters stand in the text."""

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")


class Redactor:
    """Replaces known secrets, and whatever looks like a token, in text and in nested values."""

    def __init__(self, *secrets: str) -> None:
        self._spellings: set[str] = set()
        self._by_start: dict[str, list[str]] = {}
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> None:
        """Register a secret, in whatever common spelling it may be repeated. Very short ones are ignored."""
        if _TOKEN.fullmatch(secret):
            secret = secret.rpartition(".")[2]  # the rest is known by its looks
        if len(secret) < _SHORT:
            return
        for spelling in {secret, *_spelt(secret)} - self._spellings:
            self._spellings.add(spelling)
            self._by_start.setdefault(spelling[:_SHORT], []).append(spelling)

    def text(self, text: str) -> str:
        """Return `text` without secrets and tokens."""
        if "eyJ" in text or "ZXlK" in text:
            text = _TOKEN.sub(REDACTED, text)
        if "token=" in text:
            text = _QUERY.sub(rf"\g<1>{REDACTED}", text)
        if "bearer" in text.lower():
            text = _BEARER.sub(rf"\g<1>{REDACTED}", text)
        return self._known(text)

    def error(self, error: RelaykitError) -> RelaykitError:
        """An error like this one: what a target answers, or a launched one wrote, may hold a token."""
        return type(error)(self.text(str(error)), hint=self.text(error.hint or "") or None)

    def deep(self, value: Any, *, opaque: bool = False) -> Any:
        """Return `value` (anything JSON can hold) with every string, keys included, redacted.

        Args:
            opaque: leave base64 as it is in which no more of a token can be than its header, which is no
                secret: a frame with such a value stays valid.
        """
        if isinstance(value, str):
            return self.text(value) if not (opaque and _is_opaque(value)) else self._known(value)
        if isinstance(value, dict):
            return {self.text(str(key)): self.deep(item, opaque=opaque) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.deep(item, opaque=opaque) for item in value]
        return value

    def _known(self, text: str) -> str:
        found = [spelling for spelling in self._perhaps(text) if spelling in text]
        for spelling in sorted(found, key=len, reverse=True):
            text = text.replace(spelling, REDACTED)
        return text

    def _perhaps(self, text: str) -> Iterable[str]:
        if len(self._spellings) <= _FEW:
            return self._spellings
        starts = {text[at : at + _SHORT] for at in range(len(text) - _SHORT + 1)}
        return [each for start in starts if start in self._by_start for each in self._by_start[start]]


def _spelt(secret: str) -> Iterator[str]:
    """How else a server may repeat it: escaped for URLs (once or twice), JSON or HTML, in hex, in base64."""
    for safe in ("", "/"):
        escaped = quote(secret, safe=safe)
        for form in (escaped, re.sub("%..", lambda found: found[0].lower(), escaped)):
            yield from (form, quote(form, safe=safe))
    as_json = json.dumps(secret)[1:-1]
    yield from (as_json, as_json.replace("/", "\\/"), html.escape(secret))
    content = secret.encode(errors="surrogatepass")
    yield from (content.hex(), content.hex().upper())
    for before in range(3):  # whatever stands before and after it shares its first and last characters
        written = b64encode(bytes(before) + content).decode()
        inner = written[(before * 8 + 5) // 6 : (before + len(content)) * 8 // 6]
        for form in (inner, *((written, written.rstrip("=")) if before == 0 else ())):
            if len(form) >= _SHORT_BASE64:
                yield from (form, form.replace("+", "-").replace("/", "_"))


def _is_opaque(text: str) -> bool:
    """Whether a text is base64 without a token in it: there is no dot in what it says."""
    if _BASE64.fullmatch(text) is None:
        return False
    _, found, rest = text.rstrip("=").partition("ZXlK")
    return not found or b"." not in b64decode(f"ZXlK{rest[: len(rest) // 4 * 4]}", altchars=b"-_")
