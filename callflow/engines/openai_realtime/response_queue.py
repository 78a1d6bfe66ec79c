"""When a response is requested: the only place that decides about `response.create`. Pure: no socket, no clock.

A conversation has one response at a time. Some responses the server begins by itself, when its turn detection says that
the caller has finished. All others are requested here: never while one runs, while an earlier request is unanswered or
while the caller speaks; once, however often they are wanted; and after tool calls when the last call of a response was
answered.

A response counts as an answer when the caller could hear it. One that ends without audible audio, or in the middle of a
sentence, is requested again a few times, with growing pauses, whatever its status says. A response that the caller has
interrupted, or that we have cancelled, is not requested again.

Events go in, and each method returns what is to be done (`Action`).

Vendor: https://platform.openai.com/docs/api-reference/realtime-client-events/response/create
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from cachetools import FIFOCache


_MOST_IDS: Final = 256
"""Ids of calls and responses that are kept, of each kind."""
_FINAL_FAILURES: Final = frozenset({"content_filter"})
"""Failures that another try only repeats."""
_ACTIVE_SECONDS: Final = 0.2
"""The first pause after a request that was refused because of an active response that we do not know; it doubles."""
_MOST_ACTIVE_SECONDS: Final = 2.0
_MOST_ACTIVE: Final = 12
"""Such refusals in a row, until the call is told."""
_REMOTE_SECONDS: Final = 0.6
"""How long a server that has run a tool of its own may take to go on by itself, until that is requested."""
_REMOTE_RUNNING_SECONDS: Final = 10.0
"""The same while that tool still runs."""
_MOST_REMOTE: Final = 8
"""Responses in a row that only ran such tools."""

SAY_IT: Final = "The caller has heard nothing of your last answer: it had no sound. Say it now, aloud."
GO_ON: Final = (
    "Your last answer broke off in the middle of a sentence. Go on exactly where it broke off, without repeating what "
    "you have said and without mentioning it."
)


class Create(NamedTuple):
    """Send `response.create`, with these instructions beside the session's."""

    instructions: str


class RetryIn(NamedTuple):
    """Call `retry` after this time."""

    seconds: float


class GiveUp(NamedTuple):
    """An answer is owed to the caller, and the server does not give one."""

    reason: str


Action = Create | RetryIn | GiveUp


class ResponseEnding(NamedTuple):
    """How a response ended."""

    status: str = "completed"
    code: str = ""
    """The code of a failure, or the reason why it is incomplete."""
    sounds: bool = True
    """It had audible audio."""
    texts: bool = False
    """It had text or a transcript."""
    calls: bool = False
    """It called tools of ours that will be answered."""
    remote: Literal["", "done", "runs"] = ""
    """The server runs a tool of its own for it, or asks whether it may."""
    promises: bool = False
    """After its last audio comes a tool call of any kind, so more has to follow."""

    @property
    def breaks_off(self) -> bool:
        """Return whether it ended in the middle of what it says."""
        return self.sounds and self.status in ("failed", "incomplete", "cancelled")

    @property
    def is_whole(self) -> bool:
        """Return whether all that it has to say can be heard."""
        return self.sounds and not self.breaks_off and not self.promises

    @property
    def waits_for_server(self) -> bool:
        """Return whether its answer is still to come from a tool that the server runs."""
        return bool(self.remote) and (self.promises or not self.sounds)


@dataclass(slots=True)
class _Request:
    """What one response is requested for."""

    instructions: dict[str, bool] = field(default_factory=dict)
    """Each with whether it is still wanted when the caller has spoken meanwhile."""
    plain: bool = False
    """To answer, without instructions."""
    after_tools: bool = False
    """Because tools were answered: not needed once the server has begun a response that knows their results."""
    whole: bool = False
    """It has to be heard whole: if it breaks off it is said again from the beginning."""

    def __bool__(self) -> bool:
        return bool(self.instructions) or self.plain or self.after_tools

    def add(self, other: _Request) -> None:
        self.instructions |= other.instructions
        self.plain |= other.plain
        self.after_tools |= other.after_tools
        self.whole |= other.whole

    def drop_outdated(self) -> None:
        """The caller has spoken: keep only instructions that last."""
        self.instructions = {text: lasts for text, lasts in self.instructions.items() if lasts}
        self.plain = self.whole = False


