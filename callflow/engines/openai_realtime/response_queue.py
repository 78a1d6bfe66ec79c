"""Who may speak when: the one owner of `response.create`. Pure: no socket, no clock.

A conversation has one response at a time. Some the server begins by itself, when its turn detection says that the
caller has finished; all others are asked for here, and only here: never while one runs, an earlier request is
unanswered or the caller is speaking, once however often it was asked, and for the tools of a response when the last of
them was answered.

A response is an answer when the caller could hear it: one that ended without a sound, or in the middle of a sentence,
is asked for again a few times, with growing pauses, whatever its status says. Only what the caller or we ourselves
have broken off is not missed.

Facts go in, what is to be done comes out.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple


_REMEMBERED: Final = 256
_HOPELESS: Final = frozenset({"content_filter"})
"""Failures that another try only repeats."""
_REFUSED_SECONDS: Final = 0.2
"""The first pause after a request that was refused for a response that we know nothing of; it doubles."""
_MOST_REFUSED_SECONDS: Final = 2.0
_MOST_REFUSALS: Final = 12
_REMOTE_SECONDS: Final = 0.6
"""How long a server that has run a tool of its own may take to go on by itself, until it is asked to."""
_RUNNING_SECONDS: Final = 10.0
"""The same while that tool still runs."""
_MOST_REMOTE: Final = 8
"""Responses in a row that only ran such tools."""

SAY_IT: Final = "The caller has heard nothing of your last answer: it had no sound. Say it now, aloud."
GO_ON: Final = (
    "Your last answer broke off in the middle of a sentence. Go on exactly where it broke off, without repeating what "
    "you have said and without mentioning it."
)


class Create(NamedTuple):
    """Ask the server for a response, with these requests beside the session's instructions."""

    instructions: str


class RetryIn(NamedTuple):
    """Call `retry` after so many seconds."""

    seconds: float


class GiveUp(NamedTuple):
    """Words are owed, and none can be had."""

    reason: str


Action = Create | RetryIn | GiveUp


class Ending(NamedTuple):
    """How a response ended."""

    status: str = "completed"
    code: str = ""
    """Of a failure, or why it is incomplete."""
    sounds: bool = True
    """Something of it could be heard."""
    texts: bool = False
    """It said something, in writing."""
    calls: bool = False
    """It calls tools that will be answered."""
    remote: Literal["", "done", "runs"] = ""
    """The server runs a tool of its own for it, or asks whether it may."""
    promises: bool = False
    """Behind its last sound stands something that more has to follow: a tool of whoever."""

    @property
    def breaks_off(self) -> bool:
        """In the middle of what it says."""
        return self.sounds and self.status in ("failed", "incomplete", "cancelled")

    @property
    def is_whole(self) -> bool:
        """Everything that it has to say can be heard."""
        return self.sounds and not self.breaks_off and not self.promises

    @property
    def waits_for_server(self) -> bool:
        """Its answer is still to come from a tool that the server runs."""
        return bool(self.remote) and (self.promises or not self.sounds)


@dataclass(slots=True)
class _Want:
    """What one response is asked for."""

    requests: dict[str, bool] = field(default_factory=dict)
    """Each with whether it still holds when the caller has spoken meanwhile."""
    plain: bool = False
    """Simply to answer."""
    after_tools: bool = False
    """Because tools were answered: superfluous once the server has begun a response that knows their answers."""
    whole: bool = False
    """It has to be heard whole: where it breaks off it is said anew."""

    def __bool__(self) -> bool:
        return bool(self.requests) or self.plain or self.after_tools

    def add(self, other: _Want) -> None:
        self.requests |= other.requests
        self.plain |= other.plain
        self.after_tools |= other.after_tools
        self.whole |= other.whole

    def overtaken(self) -> None:
        """The caller has spoken: what does not last is out of date."""
        self.requests = {instructions: lasts for instructions, lasts in self.requests.items() if lasts}
        self.plain = self.whole = False


