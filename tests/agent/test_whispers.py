"""A whisper is taken up by the first answer that began after it and was to be heard."""

from __future__ import annotations

from callflow.agent.whispers import Whispers
from callflow.contracts.engine import ResponseDone
from callflow.journal.notes import Note, WhisperUsed


def done(response: str, *items: str, sounds: bool = True) -> ResponseDone:
    return ResponseDone(response, "completed", sounds=sounds, items=items)


def test_an_answer_that_began_before_knows_nothing_of_it() -> None:
    noted: list[Note] = []
    whispers = Whispers(noted.append)
    whispers.response_began("r1")
    whispers.given("1")
    whispers.response_ended(done("r1", "i1"))
    assert noted == []
    whispers.response_began("r2")
    whispers.response_ended(done("r2", "i2"))
    assert noted == [WhisperUsed(id="1", item="i2")]
    whispers.response_began("r3")
    whispers.response_ended(done("r3", "i3"))
    assert len(noted) == 1


def test_what_only_calls_a_tool_or_is_lost_leaves_it_to_the_next() -> None:
    noted: list[Note] = []
    whispers = Whispers(noted.append)
    whispers.given("1")
    whispers.response_began("r1")
    whispers.given("2")
    whispers.response_ended(done("r1", sounds=False))
    whispers.response_began("r2")
    whispers.session_lost()
    whispers.response_ended(done("r2", "i2"))
    assert noted == []
    whispers.response_began("r3")
    whispers.response_ended(done("r3", "i3"))
    assert noted == [WhisperUsed(id="1", item="i3"), WhisperUsed(id="2", item="i3")]
