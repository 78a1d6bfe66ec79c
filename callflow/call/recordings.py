"""The recordings of one call: our own, a WAV file and one more for each process that goes on with the call, and whether
the carrier records.

Where callers are told that they are recorded, neither begins before they have heard all of that.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from callflow.call import machine
from callflow.call.call_config import CallConfig
from callflow.call.recording_files import RecordingFiles
from callflow.call.recording_pause import RecordingPause
from callflow.call.restore import RestoredCall
from callflow.contracts import commands
from callflow.contracts.back_references import to_owner
from callflow.contracts.events import (
    CommandFailed,
    DtmfRequested,
    Event,
    GoodbyeRequested,
    HangupRequested,
    HoldRequested,
    MuteRequested,
    PauseRequested,
    RecordRequested,
    ResumeRequested,
    SayRequested,
    TransferRequested,
)
from callflow.journal.notes import Note
from callflow.media.relay import Relay


_NO_OPERATOR: Final = frozenset({"", "agent", "settings", "deadline", "a pause that failed"})
DEADLINE: Final = "deadline"
"""Who ends a pause that nobody ended."""


class Recordings:
    """What is recorded of one call, and by whom."""

    def __init__(
        self,
        call: str,
        folder: Path,
        config: CallConfig,
        relay: Relay,
        restored: RestoredCall | None,
        *,
        post: Callable[[Event], object],
        note: Callable[[Note], None],
        clock: Callable[[], float],
        now: Callable[[], float],
        redact: Callable[[str], str] = str,
    ) -> None:
        """`post`: takes events. `note`: adds a note to the journal.
        `clock`: the loop's. `now`: returns Unix time, in seconds. `redact`: removes private data from a text."""
        self._redact = redact
        self._config, self._relay, self._post = config, relay, post
        # Not when the machine has taken note of it: until then words would go by.
        relay.before_audio = to_owner(self._stream_starts)
        earlier = restored.recordings if restored is not None else ()
        self._files = RecordingFiles(call, folder, earlier, note=note, clock=clock)
        self.may_begin = not config.record_after_opening or (restored is not None and restored.opening_in_full)
        """The caller has been told, or is not to be told."""
        self.by_carrier = restored is not None and restored.carrier_records
        """The carrier records, or is about to."""
        since = restored.paused_at if restored is not None else None
        self.pause = RecordingPause(config.record_pause_seconds, since=since, over=to_owner(self._pause_over), now=now)

    @property
    def from_answer(self) -> bool:
        """Whether the carrier is to record from the answer on."""
        return self._config.carrier_record and not self._config.record_after_opening

    @property
    def is_offered(self) -> bool:
        """Whether something records, or may: then the agent can pause it."""
        return self._config.record or self._config.carrier_record or self.by_carrier

    @property
    def is_any(self) -> bool:
        """Whether something records now."""
        return self.by_carrier or self._relay.recorder is not None

    def after(self, step: machine.Step) -> None:
        """Follow a step of the machine."""
        if step.taken and (done := _done(step.event)) is not None:
            self.mark(*done)
        for command in step.commands:
            match command:
                case commands.Record(on=on):
                    self.by_carrier = on
                case commands.Answer(record=True) | commands.StartStream(record=True) | commands.Dial(record=True):
                    self.by_carrier = True
        match step.event:
            case CommandFailed(command=commands.Record.name):
                self.by_carrier = False
            case CommandFailed(command=commands.PauseRecord.name) if self.pause.is_on and self.by_carrier:
                # what the carrier cannot leave out must not be recorded at all
                self._post(RecordRequested(on=False, by="a pause that failed"))
            case PauseRequested(on=on) if step.taken:
                self.pause.set(on=on)
                if self._relay.recorder is not None:
                    self._relay.recorder.pause(on=on)

    def _stream_starts(self) -> None:
        if self.may_begin:
            self._record()

    def mark(self, what: str, by: str, words: str = "") -> None:
        """Mark in our own recording, if there is one, what an operator did now; while it is paused, without words."""
        if self._relay.recorder is not None:
            told = f": {self._redact(words)}" if words and not self.pause.is_on else ""
            self._relay.recorder.mark(f"{what} ({by}){told}")

    def _pause_over(self) -> None:
        self._post(PauseRequested(on=False, carrier=self.by_carrier, by=DEADLINE))

    def opening_heard(self) -> None:
        """Begin, because the caller has heard the announcement in full."""
        self.may_begin = True
        self._record()
        if self._config.carrier_record and not self.by_carrier:
            self._post(RecordRequested(on=True, by="settings"))

    def _record(self) -> None:
        """Begin our own recording, if the settings ask for one and none is running."""
        if self._config.record and self._relay.recorder is None:
            self._relay.recorder = self._files.begin(announced=self._config.record_after_opening)
            self._relay.recorder.pause(on=self.pause.is_on)


def _done(event: Event) -> tuple[str, str, str] | None:
    """Return what an operator did, who it was, and their words; None: it is no act of an operator."""
    match event:
        case SayRequested():
            told = "say", event.by, event.text
        case DtmfRequested():
            told = "keys", event.by, event.digits
        case MuteRequested():
            told = f"{event.party} {'muted' if event.on else 'not muted'}", event.by, ""
        case HoldRequested():
            told = "hold", event.by, ""
        case ResumeRequested():
            told = "off hold", event.by, ""
        case TransferRequested():
            told = "transfer", event.by, event.target
        case GoodbyeRequested() | HangupRequested():
            told = "hang up", event.by, ""
        case PauseRequested():
            told = f"recording {'paused' if event.on else 'goes on'}", event.by, ""
        case _:
            return None
    return None if told[1] in _NO_OPERATOR else told
