"""How long the caller is left without a sound: when one of our sentences is due, and when the engine counts as lost."""

from __future__ import annotations

import pytest

from callflow.agent.dead_air_timer import DeadAirTimer


def timer() -> DeadAirTimer:
    return DeadAirTimer(filler=2.5, restoring=1.5, reply=8.0)


def test_no_clip_is_due_when_no_answer_is() -> None:
    one = timer()
    assert one.filler_at() is None
    assert one.next_look(audible=True) is None
    assert not one.is_answer_due
    assert not one.is_over(1e9)


def test_the_wait_counts_from_the_callers_last_word() -> None:
    one = timer()
    one.answer_due(since=10.0, now=10.5)
    assert one.filler_at() == 12.5
    assert one.is_over(18.4) is False
    assert one.is_over(18.5) is True


def test_a_sound_puts_the_next_one_off() -> None:
    one = timer()
    one.answer_due(10.0, 10.5)
    one.sounded(14.0)
    assert one.filler_at() == 16.5


def test_an_answer_pays_and_a_sentence_that_breaks_off_does_not() -> None:
    one = timer()
    one.answer_due(10.0, 10.5)
    one.speaks(11.0)
    one.sounded(13.0)
    assert one.is_answer_due
    assert one.filler_at() == 15.5
    one.answer_given()
    assert not one.is_answer_due


def test_while_the_engine_is_restored_a_sound_is_due_sooner_whoevers_turn_it_was() -> None:
    one = timer()
    one.restoring(20.0)
    assert one.is_answer_due
    assert one.filler_at() == 21.5
    assert not one.is_over(1000.0), "its own deadline tells when it is lost"
    one.restored()
    assert not one.is_answer_due


def test_a_mute_engine_that_is_replaced_makes_no_longer_silence_than_either() -> None:
    one = timer()
    one.answer_due(10.0, 10.0)
    one.sounded(17.0)  # our own sentence
    one.gave_up()
    one.restoring(18.5)
    assert one.filler_at() == 19.5, "2.5 s after the last sound, not 1.5 s after the loss"
    assert one.is_answer_due


def test_an_answer_that_was_due_before_is_due_after() -> None:
    one = timer()
    one.answer_due(10.0, 10.0)
    one.restoring(11.0)
    one.restored()
    assert one.is_answer_due


def test_one_that_waits_for_a_tool_has_no_reply_due() -> None:
    one = timer()
    one.answer_due(10.0, 10.0, reply=False)
    assert not one.is_over(1000.0)
    assert one.filler_at() == 12.5


def test_a_turn_that_begins_while_the_engine_is_restored_is_counted_from_then_on() -> None:
    one = timer()
    one.restoring(20.0)
    one.answer_due(21.0, 21.0)
    assert not one.is_over(1000.0), "its own deadline tells when it is lost"
    one.restored()
    assert (one.is_over(28.9), one.is_over(29.0)) == (False, True)


def test_an_engine_that_has_begun_has_twice_the_time_to_go_on() -> None:
    one = timer()
    one.answer_due(10.0, 10.0)
    one.speaks(11.0)
    assert (one.is_over(26.9), one.is_over(27.0)) == (False, True)


@pytest.mark.parametrize(("audible", "at"), [(True, 12.5), (False, 18.0)])
def test_where_nobody_hears_us_only_the_engine_is_watched(audible: bool, at: float) -> None:
    one = timer()
    one.answer_due(10.0, 10.0)
    assert one.next_look(audible=audible) == at
