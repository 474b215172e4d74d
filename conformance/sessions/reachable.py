"""What sessions can reach at all with what a target offers: so that what was not reached can be told."""

from __future__ import annotations

import re

from relaykit.conformance.sessions import model
from relaykit.conformance.sessions.lab import Lab
from relaykit.conformance.sessions.moves import MOVES


def reachable(lab: Lab) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The moves and the transitions that are possible at all with what the target offers."""
    rules = lab.rules
    asked = {"devices", "request_device_approval", "decide_device_approval"}
    needs = {
        "typing": {"typing", "conversation"},
        "media_key": {"media_keys"},
        "signal": {"calls"},
        "call": {"calls"},
        "answer": {"calls"},
        "hang_up": {"calls"},
        "signal_wildly": {"calls"},
        "signal_falsely": {"calls"},
        "sync": {"sync"},
        "presence": {"presence"},
        "create_user": {"create_user"},
        "contact": {"add_contact"},
        "create_group": {"groups", "create_group"},
        "send_to_group": {"groups", "create_group"},
        "add_member": {"groups", "create_group", "add_member"},
        "remove_member": {"groups", "create_group", "remove_member"},
        "conversation": {"typing", "conversation"},
        **dict.fromkeys(("ask", "decide", "plead", "learn"), asked),
        "flood": {"limit"},
        "restart": {"restart"},
        "write_old": {"legacy_frames"},
        "expire": {*asked, "expires"},
        "crowd": {"crowd"},
        "revoke": {"devices", "revoke_device"},
        "knock": {"devices", "revoke_device"},
    }
    have = rules.capabilities | rules.operations
    able = {
        "limit": rules.flood,
        "restart": rules.restarts,
        "expires": rules.expires,
        "crowd": rules.crowd,
    }
    have = have | {each for each, there in able.items() if there}
    moves = tuple(name for name in MOVES if needs.get(name, set()) <= have)
    by_area = {
        "call": "signal",
        "presence": "presence",
        "typing": "typing",
        "media key": "media_key",
        "contacts": "contact",
        "user": "create_user",
        "sync": "sync",
        "group": "create_group",
        "conversation": "conversation",
    }
    found = tuple(
        name
        for name in model.TRANSITIONS
        if by_area.get(name.partition(":")[0]) in (None, *moves)
        and ("group" not in name or "create_group" in moves)
        and ("first device" not in name or "create_user" in moves)
        and (not name.startswith("presence: o") or rules.presence_is_prompt)
        and ("that left" not in name or rules.calls_end_promptly)
        and ("flood" not in name or rules.flood > 0)
        and ("deprecated" not in name or "write_old" in moves)
        and ("lapsed" not in name or "expire" in moves)
        and ("connection beyond" not in name or "crowd" in moves)
        and ("killed" not in name or rules.restarts)
        and ("revoked" not in name or "revoke" in moves)
        and (not re.match("device: (approv|pending|denied)", name) or "ask" in moves)
    )
    return moves, found
