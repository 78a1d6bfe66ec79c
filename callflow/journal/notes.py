"""Every kind of note that a call writes down: a frozen `Struct` each, with its fields and their units. Pure.

`to_json(note)` is how one is written, `read(written)` how it is read again; `note.py` says by which rules. A new field
needs a default, and raises the `version` of its kind. What ends in `_ms` is milliseconds; moments are those of the
journal entry, unless a field says otherwise. Around a note is a `JournalEntry`; events are in `contracts/events.py`.
The notes of the engine's sessions are in `engine_notes.py`, those of operators in `operator_notes.py`, and those of
what others were asked in `asked_notes.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

from msgspec import field

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


class Began(Note, frozen=True, kw_only=True):
    """Before a call's first step: its carrier, its ids, its numbers, and what its machine was set up with."""

    kind: ClassVar[str] = "began"
    version: ClassVar[int] = 4
    carrier: str = ""
    control: str = ""
    leg: str = ""
    session: str = ""
    number: str = ""
    """The carrier's own ids, as in `contracts.events.LegIds`."""
    from_number: str = field(default="", name="from")
    to_number: str = field(default="", name="to")
    direction: str = "inbound"
    profile: str = ""
    profile_version: Annotated[int, OPTIONAL] = 0
    """Which version of it the database had; 0: the database had none."""
    business: Annotated[str, OPTIONAL] = ""
    """Whose call it is."""
    kept: Annotated[Mapping[str, Any], OPTIONAL] = field(default_factory=dict)
    """Settings that operators had changed for coming calls, by name."""
    engine_tries: Annotated[int | None, OPTIONAL] = None
    stream_tries: Annotated[int | None, OPTIONAL] = None
    """How many new sessions, and new streams, are worth trying. None: as many as the machine's model has by default."""
    suppress_noise: Annotated[bool, OPTIONAL] = False
    """The carrier is asked to take noise out of the caller's audio."""
    fallback_number: Annotated[str, OPTIONAL] = ""
    fallback_seconds: Annotated[int, OPTIONAL] = 0
    fallback_spoken: Annotated[bool, OPTIONAL] = False
    """What is done for a caller whom this line cannot serve: `call.machine.Fallback`."""
    address: str = ""
    """Our public address as the carrier knew it, http or https, without a path."""
    session_settings: Annotated[Mapping[str, Any], OPTIONAL, PRIVATE] = field(default_factory=dict)
    """Settings for this outbound call alone, by name."""
    variables: Annotated[Mapping[str, Any], OPTIONAL, PRIVATE] = field(default_factory=dict)
    """For `{{name}}` in what the model of this outbound call is told."""
    order: Annotated[str, OPTIONAL] = ""
    """A digest of what an outbound call was asked to be, for requests that are repeated."""
    record: Annotated[bool, OPTIONAL] = False
    """The order of an outbound call asks for a recording."""


