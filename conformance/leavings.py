"""What a run made on the target by the control interface, and taking it back at the end.

Only what this run made is touched, one by one: a server may have other users. `reset`, which forgets
everything, is called only where the target file says so (`tidy: reset`). What nothing takes back (users, a
clock that was moved) is said in the report.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from relaykit.conformance.control import (
    Control,
    ControlFailedError,
    ControlMissingError,
    ControlRefusedError,
)

Tidy = Literal["own", "reset", "none"]
"""What is done at the end of a run; see `tidy` of the target file."""
_AT_ONCE = 8
_SHOWN = 3


@dataclass(slots=True)
class Leavings:
    """What is on the target because of this run.

    Attributes:
        users: ids of those who connected.
        groups: id → members.
        requests: ids of requests for approval that nobody has decided.
        faulty: whether writes were made to fail, and may still do.
    """

    users: set[str] = field(default_factory=set)
    groups: dict[str, set[str]] = field(default_factory=dict)
    requests: dict[str, None] = field(default_factory=dict)
    faulty: bool = False

    def note(self, operation: str, arguments: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        """A control operation was carried out."""
        group = str(result.get("group_id") or arguments.get("group_id"))
        match operation:
            case "create_user":
                self.users.add(str(result.get("user_id") or arguments.get("user_id")).lower())
            case "create_group":
                self.groups[group] = {str(member) for member in arguments.get("members", ())}
            case "add_member" if group in self.groups:
                self.groups[group].add(str(arguments.get("user_id")))
            case "remove_member" if group in self.groups:
                self.groups[group].discard(str(arguments.get("user_id")))
            case "request_device_approval":
                self.requests[str(result.get("request_id"))] = None
            case "decide_device_approval" | "expire_approval":
                self.requests.pop(str(arguments.get("request_id")), None)
            case "inject_fault":
                self.faulty = bool(arguments.get("count"))
            case "reset":
                self.forget()

    def forget(self) -> None:
        """All of it is gone."""
        self.users.clear()
        self.groups.clear()
        self.requests.clear()
        self.faulty = False


class Noted:
    """A control interface, and a note of what is made with it."""

    def __init__(self, control: Control, made: Leavings) -> None:
        self._control = control
        self._made = made

    async def call(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """See `Control`."""
        result = await self._control.call(operation, arguments)
        self._made.note(operation, arguments, result)
        return result

    async def close(self) -> None:
        """See `Control`."""
        await self._control.close()


@dataclass(frozen=True, slots=True)
class Tidied:
    """What became of it.

    Attributes:
        taken_back: what → how many of it.
        left: what → how many of it are still there.
        clock_s: by how many seconds the target's clock is ahead because of this run.
        reset: whether everything was forgotten.
        why: why something was left that could have been taken back.
    """

    taken_back: Mapping[str, int] = field(default_factory=dict)
    left: Mapping[str, int] = field(default_factory=dict)
    clock_s: float = 0.0
    reset: bool = False
    why: tuple[str, ...] = ()

    def in_words(self) -> str | None:
        """A line for people about what is left; None if nothing is, but for users, who always stay."""
        if not self.clock_s and not self.why and set(self.left) <= {"users"}:
            return None
        parts = [f"{count} {what if count != 1 else what[:-1]}" for what, count in self.left.items() if count]
        if self.clock_s > 0:
            parts.append(f"its clock {self.clock_s:g} s ahead (no operation puts it back; a new start does)")
        why = f" ({'; '.join(self.why[:_SHOWN])})" if self.why else ""
        return f"the run left behind on the target: {', '.join(parts) or 'perhaps something'}{why}"


async def take_back(
    control: Control | None,
    made: Leavings,
    how: Tidy,
    *,
    offers: Callable[[str], bool],
    clock_s: float,
    seconds: float,
) -> Tidied:
    """Take back what a run made, as far as the control interface can.

    Args:
        offers: whether it may have an operation.
        clock_s: by how much the run has moved the target's clock.
        seconds: after which the rest is left. (A target may be slow, or gone.)
    """
    before = {"groups": len(made.groups), "open requests": len(made.requests)}
    why: list[str] = []
    wiped = False
    if control is not None and how != "none":
        try:
            async with asyncio.timeout(seconds):
                wiped = how == "reset" and await _reset(control, made, why)
                if not wiped:
                    await _one_by_one(control, made, offers, why)
        except TimeoutError:
            why.append(f"tidying took longer than {seconds:g} s")
    left = {"users": len(made.users), "groups": len(made.groups), "open requests": len(made.requests)}
    taken = {what: count - left[what] for what, count in before.items() if count > left[what]}
    return Tidied(taken, {what: count for what, count in left.items() if count}, clock_s, wiped, tuple(why))


async def _reset(control: Control, made: Leavings, why: list[str]) -> bool:
    try:
        await control.call("reset", {})
    except (ControlMissingError, ControlFailedError) as error:
        why.append(f"`tidy: reset` was asked for, but {error}")
        return False
    made.forget()
    return True


async def _one_by_one(
    control: Control, made: Leavings, offers: Callable[[str], bool], why: list[str]
) -> None:
    few, broken = asyncio.Semaphore(_AT_ONCE), list[str]()

    async def call(operation: str, arguments: Mapping[str, Any]) -> bool:
        async with few:
            if broken:  # it is out of order: the rest would fail alike, or wait in vain
                return False
            try:
                await control.call(operation, arguments)
            except ControlMissingError:
                return False
            except ControlRefusedError:
                pass  # it is gone, or decided already, which is as good
            except ControlFailedError as error:
                broken.append(str(error))
                return False
        return True

    if made.faulty and await call("inject_fault", {"count": 0}):
        made.faulty = False
    if offers("remove_member"):
        await asyncio.gather(*(_leave(call, made, group) for group in tuple(made.groups)))
    if offers("decide_device_approval"):
        await asyncio.gather(*(_deny(call, made, request) for request in tuple(made.requests)))
    why += broken[:1]


async def _leave(call: Callable[..., Awaitable[bool]], made: Leavings, group: str) -> None:
    """Let everybody leave a group: one without members is gone."""
    for member in sorted(made.groups[group]):
        if not await call("remove_member", {"group_id": group, "user_id": member}):
            return
    made.groups.pop(group, None)


async def _deny(call: Callable[..., Awaitable[bool]], made: Leavings, request: str) -> None:
    if await call("decide_device_approval", {"request_id": request, "approved": False}):
        made.requests.pop(request, None)
