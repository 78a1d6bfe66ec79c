"""What a step of the machine takes: the kept histories, taken again and again. `-s` shows the figures."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Final

from callflow.call import machine
from callflow.cli.journal_file import read_history
from callflow.contracts import events
from callflow.journal.journal import JournalEntry


HISTORIES: Final = sorted((Path(__file__).parents[1] / "histories").glob("*.jsonl"))
ROUNDS: Final = 300
MOST: Final = 25.0
"""Microseconds: several times what it takes here, for slower machines."""


def steps(entries: list[JournalEntry]) -> list[events.Event]:
    renewed = [entry.renewed() for entry in entries]
    return [events.from_json(entry.event) for entry in renewed if entry.is_step and entry.before != machine.HANGUP]


def test_a_step_takes_microseconds() -> None:
    calls = [steps(read_history(path)) for path in HISTORIES]
    count = sum(map(len, calls))
    took = []
    for _ in range(ROUNDS):
        models = [machine.Model() for _ in calls]
        began = time.thread_time_ns()
        for model, happened in zip(models, calls, strict=True):
            for event in happened:
                machine.take(model, event)
        took.append((time.thread_time_ns() - began) / 1000 / count)
    best, median = min(took), statistics.median(took)
    print(f"\n{count} steps of {len(calls)} calls, {ROUNDS} times: best {best:.1f} µs, median {median:.1f} µs a step")
    assert best < MOST
