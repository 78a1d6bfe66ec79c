"""Computes how long the caller may hear nothing in the agent's turn. Pure: time is an argument, in seconds.

An answer is due from the end of the caller's speech until the answer comes, or turns out not to come. Meanwhile a clip
is due whenever the caller has heard nothing for a while, and an engine that stays silent for too long counts as lost.
"""

from __future__ import annotations


class DeadAirTimer:
    """Computes when a clip is due, and when an engine counts as lost."""

    def __init__(self, *, filler: float, restoring: float, reply: float) -> None:
        """`filler`: seconds without a sound until a clip is due; `restoring`: the same while the engine is away.
        `reply`: seconds in which the engine must speak."""
        self._filler, self._restoring, self._reply = filler, restoring, reply
        self._since: float | None = None
        self._until: float | None = None
        self._sounded = self._lost = 0.0
        self.is_restoring = False
        """The engine is away. The machine has a deadline for its return, so `is_over` is False meanwhile."""
        self.fillers = 0
        """Clips in a row since the agent last spoke."""

    @property
    def is_answer_due(self) -> bool:
        """Whether the caller waits for an answer."""
        return self._since is not None or self.is_restoring

    def answer_due(self, since: float, now: float, *, reply: bool = True, within: float | None = None) -> None:
        """Begin the agent's turn; `since`: the time of the caller's last word. `reply` False: the engine waits first,
        for a tool for example. `within`: seconds in which the engine must begin; None: the constructor's `reply`."""
        if self._since is None:
            self._since = since
            self.fillers = 0
        self._until = now + (self._reply if within is None else min(within, self._reply)) if reply else None

    def begins(self, now: float) -> None:
        """Note that a response has begun: the engine has its full time from now on."""
        if self._until is not None:
            self._until = max(self._until, now + self._reply)

    def speaks(self, now: float) -> None:
        """Note that the engine has sent audio. More is due until the response ends: a sentence that breaks off leaves
        silence, too."""
        if self._since is None:
            self._since = now
        self._until = now + 2 * self._reply
        self.fillers = 0

    def gave_up(self) -> None:
        """Stop waiting for this engine. The answer is still due."""
        self._until = None

    def answer_given(self) -> None:
        """End the agent's turn: the answer was given, or none is due after all."""
        self._since = self._until = None
        self.fillers = 0

    def restoring(self, since: float) -> None:
        """Note that the engine was lost: from now on clips are due, even if it was the caller's turn."""
        if not self.is_restoring:
            self.is_restoring = True
            self._lost = since
            self.fillers = 0
        self._until = None

    def restored(self) -> None:
        """Note that the engine is back."""
        self.is_restoring = False

    def sounded(self, until: float) -> None:
        """Note that the caller hears audio until this time."""
        self._sounded = max(self._sounded, until)

    def filler_at(self) -> float | None:
        """Return when a clip is due if nothing else is heard before; None: no answer is due."""
        if not self.is_answer_due:
            return None
        due = []
        if self.is_restoring:
            due.append(max(self._sounded, self._lost) + self._restoring)
        if self._since is not None:
            due.append(max(self._sounded, self._since) + self._filler)
        return min(due)

    def is_over(self, now: float) -> bool:
        """Return whether the engine has been silent for too long."""
        return self._until is not None and now >= self._until and not self.is_restoring

    def next_look(self, *, audible: bool) -> float | None:
        """Return when to check again; None: not before the next event. `audible`: the caller could hear a clip."""
        times = (self.filler_at() if audible else None, None if self.is_restoring else self._until)
        return min((at for at in times if at is not None), default=None)
