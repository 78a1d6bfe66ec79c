"""The protected sentence at the beginning of a call: a greeting or disclosure that the caller must hear and cannot
interrupt, and the proof of how much of it the caller heard."""

from __future__ import annotations

from callflow.agent.conversation import Conversation
from callflow.agent.turn_taking import Floor, greeting_was_heard
from callflow.contracts.media import SpeechSegmentId
from callflow.journal.notes import Protected
from callflow.media.g711 import BYTES_PER_MS
from callflow.media.playout import Playout


class ProtectedGreeting:
    """The state of one call's protected sentence: `due`, `said` (the engine was asked for the sentence), `held` (nobody
    interrupts any more) or "" (over, or none)."""

    __slots__ = ("_cut", "_ms", "_state", "_words")

    def __init__(self, wanted: bool, words: str = "") -> None:
        """`wanted`: the call begins with a protected sentence. `words`: with which it begins; "": not known."""
        self._words = _plain(words)
        self._state = "due" if wanted else ""
        self._ms: dict[SpeechSegmentId, float] = {}
        """Ms received from the engine, for each stretch of the sentence."""
        self._cut: dict[SpeechSegmentId, int] = {}
        """Ms heard of a stretch that was cut off."""

    @property
    def is_open(self) -> bool:
        """Whether the sentence is not over yet, so that the caller cannot interrupt."""
        return bool(self._state)

    @property
    def is_said(self) -> bool:
        """Whether the engine was asked for the sentence, and the caller has not heard it in full."""
        return self._state == "said"

    def begin(self) -> None:
        """Note that the engine was asked for the sentence, for the first time or again."""
        self._state = "said"
        self._ms.clear()
        self._cut.clear()

    def again(self) -> None:
        """Note that the engine was lost: unless the sentence is over, the next session must say it again."""
        if self._state == "said":
            self._state = "due"

    def hold(self) -> None:
        """Let nobody interrupt for the rest of the call, without a sentence of which anything is proved."""
        self._state = "held"

    def over(self) -> None:
        """Note that the sentence was heard, or that there is none."""
        self._state = ""

    def speech(self, key: SpeechSegmentId, audio: bytes) -> bool:
        """Count µ-law audio of the sentence, received from the engine. Returns False if it is not of the sentence."""
        if self._state != "said":
            return False
        self._ms[key] = self._ms.get(key, 0.0) + len(audio) / BYTES_PER_MS
        return True

    def cut(self, key: SpeechSegmentId, heard_ms: int) -> None:
        """Note that a stretch of the sentence was cut off after `heard_ms`."""
        if key in self._ms:
            self._cut[key] = heard_ms

    def played(self, key: SpeechSegmentId, ms: int) -> None:
        """Note a stretch of the sentence that was played elsewhere and heard in full, as the engine says."""
        if self._state == "said":
            self._ms[key] = self._cut[key] = ms

    def was_heard(self, floor: Floor, conversation: Conversation) -> bool:
        """Return whether the engine was asked for the sentence, and the caller has heard all of it. In a pause that may
        be one between two sentences it must have all the words that are known; one without known words goes on until
        the pause is too long for that, or the caller has said something."""
        if not self.is_said:
            return False
        has_all = self._words in _plain(self._said(conversation)) if self._words else _has_answered(conversation)
        return greeting_was_heard(floor._replace(may_go_on=floor.may_go_on and not has_all))

    def proof(self, playout: Playout, conversation: Conversation, now: float, *, in_full: bool) -> Protected:
        """Return the note that proves how many ms of the sentence were heard, out of how many received. Its words
        decide nothing: the engine may have said the sentence in the caller's language."""
        heard = 0.0
        for key, ms in self._ms.items():
            here = playout.heard_ms(key, now) if playout.holds(key) else ms
            heard += min(ms, self._cut.get(key, here))
        received, said = sum(self._ms.values()), self._said(conversation)
        return Protected(
            heard_ms=int(heard),
            of_ms=int(received),
            in_full=in_full and heard >= received > 0,
            text=said,
        )

    def _said(self, conversation: Conversation) -> str:
        return " ".join(turn.text for key in self._ms if (turn := conversation.turn(key.item)) is not None)


def _has_answered(conversation: Conversation) -> bool:
    return bool(conversation.turns) and conversation.turns[-1].who == "caller"


def _plain(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))
