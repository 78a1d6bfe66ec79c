"""Which of a caller's words are still to come, and until when a session is listened to for them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from callflow.agent.late_transcripts import LEFT, TOO_LATE, UNPLACED, LateTranscripts, PendingTranscripts
from callflow.contracts.engine import (
    AudioDelta,
    EngineEvent,
    ItemAdded,
    ResponseStarted,
    SessionLost,
    SpeechStarted,
    SpeechStopped,
    ToolCalls,
    Transcript,
    TranscriptFailed,
    Usage,
)
from callflow.contracts.tools import ToolCall


BEGUN, STOPPED = SpeechStarted(), SpeechStopped()
PLACED = ItemAdded("caller", "a")
WRITTEN = Transcript("caller", "a", "Hello.", final=True)
FAILED = TranscriptFailed("a", "429")
PART = Transcript("caller", "a", "Hel", final=False)


def pending(events: Sequence[EngineEvent]) -> PendingTranscripts:
    waiting = PendingTranscripts()
    for event in events:
        waiting.handle_event(event)
    return waiting


@pytest.mark.parametrize(
    ("events", "left"),
    [
        ((), []),
        ((BEGUN,), [UNPLACED]),
        ((BEGUN, STOPPED), [UNPLACED]),
        ((BEGUN, STOPPED, PLACED), ["a"]),
        ((PLACED,), ["a"]),  # no turn detection: it was committed without a word
        ((BEGUN, STOPPED, PLACED, PART), ["a"]),
        ((BEGUN, STOPPED, PLACED, WRITTEN), []),
        ((BEGUN, STOPPED, PLACED, PLACED._replace(item="b"), WRITTEN), ["b"]),
        ((BEGUN, STOPPED, PLACED, FAILED), []),
        ((BEGUN, STOPPED, PLACED, WRITTEN._replace(text="")), []),
        ((BEGUN, STOPPED, WRITTEN, PLACED), []),  # the words came before their item
        ((BEGUN, STOPPED, PLACED, WRITTEN, BEGUN), [UNPLACED]),
        ((BEGUN, PLACED, BEGUN), ["a", UNPLACED]),
        ((ItemAdded("agent", "r"), Transcript("agent", "r", "Good day.", final=False)), []),
    ],
)
def test_what_is_pending_is_what_nobody_has_written_down(events: Sequence[EngineEvent], left: list[str]) -> None:
    waiting = pending(events)
    assert bool(waiting) is bool(left)
    never = waiting.close(TOO_LATE)
    assert [each.item for each in never] == left
    assert {each.reason for each in never} <= {TOO_LATE}
    assert not waiting
    assert waiting.close(TOO_LATE) == []


def test_what_a_session_has_not_written_down_the_next_one_will_not() -> None:
    waiting = pending([BEGUN, PLACED, BEGUN])
    waiting.session_over()
    assert not waiting, "nobody waits for it"
    assert [each.item for each in waiting.close(TOO_LATE)] == ["a"], "it is not forgotten"


def test_who_goes_on_in_another_process_may_still_be_speaking() -> None:
    assert pending([BEGUN]).close(LEFT) == []
    assert [each.reason for each in pending([PLACED]).close(LEFT)] == [LEFT]


def test_an_engine_that_opens_items_without_end_is_remembered_in_part() -> None:
    waiting = pending([ItemAdded("caller", str(number)) for number in range(5000)])
    waiting.session_over()
    for number in range(5000):
        waiting.handle_event(ItemAdded("caller", str(number)))
    assert len(waiting.close(TOO_LATE)) <= 400


async def test_of_what_comes_then_only_what_is_for_the_record_is_told() -> None:
    told: list[EngineEvent] = []
    late = LateTranscripts(pending([PLACED, PLACED._replace(item="b")]), told.append)
    bill = Usage("m", {}, None)
    for event in (
        ResponseStarted("r"),
        ItemAdded("agent", "r"),
        AudioDelta("r", "i", 0, b"\xff"),
        ToolCalls("r", (ToolCall("t", "x", "{}"),)),
        bill,
        WRITTEN,
    ):
        late.handle_event(event)
    assert told == [bill, WRITTEN]
    waiting = asyncio.create_task(late.come(60))
    await asyncio.sleep(0)
    assert not waiting.done(), "the other one is still to come"
    late.handle_event(FAILED._replace(item="b"))
    await asyncio.wait_for(waiting, 1)
    late.close()
    late.handle_event(WRITTEN)
    assert len(told) == 3, "that was too late"


@pytest.mark.parametrize("how", ["lost", "given up", "time"])
async def test_it_ends_without_the_words_too(how: str) -> None:
    late = LateTranscripts(pending([PLACED]), lambda event: None)
    waiting = asyncio.create_task(late.come(0.01 if how == "time" else 60))
    await asyncio.sleep(0)
    if how == "lost":
        late.handle_event(SessionLost("gone"))
    elif how == "given up":
        late.give_up()
    await asyncio.wait_for(waiting, 5)
