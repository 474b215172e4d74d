"""Draw: pages through templates, as HTML (many pages, or one file) and as Markdown."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import jinja2

from relaykit.docs_gen.diagrams import sentences
from relaykit.docs_gen.kept import cache_folder
from relaykit.docs_gen.links import Names
from relaykit.docs_gen.model import Site
from relaykit.docs_gen.pages import Page, navigation
from relaykit.docs_gen.pen import HtmlPen, MarkdownPen
from relaykit.docs_gen.text import coded, drawn, plain
from relaykit.look import look


def static(name: str) -> str:
    """A file of `static/`."""
    return resources.files("relaykit.docs_gen").joinpath("static", name).read_text("utf-8")


def style() -> str:
    """The style sheet of the pages."""
    return look() + static("site.css")


def _bytecode() -> jinja2.BytecodeCache | None:
    """Where compiled templates are kept between runs: half of a build would be compiling them."""
    folder = cache_folder()
    if folder is None:
        return None
    (folder / "templates").mkdir(exist_ok=True, mode=0o700)
    return jinja2.FileSystemBytecodeCache(str(folder / "templates"))


@cache
def _environment(html: bool) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("relaykit.docs_gen"),
        autoescape=html,  # noqa: S701  (Markdown has its own escapes: MarkdownPen)
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
        bytecode_cache=_bytecode(),
    )
    environment.globals.update(coded=coded, sentences=sentences, plain=plain)
    return environment


@dataclass(frozen=True, slots=True)
class Drawer:
    """Draws the pages of one site."""

    site: Site
    names: Names
    pages: tuple[Page, ...]

    def body(self, page: Page, pen: HtmlPen) -> str:
        """What stands in a page's main part, as HTML."""
        template = _environment(True).get_template(f"{page.template}.html.j2")
        return template.render(p=pen, site=self.site, **page.data)

    def html(self) -> Iterator[tuple[str, str]]:
        """Every page as a file: its name and its text."""
        turns = _turns(self.pages)
        navs: dict[int, str] = {}
        shell = _environment(True).get_template("shell.html.j2")
        for page in self.pages:
            pen = HtmlPen(page.target, self.names, page.prefer)
            depth = page.target.count("/")
            if depth not in navs:
                navs[depth] = self._nav(pen)
            before, after = turns.get(page.target, (None, None))
            yield (
                f"{page.target}.html",
                shell.render(
                    site=self.site,
                    title=page.title,
                    description=page.description,
                    page=page.target,
                    root=pen.root,
                    single=False,
                    scripts=page.scripts,
                    home=pen.href("index"),
                    contents=pen.href("contents"),
                    nav=drawn(_current(navs[depth], pen.root, page.target)),
                    body=drawn(self.body(page, pen)),
                    previous=_turn(before, pen),
                    following=_turn(after, pen),
                ),
            )

    def single(self, beside: Callable[[HtmlPen], str], tail: str) -> str:
        """Everything in one HTML file: scenarios in words, diagrams only in guides.

        Args:
            beside: what follows a page's section.
            tail: what ends the document.
        """
        pen = HtmlPen("index", self.names, single=True)
        sections: list[str] = []
        for page in self.pages:
            here = HtmlPen(page.target, self.names, page.prefer, single=True)
            body = self.body(page, here)
            if sections and page.template != "tools":
                body = f"<noscript>{body}</noscript>"  # site.js makes elements of it: see there
            shown = "" if sections else ' class="shown"'
            sections.append(f'<section id="{here.section}"{shown}>{body}</section>{beside(here)}')
        shell = _environment(True).get_template("shell.html.j2")
        return shell.render(
            site=self.site,
            title=self.site.name,
            description=f"Reference, guides and tools for the {self.site.name}, in one file.",
            page="index",
            root="",
            single=True,
            scripts=(),
            home="#index",
            contents="#contents",
            nav=drawn(self._nav(pen)),
            body=drawn("\n".join(sections)),
            previous=None,
            following=None,
            css=drawn(style()),
            tail=drawn(tail),
        )

    def markdown(self) -> Iterator[tuple[str, str]]:
        """Every page as Markdown: its name and its text."""
        environment = _environment(False)
        for page in self.pages:
            pen = MarkdownPen(page.target, self.names, page.prefer)
            template = environment.get_template(f"{page.template}.md.j2")
            text = template.render(p=pen, site=self.site, **page.data)
            yield f"{page.target}.md", _tidy(text)

    def _nav(self, pen: HtmlPen) -> str:
        template = _environment(True).get_template("nav.html.j2")
        return template.render(p=pen, groups=navigation(self.site), open=99 if not pen.single else 2)


def _turns(pages: tuple[Page, ...]) -> Mapping[str, tuple[Page | None, Page | None]]:
    """Previous and next of each page that has them."""
    found: dict[str, tuple[Page | None, Page | None]] = {}
    chains: dict[str, list[Page]] = {}
    for page in pages:
        if page.turn:
            chains.setdefault(page.turn, []).append(page)
    for chain in chains.values():
        for before, page, after in zip([None, *chain], chain, [*chain[1:], None], strict=False):
            found[page.target] = (before, after)
    return found


def _turn(page: Page | None, pen: HtmlPen) -> tuple[str, str] | None:
    return (page.title, pen.href(page.target)) if page else None


def _current(nav: str, root: str, target: str) -> str:
    link = f'href="{root}{target}.html"'
    return nav.replace(link, f'{link} aria-current="page"', 1)


def _tidy(text: str) -> str:
    """At most one blank line in a row, none at either end."""
    lines: list[str] = []
    for line in text.split("\n"):
        if line.strip() or (lines and lines[-1]):
            lines.append(line.rstrip())
    return "\n".join(lines).strip("\n") + "\n"


def script_json(value: Any) -> str:
    """JSON that may stand inside a script element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
