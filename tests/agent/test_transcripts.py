"""When a turn is written into the journal, and as what."""

from __future__ import annotations

from callflow.contracts.engine import ItemAdded, SpeechStarted, Transcript, TranscriptFailed
from callflow.journal import notes
from tests.agent.offline import Scene
from tests.in_loop import in_loop


def turns(scene: Scene) -> list[tuple[str, str, bool]]:
    return [(note.who, note.text, note.whole) for note in scene.took(notes.Turn)]


@in_loop
async def test_a_turn_of_the_caller_is_written_once_its_text_is_complete() -> None:
    scene = Scene()
    scene.ready()
    scene.tell(ItemAdded("caller", "c"))
    scene.now += 0.7
    scene.tell(Transcript("caller", "c", "When do ", final=False))
    assert turns(scene) == []
    scene.tell(Transcript("caller", "c", "When do you open?", final=True))
    (note,) = scene.took(notes.Turn)
    assert (note.text, note.ago_ms) == ("When do you open?", 700)


@in_loop
async def test_a_turn_of_the_agent_is_written_if_it_had_sound() -> None:
    scene = Scene()
    scene.ready()
    scene.tell(ItemAdded("agent", "item_1"))
    scene.answer()
    scene.tell(Transcript("agent", "item_1", "From nine to six.", final=True))
    assert turns(scene) == [("agent", "From nine to six.", True)]


@in_loop
async def test_text_of_the_agent_without_sound_was_not_said() -> None:
    scene = Scene()
    scene.ready()
    scene.tell(ItemAdded("agent", "mute"), Transcript("agent", "mute", "Nobody hears this.", final=True))
    assert turns(scene) == []
    assert scene.took(notes.CutOff)[0].cuts[0].unheard_text == "Nobody hears this."


@in_loop
async def test_a_transcript_that_fails_is_noted_with_its_reason() -> None:
    scene = Scene()
    scene.ready()
    scene.tell(SpeechStarted(), ItemAdded("caller", "c"))
    scene.now += 0.2
    scene.tell(TranscriptFailed("c", "audio too short"))
    assert scene.took(notes.NotTranscribed) == [notes.NotTranscribed(item="c", reason="audio too short", ago_ms=200)]


@in_loop
async def test_at_the_end_what_is_not_written_is_written_as_a_part() -> None:
    scene = Scene()
    scene.ready()
    scene.tell(ItemAdded("agent", "item_1"))
    scene.answer(whole=False)
    scene.tell(Transcript("agent", "item_1", "From nine", final=False))
    scene.agent.ended(for_good=False)
    assert turns(scene) == [("agent", "From nine", False)]
