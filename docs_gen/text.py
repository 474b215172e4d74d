"""Small words: lists, inline markup, slugs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Literal

from markupsafe import Markup

Piece = tuple[Literal["text", "code", "link"], str, str]
"""What it is, its words, and for a link its target."""

# A target is a page of the site: no scheme, so that no text of a schema can make another kind of link.
# As in Markdown, code that holds backticks stands between more of them.
_INLINE = re.compile(
    r"(?<!`)(`+)(?!`)([\s\S]+?)(?<!`)\1(?!`)|\[((?:[^\[\]`]|`[^`]*`)+)\]\(([a-z0-9_/-]*(?:#[A-Za-z0-9_.-]+)?)\)"
)
_REQUIREMENT = re.compile(r"\b[A-Z]{2,5}-[0-9]{2,}\b")


def either(words: Sequence[str], joint: str = "or") -> str:
    """`a`, `a or b`, `a, b or c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {joint} {words[-1]}" if words else ""


def drawn(html: str) -> Markup:
    """HTML that a function has put together out of escaped pieces: templates leave it alone."""
    return Markup(html)  # noqa: S704  (the one place where text is declared to be HTML)


def number(value: float) -> str:
    """A number without a needless fraction."""
    return str(int(value)) if float(value).is_integer() else str(value)


def slug(text: str) -> str:
    """An anchor made of a heading."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower().replace("`", "")).strip("-")


def code(words: Iterable[str]) -> list[str]:
    """Words set as code."""
    return [coded(word) for word in words]


def coded(word: str) -> str:
    """A word set as code, whatever it holds; an empty one as the JSON that it is."""
    if "`" not in word:
        return f"`{word}`" if word else '`""`'
    marks = "`" * (1 + max(map(len, re.findall("`+", word))))
    return f"{marks} {word} {marks}"


def _bare(word: str) -> str:
    """What `coded` has set, without the blanks that keep its backticks apart."""
    return word[1:-1] if "`" in word and word.startswith(" ") and word.endswith(" ") else word


def sentence(text: str) -> str:
    """With a full stop."""
    return text if text.endswith((".", "!", "?", ":")) else f"{text}."


@cache
def pieces(text: str) -> tuple[Piece, ...]:
    """Take the inline markup of a text apart."""
    found: list[Piece] = []
    at = 0
    for match in _INLINE.finditer(text):
        if match.start() > at:
            found.append(("text", text[at : match.start()], ""))
        found.append(("code", _bare(match[2]), "") if match[1] else ("link", match[3], match[4]))
        at = match.end()
    if at < len(text):
        found.append(("text", text[at:], ""))
    return tuple(found)


def with_requirements(text: str, known: Callable[[str], str | None]) -> list[Piece]:
    """Split plain text at requirement IDs that are known, which become links."""
    found: list[Piece] = []
    at = 0
    for match in _REQUIREMENT.finditer(text):
        target = known(match[0])
        if target:
            if match.start() > at:
                found.append(("text", text[at : match.start()], ""))
            found.append(("link", match[0], target))
            at = match.end()
    if at < len(text):
        found.append(("text", text[at:], ""))
    return found


def is_requirement(word: str) -> bool:
    """Whether it has the form of a requirement's ID, which is unique among all that has a name."""
    return _REQUIREMENT.fullmatch(word) is not None


def plain(text: str) -> str:
    """A text without its inline markup."""
    return "".join(plain(words) if kind == "link" else words for kind, words, _ in pieces(text))
