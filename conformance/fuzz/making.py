"""Batches for a link: frames that must be accepted, frames that must be refused, and what may be either."""

from __future__ import annotations

import json
import random
from collections import Counter, deque
from collections.abc import Sequence

import orjson

from relaykit.conformance.fuzz.generator import FAIR, FORBIDDEN, Generator, pick
from relaykit.conformance.fuzz.link import Batch, Link, Sent
from relaykit.conformance.fuzz.mutator import mutated, respelt
from relaykit.conformance.fuzz.oracle import Duty, Oracle
from relaykit.conformance.fuzz.room import held, takes, waits
from relaykit.conformance.fuzz.sizes import Sizes

_VALID, _SEEDS, _RESPELT = 0.49, 0.08, 0.06
"""Shares: of frames as they are generated; of what the corpus gives; of valid ones, spelt in another way."""
_CLOSING = 4
"""So many messages that would end the connection are kept at a time."""
_FORBIDDEN, _FAIR = FORBIDDEN.encode(), FAIR.encode()
_KEEP_ALIVE = "heartbeat"


class Maker:
    """Makes the batches of one link; what it makes follows from the seed.

    Args:
        declared: types that the target serves.
        corpus: frames to begin from, as bytes.
        sizes: of frames.
        first: frames to send before all others, taken from by all makers.

    Attributes:
        closing: messages that are no UTF-8: each ends its connection, so that they are for others to send.
    """

    def __init__(
        self,
        generator: Generator,
        oracle: Oracle,
        types: Sequence[str],
        seed: str,
        corpus: Sequence[bytes],
        sizes: Sizes,
        first: deque[bytes] | None = None,
    ) -> None:
        self._generator = generator
        self._oracle = oracle
        self._types = types
        self._rng = random.Random(seed)
        # Of its own, so that what the corpus holds changes nothing in what is made without it.
        self._corpus_rng = random.Random(f"{seed}/corpus")
        self._corpus = corpus
        self._first = first
        self.closing: list[bytes] = []
        self._sizes = sizes
        self._loose: list[Sent] = []
        self._certain: list[Sent] = []
        self.made: Counter[str] = Counter()

    @property
    def held(self) -> int:
        """How many messages of those that are made, and go out in a later batch, may come to wait."""
        return held((*self._certain, *self._loose))

    def drop_waiting(self) -> None:
        """Forget those: they were made when there was more room."""
        self._certain = [sent for sent in self._certain if not waits(sent)]
        self._loose = [sent for sent in self._loose if not waits(sent)]

    def batch(self, link: Link, size: int) -> Batch:
        """The next batch: of frames whose treatment is certain; or, now and then, of the others."""
        certain = self._certain
        while len(certain) < size:
            if len(self._loose) >= size:
                loose, self._loose = self._loose, []
                return Batch(loose, 0, len(loose), 1)
            sent = self._next(link)
            if sent is None or len(sent.data) > self._sizes.most or not takes(link.room, sent):
                continue
            if sent.exact or sent.duty is Duty.REFUSE:
                certain.append(sent)
            elif sent.kind != _KEEP_ALIVE:  # whether that one is answered must be certain: acks end batches
                self._loose.append(sent)
        self._certain = []
        refused = sum(sent.duty is Duty.REFUSE for sent in certain)
        beats = 1 + sum(sent.kind == _KEEP_ALIVE and sent.exact for sent in certain)
        return Batch(certain, refused, refused, beats)

    def _next(self, link: Link) -> Sent | None:
        rng, who = self._rng, link.who
        if self._first:
            return self._judged(self._first.popleft())
        if self._corpus and self._corpus_rng.random() < _SEEDS:
            return self._judged(_varied(self._corpus_rng, pick(self._corpus_rng, self._corpus)))
        if rng.random() < _VALID:
            who.mark = FAIR
            frame = self._generator.frame(rng, who)
            kind, data = frame["type"], orjson.dumps(frame)
            if rng.random() < _RESPELT:
                data = respelt(rng, data)
                if self._oracle.duty(data) != (Duty.VALID, frame):
                    return None
            if who.exact and kind == "send":
                link.interval.acks.add(frame["message_id"])
            self.made[kind] += 1
            return Sent(data, Duty.VALID, who.exact, kind)
        who.mark = FORBIDDEN
        return self._judged(mutated(rng, self._generator.frame(rng, who), self._types))

    def _judged(self, data: bytes) -> Sent | None:
        duty, frame = self._oracle.duty(data)
        if duty is Duty.CLOSE:
            if len(self.closing) < _CLOSING and len(data) <= self._sizes.most:
                self.closing.append(data)
            return None
        if duty is Duty.REFUSE:
            return Sent(data, duty, False, "", "" if type(frame) is dict else str(frame))
        if _FORBIDDEN in data:
            data = data.replace(_FORBIDDEN, _FAIR)
            duty, frame = self._oracle.duty(data)
            if duty is Duty.REFUSE or duty is Duty.CLOSE:
                return None
        if _FORBIDDEN in data.lower():
            return None
        if b"\\u" in data and FORBIDDEN in _spelt_out(data):
            return None  # the mark is there, in other letters
        if isinstance(frame, str):
            return Sent(data, duty, False, _leniently(data), frame)
        return Sent(data, duty, False, str(frame.get("type")))


def _spelt_out(data: bytes) -> str:
    try:
        return json.dumps(json.loads(data.decode("utf-8-sig")))
    except (ValueError, RecursionError):
        return FORBIDDEN


def _leniently(data: bytes) -> str:
    """The type that a lenient reader would see in what strict JSON refuses."""
    try:
        return str(json.loads(data.decode("utf-8-sig")).get("type"))
    except (ValueError, AttributeError, RecursionError):
        return ""


def _varied(rng: random.Random, data: bytes) -> bytes:
    """A frame of the corpus, with a byte or two changed, mostly."""
    if rng.random() < 0.4 or not data:
        return data
    at = rng.randrange(len(data))
    end = at + rng.randint(0, 3)
    return data[:at] + bytes(rng.randrange(0x20, 0x7F) for _ in range(rng.randint(0, 2))) + data[end:]
