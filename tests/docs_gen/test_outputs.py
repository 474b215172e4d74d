"""What a build gives: small, the same bytes each time, and nothing of the machine it was built on."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path
from posixpath import dirname, join, normpath

import pytest
from support.html_page import HtmlPage

from relaykit.docs_gen import build
from relaykit.docs_gen.kept import cache_folder, kept
from relaykit.schemas import Catalogue, load_catalogue

ROOT = Path(__file__).parents[2]
PAGE_LIMIT, SINGLE_LIMIT, SCRIPT_LIMIT = 60 * 1024, 250_000, 25_000


def _zipped(text: str) -> int:
    return len(gzip.compress(text.encode()))


def _loads(name: str, page: HtmlPage) -> list[str]:
    """The files that a page loads when it opens."""
    return [normpath(join(dirname(name), load)) for load in page.loads if not load.endswith(".md")]


def test_all_script_that_a_page_may_load_is_small(
    files: Mapping[str, str], pages: Mapping[str, HtmlPage], single: str
) -> None:
    """What it names, what stands in it, and what the search brings when it is first used."""
    brought = sum(map(_zipped, HtmlPage(files["assets/search.html"]).scripts))
    for name, page in pages.items():
        named = [files[load] for load in _loads(name, page) if load.endswith(".js")]
        assert sum(map(_zipped, (*named, *page.scripts))) + brought <= SCRIPT_LIMIT, name
    assert sum(map(_zipped, HtmlPage(single).scripts)) <= SCRIPT_LIMIT


def test_pages_and_the_single_file_stay_small(
    files: Mapping[str, str], pages: Mapping[str, HtmlPage], single: str
) -> None:
    search = max(_zipped(files["assets/search.html"]), _zipped(files["search.json"]))
    for name, page in pages.items():
        weight = sum(_zipped(files[each]) for each in (name, *_loads(name, page)))
        later = search if name.startswith("frames/") else 0  # all told: whatever is done on it
        assert weight + later <= PAGE_LIMIT, name
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


def test_what_others_may_write_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "relaykit").mkdir(mode=0o777)
    (tmp_path / "relaykit").chmod(0o777)
    assert cache_folder() is None
    assert kept("anything", "", lambda: 1) == 1
    assert list((tmp_path / "relaykit").iterdir()) == []


def test_the_catalogue_is_known_to_every_page(
    files: Mapping[str, str], pages: Mapping[str, HtmlPage]
) -> None:
    catalogue: Catalogue = load_catalogue()
    assert all(catalogue.digest[:12] in text for text in map(files.__getitem__, pages))
