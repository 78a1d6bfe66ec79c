"""The record of a call, run through the machine once more. Pure.

The machine decides by its table alone, so that the same events give the same transitions and commands: for ever where
the table is the same, and where it has changed, the first difference says what such a call would be like today.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from callflow.call import machine
from callflow.contracts import commands, events
from callflow.journal.journal import BEGAN, JournalEntry


@dataclass(frozen=True, slots=True)
class Divergence:
    """Where the record and the machine part."""

    step: int
    what: str
    """event, before, after, taken, commands, or missing."""
    recorded: Any
    replayed: Any

    def __str__(self) -> str:
        return f"step {self.step}, {self.what}: on record {self.recorded!r}, replayed {self.replayed!r}"


@dataclass(slots=True)
class Replay:
    model: machine.Model
    steps: int = 0
    """The number of the last step."""
    divergence: Divergence | None = None
    """The first one."""


def replay(records: Sequence[JournalEntry], *, lenient: bool = False) -> Replay:
    """`lenient`: go on after a divergence, from the state that is on record."""
    done = Replay(_model(records))
    for record in (each.renewed() for each in records):
        if not record.is_step or record.before == machine.HANGUP:  # a note, or what came after the end
            continue
        found = None
        if record.step != done.steps + 1:
            found = Divergence(done.steps + 1, "missing", "not written at the time", None)
        done.steps = record.step
        taken = _take(done.model, record)
        found = found or taken
        done.divergence = done.divergence or found
        if found is not None:
            if not lenient:
                return done
            done.model.state = record.after
    return done


def _model(records: Sequence[JournalEntry]) -> machine.Model:
    began = next((record.event for record in records if record.event.get("event") == BEGAN), {})
    tries = {name: int(began[name]) for name in ("engine_tries", "stream_tries") if name in began}
    return machine.Model(**tries)


def _take(model: machine.Model, record: JournalEntry) -> Divergence | None:
    try:
        event = events.from_record(record.event)
    except (KeyError, TypeError):
        return Divergence(record.step, "event", record.event, "an event that this version does not know")
    step = machine.take(model, event)
    commanded = [commands.to_record(command) for command in step.commands]
    recorded = [dict(each) for each in record.commands]
    if len(commanded) == len(recorded):
        commanded = [_like(each, old) for each, old in zip(commanded, recorded, strict=True)]
    replayed = {
        "before": step.before,
        "after": step.after,
        "taken": step.taken,
        "commands": commanded,
    }
    for name, value in replayed.items():
        on_record = recorded if name == "commands" else getattr(record, name)
        if on_record != value:
            return Divergence(record.step, name, on_record, value)
    return None


def _like(command: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    """Without the fields that commands did not have when the record was written, where they say nothing new."""
    plain = {key: value for key, value in command.items() if key in old or value}
    return plain if command["command"] == old.get("command") else command
