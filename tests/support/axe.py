"""axe-core, which finds what keeps people with disabilities out."""

from __future__ import annotations

from typing import Any

from support.node_tools import node_tools

_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def violations(page: Any) -> list[str]:
    """What axe finds on a page of playwright, as lines that say where."""
    # Not as a script element: a page's content security policy would rightly refuse it.
    page.evaluate((node_tools() / "axe-core" / "axe.min.js").read_text("utf-8"))
    found = page.evaluate("tags => axe.run({runOnly: {type: 'tag', values: tags}})", _RULES)["violations"]
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}"
        for each in found
        for node in each["nodes"][:5]
    ]
