"""Why a case ends before its last step without being a failure of the suite."""

from __future__ import annotations


class CaseStop(Exception):
    """The case goes no further; what there is to say stands among its outcomes."""


class UntestableError(Exception):
    """The target does not offer something that the case needs; the message says what."""


class NotApplicableError(Exception):
    """The case has no meaning for this target; the message says why."""
