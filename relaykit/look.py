"""What all pages of the kit have in common for the eye, reports and documentation alike."""

from __future__ import annotations

from pathlib import Path


def look() -> str:
    """The style sheet that each page's own one follows: colours of both themes, type, focus."""
    return Path(__file__).with_name("look.css").read_text("utf-8")
