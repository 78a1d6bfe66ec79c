"""What a session is told of a call that was there before it."""

from __future__ import annotations

from callflow.agent.conversation import Conversation
from callflow.agent.prompts import Prompt, context_items, prompt
from callflow.contracts.engine import ContextItem
from callflow.contracts.media import Cut, SpeechSegmentId


def spoken(conversation: Conversation, item: str, text: str, *, complete: bool = True) -> None:
    conversation.words("agent", item, text, final=True)
    if complete:
        conversation.complete(item)


def test_a_call_that_has_not_begun_has_nothing_to_tell() -> None:
    assert context_items(Conversation()) == []


def test_turns_are_told_in_order_and_the_unheard_part_apart() -> None:
    one = Conversation()
    spoken(one, "a1", "Good day.")
    one.words("caller", "c1", "When do you open?", final=True)
    spoken(one, "a2", "We are open from nine until six every day.")
    one.interrupted([Cut(SpeechSegmentId("a2"), 1000, 2250)])
    one.fact("The caller typed 1.")
    told = context_items(one)
    assert told[0].who == "system"
    assert told[1:] == [
        ContextItem("agent", "Good day."),
        ContextItem("caller", "When do you open?"),
        ContextItem("agent", "We are open from"),
        ContextItem("system", "There you were interrupted. The caller did not hear: “nine until six every day.”"),
        ContextItem("system", "The caller typed 1."),
    ]


def test_a_sentence_of_which_nothing_was_heard_was_not_said() -> None:
    one = Conversation()
    spoken(one, "a", "Never mind.")
    one.interrupted([Cut(SpeechSegmentId("a"), 0, 900)])
    assert context_items(one)[1:] == [
        ContextItem("system", "There you were interrupted. The caller did not hear: “Never mind.”")
    ]


def test_a_sentence_that_broke_off_with_its_session_counts_as_heard_as_far_as_its_audio_went() -> None:
    one = Conversation()
    one.words("agent", "a", "one two three four five six seven eight nine ten", final=False)
    one.broke_off("a", 1500)
    told = context_items(one)[1:]
    assert told[0] == ContextItem("agent", "one two three four five")
    assert "six seven" in told[1].text


def test_turns_without_words_are_left_out() -> None:
    one = Conversation()
    one.opened("caller", "c")
    assert context_items(one) == []


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


def test_a_disclosure_is_asked_for_word_for_word_and_before_all() -> None:
    both = prompt(Prompt.GREET, disclosure="This call may be recorded.", greeting="Greet the caller.")
    assert both.index("“This call may be recorded.”") < both.index("Greet the caller.")
    assert prompt(Prompt.GREET, disclosure="", greeting="Greet the caller.") == "Greet the caller."
    assert prompt(Prompt.GREET, disclosure="So.", greeting="").endswith("Then stop.")
