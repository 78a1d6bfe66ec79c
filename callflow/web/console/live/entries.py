"""One entry of a call's journal as its viewers get it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from callflow.journal import notes, timeline
from callflow.journal.journal import JournalEntry
from callflow.telemetry.call_metrics import CallMetrics
from callflow.web.console.live.sse import frame


class Encoder:
    """Encodes the entries of one call, in order, each once.

    Its number is the moment of the entry in microseconds, or one more than that of the entry before it: it rises along
    the journal, and is the same whoever reads it and whichever process wrote it.
    """

    def __init__(self, call: str) -> None:
        self._call = call
        self.began: float | None = None
        """The moment of the first entry, from which on those of the others count. None: there is none."""
        self._metrics = CallMetrics()  # tells the result of the call by the rules of `/metrics`
        self.number = 0
        """Of the last entry."""
        self.over: dict[str, str] | None = None
        """How the call ended; None: it goes on."""
        self.last = 0
        """The number of the entry that says so."""

    def encode(self, entry: JournalEntry) -> bytes:
        """Return the frame of the next entry."""
        if self.began is None:
            self.began = entry.at
        self.number = max(round(entry.at * 1e6), self.number + 1)
        with contextlib.suppress(Exception):  # an entry of another version, say
            self._metrics.take(entry)
        if entry.name == notes.Ended.kind and not entry.is_step:
            cause, self.last = entry.event.get("cause"), self.number
            self.over = {
                "result": self._metrics.hour.result(self._call),
                "cause": cause if isinstance(cause, str) else "",
            }
        return frame("entry", self._told(entry, entry.at - self.began), self.number)

    def _told(self, entry: JournalEntry, at: float) -> dict[str, Any]:
        told = {"seq": self.number, "at": round(at, 3), "kind": entry.name, "line": _line(entry)}
        if entry.before:  # a step, or an event that came when the call was over
            step = {
                "event": entry.event, "before": entry.before, "after": entry.after, "taken": entry.taken,
                "commands": entry.commands,
            }  # fmt: skip
            return {**told, "step": step}
        return {**told, "note": {name: value for name, value in entry.event.items() if name != "event"}}

    def encode_all(self, entries: Sequence[JournalEntry]) -> tuple[list[int], list[bytes]]:
        """Return the numbers and the frames of all these entries."""
        numbers, frames = [], []
        for entry in entries:
            frames.append(self.encode(entry))
            numbers.append(self.number)
        return numbers, frames


def _line(entry: JournalEntry) -> str:
    try:
        return timeline.describe(entry)
    except Exception:  # an entry of another version, say: it is shown as it stands
        return ""
