"""One stretch of speech in the ledger: what is sent of it, in whole frames, and where it stands in the stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.contracts.media import SpeechSegmentId
from callflow.media.g711 import FRAME_BYTES, ULAW_SILENCE
from callflow.media.ledger_entry import LedgerEntry


def entry(*pieces: bytes, finished: bool = False) -> LedgerEntry:
    one = LedgerEntry(SpeechSegmentId("item"), "resp", finished=finished)
    for piece in pieces:
        one.pending.append(piece)
        one.waiting += len(piece)
        one.received += len(piece)
    return one


def test_nothing_waits_and_nothing_is_sent() -> None:
    for one in (entry(), entry(finished=True)):
        assert one.cut(800, 10_000) == b""
        assert (one.sent, one.start) == (0, -1), "it has no place in the stream yet"


def test_a_piece_of_whole_frames_is_handed_on_as_it_is() -> None:
    piece = bytes(FRAME_BYTES * 3)
    one = entry(piece)
    assert one.cut(800, len(piece)) is piece
    assert (one.start, one.end, one.waiting) == (800, 800 + len(piece), 0)


@pytest.mark.parametrize("most", [-1, 0, 1, FRAME_BYTES - 1])
def test_less_room_than_a_frame_is_none(most: int) -> None:
    one = entry(bytes(FRAME_BYTES * 2), finished=True)
    assert one.cut(0, most) == b""
    assert (one.waiting, list(one.pending)) == (FRAME_BYTES * 2, [bytes(FRAME_BYTES * 2)])


def test_less_than_a_frame_waits_for_more_until_the_stretch_is_finished() -> None:
    one = entry(b"a" * 100)
    assert one.cut(800, 1600) == b""
    assert (one.start, one.waiting) == (-1, 100)
    one.finished = True
    assert one.cut(960, 1600) == b"a" * 100 + bytes([ULAW_SILENCE]) * 60
    assert (one.start, one.sent, one.end) == (960, 100, 1060), "padding is not speech"
    assert one.cut(1120, 1600) == b""


def test_only_the_very_last_frame_is_padded() -> None:
    one = entry(b"a" * 250, b"b" * 250, finished=True)
    assert one.cut(0, 320) == b"a" * 250 + b"b" * 70
    assert one.cut(320, 160) == b"b" * 160
    assert one.cut(480, 160) == b"b" * 20 + bytes([ULAW_SILENCE]) * 140
    assert one.sent == 500


def test_a_part_of_it_that_was_sent_keeps_its_beginning() -> None:
    one = entry(bytes(FRAME_BYTES * 4))
    one.cut(160, FRAME_BYTES)
    one.cut(9600, FRAME_BYTES)
    assert (one.start, one.end) == (160, 160 + 2 * FRAME_BYTES)


@given(
    st.lists(st.binary(min_size=1, max_size=700), max_size=6),
    st.lists(st.integers(0, 900), max_size=12),
    st.booleans(),
)
def test_no_byte_is_lost_changed_or_sent_twice(pieces: list[bytes], rooms: list[int], finished: bool) -> None:
    one, whole, sent = entry(*pieces, finished=finished), b"".join(pieces), b""
    for room in [*rooms, 10_000]:
        audio = one.cut(len(sent), room)
        assert len(audio) <= room
        assert len(audio) % FRAME_BYTES == 0
        sent += audio
        assert one.waiting == sum(map(len, one.pending)) == one.received - one.sent
        assert whole.startswith(sent[: one.sent])
    rest = 0 if finished else len(whole) % FRAME_BYTES
    assert one.sent == len(whole) - rest
    assert set(sent[one.sent :]) <= {ULAW_SILENCE}
