"""What the model is told beside its instructions: prompts to speak, and of a call that was there before its session."""

from __future__ import annotations

from string import Formatter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callflow.agent.conversation import Conversation, Turn
from callflow.agent.prompts import (
    Prompt,
    context_items,
    heard_again,
    prompt,
    shown,
    tool_answered,
    tool_unknown,
    typed,
    whispered,
)
from callflow.contracts.engine import ContextItem
from callflow.contracts.media import Cut, SpeechSegmentId


def spoken(conversation: Conversation, item: str, text: str) -> None:
    conversation.words("agent", item, text, final=True)
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


def test_a_disclosure_is_asked_for_word_for_word_and_before_all() -> None:
    both = prompt(Prompt.GREET, disclosure="This call may be recorded.", greeting="Greet the caller.")
    assert both.index("“This call may be recorded.”") < both.index("Greet the caller.")
    assert prompt(Prompt.GREET, disclosure="", greeting="Greet the caller.") == "Greet the caller."
    assert prompt(Prompt.GREET, disclosure="So.", greeting="").endswith("Then stop.")


@pytest.mark.parametrize("which", [one for one in Prompt if one is not Prompt.GREET], ids=lambda one: one.name)
def test_each_prompt_has_a_place_for_each_of_its_words_and_fails_without_one(which: Prompt) -> None:
    names = {name for _, name, _, _ in Formatter().parse(which.value) if name}
    words = {name: f"<{name}>" for name in names}
    text = prompt(which, **words)
    assert all(word in text for word in words.values())
    assert "{" not in text
    for name in names:
        with pytest.raises(KeyError):
            prompt(which, **{other: word for other, word in words.items() if other != name})


@given(st.text())
def test_what_is_said_word_for_word_is_no_template(text: str) -> None:
    """Callers, operators and tools say what they like, `{0}` and `{text}` too."""
    for made in (
        prompt(Prompt.SAY, text=text),
        prompt(Prompt.VOICEMAIL, message=text),
        prompt(Prompt.CARRY_ON, heard=text),
        prompt(Prompt.GREET, disclosure=text, greeting="Hello."),
        prompt(Prompt.GREET, disclosure="", greeting=text),
        whispered(text),
        typed(text),
        shown(text),
        tool_answered("look_up", text, "{}"),
        tool_unknown("look_up", text),
    ):
        assert text in made


def test_without_words_to_greet_with_nothing_is_asked_for() -> None:
    assert prompt(Prompt.GREET) == prompt(Prompt.GREET, disclosure=None, greeting=None) == ""


def turn(text: str, heard_ms: int | None, spoken_ms: int | None = 1000) -> Turn:
    return Turn("agent", "a", text, heard_ms=heard_ms, spoken_ms=spoken_ms)


def test_who_is_heard_again_learns_what_was_missed_and_nothing_else() -> None:
    plain = heard_again([])
    assert plain == heard_again([turn("All of it.", None), turn("To the end.", 1000)]) == "The caller hears you again."
    text = heard_again([turn("one two", 500), turn("all", None), turn("three", 0)])
    assert text.startswith(plain)
    assert "“two three”" in text
    assert "one" not in text.partition("“")[2]


def test_a_picture_of_which_nobody_says_anything_has_no_empty_quotes() -> None:
    assert "“" not in shown("")
    assert "“a bill”" in shown("a bill")


@settings(max_examples=25)
@given(st.lists(st.tuples(st.sampled_from(["agent", "caller", "fact"]), st.text(max_size=20), st.integers(-1, 4))))
def test_no_word_of_a_call_is_told_twice_or_lost_and_the_first_line_is_ours(turns: list[tuple[str, str, int]]) -> None:
    one = Conversation()
    for number, (who, text, heard) in enumerate(turns):
        if who == "fact":
            one.fact(text)
        else:
            one.words("agent" if who == "agent" else "caller", str(number), text, final=True)
        if who == "agent" and heard >= 0:
            one.interrupted([Cut(SpeechSegmentId(str(number)), heard * 100, 400)])
    told = context_items(one)
    assert all(item.text for item in told)
    assert not told or told[0].text.startswith("This call is already under way.")
    prefix = "There you were interrupted. The caller did not hear: “"
    said = [item.text.removeprefix(prefix) for item in told[1:]]
    assert " ".join(said).replace("”", "").split() == [
        word for _, text, _ in turns for word in text.replace("”", "").split()
    ]
