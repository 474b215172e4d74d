"""A badge that says to which profiles a server conforms: data for a shields endpoint, or a drawn SVG."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from markupsafe import escape

from relaykit.conformance.reports.claims import claimed

Data = Mapping[str, Any]

# Advance widths of Verdana 11 px, roughly; narrow and wide letters apart from the rest.
_NARROW, _WIDE = frozenset("iljtfrI.,:;'|!()[] "), frozenset("mwMW@%+")
_COLOURS = {"brightgreen": "#2f7d4f", "red": "#b3382c", "yellow": "#8a5d00", "lightgrey": "#5d6670"}
"""shields' names of colours, and what is drawn: dark enough for white letters."""


def message(data: Data) -> tuple[str, str]:
    """What the badge says, and the colour (by shields' names)."""
    names = claimed(data)
    if names:
        return " + ".join(names), "brightgreen"
    if data["outcome"].get("interrupted"):
        return "interrupted", "lightgrey"
    if data["summary"].get("error"):
        return "not judged", "lightgrey"
    declared = [c for c in data["outcome"].get("profiles", ()) if c["verdict"] != "not-declared"]
    broken = {name for claim in declared for name in claim["broken"]}
    if broken or data["summary"].get("fail"):
        return f"{len(broken) or data['summary']['fail']} broken", "red"
    return "not shown", "yellow"


def title(data: Data) -> str:
    """The left half: the protocol and its version."""
    return f"relay protocol {data['protocol']['version']}"


def to_endpoint(data: Data) -> bytes:
    """JSON for an endpoint badge of shields."""
    said, colour = message(data)
    endpoint = {"schemaVersion": 1, "label": title(data), "message": said, "color": colour}
    if colour == "red":
        endpoint["isError"] = True
    return json.dumps(endpoint, indent=2).encode() + b"\n"


def _width(text: str) -> int:
    return round(sum(4.2 if c in _NARROW else 10.2 if c in _WIDE else 6.9 for c in text))


def to_svg(data: Data) -> bytes:
    """The badge as a drawing of its own, in the familiar form."""
    said, colour = message(data)
    left = title(data)
    first, second = _width(left) + 12, _width(said) + 12
    total = first + second
    whole = escape(f"{left}: {said}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{total}" height="20" role="img"'
        f' aria-label="{whole}"><title>{whole}</title>'
        f'<clipPath id="r"><rect width="{total}" height="20" rx="4"/></clipPath>'
        f'<g clip-path="url(#r)"><path fill="#3b424b" d="M0 0h{first}v20H0z"/>'
        f'<path fill="{_COLOURS[colour]}" d="M{first} 0h{second}v20H{first}z"/></g>'
        '<g fill="#fff" text-anchor="middle" font-family="Verdana,Geneva,DejaVu Sans,sans-serif"'
        ' font-size="11">'
        f'<text x="{first / 2:g}" y="14" textLength="{first - 12}">{escape(left)}</text>'
        f'<text x="{first + second / 2:g}" y="14" textLength="{second - 12}">{escape(said)}</text>'
        "</g></svg>\n"
    ).encode()
