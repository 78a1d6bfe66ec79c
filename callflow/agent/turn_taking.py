"""Turn-taking: who speaks, whose turn it is, and what follows from that. Pure: no clock, no socket, no timer.

`turn_manager.py` feeds it with what the engine and the media report, and does what it decides.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from callflow.contracts.engine import ResponseDone


_MOST_RESPONSES: Final = 64
"""If an engine never ends its responses, the oldest is forgotten."""

AnswerStatus = Literal["", "given", "due"]
"""What the end of a response means for the answer that is due: "" nothing, "given" it has come, "due" it is due."""


class TurnTaking:
    """Who is speaking, which turn of the caller's waits for an answer, and which responses are under way."""

    def __init__(self) -> None:
        self.caller_speaking = False
        self.protected = False
        """What is being said cannot be interrupted."""
        self.spoken_over = False
        """The caller has spoken over a protected sentence: they are answered after it."""
        self._responses: dict[str, None] = {}
        self._unanswered: str | None = None

    # The caller

    def caller_began(self) -> None:
        """Note that the caller has begun to speak."""
        self.caller_speaking = True

    def caller_ended(self, *, counts: bool) -> None:
        """Note that the caller has stopped. `counts`: it was a turn, and not a sound too short to interrupt."""
        self.caller_speaking = False
        if counts:
            self._unanswered = ""

    def engine_lost(self, *, hears_speech: bool) -> None:
        """Note that the session is gone. What the caller is saying now has to be heard and answered by the next one."""
        if self.caller_speaking or hears_speech:
            self._unanswered = ""

    def unheard_turn(self) -> None:
        """Note a turn of the caller's that is known as audio only."""
        self._unanswered = ""

    def caller_item(self, item: str) -> bool:
        """Note an item that the engine has opened. Returns whether it is the turn that waits for an answer."""
        if self._unanswered != "":
            return False
        self._unanswered = item
        return True

    def transcribed(self, item: str) -> bool:
        """Note that the transcript of an item has come. Returns whether its audio was kept until now."""
        if item != self._unanswered:
            return False
        self._unanswered = None
        return True

    def answered(self) -> None:
        """Note that the caller's turn was answered, with or without a transcript."""
        self._unanswered = None

    @property
    def audio_is_needed(self) -> bool:
        """Whether the caller's last turn is known as audio only, so that a next session would have to hear it."""
        return self._unanswered is not None

    @property
    def has_no_item(self) -> bool:
        """Whether the caller has said something for which the engine has opened no item yet."""
        return self._unanswered == ""

    # The engine

    @property
    def responses(self) -> list[str]:
        """The ids of the responses under way, oldest first."""
        return list(self._responses)

    def response_began(self, response: str, *, engine_stops_itself: bool) -> bool:
        """Note a response that begins. Returns False if nothing of it may be played: the caller is speaking already."""
        self._responses[response] = None
        if len(self._responses) > _MOST_RESPONSES:
            del self._responses[next(iter(self._responses))]
        return not (self.caller_speaking and not self.protected and engine_stops_itself)

    def response_ended(self, done: ResponseDone) -> AnswerStatus:
        """Note that a response has ended."""
        self._responses.pop(done.response, None)
        if done.answered:
            return "given"
        return "due" if not done.final and not self.caller_speaking else ""

    def forget_responses(self) -> None:
        """Forget the responses under way: their session is gone."""
        self._responses.clear()

    def may_expect_agent(self, *, silenced: bool) -> bool:
        """Tell whether an answer may be expected now; it may not while the caller speaks. `silenced`: the agent has
        finished for good."""
        return not silenced and (self.protected or not self.caller_speaking)


class Floor(NamedTuple):
    """All that decides whose turn it is, for the functions below."""

    caller_speaking: bool
    answer_due: bool
    """An answer is due."""
    responses: bool
    """A response is under way."""
    tools_busy: bool
    unplayed: bool
    """Some of the agent's speech is still to be heard."""
    greeting_open: bool
    """A protected sentence is still to be heard."""


def is_busy(at: Floor) -> bool:
    """Tell whether somebody speaks or an answer is due."""
    return at.caller_speaking or at.answer_due or at.responses or at.tools_busy


def silence_counts(at: Floor, *, flowing: bool) -> bool:
    """Tell whether it is the caller's turn and nobody speaks, so that silence counts. `flowing`: there is a stream."""
    return flowing and not (is_busy(at) or at.unplayed or at.greeting_open)


def has_said_goodbye(at: Floor) -> bool:
    """Tell whether the agent's goodbye was heard, and nothing more is to come."""
    return not (is_busy(at) or at.unplayed)


def greeting_was_heard(at: Floor) -> bool:
    """Tell whether the protected sentence was heard, and nothing more of it is to come."""
    return not (at.responses or at.answer_due or at.unplayed)


Resume = Literal["greet", "apologise", "listen", "hear_again"]
"""How a conversation goes on after engine or stream were away: `greet` (nothing was heard yet), `apologise` (say that
the line was interrupted, and answer), `listen` (it is the caller's turn), `hear_again` (the new session is hearing the
caller's last turn at this moment, and is asked to speak only if it does not answer)."""


class Away(NamedTuple):
    """What happened while the call had no process, if it had none."""

    seconds: float
    quietly: bool
    """The call was handed over at a moment when nobody spoke."""


UNNOTICED_SECONDS: Final = 3.0
"""The agent does not mention a gap that is shorter."""


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
        return "apologise"  # what the caller said meanwhile was lost
    if callers_turn and not audio_is_needed and not tools_busy:
        return "listen"
    return "hear_again" if audio_is_needed else "apologise"
