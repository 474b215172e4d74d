"""Within the limits that the target file states: a case that needs more than that is untestable.

Decided when it comes to that, by what a case really does, so that no case has to say it: connections of a
user at the same time, bytes of a frame, messages that wait for a user. Frames go out no faster than the
target takes them. Limits that are not stated restrain nothing until the target shows that it has one (see
`unstated`), nor does one that the case is about (`Case.limits`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from relaykit.conformance.pacing import BurstPace, FramePace
from relaykit.conformance.results import Case
from relaykit.conformance.stops import UntestableError
from relaykit.conformance.target import Target

RATE = frozenset({"frames_per_second", "burst"})
"""The limits that make a rate."""

CONNECTIONS = "connections_per_user"
WAITING = "waiting_per_user"
TOO_MANY = 429
"""The HTTP status of a handshake that comes beyond a limit (LIM-03)."""

_WANTS = {
    CONNECTIONS: "more connections of one user at the same time",
    "max_frame_bytes": "larger frames",
    WAITING: "more messages that wait for one user",
}


def permitted_pace(
    target: Target, about: Collection[str] = (), more_time: Callable[[float], None] = lambda _: None
) -> FramePace | None:
    """What keeps a connection below the rate that a target permits; None: nothing has to.

    Args:
        about: limits that are to be gone beyond.
        more_time: see `FramePace`.
    """
    if target.frames_per_second is not None:
        return FramePace(target.frames_per_second, more_time)
    if not RATE.isdisjoint(about) or RATE.isdisjoint(target.stated):
        return None
    return BurstPace(target.limits["frames_per_second"], target.limits["burst"], more_time)


class Restraint:
    """What one case may do; its connections share it."""

    def __init__(self, target: Target, case: Case) -> None:
        self._target = target
        self._case = case
        self._limits = {name: target.limits[name] for name in target.stated - case.limits}
        self._waiting: dict[str, dict[str, set[str]]] = {}

    def afresh(self) -> Restraint:
        """The same for another set of people."""
        return Restraint(self._target, self._case)

    def connection(self, open_: int) -> None:
        """A user who has so many connections is about to open one more.

        Raises:
            UntestableError: that is more than the target permits.
        """
        self._ask(CONNECTIONS, open_ + 1)

    def refused(self, open_: int, status: int | None) -> None:
        """A connection of a user who has so many was refused with this HTTP status, for whatever reason.

        Raises:
            UntestableError: it is a further one, and may be one too many by a limit that nobody stated.
        """
        if status == TOO_MANY and open_ and CONNECTIONS not in self._target.stated | self._case.limits:
            how = f"refuses a further one with HTTP {status} (or limits how often one connects: `pacing`)"
            raise UntestableError(self.unstated(CONNECTIONS, how))

    def text(self, size: int) -> None:
        """A text message of so many bytes is about to be sent. Raises as `connection`."""
        self._ask("max_frame_bytes", size)

    def frame(self, frame: Mapping[str, Any], device: str, devices: Callable[[str], tuple[str, ...]]) -> None:
        """A valid frame is about to be sent: what comes to wait by it, or waits no longer.

        A message waits until each of its receiver's devices has acknowledged it, and one to a group for
        everybody: servers count differently, and none may count more.

        Args:
            device: the id of the device that sends it.
            devices: the ids of a user's devices in this case.

        Raises:
            UntestableError: more would wait for one user than the target lets wait.
        """
        if WAITING not in self._limits:
            return
        payload = frame.get("payload") or {}
        match frame.get("type"):
            case "send" | "message" as kind:
                whom = str(payload.get("receiver_id") or payload.get("recipient_id") or "").lower()
                # The deprecated frame's message gets its id from the server.
                name = (
                    str(frame.get("message_id")).lower()
                    if kind == "send"
                    else f"#{sum(map(len, self._waiting.values()))}"
                )
                self._waiting.setdefault(whom, {})[name] = set(devices(whom)) or {""}
                grouped = len(self._waiting.get("", ()))
                most = max(len(box) + (grouped if who else 0) for who, box in self._waiting.items())
                self._ask(WAITING, most)
            case "delivery_ack":
                self._acknowledged(str(frame.get("message_id")), device)
            case "read_receipt":
                for name in payload.get("message_ids") or ():
                    self._acknowledged(str(name), device)

    def _acknowledged(self, name: str, device: str) -> None:
        for box in self._waiting.values():
            open_ = box.get(name.lower())
            if open_ is not None:
                open_ -= {device, ""}
                if not open_:
                    del box[name.lower()]

    @property
    def room(self) -> float:
        """How many more messages may come to wait for whoever has most of them."""
        most = max((len(box) for box in self._waiting.values()), default=0)
        return self._limits.get(WAITING, float("inf")) - most

    def pace(self, more_time: Callable[[float], None]) -> FramePace | None:
        """What keeps a connection below the rate; None: nothing has to.

        Args:
            more_time: see `FramePace`.
        """
        return permitted_pace(self._target, self._case.limits, more_time)

    def _ask(self, limit: str, wanted: int) -> None:
        stated = self._limits.get(limit, wanted)
        if wanted > stated:
            raise UntestableError(self.reason(limit, stated))

    @staticmethod
    def reason(limit: str, stated: float) -> str:
        """Why a case is untestable; without what it wants, so that a summary has few reasons."""
        return f"needs {_WANTS[limit]} than the target states (limits.{limit}: {stated:g})"

    @staticmethod
    def unstated(limit: str, how: str) -> str:
        """Why a case is untestable that has met a limit which the target file does not state.

        Args:
            how: the target showed it, in the present tense.
        """
        return (
            f"needs {_WANTS[limit]} than the target seems to take, which {how}: state limits.{limit} in the "
            "target file, and the suite keeps within"
        )
