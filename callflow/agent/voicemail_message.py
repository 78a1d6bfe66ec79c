"""Leaves the message on an answering machine: the agent falls silent, waits, and says the message alone.

The message gets a session of its own, without a word of the conversation and without turn detection. So nothing that
was asked for before can be said into the recording, neither side interrupts, and the machine's words are not answered.
The carrier notices that a machine has answered, and `call/machine/voicemail_table.py` decides when this begins: see
"Answering machines" in docs/architecture.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from callflow.agent.engine_sessions import EngineSessions
from callflow.agent.goodbye import Goodbye
from callflow.agent.prompter import Prompter
from callflow.agent.prompts import Prompt, prompt
from callflow.agent.protected_greeting import ProtectedGreeting
from callflow.agent.turn_manager import TurnManager
from callflow.agent.turn_taking import Floor, greeting_was_heard
from callflow.contracts.events import Event, MessageLeft


class Speaker(Protocol):
    """The agent, as far as it is silenced and says the message."""

    turns: TurnManager
    sessions: EngineSessions
    prompter: Prompter
    protected_greeting: ProtectedGreeting
    goodbye: Goodbye

    def note_greeting(self, *, in_full: bool = False) -> bool:
        """Write down how much of the protected sentence was heard."""


class VoicemailMessage:
    """The message of one call, if a machine has answered it."""

    def __init__(self, message: str, agent: Speaker, post: Callable[[Event], None]) -> None:
        self._message, self._agent, self._post = message, agent, post
        self.is_on = False
        """A machine has answered: the agent says the message and nothing else."""
        self._is_awaited = False

    def begin(self) -> None:
        """Silence the agent for the rest of the call; then open the session for the message."""
        agent = self._agent
        if not self.is_on:
            self.is_on = True
            agent.prompter.close()
            agent.goodbye.call_off()
            agent.turns.silence_for_good()
            if agent.protected_greeting.is_said:
                agent.note_greeting()
            agent.protected_greeting.hold()
        agent.turns.engine_away()
        agent.sessions.connect_anew()

    def say(self) -> None:
        """Ask the engine for the message, word for word."""
        if self._agent.sessions.request_response(prompt(Prompt.VOICEMAIL, message=self._message), lasting=True):
            self._is_awaited = True
            self._agent.turns.expect_speech()

    def check(self, floor: Floor) -> None:
        """Note who speaks now, because that may have changed: post `MessageLeft` when the message was played."""
        if self._is_awaited and greeting_was_heard(floor):
            self._is_awaited = False
            self._post(MessageLeft())