class ResponseQueue:
    """The requests of one session, and the responses that run."""

    def __init__(self, *, retries: int, retry_seconds: float) -> None:
        """`retries`: how often an answer that was not heard is requested again, first after `retry_seconds`."""
        self._retries, self._retry_seconds = retries, retry_seconds
        self._is_open = False
        self._running: dict[str, _Request | None] = {}
        """Responses that run, with what each was requested for; None: the server began it by itself."""
        self._interrupted: FIFOCache[str, None] = FIFOCache(_MOST_IDS)
        """Responses that the caller has interrupted, or that we have cancelled."""
        self._pending = _Request()
        self._sent: _Request | None = None
        """Requested, and not begun yet."""
        self._failed: _Request | None = None
        """To be requested again when its pause is over."""
        self._attempts = self._actives = self._remote = 0
        self._caller_speaks = self._turn_ends = False
        self._awaits = False
        """The caller has finished, and the server is to begin the answer by itself."""
        self._calls: FIFOCache[str, str] = FIFOCache(_MOST_IDS)
        """Tool calls by id, with the response that made each."""
        self._unanswered: dict[str, set[str]] = {}
        """Tool calls without an answer, by response."""
        self._speak: set[str] = set()
        """Responses of which the result of a tool is to be spoken about."""
        self._answered: FIFOCache[str, None] = FIFOCache(_MOST_IDS)
        """Tool calls that have an answer."""

    @property
    def running(self) -> list[str]:
        """Return the ids of the responses that run."""
        return list(self._running)

    @property
    def is_awaited(self) -> bool:
        """Return whether the server is to begin a response by itself."""
        return self._awaits

    @property
    def is_sent(self) -> bool:
        """Return whether a request is unanswered."""
        return self._sent is not None

    def is_interrupted(self, response: str) -> bool:
        """Return whether the caller has interrupted this response, or we have cancelled it."""
        return response in self._interrupted

    # What the call wants

    def open(self) -> list[Action]:
        """The session is configured: request what was wanted meanwhile."""
        self._is_open = True
        return self._next_request()

    def request_response(self, instructions: str = "", *, lasting: bool = False, whole: bool = False) -> list[Action]:
        """Request a response as soon as that is possible.

        `lasting`: it is still wanted when the caller speaks before it begins; `whole`: see `_Request.whole`.
        """
        if self._turn_ends and not instructions:
            self._pending.drop_outdated()
        self._pending.add(_Request({instructions: lasting}, whole=whole) if instructions else _Request(plain=True))
        return self._next_request()

    def answered(self, call: str, *, speak: bool) -> tuple[bool, list[Action]]:
        """A tool call has its answer. Returns whether that is its first one, which is sent before the actions."""
        if call in self._answered:
            return False, []
        self._answered[call] = None
        response = self._calls.get(call, "")
        unanswered = self._unanswered.get(response, set())
        unanswered.discard(call)
        if speak:
            self._speak.add(response)
        if unanswered:
            return True, []
        self._unanswered.pop(response, None)
        if response in self._speak:
            self._speak.discard(response)
            self._pending.add(_Request(after_tools=True))
        return True, self._next_request()

    def retry(self) -> list[Action]:
        """The pause that `RetryIn` asked for is over."""
        failed, self._failed = self._failed, None
        if failed is not None:
            self._pending.add(failed)
        return self._next_request()

    def unanswered(self) -> list[Action]:
        """The server has not begun a response in time: others need not wait for it.

        An answer that the server should have begun by itself is requested.
        """
        if self._awaits:
            self._awaits = False
            self._pending.plain |= self._sent is None
        else:
            self._sent = None
        return self._next_request()

    def cancelled(self, response: str) -> None:
        """We cancel this response."""
        self._interrupted[response] = None

    # What the server says

    def called(self, response: str, calls: list[str]) -> list[str]:
        """Take the ids of a response's complete tool calls. Returns those that are new."""
        new = [call for call in dict.fromkeys(calls) if call not in self._calls]
        for call in new:
            self._calls[call] = response
        unanswered = [call for call in new if call not in self._answered]
        if unanswered:
            self._unanswered.setdefault(response, set()).update(unanswered)
        return new

    def awaits_tools(self, response: str) -> bool:
        """Return whether tools that this response has called are still to be answered."""
        return bool(self._unanswered.get(response))

    def adopt(self, call: str) -> None:
        """Take a tool call of an earlier session, which is to be answered in this one."""
        if call not in self._calls:
            self._calls[call] = ""
            self._unanswered.setdefault("", set()).add(call)

    def created(self, response: str) -> None:
        """A response begins.

        The server does not say who requested it: one that begins while a request is unanswered is taken for ours, until
        that request turns out to be refused.
        """
        self._awaits = False
        self._actives = 0
        self._running[response], self._sent = self._sent, None
        if self._running[response] is None:  # the caller's turn began it, and it knows the results of tools before it
            self._failed = None
            self._pending.drop_outdated()
            self._pending.after_tools = False

    def done(self, response: str, ending: ResponseEnding) -> list[Action]:
        """A response has ended. One that was never begun is taken for the one that was requested, if any was."""
        if response in self._running or self._sent is None:
            request = self._running.pop(response, None)
        else:
            request, self._sent = self._sent, None
        match self._verdict(response, ending):
            case "over":
                self._settle(response, request, ending)
                return self._next_request()
            case "wait":
                self._remote += 1
                self._failed = request if request is not None and not ending.sounds else _Request(plain=True)
                return [RetryIn(_REMOTE_RUNNING_SECONDS if ending.remote == "runs" else _REMOTE_SECONDS)]
        return self._again(_instead(request, ending), ending.code or ending.status)

    def is_final(self, response: str, ending: ResponseEnding) -> bool:
        """Return whether `done` will request nothing in place of this response. Changes nothing."""
        return self._verdict(response, ending) in ("over", "give up")

    def _verdict(self, response: str, ending: ResponseEnding) -> Literal["over", "wait", "again", "give up"]:
        """Decide what follows from an ended response.

        over: nothing in its place, because the caller could hear all of it, tools were called, or it was interrupted;
        wait: the server may go on by itself.
        """
        if response in self._interrupted or ending.calls or ending.is_whole:
            return "over"
        if ending.waits_for_server and self._remote < _MOST_REMOTE:
            return "wait"
        return "give up" if self._is_final_failure(ending.code) else "again"

    def _settle(self, response: str, request: _Request | None, ending: ResponseEnding) -> None:
        interrupted = response in self._interrupted
        self._interrupted.pop(response, None)
        if ending.is_whole:
            self._attempts = self._remote = 0
        elif request is not None and interrupted and not ending.sounds:
            request.drop_outdated()  # none of it was heard: what lasts is still wanted
            self._pending.add(request)
        elif request is not None and ending.calls and request.whole:
            self._pending.add(request)  # it comes first, whatever the tools return

    def remote_tool_done(self) -> list[Action]:
        """A tool that the server runs has ended: the server goes on in a moment, or that is requested."""
        return [RetryIn(_REMOTE_SECONDS)] if self._failed is not None and self._remote else []

    def response_active(self) -> list[Action]:
        """A request was refused because a response is active: it waits for the end of that one."""
        sent, self._sent = self._sent, None
        for response, request in self._running.items() if sent is None else ():
            if request is not None:
                sent, self._running[response] = request, None
                break
        if sent is None:
            return self._next_request()
        if self._running:
            self._pending.add(sent)
            return self._next_request()
        self._actives += 1
        if self._actives > _MOST_ACTIVE:
            self._actives = 0
            return [GiveUp("the engine says that it is speaking, and is not"), *self._next_request()]
        self._failed = sent
        return [RetryIn(min(_ACTIVE_SECONDS * 2 ** (self._actives - 1), _MOST_ACTIVE_SECONDS))]

    def request_failed(self, code: str) -> list[Action]:
        """A request was refused for another reason."""
        sent, self._sent = self._sent, None
        return self._next_request() if sent is None else self._again(sent, code)

    def caller_speaks(self, *, interrupts: bool, answers: bool) -> None:
        """The caller speaks: nothing is requested until they have finished, and what was wanted before is outdated.

        `interrupts`: the server stops the response that runs; `answers`: it will begin the next response by itself.
        """
        self._caller_speaks, self._awaits, self._turn_ends = True, False, False
        if interrupts:
            for response in self._running:
                self._interrupted[response] = None
        if answers:
            self._failed = None
            self._attempts = self._remote = 0
            self._pending.drop_outdated()

    def caller_stopped(self, *, answers: bool) -> None:
        """The caller has finished. The call is told next, and may request the answer; `turn_over` follows that."""
        self._caller_speaks, self._awaits, self._turn_ends = False, answers, True

    def turn_over(self) -> list[Action]:
        """The call knows that the caller has finished."""
        self._turn_ends = False
        return self._next_request()

    # Decisions

    def _again(self, request: _Request, code: str) -> list[Action]:
        if self._is_final_failure(code):
            self._attempts = self._remote = 0
            return [GiveUp(code or "failed"), *self._next_request()]
        self._attempts += 1
        self._failed = request
        return [RetryIn(self._retry_seconds * 2 ** (self._attempts - 1))]

    def _is_final_failure(self, code: str) -> bool:
        return code in _FINAL_FAILURES or self._attempts >= self._retries

    def _next_request(self) -> list[Action]:
        is_busy = self._running or self._sent is not None or self._failed is not None
        is_held = self._caller_speaks or self._awaits or (self._turn_ends and not self._pending.plain)
        if not self._is_open or not self._pending or is_busy or is_held:
            return []
        self._sent, self._pending = self._pending, _Request()
        return [Create("\n\n".join(self._sent.instructions))]


def _instead(request: _Request | None, ending: ResponseEnding) -> _Request:
    """Return what to request in place of a response that was not heard, or not to its end."""
    request = request or _Request(plain=True)
    if ending.breaks_off and not request.whole:
        return _Request({GO_ON: False})
    if ending.sounds and not ending.breaks_off:
        return _Request(plain=True)  # a tool call at its end promises more
    if ending.texts and not request.instructions and not ending.sounds:
        return _Request({SAY_IT: False})
    return request
