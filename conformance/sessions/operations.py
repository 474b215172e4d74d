"""The steps of the control interface, as it has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from relaykit.conformance.sessions import frames
from relaykit.conformance.sessions.state import EXPIRY_S, Step, user_of


def operation_of(step: Step) -> tuple[str, Mapping[str, Any], str | None]:
    """A control step as an operation, its arguments (with references) and the name of its result."""
    with_ = step.with_
    match step.move:
        case "create_user":
            return "create_user", {"user_id": frames.user(with_["user"])}, None
        case "contact":
            one, other = (frames.user(user) for user in with_["users"])
            return "add_contact", {"user_id": one, "contact_id": other}, None
        case "create_group":
            return "create_group", {"members": [frames.user(u) for u in with_["users"]]}, f"g{with_['group']}"
        case "ask":
            soon = {"expires_in": EXPIRY_S} if with_.get("soon") else {}
            return "request_device_approval", {**_device(with_["device"]), **soon}, f"r{with_['r']}"
        case "decide":
            request = f"${{r{with_['r']}.request_id}}"
            return "decide_device_approval", {"request_id": request, "approved": with_["approved"]}, None
        case "revoke":
            return "revoke_device", _device(with_["device"]), None
        case "conversation" if "group" in with_:
            return "conversation", {"group_id": frames.group(with_["group"])}, f"v{with_['v']}"
        case "conversation":
            return "conversation", {"members": [frames.user(u) for u in with_["users"]]}, f"v{with_['v']}"
        case _:
            return (
                step.move,
                {"group_id": frames.group(with_["group"]), "user_id": frames.user(with_["user"])},
                None,
            )


def _device(name: str) -> dict[str, Any]:
    return {"user_id": frames.user(user_of(name)), "device_id": frames.device(name)}
