"""Barge-in: decides what follows when the caller speaks while the agent speaks, and whether the sound was speech. Pure.

The decision is made here and nowhere else, from arguments; `turn_manager.py` carries it out. The last interruption is
remembered here until it is known whether the sound was speech.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from callflow.contracts.media import Cut


class Situation(NamedTuple):
    """The situation at the moment when the engine reports that the caller has begun to speak."""

    protected: bool
    """The sentence being played cannot be interrupted."""
    silenced: bool
    """The agent has finished for good: a clip ends the call."""
    unplayed: bool
    """The caller has not heard all of the agent's speech yet."""
    engine_stops_itself: bool
    """The engine stops its own response when it hears the caller; else we have to stop it."""
    min_interruption_ms: int
    """How long the caller must speak for the agent to stop; 0: the agent stops at once."""


Decision = Literal["ignore", "answer_later", "wait", "interrupt", "listen"]
"""What to do when the caller begins to speak:

`ignore`: do nothing, the call is ending. `answer_later`: finish the protected sentence, then answer the caller. `wait`:
stop the agent only if the caller still speaks after `min_interruption_ms`. `interrupt`: stop the agent now, and report
to the engine how much was heard. `listen`: no audio is left to stop; the caller has the turn.
"""


def on_speech(at: Situation) -> Decision:
    """Decide what follows when the caller begins to speak."""
    if at.silenced:
        return "ignore"
    if at.protected:
        return "answer_later"
    if not at.unplayed:
        return "listen"
    return "wait" if at.min_interruption_ms and not at.engine_stops_itself else "interrupt"


class Evidence(NamedTuple):
    """Evidence about the sound that interrupted the agent, collected when its transcript has come."""

    words: bool
    """The transcript has a letter or a digit in it."""
    detector: Literal["speech", "noise", ""]
    """The verdict of our own detector; "": undecided."""
    caller_speaking: bool
    ending: bool
    """The agent is saying goodbye."""


class Interruption:
    """The last interruption: the stretches that were cut, and the caller's turn that cut them. Kept until it is known
    whether the sound was speech."""

    def __init__(self) -> None:
        self._cuts: tuple[Cut, ...] = ()
        self._item = ""
        self._responses = 0

    def began(self, cuts: Sequence[Cut]) -> None:
        """Note that the agent was interrupted: these stretches were cut."""
        self._cuts, self._item, self._responses = tuple(cuts), "", 0

    def caller_item(self, item: str) -> None:
        """Note the first item that the engine opens afterwards: the interrupting sound belongs to it."""
        if self._cuts and not self._item:
            self._item = item

    def response_began(self) -> None:
        """Note that the engine answers: evidence that it took the sound for speech."""
        self._responses += 1

    def was_false(self, item: str, evidence: Evidence) -> Cut | None:
        """Decide whether the turn that interrupted the agent was mere noise. If so, returns the cut from which the
        agent continues; else None. Either way the interruption is settled.

        An empty transcript alone proves nothing: evidence of the engine and of our own detector counts more.
        """
        if item != self._item or not self._cuts:
            return None
        first, answered = self._cuts[0], self._responses > 0
        self._cuts, self._item = (), ""
        if evidence.words or evidence.detector == "speech" or (answered and evidence.detector != "noise"):
            return None
        return None if evidence.caller_speaking or evidence.ending else first