class Ended(Note, frozen=True, kw_only=True):
    """After a call's last step: all that it owned is let go of. A call without this note was interrupted."""

    kind: ClassVar[str] = "ended"
    version: ClassVar[int] = 2
    cause: str = ""
    """Why it ended, in one word: see `contracts.hangup_causes`."""
    until: Annotated[float | None, OPTIONAL] = None
    """When it ended, in Unix time (seconds), if that was before this note."""
    notes_dropped: Annotated[int, OPTIONAL] = 0  # they came faster than a conversation makes them
    frames_in: Annotated[int, OPTIONAL] = 0
    bytes_out: Annotated[int, OPTIONAL] = 0
    """Media frames from the carrier, and bytes of audio that were sent to the carrier."""
    malformed_frames: Annotated[int, OPTIONAL] = 0
    ignored_frames: Annotated[int, OPTIONAL] = 0
    late_frames: Annotated[int, OPTIONAL] = 0
    reordered_frames: Annotated[int, OPTIONAL] = 0
    """Late: dropped, because they came twice or too late for their place. Reordered: held for others before them."""
    carrier_complaints: Annotated[int, OPTIONAL] = 0
    rejected_streams: Annotated[int, OPTIONAL] = 0
    """Streams that ended because the carrier complained about all that it was sent."""
    operator_frames_lost: Annotated[int, OPTIONAL] = 0
    """Of a person who spoke in place of the agent: they came while too much waited, or there was no stream."""
    keys_dropped: Annotated[int, OPTIONAL] = 0
    """Keys that came faster than anybody types."""
    first_word_ms: float | None = None
    """From the answer to the agent's first audio; None: there was none, or it is not known."""
    reply_ms: Annotated[list[int] | None, OPTIONAL] = None
    """From the end of each of the caller's turns to the first audio of the answer. None, here and below: not known."""
    latency: Annotated[list[Any] | None, OPTIONAL] = None
    """The waterfall of each answer that was heard, with the fields of `Latency` but for its item."""
    interruptions: Annotated[int | None, OPTIONAL] = None
    made_up_silence_ms: Annotated[int | None, OPTIONAL] = None
    """Silence that stood in for frames that the carrier did not send."""
    stale_marks: Annotated[int | None, OPTIONAL] = None
    late_bytes: Annotated[int | None, OPTIONAL] = None
    """Bytes of audio that arrived for what was cut off already."""
    network_ms: Annotated[int | None, OPTIONAL] = None
    ping_ms: Annotated[int | None, OPTIONAL] = None
    """The usual time from a ping beside a mark to its pong; None: the carrier answers none, or too few were sent."""
    carrier_lag_ms: Annotated[int | None, OPTIONAL] = None
    """As in `Interrupted`; the lag is the largest of the call."""


class Ids(Note, frozen=True, kw_only=True):
    """The carrier has told more of its names for a leg of this call: all that are known now."""

    kind: ClassVar[str] = "ids"
    version: ClassVar[int] = 2
    control: str = ""
    leg: str = ""
    session: str = ""
    number: str = ""
    of: Annotated[str, OPTIONAL] = ""
    """Whose leg: `human`, or "" for the caller's."""


class NumberId(Note, frozen=True, kw_only=True):
    """The carrier's id of the number that was called. It may come when the call is over."""

    kind: ClassVar[str] = "number_id"
    number: str = ""


class HandedOver(Note, frozen=True, kw_only=True):
    """This process let go of the call, `quiet` when nobody spoke; another one goes on with it."""

    kind: ClassVar[str] = "handed_over"
    quiet: bool = False


class EndCall(Note, frozen=True, kw_only=True):
    """The agent asked for the end of the call."""

    kind: ClassVar[str] = "end_call"
    reason: Annotated[str, PRIVATE] = ""


class Digits(Note, frozen=True, kw_only=True):
    """An entry on the caller's keypad is complete."""

    kind: ClassVar[str] = "digits"
    digits: Annotated[str, PRIVATE] = ""


class MediaSignature(Note, frozen=True, kw_only=True):
    """A media socket was let in by its token alone."""

    kind: ClassVar[str] = "media_signature"
    odd: str = ""
    """What is wrong with its handshake."""


class Recording(Note, frozen=True, kw_only=True):
    """A recording of the call begins now."""

    kind: ClassVar[str] = "recording"
    file: str = ""
    """The names of all its files so far, with commas between them; the last one begins now."""
    announced: bool = False
    """The caller was told of it before."""


class RecordingFailed(Note, frozen=True, kw_only=True):
    """The recording cannot be written any further."""

    kind: ClassVar[str] = "recording_failed"
    reason: Annotated[str, PRIVATE] = ""


class Unreadable(Note, frozen=True, kw_only=True):
    """An entry of the journal that is there and cannot be read."""

    kind: ClassVar[str] = "unreadable"


# What was said and heard


class Turn(Note, frozen=True, kw_only=True):
    """The words of one turn are known."""

    kind: ClassVar[str] = "turn"
    who: Literal["caller", "agent"]
    item: str
    """The engine's id of the turn."""
    text: Annotated[str, PRIVATE]
    ago_ms: int = 0
    """How long before this note the turn began."""
    whole: bool = True
    """False: more was said, or was to be said, than these words."""


class NotTranscribed(Note, frozen=True, kw_only=True):
    """The caller has said something, and nobody knows what."""

    kind: ClassVar[str] = "not_transcribed"
    item: str
    reason: Annotated[str, PRIVATE] = ""
    ago_ms: int = 0


