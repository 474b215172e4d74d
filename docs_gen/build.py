"""Build: resolve once, draw every output, write what has changed, or say what is stale."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from relaykit.docs_gen.downloads import DOWNLOADS, FOLDER, download_files
from relaykit.docs_gen.links import Names
from relaykit.docs_gen.model import Entry, Site
from relaykit.docs_gen.pages import Page, pages
from relaykit.docs_gen.pen import HtmlPen
from relaykit.docs_gen.render import Drawer, script_json, static, style
from relaykit.docs_gen.script_schemas import script_schemas
from relaykit.docs_gen.site import resolve
from relaykit.docs_gen.suite import Results, told
from relaykit.docs_gen.text import is_requirement, plain
from relaykit.errors import UsageError
from relaykit.schemas import Catalogue, load_catalogue

SCRIPTS = ("validator.js", "site.js", "console.js")
MANIFEST = ".relaykit-docs"
"""Lists the files that a build has made, so that the next one can remove what is no longer made."""


@dataclass(frozen=True, slots=True)
class Documentation:
    """The documentation, resolved and ready to be drawn."""

    site: Site
    catalogue: Catalogue
    drawer: Drawer


def documentation(catalogue: Catalogue, results: Results | None = None) -> Documentation:
    """Resolve everything.

    Args:
        catalogue: the protocol.
        results: the last results of the suite, if there are any.

    Raises:
        UsageError: a scenario, guide or diagram is wrong, with its place.
    """
    suite = told(catalogue)
    known = results or Results()
    site = resolve(catalogue, suite, known)
    drawn = pages(site, catalogue, suite.cases, known)
    return Documentation(site, catalogue, Drawer(site, Names(catalogue), drawn))


def site_files(docs: Documentation) -> Mapping[str, str]:
    """The site of many pages: file name → text."""
    files = dict(docs.drawer.html())
    files.update(docs.drawer.markdown())
    files["assets/site.css"] = style()
    for name in SCRIPTS:
        files[f"assets/{name}"] = _script(name)
    # A page that was opened from a file may not fetch search.json: it shows this one, which tells it.
    found = script_json(search_entries(docs.site, ".html"))
    files["assets/search.html"] = _SEARCH_PAGE.format(found)
    files["assets/schemas.js"] = f"const relaySchemas = {script_json(script_schemas(docs.catalogue))};\n"
    files |= _for_programs(docs, ".html")
    return dict(sorted(files.items()))


def single_file(docs: Documentation) -> str:
    """Everything in one HTML file, scripts and styles included."""

    schemas = script_json(script_schemas(docs.catalogue))
    parts = (f"const relaySchemas = {schemas};", *map(_script, SCRIPTS))
    found: dict[str, list[Entry]] = {}
    for entry in docs.site.entries:
        found.setdefault(entry.target.partition("#")[0], []).append(entry)

    def beside(pen: HtmlPen) -> str:
        # Beside the texts that it repeats, so that they compress well; links as site.js completes them.
        rows = [_short_row(entry, pen) for entry in found.get(pen.page, ())]
        return _FOUND.format(script_json(rows)) if rows else ""

    return docs.drawer.single(beside, "\n".join(f"<script>{part}</script>" for part in parts))


def _script(name: str) -> str:
    """A script of ours without indentation and without the lines that only comment."""
    lines = (line.strip() for line in static(name).splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))


def _short_row(entry: Entry, pen: HtmlPen) -> dict[str, str]:
    """An entry without what site.js finds in the section beside it; its link with `*` for its title."""
    href = pen.href(entry.target).removeprefix(f"#{pen.section}").replace(entry.title, "*", 1)
    row = {"title": entry.title, "kind": entry.kind, "href": href, "text": entry.text}
    if is_requirement(entry.title) or entry.kind == "scenario":
        del row["text"]
    return row


_FOUND = '<script type="application/json" class="found">{}</script>'
_SEARCH_PAGE = (
    '<!doctype html><html lang="en"><title>What the search looks through</title>'
    '<script type="application/json" id="found">{}</script>'
    '<script>parent.postMessage(document.getElementById("found").textContent, "*")</script></html>\n'
)


def pages_to_serve() -> Mapping[str, str]:
    """The site of this kit, for a server that serves it beside itself: see `relaykit.pages`."""
    return site_files(documentation(load_catalogue()))


def markdown_files(docs: Documentation) -> Mapping[str, str]:
    """The pages as Markdown: file name → text."""
    return {**dict(docs.drawer.markdown()), **_for_programs(docs, ".md")}


def _for_programs(docs: Documentation, suffix: str) -> dict[str, str]:
    """What machines find. `suffix`: of the pages that the search leads to."""
    return {
        **download_files(docs.catalogue, docs.site),
        "search.json": _lines(search_entries(docs.site, suffix)),
        "llms.txt": llms(docs),
    }


def _lines(rows: list[dict[str, str]]) -> str:
    """A JSON array with a line for each row."""
    text = ",\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)
    return f"[\n{text}\n]\n"


def search_entries(site: Site, suffix: str) -> list[dict[str, str]]:
    """What the search looks through: title, kind, link from the site's root, text, and further words."""
    return [_row(entry, _file(entry.target, suffix)) for entry in site.entries]


