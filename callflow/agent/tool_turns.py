"""Tool calls as parts of the conversation: the agent is working while one runs, and speaks when it is answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from callflow.agent.engine_sessions import EngineSessions
from callflow.agent.prompter import Prompter
from callflow.agent.prompts import tool_answered
from callflow.agent.tool_calls import PendingToolCalls
from callflow.agent.turn_manager import TurnManager
from callflow.contracts.engine import ToolCalls
from callflow.contracts.events import Event, ToolCalled


class Owner(Protocol):
    """The agent, as this part uses it."""

    def check_goodbye(self) -> None:
        """See whether the caller has heard the goodbye, now that a result was given."""


class ToolTurns:
    """Passes the tool calls of one call to its machine, and their results to the engine."""

    __slots__ = ("_agent", "_is_unsaid", "_post", "_prompter", "_sessions", "_tool_calls", "_turns")

    def __init__(
        self,
        tool_calls: PendingToolCalls,
        sessions: EngineSessions,
        turns: TurnManager,
        prompter: Prompter,
        post: Callable[[Event], None],
        agent: Owner,
    ) -> None:
        self._tool_calls, self._sessions, self._turns = tool_calls, sessions, turns
        self._prompter, self._post, self._agent = prompter, post, agent
        self._is_unsaid = False
        """A result came in a break, or while the caller did not hear the agent; it speaks when the last tool of now is
        answered."""

    def called(self, heard: ToolCalls) -> None:
        """Handle the engine's tool calls."""
        self._is_unsaid = self._is_unsaid and self._tool_calls.is_busy
        for call in heard.calls:
            if self._tool_calls.called(call, spoken=self._turns.taking.has_spoken(heard.response)):
                self._turns.expect_speech(reply=False)
                self._post(ToolCalled(id=call.id, tool=call.name, arguments=call.arguments))

    def answer(self, call: str) -> None:
        """Give the engine the result of a tool call, by its id."""
        answer = self._tool_calls.answer(call)
        if answer is None or not self._sessions.is_there:
            return
        asked, output, speak = answer
        self._turns.conversation.fact(tool_answered(asked.name, asked.arguments, output))
        in_break = self._prompter.is_in_break  # it speaks once, of this and of the break
        waits = speak and (self._turns.is_agent_shut or in_break)
        self._is_unsaid = waits or (self._is_unsaid and not speak)
        if speak and not waits:
            self._turns.expect_speech()
        elif not self._tool_calls.is_busy:
            self._turns.no_answer_due()
        # One that cannot be stopped was told that nobody hears it, and without this would never learn the result.
        is_kept_back = waits and (in_break or self._sessions.can("cancels"))
        self._sessions.answer_tool(call, output, speak=speak and not is_kept_back)
        if self._is_unsaid and not self._tool_calls.is_busy:
            self._is_unsaid = False
            self._prompter.say("")
        self._agent.check_goodbye()
