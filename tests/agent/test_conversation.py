"""Who is speaking, what was said, and how much of it was heard."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.agent.conversation import INTERRUPTED, LISTENING, SPEAKING, THINKING, Conversation, Turn, cut_note
from callflow.contracts.media import Cut, SpeechSegmentId
from callflow.journal import notes
from callflow.journal.timeline import broke_in


def test_a_round_of_talk() -> None:
    talk = Conversation()
    assert talk.state == LISTENING
    talk.caller_speaks()
    assert talk.state == LISTENING
    talk.caller_pauses()
    assert talk.state == THINKING
    assert talk.agent_speaks()
    assert not talk.agent_speaks(), "no news"
    assert talk.state == SPEAKING
    talk.agent_is_heard()
    assert talk.state == LISTENING
    assert talk.interruptions == 0


def test_the_caller_breaks_in_and_is_answered() -> None:
    talk = Conversation()
    talk.agent_speaks()
    talk.interrupted([Cut(SpeechSegmentId("a"), 500, 1000)])
    assert (talk.state, talk.interruptions) == (INTERRUPTED, 1)
    talk.agent_is_heard()
    assert talk.state == INTERRUPTED, "a late word about what was cut changes nothing"
    talk.caller_pauses()
    assert talk.agent_speaks()


@pytest.mark.parametrize(
    ("cut", "by_caller", "counts"),
    [
        (Cut(SpeechSegmentId("a"), 500, 1000), False, 0),
        (Cut(SpeechSegmentId("a"), 1000, 1000), True, 0),
        (Cut(SpeechSegmentId("a"), 999, 1000), True, 1),
    ],
    ids=["our own sentence cuts it off", "all of it was heard", "all but the last of it was"],
)
def test_what_counts_as_an_interruption(cut: Cut, by_caller: bool, counts: int) -> None:
    talk = Conversation()
    talk.interrupted([cut], by_caller=by_caller)
    assert talk.interruptions == counts
    told = cut_note(cut.key.item, cut.heard_ms, cut.received_ms, talk.turn("a"))
    assert broke_in(notes.Interrupted(by_caller=by_caller, cuts=(told,))) == bool(counts)


def test_the_last_word_heard_while_the_next_is_thought_of_does_not_end_the_thinking() -> None:
    talk = Conversation()
    talk.agent_speaks()
    talk.caller_pauses()
    talk.agent_is_heard()
    assert talk.state == THINKING


def test_turns_stand_in_the_order_of_their_items_not_of_their_words() -> None:
    talk = Conversation()
    talk.opened("caller", "c1")
    talk.opened("agent", "a1")
    talk.words("agent", "a1", "At ten.", final=True)
    talk.words("caller", "c1", "When do you open?", final=True)
    assert [(turn.who, turn.text) for turn in talk.turns] == [("caller", "When do you open?"), ("agent", "At ten.")]
    assert talk.turn("a1") is talk.turns[1]
    assert talk.turn("a2") is None


def test_pieces_add_up_and_the_whole_replaces_them() -> None:
    talk = Conversation()
    for piece in ("We are ", "open frm"):
        talk.words("agent", "a1", piece, final=False)
    turn = talk.turn("a1")
    assert turn is not None
    assert turn.text == "We are open frm"
    assert talk.words("agent", "a1", "We are open from ten.", final=True) is turn
    assert turn.text == "We are open from ten."
    assert turn.heard_text == turn.text
    assert not turn.interrupted


def test_an_interrupted_turn_tells_what_was_said_from_what_was_heard() -> None:
    talk = Conversation()
    talk.words("agent", "a1", "We are open from ten to six, and on Sunday we are closed.", final=True)
    talk.interrupted([Cut(SpeechSegmentId("a1"), 1000, 2000), Cut(SpeechSegmentId("a2"), 0, 500)])
    first, second = talk.turns
    assert first.interrupted
    assert first.heard_text == "We are open from ten to"
    assert (second.item, second.heard_ms, second.heard_text) == ("a2", 0, ""), "its words may still come"
    talk.words("agent", "a2", "Anything else?", final=True)
    assert second.heard_text == ""


def test_the_parts_of_one_item_are_cut_together() -> None:
    talk = Conversation()
    talk.words("agent", "a1", "one two three four", final=True)
    talk.interrupted([Cut(SpeechSegmentId("a1", 0), 800, 1000), Cut(SpeechSegmentId("a1", 1), 0, 1000)])
    [turn] = talk.turns
    assert (turn.heard_ms, turn.spoken_ms) == (800, 2000)
    assert turn.heard_text == "one two"


@given(st.text(max_size=200), st.integers(0, 10_000), st.integers(0, 10_000))
def test_what_was_heard_is_a_beginning_of_what_was_said(text: str, heard: int, spoken: int) -> None:
    turn = Turn("agent", "a", text, heard_ms=min(heard, spoken), spoken_ms=spoken)
    assert text.split()[: len(turn.heard_text.split())] == turn.heard_text.split()
    if heard == 0 or spoken == 0:
        assert turn.heard_text == ""


def test_a_call_that_talks_for_ever_does_not_grow_for_ever() -> None:
    talk = Conversation()
    for number in range(3000):
        talk.opened("caller", f"c{number}")
    assert len(talk.turns) == 2000
    assert talk.words("caller", "one more", "hello", final=True) is None
    talk.interrupted([Cut(SpeechSegmentId("one more"), 1, 2)])
    assert len(talk.turns) == 2000


@pytest.mark.parametrize("final", [True, False])
def test_a_turn_is_bounded(final: bool) -> None:
    talk = Conversation()
    for _ in range(3):
        turn = talk.words("agent", "a", "x" * 15_000, final=final)
    assert turn is not None
    assert len(turn.text) == (15_000 if final else 20_000)


def spoken(conversation: Conversation, item: str, text: str, *, complete: bool = True) -> None:
    conversation.words("agent", item, text, final=True)
    if complete:
        conversation.complete(item)


def whose(conversation: Conversation) -> str:
    return "caller" if conversation.is_callers_turn else "agent"


def test_whose_turn_it_is() -> None:
    one = Conversation()
    assert whose(one) == "caller"
    one.words("caller", "c", "Hello?", final=True)
    assert whose(one) == "agent"
    spoken(one, "a", "Good day.")
    assert whose(one) == "caller"
    one.interrupted([Cut(SpeechSegmentId("a"), 200, 1000)])
    assert whose(one) == "agent", "it was cut off"
    spoken(one, "b", "As I said.", complete=False)
    assert whose(one) == "agent", "it broke off"
    spoken(one, "c2", "So.")
    one.interrupted([Cut(SpeechSegmentId("c2"), 900, 1000)])
    assert whose(one) == "caller", "the rest is not worth a word"
    one.fact("The tool look answered 1.")
    assert whose(one) == "agent"
