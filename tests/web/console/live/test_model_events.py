"""The journal in the words of the Realtime API, for pages of an earlier system."""

from __future__ import annotations

import json
from typing import Any

import pytest

from callflow.contracts.events import ToolCalled, ToolFinished, to_json
from callflow.journal import notes
from callflow.journal.journal import JournalEntry
from callflow.journal.notes import Note
from callflow.web.console.live.entries import Encoder
from callflow.web.console.live.model_events import growing, model_events


def of(entry: JournalEntry) -> list[dict[str, Any]]:
    data = Encoder("c").encode(entry).partition(b"\ndata: ")[2]
    return model_events(json.loads(data))


@pytest.mark.parametrize(
    ("note", "types"),
    [
        (notes.CallerSpeaks(), ["input_audio_buffer.speech_started"]),
        (notes.CallerPauses(), ["input_audio_buffer.speech_stopped"]),
        (
            notes.Turn(who="caller", item="i", text="Hello"),
            ["conversation.item.input_audio_transcription.completed", "transcription"],
        ),
        (notes.Turn(who="agent", item="i", text="Good day"), ["response.output_audio_transcript.done"]),
        (notes.NotTranscribed(item="i"), ["conversation.item.input_audio_transcription.failed"]),
        (notes.Interrupted(cuts=(notes.Cut(item="i", heard_ms=300),)), ["conversation.item.truncated"]),
        (notes.CutOff(cuts=()), []),
        (notes.ResponseFailed(status="failed", detail="no", final=True), ["response.done"]),
        (notes.SessionChanged(changes={"speed": 0.9}), ["session.updated"]),
        (notes.Usage(model="m", used={}, total={}, usd=0.0), []),
        (notes.Ended(), []),
    ],
)
def test_a_note_is_the_event_that_says_the_same(note: Note, types: list[str]) -> None:
    found = of(JournalEntry.of(note, call="c", at=1.0))
    assert [one["type"] for one in found] == types


def test_the_audio_that_was_heard_is_where_an_item_is_truncated() -> None:
    (cut,) = of(JournalEntry.of(notes.Interrupted(cuts=(notes.Cut(item="i", heard_ms=300),)), call="c", at=1.0))
    assert (cut["item_id"], cut["audio_end_ms"], cut["content_index"]) == ("i", 300, 0)


def test_tools_are_items_and_a_change_of_state_is_told() -> None:
    called = JournalEntry(
        "c", 3, 1.0, to_json(ToolCalled(id="t", tool="weather", arguments="{}")), "answered", "streaming"
    )
    item, state = of(called)
    assert item["item"] == {
        "id": "t", "type": "function_call", "status": "completed", "call_id": "t", "name": "weather", "arguments": "{}",
    }  # fmt: skip
    assert state == {"type": "call.state", "state": "streaming", "before": "answered"}
    finished = JournalEntry(
        "c", 4, 2.0, to_json(ToolFinished(id="t", tool="weather", output="{}")), "streaming", "streaming"
    )
    (added,) = of(finished)
    assert added["item"] == {"type": "function_call_output", "call_id": "t", "output": "{}"}


def test_growing_words_are_deltas() -> None:
    assert growing("agent", "i", " day")["type"] == "response.output_audio_transcript.delta"
    assert growing("caller", "i", "He")["type"] == "conversation.item.input_audio_transcription.delta"
