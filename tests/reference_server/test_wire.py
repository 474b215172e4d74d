"""Cutting the stream: the same frames, however they are cut, and the same verdicts as the library's alone."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support.raw import CLOSE, CONT, PING, TEXT, encode
from websockets.frames import Frame
from websockets.protocol import Protocol, Side

from relaykit.reference_server.wire import Cutter, text_header

MAX_TEXT = 300
MAX = MAX_TEXT + 125  # what is between goes to the library, as it would be without a cutter


class Reader:
    """A library behind a cutter, or alone."""

    def __init__(self, *, cut: bool) -> None:
        self.library = Protocol(Side.SERVER, max_size=MAX)
        self.seen: list[Any] = []
        self.fast = 0
        self.padded = False
        self.cutter = Cutter(MAX_TEXT, text=self.text, other=self.other, fail=self.fail) if cut else None

    def text(self, payload: bytes) -> None:
        self.seen.append((1, True, bytes(payload)))
        self.fast += 1

    def other(self, data: bytes) -> bool:
        self.library.receive_data(data)
        for event in self.library.events_received():
            assert isinstance(event, Frame)
            self.seen.append((int(event.opcode), event.fin, bytes(event.data)))
        return self.library.state == 1 and not self.library.eof_sent

    def fail(self, code: int, reason: str) -> None:
        self.padded = True
        self.library.fail(code, reason)

    def feed(self, data: bytes) -> None:
        if self.cutter is not None:
            self.cutter.feed(data)
        else:
            self.other(data)

    @property
    def verdict(self) -> int | None:
        return None if self.library.close_sent is None else int(self.library.close_sent.code)


good = st.one_of(
    st.builds(lambda data: encode(TEXT, data), st.binary(max_size=MAX)),
    st.builds(lambda data: encode(PING, data), st.binary(max_size=125)),
    st.builds(
        lambda parts: (
            encode(TEXT, b"a", fin=False)
            + b"".join(encode(CONT, part, fin=False) for part in parts)
            + encode(CONT, b"z")
        ),
        st.lists(st.binary(max_size=80), max_size=3),
    ),
)
bad = st.one_of(
    st.sampled_from([encode(TEXT, b"unfinished", fin=False), encode(CONT, b"of nothing")]),
    st.builds(
        encode,
        st.integers(0, 15),
        st.binary(max_size=MAX + 20),
        fin=st.booleans(),
        rsv=st.integers(0, 7),
        masked=st.booleans(),
        padded=st.sampled_from([0, 0, 2, 8]),
        length=st.one_of(st.none(), st.sampled_from([0, 125, 126, 127, 400, 70_000, 1 << 40, 1 << 63])),
    ),
    st.just(encode(CLOSE, b"\x03\xe8bye")),
    st.binary(max_size=20),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(good, max_size=6), st.lists(bad, max_size=2), st.lists(good, max_size=2), st.data())
def test_the_cutter_changes_nothing(
    before: list[bytes], wrong: list[bytes], after: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join((*before, *wrong, *after))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    alone, cut = Reader(cut=False), Reader(cut=True)
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        if start < end:
            alone.feed(stream[start:end])
            cut.feed(stream[start:end])
    # A frame that cannot be refused yet may be waited for, and the library knows nothing of padded lengths;
    # otherwise both see and say the same.
    if cut.padded:
        assert cut.verdict == 1002
        assert cut.seen == alone.seen[: len(cut.seen)]
    elif cut.verdict == alone.verdict:
        assert cut.seen == alone.seen
    else:
        assert cut.verdict is None
        assert cut.seen == alone.seen[: len(cut.seen)]


def test_plain_text_does_not_reach_the_library_byte_by_byte_or_otherwise() -> None:
    stream = b"".join(encode(TEXT, b"x" * size) for size in (0, 1, 125, 126, 127, 300)) + encode(PING, b"p")
    for step in (1, 2, 7, 64, len(stream)):
        reader = Reader(cut=True)
        for at in range(0, len(stream), step):
            reader.feed(stream[at : at + step])
        assert [len(payload) for _, _, payload in reader.seen] == [0, 1, 125, 126, 127, 300, 1]
        assert reader.fast == 6
        assert reader.verdict is None


def test_nothing_is_read_after_a_length_in_too_many_bytes() -> None:
    for padded in (
        encode(TEXT, b"x", padded=2),
        encode(PING, b"x", padded=8),
        encode(TEXT, b" " * 126, padded=8),
    ):
        reader = Reader(cut=True)
        reader.feed(encode(TEXT, b"before") + padded + encode(TEXT, b"beside"))
        reader.feed(encode(TEXT, b"after"))
        assert [payload for _, _, payload in reader.seen] == [b"before"]
        assert reader.verdict == 1002


def test_headers_of_what_the_server_writes() -> None:
    for size in (0, 1, 125, 126, 65_535, 65_536, 1 << 20):
        client = Protocol(Side.CLIENT, max_size=None)
        client.receive_data(text_header(size) + bytes(size))
        (event,) = client.events_received()
        assert isinstance(event, Frame)
        assert (event.opcode, event.fin, len(event.data)) == (1, True, size)
