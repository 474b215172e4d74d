"""What the model has to know of a target, from its target file."""

from __future__ import annotations

from relaykit.conformance.environment import Environment
from relaykit.conformance.restraint import RATE
from relaykit.conformance.sessions.state import DEVICES, EXPIRY_S, Rules
from relaykit.conformance.target import Target
from relaykit.schemas import control_operations

_FLOOD = 1000
"""More frames than this are no step of a session."""
_CROWD = 40
"""And more connections."""


def rules_of(env: Environment) -> Rules:
    """What the model has to know of a target."""
    target, control_ = env.target, env.target.control
    offered = control_operations() if control_ is not None else ()
    return Rules(
        target.capabilities,
        frozenset(name for name in offered if target.offers(name)),
        presence_is_prompt=target.timing["presence_grace_s"] == 0,
        calls_end_promptly=target.timing["call_grace_s"] == 0,
        legacy=target.legacy is not None and "legacy_frames" in target.capabilities,
        flood=_flood(target),
        connections=_connections(target),
        crowd=_crowd(target),
        waiting=_waiting(env),
        # What else happens in that time must not end anything: not silence, and not a ring.
        expires=target.offers("advance_clock") and target.timing["idle_timeout_s"] > 2 * EXPIRY_S,
    )


def _connections(target: Target) -> int:
    """How many connections a user may have; 0 where its file does not say."""
    limit = "connections_per_user"
    return int(target.limits[limit]) if limit in target.stated else 0


def _waiting(env: Environment) -> int:
    """How many messages wait for a user before one more can be refused; the fewest, if that is not stated."""
    limit, stated = "waiting_per_user", env.target.stated
    known = env.target.limits if limit in stated else {limit: env.catalogue.protocol.limits[limit].minimum}
    return int(known[limit])


def _crowd(target: Target) -> int:
    """How many connections are a crowd; 0 where that is not known, or no number that can be tried."""
    return limit if len(DEVICES) < (limit := _connections(target)) <= _CROWD else 0


def _flood(target: Target) -> int:
    """How many frames at once are too many for a target; 0 where its file does not say, or it takes many."""
    rate, burst = target.limits["frames_per_second"], target.limits["burst"]
    known = target.stated >= RATE and target.frames_per_second is None
    # Some of them are handled as others arrive, while more become permitted.
    count = int(burst + 2 * rate)
    return count if known and count <= _FLOOD else 0
