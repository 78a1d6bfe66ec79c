"""Journal entries as calls write them, and the metrics that come of them."""

from __future__ import annotations

from typing import Any

from callflow.contracts import events
from callflow.contracts.events import Event
from callflow.journal import notes
from callflow.journal.journal import JournalEntry
from callflow.journal.notes import Note
from callflow.telemetry.call_metrics import CallMetrics
from callflow.telemetry.metrics import Snapshot


class Written:
    """Metrics that are fed with the entries of calls."""

    def __init__(self) -> None:
        self.metrics = CallMetrics()

    def step(
        self, event: Event, before: str, after: str = "", *, at: float = 0.0, call: str = "c", taken: bool = True
    ) -> None:
        self.metrics.take(JournalEntry(call, 1, at, events.to_json(event), before, after or before, taken))

    def note(self, note: Note, *, at: float = 0.0, call: str = "c") -> None:
        self.metrics.take(JournalEntry(call, 1, at, notes.to_json(note)))

    def talk(self, call: str = "c", at: float = 0.0) -> None:
        """A call that rings for 1.5 s, and hears the agent 0.4 s later."""
        self.note(notes.Began(carrier="telnyx"), call=call, at=at)
        self.step(events.CallInitiated(), "ringing", at=at, call=call)
        self.step(events.CallAnswered(), "ringing", "answered", at=at + 1.5, call=call)
        self.step(events.MediaStarted(), "answered", "streaming", at=at + 1.6, call=call)
        self.note(notes.FirstWord(ms=400), call=call, at=at + 1.9)

    def end(self, cause: str, call: str = "c", at: float = 10.0, **figures: Any) -> None:
        self.step(events.CallHangup(cause=cause), "streaming", "hangup", at=at, call=call)
        self.note(notes.Ended(cause=cause, **figures), call=call, at=at)

    @property
    def snapshot(self) -> Snapshot:
        found = Snapshot()
        self.metrics.add_to(found)
        return found

    def value(self, name: str, *labels: str) -> float:
        return self.snapshot.values[name][labels]

    def ended(self) -> dict[tuple[str, ...], float]:
        """The calls that have ended, by result and cause, without those of which there are none."""
        found = self.snapshot.values["callflow_calls_ended_total"]
        return {labels: value for labels, value in found.items() if value}
