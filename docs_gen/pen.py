"""Pens: what a template writes with. One per page and output: links, IDs and inline texts differ."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token as Mark
from markupsafe import Markup, escape

from relaykit.docs_gen import diagrams, model, svg
from relaykit.docs_gen.links import Names
from relaykit.docs_gen.text import coded, drawn, is_requirement, pieces, plain, slug, with_requirements
from relaykit.schemas import Direction


@dataclass(frozen=True, slots=True)
class HtmlPen:
    """Writes HTML, for one page of many or for a section of a single file.

    Attributes:
        page: the target of the page.
        prefer: the direction that a type in a text means where both exist.
        single: all pages are sections of one document.
    """

    page: str
    names: Names
    prefer: Direction | None = None
    single: bool = False

    @property
    def root(self) -> str:
        return "../" * self.page.count("/")

    @property
    def section(self) -> str:
        return self.page.replace("/", ".")

    def href(self, target: str) -> str:
        """The link to a target."""
        page, _, anchor = target.partition("#")
        if self.single:
            if is_requirement(anchor):
                return f"#{anchor}"
            return f"#{(page or self.page).replace('/', '.')}" + (f"--{anchor}" if anchor else "")
        suffix = f"#{anchor}" if anchor else ""
        return (
            suffix if page in ("", self.page) and suffix else f"{self.root}{page or self.page}.html{suffix}"
        )

    def file(self, name: str) -> str:
        """The link to a file of the site that is no page."""
        return f"{self.root}{name}"

    def id(self, name: str) -> str:
        """An element ID, unique in the document."""
        return f"{self.section}--{name}" if self.single and not is_requirement(name) else name

    def text(self, text: str) -> Markup:
        """An inline text: code, links, known names linked."""
        return drawn("".join(self._inline(text, linked=True)))

    def bare(self, text: str) -> Markup:
        """An inline text without links, for headings and inside links."""
        return drawn("".join(self._inline(text, linked=False)))

    def _inline(self, text: str, *, linked: bool) -> Iterable[str]:
        for kind, words, target in pieces(text):
            if kind == "code":
                yield self.word(words) if linked else f"<code>{escape(words)}</code>"
            elif kind == "link":
                yield f'<a href="{escape(self.href(target))}">{self.bare(words)}</a>'
            elif not linked:
                yield str(escape(words))
            else:
                for inner, some, to in with_requirements(words, self.names.requirement):
                    shown = escape(some)
                    yield f'<a href="{escape(self.href(to))}">{shown}</a>' if inner == "link" else shown

    def word(self, word: str) -> str:
        """A word of code, linked if it is the name of something that has a place of its own."""
        target = self.names.word(word, self.prefer)
        shown = f"<code>{escape(word)}</code>"
        if target is None or (target.partition("#")[0] == self.page and "#" not in target):
            return shown
        return f'<a href="{escape(self.href(target))}">{shown}</a>'

    def prose(self, text: str) -> Markup:
        """Markdown of a guide."""
        markdown, env = _markdown(), {"pen": self}
        tokens = markdown.parse(text, env)
        _label_cells(tokens)
        return drawn(markdown.renderer.render(tokens, markdown.options, env))

    def json(self, lines: tuple[model.Line, ...]) -> Markup:
        """Lines of JSON, coloured."""
        return drawn("\n".join(_line(line) for line in lines))

    def sequence(self, diagram: diagrams.Sequence) -> Markup:
        return svg.sequence_svg(diagram, self.id(f"svg-{diagram.id}"))

    def states(self, diagram: diagrams.StateDiagram) -> Markup:
        return svg.states_svg(diagram, self.id(f"svg-{diagram.id}"))


_SHORT = {"str": "s", "num": "n", "word": "n"}


def _line(line: model.Line) -> str:
    text = "".join(
        f'<i class="{_SHORT[token.kind]}">{html.escape(token.text, quote=False)}</i>'
        if token.kind in _SHORT
        else html.escape(token.text, quote=False)
        for token in line.tokens
    )
    return f'<mark class="fault">{text}</mark>' if line.marked else text


@cache
def _markdown() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    for name, rule in (
        ("code_inline", _code_inline),
        ("heading_open", _heading_open),
        ("link_open", _link_open),
        ("table_open", _table_open),
        ("table_close", _table_close),
        ("fence", _fence),
        ("text", _text),
    ):
        markdown.add_render_rule(name, rule)
    return markdown


def _in_link(tokens: Sequence[Mark], place: int) -> bool:
    kinds = [token.type for token in tokens[:place]]
    return kinds.count("link_open") > kinds.count("link_close")


def _label_cells(tokens: Sequence[Mark]) -> None:
    """Give cells the heading of their column, which a phone shows: there they stand one below the other."""
    heads: list[str] = []
    column = 0
    for token, inside in pairwise(tokens):
        if token.type == "table_open":
            heads = []
        elif token.type == "tr_open":
            column = 0
        elif token.type == "th_open":
            heads.append(plain(inside.content))
        elif token.type == "td_open":
            if column > 1:  # the first two speak for themselves
                token.attrSet("data-label", heads[column])
            column += 1


def _table_open(_self: object, _tokens: Sequence[Mark], _place: int, _options: Any, _env: Any) -> str:
    return '<div class="scroll" tabindex="0" role="group" aria-label="Table"><table class="cut">'


def _table_close(_self: object, _tokens: Sequence[Mark], _place: int, _options: Any, _env: Any) -> str:
    return "</table></div>"


def _code_inline(_self: object, tokens: Sequence[Mark], place: int, _options: Any, env: Any) -> str:
    content = tokens[place].content
    pen: HtmlPen = env["pen"]
    return f"<code>{escape(content)}</code>" if _in_link(tokens, place) else pen.word(content)


def _text(_self: object, tokens: Sequence[Mark], place: int, _options: Any, env: Any) -> str:
    content = tokens[place].content
    pen: HtmlPen = env["pen"]
    if _in_link(tokens, place):
        return str(escape(content))
    return "".join(
        f'<a href="{escape(pen.href(to))}">{escape(words)}</a>' if kind == "link" else str(escape(words))
        for kind, words, to in with_requirements(content, pen.names.requirement)
    )


def _heading_open(_self: object, tokens: Sequence[Mark], place: int, _options: Any, env: Any) -> str:
    name = env["pen"].id(slug(tokens[place + 1].content))
    return f'<{tokens[place].tag} id="{escape(name)}">'


def _link_open(_self: object, tokens: Sequence[Mark], place: int, _options: Any, env: Any) -> str:
    target = str(tokens[place].attrGet("href") or "")
    return f'<a href="{escape(env["pen"].href(target))}">'


def _fence(_self: object, tokens: Sequence[Mark], place: int, _options: Any, _env: Any) -> str:
    return (
        '<div class="code"><button class="copy" type="button">Copy</button>'
        f'<pre tabindex="0"><code>{escape(tokens[place].content.rstrip())}</code></pre></div>'
    )


_SPECIAL = re.compile(r"([\\*_<>|\[\]#`]|&(?=#?\w+;))")
_BEGINS = re.compile(r"^(\d{1,9}(?=[.)]\s)|(?=[-+=~](?:\s|$|[-+=~])))")
"""Where a text begins as a list, a rule or a fence does."""


@dataclass(frozen=True, slots=True)
class MarkdownPen:
    """Writes Markdown: the same pages for readers without a browser."""

    page: str
    names: Names
    prefer: Direction | None = None

    def href(self, target: str) -> str:
        """The link to a target, relative to this page."""
        page, _, anchor = target.partition("#")
        up = "../" * self.page.count("/")
        suffix = f"#{anchor.lower()}" if anchor else ""  # as headings have them where it is shown
        return suffix if page in ("", self.page) and suffix else f"{up}{page or self.page}.md{suffix}"

    def anchor(self, name: str) -> str:
        """A place that a link can lead to, where there is no heading."""
        return f'<a id="{html.escape(name.lower())}"></a>'

    def file(self, name: str) -> str:
        """The link to a file beside the pages."""
        return "../" * self.page.count("/") + name

    def text(self, text: str) -> str:
        """An inline text on one line, with what Markdown would take for markup escaped."""
        line = re.sub(r"\s*\n\s*", " ", text)
        return _BEGINS.sub(r"\1\\", "".join(self._inline(line)))

    def _inline(self, text: str) -> Iterator[str]:
        for kind, words, target in pieces(text):
            if kind == "code":
                yield coded(words)
            elif kind == "link":
                yield f"[{''.join(self._inline(words))}]({self.href(target)})"
            else:
                yield _SPECIAL.sub(r"\\\1", words)

    def code(self, word: str) -> str:
        """A word set as code."""
        return coded(re.sub(r"\s*\n\s*", " ", word))

    def cell(self, text: str) -> str:
        """An inline text in a table: there a bar ends the cell, even in code."""
        return re.sub(r"(?<!\\)\|", r"\\|", self.text(text))

    def prose(self, text: str) -> str:
        """Markdown of a guide, with its links turned into those of this page."""
        return re.sub(r"\]\(([a-z][^():\s]*)\)", lambda found: f"]({self.href(found[1])})", text)
