"""Which pages there are, in reading order, and what each shows. The same for every output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from relaykit.docs_gen.downloads import DOWNLOADS, FOLDER, ROOT_FILES
from relaykit.docs_gen.links import Names
from relaykit.docs_gen.model import DefectView, DerivedCase, DerivedFrame, Link, NavGroup, Site, Term
from relaykit.docs_gen.parts import capabilities_table
from relaykit.docs_gen.site import shared_types
from relaykit.docs_gen.suite import DERIVED, ListedCase, Results
from relaykit.docs_gen.text import plain
from relaykit.schemas import Catalogue, Direction


@dataclass(frozen=True, slots=True)
class Page:
    """A page before it is drawn.

    Attributes:
        target: its place, without a suffix.
        template: which template draws it: `frame`, `guide`, `pages` or `tools`.
        data: what the template gets.
        prefer: the direction that type names mean on it.
        scripts: its script files, in the order in which they run.
    """

    target: str
    title: str
    description: str
    template: str
    data: Mapping[str, Any]
    prefer: Direction | None = None
    scripts: tuple[str, ...] = ("site.js",)
    turn: str = field(default="")


_TOOLS = ("schemas.js", "validator.js", "site.js")


def pages(
    site: Site, catalogue: Catalogue, cases: tuple[ListedCase, ...], results: Results
) -> tuple[Page, ...]:
    """Every page, in reading order. Pages of one `turn` lead to each other as previous and next."""
    return tuple(_pages(site, catalogue, cases, results))


def _overview(target: str, title: str, description: str, kind: str, **data: Any) -> Page:
    return Page(target, title, description, "pages", {"kind": kind, **data})


def _pages(
    site: Site, catalogue: Catalogue, cases: tuple[ListedCase, ...], results: Results
) -> Iterator[Page]:
    names = Names(catalogue)
    about = f"{site.name} {site.version}"
    by_area = list(_grouped(site.frames))
    yield _overview(
        "index",
        site.name,
        f"Reference, guides and tools for the {about}.",
        "home",
        starts=_STARTS,
        by_area=by_area,
    )
    for guide in site.guides:
        yield Page(guide.target, guide.title, plain(guide.summary), "guide", {"g": guide}, turn="guides")
    yield _overview("frames/index", "Frames", f"Every frame of the {about}.", "frames", by_area=by_area)
    for frame in site.frames:
        way = "You send" if frame.sends else "You receive"
        yield Page(
            frame.target,
            f"{frame.type} ({way.lower()})",
            f"{way} {frame.type}: {plain(frame.description)}"[:300],
            "frame",
            {"f": frame},
            prefer=frame.direction,
            turn="frames",
        )
    yield _overview(
        "reference/types",
        "Shared types",
        "The forms that values have.",
        "types",
        types=shared_types(catalogue, site.frames),
    )
    table = capabilities_table(names)
    yield _overview(
        "reference/capabilities", "Capabilities", "What a server may leave out.", "capabilities", table_=table
    )
    yield _overview(
        "reference/downloads",
        "Machine-readable forms",
        "JSON Schema, AsyncAPI, TypeScript, OpenAPI and the requirements as data.",
        "downloads",
        files=[(f"{FOLDER}/{each.name}", each) for each in DOWNLOADS],
        others=[(each.name, each) for each in ROOT_FILES],
    )
    yield _overview(
        "requirements/index",
        "Requirements",
        f"Every requirement of the {about}, with the cases that prove it.",
        "matrix",
        by_area=list(_grouped(site.requirements)),
        proved=sum(1 for view in site.requirements if view.proof and view.proof.verdict == "proven"),
    )
    for title, views in _grouped(site.requirements):
        yield Page(
            f"requirements/{views[0].area}",
            f"Requirements: {title}",
            f"Requirements of the {about}: {title}.",
            "pages",
            {"kind": "area", "title": title, "list": views},
            turn="requirements",
        )
    yield _overview(
        "requirements/defects",
        "Seeded defects",
        "Faulty servers that show that the suite bites, with the cases that catch them.",
        "defects",
        by_area=_by_area(site),
    )
    yield _overview(
        "scenarios/index",
        "Scenarios",
        "What the conformance suite plays through with a server.",
        "scenarios",
        by_area=list(_grouped(site.scenarios)),
    )
    for view in site.scenarios:
        yield Page(
            view.target,
            view.title,
            f"A scenario of the suite. Catches: {plain(view.catches)}",
            "pages",
            {"kind": "scenario", "s": view},
            turn="scenarios",
        )
    yield _overview(
        "scenarios/probes",
        "Probes",
        "Cases in code: what frames cannot say.",
        "probes",
        probes=[case for case in cases if case.kind == "probe"],
        results=results.cases,
    )
    derived = sorted(_derived(names, cases, results), key=lambda view: view.target is None)
    yield _overview(
        DERIVED,
        "Derived cases",
        "Cases made of the schemas: what every constraint forbids, and what it just permits.",
        "derived",
        frames=[view for view in derived if not view.server_only],
        others=[view for view in derived if view.server_only],
    )
    yield Page(
        "validator",
        "Validator",
        "Paste a frame and see what is wrong with it.",
        "tools",
        {"kind": "validator"},
        scripts=_TOOLS,
    )
    yield Page(
        "console",
        "Console",
        "Connect to a running server, send frames, see what comes.",
        "tools",
        {"kind": "console", "site_path": catalogue.protocol.path},
        scripts=(*_TOOLS, "console.js"),
    )
    yield _overview("contents", "Index", "Everything that has a name.", "contents", groups=_contents(site))


_STARTS = (
    (
        "Write a client",
        "Connect, send and receive, stay connected, recover after a break.",
        "guides/client",
        "Client guide",
    ),
    (
        "Write a server",
        "What a server must do, and how to have the suite judge it.",
        "guides/server",
        "Server guide",
    ),
    (
        "Check a frame",
        "Paste it, and see what is wrong with it, at its place.",
        "validator",
        "Validator",
    ),
    (
        "Look a rule up",
        "Every requirement, where it comes from, and what proves it.",
        "requirements/index",
        "Requirements",
    ),
)


def _grouped(views: Iterable[Any]) -> Iterator[tuple[str, list[Any]]]:
    """Views by area, which they are sorted by."""
    for title, group in groupby(views, key=lambda view: view.area_title):
        yield title, list(group)


def _derived(names: Names, cases: Iterable[ListedCase], results: Results) -> Iterator[DerivedFrame]:
    """The derived cases by type and place."""
    found: dict[str, dict[str, list[DerivedCase]]] = {}
    for case in cases:
        if case.frame is not None:
            _, frame, *place, name = case.id.split("/")
            about = case.title.partition(": ")[2]
            group = found.setdefault(frame, {}).setdefault("/".join(place), [])
            group.append(DerivedCase(name, about, results.cases.get(case.id)))
    for frame, places in found.items():
        target = names.frame(frame, "c2s")
        yield DerivedFrame(
            frame,
            target,
            target is not None and target.startswith("frames/s2c/"),
            sum(len(group) for group in places.values()),
            tuple((place, tuple(group)) for place, group in places.items()),
        )


def _by_area(site: Site) -> list[tuple[str, list[DefectView]]]:
    """The defects by the area that they are about."""
    found: dict[str, list[DefectView]] = {}
    for defect in site.defects:
        found.setdefault(site.areas.get(defect.area, defect.area), []).append(defect)
    return list(found.items())


_INDEX = {
    "you send": "Frames",
    "you receive": "Frames",
    "error code": "Error and close codes",
    "close code": "Error and close codes",
    "limit": "Limits and capabilities",
    "capability": "Limits and capabilities",
}
"""In which part of the index an entry stands, by its kind. Requirements have their own pages."""


def _contents(site: Site) -> list[tuple[str, list[Term]]]:
    """The entries of the search as an index: each name once, with everywhere it is described."""
    groups: dict[str, dict[str, dict[str, Link]]] = {
        name: {} for name in ("Frames", "Fields", "Error and close codes", "Limits and capabilities")
    }
    for entry in site.entries:
        of = entry.kind.removeprefix("field of ")
        group = "Fields" if of != entry.kind else _INDEX.get(entry.kind)
        if group is not None:
            found = groups[group].setdefault(entry.title, {})
            # A frame may have a field of that name at several places: the first will do.
            place = entry.target.partition("#")[0] if group == "Fields" else entry.target
            found.setdefault(place, Link(of, entry.target))
    return [
        (name, [Term(title, _told_apart(tuple(links.values()))) for title, links in sorted(found.items())])
        for name, found in groups.items()
    ]


def _told_apart(links: tuple[Link, ...]) -> tuple[Link, ...]:
    """Types that go both ways have the same name twice: the one that is received says so."""
    twice = {words for words, count in Counter(link.words for link in links).items() if count > 1}
    return tuple(
        Link(f"{link.words} ↓", link.target)
        if link.words in twice and link.target.startswith("frames/s2c/")
        else link
        for link in links
    )


def navigation(site: Site) -> tuple[NavGroup, ...]:
    """The groups of the navigation."""
    start = (
        Link("Overview", "index"),
        Link("Validator", "validator"),
        Link("Console", "console"),
        Link("Index", "contents"),
    )
    reference = (
        Link("All frames", "frames/index"),
        Link("Shared types", "reference/types"),
        Link("Capabilities", "reference/capabilities"),
        Link("Machine-readable forms", "reference/downloads"),
        Link("Requirements", "requirements/index"),
        Link("Seeded defects", "requirements/defects"),
        Link("Scenarios", "scenarios/index"),
        Link("Probes", "scenarios/probes"),
        Link("Derived cases", DERIVED),
    )
    frames = (
        NavGroup(
            title,
            tuple((Link(view.type, view.target), "up" if view.sends else "down") for view in views),
        )
        for title, views in _grouped(site.frames)
    )
    return (
        NavGroup("Start", tuple((link, "") for link in start)),
        NavGroup("Guides", tuple((Link(guide.title, guide.target), "") for guide in site.guides)),
        NavGroup("Reference", tuple((link, "") for link in reference)),
        *frames,
    )
