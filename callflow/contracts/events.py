"""What can happen to a call: the words in which carriers, media streams, engines and clocks speak to the machine.

An event is a fact. It carries no clock and no id of ours; `trigger` is the name under which the machine's table lists
it. Every event names the leg it is about: only the caller's leg drives a call.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Literal

from callflow.contracts.private_fields import PRIVATE


CALLER = "caller"
"""The leg between the carrier and the person who talks with the agent."""


@dataclass(frozen=True, slots=True)
class LegIds:
    """A carrier's own names for one leg. Webhooks do not always carry all of them, so any of them finds the call."""

    control: str = ""
    """What commands are addressed to (Telnyx `call_control_id`). Opaque: never parsed."""
    leg: str = ""
    session: str = ""
    """Groups the legs of one conversation (Telnyx `call_session_id`)."""
    number: str = ""
    """Of the number that was dialled (Twilio `PN…`)."""

    def known(self) -> tuple[str, ...]:
        """The names that belong to this leg alone."""
        return tuple(name for name in (self.leg, self.control) if name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    name: ClassVar[str] = "event"
    leg: str = CALLER

    @property
    def trigger(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Signal:
    """One webhook, read: which delivery it was, which leg it is about and what it says."""

    carrier: str
    id: str
    """The same for every redelivery of this event; empty when the carrier gave none."""
    ids: LegIds
    event: Event
    occurred_at: str = ""
    """The carrier's own time, ISO 8601; carriers deliver out of order, so this is for people, not for decisions."""


# What the carrier says


@dataclass(frozen=True, slots=True, kw_only=True)
class CallInitiated(Event):
    name: ClassVar[str] = "call_initiated"
    direction: Literal["incoming", "outgoing"] = "incoming"
    from_number: str = ""
    to_number: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRefused(Event):
    """A call that arrived and that we do not take: it stands in the journal in place of its `CallInitiated`."""

    name: ClassVar[str] = "call_refused"
    reason: str = field(default="busy", metadata=PRIVATE)
    why: str = ""
    """In words, where the reason alone does not say all: "this caller has 2 calls already"."""
    from_number: str = ""
    to_number: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAnswered(Event):
    name: ClassVar[str] = "call_answered"
    from_number: str = ""
    to_number: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallResumed(Event):
    """The carrier has the caller on the line and asks what to do now: a stream has ended, or our answer never came."""

    name: ClassVar[str] = "call_resumed"
    from_number: str = ""
    to_number: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallHangup(Event):
    """The carrier says that the leg is over. Nothing can be sent to it any more."""

    name: ClassVar[str] = "call_hangup"
    cause: str = ""
    source: str = ""
    sip_cause: str = ""
    seconds: str = ""
    """How long the call was, as the carrier counts; "" where it does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotOurs(Event):
    """The leg turned out to be one that nobody here dialled or answered: let go of it, and tell the carrier nothing."""

    name: ClassVar[str] = "not_ours"
    reason: str = field(default="", metadata=PRIVATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamAnnounced(Event):
    """The carrier's webhook about a stream that it opened or closed; the media socket itself is what counts."""

    name: ClassVar[str] = "stream_announced"
    what: Literal["started", "stopped"] = "started"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFailed(Event):
    """The carrier could not open the media stream."""

    name: ClassVar[str] = "stream_failed"
    reason: str = field(default="", metadata=PRIVATE)
    address: str = ""
    """Which stream that was: its name, or its address. That holds a token: whoever compares it takes it out before the
    record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakEnded(Event):
    """The carrier's own voice has finished a sentence."""

    name: ClassVar[str] = "speak_ended"
    status: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dtmf(Event):
    """A key of the caller's telephone. Carriers may tell it twice, once by either source."""

    name: ClassVar[str] = "dtmf"
    digit: str = ""
    source: Literal["", "stream"] = ""
    """Where it was told: "": by a webhook."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CarrierNotice(Event):
    """Anything else that the carrier tells (recordings, costs, detections, types of next year): for the journal."""

    name: ClassVar[str] = "carrier_notice"
    kind: str = ""


# What the media stream says


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaStarted(Event):
    """The caller's audio flows: the strongest evidence that a call lives."""

    name: ClassVar[str] = "media_started"
    stream: str = ""
    encoding: str = "PCMU"


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaRefused(Event):
    """A stream that we cannot read (another codec, another call's id): closed, with the reason in the journal."""

    name: ClassVar[str] = "media_refused"
    reason: str = field(default="", metadata=PRIVATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaLost(Event):
    """The stream ended. That says nothing about the call."""

    name: ClassVar[str] = "media_lost"
    reason: str = field(default="", metadata=PRIVATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipPlayed(Event):
    """The last byte of a spoken clip has been heard."""

    name: ClassVar[str] = "clip_played"
    clip: str = ""


# What the engine says


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineReady(Event):
    name: ClassVar[str] = "engine_ready"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLost(Event):
    """This session of the engine is gone for good: its own adapter has given up. `retry`: a new one may do better."""

    name: ClassVar[str] = "engine_lost"
    reason: str = field(default="", metadata=PRIVATE)
    retry: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineExpiring(Event):
    """This session of the engine will end in so many milliseconds, whatever anybody does."""

    name: ClassVar[str] = "engine_expiring"
    ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentHeard(Event):
    """A whole answer has come out of the caller's telephone: engine and stream both work again."""

    name: ClassVar[str] = "agent_heard"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCalled(Event):
    name: ClassVar[str] = "tool_called"
    id: str = ""
    tool: str = ""
    arguments: str = field(default="", metadata=PRIVATE)
    """JSON as the model wrote it: perhaps broken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFinished(Event):
    """`output` is what the model is told, JSON; an error, too, is an answer."""

    name: ClassVar[str] = "tool_finished"
    id: str = ""
    tool: str = ""
    ok: bool = True
    output: str = field(default="", metadata=PRIVATE)
    ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EndRequested(Event):
    """The agent wants the call to end, when its last words have been heard."""

    name: ClassVar[str] = "end_requested"
    reason: str = field(default="agent", metadata=PRIVATE)
    by: str = ""
    """Who asked for it: `agent`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodbyeHeard(Event):
    """The caller has heard what the agent said before the end, and nothing more is to come."""

    name: ClassVar[str] = "goodbye_heard"


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodbyeInterrupted(Event):
    """The caller interrupted the agent's goodbye: there is more to be said."""

    name: ClassVar[str] = "goodbye_interrupted"


# What the caller does not say


@dataclass(frozen=True, slots=True, kw_only=True)
class NoInput(Event):
    """It was the caller's turn for so long that somebody should ask. `last`: it has been asked often enough."""

    name: ClassVar[str] = "no_input"
    time: int = 1
    """How often in a row, from 1."""
    last: bool = False
    why: str = "silence"
    """silence, noise (an unbroken one), or wordless (sounds without a word in them)."""


# What became of our commands


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandDone(Event):
    name: ClassVar[str] = "command_done"
    command: str = ""

    @property
    def trigger(self) -> str:
        return f"{self.command}_done"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandFailed(Event):
    """`gone`: the carrier says that the call is over. Otherwise it failed for good, after every retry."""

    name: ClassVar[str] = "command_failed"
    command: str = ""
    gone: bool = False
    reason: str = field(default="", metadata=PRIVATE)

    @property
    def trigger(self) -> str:
        return f"{self.command}_{'gone' if self.gone else 'failed'}"


# What the clock and our own people say


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlinePassed(Event):
    name: ClassVar[str] = "deadline_passed"
    deadline: str = ""

    @property
    def trigger(self) -> str:
        return f"{self.deadline}_deadline"


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodbyeRequested(Event):
    """End this call politely: say goodbye, then hang up."""

    name: ClassVar[str] = "goodbye_requested"
    reason: str = field(default="shutdown", metadata=PRIVATE)
    why: str = ""
    """The same in words, where it does not say all."""
    by: str = ""
    """Who asked for it: `console`, `operator`, `command line`, `drain`; "": nobody did, it follows from the rules."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HangupRequested(Event):
    """End this call now."""

    name: ClassVar[str] = "hangup_requested"
    reason: str = field(default="requested", metadata=PRIVATE)
    by: str = ""
    """As of `GoodbyeRequested`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecovered(Event):
    """The process that had this call is gone, and another one has it: nothing of what was open is open any more."""

    name: ClassVar[str] = "call_recovered"
    found: Literal["ringing", "answered", "asking", "gone"] = "answered"
    """How the carrier has the call. asking: it wants to know what to do with the caller, and its webhook follows."""
    handed_over: bool = False
    """The other process let go of it at a moment of its own choice."""


def to_json(event: Event) -> dict[str, Any]:
    """Return the event as plain data for the journal: its name, and every field that says something."""
    fields = dataclasses.asdict(event)
    for each in dataclasses.fields(event):
        if fields[each.name] == each.default == "":  # empty where something else is the default says something
            del fields[each.name]
    return {"event": event.name, **fields}


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
