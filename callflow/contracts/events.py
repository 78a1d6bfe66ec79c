"""Events: what carriers, media streams, engines, timers and operators report to a call's machine.

An event is a fact. It holds no time and no id of ours; `trigger` is its name in the machine's table. Every event names
its leg: only the caller's leg drives a call. `event.py` has the base class; `outbound_events.py` has what only calls
have that we dial; `line_events.py` has what operators and tools do with the line; `transfer_events.py` has what
connects a caller with a person.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Literal

from msgspec import structs

from callflow.contracts.agent_events import (
    AgentHeard,
    EndRequested,
    EngineExpiring,
    EngineLost,
    EngineReady,
    GoodbyeHeard,
    GoodbyeInterrupted,
    NoInput,
    ToolCalled,
    ToolFinished,
)
from callflow.contracts.cost_events import CarrierCost
from callflow.contracts.errors import Refuses
from callflow.contracts.event import CALLER, FORMER, HUMAN, PART_OF, Event, LegIds
from callflow.contracts.line_events import DtmfRequested, HoldRequested, MuteRequested, ResumeRequested, SayRequested
from callflow.contracts.outbound_events import AnsweredBy, DialRequested, MessageLeft
from callflow.contracts.private_fields import PRIVATE
from callflow.contracts.recording_events import CarrierRecording, PauseRequested, RecordRequested
from callflow.contracts.transfer_events import CallBridged, CallReferred, TransferRequested


__all__ = [
    "CALLER",
    "FORMER",
    "HUMAN",
    "AgentHeard",
    "AnsweredBy",
    "CallBridged",
    "CallReferred",
    "CarrierCost",
    "CarrierRecording",
    "DialRequested",
    "DtmfRequested",
    "EndRequested",
    "EngineExpiring",
    "EngineLost",
    "EngineReady",
    "Event",
    "GoodbyeHeard",
    "GoodbyeInterrupted",
    "HoldRequested",
    "LegIds",
    "MessageLeft",
    "MuteRequested",
    "NoInput",
    "PauseRequested",
    "RecordRequested",
    "ResumeRequested",
    "SayRequested",
    "ToolCalled",
    "ToolFinished",
    "TransferRequested",
]


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """A webhook that was parsed: which delivery it is, which leg it is about, and its event."""

    carrier: str
    id: str
    """The same for every redelivery of this event; empty when the carrier gave none."""
    ids: LegIds
    event: Event
    occurred_at: str = ""
    """The carrier's own time, ISO 8601; carriers deliver out of order, so this is for people, not for decisions."""
    call: str = ""
    """Our id of the call, if the carrier was given it with the dial and brings it back."""
    leg: str = CALLER
    """The leg of that call, likewise."""
    rings_for: WebhookEvent | None = None
    """The arrival of the caller for whom this leg rings a SIP address, if the carrier was given it with the leg."""

    @property
    def linked_call(self) -> str:
        """The id of the call of ours whose other side rings, as the header of whoever calls says; "": it says none."""
        linked = self.event.linked if isinstance(self.event, CallInitiated) else ""
        return linked.removeprefix(PART_OF) if linked.startswith(PART_OF) else ""


# What the carrier says


class CallInitiated(Event, frozen=True, kw_only=True):
    """A call has arrived, or one that was dialled begins. Numbers are as the carrier gives them, usually E.164."""

    name: ClassVar[str] = "call_initiated"
    direction: Literal["incoming", "outgoing"] = "incoming"
    from_number: str = ""
    to_number: str = ""
    record: bool = False
    """The carrier is to record the call, from the answer on. The settings say so, and no carrier."""
    sip_call_id: str = ""
    """The header Call-ID of a call over SIP. Whoever calls writes it."""
    linked: str = ""
    """The leg at another carrier that led here, such as `twilio:CA0…`. Whoever calls writes it."""
    route: Literal["", "stream", "sip"] = ""
    """Where the carrier was told to ask for the caller to be led: see the setting `route`. "": it was not told."""
    led: Literal["", "over", "failed"] = ""
    """The caller was led to a SIP address, and is back: after a conversation, or because nobody answered there."""


REFUSED: Final = "refused"
"""The reason of a call that the caller lookup refuses: rejected, while for every other reason the line is busy."""


class CallRefused(Event, frozen=True, kw_only=True):
    """A call has arrived and is not accepted. In the journal this stands in place of its `CallInitiated`."""

    name: ClassVar[str] = "call_refused"
    reason: Annotated[str, PRIVATE] = "busy"
    why: str = ""
    """A sentence that explains the reason: "this caller has 2 calls already"."""
    from_number: str = ""
    to_number: str = ""


