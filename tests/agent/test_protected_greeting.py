"""The sentence that the caller must hear: when it is over, and what proves how much of it was heard."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.agent.conversation import Conversation
from callflow.agent.prompts import Prompt, prompt
from callflow.agent.protected_greeting import ProtectedGreeting
from callflow.agent.turn_taking import Floor
from callflow.contracts.engine import SpeechStarted
from callflow.contracts.media import SpeechSegmentId
from callflow.journal import notes
from callflow.journal.notes import Protected
from callflow.media.playout import Playout
from tests.agent.offline import Scene
from tests.in_loop import in_loop


A, B = SpeechSegmentId("item_a"), SpeechSegmentId("item_b")
QUIET = Floor(
    caller_speaking=False, answer_due=False, responses=False, tools_busy=False, unplayed=False, greeting_open=True
)


def proof(
    greeting: ProtectedGreeting,
    *,
    conversation: Conversation | None = None,
    playout: Playout | None = None,
    in_full: bool = True,
) -> Protected:
    playout = playout or Playout(lead_ms=1000, mark_every_ms=100)
    return greeting.proof(playout, conversation or Conversation(), 1.0, in_full=in_full)


@in_loop
async def test_a_protected_greeting_is_heard_before_the_caller_may_interrupt() -> None:
    scene = Scene(disclosure="This call is recorded.")
    heard = []
    scene.agent.greeting_heard = lambda: heard.append(True)
    scene.ready()
    assert scene.engine.context.turn_detection is False
    scene.agent.prompter.greet()
    scene.engine.take()
    scene.answer()
    scene.tell(SpeechStarted())
    assert "clear" not in scene.stream.sent
    scene.hear(0.5)
    assert heard == [True]
    asked = scene.engine.take()
    assert asked == [("turn_detection", True), ("response", prompt(Prompt.SAID_OVER))]
    assert scene.took(notes.Protected)[0].in_full


@in_loop
async def test_a_session_that_is_lost_in_the_sentence_has_its_successor_say_it_again() -> None:
    greeting = ProtectedGreeting(wanted=True)
    assert (greeting.is_open, greeting.is_said) == (True, False)
    greeting.begin()
    greeting.speech(A, bytes(800))
    greeting.again()
    assert (greeting.is_open, greeting.is_said) == (True, False)
    greeting.begin()
    assert proof(greeting).of_ms == 0, "what the lost session said is no part of it"


def test_a_sentence_that_is_over_is_not_said_again() -> None:
    for greeting in (ProtectedGreeting(wanted=False), ProtectedGreeting(wanted=True)):
        greeting.begin()
        greeting.over()
        greeting.again()
        assert (greeting.is_open, greeting.is_said) == (False, False)


def test_nobody_interrupts_what_is_held_and_nothing_of_it_is_proved() -> None:
    greeting = ProtectedGreeting(wanted=False)
    greeting.hold()
    greeting.again()
    assert (greeting.is_open, greeting.is_said) == (True, False)
    assert not greeting.speech(A, bytes(800))
    greeting.played(A, 100)
    assert (proof(greeting).of_ms, proof(greeting).in_full) == (0, False)


@pytest.mark.parametrize("state", ["due", "over", "none"])
def test_speech_counts_only_once_the_sentence_was_asked_for(state: str) -> None:
    greeting = ProtectedGreeting(wanted=state != "none")
    if state == "over":
        greeting.begin()
        greeting.over()
    assert not greeting.speech(A, bytes(800))
    greeting.played(A, 100)
    assert proof(greeting).of_ms == 0


def test_what_was_never_heard_at_all_was_not_heard_in_full() -> None:
    greeting = ProtectedGreeting(wanted=True)
    greeting.begin()
    assert proof(greeting) == Protected(heard_ms=0, of_ms=0, in_full=False, text="")


def test_a_stretch_that_was_cut_off_counts_as_far_as_it_was_heard() -> None:
    greeting = ProtectedGreeting(wanted=True)
    greeting.begin()
    for _ in range(3):
        assert greeting.speech(A, bytes(800))
    greeting.speech(B, bytes(800))
    greeting.cut(A, 120)
    greeting.cut(SpeechSegmentId("another"), 50)
    found = proof(greeting)
    assert (found.heard_ms, found.of_ms, found.in_full) == (220, 400, False)


def test_no_more_is_heard_than_there_was_whatever_a_cut_says() -> None:
    greeting = ProtectedGreeting(wanted=True)
    greeting.begin()
    greeting.speech(A, bytes(800))
    greeting.cut(A, 10**9)
    assert (proof(greeting).heard_ms, proof(greeting).of_ms) == (100, 100)


def test_what_the_line_holds_is_heard_as_far_as_it_has_come() -> None:
    greeting, playout = ProtectedGreeting(wanted=True), Playout(lead_ms=1000, mark_every_ms=100)
    greeting.begin()
    greeting.speech(A, bytes(3200))
    playout.add(A, "resp", bytes(3200))
    assert not proof(greeting, playout=playout).in_full
    list(playout.due(0.9))
    found = greeting.proof(playout, Conversation(), 1.0, in_full=True)
    assert found.of_ms == 400
    assert 0 <= found.heard_ms <= 100
    assert not found.in_full


def test_a_caller_who_has_to_hear_it_all_is_believed_only_if_somebody_says_that_they_did() -> None:
    greeting = ProtectedGreeting(wanted=True)
    greeting.begin()
    greeting.played(A, 700)
    assert proof(greeting, in_full=True).in_full
    assert not proof(greeting, in_full=False).in_full


WORDS = "This call may be recorded."


@pytest.mark.parametrize(
    ("said", "may_go_on", "heard"),
    [
        ("", False, True),
        ("", True, False),
        ("This call", True, False),
        ("THIS  call -- may be RECORDED!", True, True),
        ("Hello. This call may be recorded. So,", True, True),
        ("This call may not be recorded.", True, False),
    ],
)
def test_after_a_pause_all_known_words_must_have_been_said(said: str, may_go_on: bool, heard: bool) -> None:
    greeting, talk = ProtectedGreeting(wanted=True, words=WORDS), Conversation()
    greeting.begin()
    greeting.speech(A, bytes(800))
    talk.words("agent", A.item, said, final=True)
    talk.words("caller", "item_c", WORDS, final=True)
    assert greeting.was_heard(QUIET._replace(may_go_on=may_go_on), talk) is heard


@pytest.mark.parametrize(
    ("words", "answered", "heard"), [(WORDS, False, True), ("", False, False), ("", True, True), (" -- ", True, True)]
)
def test_words_in_two_messages_are_words_and_without_known_words_the_callers_answer_ends_it(
    words: str, answered: bool, heard: bool
) -> None:
    talk, greeting = Conversation(), ProtectedGreeting(wanted=True, words=words)
    greeting.begin()
    for item, text in ((A, "This call may"), (B, "be recorded.")):
        talk.words("agent", item.item, text, final=True)
        greeting.speech(item, bytes(8))
    if answered:
        talk.words("caller", "item_c", "Yes.", final=True)
    assert greeting.was_heard(QUIET._replace(may_go_on=True), talk) is heard
    assert greeting.was_heard(QUIET, talk), "without a pause that may be one nothing more is awaited"
    assert proof(greeting, conversation=talk).text == "This call may be recorded."


def test_a_sentence_that_nobody_was_asked_for_was_not_heard() -> None:
    assert not ProtectedGreeting(wanted=True).was_heard(QUIET, Conversation())


@given(
    st.lists(
        st.tuples(st.sampled_from(["begin", "again", "hold", "over", "speech", "cut", "played"]), st.integers(0, 5000)),
        max_size=12,
    )
)
def test_whatever_happens_no_more_is_heard_than_was_received(acts: list[tuple[str, int]]) -> None:
    greeting = ProtectedGreeting(wanted=True)
    for act, ms in acts:
        if act == "speech":
            greeting.speech(A, bytes(ms))
        elif act in ("cut", "played"):
            getattr(greeting, act)(A, ms)
        else:
            getattr(greeting, act)()
        assert greeting.is_open or not greeting.is_said
        found = proof(greeting)
        assert 0 <= found.heard_ms <= found.of_ms
        assert not found.in_full or found.heard_ms == found.of_ms


def test_a_sentence_that_is_said_again_forgets_where_it_was_cut_off_before() -> None:
    greeting = ProtectedGreeting(wanted=True)
    greeting.begin()
    greeting.speech(A, bytes(800))
    greeting.cut(A, 10)
    greeting.again()
    greeting.begin()
    greeting.speech(A, bytes(800))
    assert (proof(greeting).heard_ms, proof(greeting).in_full) == (100, True)
