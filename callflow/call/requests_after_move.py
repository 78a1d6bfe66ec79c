"""Requests that the process of before had accepted, and that its move of the call overtook: this process carries them
out, once. Pure.

A tool may ask for something while the database is asked to give its call to another node, and by then its answer says
that it is done. So the request goes into the journal, and whoever goes on with the call takes it from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace

from callflow.call.line_requests import are_digits
from callflow.call.machine import BRIDGED, STREAMING, Model
from callflow.contracts import commands
from callflow.contracts.events import (
    CALLER,
    CommandDone,
    CommandFailed,
    Dtmf,
    DtmfRequested,
    EndRequested,
    Event,
    GoodbyeRequested,
    HangupRequested,
    PauseRequested,
    RecordRequested,
    ToolFinished,
    TransferRequested,
    from_json,
)
from callflow.journal.journal import JournalEntry


_AT_ONCE: Final = (HangupRequested, PauseRequested, RecordRequested)
"""What the machine takes in any state."""
_WITH_MEDIA: Final = (EndRequested, GoodbyeRequested)
"""What the caller has to hear something of."""
_WITH_AGENT: Final = (TransferRequested, DtmfRequested)
"""What the machine takes while the agent talks with the caller, and not before."""
_KINDS: Final = {kind.name: kind for kind in (*_AT_ONCE, *_WITH_MEDIA, *_WITH_AGENT)}
_OF_THE_PROCESS: Final = ("", "drain")
"""Who asks for an end that only the process of before may have wanted. The rules ask again here."""

_NOT_WRITTEN: Final = "the keys were not written down"


def is_left(event: Event) -> bool:
    """Return whether the next process reads an event that came while the call passed on: what the caller typed, what a
    tool has answered, and what is left to be done. Not the key with which a person takes the call: it is a step."""
    if isinstance(event, (GoodbyeRequested, HangupRequested)):
        return event.by not in _OF_THE_PROCESS
    if isinstance(event, Dtmf):
        return event.leg == CALLER
    return isinstance(event, ToolFinished) or type(event) in _KINDS.values()


def read(written: Mapping[str, Any]) -> Event | None:
    """Return the request that a line of the journal holds; None: it holds none. Raises TypeError for fields that this
    version does not know."""
    return from_json(dict(written)) if written.get("event") in _KINDS else None


def unconfirmed(entries: Iterable[JournalEntry]) -> list[Event]:
    """Return what was asked of the carrier's recording and never answered: the process may have been lost before the
    carrier had it, and would go on to record what is to be kept nowhere."""
    waiting: list[tuple[str, Event | None]] = []
    for entry in entries:
        if entry.name in (CommandDone.name, CommandFailed.name):
            first = next((one for one in waiting if one[0] == entry.event.get("command")), None)
            waiting = [one for one in waiting if one is not first]
        for command in entry.commands:
            match command:
                case {"command": commands.PauseRecord.name as name, "on": bool(on)}:
                    waiting.append((name, PauseRequested(on=on, carrier=True)))
                case {"command": commands.Record.name as name, "on": bool(on)}:  # two would be two recordings
                    waiting.append((name, None if on else RecordRequested(on=False)))
    return [event for _, event in waiting if event is not None]


def carried_out(written: Mapping[str, Any]) -> str:
    """Return the name of the request that a step of the journal has carried out, or has found that it cannot be; of
    another step, its own name."""
    are_lost = written.get("command") == commands.SendDtmf.name and written.get("reason") == _NOT_WRITTEN
    return DtmfRequested.name if are_lost else str(written.get("event", ""))


class LeftRequests:
    """What is left to be done for one call."""

    def __init__(self, left: Sequence[Event]) -> None:
        """`left`: what the journal tells, oldest first."""
        self._left = list(left)
        self._posted: list[Event] = []

    def is_new(self, event: Event) -> bool:
        """Return whether the next process is to read this event, and cannot yet: what was posted here stands in the
        journal already."""
        return is_left(event) and not any(event is one for one in self._posted)

    def carry_out(self, model: Model, keep: Callable[[str, str], str], post: Callable[[Event], object]) -> None:
        """Post what the machine can take now, each once. `keep`: keeps keys until they are pressed, see
        `line_requests.Words.keep`."""
        if not self._left:
            return
        has_media = model.media == "open"
        has_agent = has_media and (model.state, model.engine) == (STREAMING, "ready")
        kinds = (*_AT_ONCE, *(_WITH_MEDIA if has_media else ()), *(_WITH_AGENT if has_agent else ()))
        if model.state == BRIDGED:  # it ends without a word of ours
            kinds = (*kinds, GoodbyeRequested)
        due = [event for event in self._left if isinstance(event, kinds)]
        self._left = [event for event in self._left if not isinstance(event, kinds)]
        due = [_kept(event, keep) if isinstance(event, DtmfRequested) else event for event in due]
        self._posted += due
        for event in due:
            post(event)


def _kept(event: DtmfRequested, keep: Callable[[str, str], str]) -> Event:
    """Return the request with keys that are known here; that it has failed, if nobody may read them."""
    if not are_digits(event.digits):
        return CommandFailed(command=commands.SendDtmf.name, by=event.by, reason=_NOT_WRITTEN)
    return replace(event, id=keep(event.digits, event.by))
