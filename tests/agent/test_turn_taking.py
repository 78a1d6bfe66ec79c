"""Whose turn it is: by table, and in any order of events."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.agent import turn_taking
from callflow.agent.turn_taking import UNNOTICED_SECONDS, AnswerStatus, Floor, ProcessGap, Resume, TurnTaking
from callflow.contracts.engine import ResponseDone


QUIET = Floor(
    caller_speaking=False, answer_due=False, responses=False, tools_busy=False, unplayed=False, greeting_open=False
)


@pytest.mark.parametrize("field", [name for name in Floor._fields if name != "may_go_on"])
def test_silence_is_counted_only_when_nothing_is_going_on(field: str) -> None:
    assert turn_taking.silence_counts(QUIET, flowing=True)
    assert not turn_taking.silence_counts(QUIET, flowing=False), "they could not be heard"
    assert not turn_taking.silence_counts(QUIET._replace(**{field: True}), flowing=True)


def test_what_each_decision_waits_for() -> None:
    waits: dict[str, tuple[Any, set[str]]] = {
        "busy": (lambda at: not turn_taking.is_busy(at), {"caller_speaking", "answer_due", "responses", "tools_busy"}),
        "goodbye": (
            turn_taking.has_said_goodbye,
            {"caller_speaking", "answer_due", "responses", "tools_busy", "unplayed", "may_go_on"},
        ),
        "greeting": (turn_taking.greeting_was_heard, {"answer_due", "responses", "unplayed", "may_go_on"}),
    }  # fmt: skip
    for name, (decide, fields) in waits.items():
        assert decide(QUIET), name
        for field in Floor._fields:
            assert decide(QUIET._replace(**{field: True})) == (field not in fields), f"{name}: {field}"


RESUME: list[tuple[str, dict[str, Any], Resume]] = [
    ("a disclosure was not heard in full", {"greeting_open": True}, "greet"),
    ("nothing was heard yet", {"is_new": True}, "greet"),
    ("and the process was away", {"is_new": True, "away": ProcessGap(60, quietly=False)}, "greet"),
    ("it is the caller's turn", {}, "listen"),
    ("their words are known as audio only", {"audio_is_needed": True}, "hear_again"),
    ("the agent was cut off", {"callers_turn": False}, "apologise"),
    ("the agent was cut off, and a turn is not heard yet", {"callers_turn": False, "audio_is_needed": True},
     "hear_again"),
    ("a tool is still running", {"tools_busy": True}, "apologise"),
    ("the process was away", {"away": ProcessGap(0.5, quietly=False)}, "apologise"),
    ("it was handed over in silence, and quickly", {"away": ProcessGap(0.5, quietly=True)}, "listen"),
    ("it was moved in silence, and quickly", {"away": ProcessGap(0.9, quietly=True, moved=True)}, "listen"),
    ("it was moved in silence, and slowly", {"away": ProcessGap(1.0, quietly=True, moved=True)}, "apologise"),
    ("it was handed over in silence, and slowly", {"away": ProcessGap(UNNOTICED_SECONDS, quietly=True)}, "apologise"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "how", "goes_on"), RESUME, ids=[row[0] for row in RESUME])
def test_how_a_conversation_goes_on(what: str, how: dict[str, Any], goes_on: Resume) -> None:
    usual: dict[str, Any] = {
        "greeting_open": False, "is_new": False, "away": None, "callers_turn": True, "audio_is_needed": False,
        "tools_busy": False,
    }  # fmt: skip
    assert turn_taking.resume(**usual | how) == goes_on


def test_after_any_interruption_somebody_has_the_turn() -> None:
    for greeting, new, callers, audio, tools in product((True, False), repeat=5):
        for away in (None, ProcessGap(0.1, quietly=True), ProcessGap(9, quietly=True), ProcessGap(0.1, quietly=False)):
            found = turn_taking.resume(
                greeting_open=greeting, is_new=new, away=away, callers_turn=callers, audio_is_needed=audio,
                tools_busy=tools,
            )  # fmt: skip
            if found == "listen":
                assert callers
                assert not any((audio, tools, greeting, new)), "somebody waits for an answer"


@pytest.mark.parametrize(
    ("done", "speaking", "status"),
    [
        (ResponseDone("r", "completed", answered=True), False, "given"),
        (ResponseDone("r", "completed", answered=True), True, "given"),
        (ResponseDone("r", "failed", final=False), False, "due"),
        (ResponseDone("r", "failed", final=False), True, ""),
        (ResponseDone("r", "cancelled"), False, ""),
    ],
)
def test_what_the_end_of_a_response_means(done: ResponseDone, speaking: bool, status: AnswerStatus) -> None:
    one = TurnTaking()
    one.response_began("r", engine_stops_itself=True)
    one.caller_speaking = speaking
    assert one.response_ended(done) == status
    assert one.responses == []


def test_a_response_that_was_on_its_way_when_the_caller_began_is_not_heard() -> None:
    one = TurnTaking()
    assert one.response_began("before", engine_stops_itself=True)
    one.caller_began()
    assert not one.response_began("late", engine_stops_itself=True)
    assert one.response_began("ours to stop", engine_stops_itself=False)
    one.protected = True
    assert one.response_began("protected", engine_stops_itself=True)
    assert one.responses == ["before", "late", "ours to stop", "protected"], "all of them will end"


def test_whose_turn_it_is_when_an_answer_is_called_for() -> None:
    one = TurnTaking()
    assert one.may_expect_agent(silenced=False)
    assert not one.may_expect_agent(silenced=True)
    one.caller_began()
    assert not one.may_expect_agent(silenced=False), "theirs, until they stop"
    one.protected = True
    assert one.may_expect_agent(silenced=False)


def test_a_turn_is_known_as_audio_only_until_its_words_or_an_answer_have_come() -> None:
    one = TurnTaking()

    def known() -> tuple[bool, bool]:
        return one.audio_is_needed, one.has_no_item

    one.caller_began()
    one.caller_ended(counts=True)
    assert known() == (True, True)
    assert one.caller_item("a")
    assert not one.caller_item("b"), "the first one is theirs"
    assert known() == (True, False)
    assert not one.transcribed("b")
    assert one.transcribed("a")
    assert known() == (False, False)
    one.caller_ended(counts=True)
    one.answered()
    assert known() == (False, False)


def test_a_sound_that_stops_nothing_is_no_turn() -> None:
    one = TurnTaking()
    one.caller_began()
    one.caller_ended(counts=False)
    assert not one.caller_speaking
    assert not one.audio_is_needed


@pytest.mark.parametrize(
    ("speaking", "hears", "needed"), [(True, False, True), (False, True, True), (False, False, False)]
)
def test_a_session_that_breaks_over_the_callers_words_has_them_heard_by_the_next(
    speaking: bool, hears: bool, needed: bool
) -> None:
    one = TurnTaking()
    one.caller_speaking = speaking
    one.engine_lost(hears_speech=hears)
    assert one.audio_is_needed == needed


def test_an_engine_that_ends_nothing_is_forgotten_in_order() -> None:
    one = TurnTaking()
    for number in range(1000):
        one.response_began(str(number), engine_stops_itself=True)
    assert one.responses == [str(number) for number in range(936, 1000)]
    one.forget_responses()
    assert one.responses == []


@given(st.lists(st.tuples(st.sampled_from(["began", "ended", "noise", "item", "words", "answered", "lost"]),
                          st.sampled_from("ab")), max_size=40))  # fmt: skip
def test_in_any_order_the_audio_is_kept_from_a_turn_to_its_words(steps: list[tuple[str, str]]) -> None:
    one, waiting, item_of = TurnTaking(), False, ""
    for what, item in steps:
        match what:
            case "began":
                one.caller_began()
            case "ended":
                one.caller_ended(counts=True)
                waiting, item_of = True, ""
            case "noise":
                one.caller_ended(counts=False)
            case "item":
                took = one.caller_item(item)
                assert took == (waiting and not item_of)
                item_of = item if took else item_of
            case "words":
                came = one.transcribed(item)
                assert came == (waiting and bool(item_of) and item == item_of)
                waiting = waiting and not came
            case "answered":
                one.answered()
                waiting = False
            case "lost":
                if one.caller_speaking:
                    waiting, item_of = True, ""
                one.engine_lost(hears_speech=False)
        assert one.audio_is_needed == waiting
        assert one.has_no_item == (waiting and not item_of)
