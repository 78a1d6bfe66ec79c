"""Where turns begin and end in a stream that says neither."""

from __future__ import annotations

from callflow.contracts.engine import (
    AudioDelta,
    AudioDone,
    EngineEvent,
    ItemAdded,
    ResponseDone,
    ResponseStarted,
    SpeechStarted,
    SpeechStopped,
    Transcript,
)
from callflow.engines.openai_live.turns import AGENT_PAUSE_MS, CALLER_PAUSE_MS, YIELD_MS, LiveTurns, sounds


LOUD, QUIET = b"\x20\xa0" * 240, b"\xff\x7f" * 240


def _kinds(told: list[EngineEvent]) -> list[type]:
    return [type(each) for each in told]


def test_silence_is_no_speech_and_a_voice_is() -> None:
    assert sounds(LOUD)
    assert not sounds(QUIET)
    turns = LiveTurns(1)
    assert turns.audio(QUIET, 0) == []
    assert turns.due is None
    assert _kinds(turns.audio(LOUD, 10)) == [ResponseStarted, ItemAdded, AudioDelta]


def test_the_agents_turn_ends_with_a_pause_and_not_within_a_sentence() -> None:
    turns = LiveTurns(1)
    assert turns.agent_words("Good ") == []  # words may come before their sound
    turns.audio(LOUD, 0)
    turns.agent_words("day.")
    assert _kinds(turns.audio(QUIET, 300)) == [AudioDelta]
    assert turns.tick(AGENT_PAUSE_MS - 1) == []
    told = turns.tick(AGENT_PAUSE_MS)
    assert _kinds(told) == [AudioDone, Transcript, ResponseDone]
    assert isinstance(told[1], Transcript)
    assert told[1].text == "Good day."
    assert isinstance(told[2], ResponseDone)
    assert told[2].answered


def test_the_callers_turn_ends_with_a_pause_or_when_the_agent_speaks() -> None:
    turns = LiveTurns(1)
    assert _kinds(turns.caller_words("Are you ", 0, 100)) == [SpeechStarted, ItemAdded, Transcript]
    turns.caller_words("open?", 200, 80)
    told = turns.audio(LOUD, 400)
    assert _kinds(told[:3]) == [SpeechStopped, ItemAdded, Transcript]
    assert type(told[3]) is ResponseStarted
    assert told[0] == SpeechStopped(80, answer_due=False)
    assert isinstance(told[2], Transcript)
    assert told[2].text == "Are you open?"
    assert told[2].final
    turns = LiveTurns(1)
    turns.caller_words("Hello", 0, 0)
    assert turns.tick(CALLER_PAUSE_MS - 1) == []
    assert _kinds(turns.tick(CALLER_PAUSE_MS))[0] is SpeechStopped


def test_an_mhm_takes_nothing_from_the_agent() -> None:
    turns = LiveTurns(1)
    turns.audio(LOUD, 0)
    assert _kinds(turns.caller_words("mhm", 100, 0)) == [ItemAdded, Transcript]
    for at in range(160, 1200, 60):
        told = [*turns.tick(at), *turns.audio(LOUD, at)]
        assert not {SpeechStarted, SpeechStopped, ResponseDone} & {*_kinds(told)}


def test_a_model_that_falls_silent_after_the_callers_words_has_given_them_the_floor() -> None:
    turns = LiveTurns(1)
    turns.audio(LOUD, 0)
    turns.caller_words("Wait", 50, 0)
    assert turns.tick(YIELD_MS - 1) == []
    told = turns.tick(YIELD_MS)
    assert _kinds(told) == [SpeechStarted, AudioDone, ResponseDone]
    assert isinstance(told[2], ResponseDone)
    assert told[2].status == "cancelled"
    assert not told[2].answered
    assert turns.caller_speaks
    assert _kinds(turns.tick(50 + CALLER_PAUSE_MS)) == [SpeechStopped, ItemAdded, Transcript]
    assert turns.due is None


def test_a_tool_belongs_to_the_sentence_just_spoken() -> None:
    turns = LiveTurns(2)
    assert turns.spoken_with(0) == ""
    turns.audio(LOUD, 0)
    assert turns.spoken_with(100) == "live2_a1_r"
    assert turns.spoken_with(60_000) == ""
