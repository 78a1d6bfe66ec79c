"""The story of an outbound call while it goes on: a line for each thing that happens, and what became of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from callflow.contracts import events
from callflow.contracts.hangup_causes import why
from callflow.journal import notes, timeline
from callflow.journal.journal import JournalEntry


_RINGING: Final = "ringing"
_HANGUP: Final = "hangup"
_RECOVERING: Final = "recovering"
_AFTER_ANSWER: Final = frozenset({"answered", "streaming", _RECOVERING})
_LOST: Final = {
    events.EngineLost.name: "the voice model is lost, and another session is opened",
    events.MediaLost.name: "the audio is lost, and asked for again",
    events.CallRecovered.name: "the server was away, and takes the call back",
}
_STATUS: Final = "status ringing"
"""Twilio's word for it; Telnyx says that the leg was begun."""
_IN_TIMELINE: Final = (
    notes.Turn, notes.NotTranscribed, notes.Interrupted, notes.CutOff, notes.RecordingFailed, notes.ResponseFailed,
)  # fmt: skip
"""Notes that are told in the words of `journal/timeline.py`."""


_HEARS: Final = {
    "human": "a person", "machine": "an answering machine", "fax": "a fax machine",
    "unsure": "somebody, and is not sure who",
}  # fmt: skip
"""Who has answered, by `AnsweredBy.who`."""


class Progress:
    """Follows the journal of one outbound call. Entries may be fed again; each is told once."""

    def __init__(self) -> None:
        self.is_answered = False
        self.is_over = False
        """It is hung up; its last words may still be to come."""
        self.has_ended = False
        """Nothing more will happen."""
        self._began = self._answered = self._over = 0.0
        """Unix time, seconds."""
        self._cause = self._source = self._carrier = ""
        self._heard: set[str] = set()
        self._rings = False
        self._seen: set[tuple[float, int, str]] = set()

    def feed(self, entries: Iterable[JournalEntry]) -> list[tuple[float, str]]:
        """Take the call's journal, in order. Returns what is new in it: seconds since the dial, and a line."""
        found = []
        for entry in entries:
            key = (entry.at, entry.step, entry.name)
            if key in self._seen:
                continue
            self._seen.add(key)
            self._began = self._began or entry.at
            lines = self._step(entry) if entry.is_step else self._note(entry)
            found += [(max(entry.at - self._began, 0.0), line) for line in lines]
        return found

    def outcome(self) -> str:
        """Return what became of the call, in one sentence."""
        because = why(self._cause, self._source, "outbound")
        if not self.is_answered:
            return f"It was not answered, after {self._length(self._began)}: {because}."
        if not self.is_over:
            return "It was answered, and its end is not in the history."
        return f"It was answered, and took {self._length(self._answered)}: {because}."

    def _length(self, since: float) -> str:
        seconds = round(max(self._over - since, 0.0)) if self._over else 0
        return f"{seconds // 60}:{seconds % 60:02}" if seconds >= 60 else f"{seconds} s"

    def _step(self, entry: JournalEntry) -> list[str]:
        name, event = entry.name, entry.event
        found = []
        if entry.before == _RINGING and entry.after in _AFTER_ANSWER and not self.is_answered:
            self.is_answered, self._answered = True, entry.at
            found.append("answered")
        if name == events.CallHangup.name and not self._source:
            self._source = str(event.get("source", ""))
        match name:
            case events.DialRequested.name:
                by = f", with {self._carrier.capitalize()}" if self._carrier else ""
                found.append(f"dials {event.get('to_number', '')} from {event.get('from_number', '')}{by}")
            case events.CommandDone.name if event.get("command") == "dial":
                found.append("dialled: the carrier has taken it")
            case events.CallInitiated.name:
                found += self._ringing()
            case events.CarrierNotice.name:
                found += self._ringing() if event.get("kind") == _STATUS else []
            case events.AnsweredBy.name:
                found += self._answered_by(str(event.get("who", "")), ready=bool(event.get("ready")))
            case events.MessageLeft.name:
                found.append("the message was played to its end")
            case events.ToolCalled.name:
                found.append(f"agent: calls {event.get('tool')}({event.get('arguments', '')})")
            case events.ToolFinished.name:
                how = "has answered" if event.get("ok", True) else "has failed"
                found.append(f"tool: {event.get('tool')} {how} after {event.get('ms')} ms")
            case events.EndRequested.name:
                found.append("the agent is ending the call")
            case events.GoodbyeRequested.name:
                found.append(f"a goodbye is asked for{_by(event.get('by'))}")
            case events.HangupRequested.name:
                found.append(f"the end is asked for{_by(event.get('by'))}")
            case _ if entry.after == _RECOVERING and entry.before != _RECOVERING:
                found.append(_LOST.get(name) or timeline.describe(entry))
            case _ if entry.before == _RECOVERING and entry.after not in (_RECOVERING, _HANGUP):
                found.append("the call goes on")
            case events.CommandFailed.name if not event.get("gone"):
                found.append(timeline.describe(entry))
        if entry.after == _HANGUP and entry.before != _HANGUP:
            self.is_over, self._over = True, entry.at
            found.append("the call is over")
        return found

    def _answered_by(self, who: str, *, ready: bool) -> list[str]:
        told = [f"the carrier hears {_HEARS.get(who, who)}"] if who not in self._heard else []
        self._heard.add(who)
        return [*told, "the machine records now"] if ready else told

    def _ringing(self) -> list[str]:
        if self._rings or self.is_answered:
            return []
        self._rings = True
        return ["ringing"]

    def _note(self, entry: JournalEntry) -> list[str]:
        note = entry.note
        match note:
            case notes.Began():
                self._carrier = note.carrier
            case notes.Ended():
                self.has_ended, self._cause = True, note.cause
                self.is_over, self._over = True, self._over or entry.at
            case notes.Digits():
                return [f"caller: presses {note.digits}"]
            case notes.Clip() | notes.Filler():
                return [f'agent: (the recorded sentence "{note.clip}")']
            case _ if isinstance(note, _IN_TIMELINE):
                line = timeline.describe(entry)
                return [line] if line else []
        return []


def _by(who: object) -> str:
    return f" ({who})" if who else ""
