"""Turn-taking: decides whose turn it is from who speaks and what is due. Pure: no clock, no socket, no timer.

`turn_manager.py` passes in the reports of engine and media, and carries out the decisions.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from callflow.contracts.engine import ResponseDone


_MOST_RESPONSES: Final = 64
"""The most responses remembered; if an engine never ends them, the oldest is forgotten."""

AnswerStatus = Literal["", "given", "due"]
"""Effect of a response's end on the answer that is due. "": no change; "given": the answer has come; "due": an answer
is due now."""


class TurnTaking:
    """Who is speaking, which turn of the caller's waits for an answer, and which responses are under way."""

    def __init__(self) -> None:
        self.caller_speaking = False
        self.protected = False
        """The sentence being played cannot be interrupted."""
        self.spoken_over = False
        """The caller has spoken during a protected sentence; the agent answers after the sentence."""
        self.in_doubt = False
        """Engine or stream were lost, or the engine had no answer, and the caller has heard no answer since."""
        self._spoke_in_doubt = False
        self._responses: dict[str, None] = {}
        self._spoke: dict[str, None] = {}
        self._unanswered: str | None = None

    # The caller

    def caller_began(self) -> None:
        """Note that the caller has begun to speak."""
        self.caller_speaking = True

    def caller_ended(self, *, counts: bool) -> None:
        """Note that the caller has stopped. `counts`: the sound was a turn, not too short to interrupt."""
        self.caller_speaking = False
        if counts:
            self._unanswered = ""

    def engine_lost(self, *, hears_speech: bool) -> None:
        """Note that the session is gone. If the caller is speaking, the next session must hear and answer that turn."""
        if self.caller_speaking or hears_speech:
            self._unanswered = ""

    def unheard_turn(self) -> None:
        """Note a turn of the caller that is known only as audio."""
        self._unanswered = ""

    def caller_item(self, item: str) -> bool:
        """Note an item that the engine has opened. Returns whether the item is the turn that waits for an answer."""
        if self._unanswered != "":
            return False
        self._unanswered = item
        return True

    def transcribed(self, item: str) -> bool:
        """Note that the transcript of an item has come. Returns whether the item's audio was kept for it."""
        if item != self._unanswered:
            return False
        self._unanswered = None
        return True

    def answered(self) -> None:
        """Note that the caller's turn was answered, with or without a transcript."""
        self._unanswered = None

    @property
    def audio_is_needed(self) -> bool:
        """Whether the caller's last turn is known only as audio, so that the next session needs the audio."""
        return self._unanswered is not None

    @property
    def has_no_item(self) -> bool:
        """Whether the engine has opened no item yet for the caller's last turn."""
        return self._unanswered == ""

    # The engine

    @property
    def responses(self) -> list[str]:
        """The ids of the responses under way, oldest first."""
        return list(self._responses)

    @property
    def is_responding(self) -> bool:
        """Whether a response is under way."""
        return bool(self._responses)

    def response_began(self, response: str, *, engine_stops_itself: bool) -> bool:
        """Note a response that begins. Returns False if the response must not be played, because the caller is
        speaking."""
        self._responses[response] = None
        if len(self._responses) > _MOST_RESPONSES:
            del self._responses[next(iter(self._responses))]
        return not (self.caller_speaking and not self.protected and engine_stops_itself)

    def spoke(self, response: str) -> None:
        """Note that something of a response could be heard. The last 64 are remembered."""
        self._spoke_in_doubt = True
        self._spoke[response] = None
        if len(self._spoke) > _MOST_RESPONSES:
            del self._spoke[next(iter(self._spoke))]

    def has_spoken(self, response: str) -> bool:
        """Return whether something of a response could be heard."""
        return response in self._spoke

    def doubt(self) -> None:
        """Note that engine or stream were lost, or the engine has no answer: only an answer that is heard from now on
        shows that all works again."""
        self.in_doubt, self._spoke_in_doubt = True, False

    def heard_out(self) -> bool:
        """Note that the caller has heard everything. Returns whether that ends a doubt: clips of ours do not."""
        ends = self.in_doubt and self._spoke_in_doubt
        self.in_doubt = self.in_doubt and not ends
        return ends

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
        """Return whether an answer can be due now: not while the caller speaks. `silenced`: the agent has finished for
        good."""
        return not silenced and (self.protected or not self.caller_speaking)


