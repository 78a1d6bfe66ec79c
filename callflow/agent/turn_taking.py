"""Turn-taking: who speaks, whose turn it is, and what follows from that. Pure: no clock, no socket, no timer.

`turn_manager.py` feeds it with what the engine and the media report, and does what it decides.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from callflow.contracts.engine import ResponseDone


_MOST_RESPONSES: Final = 64
"""Of an engine that never ends what it has begun, the oldest is forgotten."""

Owed = Literal["", "paid", "expected"]
"""What the end of a response means for the words that the agent owes: nothing, they have come, they are still owed."""


class TurnTaking:
    """Who is speaking at the moment, and which of the engine's responses are under way."""

    def __init__(self) -> None:
        self.caller_speaking = False
        self.protected = False
        """What is being said cannot be interrupted."""
        self.spoken_over = False
        """The caller has spoken while that was not allowed to interrupt: it is answered afterwards."""
        self._responses: dict[str, None] = {}
        self._unanswered: str | None = None

    # The caller

    def caller_began(self) -> None:
        """The caller has begun to speak."""
        self.caller_speaking = True

    def caller_ended(self, *, counts: bool) -> None:
        """The caller has stopped. `counts`: that was their turn, and not a sound too short to stop anything for."""
        self.caller_speaking = False
        if counts:
            self._unanswered = ""

    def engine_lost(self, *, hears_speech: bool) -> None:
        """The session is gone. What the caller is saying just now, the next one has to hear, and to answer."""
        if self.caller_speaking or hears_speech:
            self._unanswered = ""

    def unheard_turn(self) -> None:
        """What the caller has said is known as audio only."""
        self._unanswered = ""

    def caller_item(self, item: str) -> bool:
        """The engine has opened an item of the caller's. Returns whether it is the turn that waits for an answer."""
        if self._unanswered != "":
            return False
        self._unanswered = item
        return True

    def transcribed(self, item: str) -> bool:
        """The words of an item have come. Returns whether that was the turn whose audio was kept for them."""
        if item != self._unanswered:
            return False
        self._unanswered = None
        return True

    def answered(self) -> None:
        """The caller's turn was answered, whether its words are known or not."""
        self._unanswered = None

    @property
    def audio_is_needed(self) -> bool:
        """The caller's last turn is known as audio only: another session would have to hear it."""
        return self._unanswered is not None

    @property
    def has_no_item(self) -> bool:
        """The caller has said something for which the engine has opened no item yet."""
        return self._unanswered == ""

    # The engine

    @property
    def responses(self) -> list[str]:
        """Those under way at the engine, oldest first."""
        return list(self._responses)

    def response_began(self, response: str, *, engine_stops_itself: bool) -> bool:
        """The engine begins to answer. Returns False for a response that was on its way when the caller began to speak:
        nothing of it is to be heard."""
        self._responses[response] = None
        if len(self._responses) > _MOST_RESPONSES:
            del self._responses[next(iter(self._responses))]
        return not (self.caller_speaking and not self.protected and engine_stops_itself)

    def response_ended(self, done: ResponseDone) -> Owed:
        """A response has ended."""
        self._responses.pop(done.response, None)
        if done.answered:
            return "paid"
        return "expected" if not done.final and not self.caller_speaking else ""

    def forget_responses(self) -> None:
        """The session that made them is gone."""
        self._responses.clear()

    def may_expect_agent(self, *, silenced: bool) -> bool:
        """Whether it is the agent's turn when something calls for an answer: else it is the caller's until they stop.

        `silenced`: the agent has had its last word."""
        return not silenced and (self.protected or not self.caller_speaking)


class Floor(NamedTuple):
    """All that says whose turn it is, for the decisions below."""

    caller_speaking: bool
    words_owed: bool
    """The caller waits for the agent."""
    responses: bool
    """The engine has some under way."""
    tools_busy: bool
    unplayed: bool
    """Some of what was said is still to be heard."""
    greeting_open: bool
    """A protected sentence is still to be heard."""


def is_busy(at: Floor) -> bool:
    """Somebody speaks, or words are owed."""
    return at.caller_speaking or at.words_owed or at.responses or at.tools_busy


def is_resting(at: Floor, *, flowing: bool) -> bool:
    """It is the caller's turn, and nobody speaks: from here on silence is counted. `flowing`: they could be heard."""
    return flowing and not (is_busy(at) or at.unplayed or at.greeting_open)


def has_said_goodbye(at: Floor) -> bool:
    """What the agent had to say before the end was heard, and nothing more is to come."""
    return not (is_busy(at) or at.unplayed)


def greeting_was_heard(at: Floor) -> bool:
    """Nothing more of a protected sentence is to come."""
    return not (at.responses or at.words_owed or at.unplayed)


Resume = Literal["greet", "apologise", "listen", "hear_again"]
"""How a conversation goes on after engine or stream were away: `greet` (nothing was heard yet), `apologise` (say that
the line was interrupted, and answer), `listen` (it is the caller's turn), `hear_again` (the new session is hearing the
caller's last turn at this moment, and is asked to speak only if it does not answer)."""


class Away(NamedTuple):
    """What happened while the call had no process, if it had none."""

    seconds: float
    quietly: bool
    """It was handed over at a moment when nobody spoke."""


UNNOTICED_SECONDS: Final = 3.0
"""So long a gap may pass without a word about it."""


def resume(
    *,
    greeting_open: bool,
    agent_was_heard: bool,
    away: Away | None,
    callers_turn: bool,
    audio_is_needed: bool,
    tools_busy: bool,
) -> Resume:
    """Decide how to go on. `callers_turn`: nothing that they said is unanswered, and the agent's last words were not
    cut off. `away` None: the process stayed the same."""
    if greeting_open or not agent_was_heard:
        return "greet"
    if away is not None and not (away.quietly and away.seconds < UNNOTICED_SECONDS):
        return "apologise"  # what the caller said meanwhile, nobody has heard
    if callers_turn and not audio_is_needed and not tools_busy:
        return "listen"
    return "hear_again" if audio_is_needed else "apologise"
