"""Generated parts for those who write a server: what to do with each frame and fault, and what is judged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from relaykit.docs_gen.fields import STAMPS
from relaykit.docs_gen.frames import destination
from relaykit.docs_gen.material import Material
from relaykit.docs_gen.model import Block, Code, Prose, RequirementView, Table, TableRow
from relaykit.docs_gen.text import either
from relaykit.errors import UsageError
from relaykit.schemas import Catalogue, FrameSpec

_CASES_SHOWN = 3


def dispatch(material: Material, _: tuple[str, ...]) -> tuple[Block, ...]:
    """Each type that clients send: what the sender gets for it, and what goes out to others."""
    catalogue = material.names.catalogue
    rows = []
    for view in material.frames:
        if not view.sends:
            continue
        spec = catalogue.frame("c2s", view.type)
        rows.append(
            TableRow(
                f"dispatch-{view.type}",
                (
                    f"[`{view.type}`]({view.target})",
                    f"[{spec.capability}](reference/capabilities#{spec.capability})",
                    ", ".join(_answers(spec, catalogue)) or "nothing",
                    _onward(spec, catalogue),
                ),
            )
        )
    head = ("A client sends", "Capability", "Its sender gets", "Goes on to")
    return (Table("What to do with each frame", head, tuple(rows)),)


def _answers(spec: FrameSpec, catalogue: Catalogue) -> Iterator[str]:
    """What the server itself answers with: neither what peers send in reply, nor errors."""
    for reply in spec.replies:
        by_peer = ("c2s", reply.type) in catalogue.frames
        if reply.code is None and not by_peer:
            yield f"[`{reply.type}`](frames/s2c/{reply.type})"


def _onward(spec: FrameSpec, catalogue: Catalogue) -> str:
    if spec.route is None:
        return "nobody as it is"
    arrives = catalogue.frames[("s2c", spec.type)]
    stamped = [_field(place) for place in arrives.stamps]
    setting = f", with {either(stamped, 'and')} set by the server" if stamped else ""
    return f"{destination(spec.route)}, as [`{spec.type}`](frames/s2c/{spec.type}){setting}"


def _field(pointer: str) -> str:
    return f"`{pointer[1:].replace('/', '.')}`"


def stamps(material: Material, _: tuple[str, ...]) -> tuple[Block, ...]:
    """Each type that servers send: which fields the server fills in, and with what."""
    catalogue = material.names.catalogue
    rows = []
    for view in material.frames:
        spec = catalogue.frames[(view.direction, view.type)]
        if view.sends or not spec.stamps:
            continue
        words = "; ".join(
            f"`{place[1:].replace('/', '.')}`: {STAMPS.get(what, what)}"
            for place, what in spec.stamps.items()
        )
        rows.append(TableRow(None, (f"[`{view.type}`]({view.target})", words)))
    return (Table("What servers fill in", ("A server sends", "It fills in"), tuple(rows)),)


def server_example(material: Material, types: tuple[str, ...]) -> tuple[Block, ...]:
    """The first example of frames, as a server sees them: `s2c/deliver`.

    Raises:
        UsageError: there is no such frame.
    """
    views = {view.target: view for view in material.frames}
    blocks = []
    for name in types:
        view = views.get(f"frames/{name}")
        if view is None:
            raise UsageError(f"there is no frame {name!r} (write c2s/send or s2c/deliver)")
        caption = "A client sends" if view.sends else "Your server sends"
        shown = view.examples[0]
        blocks.append(Code(f"{caption} `{view.type}`", "json", shown.text, shown.lines))
    return tuple(blocks)


def faults(material: Material, _: tuple[str, ...]) -> tuple[Block, ...]:
    """What can be wrong with a frame before and beside its schema, in the order in which a server looks."""
    rules = material.names.catalogue.protocol.faults["c2s"]
    rows = tuple(
        TableRow(None, (f"[{id_}]({material.requirements[id_].target})", material.requirements[id_].text))
        for id_ in dict.fromkeys(rules.values())
    )
    return (Table("What can be wrong with a frame", ("Rule", "What is asked"), rows),)


def checklist(material: Material, _: tuple[str, ...]) -> tuple[Block, ...]:
    """Every requirement that the smallest run judges: profile smoke, and a target that declares nothing."""
    cases: dict[str, list[str]] = {}
    for case in material.told.cases:
        if case.basic:
            for id_ in case.requirements:
                cases.setdefault(id_, []).append(f"[{case.id}]({case.target})")
    blocks: list[Block] = []
    for title, views in _by_area(view for id_, view in material.requirements.items() if id_ in cases):
        blocks.append(Prose(f"### {title}\n"))
        rows = tuple(
            TableRow(None, (f"[{view.id}]({view.target})", view.text, _few(cases[view.id]))) for view in views
        )
        blocks.append(Table(f"Checklist: {title}", ("ID", "Requirement", "Judged by"), rows))
    return tuple(blocks)


def _by_area(views: Iterable[RequirementView]) -> Iterator[tuple[str, list[RequirementView]]]:
    found: dict[str, list[RequirementView]] = {}
    for view in views:
        found.setdefault(view.area_title, []).append(view)
    yield from found.items()


def _few(cases: list[str]) -> str:
    more = len(cases) - _CASES_SHOWN
    return ", ".join(cases[:_CASES_SHOWN]) + (f" and {more} more" if more > 0 else "")
