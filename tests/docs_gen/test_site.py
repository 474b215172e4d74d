"""The pages hold together: links, IDs, sizes, escaping; the same bytes each time; all from the data."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from posixpath import dirname, join, normpath
from typing import Any

import pytest
from click.testing import CliRunner

from relaykit.docs_gen import build, commands_help
from relaykit.docs_gen.commands import docs
from relaykit.docs_gen.guides import ORDER, read_guide
from relaykit.docs_gen.kept import cache_folder, kept
from relaykit.docs_gen.material import Material
from relaykit.docs_gen.states import state_diagrams
from relaykit.docs_gen.suite import Results, Told, read_report
from relaykit.errors import UsageError
from relaykit.schemas import Catalogue, load_catalogue

ROOT = Path(__file__).parents[2]
PAGE_LIMIT, SINGLE_LIMIT, SCRIPT_LIMIT = 60 * 1024, 250 * 1024, 25 * 1024

NOTHING = Told((), {}, "", {})


class _Page(HTMLParser):
    """What a page links to, and which IDs it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.tags: Counter[str] = Counter()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags[tag] += 1
        if given.get("id"):
            self.ids.append(str(given["id"]))
        if tag == "a" and given.get("href"):
            self.links.append(str(given["href"]))
        if tag in ("script", "img", "iframe", "source") and given.get("src"):
            self.loads.append(str(given["src"]))
        if tag == "link" and given.get("rel") in ("stylesheet", "alternate"):
            self.loads.append(str(given["href"]))


@pytest.fixture(scope="module")
def documentation() -> build.Documentation:
    return build.documentation(load_catalogue())


@pytest.fixture(scope="module")
def files(documentation: build.Documentation) -> Mapping[str, str]:
    return build.site_files(documentation)


@pytest.fixture(scope="module")
def pages(files: Mapping[str, str]) -> Mapping[str, _Page]:
    return {name: _Page(text) for name, text in files.items() if name.endswith(".html")}


@pytest.fixture(scope="module")
def single(documentation: build.Documentation) -> str:
    return build.single_file(documentation)


def _places(pages: Mapping[str, _Page]) -> Iterator[tuple[str, str, str, str]]:
    for name, page in pages.items():
        for link in page.links:
            to, _, anchor = link.partition("#")
            yield name, link, normpath(join(dirname(name), to)) if to else name, anchor


def test_no_link_is_broken(pages: Mapping[str, _Page], files: Mapping[str, str]) -> None:
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


def test_every_page_has_its_markdown(files: Mapping[str, str]) -> None:
    missing = [
        name
        for name in files
        if name.endswith(".html") and not files.get(name.removesuffix(".html") + ".md", "").startswith("# ")
    ]
    assert missing == []


def test_ids_are_unique(pages: Mapping[str, _Page], single: str) -> None:
    for name, page in {**pages, "(single file)": _Page(single)}.items():
        assert [id_ for id_, count in Counter(page.ids).items() if count > 1] == [], name


def test_the_single_file_links_within_itself(single: str) -> None:
    page = _Page(single)
    known = set(page.ids)
    assert page.loads == []
    assert [link for link in page.links if not link.startswith("#") or link[1:] not in known] == []


def test_the_single_file_holds_every_page(documentation: build.Documentation, single: str) -> None:
    known = set(_Page(single).ids)
    assert {page.target.replace("/", ".") for page in documentation.drawer.pages} - known == set()


def test_nothing_is_loaded_from_elsewhere(pages: Mapping[str, _Page], files: Mapping[str, str]) -> None:
    for name, page in pages.items():
        for link in (*page.loads, *page.links):
            assert "://" not in link, f"{name}: {link}"
            assert not link.startswith("//"), f"{name}: {link}"
        for load in page.loads:
            assert normpath(join(dirname(name), load)) in files, f"{name}: {load}"
    assert "@import" not in files["assets/site.css"]
    assert "url(" not in files["assets/site.css"]


def _zipped(text: str) -> int:
    return len(gzip.compress(text.encode()))


def test_pages_scripts_and_the_single_file_stay_small(
    files: Mapping[str, str], pages: Mapping[str, _Page], single: str
) -> None:
    assets = {name: _zipped(text) for name, text in files.items() if name.startswith("assets/")}
    for name, page in pages.items():
        loaded = [normpath(join(dirname(name), load)) for load in page.loads if not load.endswith(".md")]
        scripts = sum(assets[load] for load in loaded if load.endswith(".js"))
        assert scripts <= SCRIPT_LIMIT, name
        assert _zipped(files[name]) + sum(assets[load] for load in loaded) <= PAGE_LIMIT, name
    assert _zipped(single) <= SINGLE_LIMIT


