"""Who may speak when: the one owner of `response.create`. Pure: no socket, no clock.

A conversation has one response at a time. Some the server begins by itself, when its turn detection says that the
caller has finished; all others are asked for here, and only here: never while one runs or an earlier request is
unanswered, once however often it was asked, and for the tools of a response when the last of them was answered. What
failed is asked for again a few times, with growing pauses.

Facts go in, what is to be done comes out.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final, NamedTuple


_REMEMBERED: Final = 256
_HOPELESS: Final = frozenset({"content_filter"})
"""Failures that another try only repeats."""


class Create(NamedTuple):
    """Ask the server for a response, with these wishes beside the session's instructions."""

    wish: str


class RetryIn(NamedTuple):
    """Call `retry` after so many seconds."""

    seconds: float


class GiveUp(NamedTuple):
    """Words are owed, and none can be had."""

    reason: str


Action = Create | RetryIn | GiveUp


@dataclass(slots=True)
class _Want:
    """What one response is asked for."""

    wishes: list[str] = field(default_factory=list)
    plain: bool = False
    """Simply to answer."""
    after_tools: bool = False
    """Because tools were answered: superfluous once the server has begun a response that knows their answers."""

    def __bool__(self) -> bool:
        return bool(self.wishes) or self.plain or self.after_tools

    def add(self, other: _Want) -> None:
        self.wishes += [wish for wish in other.wishes if wish not in self.wishes]
        self.plain |= other.plain
        self.after_tools |= other.after_tools


class Responses:
    def __init__(self, *, retries: int = 2, retry_seconds: float = 0.4) -> None:
        self._retries, self._retry_seconds = retries, retry_seconds
        self._is_open = False
        self._running: dict[str, _Want | None] = {}
        """What each was asked for; None: the server began it."""
        self._pending = _Want()
        self._sent: _Want | None = None
        """Asked for, and not begun yet."""
        self._failed: _Want | None = None
        """To be asked for again when its pause is over."""
        self._attempts = 0
        self._calls: OrderedDict[str, str] = OrderedDict()
        """Every tool call by id, and the response that made it."""
        self._owed: dict[str, set[str]] = {}
        self._speak: set[str] = set()
        """Responses of which an answered tool wants to be spoken about."""
        self._answered: OrderedDict[str, None] = OrderedDict()

    @property
    def running(self) -> list[str]:
        return list(self._running)

    # What is asked of it

    def open(self) -> list[Action]:
        """The session is configured: what was asked for meanwhile goes out."""
        self._is_open = True
        return self._go()

    def ask(self, wish: str = "") -> list[Action]:
        self._pending.add(_Want([wish]) if wish else _Want(plain=True))
        return self._go()

    def answered(self, call: str, *, speak: bool) -> tuple[bool, list[Action]]:
        """A tool call has its answer, which is sent before what this returns. False: it had one already."""
        if call in self._answered:
            return False, []
        _remember(self._answered, call)
        response = self._calls.get(call, "")
        owed = self._owed.get(response, set())
        owed.discard(call)
        if speak:
            self._speak.add(response)
        if owed:
            return True, []
        self._owed.pop(response, None)
        if response in self._speak:
            self._speak.discard(response)
            self._pending.add(_Want(after_tools=True))
        return True, self._go()

    def retry(self) -> list[Action]:
        """The pause is over."""
        failed, self._failed = self._failed, None
        if failed is not None:
            self._pending.add(failed)
        return self._go()

    def unanswered(self) -> list[Action]:
        """The server has not begun what was asked for, for too long: others need not wait for it."""
        self._sent = None
        return self._go()

    # What the server says

    def called(self, response: str, calls: list[str]) -> list[str]:
        """The complete tool calls of a response: those of them that are new."""
        new = [call for call in dict.fromkeys(calls) if call not in self._calls]
        for call in new:
            self._calls[call] = response
            if len(self._calls) > _REMEMBERED:
                self._calls.popitem(last=False)
        owed = [call for call in new if call not in self._answered]
        if owed:
            self._owed.setdefault(response, set()).update(owed)
        return new

    def adopt(self, call: str) -> None:
        """A call of an earlier session that is to be answered in this one."""
        if call not in self._calls:
            self._calls[call] = ""
            self._owed.setdefault("", set()).add(call)

    def created(self, response: str) -> None:
        """The server does not say whose it is: one that begins while a request is unanswered is taken for ours, until
        that request turns out to be refused."""
        self._running[response], self._sent = self._sent, None
        if self._running[response] is None:  # the caller's turn began it, with the tools' answers before it
            self._failed = None
            self._pending.after_tools = self._pending.plain = False

    def done(self, response: str, status: str, code: str = "") -> list[Action]:
        """Tolerates a response that was never begun: it is the one that was asked for, if any was."""
        if response in self._running or self._sent is None:
            want = self._running.pop(response, None)
        else:
            want, self._sent = self._sent, None
        if status == "failed" and code not in _HOPELESS:
            return self._again(want or _Want(plain=True), code)
        if status == "completed":
            self._attempts = 0
        return self._go()

    def will_retry(self, status: str, code: str) -> bool:
        """What `done` would decide, for telling before it does."""
        return status == "failed" and code not in _HOPELESS and self._attempts < self._retries

    def refused(self) -> list[Action]:
        """There is an active response already: the request waits for its end."""
        sent, self._sent = self._sent, None
        for response, want in self._running.items() if sent is None else ():
            if want is not None:
                sent, self._running[response] = want, None
                break
        if sent is not None:
            self._pending.add(sent)
        return self._go()

    def caller_speaks(self, *, answers_itself: bool) -> None:
        """The server will begin the next response by itself: nothing that was only an attempt need be said before."""
        if answers_itself:
            self._failed = None
            self._attempts = 0
            self._pending.plain = False

    # Inside

    def _again(self, want: _Want, code: str) -> list[Action]:
        if self._attempts >= self._retries:
            self._attempts = 0
            return [GiveUp(code or "failed"), *self._go()]
        self._attempts += 1
        self._failed = want
        return [RetryIn(self._retry_seconds * 2 ** (self._attempts - 1))]

    def _go(self) -> list[Action]:
        busy = self._running or self._sent is not None or self._failed is not None
        if not self._is_open or not self._pending or busy:
            return []
        self._sent, self._pending = self._pending, _Want()
        return [Create("\n\n".join(self._sent.wishes))]


def _remember(names: OrderedDict[str, None], name: str) -> None:
    names[name] = None
    if len(names) > _REMEMBERED:
        names.popitem(last=False)
