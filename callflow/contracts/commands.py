"""Commands: what a call's machine asks the carrier or the call itself to do.

A command only describes the act. Its id is derived from the call, the step that gave it and its place in that step, so
that after a retry or a crash the same command has the same id at the carrier.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from msgspec import Struct, structs

from callflow.contracts.events import CALLER


class Command(Struct, frozen=True, kw_only=True):
    """The base class of all commands."""

    name: ClassVar[str] = "command"
    leg: str = CALLER


class CarrierCommand(Command, frozen=True, kw_only=True):
    """A command for the carrier; its result is a `CommandDone` or a `CommandFailed`."""


class LocalCommand(Command, frozen=True, kw_only=True):
    """A command that the call carries out itself, at once."""


class Answer(CarrierCommand, frozen=True, kw_only=True):
    """Answer the call, and open the media stream with the same request."""

    name: ClassVar[str] = "answer"
    again: bool = False
    """A process that is gone may have sent it before: send it again under the same id."""
    record: bool = False
    """The carrier records the call, from the answer on."""
    streamless: bool = False
    """Open no media stream: the caller only hears a sentence of the carrier's."""


class Dial(CarrierCommand, frozen=True, kw_only=True):
    """Dial the other end, which makes the leg. It is never sent twice: nobody is to be rung twice."""

    name: ClassVar[str] = "dial"
    ring_seconds: int = 30
    """How long the carrier lets it ring."""
    record: bool = False
    """The carrier records the call, from the answer on."""
    stream: bool = True
    """Open the media stream with the same request."""
    number: str = ""
    """Whom to dial, in E.164; "": the other end of an outbound call."""
    machines: Literal["", "hang_up", "message"] = ""
    """Whether the carrier listens for answering machines, and what is done about one: hang up, or leave a message. The
    carrier then says when the message may begin. "": it does not listen."""


class Record(CarrierCommand, frozen=True, kw_only=True):
    """Record the call from now on, both sides apart, or end that recording."""

    name: ClassVar[str] = "record"
    on: bool = True


class PauseRecord(CarrierCommand, frozen=True, kw_only=True):
    """Record silence in place of the call for a while, or go on recording."""

    name: ClassVar[str] = "pause_record"
    on: bool = True


class Brief(CarrierCommand, frozen=True, kw_only=True):
    """Tell the person who calls and why, in the carrier's voice, and ask for a key."""

    name: ClassVar[str] = "brief"


class Join(CarrierCommand, frozen=True, kw_only=True):
    """Join the caller's leg and the person's, so that they hear each other. Each leg gets one of these."""

    name: ClassVar[str] = "join"


class Transfer(CarrierCommand, frozen=True, kw_only=True):
    """Let the carrier ring a person for the caller, and join the two."""

    name: ClassVar[str] = "transfer"
    number: str = ""
    ring_seconds: int = 30
    fallback: bool = False
    """The machine itself connects the caller, because this line cannot serve them."""


class FindPerson(CarrierCommand, frozen=True, kw_only=True):
    """Ask the carrier whether the person whom it rang for the caller is on the line with them: the webhook that says so
    may be lost. It fails if nobody is."""

    name: ClassVar[str] = "find_person"


class Refer(CarrierCommand, frozen=True, kw_only=True):
    """Let the caller's own telephone system call somebody else in our place (SIP REFER, RFC 3515). Only a leg that came
    over SIP can do that."""

    name: ClassVar[str] = "refer"
    address: str = ""
    """`sip:…`"""


class LeadToSip(CarrierCommand, frozen=True, kw_only=True):
    """Connect a caller who rings, or whoever has answered a call of ours, with a SIP address. Their numbers go with it
    in headers of ours, because they come back with the call that arrives there."""

    name: ClassVar[str] = "lead_to_sip"
    address: str = ""
    """`sip:…`; "": the request's text, and our id of the call goes with it, too."""
    ring_seconds: int = 20


class Reject(CarrierCommand, frozen=True, kw_only=True):
    """Refuse a call that rings."""

    name: ClassVar[str] = "reject"
    cause: Literal["busy", "rejected"] = "busy"


class Hangup(CarrierCommand, frozen=True, kw_only=True):
    """End the leg."""

    name: ClassVar[str] = "hangup"
    quiet: bool = False
    """Without the last words that the carrier's own voice may be set up with: a machine would record them."""


class StartStream(CarrierCommand, frozen=True, kw_only=True):
    """Open a media stream on a call that is answered already."""

    name: ClassVar[str] = "stream"
    record: bool = False
    """As of `Answer`, in whose place this is sent."""


class Speak(CarrierCommand, frozen=True, kw_only=True):
    """Let the carrier's text-to-speech say a sentence: only at the end of a call that has no media stream."""

    name: ClassVar[str] = "speak"
    sentence: str = "sorry"
    goes_on: bool = False
    """The call goes on afterwards: whoever is on the line is connected with somebody else."""


class Announce(CarrierCommand, frozen=True, kw_only=True):
    """Let the carrier's text-to-speech say an operator's text, beside the media stream."""

    name: ClassVar[str] = "announce"
    id: str = ""
    """Names the text, which is not written down here: as of `events.SayRequested`."""
    both: bool = False
    """The leg that this one is joined with hears it, too."""


