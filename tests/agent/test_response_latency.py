"""The waterfall of one answer: from the caller's last word to the first audio out of the telephone."""

from __future__ import annotations

from callflow.agent.response_latency import ResponseLatency


def test_the_parts_add_up_to_what_the_caller_waited() -> None:
    one = ResponseLatency()
    one.caller_stopped(10.5, ago=0.5)
    one.generated(10.9)
    one.sent(10.902)
    turn = one.heard(11.0)
    assert turn == {"detection_ms": 500, "engine_ms": 400, "own_ms": 2, "carrier_ms": 98, "total_ms": 1000}
    assert one.turns == [turn]
    assert one.heard(12.0) is None, "one turn, one waterfall"


def test_only_the_first_audio_counts() -> None:
    one = ResponseLatency()
    one.caller_stopped(10.0, None)
    one.generated(10.1)
    one.generated(10.2)
    one.sent(10.3)
    one.sent(10.4)
    turn = one.heard(10.5)
    assert turn is not None
    assert turn["engine_ms"] == 100
    assert turn["total_ms"] == 500


def test_an_answer_that_nobody_waited_for_has_none() -> None:
    one = ResponseLatency()
    one.generated(1.0)
    one.sent(1.0)
    assert one.heard(1.2) is None
    one.caller_stopped(2.0, 0.2)
    one.caller_goes_on()
    one.generated(3.0)
    assert one.heard(3.2) is None


def test_our_own_sentence_in_between_is_told() -> None:
    one = ResponseLatency()
    one.caller_stopped(10.5, 0.5)
    one.filler(12.5)
    one.filler(14.5)
    one.generated(15.0)
    one.sent(15.0)
    turn = one.heard(15.1)
    assert turn is not None
    assert turn["filler_ms"] == 2500
    assert turn["total_ms"] == 5100


def test_a_call_that_talks_for_ever_keeps_so_many_of_them() -> None:
    one = ResponseLatency()
    for number in range(2100):
        one.caller_stopped(float(number), None)
        one.generated(number + 0.1)
        one.sent(number + 0.1)
        assert one.heard(number + 0.2) is not None, "each is told all the same"
    assert len(one.turns) == 2000


def test_a_mark_that_comes_too_early_makes_no_negative_part() -> None:
    one = ResponseLatency()
    one.caller_stopped(1.0, 0.0)
    one.generated(1.1)
    one.sent(1.2)
    turn = one.heard(1.15)
    assert turn is not None
    assert turn["carrier_ms"] == 0
