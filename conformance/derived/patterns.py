"""Texts that a regular expression of the catalogue matches, or only just does not.

The catalogue's patterns are of the plain kind that every engine reads alike: literals, classes, groups and
quantifiers between `^` and `$`. That is read here, and nothing else; a pattern of another kind is refused,
so that no constraint is passed over in silence.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from relaykit.errors import KitDefect

ENDLESS = 2**31
"""Stands for the missing upper bound of `+` and `*`."""
_MORE = 24
"""How much of something unbounded is made up."""
_PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
_QUANTIFIER = re.compile(r"\{([0-9]+)(?:(,)([0-9]*))?\}")
_MARKS = {"?": (0, 1), "*": (0, ENDLESS), "+": (1, ENDLESS)}


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a pattern: one of these characters, or these parts in a row; so many times."""

    chars: str
    inner: tuple[Part, ...]
    least: int
    most: int

    @property
    def wide(self) -> int:
        """As often as it may be there, cut to something handy."""
        return min(self.most, self.least + _MORE)


@cache
def parse(pattern: str) -> tuple[Part, ...]:
    """The parts of a pattern.

    Raises:
        KitDefect: it uses what is not understood here.
    """
    if not (pattern.startswith("^") and pattern.endswith("$")):
        raise KitDefect(f"the pattern {pattern!r} does not hold for the whole text")
    reader = _Reader(pattern, pattern[1:-1])
    parts = reader.sequence()
    if reader.at != len(reader.text):
        raise reader.error()
    return parts


class _Reader:
    def __init__(self, pattern: str, text: str) -> None:
        self.pattern = pattern
        self.text = text
        self.at = 0

    def error(self) -> KitDefect:
        return KitDefect(f"the pattern {self.pattern!r} is beyond what derived cases can read")

    def sequence(self) -> tuple[Part, ...]:
        parts: list[Part] = []
        while self.at < len(self.text) and self.text[self.at] != ")":
            parts.append(self.part())
        return tuple(parts)

    def part(self) -> Part:
        chars = ""
        inner: tuple[Part, ...] = ()
        sign = self.take()
        if sign == "(":
            inner = self.sequence()
            if self.at >= len(self.text) or self.take() != ")":
                raise self.error()
        elif sign == "[":
            chars = self.charset()
        elif sign == "\\":
            chars = self.take()
            if chars.isalnum():
                raise self.error()
        elif sign in "|?*+{^$":
            raise self.error()
        else:
            chars = _PRINTABLE if sign == "." else sign
        least, most = self.quantifier()
        return Part(chars, inner, least, most)

    def take(self) -> str:
        if self.at >= len(self.text):
            raise self.error()
        self.at += 1
        return self.text[self.at - 1]

    def charset(self) -> str:
        end = self.text.find("]", self.at)
        body = self.text[self.at : end]
        if end < 0 or not body or body[0] == "^" or "\\" in body:
            raise self.error()
        self.at = end + 1
        found = ""
        while body:
            if len(body) > 2 and body[1] == "-":
                found += "".join(map(chr, range(ord(body[0]), ord(body[2]) + 1)))
                body = body[3:]
            else:
                found += body[0]
                body = body[1:]
        return found

    def quantifier(self) -> tuple[int, int]:
        sign = self.text[self.at : self.at + 1]
        if sign and sign in _MARKS:
            self.at += 1
            return _MARKS[sign]
        found = _QUANTIFIER.match(self.text, self.at)
        if found is None:
            return 1, 1
        self.at = found.end()
        least = int(found[1])
        if found[2] is None:
            return least, least
        return least, int(found[3]) if found[3] else ENDLESS


def shortest(pattern: str) -> str:
    """A text that matches, as short as can be."""
    return "".join(_made(part, part.least) for part in parse(pattern))


def _made(part: Part, times: int) -> str:
    return (part.chars[0] if part.chars else "".join(_made(p, p.least) for p in part.inner)) * times


def bounds(pattern: str) -> Iterator[tuple[str, str]]:
    """(name, text): each quantifier at its lower and its upper bound (at something long, if it has none)."""
    yield from ((name, text) for name, text, fits in _counted(pattern) if fits)


def beyond(pattern: str) -> Iterator[tuple[str, str]]:
    """(name, text): each quantifier one below its lower and one above its upper bound, and a character that
    a class does not hold. Whether the text does not match after all is for the caller to see."""
    yield from ((name, text) for name, text, fits in _counted(pattern) if not fits)
    parts = parse(pattern)
    for number, part in enumerate(parts, 1):
        if len(part.chars) > 1 and part.most:
            alien = next(sign for sign in "g~!\x7f" if sign not in part.chars)
            count = max(part.least, 1)
            yield f"character-{number}", _with(parts, number, part.chars[0] * (count - 1) + alien)


def _counted(pattern: str) -> Iterator[tuple[str, str, bool]]:
    parts = parse(pattern)
    for number, part in enumerate(parts, 1):
        if part.least == part.most == 1:
            continue
        counts = [(part.least, True), (part.least - 1, False)]
        if part.most != part.least:
            counts.append((part.wide, True))
        if part.most < ENDLESS:
            counts.append((part.most + 1, False))
        for count, fits in counts:
            if count >= 0:
                yield f"part-{number}-times-{count}", _with(parts, number, _made(part, count)), fits


def _with(parts: tuple[Part, ...], number: int, text: str) -> str:
    others = [_made(part, max(part.least, 0)) for part in parts]
    return "".join((*others[: number - 1], text, *others[number:]))


def sampled(pattern: str, rng: random.Random) -> str:
    """A random text that matches."""
    return "".join(_random(part, rng) for part in parse(pattern))


def _random(part: Part, rng: random.Random) -> str:
    times = part.least if part.most == part.least else rng.randint(part.least, part.wide)
    if part.chars:
        return "".join(rng.choices(part.chars, k=times))
    return "".join(_random(inner, rng) for _ in range(times) for inner in part.inner)


@cache
def matches(pattern: str, text: str) -> bool:
    """Whether it matches as ECMA 262 has it: `$` is the end, and nothing before it."""
    return re.search(re.sub(r"\$$", r"\\Z", pattern), text) is not None
