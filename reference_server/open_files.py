"""How many files this process may have open: each connection is one of them."""

from __future__ import annotations

import contextlib
import logging
import resource

log = logging.getLogger(__name__)

OTHERS = 64
"""Files beside connections: the store, what is listened on, the other ports' connections."""


def connections_for(wanted: int) -> int:
    """See that so many connections may be open at a time, as far as the system lets us.

    Returns:
        how many may be: fewer than wanted where the system permits no more files.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + OTHERS
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with contextlib.suppress(ValueError, OSError):  # a system may permit less than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    most = max(1, soft - OTHERS)
    log.info("at most %d connections: the system lets this process open %d files (ulimit -n)", most, soft)
    return most