class Responses:
    def __init__(self, *, retries: int = 2, retry_seconds: float = 0.4) -> None:
        self._retries, self._retry_seconds = retries, retry_seconds
        self._is_open = False
        self._running: dict[str, _Want | None] = {}
        """What each was asked for; None: the server began it."""
        self._overruled: OrderedDict[str, None] = OrderedDict()
        """Responses that the caller, or we, have broken off: nobody misses their words."""
        self._pending = _Want()
        self._sent: _Want | None = None
        """Asked for, and not begun yet."""
        self._failed: _Want | None = None
        """To be asked for again when its pause is over."""
        self._attempts = self._refusals = self._remote = 0
        self._caller_speaks = self._turn_ends = False
        self._awaits = False
        """The caller has finished, and the server is to begin the answer by itself."""
        self._calls: OrderedDict[str, str] = OrderedDict()
        """Every tool call by id, and the response that made it."""
        self._owed: dict[str, set[str]] = {}
        self._speak: set[str] = set()
        """Responses of which an answered tool wants to be spoken about."""
        self._answered: OrderedDict[str, None] = OrderedDict()

    @property
    def running(self) -> list[str]:
        return list(self._running)

    @property
    def is_awaited(self) -> bool:
        """The server is to begin a response by itself."""
        return self._awaits

    @property
    def is_sent(self) -> bool:
        """A request is unanswered."""
        return self._sent is not None

    def is_overruled(self, response: str) -> bool:
        """The caller, or we, have broken it off."""
        return response in self._overruled

    # What is asked of it

    def open(self) -> list[Action]:
        """The session is configured: what was asked for meanwhile goes out."""
        self._is_open = True
        return self._go()

    def request_response(self, instructions: str = "", *, lasting: bool = False, whole: bool = False) -> list[Action]:
        """`lasting`: it still holds when the caller speaks before; `whole`: it must be heard from beginning to end."""
        if self._turn_ends and not instructions:
            self._pending.overtaken()
        self._pending.add(_Want({instructions: lasting}, whole=whole) if instructions else _Want(plain=True))
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
        """The server has not begun what was asked for, for too long: others need not wait for it. Nor has it begun the
        answer that it owes by itself: then it is asked for."""
        if self._awaits:
            self._awaits = False
            self._pending.plain |= self._sent is None
        else:
            self._sent = None
        return self._go()

    def cancelled(self, response: str) -> None:
        """We break it off."""
        _remember(self._overruled, response)

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

    def owes(self, response: str) -> bool:
        """Whether tools that it has called are still to be answered."""
        return bool(self._owed.get(response))

    def adopt(self, call: str) -> None:
        """A call of an earlier session that is to be answered in this one."""
        if call not in self._calls:
            self._calls[call] = ""
            self._owed.setdefault("", set()).add(call)

    def created(self, response: str) -> None:
        """The server does not say whose it is: one that begins while a request is unanswered is taken for ours, until
        that request turns out to be refused."""
        self._awaits = False
        self._refusals = 0
        self._running[response], self._sent = self._sent, None
        if self._running[response] is None:  # the caller's turn began it, with the tools' answers before it
            self._failed = None
            self._pending.overtaken()
            self._pending.after_tools = False

    def done(self, response: str, ending: Ending) -> list[Action]:
        """Tolerates a response that was never begun: it is the one that was asked for, if any was."""
        if response in self._running or self._sent is None:
            want = self._running.pop(response, None)
        else:
            want, self._sent = self._sent, None
        match self._next(response, ending):
            case "over":
                self._settle(response, want, ending)
                return self._go()
            case "wait":
                self._remote += 1
                self._failed = want if want is not None and not ending.sounds else _Want(plain=True)
                return [RetryIn(_RUNNING_SECONDS if ending.remote == "runs" else _REMOTE_SECONDS)]
        return self._again(_anew(want, ending), ending.code or ending.status)

    def is_final(self, response: str, ending: Ending) -> bool:
        """What `done` will decide, for telling before it does. False: it asks again."""
        return self._next(response, ending) in ("over", "give up")

    def _next(self, response: str, ending: Ending) -> Literal["over", "wait", "again", "give up"]:
        """over: nothing more is asked of the model for it, because the caller could hear all of it, tools go on from
        there, or nobody misses it. wait: the server may go on by itself."""
        if response in self._overruled or ending.calls or ending.is_whole:
            return "over"
        if ending.waits_for_server and self._remote < _MOST_REMOTE:
            return "wait"
        return "give up" if self._is_hopeless(ending.code) else "again"

    def _settle(self, response: str, want: _Want | None, ending: Ending) -> None:
        overruled = response in self._overruled
        self._overruled.pop(response, None)
        if ending.is_whole:
            self._attempts = self._remote = 0
        elif want is not None and overruled and not ending.sounds:
            want.overtaken()  # none of it was heard: what lasts is still wanted
            self._pending.add(want)
        elif want is not None and ending.calls and want.whole:
            self._pending.add(want)  # it comes first, whatever the tools say

    def remote_done(self) -> list[Action]:
        """A tool that the server runs by itself is done: it goes on in a moment, or is asked to."""
        return [RetryIn(_REMOTE_SECONDS)] if self._failed is not None and self._remote else []

    def refused(self) -> list[Action]:
        """There is an active response already: the request waits for its end."""
        sent, self._sent = self._sent, None
        for response, want in self._running.items() if sent is None else ():
            if want is not None:
                sent, self._running[response] = want, None
                break
        if sent is None:
            return self._go()
        if self._running:
            self._pending.add(sent)
            return self._go()
        self._refusals += 1
        if self._refusals > _MOST_REFUSALS:
            self._refusals = 0
            return [GiveUp("the engine says that it is speaking, and is not"), *self._go()]
        self._failed = sent
        return [RetryIn(min(_REFUSED_SECONDS * 2 ** (self._refusals - 1), _MOST_REFUSED_SECONDS))]

    def turned_down(self, code: str) -> list[Action]:
        """A request was refused for itself."""
        sent, self._sent = self._sent, None
        return self._go() if sent is None else self._again(sent, code)

    def caller_speaks(self, *, interrupts: bool, answers: bool) -> None:
        """Nothing is begun until the caller has finished, and what was wanted before is out of date.

        `interrupts`: the server breaks off what it says; `answers`: it will begin the next response by itself.
        """
        self._caller_speaks, self._awaits, self._turn_ends = True, False, False
        if interrupts:
            for response in self._running:
                _remember(self._overruled, response)
        if answers:
            self._failed = None
            self._attempts = self._remote = 0
            self._pending.overtaken()

    def caller_stopped(self, *, answers: bool) -> None:
        """The rooms above are told next, who may ask for the answer; then `turn_over`."""
        self._caller_speaks, self._awaits, self._turn_ends = False, answers, True

    def turn_over(self) -> list[Action]:
        self._turn_ends = False
        return self._go()

    # Inside

    def _again(self, want: _Want, code: str) -> list[Action]:
        if self._is_hopeless(code):
            self._attempts = self._remote = 0
            return [GiveUp(code or "failed"), *self._go()]
        self._attempts += 1
        self._failed = want
        return [RetryIn(self._retry_seconds * 2 ** (self._attempts - 1))]

    def _is_hopeless(self, code: str) -> bool:
        return code in _HOPELESS or self._attempts >= self._retries

    def _go(self) -> list[Action]:
        busy = self._running or self._sent is not None or self._failed is not None
        held = self._caller_speaks or self._awaits or (self._turn_ends and not self._pending.plain)
        if not self._is_open or not self._pending or busy or held:
            return []
        self._sent, self._pending = self._pending, _Want()
        return [Create("\n\n".join(self._sent.requests))]


def _anew(want: _Want | None, ending: Ending) -> _Want:
    """What to ask for in place of a response that was not heard, or not to its end."""
    want = want or _Want(plain=True)
    if ending.breaks_off and not want.whole:
        return _Want({GO_ON: False})
    if ending.sounds and not ending.breaks_off:
        return _Want(plain=True)  # it has promised more
    if ending.texts and not want.requests and not ending.sounds:
        return _Want({SAY_IT: False})
    return want


def _remember(names: OrderedDict[str, None], name: str) -> None:
    names[name] = None
    if len(names) > _REMEMBERED:
        names.popitem(last=False)
