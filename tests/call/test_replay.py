"""A recorded call, run through the machine again: the histories that are kept here, and how a divergence looks."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from callflow.call import machine
from callflow.call.replay import replay
from callflow.call.restore import restore_call
from callflow.cli.journal_file import read_history, write_history
from callflow.contracts.errors import JournalFileError
from callflow.contracts.events import KINDS
from callflow.journal.journal import JournalEntry
from callflow.journal.timeline import broke_in


HISTORIES = sorted((Path(__file__).parents[1] / "histories").glob("*.jsonl"))


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
def test_a_kept_history_replays_as_it_was(path: Path) -> None:
    records = read_history(path)
    done = replay(records)
    assert not done.divergences, (
        f"{path.name} diverges: {done.divergences[0]}. Calls in progress during an upgrade would, too: if the table "
        "was meant to change like that, record the history anew."
    )
    assert machine.is_over(done.model) == any(record.after == machine.HANGUP for record in records)


def test_the_histories_cover_what_calls_are_made_of() -> None:
    events = {record.event["event"] for path in HISTORIES for record in read_history(path) if record.is_step}
    assert events >= {
        "call_initiated", "call_answered", "media_started", "media_lost", "call_hangup", "engine_ready",
        "call_recovered", "tool_called", "tool_finished", "command_done", "call_resumed", "deadline_passed",
    }  # fmt: skip
    assert events <= KINDS.keys()


def history() -> list[JournalEntry]:
    return read_history(HISTORIES[0])


def first_step(records: list[JournalEntry]) -> int:
    return next(index for index, record in enumerate(records) if record.is_step)


@pytest.mark.parametrize(
    ("field", "value"), [("before", "streaming"), ("after", "recovering"), ("taken", False), ("commands", [])]
)
def test_a_difference_is_found_and_told(field: str, value: object) -> None:
    records = history()
    index = first_step(records)
    records[index] = dataclasses.replace(records[index], **{field: value})  # type: ignore[arg-type]
    (divergence,) = replay(records).divergences
    assert (divergence.step, divergence.what, divergence.recorded) == (1, field, value)


def test_a_step_that_was_not_written_is_missed_and_an_unknown_event_is_told() -> None:
    records = [record for record in history() if record.step != 3]
    divergence, *_ = replay(records).divergences
    assert (divergence.step, divergence.what) == (3, "missing")
    records = history()
    index = first_step(records)
    records[index] = dataclasses.replace(records[index], event={"event": "of_next_year"})
    (divergence,) = replay(records).divergences
    assert divergence.what == "event"
    assert replay(records, lenient=True).steps == replay(history()).steps


def test_a_history_survives_its_file(tmp_path: Path) -> None:
    write_history(tmp_path / "x.jsonl", history())
    assert read_history(tmp_path / "x.jsonl") == history()
    (tmp_path / "y.jsonl").write_text("{}")
    with pytest.raises(JournalFileError, match="not a journal"):
        read_history(tmp_path / "y.jsonl")


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
def test_a_call_can_be_made_again_from_any_point_of_its_record(path: Path) -> None:
    records = read_history(path)
    for length in range(1, len(records) + 1):
        call = restore_call(records[:length])
        assert call is not None
        steps = [record for record in records[:length] if record.is_step]
        assert call.model.state == (steps[-1].after if steps else machine.RINGING)
        assert call.streams == sum(
            command["command"] == "stream" or (command["command"] == "answer" and not command.get("again"))
            for record in steps
            for command in record.commands
        )
        events = [record.event for record in records[:length]]
        first = [event["ms"] for event in events if event["event"] == "first_word"]
        assert call.first_word_ms == (first[0] if first else None)
        assert call.interruptions == sum(broke_in(entry.note) for entry in records[:length])
        for turn in call.turns:
            assert turn.heard_ms is None or 0 <= turn.heard_ms <= (turn.spoken_ms or 0)


def test_nothing_can_be_made_of_a_record_without_its_beginning() -> None:
    assert restore_call(history()[1:]) is None
    assert restore_call([]) is None
