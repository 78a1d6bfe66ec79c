"""What follows when the caller speaks while the agent does: by table, and for every situation there is."""

from __future__ import annotations

from itertools import product
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.agent.barge_in import Decision, Evidence, Interruption, Situation, on_speech
from callflow.contracts.media import Cut, SpeechSegmentId


def at(
    *, protected: bool = False, silenced: bool = False, unplayed: bool = True, stops: bool = True, wait_ms: int = 0
) -> Situation:
    return Situation(protected, silenced, unplayed, stops, wait_ms)


TABLE: list[tuple[str, Situation, Decision]] = [
    ("the agent is speaking", at(), "interrupt"),
    ("nothing is to be heard any more", at(unplayed=False), "listen"),
    ("a disclosure is being said", at(protected=True), "answer_later"),
    ("it has been said, and its end is not confirmed", at(protected=True, unplayed=False), "answer_later"),
    ("a clip of ours ends the call", at(silenced=True), "ignore"),
    ("and it is a protected call", at(silenced=True, protected=True), "ignore"),
    ("we stop the engine, and short sounds do not count", at(stops=False, wait_ms=300), "wait"),
    ("the same, and the agent is silent", at(stops=False, wait_ms=300, unplayed=False), "listen"),
    ("we stop the engine at once", at(stops=False), "interrupt"),
    ("the engine has stopped itself: too late to wait", at(stops=True, wait_ms=300), "interrupt"),
]


@pytest.mark.parametrize(("what", "situation", "decision"), TABLE, ids=[row[0] for row in TABLE])
def test_what_follows_when_the_caller_begins_to_speak(what: str, situation: Situation, decision: Decision) -> None:
    assert on_speech(situation) == decision


def test_in_every_situation_one_rule_holds() -> None:
    for protected, silenced, unplayed, stops in product((True, False), repeat=4):
        for wait_ms in (0, 300):
            decision = on_speech(Situation(protected, silenced, unplayed, stops, wait_ms))
            assert (decision == "ignore") == silenced
            assert (decision == "answer_later") == (protected and not silenced)
            if decision in ("interrupt", "wait"):
                assert unplayed, "there is nothing to stop"
            if decision == "wait":
                assert wait_ms
                assert not stops


CUTS = (Cut(SpeechSegmentId("agent-1"), 400, 2000), Cut(SpeechSegmentId("agent-2"), 0, 900))
NOISE = Evidence(words=False, detector="noise", caller_speaking=False, ending=False)


def interrupted(item: str = "caller-1", answers: int = 0) -> Interruption:
    one = Interruption()
    one.began(CUTS)
    one.caller_item(item)
    for _ in range(answers):
        one.response_began()
    return one


Detector = Literal["speech", "noise", ""]


@pytest.mark.parametrize(
    ("words", "detector", "answers", "is_false"),
    [
        (False, "", 0, True),  # nobody heard anything in it
        (False, "noise", 0, True),
        (False, "noise", 1, True),  # the engine answers a noise
        (False, "", 1, False),  # the engine took it for speech, and nobody knows better
        (False, "speech", 0, False),  # the transcript is empty, and our detector heard speech
        (True, "noise", 0, False),  # there are words
        (True, "", 0, False),
    ],
)
def test_whether_it_was_a_noise(words: bool, detector: Detector, answers: int, is_false: bool) -> None:
    evidence = NOISE._replace(words=words, detector=detector)
    assert interrupted(answers=answers).was_false("caller-1", evidence) == (CUTS[0] if is_false else None)


def test_a_noise_is_let_be_while_the_caller_speaks_and_at_the_end_of_the_call() -> None:
    assert interrupted().was_false("caller-1", NOISE._replace(caller_speaking=True)) is None
    assert interrupted().was_false("caller-1", NOISE._replace(ending=True)) is None


def test_an_interruption_is_settled_once() -> None:
    one = interrupted()
    assert one.was_false("another", NOISE) is None, "another turn's words say nothing about it"
    assert one.was_false("caller-1", NOISE) == CUTS[0]
    assert one.was_false("caller-1", NOISE) is None


def test_words_settle_it_for_good() -> None:
    one = interrupted()
    assert one.was_false("caller-1", NOISE._replace(words=True)) is None
    assert one.was_false("caller-1", NOISE) is None


def test_it_belongs_to_the_first_turn_that_the_engine_opens_after_it() -> None:
    one = Interruption()
    one.caller_item("before")
    one.began(CUTS)
    one.caller_item("caller-1")
    one.caller_item("caller-2")
    assert one.was_false("before", NOISE) is None
    assert one.was_false("caller-2", NOISE) is None
    assert one.was_false("caller-1", NOISE) == CUTS[0]


def test_answers_before_it_are_no_evidence() -> None:
    one = Interruption()
    one.response_began()
    one.began(CUTS)
    one.caller_item("caller-1")
    assert one.was_false("caller-1", NOISE._replace(detector="")) == CUTS[0]


STEPS = st.lists(
    st.one_of(
        st.just(("began", "")),
        st.just(("response", "")),
        st.tuples(st.just("item"), st.sampled_from("abc")),
        st.tuples(st.just("words"), st.sampled_from("abc")),
    ),
    max_size=30,
)


@given(STEPS, st.booleans(), st.sampled_from(["speech", "noise", ""]))
def test_whatever_the_order_an_interruption_is_false_at_most_once(
    steps: list[tuple[str, str]], words: bool, detector: Detector
) -> None:
    one, began, found = Interruption(), 0, 0
    for what, item in steps:
        match what:
            case "began":
                one.began(CUTS)
                began += 1
            case "response":
                one.response_began()
            case "item":
                one.caller_item(item)
            case "words":
                found += one.was_false(item, NOISE._replace(words=words, detector=detector)) is not None
    assert found <= began
    assert not (found and (words or detector == "speech"))