class CallTurnedAway(Event, frozen=True, kw_only=True):
    """A call has arrived that nobody will talk with: it is answered, hears a sentence, and ends. In the journal this
    stands in place of its `CallInitiated`."""

    name: ClassVar[str] = "call_turned_away"
    reason: Annotated[str, PRIVATE] = "budget"
    why: str = ""
    """As of `CallRefused`."""
    fall_back: bool = False
    """As of `GoodbyeRequested`."""
    from_number: str = ""
    to_number: str = ""


class CallAnswered(Event, frozen=True, kw_only=True):
    """The carrier reports that the leg was answered."""

    name: ClassVar[str] = "call_answered"
    from_number: str = ""
    to_number: str = ""


class CallResumed(Event, frozen=True, kw_only=True):
    """The carrier has the caller on the line and asks what to do now: a stream has ended, or our answer never came."""

    name: ClassVar[str] = "call_resumed"
    from_number: str = ""
    to_number: str = ""
    talked: bool = False
    """The carrier says that the caller has talked with the person whom it rang for them."""
    unanswered: bool = False
    """The call still rings: no answer of ours has reached the carrier."""
    record: bool = False
    """As of `CallInitiated`, where the answer that asked for it never came."""


WITH_NUMBERS: Final = (CallInitiated, CallRefused, CallTurnedAway, CallAnswered, CallResumed)
"""Events that may tell both numbers of the call."""


class CallHangup(Event, frozen=True, kw_only=True):
    """The carrier says that the leg is over. Nothing can be sent to it any more."""

    name: ClassVar[str] = "call_hangup"
    cause: str = ""
    source: str = ""
    sip_cause: str = ""
    seconds: str = ""
    """How long the call was, as the carrier counts; "" where it does not say."""
    unanswered: bool = False
    """The carrier says that nobody has answered, whatever we took for an answer: ours may have come too late."""

    def answered_seconds(self) -> int:
        """Return how long the call was since its answer, as the carrier counts; 0: it does not say, or nobody
        answered."""
        return int(self.seconds) if self.seconds.isascii() and self.seconds.isdecimal() else 0


class NotOurs(Event, frozen=True, kw_only=True):
    """The leg turned out to be one that Callflow neither dialled nor answered: forget it, and send nothing to the
    carrier."""

    name: ClassVar[str] = "not_ours"
    reason: Annotated[str, PRIVATE] = ""


class StreamAnnounced(Event, frozen=True, kw_only=True):
    """The carrier's webhook about a stream that it opened or closed; the media socket itself is what counts."""

    name: ClassVar[str] = "stream_announced"
    what: Literal["started", "stopped"] = "started"


class StreamFailed(Event, frozen=True, kw_only=True):
    """The carrier could not open the media stream."""

    name: ClassVar[str] = "stream_failed"
    reason: Annotated[str, PRIVATE] = ""
    address: str = ""
    """The name or the address of the stream. An address holds a token, so this is removed before the event goes into
    the journal."""


class SpeakEnded(Event, frozen=True, kw_only=True):
    """The carrier's own voice has finished a sentence."""

    name: ClassVar[str] = "speak_ended"
    status: str = ""


class Dtmf(Event, frozen=True, kw_only=True):
    """A key of the caller's telephone. A carrier may report it twice: by webhook and in the stream."""

    name: ClassVar[str] = "dtmf"
    digit: str = ""
    source: Literal["", "stream", "asked"] = ""
    """`stream`: the media stream reported it; `asked`: a webhook that waits for what to do next; "": a webhook."""
    delivery: str = ""
    """The carrier's id of the webhook, the same when it comes again; "": it has none that tells of this key alone."""


DTMF_KEYS: Final = frozenset("0123456789*#ABCD")
"""The keys that there are (ITU-T Q.23); hardly a telephone has A to D."""


class CarrierNotice(Event, frozen=True, kw_only=True):
    """Anything else that the carrier reports (new types of event): noted in the journal."""

    name: ClassVar[str] = "carrier_notice"
    kind: str = ""
    digit: str = ""
    """Of a key that was reported twice: the key, and which report this was, as in `Dtmf`."""
    source: str = ""
    delivery: str = ""


# What the media stream says


class MediaStarted(Event, frozen=True, kw_only=True):
    """The caller's audio flows: the strongest evidence that a call lives."""

    name: ClassVar[str] = "media_started"
    stream: str = ""
    encoding: str = "PCMU"


class MediaRefused(Event, frozen=True, kw_only=True):
    """A stream was closed because it cannot be used, such as one with another codec."""

    name: ClassVar[str] = "media_refused"
    reason: Annotated[str, PRIVATE] = ""


