"""The requirements: complete, well-formed, and their IDs permanent.

Every check is a function over the folder of a catalogue, so that each can be shown to fail on a broken copy.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from support.catalogues import copied

from relaykit.errors import UsageError
from relaykit.schemas import Catalogue, load_catalogue

ROOT = load_catalogue().root
LEDGER = "requirements/ids.txt"
_LINE = re.compile(r"([A-Z]{3,4})-([0-9]{2})(?: retired: (\S.*))?")
# The words of RFC 2119, and their lower-case forms, which would leave the level of a sentence in doubt.
_LEVELS = re.compile(r"\b(?:MUST NOT|MUST|SHOULD NOT|SHOULD|MAY)\b|\b(?:must|should|may|shall)\b")


def ledger(root: Path) -> list[tuple[str, str | None]]:
    """(ID, why it was retired or None), in the order of the file."""
    lines = (root / LEDGER).read_text("utf-8").splitlines()
    entries = []
    for line in lines:
        if line and not line.startswith("#"):
            match = _LINE.fullmatch(line)
            assert match, f"{LEDGER}: not an entry: {line!r}"
            entries.append((f"{match[1]}-{match[2]}", match[3]))
    return entries


def id_faults(root: Path) -> list[str]:
    """IDs that changed, vanished, came back, or were given out of turn."""
    entries = ledger(root)
    listed = [id_ for id_, _ in entries]
    retired = {id_ for id_, reason in entries if reason}
    present = set(load_catalogue(root).requirements)
    faults = [f"{id_}: twice in the ledger" for id_, count in Counter(listed).items() if count > 1]
    faults += [
        f"{id_}: not in the ledger (requirements/ids.txt), which keeps IDs permanent"
        for id_ in sorted(present - set(listed))
    ]
    faults += [f"{id_}: vanished" for id_ in sorted(set(listed) - retired - present)]
    faults += [f"{id_}: retired, yet there" for id_ in sorted(retired & present)]
    for area in {id_.partition("-")[0] for id_ in listed}:
        numbers = [int(id_.partition("-")[2]) for id_ in listed if id_.startswith(f"{area}-")]
        if numbers != list(range(1, len(numbers) + 1)):
            faults.append(f"{area}: the ledger's numbers are not 1 to {len(numbers)} in turn: one is missing")
    return faults


def area_faults(root: Path) -> list[str]:
    """Requirements in another file than their area's, areas without requirements, files without an area."""
    catalogue = load_catalogue(root)
    files = {area.file: prefix for prefix, area in catalogue.protocol.areas.items()}
    faults = []
    for path in sorted((root / "requirements").glob("*.yaml")):
        prefix = files.pop(path.stem, None)
        ids = re.findall(r"^- id: (\S+)$", path.read_text("utf-8"), re.MULTILINE)
        if prefix is None:
            faults.append(f"{path.name}: no area has this file")
        faults += [f"{path.name}: {id_} belongs elsewhere" for id_ in ids if not id_.startswith(f"{prefix}-")]
    return faults + [f"{prefix}: no requirements" for prefix in files.values()]


def name_faults(root: Path) -> list[str]:
    """Types, error codes and capabilities that requirements name and that do not exist."""
    catalogue = load_catalogue(root)
    known = types(catalogue)
    faults = []
    for req in catalogue.requirements.values():
        place, codes = placed(catalogue, req.id), catalogue.protocol.error_codes
        faults += [f"{place}: unknown type {name}" for name in req.frames if name not in known]
        faults += [f"{place}: unknown error code {name}" for name in req.error_codes if name not in codes]
        if req.capability is not None and req.capability not in catalogue.protocol.capabilities:
            faults.append(f"{place}: unknown capability {req.capability}")
        if req.capability == "core":
            faults.append(f"{place}: core goes without saying")
    return faults


def coverage_faults(root: Path) -> list[str]:
    """Types, error codes and capabilities that no requirement names."""
    catalogue = load_catalogue(root)
    requirements = catalogue.requirements.values()
    frames = {name for req in requirements for name in req.frames}
    codes = {name for req in requirements for name in req.error_codes}
    capabilities = {req.capability for req in requirements} | {"core"}
    faults = [f"type {name}: named by no requirement" for name in sorted(types(catalogue) - frames)]
    faults += [f"code {n}: named by no requirement" for n in catalogue.protocol.error_codes if n not in codes]
    return faults + [
        f"capability {n}: named by no requirement"
        for n in catalogue.protocol.capabilities
        if n not in capabilities
    ]


