"""How long the caller may be left without a sound when it is the agent's turn. Pure: time is an argument, in seconds.

The agent owes words from the moment the caller has stopped, until they come or it turns out that there are none. While
it owes them, one of our own sentences is due whenever the caller has heard nothing for a while; and an engine that says
nothing at all for too long is as good as lost.
"""

from __future__ import annotations


class DeadAirTimer:
    def __init__(self, *, patience: float, restoring: float, reply: float) -> None:
        self._patience, self._restoring, self._reply = patience, restoring, reply
        self._since: float | None = None
        self._until: float | None = None
        self._sounded = self._lost = 0.0
        self.is_restoring = False
        """The engine is away; it will be told from a slow one by its own deadline, so that `is_over` says nothing."""
        self.fillers = 0
        """Of our own sentences in a row."""

    @property
    def is_owed(self) -> bool:
        return self._since is not None or self.is_restoring

    def owe(self, since: float, now: float, *, reply: bool = True, within: float | None = None) -> None:
        """It is the agent's turn, since the caller's last word. `reply` False: it waits for something itself; `within`:
        so soon the engine must have begun, because it is in doubt."""
        if self._since is None:
            self._since = since
            self.fillers = 0
        self._until = now + (self._reply if within is None else min(within, self._reply)) if reply else None

    def begins(self, now: float) -> None:
        """The engine is about to answer: it is there, and has its time from now on."""
        if self._until is not None:
            self._until = max(self._until, now + self._reply)

    def speaks(self, now: float) -> None:
        """Words are coming. More are owed until they end: a sentence that breaks off is silence, too."""
        if self._since is None:
            self._since = now
        self._until = now + 2 * self._reply
        self.fillers = 0

    def gave_up(self) -> None:
        """Nobody waits for this engine's words any more; they are owed all the same."""
        self._until = None

    def paid(self) -> None:
        """The words have come, or nothing is owed after all."""
        self._since = self._until = None
        self.fillers = 0

    def restoring(self, since: float) -> None:
        """The engine is lost: whoever's turn it was, silence would now be ours."""
        if not self.is_restoring:
            self.is_restoring = True
            self._lost = since
            self.fillers = 0
        self._until = None

    def restored(self) -> None:
        self.is_restoring = False

    def sounded(self, until: float) -> None:
        """The caller hears something until then."""
        self._sounded = max(self._sounded, until)

    def filler_at(self) -> float | None:
        """When one of our own sentences is due, if nothing else is heard before; None: nothing is owed."""
        if not self.is_owed:
            return None
        due = []
        if self.is_restoring:
            due.append(max(self._sounded, self._lost) + self._restoring)
        if self._since is not None:
            due.append(max(self._sounded, self._since) + self._patience)
        return min(due)

    def is_over(self, now: float) -> bool:
        """The engine has had its time to say something."""
        return self._until is not None and now >= self._until and not self.is_restoring

    def next_look(self, *, audible: bool) -> float | None:
        """When to look again; `audible`: the caller could hear one of our own sentences."""
        times = (self.filler_at() if audible else None, None if self.is_restoring else self._until)
        return min((at for at in times if at is not None), default=None)
