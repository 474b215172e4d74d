"""The protocol as data, and the only code that reads it.

    >>> from relaykit.schemas import load_catalogue
    >>> catalogue = load_catalogue()
    >>> catalogue.validate(b'{"type":"heartbeat"}', "c2s").valid
    True
    >>> wrong = b'{"type":"presence","payload":{"status":"onlin"}}'
    >>> for finding in catalogue.validate(wrong, "c2s").findings:
    ...     print(finding.pointer, finding.keyword, finding.message)
    /payload/status enum must be one of "online", "offline", "away", "busy" (did you mean 'online'?)

A catalogue never changes. The schema is always chosen by the frame's `type` and direction (`c2s`: from a
client, `s2c`: from the server). `decode` parses strictly, `judge` and `is_valid` look at a parsed frame,
`validate` does both; `frame` and `types` look a frame up; `protocol` and `requirements` hold the rest;
`bundle` and `frame_bundle` write self-contained schemas for other tools. `control_operations` describes what
test benches arrange beside the frames, `state_machines` what states messages, calls and devices go through.
"""

from relaykit.schemas.bundle import bundle, frame_bundle
from relaykit.schemas.catalogue import Catalogue, UnknownType, load_catalogue
from relaykit.schemas.control import Operation, control_operations
from relaykit.schemas.frozen import thaw
from relaykit.schemas.lines import control_lines
from relaykit.schemas.model import (
    DIRECTIONS,
    Area,
    Capability,
    Carrier,
    CloseCode,
    Deprecated,
    Direction,
    Engine,
    ErrorCode,
    Finding,
    FrameSpec,
    Limit,
    Profile,
    Protocol,
    Reply,
    Requirement,
    Route,
    Validation,
    Vector,
)
from relaykit.schemas.states import Machine, Move, Way, state_machines
from relaykit.schemas.strict_json import FrameError

__all__ = [
    "DIRECTIONS",
    "Area",
    "Capability",
    "Carrier",
    "Catalogue",
    "CloseCode",
    "Deprecated",
    "Direction",
    "Engine",
    "ErrorCode",
    "Finding",
    "FrameError",
    "FrameSpec",
    "Limit",
    "Machine",
    "Move",
    "Operation",
    "Profile",
    "Protocol",
    "Reply",
    "Requirement",
    "Route",
    "UnknownType",
    "Validation",
    "Vector",
    "Way",
    "bundle",
    "control_lines",
    "control_operations",
    "frame_bundle",
    "load_catalogue",
    "state_machines",
    "thaw",
]
