"""Defects in the limit on how deep frames are nested."""

from __future__ import annotations

import json

from relaykit.reference_server.defects import Defect
from relaykit.reference_server.defects.validation_lenient import taking_text

DEPTH = (
    Defect(
        "any-depth-taken",
        "A frame may be nested as deep as a parser reads it.",
        ("LIM-19",),
        taking_text("depth", json.loads),
    ),
)
