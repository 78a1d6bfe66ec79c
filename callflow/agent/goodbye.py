"""The goodbyes of one call: the one after which the call ends, and what follows one that the caller interrupts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from callflow.agent import goodbye_rules
from callflow.agent.conversation import Conversation
from callflow.agent.turn_taking import Floor, has_said_goodbye
from callflow.contracts.events import EndRequested, Event, GoodbyeHeard, GoodbyeInterrupted, NoInput
from callflow.timers import Timers


_TIMER: Final = "second goodbye"


class Goodbye:
    """Whether the agent says goodbye, and the timer of a second goodbye; `goodbye_rules.py` decides what follows."""

    def __init__(self, conversation: Conversation, post: Callable[[Event], None]) -> None:
        self._conversation, self._post = conversation, post
        self._timers = Timers()
        self.is_awaited = False
        """The agent says goodbye: the call ends when the caller has heard the goodbye."""
        self._since: int | None = None
        """Number of turns when the goodbye was interrupted; None: no goodbye was."""

    def begin(self) -> None:
        """Post `GoodbyeHeard`, from `check`, as soon as the caller has heard the agent's goodbye in full."""
        self.is_awaited = True

    def check(self, floor: Floor, *, owes_speech: bool = False) -> None:
        """Note who speaks now, because that may have changed. `owes_speech`: more is said once the caller hears it."""
        if self.is_awaited and not owes_speech and has_said_goodbye(floor):
            self.is_awaited = False
            self._post(GoodbyeHeard())

    def interrupted(self) -> bool:
        """Note that the caller has interrupted the agent: the end is called off if this was the goodbye. Returns
        whether it was."""
        if not self.is_awaited:
            return False
        self.is_awaited = False
        self._since = len(self._conversation.turns)
        self._post(GoodbyeInterrupted())
        return True

    def call_off(self) -> None:
        """Await no goodbye any more, and no second one."""
        self.is_awaited, self._since = False, None
        self.stop()

    def count_silence(self) -> None:
        """Start counting the caller's silence after an interrupted goodbye, unless the timer runs already."""
        if self.is_awaited or self._since is None or self._timers.is_running(_TIMER):
            return
        turns = self._conversation.turns[self._since :]
        agent = next((turn.text for turn in reversed(turns) if turn.who == "agent" and turn.has_sound), "")
        caller = next((turn.text for turn in reversed(turns) if turn.who == "caller"), "")
        then, seconds = goodbye_rules.after(agent, caller)
        if then == "end":
            self._timers.start(_TIMER, seconds, self._post, EndRequested(reason="agent"))
        elif then == "ask":
            self._timers.start(_TIMER, seconds, self._post, NoInput(time=1, last=True, why="called off"))

    def stop(self) -> None:
        """Stop the timer: somebody speaks, or an answer is due."""
        self._timers.stop(_TIMER)
