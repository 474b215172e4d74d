"""What the generated parts of guides are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from relaykit.docs_gen.diagrams import StateDiagram
from relaykit.docs_gen.links import Names
from relaykit.docs_gen.model import Block, FrameView, RequirementView, ScenarioView
from relaykit.docs_gen.suite import Told


@dataclass(frozen=True, slots=True)
class Material:
    """Everything that parts are made of."""

    names: Names
    frames: tuple[FrameView, ...]
    requirements: Mapping[str, RequirementView]
    scenarios: Mapping[str, ScenarioView]
    states: Mapping[str, StateDiagram]
    told: Told


Part = Callable[[Material, tuple[str, ...]], tuple[Block, ...]]
