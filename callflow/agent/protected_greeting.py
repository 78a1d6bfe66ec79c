"""A sentence at the beginning of a call that the caller has to hear: a greeting or a disclosure that may not be
interrupted, and the proof of how much of it came out of the caller's telephone."""

from __future__ import annotations

from callflow.agent.conversation import Conversation
from callflow.contracts.media import Key
from callflow.journal.notes import Protected
from callflow.media.g711 import BYTES_PER_MS
from callflow.media.playout import Playout


class ProtectedGreeting:
    """`wanted`: there is such a sentence. It is due until it is being said, and over when it was heard."""

    def __init__(self, wanted: bool) -> None:
        self._state = "due" if wanted else ""
        self._ms: dict[Key, float] = {}
        """How much of each stretch of it came from the engine."""
        self._cut: dict[Key, int] = {}
        """How much of a stretch was heard, where it was cut off."""

    @property
    def is_open(self) -> bool:
        """It has not been heard yet: the caller's turn has not come."""
        return bool(self._state)

    @property
    def is_said(self) -> bool:
        return self._state == "said"

    def begin(self) -> None:
        """The engine was asked for it, perhaps once more."""
        self._state = "said"
        self._ms.clear()
        self._cut.clear()

    def again(self) -> None:
        """The engine is lost over it: its successor has to say it anew."""
        if self._state:
            self._state = "due"

    def over(self) -> None:
        self._state = ""

    def speech(self, key: Key, audio: bytes) -> None:
        if self._state == "said":
            self._ms[key] = self._ms.get(key, 0.0) + len(audio) / BYTES_PER_MS

    def cut(self, key: Key, heard_ms: int) -> None:
        if key in self._ms:
            self._cut[key] = heard_ms

    def proof(self, playout: Playout, conversation: Conversation, now: float, *, in_full: bool) -> Protected:
        """Say how much of it was heard, of how much that the engine said, in ms of audio."""
        heard = 0.0
        for key, ms in self._ms.items():
            here = playout.heard_ms(key, now) if playout.holds(key) else ms
            heard += min(ms, self._cut.get(key, here))
        received = sum(self._ms.values())
        turns = [turn for key in self._ms if (turn := conversation.turn(key.item)) is not None]
        return Protected(
            heard_ms=int(heard),
            of_ms=int(received),
            in_full=in_full and heard >= received > 0,
            text=" ".join(turn.text for turn in turns),
        )
