"""Pages of a catalogue with what the kit's own does not have: deprecated fields, odd names and texts."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping

import pytest
from markdown_it import MarkdownIt
from support.catalogues import copied
from support.html_page import HtmlPage

from relaykit.docs_gen import build
from relaykit.docs_gen.links import Names
from relaykit.docs_gen.pen import MarkdownPen
from relaykit.docs_gen.text import coded, pieces
from relaykit.schemas import load_catalogue

NOTE = {"note": "It lies.", "replacement": "user_id"}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    folder = copied(tmp_path_factory.mktemp("changed"), vectors=True)
    path = folder / "frames/c2s/typing.schema.json"
    schema = json.loads(path.read_text("utf-8"))
    schema["properties"]["payload"]["properties"] |= {
        "old": {
            "title": "Old",
            "description": "An old thing.",
            "type": "string",
            "deprecated": True,
            "x-deprecated": NOTE,
        },
        "odd": {
            "title": "Odd",
            "description": "One | two.\n\n- a list\n\n```\na fence",
            "enum": ["a|b", "c`d", "`", "<i>", ""],
        },
    }
    schema["title"] = "*Typing* <b>"
    schema["description"] = "- no list\n\n```\n# no fence &lt; [no](elsewhere:link)"
    path.write_text(json.dumps(schema), "utf-8")
    return build.site_files(build.documentation(load_catalogue(folder)))


def row(text: str, name: str) -> str:
    """The one row of a field table in Markdown."""
    return next(line for line in text.splitlines() if f"`payload.{name}`" in line and line.startswith("| "))


def test_a_deprecated_field_is_marked_with_its_note(files: Mapping[str, str]) -> None:
    shown = row(files["frames/c2s/typing.md"], "old")
    assert "**Deprecated: It lies. Use `user_id` instead.** An old thing." in shown
    page = files["frames/c2s/typing.html"]
    _, _, after = page.partition('id="field-payload.old"')
    assert '<span class="badge warn">Deprecated</span> It lies. Use ' in after.partition("</tr>")[0]


def _drawn(text: str) -> str:
    return MarkdownIt("commonmark", {"html": True}).enable("table").render(text)


def test_odd_texts_stay_what_they_are_in_markdown(files: Mapping[str, str]) -> None:
    drawn = _drawn(files["frames/c2s/typing.md"])
    assert "<p>*Typing* &lt;b&gt;. - no list ``` # no fence &amp;lt; [no](elsewhere:link)</p>" in drawn
    cells = next(line for line in drawn.split("</tr>") if "<code>payload.odd</code>" in line)
    assert cells.count("<td>") == 4
    assert "One | two. - a list ``` a fence" in cells
    values = ("a|b", "c`d", "`", "&lt;i&gt;", "&quot;&quot;")
    assert all(f"<code>{value}</code>" in cells for value in values), cells


def test_odd_texts_stay_on_their_line_in_llms_txt(files: Mapping[str, str]) -> None:
    line = next(line for line in files["llms.txt"].splitlines() if "frames/c2s/typing.md" in line)
    assert (_drawn(line).count("<li>"), _drawn(line).count("<a ")) == (1, 1)
    assert "<pre>" not in _drawn(files["llms.txt"])
    assert "no fence" in line


@pytest.mark.parametrize("word", ["a", "a`b", "`", "``", "` a", " a"])
def test_code_holds_any_word(word: str) -> None:
    assert pieces(f"x {coded(word)} y")[1] == ("code", word, "")


def test_an_empty_word_is_shown_as_json_writes_it() -> None:
    assert pieces(coded("")) == (("code", '""', ""),)


@pytest.mark.parametrize("text", ["- a", "+ a", "1. a", "12) a", "===", "---", "~~~", "# a", "> a", "a & b"])
def test_no_text_begins_anything_but_a_paragraph(text: str) -> None:
    pen = MarkdownPen("index", Names(load_catalogue()))
    assert _drawn(pen.text(text)) == f"<p>{html.escape(text)}</p>\n"
    assert _drawn(f"a\n{pen.text(text)}") == f"<p>a\n{html.escape(text)}</p>\n"


def test_an_anchor_of_any_name_is_one_element() -> None:
    drawn = MarkdownPen("index", Names(load_catalogue())).anchor('"><b>')
    assert HtmlPage(drawn).tags == {"a": 1}
    assert HtmlPage(drawn).ids == ['"><b>']
