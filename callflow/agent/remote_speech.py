"""What the agent does differently in a call whose audio never comes here: see `media/remote_line.py`.

The engine plays its speech itself, and tells when the caller began and ceased to hear it. Its session is one beside the
call: it may break and be opened again without the caller noticing anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, Protocol, cast

from callflow.agent.conversation import MS_A_WORD
from callflow.agent.engine_sessions import EngineSessions
from callflow.agent.prompts import Prompt, prompt
from callflow.agent.protected_greeting import ProtectedGreeting
from callflow.agent.turn_manager import TurnManager
from callflow.contracts import events
from callflow.contracts.back_references import to_owner
from callflow.contracts.engine import (
    DescribesSessions,
    KeyPressed,
    PlayoutBegan,
    PlayoutEnded,
    SessionContext,
    SessionLost,
    SessionOffer,
    Transcript,
)
from callflow.contracts.events import Event
from callflow.contracts.media import Cut, SpeechSegmentId
from callflow.contracts.tools import ToolCall
from callflow.media.relay import Relay
from callflow.media.remote_line import RemoteLine


class Owner(Protocol):
    """The agent, as this part uses it."""

    turns: TurnManager
    sessions: EngineSessions
    protected_greeting: ProtectedGreeting

    def session_context(self, number: int) -> SessionContext:
        """Return the context with which the session of this number is opened."""


class RemoteSpeech:
    """The speech of one call's agent that is played elsewhere; does nothing in a call with a relay."""

    def __init__(self, relay: Relay | None, agent: Owner, post: Callable[[Event], None]) -> None:
        self._line = relay if isinstance(relay, RemoteLine) else None
        self._agent, self._post = agent, post
        self._unanswered: dict[str, str] = {}
        """What the model is told of tools that another process ran, by the id of the call."""
        self._is_referred = False
        self._was_playing = False
        self._before_last: list[str] = []
        """Responses that were under way when the sentence that ends the call was asked for: none of them has it."""
        if self._line is not None:
            self._line.stop, self._line.say_last = to_owner(self._stop), to_owner(self._say_last)

    # The session beside the call

    def restored(self, unanswered: Mapping[str, str], *, was_there: bool) -> None:
        """Continue a call of another process. `unanswered`: outputs for its tool calls without a result. `was_there`:
        it had a session, whose conversation is still there."""
        if self._line is not None:
            self._agent.sessions.was_there = was_there
            self._unanswered = dict(unanswered) if was_there else {}

    def describe(self) -> SessionOffer | None:
        """Return what the session is to be with which the call is answered: see `DescribesSessions`."""
        if self._line is None:
            return None
        make: object = self._agent.sessions.make
        return make.describe(self._agent.session_context(1)) if isinstance(make, DescribesSessions) else None

    def ready(self) -> None:
        """Note that the session can be used."""
        if self._line is None:
            return
        sessions = self._agent.sessions
        if sessions.was_there and not self._agent.protected_greeting.is_open:
            sessions.set_turn_detection(True)
        sessions.was_there, self._is_referred = True, False
        self._line.attach()
        unanswered, self._unanswered = self._unanswered, {}
        for name, output in unanswered.items():
            sessions.add_context([ToolCall(name, "", "")])
            sessions.answer_tool(name, output, speak=True)

    def lost(self, lost: SessionLost) -> bool:
        """Note that the session is gone. Returns whether that was the end of the call."""
        if self._line is None:
            return False
        self._was_playing = self._line.playout.is_unplayed(_now())
        self._line.playout.forget()
        if lost.over and not self._agent.sessions.was_there:
            # Hung up all the same: an accept whose answer was lost may not have been obeyed, and the caller waits.
            self._post(events.HangupRequested(reason="already_ended"))
        elif lost.over:
            self._post(events.CallHangup(cause="transferred" if self._is_referred else "completed"))
        return lost.over

    def resumes(self) -> str:
        """Return how a conversation goes on after its session was opened again: "listen", or "answer" if an answer was
        due and nobody was heard; "": as in other calls."""
        if self._line is None or not self._agent.sessions.resumed or self._agent.protected_greeting.is_open:
            return ""
        turns = self._agent.turns
        was_playing, self._was_playing = self._was_playing, False
        return "answer" if turns.is_answer_due and not was_playing else "listen"

    def silence(self) -> bool:
        """Stop speaking and answering, but keep the session, because its end is the only word of what becomes of a
        caller who is referred. Returns False in a call with a relay."""
        if self._line is None:
            return False
        self._is_referred = True
        self._agent.sessions.set_turn_detection(False)
        self._line.detach()
        return True

    # What is played

    def words(self, heard: Transcript) -> None:
        """Note words of the agent: they are heard, or will be in a moment."""
        if self._line is not None and heard.who == "agent":
            self._agent.turns.conversation.sounds(heard.item)
            if not heard.final:
                self._line.expect()

    def began(self, heard: PlayoutBegan) -> None:
        """Note that the caller begins to hear a response."""
        if self._line is None:
            return
        if self._is_referred:
            self._agent.sessions.cancel(heard.response)
        turns = self._agent.turns
        turns.dead_air.speaks()
        turns.taking.spoke(heard.response)
        if turns.latency.waits_for_audio:
            turns.latency.generated(_now())
        self._line.began(heard.response, is_earlier=heard.response in self._before_last)

    def ended(self, heard: PlayoutEnded) -> None:
        """Note that the caller hears nothing more of a response."""
        if self._line is None:
            return
        turns = self._agent.turns
        one = heard.ms if len(heard.items) == 1 else 0  # how long each of several was, nobody says
        keys = [SpeechSegmentId(item, 0, self._agent.sessions.number) for item in heard.items]
        if heard.cut is None:
            for key in keys:
                turns.conversation.complete(key.item)
                turns.heard(key, one)
                self._agent.protected_greeting.played(key, max(one, 1))
            turns.dead_air.sounds_until(_now())
        else:
            by_caller = turns.taking.caller_speaking and not turns.taking.protected
            cuts = [self._cut(key, heard.cut) for key in self._not_heard_out(keys, heard.cut)]
            turns.cut(cuts, by_caller=by_caller)
        self._line.ended(heard.response, cut=heard.cut is not None)

    @staticmethod
    def _not_heard_out(keys: list[SpeechSegmentId], told: Mapping[str, int]) -> list[SpeechSegmentId]:
        """Return the messages from the first on of which it is told how far it was heard: those before were heard."""
        first = next((number for number, key in enumerate(keys) if key.item in told), 0)
        return keys[first:]

    def _cut(self, key: SpeechSegmentId, told: Mapping[str, int]) -> Cut:
        """Return a cut. How long the whole message would have been is not known, and estimated by its words."""
        heard_ms = told.get(key.item, 0)
        turn = self._agent.turns.conversation.turn(key.item)
        words = len(turn.text.split()) if turn is not None else 0
        return Cut(key, heard_ms, max(heard_ms, words * MS_A_WORD))

    def key_pressed(self, heard: KeyPressed) -> None:
        """Report a key of the caller's telephone."""
        self._post(events.Dtmf(digit=heard.digit, source="stream"))

    def _stop(self, response: str) -> None:
        taking = self._agent.turns.taking
        if not (
            taking.caller_speaking and self._agent.sessions.has("interrupts_itself")
        ):  # else the engine does it by itself
            self._agent.sessions.cancel(response)

    def _say_last(self, text: str) -> bool:
        sessions, taking = self._agent.sessions, self._agent.turns.taking
        self._before_last = taking.responses
        taking.protected = True
        sessions.set_turn_detection(False)
        return sessions.is_ready and sessions.request_response(prompt(Prompt.SAY, text=text), lasting=True)


def _now() -> float:
    return asyncio.get_running_loop().time()


NOT_REMOTE: Final = RemoteSpeech(None, cast(Owner, None), lambda event: None)
"""For all calls whose audio comes here."""
