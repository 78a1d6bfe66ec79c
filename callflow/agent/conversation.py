"""The turns of a call: what each side has said, and how much of it was heard. Pure.

The state goes `listening -> thinking -> speaking -> listening`, or to `interrupted`. This module decides nothing: it
turns the reports of engine and playout into turns, which keep what was said apart from what was heard of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from callflow.contracts.media import Cut, SpeechSegmentId
from callflow.journal import notes


LISTENING, THINKING, SPEAKING, INTERRUPTED = "listening", "thinking", "speaking", "interrupted"
_MOST_TURNS: Final = 2000
_TAIL_MS: Final = 300
"""If no more than this was not heard, the sentence counts as heard."""
_MS_A_WORD: Final = 300
"""Ms of speech for a word, of a quick speaker."""
_MOST_TEXT: Final = 20_000
"""Characters of one turn."""


@dataclass(slots=True)
class Turn:
    """One message of one side."""

    who: Literal["caller", "agent", "system"]
    """system: a fact that the agent was told, such as a digit or the result of a tool."""
    item: str
    text: str = ""
    heard_ms: int | None = None
    """How much of its audio the caller heard; None: not interrupted (or not the agent's)."""
    is_complete: bool = False
    """The engine has said all of it: nothing was broken off there."""
    is_heard: bool = False
    """All of it came out of the caller's telephone."""
    spoken_ms: int | None = None
    """How much audio had come from the engine when it was interrupted."""
    is_written: bool = False
    """It is in the journal."""
    has_sound: bool = False
    """Some of its audio was queued for the caller."""

    def cut(self, heard_ms: int, received_ms: int) -> None:
        """Note that one of its stretches was cut; it may have several."""
        self.heard_ms = (self.heard_ms or 0) + heard_ms
        self.spoken_ms = (self.spoken_ms or 0) + received_ms

    def break_off(self, heard_ms: int, received_ms: int = 0) -> None:
        """Note that its session is gone. `received_ms` 0: not known, so it is estimated from the text."""
        self.heard_ms = heard_ms
        self.spoken_ms = max(heard_ms, received_ms or len(self.text.split()) * _MS_A_WORD)

    @property
    def interrupted(self) -> bool:
        """Whether not all of it was heard."""
        return self.heard_ms is not None

    @property
    def heard_text(self) -> str:
        """The words that were heard: an estimate from the share of the audio, because text has no times."""
        if self.heard_ms is None or not self.spoken_ms:
            return self.text if self.heard_ms is None else ""
        return " ".join(self.text.split()[: self._heard_words])

    @property
    def unheard_text(self) -> str:
        """The words that were not heard; see `heard_text`."""
        return "" if self.heard_ms is None else " ".join(self.text.split()[self._heard_words :])

    @property
    def _heard_words(self) -> int:
        if not self.heard_ms or not self.spoken_ms:
            return 0
        return round(len(self.text.split()) * min(self.heard_ms / self.spoken_ms, 1.0))


def cut_note(item: str, heard_ms: int, received_ms: int, turn: Turn | None) -> notes.Cut:
    """Return the note of a cut, with the words that were heard and those that were not."""
    return notes.Cut(
        item=item,
        heard_ms=heard_ms,
        received_ms=received_ms,
        heard_text=turn.heard_text if turn is not None else "",
        unheard_text=turn.unheard_text if turn is not None else "",
    )


class Conversation:
    """The turns of one call, in order, of both sides."""

    def __init__(self) -> None:
        self.state = LISTENING
        self.turns: list[Turn] = []
        self._by_item: dict[str, Turn] = {}
        self.interruptions = 0

    def restore(self, turns: Sequence[Turn], interruptions: int = 0) -> None:
        """Set the turns from before this process had the call."""
        self.turns, self.interruptions = list(turns), interruptions
        self._by_item = {turn.item: turn for turn in turns if turn.item}

    def opened(self, who: Literal["caller", "agent"], item: str) -> Turn | None:
        """Return the turn of an item, and open it if it is new; None: there are too many turns. Its text may come
        later."""
        turn = self._by_item.get(item)
        if turn is None and len(self.turns) < _MOST_TURNS:
            turn = self._by_item[item] = Turn(who, item)
            self.turns.append(turn)
        return turn

    def turn(self, item: str) -> Turn | None:
        """Return the turn of an item; None if there is none."""
        return self._by_item.get(item)

    def words(self, who: Literal["caller", "agent"], item: str, text: str, *, final: bool) -> Turn | None:
        """Add a piece of text to a turn, or replace its text if it is `final`. Returns the turn, as `opened` does."""
        turn = self.opened(who, item)
        if turn is not None:
            turn.text = (text if final else turn.text + text)[:_MOST_TEXT]
        return turn

    def fact(self, text: str) -> None:
        """Add a fact that the model was told and the caller did not say."""
        if len(self.turns) < _MOST_TURNS:
            self.turns.append(Turn("system", "", text[:_MOST_TEXT]))

    @property
    def is_callers_turn(self) -> bool:
        """Whether nothing is unanswered, and the agent's last words were not cut off."""
        last = self.turns[-1] if self.turns else None
        if last is None or last.who != "agent" or not last.is_complete:
            return last is None
        return (last.spoken_ms or 0) - (last.heard_ms or 0) <= _TAIL_MS

    def broke_off(self, item: str, heard_ms: int) -> None:
        """Note that the session was lost in the middle of this turn."""
        turn = self._by_item.get(item)
        if turn is not None and not turn.is_complete and turn.heard_ms is None:
            turn.break_off(heard_ms)

    def sounds(self, item: str) -> Turn | None:
        """Note that audio of this turn of the agent's was queued. Returns the turn, as `opened` does."""
        turn = self._by_item.get(item) or self.opened("agent", item)
        if turn is not None:
            turn.has_sound = True
        return turn

    def silent(self, item: str) -> None:
        """Note that its audio was silence."""
        turn = self._by_item.get(item)
        if turn is not None:
            turn.has_sound = False

    def never_sounded(self, item: str) -> Turn | None:
        """Mark a turn of the agent's that had text and no audio as not heard, and return it; None for any other
        turn."""
        turn = self._by_item.get(item)
        if turn is None or turn.who != "agent" or turn.has_sound or turn.interrupted or not turn.text:
            return None
        turn.break_off(0)
        return turn

    @staticmethod
    def incomplete(turn: Turn) -> None:
        """Note that the engine did not finish this turn."""
        turn.is_complete = turn.is_heard = False

    def complete(self, item: str) -> None:
        """Note that the engine has finished this turn."""
        turn = self._by_item.get(item)
        if turn is not None:
            turn.is_complete = True

    def heard(self, key: SpeechSegmentId, ms: int) -> None:
        """Note that a stretch was heard in full."""
        turn = self._by_item.get(key.item)
        if turn is not None:
            turn.is_heard = turn.is_complete

    def caller_speaks(self) -> None:
        """Note that the caller speaks."""
        self.state = LISTENING

    def caller_pauses(self) -> None:
        """Note that the caller has stopped, and an answer is due."""
        self.state = THINKING

    def agent_speaks(self) -> bool:
        """Note that the agent speaks. Returns False if it did so before."""
        news = self.state != SPEAKING
        self.state = SPEAKING
        return news

    def agent_is_heard(self) -> None:
        """Note that all the agent's speech was heard."""
        if self.state == SPEAKING:
            self.state = LISTENING

    def interrupted(self, cuts: Sequence[Cut], *, by_caller: bool = True) -> None:
        """Note that speech was cut. It counts as an interruption if the caller did it and not all was heard."""
        self.state = INTERRUPTED
        if by_caller and any(cut.received_ms > cut.heard_ms for cut in cuts):
            self.interruptions += 1
        for cut in cuts:
            self._cut(cut.key, cut)

    def _cut(self, key: SpeechSegmentId, cut: Cut) -> None:
        turn = self.opened("agent", key.item)
        if turn is not None:
            turn.cut(cut.heard_ms, cut.received_ms)
