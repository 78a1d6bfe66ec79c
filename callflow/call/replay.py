"""Runs the journal of a call through the machine again, and reports the differences. Pure.

The machine decides by its table alone, so the same table gives the same transitions and commands for the same events.
If the table has changed, the differences show how the call would go today.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from callflow.call import machine
from callflow.contracts import commands, events
from callflow.journal import notes
from callflow.journal.journal import JournalEntry


@dataclass(frozen=True, slots=True)
class Divergence:
    """A step whose replay differs from the journal."""

    step: int
    what: str
    """event, before, after, taken, commands, or missing."""
    recorded: Any
    """The value in the journal."""
    replayed: Any
    """The value of the replay."""
    event: str = ""
    """The name of the event that was taken."""

    def __str__(self) -> str:
        return f"step {self.step}, {self.what}: in the journal {self.recorded!r}, replayed {self.replayed!r}"


@dataclass(slots=True)
class Replay:
    """The result of a replay."""

    model: machine.Model
    steps: int = 0
    """The number of the last step."""
    taken: int = 0
    """Number of steps replayed."""
    divergences: list[Divergence] = field(default_factory=list)


def replay(entries: Sequence[JournalEntry], *, lenient: bool = False) -> Replay:
    """Replay the steps of one call, up to the first divergence.

    `lenient`: continue after a divergence, from the state in the journal. Raises ValueError if the `began` note cannot
    be read.
    """
    done = Replay(_model(entries))
    for entry in (each.renewed() for each in entries):
        if not entry.is_step or entry.before == machine.HANGUP:  # a note, or an event after the end
            continue
        found = []
        if entry.step != done.steps + 1:
            found.append(Divergence(done.steps + 1, "missing", "not written at the time", None))
        done.steps = entry.step
        done.taken += 1
        taken = _take(done.model, entry)
        if taken is not None:
            found.append(taken)
        done.divergences += found
        if found:
            if not lenient:
                return done
            done.model.state = entry.after
    return done


def _model(entries: Sequence[JournalEntry]) -> machine.Model:
    first = next((entry for entry in entries if entry.name == notes.Began.kind), None)
    if first is None:
        return machine.Model()
    began = first.note
    if not isinstance(began, notes.Began):
        raise ValueError("the note of its beginning makes no sense")
    tries = {"engine_tries": began.engine_tries, "stream_tries": began.stream_tries}
    tried = {name: int(count) for name, count in tries.items() if count is not None}
    chosen = machine.Fallback(began.fallback_number, began.fallback_seconds, began.fallback_spoken)
    fallback = chosen if chosen.number or chosen.spoken else None
    return machine.Model(**tried, suppress_noise=began.suppress_noise, fallback=fallback)


def _take(model: machine.Model, entry: JournalEntry) -> Divergence | None:
    try:
        event = events.from_json(entry.event)
    except (KeyError, TypeError):
        unknown = "an event that this version does not know"
        return Divergence(entry.step, "event", entry.event, unknown, entry.name)
    step = machine.take(model, event)
    commanded = [commands.to_json(command) for command in step.commands]
    recorded = [dict(each) for each in entry.commands]
    if len(commanded) == len(recorded):
        commanded = [_like(each, old) for each, old in zip(commanded, recorded, strict=True)]
    replayed = {
        "before": step.before,
        "after": step.after,
        "taken": step.taken,
        "commands": commanded,
    }
    for name, value in replayed.items():
        in_journal = recorded if name == "commands" else getattr(entry, name)
        if in_journal != value:
            return Divergence(entry.step, name, in_journal, value, entry.name)
    return None


def _like(command: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    """Remove fields that did not exist when the entry was written, if their value is empty."""
    plain = {key: value for key, value in command.items() if key in old or value}
    return plain if command["command"] == old.get("command") else command