class MediaLost(Event, frozen=True, kw_only=True):
    """The stream ended. That says nothing about the call."""

    name: ClassVar[str] = "media_lost"
    reason: Annotated[str, PRIVATE] = ""


class ClipPlayed(Event, frozen=True, kw_only=True):
    """The last byte of a spoken clip has been heard."""

    name: ClassVar[str] = "clip_played"
    clip: str = ""


# Results of our commands


class CommandDone(Event, frozen=True, kw_only=True):
    """The carrier has accepted a command."""

    name: ClassVar[str] = "command_done"
    command: str = ""

    @property
    def trigger(self) -> str:
        """Its name in the machine's table."""
        return f"{self.command}_done"


class CommandFailed(Event, frozen=True, kw_only=True):
    """The carrier has refused a command. `gone`: because the call is over; else it failed after all retries."""

    name: ClassVar[str] = "command_failed"
    command: str = ""
    gone: bool = False
    effect: Literal["", "unknown"] = ""
    """unknown: the answer was lost, and the carrier may have done it all the same."""
    refuses: Refuses = ""
    """Of a dial: what the refusal is about."""
    by: str = ""
    """Of keys: who pressed them, as of `DtmfRequested`."""
    reason: Annotated[str, PRIVATE] = ""

    @property
    def trigger(self) -> str:
        """Its name in the machine's table."""
        return f"{self.command}_{'gone' if self.gone else self.effect or 'failed'}"


# Deadlines and operators


class DeadlinePassed(Event, frozen=True, kw_only=True):
    """A deadline that the machine had set has passed."""

    name: ClassVar[str] = "deadline_passed"
    deadline: str = ""

    @property
    def trigger(self) -> str:
        """Its name in the machine's table."""
        return f"{self.deadline}_deadline"


class GoodbyeRequested(Event, frozen=True, kw_only=True):
    """End this call politely: say goodbye, then hang up."""

    name: ClassVar[str] = "goodbye_requested"
    reason: Annotated[str, PRIVATE] = "shutdown"
    why: str = ""
    """A sentence that explains the reason, if there is more to say."""
    fall_back: bool = False
    """The caller is not sent away: they are connected with the fallback number, or hear the sentence that is set up in
    its place. Without either, it is a goodbye."""
    by: str = ""
    """Who asked for it: `console`, `operator`, `command line`, `drain`; "": it follows from the rules."""


class BudgetReached(Event, frozen=True, kw_only=True):
    """The calls of today have taken what they may: the caller is told that the call has to end soon. What ends it is a
    `GoodbyeRequested` that follows."""

    name: ClassVar[str] = "budget_reached"
    why: str = ""
    """As of `CallRefused`."""


class HangupRequested(Event, frozen=True, kw_only=True):
    """End this call now."""

    name: ClassVar[str] = "hangup_requested"
    reason: Annotated[str, PRIVATE] = "requested"
    by: str = ""
    """As of `GoodbyeRequested`."""


class CallRecovered(Event, frozen=True, kw_only=True):
    """Another process has taken this call over: no socket and no session of before is open any more."""

    name: ClassVar[str] = "call_recovered"
    found: Literal["ringing", "answered", "asking", "gone"] = "answered"
    """The carrier's status of the call. asking: its webhook follows, which asks what to do with the caller."""
    handed_over: bool = False
    """The other process has handed it over, and did not crash."""
    given: bool = False
    """That process lives, and had the call until this moment: nothing that happened to it was missed."""
    human: Literal["", "answered", "gone"] = ""
    """The carrier's status of the leg of the person to whom the call was transferred; "": there is none."""
    mark: str = ""
    """Tells the commands of the process that has the call from now on from those of earlier ones, whose last steps may
    not be in the journal. "": a process of an earlier version."""


def to_json(event: Event) -> dict[str, Any]:
    """Return the event as plain data for the journal: its name as `event`, and every field that says something."""
    empty = _empty_by_default(type(event))
    said = {name: value for name, value in structs.asdict(event).items() if value != "" or name not in empty}
    return {"event": event.name, **said}


@functools.cache
def _empty_by_default(kind: type[Event]) -> frozenset[str]:
    """Return the fields that say nothing where they are empty; where something else is the default, "" says it."""
    return frozenset(each.name for each in structs.fields(kind) if each.default == "")


def from_json(written: dict[str, Any]) -> Event:
    """Read what `to_json` has written.

    Raises KeyError for an event that this version does not know, TypeError for a field that it does not know.
    """
    fields = dict(written)
    return KINDS[fields.pop("event")](**fields)


KINDS: Final[dict[str, type[Event]]] = {
    kind.name: kind for kind in list(globals().values()) if isinstance(kind, type) and issubclass(kind, Event)
}
"""Every kind of event by its name."""
