"""The end of a call: a session stays open while words of the caller are still to come, and only then."""

from __future__ import annotations

import asyncio

import pytest

from callflow.agent.late_transcripts import LEFT, TOO_LATE
from callflow.contracts.engine import ItemAdded, SpeechStarted, SpeechStopped, Transcript
from callflow.journal import notes
from tests.agent.offline import CAN, Scene
from tests.in_loop import in_loop, settle


def spoken(scene: Scene) -> None:
    """Let the caller say something that is not written down yet."""
    scene.tell(SpeechStarted(), SpeechStopped(), ItemAdded("caller", "item_1"))


@in_loop
async def test_a_session_with_nothing_to_come_is_not_kept() -> None:
    scene = Scene()
    scene.ready()
    assert not scene.agent.wind_up.begin()
    assert ("wind_up", False) not in scene.engine.take()


@in_loop
async def test_a_turn_without_a_transcript_keeps_the_session_until_it_has_come() -> None:
    scene = Scene()
    scene.ready()
    spoken(scene)
    assert scene.agent.wind_up.begin()
    assert scene.engine.take()[-1] == ("wind_up", False)
    waiting = asyncio.create_task(scene.agent.wind_up.wait(60.0))
    await settle()
    assert not waiting.done()
    scene.tell(Transcript("caller", "item_1", "Good bye.", True))
    await waiting
    assert [turn.text for turn in scene.turns.conversation.turns] == ["Good bye."]
    scene.agent.wind_up.close(for_good=True)
    assert scene.took(notes.NotTranscribed) == []


@in_loop
async def test_whoever_still_speaks_is_heard_to_the_end() -> None:
    scene = Scene()
    scene.ready()
    scene.tell(SpeechStarted())
    assert scene.agent.wind_up.begin()
    assert scene.engine.take()[-1] == ("wind_up", True)


@pytest.mark.parametrize(("for_good", "why"), [(True, TOO_LATE), (False, LEFT)])
@in_loop
async def test_a_transcript_that_does_not_come_is_on_record_with_the_reason(for_good: bool, why: str) -> None:
    scene = Scene()
    scene.ready()
    spoken(scene)
    assert scene.agent.wind_up.begin()
    await scene.agent.wind_up.wait(0.0)
    scene.agent.wind_up.close(for_good=for_good)
    assert [(note.item, note.reason) for note in scene.took(notes.NotTranscribed)] == [("item_1", why)]


@in_loop
async def test_it_is_given_up_at_once_when_the_process_must_end() -> None:
    scene = Scene()
    scene.ready()
    spoken(scene)
    assert scene.agent.wind_up.begin()
    waiting = asyncio.create_task(scene.agent.wind_up.wait(60.0))
    await settle()
    scene.agent.wind_up.give_up()
    await waiting


@pytest.mark.parametrize("change", ["no time for it", "an engine that writes nothing down"])
@in_loop
async def test_nothing_is_waited_for(change: str) -> None:
    scene = Scene(can=CAN - {"transcribes"}) if "engine" in change else Scene(transcript_seconds=0.0)
    scene.ready()
    spoken(scene)
    assert not scene.agent.wind_up.begin()
