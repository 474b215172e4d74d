"""The pages hold together: links, IDs, Markdown, nothing from elsewhere."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from posixpath import dirname, join, normpath

from support.html_page import HtmlPage

from relaykit.docs_gen import build


def _places(pages: Mapping[str, HtmlPage]) -> Iterator[tuple[str, str, str, str]]:
    for name, page in pages.items():
        for link in page.links:
            to, _, anchor = link.partition("#")
            yield name, link, normpath(join(dirname(name), to)) if to else name, anchor


def test_no_link_is_broken(pages: Mapping[str, HtmlPage], files: Mapping[str, str]) -> None:
    broken = [
        f"{name}: {link}"
        for name, link, to, anchor in _places(pages)
        if to not in files or (anchor and anchor not in pages[to].ids)
    ]
    assert broken == []


def _prose(text: str) -> str:
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def _anchors(markdown: str) -> set[str]:
    """What a link into a page may name where Markdown is shown: headings in lower case, and anchors."""
    headings = re.findall(r"^#+ (.*)$", markdown, flags=re.MULTILINE)
    words = (re.sub(r"\[([^\]]*)\]\([^)]*\)|[`\\\\]", r"\1", heading).lower() for heading in headings)
    slugs = {re.sub(r"[^\w -]", "", text).strip().replace(" ", "-") for text in words}
    return slugs | set(re.findall(r'<a id="([^"]+)">', markdown))


def test_no_markdown_link_is_broken(files: Mapping[str, str]) -> None:
    texts = {name: _prose(text) for name, text in files.items() if name.endswith(".md")}
    anchors = {name: _anchors(text) for name, text in texts.items()}
    broken = []
    for name, text in texts.items():
        for to, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)", text):
            page = normpath(join(dirname(name), to)) if to else name
            if page not in files or (anchor and anchor not in anchors[page]):
                broken += [f"{name}: {to}#{anchor}"]
    assert broken == []


def test_markdown_tables_hold_together(files: Mapping[str, str]) -> None:
    def cells(row: str) -> int:
        return len(re.split(r"(?<!\\)\|", row))

    tables = 0
    for name, text in files.items():
        lines = _prose(text).split("\n") if name.endswith(".md") else []
        for number, line in enumerate(lines):
            if line.startswith("|"):
                before, after = lines[number - 1], lines[number + 1]
                assert before.startswith("|") or after.startswith("| ---"), (name, line)
                assert not before.startswith("|") or cells(before) == cells(line), (name, line)
                tables += line.startswith("| ---")
    assert tables > 100


def test_every_page_has_its_markdown(files: Mapping[str, str], pages: Mapping[str, HtmlPage]) -> None:
    missing = [
        name for name in pages if not files.get(name.removesuffix(".html") + ".md", "").startswith("# ")
    ]
    assert missing == []


def test_ids_are_unique(pages: Mapping[str, HtmlPage], single: str) -> None:
    for name, page in {**pages, "(single file)": HtmlPage(single)}.items():
        assert [id_ for id_, count in Counter(page.ids).items() if count > 1] == [], name


def test_the_single_file_links_within_itself(single: str) -> None:
    page = HtmlPage(single)
    known = set(page.ids)
    assert page.loads == []
    assert [link for link in page.links if not link.startswith("#") or link[1:] not in known] == []


def test_the_single_file_holds_every_page(documentation: build.Documentation, single: str) -> None:
    known = set(HtmlPage(single).ids)
    assert {page.target.replace("/", ".") for page in documentation.drawer.pages} - known == set()


def test_nothing_is_loaded_from_elsewhere(pages: Mapping[str, HtmlPage], files: Mapping[str, str]) -> None:
    for name, page in pages.items():
        for link in (*page.loads, *page.links):
            assert "://" not in link, f"{name}: {link}"
            assert not link.startswith("//"), f"{name}: {link}"
        for load in page.loads:
            assert normpath(join(dirname(name), load)) in files, f"{name}: {load}"
    assert "@import" not in files["assets/site.css"]
    assert "url(" not in files["assets/site.css"]


def test_every_page_is_named_in_the_navigation_or_leads_there(pages: Mapping[str, HtmlPage]) -> None:
    reached = {to for _, _, to, _ in _places(pages)}
    assert set(pages) - reached == set()