def test_the_same_bytes_each_time(files: Mapping[str, str], single: str) -> None:
    again = build.documentation(load_catalogue())
    assert build.site_files(again) == files
    assert build.single_file(again) == single


def test_nothing_tells_where_it_was_built(files: Mapping[str, str], single: str) -> None:
    for name, text in {**files, "(single file)": single}.items():
        assert str(ROOT) not in text, name


def test_what_is_kept_between_builds_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def built() -> Mapping[str, str]:
        return build.site_files(build.documentation(load_catalogue()))

    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    plain = built()  # nothing can be kept
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert built() == plain
    kept = sorted((tmp_path / "cache/relaykit").glob("docs-*.pickle"))
    assert len(kept) == 4
    assert built() == plain
    for path in kept:
        path.write_bytes(path.read_bytes()[:100])
    assert built() == plain


def test_help_is_the_same_whatever_ran_before(files: Mapping[str, str], tmp_path: Path) -> None:
    assert CliRunner().invoke(docs, ["diff", "--help"]).exit_code == 0
    assert _run("--markdown", "--out", tmp_path)[0] == 0
    (said,) = (text for name, text in commands_help.rendered() if name == "relaykit docs diff")
    assert "-h, --help" in said
    assert said in files["guides/commands.md"]


def test_what_others_may_write_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "relaykit").mkdir(mode=0o777)
    (tmp_path / "relaykit").chmod(0o777)
    assert cache_folder() is None
    assert kept("anything", "", lambda: 1) == 1
    assert list((tmp_path / "relaykit").iterdir()) == []


def test_every_frame_field_rule_and_code_is_found_by_its_name(documentation: build.Documentation) -> None:
    found = {(title, href) for title, _, href, _ in build.search_entries(documentation.site)}
    titles = {title for title, _ in found}
    catalogue = documentation.catalogue
    assert titles >= {name for _, name in catalogue.frames}
    assert titles >= set(catalogue.requirements) | set(catalogue.protocol.error_codes)
    for view in documentation.site.frames:
        for field in view.fields:
            assert field.extra or (field.name, f"{view.target}.html#{field.anchor}") in found


def test_every_field_of_every_example_stands_in_the_field_table(documentation: build.Documentation) -> None:
    def paths(value: Any, prefix: str) -> Iterator[str]:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                yield f"{prefix}{key}"
                yield from paths(inner, f"{prefix}{key}.")
        elif isinstance(value, list):
            for inner in value:
                yield from paths(inner, f"{prefix[:-1]}[].")

    open_objects = ("payload.candidate.", "payload.metadata.")  # their further members are anybody's
    for view in documentation.site.frames:
        known = {field.path for field in view.fields}
        for example in documentation.catalogue.frame(view.direction, view.type).examples:
            unknown = {path for path in paths(example, "") if not path.startswith(open_objects)} - known
            assert unknown == set(), view.target


def test_invalid_examples_show_the_errors_they_earn(documentation: build.Documentation) -> None:
    for view in documentation.site.frames:
        assert view.invalid, view.target
        for example in view.invalid:
            judged = documentation.catalogue.validate(example.compact, view.direction)
            assert not judged.valid
            assert [fault.message for fault in example.faults] == [f.message for f in judged.findings]
            assert any(line.marked for line in example.lines), (view.target, example.caption)


def test_every_page_is_named_in_the_navigation_or_leads_there(pages: Mapping[str, _Page]) -> None:
    reached = {to for _, _, to, _ in _places(pages)}
    assert set(pages) - reached == set()