class Fact(Note, frozen=True, kw_only=True):
    """A fact that the model was told and that the caller did not say, such as digits."""

    kind: ClassVar[str] = "told"
    version: ClassVar[int] = 2
    text: Annotated[str, PRIVATE]
    by: Annotated[str, OPTIONAL] = ""
    """Who told it: see `callflow.web.console.requested_by`; "": nobody, it happened."""


class Heard(Note, frozen=True, kw_only=True):
    """How far the caller is in what the agent says."""

    kind: ClassVar[str] = "heard"
    item: str
    ms: int = 0
    """Milliseconds of its audio that came out of the caller's telephone."""
    of_ms: int = 0
    """Milliseconds of its audio that came from the engine."""
    done: bool = False
    """It was heard to its end."""
    so_far: Annotated[str, GROWING, OPTIONAL] = ""
    """Its words, as long as they are not all known."""


class Cut(Part, frozen=True, kw_only=True):
    """One turn of the agent's that was cut: how much of its audio was heard, of how much that the engine had sent."""

    item: str
    heard_ms: int = 0
    received_ms: int = 0
    heard_text: Annotated[str, PRIVATE] = ""
    unheard_text: Annotated[str, PRIVATE] = ""


class Interrupted(Note, frozen=True, kw_only=True):
    """What the agent was saying was stopped."""

    kind: ClassVar[str] = "interrupted"
    version: ClassVar[int] = 2
    cuts: tuple[Cut, ...]
    by_caller: bool = False
    network_ms: Annotated[int | None, OPTIONAL] = None
    carrier_lag_ms: Annotated[int | None, OPTIONAL] = None
    """What `heard_ms` rests on: the network's delay, there and back, and how far the carrier was behind in playing."""


class CutOff(Note, frozen=True, kw_only=True):
    """What the agent was saying broke off, or never became audible; the caller had no part in it."""

    kind: ClassVar[str] = "cut_off"
    cuts: tuple[Cut, ...]
    by_caller: Annotated[bool, OPTIONAL] = False


class InterruptionEmpty(Note, frozen=True, kw_only=True):
    """What interrupted the agent was a noise: it goes on where it was."""

    kind: ClassVar[str] = "interruption_empty"


class FalseStart(Note, frozen=True, kw_only=True):
    """A sound of the caller's, so short that nothing was stopped for it."""

    kind: ClassVar[str] = "false_start"


class CallerSpeaks(Note, frozen=True, kw_only=True):
    """The engine, or as a call is left our own detector, hears the caller begin to speak."""

    kind: ClassVar[str] = "caller_speaks"


class CallerPauses(Note, frozen=True, kw_only=True):
    """The engine hears the caller stop."""

    kind: ClassVar[str] = "caller_pauses"


class AgentSpeaks(Note, frozen=True, kw_only=True):
    """The first audio of the agent's turn is on its way to the caller."""

    kind: ClassVar[str] = "agent_speaks"


class Protected(Note, frozen=True, kw_only=True):
    """How much of the protected greeting came out of the caller's telephone."""

    kind: ClassVar[str] = "protected"
    heard_ms: int = 0
    of_ms: int = 0
    in_full: bool = False
    text: Annotated[str, PRIVATE] = ""


class Clip(Note, frozen=True, kw_only=True):
    """A sentence of our own is played, and the agent is silent from now on."""

    kind: ClassVar[str] = "clip"
    clip: str = ""


class Filler(Note, frozen=True, kw_only=True):
    """A sentence of our own is played in the agent's place; the call goes on."""

    kind: ClassVar[str] = "filler"
    clip: str = ""


# How long the caller waited


class FirstWord(Note, frozen=True, kw_only=True):
    """The agent's first audio of the call is on its way: so long after the answer."""

    kind: ClassVar[str] = "first_word"
    ms: float = 0


class Reply(Note, frozen=True, kw_only=True):
    """The first audio of an answer is on its way: so long after the end of the caller's turn was noticed."""

    kind: ClassVar[str] = "reply"
    ms: int = 0


class Latency(Note, frozen=True, kw_only=True):
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
    filler_ms: Annotated[int | None, OPTIONAL] = None
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