class Listen(CarrierCommand, frozen=True, kw_only=True):
    """Send what both ends of this leg say to a media stream of its own, on which nothing is said."""

    name: ClassVar[str] = "listen"


class SendDtmf(CarrierCommand, frozen=True, kw_only=True):
    """Let the carrier send keys of the telephone to the other end."""

    name: ClassVar[str] = "send_dtmf"
    id: str = ""
    """Names the digits, which may be secret: as of `events.DtmfRequested`."""


class SuppressNoise(CarrierCommand, frozen=True, kw_only=True):
    """Let the carrier take the noise out of the caller's audio, from now on."""

    name: ClassVar[str] = "suppress_noise"


class Hold(LocalCommand, frozen=True, kw_only=True):
    """Play music to the caller; the agent is silent and does not hear them."""

    name: ClassVar[str] = "hold"


class Unhold(LocalCommand, frozen=True, kw_only=True):
    """Stop the music; the agent has the caller again."""

    name: ClassVar[str] = "unhold"


class Mute(LocalCommand, frozen=True, kw_only=True):
    """Mute one party for the other, or end that."""

    name: ClassVar[str] = "mute"
    party: Literal["caller", "agent"] = "caller"
    on: bool = True


class Say(LocalCommand, frozen=True, kw_only=True):
    """Let the agent say an operator's text, word for word."""

    name: ClassVar[str] = "say"
    id: str = ""
    """As of `Announce`."""


class PlayDtmf(LocalCommand, frozen=True, kw_only=True):
    """Play the tones of keys of the telephone."""

    name: ClassVar[str] = "play_dtmf"
    id: str = ""
    """As of `SendDtmf`."""


class ConnectEngine(LocalCommand, frozen=True, kw_only=True):
    """Open a session of the engine."""

    name: ClassVar[str] = "connect_engine"
    message: bool = False
    """The agent falls silent, and the session is for nothing but the message on an answering machine."""


class Greet(LocalCommand, frozen=True, kw_only=True):
    """Let the engine speak first."""

    name: ClassVar[str] = "greet"


class LeaveMessage(LocalCommand, frozen=True, kw_only=True):
    """Let the agent say the message on an answering machine, and report when it was played (`MessageLeft`)."""

    name: ClassVar[str] = "leave_message"


class RotateEngine(LocalCommand, frozen=True, kw_only=True):
    """Open the engine's next session beside the one that will end, and change over when nobody speaks."""

    name: ClassVar[str] = "rotate_engine"


class Prompt(LocalCommand, frozen=True, kw_only=True):
    """Let the agent say something that neither side has asked for."""

    name: ClassVar[str] = "prompt"
    about: Literal["no_input", "no_input_goodbye", "time_warning", "resume", "back", "held", "keys_failed"] = "resume"
    time: int = 1


class RunTool(LocalCommand, frozen=True, kw_only=True):
    """Run a tool call."""

    name: ClassVar[str] = "run_tool"
    id: str = ""


class AnswerTool(LocalCommand, frozen=True, kw_only=True):
    """Give the agent the result of a tool call."""

    name: ClassVar[str] = "answer_tool"
    id: str = ""


class AwaitGoodbye(LocalCommand, frozen=True, kw_only=True):
    """Report when the caller has heard the agent's goodbye (`GoodbyeHeard`)."""

    name: ClassVar[str] = "await_goodbye"


class TellTransfer(LocalCommand, frozen=True, kw_only=True):
    """Tell how the transfer stands, or how it ended: the agent, and whoever takes events out."""

    name: ClassVar[str] = "tell_transfer"
    outcome: str = ""


class SilenceAgent(LocalCommand, frozen=True, kw_only=True):
    """Silence the agent: the caller talks with a person now."""

    name: ClassVar[str] = "silence_agent"


class PlayClip(LocalCommand, frozen=True, kw_only=True):
    """Play a clip that ends the call; the agent is silent for the rest of the call."""

    name: ClassVar[str] = "play_clip"
    clip: str = "sorry"


class CloseMedia(LocalCommand, frozen=True, kw_only=True):
    """Close the media socket; the call goes on without it."""

    name: ClassVar[str] = "close_media"


class Arm(LocalCommand, frozen=True, kw_only=True):
    """Start the deadline of this name, or start it again. Its length is a setting, in seconds."""

    name: ClassVar[str] = "arm"
    deadline: str = ""


class Disarm(LocalCommand, frozen=True, kw_only=True):
    """Stop the deadline of this name."""

    name: ClassVar[str] = "disarm"
    deadline: str = ""


class Release(LocalCommand, frozen=True, kw_only=True):
    """Free everything that the call owns: sockets, tasks, timers, and its place among the calls."""

    name: ClassVar[str] = "release"


def to_json(command: Command) -> dict[str, Any]:
    """Return the command as plain data for the journal: its name as `command`, and all its fields."""
    return {"command": command.name, **structs.asdict(command)}