# --- everything comes from the data -------------------------------------------------------------------------


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    folder = tmp_path / "schemas"
    shutil.copytree(ROOT / "schemas", folder, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
    return folder


def _change(path: Path, key: str, text: str) -> None:
    schema = json.loads(path.read_text("utf-8"))
    schema[key] = text
    path.write_text(json.dumps(schema), "utf-8")


def test_a_changed_description_changes_its_pages_and_nothing_else_is_needed(
    changed: Path, files: Mapping[str, str]
) -> None:
    words = "Tells everyone that the marmalade is ready."
    _change(changed / "frames/c2s/typing.schema.json", "description", words)
    now = build.site_files(build.documentation(load_catalogue(changed)))
    for name in ("frames/c2s/typing.html", "frames/c2s/typing.md", "guides/frames.html", "search.json"):
        assert words.removesuffix(".") in now[name], name
        assert words.removesuffix(".") not in files[name], name


def test_markup_in_the_data_is_text_on_the_page(changed: Path) -> None:
    evil = "<script>alert(1)</script> & <img src=x onerror=alert(1)> `</code><b>` [x](javascript:alert)"
    schema = json.loads((changed / "frames/c2s/typing.schema.json").read_text("utf-8"))
    schema["description"] = schema["title"] = evil
    schema["x-replies"][0]["when"] = evil
    schema["properties"]["payload"]["description"] = evil
    schema["properties"]["payload"]["properties"]["is_typing"]["description"] = evil
    (changed / "frames/c2s/typing.schema.json").write_text(json.dumps(schema), "utf-8")
    rules = changed / "requirements/typing.yaml"
    first, rest = rules.read_text("utf-8").split("  text: ", 1)
    sentence = json.dumps(f"A `typing` MUST show {evil}.")
    rules.write_text(f"{first}  text: {sentence}\n{rest.partition(chr(10))[2]}", "utf-8")
    documentation = build.documentation(load_catalogue(changed))
    now = build.site_files(documentation)
    for name, text in now.items():
        if name.endswith(".html"):
            assert "<script>alert" not in text, name
            assert "<img" not in text, name
            assert "javascript:" not in re.sub(r">[^<]*<|content=\"[^\"]*\"", "", text), name
    assert "&lt;script&gt;alert(1)" in now["frames/c2s/typing.html"]
    assert "<script>alert" not in now["assets/search.js"]
    whole = build.single_file(documentation)
    assert "<script>alert" not in whole
    assert (
        _Page(whole).tags["script"]
        == _Page(build.single_file(build.documentation(load_catalogue()))).tags["script"]
    )


def test_a_guide_that_names_what_does_not_exist_fails_with_its_place(
    documentation: build.Documentation,
) -> None:
    material = Material(documentation.drawer.names, documentation.site.frames, {}, {}, {}, NOTHING)
    for line, said in (
        ("::limit", "no part 'limit'.*did you mean 'limits'"),
        ("::scenario nowhere", "no scenario 'nowhere'"),
        ("::rules XYZ", "no requirement or area 'XYZ'"),
        ("::frames nothing", "no frame or area called nothing"),
        ("::example c2s/nothing", "no frame 'c2s/nothing'"),
        ("::example c2s/send:absent-word", "no example of c2s/send holds 'absent-word'"),
    ):
        with pytest.raises(UsageError, match=rf"guides/x\.md:6: .*{said}"):
            read_guide("x", f"# X\n\nAbout.\n\nWords.\n{line}\n", material)
    with pytest.raises(UsageError, match=r"x\.md:1: "):
        read_guide("x", "No title\n", material)


def test_the_checklist_for_servers_names_what_the_smallest_run_judges_and_nothing_else(
    files: Mapping[str, str],
) -> None:
    page = files["guides/suite.md"].partition("## Checklist")[2]
    named = set(re.findall(r"\| \[([A-Z]+-[0-9]+)\]", page))
    assert named >= {"CONN-04", "AUTH-09", "VAL-01", "MSG-12", "OFF-08", "KEEP-03", "ERR-04", "PRIV-03"}
    groups, crash, needs_control, floods = "GRP-02", "MSG-14", "OFF-07", "LIM-07"
    assert named.isdisjoint({groups, crash, needs_control, floods})
    public_key, second_key, origins, tls = "AUTH-06", "AUTH-23", "CONN-15", "TRAN-01"
    assert named.isdisjoint({public_key, second_key, origins, tls})


def test_the_guide_to_errors_says_of_each_code_what_to_do(
    documentation: build.Documentation, files: Mapping[str, str]
) -> None:
    advice = files["guides/errors.md"].partition("## What to do")[2]
    for code in documentation.catalogue.protocol.error_codes:
        assert f"| `{code}` |" in advice


def test_every_key_of_a_target_file_says_what_it_means(files: Mapping[str, str]) -> None:
    rows = [line for line in files["guides/target-file.md"].splitlines() if '<a id="key-' in line]
    assert len(rows) > 40
    assert [row for row in rows if row.rstrip().endswith("|  |")] == []


def test_guides_and_their_order_are_complete() -> None:
    assert {path.stem for path in (ROOT / "docs_gen/guides").glob("*.md")} == set(ORDER)


def test_state_diagrams_name_only_what_exists(documentation: build.Documentation) -> None:
    diagrams = state_diagrams(documentation.catalogue)
    assert set(diagrams) == {"message", "call", "device"}


# --- results and the command --------------------------------------------------------------------------------


def _report(folder: Path) -> Path:
    report = {
        "target": {"name": "a <b>bold</b> server"},
        "cases": [{"id": "message-life", "verdict": "fail"}],
        "requirements": [{"id": "MSG-12", "verdict": "pass"}, {"id": "MSG-16", "verdict": "fail"}],
    }
    path = folder / "report.json"
    path.write_text(json.dumps(report), "utf-8")
    return path


def test_a_report_shows_the_last_results(tmp_path: Path, files: Mapping[str, str]) -> None:
    results = read_report(_report(tmp_path))
    now = build.site_files(build.documentation(load_catalogue(), results))
    assert "v-fail" in now["scenarios/message-life.html"]
    assert "v-pass" in now["requirements/messages.html"]
    assert "v-fail" in now["frames/c2s/send.html"]
    assert "last result: fail" in now["requirements/messages.md"]
    assert "a &lt;b&gt;bold&lt;/b&gt; server" in now["requirements/index.html"]
    assert "v-fail" not in files["scenarios/message-life.html"]
    assert read_report(None) == Results()


@pytest.mark.parametrize(
    ("text", "said"), [("{", "not JSON"), ("[]", "not a report"), ('{"a":1}', "no list of cases")]
)
def test_what_is_no_report_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text, "utf-8")
    with pytest.raises(UsageError, match=said):
        read_report(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_report(tmp_path / "missing.json")


def _run(*arguments: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(docs, ["build", *map(str, arguments)], standalone_mode=False)
    if done.exception:
        raise done.exception
    return int(done.return_value or 0), done.output


def test_build_writes_checks_and_removes_only_its_own(tmp_path: Path) -> None:
    out = tmp_path / "docs"
    code, output = _run("--markdown", "--out", out, "--check")
    assert code == 1
    assert "missing" in output
    assert not out.exists()
    assert _run("--markdown", "--out", out)[0] == 0
    assert _run("--markdown", "--out", out, "--check")[0] == 0

    (out / "guides" / "mine.md").write_text("mine")
    (out / "llms.txt").write_text("changed")
    manifest = out / build.MANIFEST
    (out / "guides" / "gone.md").write_text("of an earlier build")
    manifest.write_text(manifest.read_text() + "guides/gone.md\n../outside.txt\n")
    (tmp_path / "outside.txt").write_text("untouched")
    code, output = _run("--markdown", "--out", out, "--check")
    assert code == 1
    assert "llms.txt: out of date" in output
    assert "gone.md: no longer made" in output
    assert _run("--markdown", "--out", out)[0] == 0
    assert not (out / "guides" / "gone.md").exists()
    assert (out / "guides" / "mine.md").read_text() == "mine"
    assert (tmp_path / "outside.txt").read_text() == "untouched"
    assert _run("--markdown", "--out", out, "--check")[0] == 0


def test_build_writes_one_file_beside_others(tmp_path: Path) -> None:
    (tmp_path / "other.html").write_text("other")
    assert _run("--single-file", "--out", tmp_path / "all.html")[0] == 0
    assert {path.name for path in tmp_path.iterdir()} == {"all.html", "other.html"}
    assert _run("--single-file", "--out", tmp_path / "all.html", "--check")[0] == 0


def test_build_refuses_what_makes_no_sense(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exclude each other"):
        _run("--single-file", "--markdown")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        _run("--out", tmp_path / "file" / "site")


def test_a_catalogue_of_ones_own_is_drawn(changed: Path, tmp_path: Path) -> None:
    _change(changed / "frames/s2c/ping.schema.json", "title", "Are you still there, old friend")
    assert _run("--catalogue", changed, "--out", tmp_path / "site")[0] == 0
    assert "old friend" in (tmp_path / "site/frames/s2c/ping.html").read_text("utf-8")


def test_the_catalogue_is_known_to_every_page(files: Mapping[str, str]) -> None:
    catalogue: Catalogue = load_catalogue()
    assert all(catalogue.digest[:12] in text for name, text in files.items() if name.endswith(".html"))
