"""Who fuzzes whom: cells of three connections, each about the others and nobody else.

Alice's phone and laptop and bob, arranged as derived cases have them: acquainted, in a group, in a
conversation. What one sends must reach the others of its cell, and nothing else may.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from relaykit.conformance.context import Context, Device, Environment
from relaykit.conformance.derived.stations import arranged
from relaykit.conformance.fuzz.generator import Who
from relaykit.conformance.fuzz.link import Batch, Check, Link, Room, Sent
from relaykit.conformance.fuzz.oracle import Duty
from relaykit.conformance.results import Case

PHONE, LAPTOP, BOB = "alice.phone", "alice.laptop", "bob"
_MESSAGES = frozenset({"deliver", "group_message", "message"})
_SIGNALS = ("call_answer", "call_reject", "call_end", "call_busy", "ice_candidate")
_SYNC = ("sync_request", "sync_data", "sync_ack")
_PROPER = 8
"""Of what must be passed on, so many are tried for whether it also comes to somebody else."""
_RELAYED = frozenset(("typing", "media_key", "call_offer", *_SIGNALS, *_SYNC))
"""What may be answered with an error when nobody is there to get it."""


@dataclass(slots=True, eq=False)
class Cell:
    """Three links, by name, and the context in which their people were arranged."""

    context: Context
    links: dict[str, Link]
    room: Room = field(default_factory=Room)

    def __post_init__(self) -> None:
        for link in self.links.values():
            link.room = self.room

    @property
    def whole(self) -> bool:
        return all(link.ended is None for link in self.links.values())

    @property
    def limited(self) -> bool:
        """Whether the target refused frames for their number: what came of the others nobody knows."""
        return any(link.limited for link in self.links.values())

    @property
    def hangs(self) -> bool:
        """Whether what was sent is not answered."""
        return any(link.inflight for link in self.links.values())

    @property
    def suspicious(self) -> bool:
        """Whether something came that must be looked into, as far as single connections show.

        A connection that ended after repeated violations is nothing of that kind (VAL-14).
        """
        if self.limited:
            return False
        return any(self.doubtful()) or any(
            link.interval.forbidden or (link.inflight if link.ended is None else _violations(link) < 2)
            for link in self.links.values()
        )

    def doubtful(self) -> Iterator[tuple[str, Link, Batch]]:
        """Batches with too many or too few errors, and who sent them.

        Once a connection of the cell has ended, what is for it may be answered with an error.
        """
        for name, link in self.links.items():
            for batch in link.suspicious:
                vain = 0 if self.whole else sum(s.exact and s.kind in _RELAYED for s in batch.sent)
                if not batch.least <= batch.errors <= batch.most + vain:
                    yield name, link, batch

    @property
    def usable(self) -> bool:
        """Whether more can be sent, and judged."""
        return self.whole and not self.limited and not self.hangs

    def leave(self) -> None:
        for link in self.links.values():
            link.close()
        self.context.leave()


async def make_cell(env: Environment, case: Case, number: int, checks: dict[str, Check]) -> Cell:
    """Arrange a cell; its users follow from the seed and the number.

    Raises:
        CaseStop: the target does not let that happen; the context's outcomes say why.
        UntestableError: there are not enough users.
    """
    context = Context(env, case)
    context.rng = random.Random(f"{env.seed}/cell/{number}")
    try:
        station = await arranged(context)
    except BaseException:
        context.leave()
        raise
    alice, bob = context.users["alice"], context.users["bob"]
    phone, laptop = alice.devices["phone"], alice.devices["laptop"]
    peer = next(iter(bob.devices.values()))
    # One that the target failed to make may be spoken of, but nothing need come of that.
    capabilities = env.target.capabilities
    group = f"group-{station.given['group']}" if "group" in station.made else None
    talk = f"conv-{station.given['conversation']}" if "conversation" in station.made else None

    def taken_over(device: Device, receiver: str, other: str | None) -> Link:
        who = Who(
            device.user.id,
            device.id,
            receiver,
            other,
            group if "groups" in capabilities else None,
            talk if "typing" in capabilities else None,
        )
        link = Link(who, device.label, checks)
        device.live.hand_over(link)
        return link

    links = {
        PHONE: taken_over(phone, bob.id, laptop.id),
        LAPTOP: taken_over(laptop, bob.id, phone.id),
        BOB: taken_over(peer, alice.id, None),
    }
    return Cell(context, links)


@dataclass(frozen=True, slots=True)
class Gap:
    """Fewer or more frames of a kind came to a device than can be right.

    Attributes:
        suspects: what may be the cause.
    """

    kind: str
    who: str
    came: int
    least: int
    most: int
    suspects: tuple[tuple[Link, Sent], ...]


def gaps(cell: Cell) -> Iterator[Gap]:
    """Compare what came in an interval with what was sent in it, once all of it has been handled."""
    sent = {name: _by_kind(link) for name, link in cell.links.items()}
    loose = sum((_loose(link) for link in cell.links.values()), Counter[str]())
    for name, link in cell.links.items():
        others = [PHONE, LAPTOP] if name == BOB else [BOB]
        came: Counter[str] = Counter()
        for kind, count in link.interval.came.items():
            came["send" if kind in _MESSAGES else kind] += count
        bounds = dict(_bounds(name, others, sent))
        for kind, (least, most) in bounds.items():
            found = came[kind]
            if not least <= found <= most + loose[kind]:
                # What comes too often may come back to who sent it.
                senders = [link for other, link in cell.links.items() if other != name or found > most]
                few = found < least
                every = [
                    (sender, each)
                    for sender in senders
                    for batch in sender.interval.batches
                    for each in batch.sent
                ]
                proper = [each for each in every if each[1].exact and _kind(each[1].kind) == kind]
                refused = [each for each in every if each[1].duty is Duty.REFUSE]
                suspects = tuple(proper if few else proper[:_PROPER] + refused)
                yield Gap(kind, name, found, least, most + loose[kind], suspects)


def _bounds(
    name: str, others: list[str], sent: Mapping[str, Counter[str]]
) -> Iterator[tuple[str, tuple[int, int]]]:
    def total(kind: str, names: list[str]) -> int:
        return sum(sent[other][kind] for other in names)

    twins = [] if name == BOB else [PHONE if name == LAPTOP else LAPTOP]
    direct = total("send", others)
    yield "send", (direct, direct + total("send", twins))  # copies to one's other devices are permitted
    for kind in ("typing", "media_key"):
        yield kind, (total(kind, others), total(kind, others))
    for kind in _SYNC:
        yield kind, (total(kind, twins), total(kind, twins))
    yield "presence", (0, total("presence", others) + total("presence", twins) + 8)
    if name == BOB:
        for kind in _SIGNALS:
            # A server ends and refuses calls by itself, too.
            free = (
                sum(sum(sent[other].values()) for other in sent) if kind in ("call_end", "call_busy") else 0
            )
            yield kind, (total(kind, others), total(kind, others) + free)


def _by_kind(link: Link) -> Counter[str]:
    return Counter(_kind(s.kind) for batch in link.interval.batches for s in batch.sent if s.exact)


def _violations(link: Link) -> int:
    return sum(s.duty is not Duty.VALID for batch in link.interval.batches for s in batch.sent)


def _loose(link: Link) -> Counter[str]:
    """What may have effects, or not."""
    return Counter(
        _kind(s.kind)
        for batch in link.interval.batches
        for s in batch.sent
        if not s.exact and s.duty is not Duty.REFUSE
    )


def _kind(kind: str) -> str:
    return "send" if kind == "message" else kind
