"""axe-core, which finds what keeps people with disabilities out."""

from __future__ import annotations

from typing import Any

from support.node_tools import node_tools

_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


_COLOURS = ["color-contrast", "link-in-text-block"]
"""The rules whose answer a theme can change."""


def violations(page: Any, *, colours_only: bool = False) -> list[str]:
    """What axe finds on a page of playwright, as lines that say where.

    Args:
        colours_only: judge colours alone, on a page that was judged by everything in another theme.
    """
    # Not as a script element: a page's content security policy would rightly refuse it.
    page.evaluate((node_tools() / "axe-core" / "axe.min.js").read_text("utf-8"))
    chosen = {"type": "rule", "values": _COLOURS} if colours_only else {"type": "tag", "values": _RULES}
    options = {"runOnly": chosen, "resultTypes": ["violations"]}
    found = page.evaluate("options => axe.run(options)", options)["violations"]
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}"
        for each in found
        for node in each["nodes"][:5]
    ]
