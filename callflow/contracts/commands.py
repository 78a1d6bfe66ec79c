"""What the machine can want: said to the carrier, or done by the call itself.

A command is a wish, not an act. Its id is derived from the call, the step that wanted it and its place in that step, so
the same wish after a retry or a crash is the same command to the carrier.
"""

from __future__ import annotations

import dataclasses
import uuid
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from callflow.contracts.events import CALLER


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    name: ClassVar[str] = "command"
    leg: str = CALLER


class CarrierCommand(Command):
    """Goes to the carrier; what becomes of it comes back as `CommandDone` or `CommandFailed`."""

    __slots__ = ()


class LocalCommand(Command):
    """Done by the call itself, at once."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(CarrierCommand):
    """Pick up, and open the media stream in the same breath."""

    name: ClassVar[str] = "answer"
    again: bool = False
    """It was said before by a process that is gone, perhaps in vain: the same command, under the same id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject(CarrierCommand):
    name: ClassVar[str] = "reject"
    cause: Literal["busy", "rejected"] = "busy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hangup(CarrierCommand):
    name: ClassVar[str] = "hangup"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartStream(CarrierCommand):
    """Open a media stream on a call that is answered already."""

    name: ClassVar[str] = "stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Speak(CarrierCommand):
    """Let the carrier's own voice say the sentence of this name: only for the last words of a call without a stream."""

    name: ClassVar[str] = "speak"
    sentence: str = "sorry"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectEngine(LocalCommand):
    name: ClassVar[str] = "connect_engine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Greet(LocalCommand):
    """Let the engine speak first."""

    name: ClassVar[str] = "greet"


@dataclass(frozen=True, slots=True, kw_only=True)
class RotateEngine(LocalCommand):
    """Open the engine's next session beside the one that will end, and change over when nobody speaks."""

    name: ClassVar[str] = "rotate_engine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt(LocalCommand):
    """Let the agent say something that neither side has asked for."""

    name: ClassVar[str] = "prompt"
    about: Literal["no_input", "no_input_goodbye", "time_warning", "resume"] = "resume"
    time: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTool(LocalCommand):
    name: ClassVar[str] = "run_tool"
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerTool(LocalCommand):
    """Tell the agent what came of it."""

    name: ClassVar[str] = "answer_tool"
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitGoodbye(LocalCommand):
    """The agent is saying goodbye: tell when the caller has heard it (`GoodbyeHeard`)."""

    name: ClassVar[str] = "await_goodbye"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayClip(LocalCommand):
    """Say one of our own recorded sentences; it silences the agent for the rest of the call."""

    name: ClassVar[str] = "play_clip"
    clip: str = "sorry"


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseMedia(LocalCommand):
    """Close the media socket; the call goes on without it."""

    name: ClassVar[str] = "close_media"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm(LocalCommand):
    """Start the deadline of this name (again); how long it is, the settings say."""

    name: ClassVar[str] = "arm"
    deadline: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disarm(LocalCommand):
    name: ClassVar[str] = "disarm"
    deadline: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release(LocalCommand):
    """Let go of everything that the call owns: sockets, tasks, timers, its slot."""

    name: ClassVar[str] = "release"


def command_id(call: str, step: int, ordinal: int) -> str:
    """The id under which a carrier may see this command once or several times, and must obey it once."""
    return str(uuid.uuid5(uuid.UUID(call), f"{step}:{ordinal}"))


def to_json(command: Command) -> dict[str, Any]:
    """Return the command as plain data for the journal: its name, and all its fields."""
    return {"command": command.name, **dataclasses.asdict(command)}
