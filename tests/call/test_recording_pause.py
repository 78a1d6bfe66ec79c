"""What is not written of a call while its recordings are paused, and how a pause ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from callflow.call.recording_pause import NOT_WRITTEN, PauseRedactor, RecordingPause
from callflow.contracts import events
from callflow.journal import notes


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def turn(item: str, ago_ms: int = 0) -> dict[str, Any]:
    return notes.to_json(notes.Turn(who="caller", item=item, text="4111", ago_ms=ago_ms))


async def test_words_of_a_pause_are_hidden_whenever_they_come() -> None:
    clock, ends = Clock(), list[bool]()
    pause = RecordingPause(60, since=None, over=lambda: ends.append(True), now=clock)
    assert not pause.hides(turn("before"), 1000)
    pause.set(on=True)
    assert pause.hides(turn("begun before", 5000), 1001)
    assert pause.hides(events.to_json(events.ToolCalled(id="c1", tool="pay", arguments="4111")), 1002)
    assert not pause.hides(events.to_json(events.EngineLost(reason="a fault")), 1002)
    for event in (
        events.DtmfRequested(id="1", digits="4111"), events.SayRequested(id="2", text="4111"),
        events.TransferRequested(number="+15550100042", mode="warm", summary="4111"),
    ):  # fmt: skip
        told = events.to_json(event)
        assert pause.hides(told, 1002), event.name
        assert "4111" not in str(PauseRedactor().fields(told))
    clock.now = 1010
    pause.set(on=False)
    assert pause.hides(turn("within", 8000), 1015), "its transcript came late"
    assert pause.hides(events.to_json(events.ToolFinished(id="c1", tool="pay", output="4111")), 1100)
    assert pause.hides(notes.to_json(notes.Heard(item="begun before", so_far="4111")), 1100)
    assert not pause.hides(turn("after", 2000), 1015)
    assert not pause.hides(events.to_json(events.SayRequested(id="1", text="Hello.")), 1015), "its number is ours"
    assert not pause.hides(notes.to_json(notes.Heard(item="after", so_far="hello")), 1015)
    pause.close()
    assert ends == []


async def test_a_pause_that_nobody_ends_ends_by_itself() -> None:
    over = asyncio.Event()
    pause = RecordingPause(0.01, since=None, over=over.set, now=Clock())
    pause.set(on=True)
    await asyncio.wait_for(over.wait(), 5)
    pause.close()


async def test_a_pause_that_was_left_on_goes_on_for_the_rest_of_its_time() -> None:
    over = asyncio.Event()
    pause = RecordingPause(60, since=900, over=over.set, now=Clock())
    assert pause.is_on
    assert pause.hides(turn("x"), 950)
    await asyncio.wait_for(over.wait(), 5)  # its time was over long ago
    pause.close()


@pytest.mark.parametrize(
    ("event", "left"),
    [
        (notes.to_json(notes.Turn(who="agent", item="i", text="4111")), {"text": NOT_WRITTEN, "item": "i"}),
        (notes.to_json(notes.Heard(item="i", so_far="4111")), {"so_far": NOT_WRITTEN}),
        (events.to_json(events.ToolCalled(id="c", tool="pay", arguments="{}")), {"arguments": NOT_WRITTEN, "id": "c"}),
        (
            notes.to_json(notes.CutOff(cuts=(notes.Cut(item="i", heard_text="41", unheard_text="11"),))),
            {"cuts": [{"heard_text": NOT_WRITTEN, "unheard_text": NOT_WRITTEN, "item": "i"}]},
        ),
    ],
)
def test_no_word_is_left(event: dict[str, Any], left: dict[str, Any]) -> None:
    told = PauseRedactor().fields(event)
    for name, value in left.items():
        if isinstance(value, list):
            assert all(value[0][key] == told[name][0][key] for key in value[0])
        else:
            assert told[name] == value
    assert "41" not in str({name: value for name, value in told.items() if name != "ms"})
