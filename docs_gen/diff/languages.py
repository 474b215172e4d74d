"""Texts that one regular expression matches and another does not, and whether there are any.

`conformance.derived.patterns` reads the plain kind that the catalogue uses: two of these are followed letter
by letter at once, one letter for all that they treat alike. Of others hypothesis gives samples.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, replace
from functools import cache

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import HypothesisException
from hypothesis.strategies import from_regex

from relaykit.conformance.derived.patterns import ENDLESS, Part, parse
from relaykit.errors import KitDefect

_MOST_STEPS = 100_000
"""A second or two of work; patterns of a protocol need a few hundred."""
_MOST_TEXTS = 24
_SAMPLES = 200
_LONGEST = 256
"""Up to this a length is counted; a longer bound is left aside."""
_ANY_LETTER = 95
"""A class as large as this stands for `.`, of which only the printable letters are known."""
Rest = tuple[Part, ...]
"""What is still to come: a state of an automaton."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What matches one pattern and not the other.

    Attributes:
        texts: some that do, the shortest first; of a pattern that cannot be read, samples that may.
        whole: nothing was left out: without `texts` there are none.
    """

    texts: tuple[str, ...]
    whole: bool


class _TooMuch(Exception):
    """The patterns are too large to be followed."""


class _Steps:
    """What may still be done."""

    def __init__(self) -> None:
        self._left = _MOST_STEPS

    def take(self, weight: int = 1) -> None:
        self._left -= weight
        if self._left < 0:
            raise _TooMuch


def beyond(inner: str, outer: str, least: int = 0, most: int | None = None) -> Compared:
    """Texts that `inner` matches and `outer` does not.

    Args:
        least, most: letters that such a text has at least and at most (None: any number).
    """
    inner_text, outer_text = _digits(inner), _digits(outer)
    if outer_text in (inner_text, inner_text.removeprefix("^").removesuffix("$")):
        return Compared((), whole=True)  # the same, or the same anywhere in a text
    try:
        start, against = parse(_anchored(inner_text)), parse(_anchored(outer_text))
    except KitDefect:
        return Compared(_samples(inner), whole=False)
    texts: list[str] = []
    try:
        for text in _followed(start, against, least, ENDLESS if most is None else most):
            texts.append(text)
            if len(texts) == _MOST_TEXTS:
                return Compared(tuple(texts), whole=False)
    except _TooMuch:
        return Compared(tuple(texts), whole=False)
    exact = all(len(set(part.chars)) < _ANY_LETTER for part in _all_parts((*start, *against)))
    return Compared(tuple(texts), whole=exact and least <= _LONGEST)


def _digits(pattern: str) -> str:
    """A pattern without `\\d`, which in JSON Schema means these ten."""
    within = re.sub(r"\[[^\]]*\]", lambda found: found[0].replace(r"\d", "0-9"), pattern)
    return within.replace(r"\d", "[0-9]")


def _anchored(pattern: str) -> str:
    """A pattern that holds for a whole text; what is before and after it may be anything."""
    start = pattern if pattern.startswith("^") else f"^.*{pattern}"
    return start if start.endswith("$") else f"{start}.*$"


def _followed(start: Rest, against: Rest, least: int, most: int) -> Iterator[str]:
    """Texts that the one matches and the other does not, the shortest first."""
    steps = _Steps()
    alphabet = tuple(_letters((*start, *against)))
    least = min(least, _LONGEST)
    counted = most if most <= _LONGEST else least  # beyond it one length is like the other
    first = (start, frozenset({against}), 0)
    seen = {first}
    waiting = deque([(first, "")])
    while waiting:
        (rest, others, length), text = waiting.popleft()
        if length >= least and _may_end(rest) and not any(map(_may_end, others)):
            yield text
        for letter in alphabet if length < most else ():
            onward = frozenset(after for other in others for after in _after(other, letter, steps))
            for after in _after(rest, letter, steps):
                state = (after, onward, min(length + 1, counted))
                if state not in seen:
                    steps.take(1 + len(onward))
                    seen.add(state)
                    waiting.append((state, text + letter))


@cache
def _samples(pattern: str) -> tuple[str, ...]:
    """Texts that a pattern matches, the same each time; none if Python cannot read it either."""
    found: dict[str, None] = {}

    @settings(
        database=None,
        derandomize=True,
        deadline=None,
        max_examples=_SAMPLES,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(from_regex(pattern, fullmatch=True))
    def collect(text: str) -> None:
        found[text] = None

    try:
        collect()
    except (re.error, HypothesisException):
        return ()
    return tuple(found)


def _all_parts(parts: Iterable[Part]) -> Iterator[Part]:
    for part in parts:
        yield part
        yield from _all_parts(part.inner)


def _letters(parts: Rest) -> Iterator[str]:
    """One letter for each set of letters that stand in the same classes."""
    classes = {part.chars for part in _all_parts(parts) if part.chars}
    seen: set[frozenset[str]] = set()
    for letter in sorted(set().union(*classes)):
        alike = frozenset(chars for chars in classes if letter in chars)
        if alike not in seen:
            seen.add(alike)
            yield letter


def _may_end(rest: Rest) -> bool:
    return all(part.least == 0 or (not part.chars and _may_end(part.inner)) for part in rest)


def _after(rest: Rest, letter: str, steps: _Steps) -> Set[Rest]:
    """Everything that may still come after a letter."""
    found: set[Rest] = set()
    open_ = [rest]
    seen = {rest}
    while open_:
        steps.take()
        current = open_.pop()
        if not current:
            continue
        part, tail = current[0], current[1:]
        onward = (*_once_less(part), *tail)
        if part.chars:
            if letter in part.chars:
                found.add(onward)
            nexts = [tail] if part.least == 0 else []
        else:
            nexts = [(*part.inner, *onward)] + ([tail] if part.least == 0 else [])
        for each in nexts:
            if each not in seen:
                seen.add(each)
                open_.append(each)
    return found


def _once_less(part: Part) -> Rest:
    most = part.most if part.most >= ENDLESS else part.most - 1
    return (replace(part, least=max(0, part.least - 1), most=most),) if most else ()
