"""What a call writes: each step once, notes no faster than a conversation makes them, and no secret in the log."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from typing import Any, cast

import pytest

from callflow.call import call_log
from callflow.call.call_log import CallLog, in_words
from callflow.call.dtmf import MASK
from callflow.call.machine import Model, Step
from callflow.call.recording_pause import NOT_WRITTEN
from callflow.contracts import commands, events
from callflow.contracts.errors import CallElsewhere
from callflow.contracts.events import Event
from callflow.contracts.repeated_warnings import RepeatedWarnings
from callflow.journal import notes
from callflow.journal.journal import JournalEntry
from callflow.journal.live_feed import LiveFeed
from callflow.journal.redaction import Redactor
from tests.call.offline import services
from tests.in_loop import in_loop


CARD = "4111 1111 1111 1111"


class Journal:
    """A journal whose commits fail as they are told to."""

    def __init__(self) -> None:
        self.entries: list[JournalEntry] = []
        self.error: Exception | None = None
        self.hangs = False

    def note(self, entry: JournalEntry) -> None:
        self.entries.append(entry)

    async def append(self, entry: JournalEntry) -> None:
        self.entries.append(entry)
        if self.error is not None:
            raise self.error
        if self.hangs:
            await asyncio.Event().wait()


class Feed:
    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []

    def publish(self, at: float, call: str, kind: str, **data: Any) -> None:
        self.told.append((kind, data))


class Scene:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.journal, self.feed, self.now = Journal(), Feed(), 100.0
        self.log = CallLog(
            "call_1",
            dataclasses.replace(
                services(), journal=cast(Any, self.journal), live=cast(LiveFeed, self.feed), now=lambda: 7.0,
                redact=Redactor(), journal_seconds=0.0,
            ),
        )  # fmt: skip
        monkeypatch.setattr(call_log, "monotonic", lambda: self.now)

    @property
    def written(self) -> list[dict[str, Any]]:
        return [dict(entry.event) for entry in self.journal.entries]


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


TURN = notes.Turn(who="caller", item="i", text=f"My card is {CARD}.")


def test_a_note_is_written_and_told_without_what_is_to_be_taken_out(scene: Scene) -> None:
    scene.log.steps = 4
    scene.log.note(TURN)
    (entry,) = scene.journal.entries
    assert (entry.call, entry.step, entry.at, entry.before, entry.commands) == ("call_1", 4, 7.0, "", ())
    ((kind, data),) = scene.feed.told
    assert kind == "turn"
    assert "event" not in data
    assert data["text"] == entry.event["text"]
    assert CARD not in str(entry.event)


def test_notes_that_come_too_fast_are_counted_and_come_again_when_there_is_time(scene: Scene) -> None:
    complaint = notes.EngineComplaint(code="c", message="m")
    for _ in range(1000):
        scene.log.note(complaint)
    assert (len(scene.journal.entries), scene.log.notes_dropped) == (300, 700)
    assert len(scene.feed.told) == 300
    scene.log.note(notes.Clip(clip="sorry"))
    assert len(scene.journal.entries) == 301, "of another kind"
    scene.now += 1.0
    for _ in range(20):
        scene.log.note(complaint)
    assert len(scene.journal.entries) == 311


def test_all_turns_that_are_left_at_the_end_of_a_call_are_written(scene: Scene) -> None:
    for _ in range(2500):
        scene.log.note(notes.Turn(who="agent", item="i", text="x"))
    assert (len(scene.journal.entries), scene.log.notes_dropped) == (2500, 0)


def test_the_log_has_few_lines_of_a_kind_and_the_journal_all(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "callflow.call")
    for _ in range(50):
        scene.log.note(notes.ResponseFailed(status="failed"))
    assert len(caplog.records) == 20
    assert len(scene.journal.entries) == 50
    scene.now += 1.0
    scene.log.note(notes.ResponseFailed(status="failed"))
    assert len(caplog.records) == 21


def test_nothing_said_typed_or_dialled_is_in_the_log(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "callflow.call")
    scene.log.note(TURN)
    scene.log.note(notes.Digits(digits="4711"))
    scene.log.late(events.CallAnswered(from_number="+15550100001"), "hangup")
    assert "card" not in caplog.text
    assert "4711" not in caplog.text
    assert "+1555" not in caplog.text
    assert "turn: item i" in caplog.text


def test_words_of_a_pause_are_not_written_and_keys_are_masked(scene: Scene) -> None:
    asked: list[float] = []

    def hides(told: Any, at: float) -> bool:
        asked.append(at)
        return True

    scene.log.hides = hides
    scene.log.note(notes.Turn(who="caller", item="i", text="secret"))
    scene.log.late(events.Dtmf(digit="5"), "hangup")
    turn, key = scene.written
    assert turn["text"] == NOT_WRITTEN
    assert key["digit"] == MASK
    assert asked == [7.0, 7.0]


@in_loop
async def test_a_key_that_decides_is_written_in_a_pause_too_and_one_that_does_not_is_masked() -> None:
    for taken, digit in ((True, "1"), (False, MASK)):
        with pytest.MonkeyPatch.context() as patch:
            scene = Scene(patch)
            scene.log.hides = lambda told, at: True
            entry, _ = await scene.log.step(Step(events.Dtmf(digit="1"), "transferring", "bridged", taken=taken))
        assert entry.event["digit"] == digit


@in_loop
async def test_each_step_has_a_number_and_what_it_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(monkeypatch)
    scene.log.steps = 10
    step = Step(events.CallAnswered(), "ringing", "answered", taken=True, commands=[commands.Arm(deadline="stream")])
    first, committed = await scene.log.step(step)
    second, _ = await scene.log.step(step)
    assert (first.step, second.step, scene.log.steps, committed) == (11, 12, 12, True)
    assert (first.before, first.after, first.taken) == ("ringing", "answered", True)
    assert first.commands == [commands.to_json(commands.Arm(deadline="stream"))]


@pytest.mark.parametrize("error", [None, OSError("disk full"), CallElsewhere("call_1"), KeyError("x")])
@in_loop
async def test_whatever_becomes_of_a_commit_it_raises_nothing(error: Exception | None) -> None:
    with pytest.MonkeyPatch.context() as patch:
        scene = Scene(patch)
        scene.journal.error = error
        _, committed = await scene.log.step(Step(Event(), "ringing", "ringing"))
    assert committed is (error is None)


@pytest.mark.parametrize(("command", "waits"), [(commands.Dial(), 5.0), (commands.Hangup(), 0.0)])
@in_loop
async def test_a_step_that_dials_waits_longer_for_its_commit(command: commands.Command, waits: float) -> None:
    with pytest.MonkeyPatch.context() as patch:
        scene = Scene(patch)
        asked: list[float | None] = []

        async def commit(entry: JournalEntry, seconds: float | None = None) -> bool:
            asked.append(seconds)
            return True

        patch.setattr(scene.log, "commit", commit)
        await scene.log.step(Step(Event(), "ringing", "ringing", commands=[command]))
    assert asked == [waits]


@in_loop
async def test_a_commit_that_hangs_is_given_up_and_the_call_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.MonkeyPatch.context() as patch:
        scene = Scene(patch)
        scene.journal.hangs = True
        fresh = RepeatedWarnings(call_log.log, logging.ERROR)  # another test may have just said it
        patch.setattr(call_log, "_unwritten_warnings", fresh)
        for _ in range(3):
            _, committed = await scene.log.step(Step(Event(), "ringing", "ringing"))
            assert not committed
    assert "step 1 is not in the journal" in caplog.text
    assert len(caplog.records) == 1, "while the database is away, each step of each call has a line in the log"


def test_what_comes_after_the_end_is_written_without_a_change(scene: Scene) -> None:
    scene.log.late(events.CallHangup(cause="late"), "hangup")
    (entry,) = scene.journal.entries
    assert (entry.before, entry.after, entry.taken) == ("hangup", "hangup", False)
    assert scene.log.steps == 0


@pytest.mark.parametrize(
    ("name", "before", "after", "taken", "level"),
    [
        ("agent_heard", "streaming", "streaming", True, logging.DEBUG),
        ("agent_heard", "streaming", "recovering", True, logging.INFO),
        ("engine_lost", "streaming", "streaming", True, logging.WARNING),
        ("engine_lost", "streaming", "recovering", True, logging.WARNING),
        ("engine_lost", "hangup", "hangup", False, logging.DEBUG),
        ("no_input", "streaming", "streaming", True, logging.INFO),
    ],
)
def test_how_loudly_a_step_is_logged(
    scene: Scene, caplog: pytest.LogCaptureFixture, name: str, before: str, after: str, taken: bool, level: int
) -> None:
    caplog.set_level(logging.DEBUG, "callflow.call")
    entry = JournalEntry("call_1", 1, 7.0, {"event": name}, before, after, taken, [{"command": "arm", "deadline": "x"}])
    scene.log.publish(entry, Model(), more=1)
    (record,) = caplog.records
    assert record.levelno == level
    assert "to do: arm x" in record.getMessage()
    ((kind, data),) = scene.feed.told
    assert (kind, data["before"], data["after"], data["more"]) == ("step", before, after, 1)


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ({"event": "x"}, "x"),
        ({"event": "x", "reason": "", "cause": None, "text": "secret", "from_number": "+1"}, "x"),
        ({"event": "x", "ok": False, "ms": 0}, "x: ok False, ms 0"),
        ({"event": "x", "state": "on", "deadline": "grace"}, "x: deadline grace, state on"),
        ({"event": "x", "reason": "r" * 1000}, f"x: reason {'r' * 300}"),
        ({"event": "x", "why": {"a": [1]}}, "x: why {'a': [1]}"),
    ],
)
def test_an_event_in_words_shows_only_what_may_be_shown(event: dict[str, Any], text: str) -> None:
    assert in_words(event) == text
