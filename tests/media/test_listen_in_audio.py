"""What one listener gets of a call: places, cuts, and nothing without bound."""

from __future__ import annotations

import struct

from callflow.media.listen_in_audio import ListenInAudio


FRAME = bytes(range(160))


class Now:
    at = 100.0

    def __call__(self) -> float:
        return self.at


def pieces(message: bytes) -> list[tuple[int, int, bytes]]:
    found = []
    while message:
        side, at, length = struct.unpack_from(">BIH", message)
        found.append((side, at, message[7 : 7 + length]))
        message = message[7 + length :]
    return found


def test_both_sides_have_their_places_and_a_cut_takes_back_what_was_not_heard() -> None:
    now, woken = Now(), []
    audio = ListenInAudio(now, lambda: False, lambda: woken.append(1))
    now.at += 0.02
    audio.caller(FRAME)
    now.at += 0.03  # late, and still joined to the first
    audio.caller(FRAME)
    audio.agent(FRAME * 2)
    audio.agent(FRAME)
    audio.cut()
    audio.agent(FRAME)
    assert [(side, at, len(one)) for side, at, one in pieces(audio.take())] == [
        (0, 0, 160), (0, 160, 160), (1, 400, 320), (1, 720, 160), (2, 400, 0), (1, 400, 160),
    ]  # fmt: skip
    assert audio.take() == b""
    assert len(woken) == 6
    now.at += 1
    audio.cut()  # all was heard
    audio.caller(FRAME)
    assert [(side, at) for side, at, _ in pieces(audio.take())] == [(0, 8240)]


def test_a_slow_listener_loses_the_oldest_and_hears_nothing_that_must_not_be_kept() -> None:
    now, hidden = Now(), [False]
    audio = ListenInAudio(now, lambda: hidden[0], lambda: None)
    for _ in range(205):
        now.at += 0.02
        audio.caller(FRAME)
    assert audio.lost == 5
    assert pieces(audio.take())[0] == (0, 800, FRAME)
    hidden[0] = True
    audio.agent(FRAME)
    assert pieces(audio.take())[0][2] == b"\xff" * 160


def test_a_frame_of_many_seconds_is_several_pieces() -> None:
    """A carrier's frame may have half a minute, and the length of a piece has two bytes."""
    now = Now()
    audio = ListenInAudio(now, lambda: False, lambda: None)
    now.at += 10
    long = bytes(range(250)) * 320
    audio.caller(long)
    got = pieces(audio.take())
    assert b"".join(piece for _, _, piece in got) == long
    assert [at for _, at, _ in got] == [0, len(got[0][2])]