def _row(entry: Entry, href: str) -> dict[str, str]:
    row = {"title": entry.title, "kind": entry.kind, "href": href, "text": entry.text}
    return {**row, "words": entry.words} if entry.words else row


def _file(target: str, suffix: str) -> str:
    page, mark, anchor = target.partition("#")
    return f"{page}{suffix}{mark}{anchor.lower() if suffix == '.md' else anchor}"  # see MarkdownPen


def llms(docs: Documentation) -> str:
    """`llms.txt`: what there is, for readers that are programs."""
    site = docs.site
    lines = [
        f"# {site.name} {site.version}",
        "",
        f"> {plain(_SUMMARY)}",
        "",
        "Every page exists as HTML and, beside it, as Markdown; `search.json` lists all that has a name.",
    ]
    for title, prefix in (
        ("Guides", "guides/"),
        ("Frames", "frames/"),
        ("Reference", "reference/"),
        ("Requirements", "requirements/"),
    ):
        lines += ["", f"## {title}", ""]
        lines += [
            f"- [{page.title}]({page.target}.md): {_one_line(page)}"
            for page in docs.drawer.pages
            if page.target.startswith(prefix)
        ]
    lines += ["", "## Machine-readable", ""]
    lines += [f"- [{each.title}]({FOLDER}/{each.name}): {plain(each.text)}" for each in DOWNLOADS]
    lines += [
        "",
        "## Optional",
        "",
        "- [Scenarios](scenarios/index.md): what the conformance suite plays through",
    ]
    return "\n".join(lines) + "\n"


_SUMMARY = (
    "A messaging protocol of JSON frames over one WebSocket: frames with their fields, examples and errors, "
    "requirements with what proves them, guides for writing a client or a server."
)


def _one_line(page: Page) -> str:
    line = " ".join(page.description.split())
    return _MARKUP.sub(r"\\\1", line.partition(". ")[0].removesuffix("."))


_MARKUP = re.compile(r"([\\`*<>\[\]])")


def write(files: Mapping[str, str], out: Path, *, exact: bool = True) -> None:
    """Write files below a folder, and only those that differ.

    Args:
        files: file name → text.
        out: the folder.
        exact: note which files were made, and remove those of an earlier build that are no longer made.

    Raises:
        UsageError: the folder cannot be written.
    """
    wanted = _with_manifest(files) if exact else files
    try:
        for name in _made(out) - wanted.keys() if exact else ():
            (out / name).unlink(missing_ok=True)
        for name, text in wanted.items():
            path, data = out / name, text.encode()
            if not path.is_file() or path.read_bytes() != data:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
    except OSError as error:
        raise UsageError(f"{error.filename or out}: cannot be written: {error.strerror}") from error


def stale(files: Mapping[str, str], out: Path, *, exact: bool = True) -> list[str]:
    """What differs between a folder and what would be written: one line per file."""
    found = []
    for name, text in files.items():
        path = out / name
        if not path.is_file():
            found.append(f"{path}: missing")
        elif path.read_bytes() != text.encode():
            found.append(f"{path}: out of date")
    extra = _made(out) - files.keys() if exact else set()
    return found + [f"{out / name}: no longer made" for name in sorted(extra)]


def _with_manifest(files: Mapping[str, str]) -> dict[str, str]:
    return {**files, MANIFEST: "".join(f"{name}\n" for name in sorted(files))}


def _made(out: Path) -> set[str]:
    """The files that an earlier build has made there: nothing else is ever removed."""
    manifest = out / MANIFEST
    names = manifest.read_text("utf-8").splitlines() if manifest.is_file() else []
    # A manifest is a file that anybody can edit: nothing outside the folder is touched.
    root, folders = out.resolve(), {Path(name).parent for name in names}
    inside = {folder for folder in folders if (out / folder).resolve().is_relative_to(root)}
    return {name for name in names if Path(name).parent in inside and Path(name).name not in ("", "..")}