class Floor(NamedTuple):
    """The input of the functions below, which decide whose turn it is."""

    caller_speaking: bool
    answer_due: bool
    """An answer is due."""
    responses: bool
    """A response is under way."""
    tools_busy: bool
    unplayed: bool
    """The caller has not heard all of the agent's speech yet."""
    greeting_open: bool
    """The caller has not heard the protected sentence in full yet."""
    may_go_on: bool = False
    """The agent may only have paused between two sentences."""


def is_busy(at: Floor) -> bool:
    """Return whether somebody speaks or an answer is due."""
    return at.caller_speaking or at.answer_due or at.responses or at.tools_busy


def silence_counts(at: Floor, *, flowing: bool) -> bool:
    """Return whether the caller's silence is counted: it is the caller's turn, and nobody speaks. `flowing`: there is a
    stream."""
    return flowing and not (is_busy(at) or at.unplayed or at.greeting_open)


def has_said_goodbye(at: Floor) -> bool:
    """Return whether the caller has heard the agent's goodbye, and no further speech is due."""
    return not (is_busy(at) or at.unplayed or at.may_go_on)


def greeting_was_heard(at: Floor) -> bool:
    """Return whether the caller has heard the protected sentence in full."""
    return not (at.responses or at.answer_due or at.unplayed or at.may_go_on)


Resume = Literal["greet", "apologise", "listen", "hear_again"]
"""How a conversation continues after engine or stream were away. `greet`: the caller has heard nothing yet.
`apologise`: say that the line was interrupted, and answer. `listen`: it is the caller's turn. `hear_again`: the new
session is hearing the caller's last turn, and is asked to speak only if it does not answer."""


class ProcessGap(NamedTuple):
    """A gap in which no process had the call."""

    seconds: float
    """Until the caller was heard again, by a stream of this process."""
    quietly: bool
    """The call was handed over at a moment when nobody spoke."""
    moved: bool = False
    """A process that goes on has given it to this one; the other did not end."""
    was_heard: bool = False
    """What the caller said before is here as audio, and the new session hears it: the gap is what came after."""


UNNOTICED_SECONDS: Final = 3.0
"""The agent does not mention a gap shorter than this: a process that is started again needs one or two."""
MOVED_UNNOTICED_SECONDS: Final = 1.0
"""The same for a call that was moved. In a longer gap a whole question may be lost, of which nobody knows: calls are
moved when nobody has spoken for a while, or right after the agent's last word, and so soon hardly anybody has asked
something and ended."""


def resume(
    *,
    greeting_open: bool,
    is_new: bool,
    away: ProcessGap | None,
    callers_turn: bool,
    audio_is_needed: bool,
    tools_busy: bool,
) -> Resume:
    """Decide how the conversation continues. `is_new`: the caller has heard neither the agent nor a person in its place
    yet. `callers_turn`: the caller has an answer to everything, and the agent's
    last words were not cut off. `away` None: the process is the same."""
    if greeting_open or is_new:
        return "greet"
    if away is not None and not (away.quietly and away.seconds < _unnoticed(away)):
        may_answer = away.was_heard and away.seconds < _unnoticed(away)
        return "hear_again" if may_answer else "apologise"  # words of the caller in the gap are lost
    if callers_turn and not audio_is_needed and not tools_busy:
        return "listen"
    return "hear_again" if audio_is_needed else "apologise"


def _unnoticed(away: ProcessGap) -> float:
    return MOVED_UNNOTICED_SECONDS if away.moved else UNNOTICED_SECONDS
