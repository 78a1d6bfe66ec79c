"""The machine's memory of one call (`Model`), and the effect of one event (`Step`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final, NamedTuple

from callflow.contracts import commands as do
from callflow.contracts.events import (
    Event,
)


RINGING, ANSWERED, STREAMING, RECOVERING, HANGUP = "ringing", "answered", "streaming", "recovering", "hangup"
TRANSFERRING, BRIDGED = "transferring", "bridged"
STATES: Final = (RINGING, ANSWERED, STREAMING, RECOVERING, TRANSFERRING, BRIDGED, HANGUP)
NO_LEG, DIALLING, BRIEFING, JOINING, JOINED = "none", "dialling", "briefing", "joining", "joined"
LEG_STATES: Final = (NO_LEG, DIALLING, BRIEFING, JOINING, JOINED)
"""The states of the leg of the person to whom a call is transferred."""
SORRY: Final = "sorry"
ONE_MOMENT: Final = "one-moment"
FALLBACK: Final = "fallback"
"""Names of sentences that end the agent's part of a call; the last one is the setting `fallback_text`."""
DEADLINES: Final = (
    "queue", "dial", "ring", "stream", "restream", "engine", "backoff", "grace", "beep", "message", "farewell",
    "last_words", "warning", "call", "transfer", "join", "bridged", "hold",
)  # fmt: skip
"""Each deadline has a setting in seconds: see `callflow.switchboard.call_configs`."""
FAREWELL_NONE: Final = ""
"""No last sentence is due. This and the values below are those of `Model.farewell`."""
FAREWELL_PENDING: Final = "wanted"
"""The last sentence is due, but the call is not answered yet, so nobody could hear it."""
SPEAKING: Final = "speaking"
"""The carrier's voice says the last sentence."""
CLIP: Final = "clip"
"""We play the last sentence as a clip."""
FAREWELL_BY_AGENT: Final = "agent"
"""The agent says goodbye. If the caller interrupts, the end is called off."""
FAREWELL_BY_AGENT_FINAL: Final = "final"
"""The agent says goodbye, and somebody else has asked for the end as well: no interruption calls it off."""


AWAITS_BEEP: Final = "beep"
"""A machine has answered: the agent is silent, and the message waits for the beep."""
MESSAGE_DUE: Final = "message_due"
"""The message may begin, and cannot be said yet: its session or the stream is not there."""
MESSAGE: Final = "message"
"""The agent says the message."""
TO_MACHINE: Final = (AWAITS_BEEP, MESSAGE_DUE, MESSAGE)


class Fallback(NamedTuple):
    """What is done for a caller whom this line cannot serve."""

    number: str = ""
    """They are connected with it, in E.164; "": with nobody."""
    ring_seconds: int = 30
    """How long it is rung."""
    spoken: bool = False
    """The carrier's voice says the sentence of the settings; otherwise there is a clip."""


class Model:
    """The machine's memory of one call: its state and more. Small, slotted, and comparable by `key`."""

    __slots__ = (
        "adopted",
        "answer_sent",
        "armed",
        "back",
        "cause",
        "dialled",
        "engine",
        "engine_tries",
        "fallback",
        "farewell",
        "greeted",
        "human",
        "media",
        "sentence",
        "state",
        "stream_restarts",
        "stream_tries",
        "suppress_noise",
        "takes_back",
        "transfer",
        "tries",
    )

    def __init__(
        self,
        *,
        engine_tries: int = 3,
        stream_tries: int = 3,
        suppress_noise: int = False,
        fallback: Fallback | None = None,
    ) -> None:
        self.state: str = RINGING
        self.fallback = fallback
        """None: nothing but an apology, because nothing else is set up, or it has been tried."""
        self.engine_tries, self.stream_tries = engine_tries, stream_tries
        """How many sessions, and streams, may be tried after a loss."""
        self.tries = self.stream_restarts = 0
        """Sessions, and streams, tried since the caller last heard a whole answer."""
        self.suppress_noise = bool(suppress_noise)
        """The carrier is to be asked to take noise out of the caller's audio."""
        self.answer_sent = False
        """We have sent the answer command or dialled, or adopted the call: never answer again."""
        self.adopted = False
        """The call was answered, but not by us."""
        self.dialled = ""
        """While an outbound call rings: how its stream is opened (`DialRequested.streams`). `led`: whoever has answered
        was led to the engine's SIP address. Else ""."""
        self.engine = "none"
        """none, connecting, ready, lost."""
        self.media = "none"
        """none, open, lost."""
        self.greeted = False
        self.farewell = FAREWELL_NONE
        self.sentence = ""
        """The sentence that ends the call; set together with `farewell`."""
        self.human = NO_LEG
        """The leg of the person to whom the call is transferred: one of `LEG_STATES`."""
        self.transfer = ""
        """warm, cold, refer or fallback (a cold one by the machine itself), while a transfer is under way or the caller
        talks with the person; else ""."""
        self.takes_back = False
        """The agent takes the caller back when the person hangs up."""
        self.back = False
        """The caller comes back from a person, and the agent has not spoken since."""
        self.armed: frozenset[str] = frozenset()
        """The deadlines that are running. While that of `hold` is, the caller is on hold."""
        self.cause = ""
        """Why the call ends or ended, in one word."""

    def key(self) -> tuple[Any, ...]:
        """Return all values, for comparisons."""
        return _values(self)

    def copy(self) -> Model:
        """Return a model with the same values."""
        copied = Model.__new__(Model)
        for name, value in zip(self.__slots__, _values(self), strict=True):
            setattr(copied, name, value)
        return copied


_values: Final[Callable[[Model], tuple[Any, ...]]] = attrgetter(*Model.__slots__)


@dataclass(slots=True)
class Step:
    """The effect of one event on one call."""

    event: Event
    before: str
    after: str = ""
    taken: bool = False
    """False: the event was inert here."""
    commands: list[do.Command] = field(default_factory=list)
    signals: list[str] = field(default_factory=list)
    """Triggers for the call's machine that a step of another leg gives."""


def is_over(model: Model) -> bool:
    """Return whether the call has ended."""
    return model.state == HANGUP


def is_talking(model: Model) -> bool:
    """Return whether the agent has the caller, and no last sentence is due."""
    return model.state == STREAMING and not model.farewell


def says_last_words(model: Model) -> bool:
    """Return whether the last sentence of the call is being said, or a message: it is over in a moment."""
    return model.farewell not in (FAREWELL_NONE, FAREWELL_PENDING, AWAITS_BEEP, MESSAGE_DUE)


def is_asked_to_speak(step: Step) -> bool:
    """Return whether this step asks the agent for a sentence."""
    return any(isinstance(command, (do.Greet, do.Prompt)) for command in step.commands)
