"""What the two sides of a call are doing and have said: the small machine inside `streaming`. Pure.

    listening -> thinking -> speaking -> listening, and interrupted where the caller breaks in

It decides nothing. It turns what the engine and the ledger report into turns that tell the words that were generated
from the part that was heard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from callflow.media.playout import Cut, Key


LISTENING, THINKING, SPEAKING, INTERRUPTED = "listening", "thinking", "speaking", "interrupted"
_MOST_TURNS: Final = 2000
_MOST_TEXT: Final = 20_000
"""Characters of one turn."""


@dataclass(slots=True)
class Turn:
    """One message of one side."""

    who: Literal["caller", "agent"]
    item: str
    text: str = ""
    heard_ms: int | None = None
    """How much of its audio the caller heard; None: not interrupted (or not the agent's)."""
    spoken_ms: int | None = None
    """How much audio had come from the engine when it was interrupted."""

    @property
    def interrupted(self) -> bool:
        return self.heard_ms is not None

    @property
    def heard_text(self) -> str:
        """The words that were heard, as near as the audio tells: text carries no times of its own."""
        if self.heard_ms is None or not self.spoken_ms:
            return self.text if self.heard_ms is None else ""
        words = self.text.split()
        return " ".join(words[: round(len(words) * self.heard_ms / self.spoken_ms)])


class Conversation:
    def __init__(self) -> None:
        self.state = LISTENING
        self.turns: list[Turn] = []
        self._by_item: dict[str, Turn] = {}
        self.interruptions = 0

    def opened(self, who: Literal["caller", "agent"], item: str) -> Turn | None:
        """An item takes its place; its words may come much later. None: there is no room for more turns."""
        turn = self._by_item.get(item)
        if turn is None and len(self.turns) < _MOST_TURNS:
            turn = self._by_item[item] = Turn(who, item)
            self.turns.append(turn)
        return turn

    def turn(self, item: str) -> Turn | None:
        return self._by_item.get(item)

    def words(self, who: Literal["caller", "agent"], item: str, text: str, *, final: bool) -> Turn | None:
        turn = self.opened(who, item)
        if turn is not None:
            turn.text = (text if final else turn.text + text)[:_MOST_TEXT]
        return turn

    def caller_speaks(self) -> None:
        self.state = LISTENING

    def caller_pauses(self) -> None:
        self.state = THINKING

    def agent_speaks(self) -> bool:
        """True when this is news."""
        news = self.state != SPEAKING
        self.state = SPEAKING
        return news

    def agent_is_heard(self) -> None:
        """The last of what the agent said has been played."""
        if self.state == SPEAKING:
            self.state = LISTENING

    def interrupted(self, cuts: Sequence[Cut]) -> None:
        self.state = INTERRUPTED
        self.interruptions += 1
        for cut in cuts:
            self._cut(cut.key, cut)

    def _cut(self, key: Key, cut: Cut) -> None:
        turn = self.opened("agent", key.item)
        if turn is not None:
            turn.heard_ms = (turn.heard_ms or 0) + cut.heard_ms
            turn.spoken_ms = (turn.spoken_ms or 0) + cut.received_ms
