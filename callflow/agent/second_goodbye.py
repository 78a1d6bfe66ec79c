"""Ends a call after its second goodbye, if the caller interrupted the first one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from callflow.agent import goodbye
from callflow.agent.conversation import Conversation
from callflow.contracts.events import EndRequested, Event, NoInput
from callflow.timers import Timers


_TIMER: Final = "second goodbye"


class SecondGoodbye:
    """The timer of the second goodbye; `goodbye.py` decides what follows."""

    def __init__(self, conversation: Conversation, post: Callable[[Event], None]) -> None:
        self._conversation, self._post = conversation, post
        self._timers = Timers()
        self._since: int | None = None
        """Number of turns when the goodbye was interrupted; None: no goodbye was."""

    def called_off(self) -> None:
        """Note that the caller has interrupted a goodbye."""
        self._since = len(self._conversation.turns)

    def count_silence(self) -> None:
        """Start counting the caller's silence, unless the timer runs already."""
        if self._since is None or self._timers.is_running(_TIMER):
            return
        turns = self._conversation.turns[self._since :]
        agent = next((turn.text for turn in reversed(turns) if turn.who == "agent" and turn.has_sound), "")
        caller = next((turn.text for turn in reversed(turns) if turn.who == "caller"), "")
        then, seconds = goodbye.after(agent, caller)
        if then == "end":
            self._timers.start(_TIMER, seconds, self._post, EndRequested(reason="agent"))
        elif then == "ask":
            self._timers.start(_TIMER, seconds, self._post, NoInput(time=1, last=True, why="called off"))

    def stop(self) -> None:
        """Stop the timer: somebody speaks, or an answer is due."""
        self._timers.stop(_TIMER)
