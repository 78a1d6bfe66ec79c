"""Which pong answers a ping, and when the next one is sent."""

from __future__ import annotations

from callflow.media.ping_numbers import PingNumbers


def test_only_the_pong_of_the_last_ping_answers_it_and_once() -> None:
    pings = PingNumbers()
    assert not pings.answered_by(b""), "nothing was sent"
    first = pings.next()
    second = pings.next()
    pongs = (b"", first, b"x", second + b"\0", bytearray(second), second)
    assert [pings.answered_by(pong) for pong in pongs] == [False, False, False, False, True, False]
    assert pings.peer_answers


def test_a_peer_that_answered_none_gets_no_second_and_one_that_is_late_gets_it_later() -> None:
    pings = PingNumbers()
    first = pings.due()
    assert first
    assert pings.due() is None
    assert pings.answered_by(first)
    second = pings.due()
    assert second
    assert second != first
    assert pings.due() == b"", "its pong is still to come"
    assert pings.is_awaiting
