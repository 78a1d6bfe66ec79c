"""What the machine must remember of one call, and what one event did to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from callflow.contracts import commands as do
from callflow.contracts.events import (
    Event,
)


RINGING, ANSWERED, STREAMING, RECOVERING, HANGUP = "ringing", "answered", "streaming", "recovering", "hangup"
STATES: Final = (RINGING, ANSWERED, STREAMING, RECOVERING, HANGUP)
DEADLINES: Final = (
    "ring", "stream", "restream", "engine", "backoff", "grace", "farewell", "last_words", "warning", "call"
)  # fmt: skip
"""Each has a setting in seconds: see `callflow.switchboard.call_configs`."""
NO, WANTED, SPEAKING, CLIP, AGENT, FINAL = "", "wanted", "speaking", "clip", "agent", "final"
"""How far the last sentence is: not due; due, but nobody can hear yet; said by the carrier; played by us; said by the
agent itself, whom the caller may still keep from it; the same, where somebody else wants the end, too: it comes."""


class Model:
    """What the machine must remember of one call beside its state. Small, slotted, and comparable by `key`."""

    __slots__ = (
        "adopted",
        "answer_sent",
        "armed",
        "cause",
        "engine",
        "engine_tries",
        "farewell",
        "greeted",
        "media",
        "sentence",
        "state",
        "stream_tries",
        "streams",
        "tries",
    )

    def __init__(self, *, engine_tries: int = 3, stream_tries: int = 3) -> None:
        self.state: str = RINGING
        self.engine_tries, self.stream_tries = engine_tries, stream_tries
        """How many new sessions, and new streams, are worth trying."""
        self.tries = self.streams = 0
        """How many were tried since a whole answer was last heard."""
        self.answer_sent = False
        """We have picked up (or someone else did): never again."""
        self.adopted = False
        """It was somebody else."""
        self.engine = "none"
        """none, connecting, ready, lost."""
        self.media = "none"
        """none, open, lost."""
        self.greeted = False
        self.farewell = NO
        self.sentence = ""
        """Which sentence ends the call; set together with `farewell`."""
        self.armed: frozenset[str] = frozenset()
        self.cause = ""
        """Why the call ends or ended, in one word."""

    def key(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)

    def copy(self) -> Model:
        twin = Model()
        for name in self.__slots__:
            setattr(twin, name, getattr(self, name))
        return twin


@dataclass(slots=True)
class Step:
    """What one event did to one call."""

    event: Event
    before: str
    after: str = ""
    taken: bool = False
    """False: the event was inert here."""
    commands: list[do.Command] = field(default_factory=list)


def is_over(model: Model) -> bool:
    return model.state == HANGUP
