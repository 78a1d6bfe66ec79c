"""Every kind of note that a call writes down: a frozen dataclass each, with its fields and their units. Pure.

`to_json(note)` is how one is written, `read(written)` how it is read again; `note.py` says by which rules. A new field
needs a default, and raises the `version` of its kind. What ends in `_ms` is milliseconds; moments are those of the
journal entry, unless a field says otherwise. Around a note is a `JournalEntry`; events are in `contracts/events.py`.
The notes of the engine's sessions are in `engine_notes.py`, those of operators in `operator_notes.py`, and those of
what others were asked in `asked_notes.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Literal

from callflow.contracts.private_fields import GROWING, PRIVATE
from callflow.journal import aliases
from callflow.journal.asked_notes import CallerLookup, ControlAsked
from callflow.journal.engine_notes import (
    EngineChosen,
    EngineComplaint,
    EngineMissedSpeech,
    EngineRotated,
    EngineUnable,
    HostedTool,
    ListenIn,
    Listening,
    McpApproval,
    ResponseFailed,
    SessionChanged,
    TakeOver,
    Usage,
)
from callflow.journal.note import OPTIONAL, Note, Part, UnknownNote, read_as, schema, to_json
from callflow.journal.operator_notes import ImageShown, OperatorAnswered, OperatorAsked, Whispered, WhisperUsed


__all__ = [
    "KINDS",
    "CallerLookup",
    "ControlAsked",
    "EngineChosen",
    "EngineComplaint",
    "EngineMissedSpeech",
    "EngineRotated",
    "EngineUnable",
    "HostedTool",
    "ImageShown",
    "ListenIn",
    "Listening",
    "McpApproval",
    "Note",
    "OperatorAnswered",
    "OperatorAsked",
    "ResponseFailed",
    "SessionChanged",
    "TakeOver",
    "UnknownNote",
    "Usage",
    "WhisperUsed",
    "Whispered",
    "read",
    "to_json",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Began(Note):
    """Before a call's first step: its carrier, its ids, its numbers, and what its machine was set up with."""

    kind: ClassVar[str] = "began"
    version: ClassVar[int] = 4
    carrier: str = ""
    control: str = ""
    leg: str = ""
    session: str = ""
    number: str = ""
    """The carrier's own ids, as in `contracts.events.LegIds`."""
    from_number: str = field(default="", metadata={"key": "from"})
    to_number: str = field(default="", metadata={"key": "to"})
    direction: str = "inbound"
    profile: str = ""
    profile_version: int = field(default=0, metadata=OPTIONAL)
    """Which version of it the database had; 0: the database had none."""
    business: str = field(default="", metadata=OPTIONAL)
    """Whose call it is."""
    kept: Mapping[str, Any] = field(default_factory=dict, metadata=OPTIONAL)
    """Settings that operators had changed for coming calls, by name."""
    engine_tries: int | None = field(default=None, metadata=OPTIONAL)
    stream_tries: int | None = field(default=None, metadata=OPTIONAL)
    """How many new sessions, and new streams, are worth trying. None: as many as the machine's model has by default."""
    suppress_noise: bool = field(default=False, metadata=OPTIONAL)
    """The carrier is asked to take noise out of the caller's audio."""
    fallback_number: str = field(default="", metadata=OPTIONAL)
    fallback_seconds: int = field(default=0, metadata=OPTIONAL)
    fallback_spoken: bool = field(default=False, metadata=OPTIONAL)
    """What is done for a caller whom this line cannot serve: `call.machine.Fallback`."""
    address: str = ""
    """Our public address as the carrier knew it, http or https, without a path."""
    session_settings: Mapping[str, Any] = field(default_factory=dict, metadata={**OPTIONAL, **PRIVATE})
    """Settings for this outbound call alone, by name."""
    variables: Mapping[str, Any] = field(default_factory=dict, metadata={**OPTIONAL, **PRIVATE})
    """For `{{name}}` in what the model of this outbound call is told."""
    order: str = field(default="", metadata=OPTIONAL)
    """A digest of what an outbound call was asked to be, for requests that are repeated."""
    record: bool = field(default=False, metadata=OPTIONAL)
    """The order of an outbound call asks for a recording."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended(Note):
    """After a call's last step: all that it owned is let go of. A call without this note was interrupted."""

    kind: ClassVar[str] = "ended"
    version: ClassVar[int] = 2
    cause: str = ""
    """Why it ended, in one word: see `contracts.hangup_causes`."""
    until: float | None = field(default=None, metadata=OPTIONAL)
    """When it ended, in Unix time (seconds), if that was before this note."""
    notes_dropped: int = field(default=0, metadata=OPTIONAL)  # they came faster than a conversation makes them
    frames_in: int = field(default=0, metadata=OPTIONAL)
    bytes_out: int = field(default=0, metadata=OPTIONAL)
    """Media frames from the carrier, and bytes of audio that were sent to the carrier."""
    malformed_frames: int = field(default=0, metadata=OPTIONAL)
    ignored_frames: int = field(default=0, metadata=OPTIONAL)
    late_frames: int = field(default=0, metadata=OPTIONAL)
    reordered_frames: int = field(default=0, metadata=OPTIONAL)
    """Late: dropped, because they came twice or too late for their place. Reordered: held for others before them."""
    carrier_complaints: int = field(default=0, metadata=OPTIONAL)
    rejected_streams: int = field(default=0, metadata=OPTIONAL)
    """Streams that ended because the carrier complained about all that it was sent."""
    operator_frames_lost: int = field(default=0, metadata=OPTIONAL)
    """Of a person who spoke in place of the agent: they came while too much waited, or there was no stream."""
    keys_dropped: int = field(default=0, metadata=OPTIONAL)
    """Keys that came faster than anybody types."""
    first_word_ms: float | None = None
    """From the answer to the agent's first audio; None: there was none, or it is not known."""
    reply_ms: list[int] | None = field(default=None, metadata=OPTIONAL)
    """From the end of each of the caller's turns to the first audio of the answer. None, here and below: not known."""
    latency: list[Any] | None = field(default=None, metadata=OPTIONAL)
    """The waterfall of each answer that was heard, with the fields of `Latency` but for its item."""
    interruptions: int | None = field(default=None, metadata=OPTIONAL)
    made_up_silence_ms: int | None = field(default=None, metadata=OPTIONAL)
    """Silence that stood in for frames that the carrier did not send."""
    stale_marks: int | None = field(default=None, metadata=OPTIONAL)
    late_bytes: int | None = field(default=None, metadata=OPTIONAL)
    """Bytes of audio that arrived for what was cut off already."""
    network_ms: int | None = field(default=None, metadata=OPTIONAL)
    ping_ms: int | None = field(default=None, metadata=OPTIONAL)
    """The usual time from a ping beside a mark to its pong; None: the carrier answers none, or too few were sent."""
    carrier_lag_ms: int | None = field(default=None, metadata=OPTIONAL)
    """As in `Interrupted`; the lag is the largest of the call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ids(Note):
    """The carrier has told more of its names for a leg of this call: all that are known now."""

    kind: ClassVar[str] = "ids"
    version: ClassVar[int] = 2
    control: str = ""
    leg: str = ""
    session: str = ""
    number: str = ""
    of: str = field(default="", metadata=OPTIONAL)
    """Whose leg: `human`, or "" for the caller's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberId(Note):
    """The carrier's id of the number that was called. It may come when the call is over."""

    kind: ClassVar[str] = "number_id"
    number: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOver(Note):
    """This process let go of the call, `quiet` when nobody spoke; another one goes on with it."""

    kind: ClassVar[str] = "handed_over"
    quiet: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EndCall(Note):
    """The agent asked for the end of the call."""

    kind: ClassVar[str] = "end_call"
    reason: str = field(default="", metadata=PRIVATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Digits(Note):
    """An entry on the caller's keypad is complete."""

    kind: ClassVar[str] = "digits"
    digits: str = field(default="", metadata=PRIVATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaSignature(Note):
    """A media socket was let in by its token alone."""

    kind: ClassVar[str] = "media_signature"
    odd: str = ""
    """What is wrong with its handshake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording(Note):
    """A recording of the call begins now."""

    kind: ClassVar[str] = "recording"
    file: str = ""
    """The names of all its files so far, with commas between them; the last one begins now."""
    announced: bool = False
    """The caller was told of it before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingFailed(Note):
    """The recording cannot be written any further."""

    kind: ClassVar[str] = "recording_failed"
    reason: str = field(default="", metadata=PRIVATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable(Note):
    """An entry of the journal that is there and cannot be read."""

    kind: ClassVar[str] = "unreadable"


# What was said and heard


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn(Note):
    """The words of one turn are known."""

    kind: ClassVar[str] = "turn"
    who: Literal["caller", "agent"]
    item: str
    """The engine's id of the turn."""
    text: str = field(metadata=PRIVATE)
    ago_ms: int = 0
    """How long before this note the turn began."""
    whole: bool = True
    """False: more was said, or was to be said, than these words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotTranscribed(Note):
    """The caller has said something, and nobody knows what."""

    kind: ClassVar[str] = "not_transcribed"
    item: str
    reason: str = field(default="", metadata=PRIVATE)
    ago_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact(Note):
    """A fact that the model was told and that the caller did not say, such as digits."""

    kind: ClassVar[str] = "told"
    version: ClassVar[int] = 2
    text: str = field(metadata=PRIVATE)
    by: str = field(default="", metadata=OPTIONAL)
    """Who told it: see `callflow.web.console.requested_by`; "": nobody, it happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard(Note):
    """How far the caller is in what the agent says."""

    kind: ClassVar[str] = "heard"
    item: str
    ms: int = 0
    """Milliseconds of its audio that came out of the caller's telephone."""
    of_ms: int = 0
    """Milliseconds of its audio that came from the engine."""
    done: bool = False
    """It was heard to its end."""
    so_far: str = field(default="", metadata={**GROWING, **OPTIONAL})
    """Its words, as long as they are not all known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut(Part):
    """One turn of the agent's that was cut: how much of its audio was heard, of how much that the engine had sent."""

    item: str
    heard_ms: int = 0
    received_ms: int = 0
    heard_text: str = field(default="", metadata=PRIVATE)
    unheard_text: str = field(default="", metadata=PRIVATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted(Note):
    """What the agent was saying was stopped."""

    kind: ClassVar[str] = "interrupted"
    version: ClassVar[int] = 2
    cuts: tuple[Cut, ...]
    by_caller: bool = False
    network_ms: int | None = field(default=None, metadata=OPTIONAL)
    carrier_lag_ms: int | None = field(default=None, metadata=OPTIONAL)
    """What `heard_ms` rests on: the network's delay, there and back, and how far the carrier was behind in playing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOff(Note):
    """What the agent was saying broke off, or never became audible; the caller had no part in it."""

    kind: ClassVar[str] = "cut_off"
    cuts: tuple[Cut, ...]
    by_caller: bool = field(default=False, metadata=OPTIONAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class InterruptionEmpty(Note):
    """What interrupted the agent was a noise: it goes on where it was."""

    kind: ClassVar[str] = "interruption_empty"


@dataclass(frozen=True, slots=True, kw_only=True)
class FalseStart(Note):
    """A sound of the caller's, so short that nothing was stopped for it."""

    kind: ClassVar[str] = "false_start"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerSpeaks(Note):
    """The engine, or as a call is left our own detector, hears the caller begin to speak."""

    kind: ClassVar[str] = "caller_speaks"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerPauses(Note):
    """The engine hears the caller stop."""

    kind: ClassVar[str] = "caller_pauses"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSpeaks(Note):
    """The first audio of the agent's turn is on its way to the caller."""

    kind: ClassVar[str] = "agent_speaks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Protected(Note):
    """How much of the protected greeting came out of the caller's telephone."""

    kind: ClassVar[str] = "protected"
    heard_ms: int = 0
    of_ms: int = 0
    in_full: bool = False
    text: str = field(default="", metadata=PRIVATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip(Note):
    """A sentence of our own is played, and the agent is silent from now on."""

    kind: ClassVar[str] = "clip"
    clip: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filler(Note):
    """A sentence of our own is played in the agent's place; the call goes on."""

    kind: ClassVar[str] = "filler"
    clip: str = ""


# How long the caller waited


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstWord(Note):
    """The agent's first audio of the call is on its way: so long after the answer."""

    kind: ClassVar[str] = "first_word"
    ms: float = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply(Note):
    """The first audio of an answer is on its way: so long after the end of the caller's turn was noticed."""

    kind: ClassVar[str] = "reply"
    ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency(Note):
    """From the caller's last word to the first sound of the answer in the telephone, part by part."""

    kind: ClassVar[str] = "latency"
    item: str = ""
    detection_ms: int = 0
    """Until the engine noticed that the caller had stopped."""
    engine_ms: int = 0
    """Until its first audio."""
    own_ms: int = 0
    """Until that was sent."""
    carrier_ms: int = 0
    """Until it was heard."""
    total_ms: int = 0
    filler_ms: int | None = field(default=None, metadata=OPTIONAL)
    """Until one of our own sentences was heard meanwhile."""


# The engine


_CLASSES: Final = [each for each in list(globals().values()) if isinstance(each, type) and issubclass(each, Note)]
KINDS: Final[dict[str, type[Note]]] = {each.kind: each for each in _CLASSES if each.kind}
"""Every kind of note by its name."""
for _kind in KINDS.values():
    schema(_kind)  # before the first call


def read(written: Mapping[str, Any]) -> Note | UnknownNote:
    """Return the note that stands in a journal entry: under its present name, with defaults for what it lacks.

    An `UnknownNote` where this version does not know the kind, or where a field cannot be what it says. Never raises.
    """
    name = aliases.event_name(written.get("event"))
    problem = "" if isinstance(name, str) else f"its name is {type(name).__name__}"
    if not problem and name in KINDS:
        try:
            return read_as(KINDS[name], written)
        except ValueError as error:
            problem = str(error)
    return UnknownNote(str(name)[:100], {key: value for key, value in written.items() if key != "event"}, problem)
