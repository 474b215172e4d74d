"""The tables of devices that are not simply approved, and of requests for approval.

An approved device has a box (see `mailbox`); this module keeps those that are pending, denied or revoked, and
what is open or still to be told. That little is held in memory, the tables make it last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from relaykit.reference_server.clock import Timer
from relaykit.reference_server.mailbox import Mailboxes
from relaykit.reference_server.store import Store

ACTIVE, PENDING, DENIED, REVOKED = "active", "pending", "denied", "revoked"
OPEN, APPROVED, WITHDRAWN = "open", "approved", "withdrawn"


@dataclass(frozen=True, slots=True)
class Request:
    """A request for the approval of a device.

    Attributes:
        id: `req-` and a UUID.
        user, device: UUIDs, lower case.
        expires: Unix time.
        shown: payload of the `device_approval_request` that shows it.
    """

    id: str
    user: str
    device: str
    expires: float
    shown: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Decision:
    """What a new device is still to be told."""

    request: str
    approved: bool


class Devices:
    """The standing of devices, and the requests for their approval."""

    def __init__(self, store: Store, mailboxes: Mailboxes) -> None:
        self._store = store
        self._mailboxes = mailboxes
        self._open: dict[str, Request] = {}
        self._untold: dict[tuple[str, str], Decision] = {}
        self._loaded = False
        self.timer: Timer | None = None
        """The next expiry."""
        self.due = 0.0
        """Its Unix time."""
        store.on_settle(lambda: None, self._forget)

    # --- standing ---

    def standing(self, user: str, device: str) -> str:
        """What a device is: ACTIVE if nothing else was decided about it, since tokens make devices known."""
        if self._mailboxes.box(user, device) is not None:
            return ACTIVE
        rows = self._store.read("SELECT state FROM devices WHERE user = ? AND device = ?", user, device)
        return str(rows[0][0]) if rows else ACTIVE

    def approved(self, user: str) -> list[str]:
        """The approved devices of a user, the oldest first."""
        return [box.device for box in self._mailboxes.boxes(user) if box.device]

    def primary(self, user: str) -> str | None:
        """The device that is asked about new ones: the oldest that is approved."""
        return next(iter(self.approved(user)), None)

    def revoke(self, user: str, device: str) -> None:
        """Refuse a device from now on; its open request and what it was to be told are void."""
        self._withdraw(user, device)
        self._mailboxes.dismiss(user, device)
        self._put(user, device, REVOKED)

    def readmit(self, user: str, device: str) -> None:
        """Approve a device, whatever was decided about it; it gets a new box, with nothing in it."""
        self._withdraw(user, device)
        self._store.write("DELETE FROM devices WHERE user = ? AND device = ?", user, device)
        self._mailboxes.register(user, device)

    # --- requests ---

    def ask(self, request: Request) -> None:
        """Open a request: the device is pending."""
        self._withdraw(request.user, request.device)
        self._put(request.user, request.device, PENDING)
        self._store.write(
            "INSERT INTO approvals VALUES (?, ?, ?, ?, ?, ?, 0)",
            *(request.id, request.user, request.device, request.expires, orjson.dumps(request.shown), OPEN),
        )
        self._open[request.id] = request

    def close(self, request: Request, *, approved: bool, told: bool) -> None:
        """Decide an open request; `told` says whether the device hears of it right away."""
        user, device = request.user, request.device
        self._load()
        if approved:
            # It gets a new row, since age is counted from the approval, and nothing that waited before.
            self._store.write("DELETE FROM devices WHERE user = ? AND device = ?", user, device)
            self._mailboxes.register(user, device)
        else:
            self._put(user, device, DENIED)
        state = APPROVED if approved else DENIED
        self._store.write("UPDATE approvals SET state = ?, told = ? WHERE id = ?", state, told, request.id)
        del self._open[request.id]
        if not told:
            self._untold[user, device] = Decision(request.id, approved)

    def open(self) -> Iterable[Request]:
        """All open requests, the oldest first."""
        self._load()
        return list(self._open.values())

    def open_of(self, user: str) -> list[Request]:
        """The open requests of one user, the oldest first."""
        self._load()
        return [request for request in self._open.values() if request.user == user]

    def find(self, request_id: str) -> Request | str | None:
        """An open request; the state of one that is closed; None if there is no such request."""
        self._load()
        if request_id in self._open:
            return self._open[request_id]
        rows = self._store.read("SELECT state FROM approvals WHERE id = ?", request_id)
        return str(rows[0][0]) if rows else None

    def untold(self, user: str, device: str) -> bool:
        """Whether there is a decision that a device was not told yet."""
        self._load()
        return (user, device) in self._untold

    def take_decision(self, user: str, device: str) -> Decision | None:
        """Hand out the decision that a device was not told yet, once."""
        self._load()
        decision = self._untold.pop((user, device), None)
        if decision is not None:
            self._store.write("UPDATE approvals SET told = 1 WHERE id = ?", decision.request)
        return decision

    # --- inside ---

    def _put(self, user: str, device: str, state: str) -> None:
        self._store.write(
            "INSERT INTO devices (user, device, state) VALUES (?, ?, ?)"
            " ON CONFLICT (user, device) DO UPDATE SET state = excluded.state",
            *(user, device, state),
        )

    def _withdraw(self, user: str, device: str) -> None:
        self._load()
        self._untold.pop((user, device), None)
        for request in self.open_of(user):
            if request.device == device:
                del self._open[request.id]
        self._store.write(
            "UPDATE approvals SET told = 1, state = CASE state WHEN ? THEN ? ELSE state END"
            " WHERE user = ? AND device = ?",
            *(OPEN, WITHDRAWN, user, device),
        )

    def _load(self) -> None:
        if self._loaded:
            return
        rows = self._store.read(
            "SELECT id, user, device, expires, shown, state FROM approvals WHERE told = 0 ORDER BY rowid"
        )
        for id_, user, device, expires, shown, state in rows:
            if state == OPEN:
                self._open[id_] = Request(id_, user, device, expires, orjson.loads(shown))
            else:
                self._untold[user, device] = Decision(id_, state == APPROVED)
        self._loaded = True

    def _forget(self) -> None:
        self._open.clear()
        self._untold.clear()
        self._loaded = False