def text_faults(root: Path) -> list[str]:
    """Texts that do not state their level once, are more than one sentence, or stand twice."""
    faults, texts = [], Counter[str]()
    catalogue = load_catalogue(root)
    for req in catalogue.requirements.values():
        place = placed(catalogue, req.id)
        words = _LEVELS.findall(req.text)
        if words != [req.level]:
            faults.append(f"{place}: its level is {req.level}, its text says {' and '.join(words) or 'none'}")
        if re.search(r"[.!?] ", req.text):
            faults.append(f"{place}: more than one sentence")
        texts[req.text] += 1
        if texts[req.text] > 1:
            faults.append(f"{place}: another requirement has the same text")
    return faults


def schema_faults(root: Path) -> list[str]:
    """What the loader refuses: shape, levels, headings of the source, an ID that stands twice."""
    try:
        load_catalogue(root).requirements  # noqa: B018  (read when asked for)
    except UsageError as error:
        return [str(error)]
    return []


def placed(catalogue: Catalogue, id_: str) -> str:
    """The file of a requirement, and its ID."""
    area = catalogue.protocol.areas[id_.partition("-")[0]]
    return f"requirements/{area.file}.yaml: {id_}"


def types(catalogue: Catalogue) -> frozenset[str]:
    return catalogue.types("c2s") | catalogue.types("s2c")


CHECKS: tuple[Callable[[Path], list[str]], ...] = (
    schema_faults,
    id_faults,
    area_faults,
    name_faults,
    coverage_faults,
    text_faults,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_requirements_are_sound(check: Callable[[Path], list[str]]) -> None:
    faults = check(ROOT)
    assert not faults, "\n".join(faults)


# (the check that must notice, file, text there, what takes its place, what the fault says)
BREAKS = [
    (id_faults, "messages.yaml", "id: MSG-43", "id: MSG-99", "MSG-43: vanished"),
    (id_faults, "ids.txt", "\nMSG-02\n", "\n", "not in the ledger"),
    (id_faults, "ids.txt", "MSG-02", "MSG-02 retired: no longer", "yet there"),
    (id_faults, "ids.txt", "MSG-02", "MSG-02\nMSG-02", "twice in the ledger"),
    (id_faults, "ids.txt", "MSG-02\nMSG-03", "MSG-03\nMSG-02", "in turn"),
    (schema_faults, "messages.yaml", "id: MSG-02", "id: MSG-01", "stands twice"),
    (schema_faults, "messages.yaml", "level: MUST\n", "level: WILL\n", "/level"),
    (schema_faults, "messages.yaml", "source: ", "source: x", "/source"),
    (schema_faults, "messages.yaml", "provenance: ", "from: ", "from"),
    (area_faults, "typing.yaml", "id: TYP-01", "id: MED-99", "belongs elsewhere"),
    (name_faults, "typing.yaml", "[typing]", "[tping]", "unknown type tping"),
    (name_faults, "errors.yaml", "[server_error]", "[oops]", "unknown error code oops"),
    (name_faults, "sync.yaml", "capability: sync", "capability: sink", "unknown capability sink"),
    (coverage_faults, "keepalive.yaml", "connection_timeout]", "auth_failed]", "code connection_timeout"),
    (coverage_faults, "typing.yaml", "capability: typing", "capability: sync", "capability typing"),
    (text_faults, "messages.yaml", "A `send` MUST", "A `send` should", "text says should"),
    (text_faults, "messages.yaml", "A `send` MUST", "A `send` MUST NOT", "text says MUST NOT"),
    (text_faults, "messages.yaml", "A `send` MUST", "A `send`. It MUST", "more than one sentence"),
]


@pytest.mark.parametrize(
    ("check", "file", "old", "new", "fault"), BREAKS, ids=[f"{b[0].__name__}-{b[4]}" for b in BREAKS]
)
def test_a_broken_copy_is_noticed(
    tmp_path: Path, check: Callable[[Path], list[str]], file: str, old: str, new: str, fault: str
) -> None:
    root = copied(tmp_path)
    path = root / "requirements" / file
    text = path.read_text("utf-8")
    assert old in text, "the test itself is out of date"
    path.write_text(text.replace(old, new), "utf-8")
    assert any(fault in line for line in check(root)), check(root)


def test_a_type_that_no_requirement_names_is_noticed(tmp_path: Path) -> None:
    root = copied(tmp_path)
    known = root / "frames" / "c2s" / "typing.schema.json"
    text = known.read_text("utf-8").replace('"const": "typing"', '"const": "murmur"')
    known.with_name("murmur.schema.json").write_text(text, "utf-8")
    assert coverage_faults(root) == ["type murmur: named by no requirement"]
