"""The turns of a call: the words of each side, and how much of them was heard. Pure.

The state goes `listening -> thinking -> speaking -> listening`, or to `interrupted`. This module decides nothing: it
turns the reports of engine and playout into turns. Each turn keeps the words said apart from the words heard.
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
"""A sentence counts as heard if at most this much of its end was not heard."""
MS_A_WORD: Final = 300
"""Ms that a quick speaker needs for one word."""
_MOST_TEXT: Final = 20_000
"""Characters of one turn."""


@dataclass(slots=True)
class Turn:
    """One message of one side."""

    who: Literal["caller", "agent", "system"]
    """system: a fact given to the agent, such as a digit or the result of a tool."""
    item: str
    text: str = ""
    heard_ms: int | None = None
    """Ms of the turn's audio that the caller heard; None: not interrupted, or not a turn of the agent."""
    is_complete: bool = False
    """The engine has generated the whole turn."""
    is_heard: bool = False
    """The caller's telephone has played the whole turn."""
    spoken_ms: int | None = None
    """Ms of audio received from the engine when the turn was interrupted."""
    is_written: bool = False
    """The turn is in the journal."""
    has_sound: bool = False
    """Audio of the turn was queued for the caller."""

    def cut(self, heard_ms: int, received_ms: int) -> None:
        """Note that a stretch of the turn was cut; a turn may have several stretches."""
        self.heard_ms = (self.heard_ms or 0) + heard_ms
        self.spoken_ms = (self.spoken_ms or 0) + received_ms

    def break_off(self, heard_ms: int, received_ms: int = 0) -> None:
        """Note that the turn's session is gone. `received_ms` 0: not known, so estimated from the text."""
        self.heard_ms = heard_ms
        self.spoken_ms = max(heard_ms, received_ms or len(self.text.split()) * MS_A_WORD)

    @property
    def interrupted(self) -> bool:
        """Whether the caller missed a part of the turn."""
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
        """Set the turns of earlier processes."""
        self.turns, self.interruptions = list(turns), interruptions
        self._by_item = {turn.item: turn for turn in turns if turn.item}

    def opened(self, who: Literal["caller", "agent"], item: str) -> Turn | None:
        """Return the turn of an item, opened now if it is new; None: there are too many turns. The text may come
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
        """Add a fact that was given to the model and not said by the caller."""
        if len(self.turns) < _MOST_TURNS:
            self.turns.append(Turn("system", "", text[:_MOST_TEXT]))

    def agent_turns_since(self, fact: str, over: str) -> list[Turn] | None:
        """Return the agent's turns since a fact was given, and the one right before it; None: it was not given, or one
        that begins with `over` was given since."""
        found: list[Turn] = []
        is_since = True
        for turn in reversed(self.turns):
            if turn.who == "agent":
                found.append(turn)
                if not is_since:
                    break
            elif is_since and turn.who == "system":
                if turn.text.startswith(over):
                    return None
                is_since = turn.text != fact
        return None if is_since else found[::-1]

    @property
    def exchanges(self) -> int:
        """How often the caller has spoken after they had heard the agent out. A recorded greeting does not wait for
        the agent to end."""
        count, is_heard = 0, False
        for turn in self.turns:
            if turn.who == "agent":
                is_heard = turn.is_heard and not turn.interrupted
            elif turn.who == "caller":
                count += is_heard
                is_heard = False
        return count

    @property
    def is_callers_turn(self) -> bool:
        """Whether the caller has an answer to everything, and the agent's last words were not cut off."""
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
        """Note that audio of this agent's turn was queued. Returns the turn, as `opened` does."""
        turn = self._by_item.get(item) or self.opened("agent", item)
        if turn is not None:
            turn.has_sound = True
        return turn

    def silent(self, item: str) -> None:
        """Note that the turn's audio was silence."""
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
        """Note that the agent speaks. Returns False if the agent was speaking already."""
        news = self.state != SPEAKING
        self.state = SPEAKING
        return news

    def agent_is_heard(self) -> None:
        """Note that all the agent's speech was heard."""
        if self.state == SPEAKING:
            self.state = LISTENING

    def interrupted(self, cuts: Sequence[Cut], *, by_caller: bool = True) -> None:
        """Note that speech was cut. The cut counts as an interruption if the caller caused it and missed audio."""
        self.state = INTERRUPTED
        if by_caller and any(cut.received_ms > cut.heard_ms for cut in cuts):
            self.interruptions += 1
        for cut in cuts:
            self._cut(cut.key, cut)

    def _cut(self, key: SpeechSegmentId, cut: Cut) -> None:
        turn = self.opened("agent", key.item)
        if turn is not None:
            turn.cut(cut.heard_ms, cut.received_ms)
