"""Decides when to request a response; no other module sends `response.create` on its own. Pure: no socket, no clock.

A conversation has one response at a time. The server begins some responses by itself, when its turn detection reports
the end of the caller's turn. All other responses are requested here: never while a response runs, a request is
unanswered or the caller speaks; only once for repeated requests; and after tool calls, once the last call of a response
was answered.

A response counts as an answer when the caller could hear it. A response that ends without audible audio, or in the
middle of a sentence, is requested again a few times, with growing pauses, whatever its status. A response interrupted
by the caller or cancelled by us is not requested again.

Each method handles an event and returns the actions to take (`Action`).

Vendor: https://platform.openai.com/docs/api-reference/realtime-client-events/response/create
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Literal, NamedTuple

from callflow.contracts.newest import Newest
from callflow.engines.openai_realtime.response_endings import ResponseEnding
from callflow.engines.openai_realtime.response_request import ResponseRequest


_MOST_IDS: Final = 256
"""The most ids of calls and responses that are kept, of each kind."""
_FINAL_FAILURES: Final = frozenset({"content_filter"})
"""Failures that another try only repeats."""
_ACTIVE_SECONDS: Final = 0.2
"""The first pause after a refusal because of an active response that we do not know; the pause doubles each time."""
_MOST_ACTIVE_SECONDS: Final = 2.0
_MOST_ACTIVE: Final = 12
"""The most such refusals in a row; then the failure is reported to the call."""
_REMOTE_SECONDS: Final = 0.6
"""How long a server may take to continue by itself after running a tool; then the continuation is requested."""
_REMOTE_RUNNING_SECONDS: Final = 10.0
"""The same limit while the tool is running."""
_MOST_REMOTE: Final = 8
"""The most responses in a row that only ran such tools."""

SAY_IT: Final = "The caller has heard nothing of your last answer: it had no sound. Say it now, aloud."
GO_ON: Final = (
    "Your last answer broke off in the middle of a sentence. Go on exactly where it broke off, without repeating what "
    "you have said and without mentioning it."
)


class Create(NamedTuple):
    """Send `response.create`, with these instructions beside the session's."""

    instructions: str


class RetryIn(NamedTuple):
    """Call `retry` after this many seconds."""

    seconds: float


class GiveUp(NamedTuple):
    """Report to the call that an answer is due and the server does not give one."""

    reason: str


Action = Create | RetryIn | GiveUp


class ResponseQueue:
    """The requests of one session, and its running responses."""

    def __init__(self, *, retries: int, retry_seconds: float) -> None:
        """`retries`: how often an answer that was not heard is requested again, first after `retry_seconds`."""
        self._retries, self._retry_seconds = retries, retry_seconds
        self._is_open = False
        self._running: dict[str, ResponseRequest | None] = {}
        """Running responses, each with its request; None: the server began the response by itself."""
        self._interrupted: Newest[str, bool] = Newest(_MOST_IDS)
        """Responses interrupted by the caller or cancelled by us, each with whether we have cancelled it."""
        self._over: Newest[str, None] = Newest(_MOST_IDS)
        """Responses that the server has ended."""
        self._given_up: Newest[str, ResponseRequest | None] = Newest(_MOST_IDS)
        """Responses whose ends are awaited no longer, each with its request."""
        self._may_go_on = ""
        """The response given up last, while nothing was asked for or heard that makes it outdated."""
        self._pending = ResponseRequest()
        self._sent: ResponseRequest | None = None
        """The request that was sent and whose response has not begun."""
        self._failed: ResponseRequest | None = None
        """The request to send again when its pause is over."""
        self._attempts = self._actives = self._remote = 0
        self._caller_speaks = self._turn_ends = False
        self._awaits = False
        """The caller has finished, and the server should begin the answer by itself."""
        self._calls: Newest[str, str] = Newest(_MOST_IDS)
        """Tool calls by id, each with its response."""
        self._unanswered: dict[str, set[str]] = {}
        """Tool calls without an answer, by response."""
        self._speak: frozenset[str] = frozenset()
        """Responses with a tool result that the model should speak about."""
        self._answered: Newest[str, None] = Newest(_MOST_IDS)
        """Tool calls that have an answer."""

    @property
    def running(self) -> list[str]:
        """Return the ids of the responses that run."""
        return list(self._running)

    @property
    def unnamed(self) -> str:
        """Return the response that an end without a name is about; "": it is not known."""
        found = list(self._running) or ([] if self.is_sent else list(self._given_up)[-1:])
        return found[0] if len(found) == 1 else ""

    def is_new(self, response: str) -> bool:
        """Return whether nothing was heard of this response yet, as far as is known."""
        return response not in self._running and response not in self._interrupted and not self.is_over(response)

    def is_done(self, response: str) -> bool:
        """Return whether the server has ended this response."""
        return response in self._over

    def is_over(self, response: str) -> bool:
        """Return whether the server has ended this response, or its end is awaited no longer."""
        return response in self._over or response in self._given_up

    @property
    def is_awaited(self) -> bool:
        """Return whether the server should begin a response by itself."""
        return self._awaits

    @property
    def is_sent(self) -> bool:
        """Return whether a request is unanswered."""
        return self._sent is not None

    def is_interrupted(self, response: str) -> bool:
        """Return whether the caller has interrupted this response, or we have cancelled it."""
        return response in self._interrupted

    # Requests of the call

    def open(self) -> list[Action]:
        """Send the requests that waited for the session to be configured."""
        self._is_open = True
        return self._next_request()

    def request_response(self, instructions: str = "", *, lasting: bool = False, whole: bool = False) -> list[Action]:
        """Request a response as soon as that is possible.

        `lasting`: the response is still wanted if the caller speaks before it begins; `whole`: see `ResponseRequest`.
        """
        if self._turn_ends and not instructions:
            self._pending.drop_outdated()
        request = ResponseRequest({instructions: lasting}, whole=whole) if instructions else ResponseRequest(plain=True)
        if self._sent is not None and self._sent.withdrawn is not None and self._sent.withdrawn.has(request):
            self._sent.add(request)  # its response has not begun, and will be what is wanted again
        else:
            self._pending.add(request)
        return self._next_request()

    def withdraw(self, heard: Collection[str]) -> dict[str, bool]:
        """Take back all requests of which nothing was heard. Returns their instructions, each with whether they last;
        "": an answer is wanted. `heard`: running responses of which something was."""
        back = ResponseRequest(after_tools=bool(self._speak))
        unheard = {name: asked for name, asked in self._running.items() if asked is not None and name not in heard}
        for request in (*unheard.values(), self._sent, self._failed, self._pending):
            back.add(request or ResponseRequest())
        self._running |= {response: ResponseRequest() for response in unheard}
        self._sent = None if self._sent is None else ResponseRequest(withdrawn=self._sent)
        self._failed, self._pending = None, ResponseRequest()
        self._speak = frozenset()
        return back.instructions | ({"": False} if back.plain or back.after_tools else {})

    def answered(self, call: str, *, speak: bool) -> tuple[bool, list[Action]]:
        """Note the answer of a tool call. Returns whether this is the first answer, which must be sent before the
        actions."""
        if call in self._answered:
            return False, []
        self._answered[call] = None
        response = self._calls.get(call, "")
        unanswered = self._unanswered.get(response, set())
        unanswered.discard(call)
        if speak:
            self._speak |= {response}
        if unanswered:
            return True, []
        self._unanswered.pop(response, None)
        if response in self._speak:
            self._speak -= {response}
            self._pending.add(ResponseRequest(after_tools=True))
        return True, self._next_request()

    def retry(self) -> list[Action]:
        """Handle the end of a pause of `RetryIn`."""
        failed, self._failed = self._failed, None
        if failed is not None:
            self._pending.add(failed)
        return self._next_request()

    def unanswered(self) -> list[Action]:
        """Stop waiting for a response that the server has not begun in time.

        If the server should have begun an answer by itself, the answer is requested.
        """
        if self._awaits:
            self._awaits = False
            if self._sent is None:
                self._pending.add(ResponseRequest(plain=True, instead=True))
        else:
            self._sent = None
        return self._next_request()

    def cancelled(self, response: str) -> bool:
        """Note that we cancel this response. Returns whether the server is to be told: not of one that it has ended, or
        that was cancelled before."""
        is_new = response not in self._over and not self._interrupted.get(response, False)
        self._interrupted[response] = True
        if self._may_go_on == response:
            self._may_go_on = ""
        return is_new

    # Events of the server

    def called(self, response: str, calls: list[str]) -> list[str]:
        """Note the ids of a response's complete tool calls. Returns the new ids."""
        new = [call for call in dict.fromkeys(calls) if call not in self._calls]
        for call in new:
            self._calls[call] = response
        unanswered = [call for call in new if call not in self._answered]
        if unanswered:
            self._unanswered.setdefault(response, set()).update(unanswered)
        return new

    def awaits_tools(self, response: str) -> bool:
        """Return whether tool calls of this response have no answer yet."""
        return bool(self._unanswered.get(response))

    def adopt(self, call: str) -> None:
        """Note a tool call of an earlier session that will be answered in this session."""
        if call not in self._calls:
            self._calls[call] = ""
            self._unanswered.setdefault("", set()).add(call)

    def created(self, response: str) -> None:
        """Handle the beginning of a response.

        The server does not name the requester: a response that begins while a request is unanswered counts as ours,
        until that request turns out to be refused.
        """
        self._awaits, self._may_go_on = False, ""
        self._actives = 0
        self._running[response], self._sent = self._sent, None
        if self._running[response] is None:  # begun by the caller's turn, so it knows all earlier tool results
            self._failed = None
            self._pending.drop_outdated()
            self._pending.after_tools = False

    def done(self, response: str, ending: ResponseEnding) -> list[Action]:
        """Handle the end of a response. An unknown response counts as the requested one, if there is a request."""
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
                self._failed = request if request is not None and not ending.sounds else ResponseRequest(plain=True)
                return [RetryIn(_REMOTE_RUNNING_SECONDS if ending.remote == "runs" else _REMOTE_SECONDS)]
        return self._again(_instead(request, ending), ending.code or ending.status)

    def ended(self, response: str) -> None:
        """Note that the server has ended a response: it neither begins nor ends again."""
        self._over[response] = None
        self._given_up.pop(response, None)

    def give_up(self, response: str, ending: ResponseEnding) -> list[Action]:
        """Take a response for ended whose end does not come."""
        request = self._running.get(response)
        was_heard = ending.is_whole and response not in self._interrupted
        actions = self.done(response, ending)
        self._given_up[response] = request
        self._may_go_on = response if was_heard and self._sent is None else ""
        return actions

    def goes_on(self, response: str) -> bool:
        """Handle a sign of life of a response. Returns whether it was given up and runs again: a response that others
        have followed, or the caller's words, does not."""
        if not response or response != self._may_go_on:
            return False
        self._may_go_on = ""
        self._running[response] = self._given_up.pop(response, None)
        return True

    def is_final(self, response: str, ending: ResponseEnding) -> bool:
        """Return whether `done` will request nothing in place of this response. Changes nothing."""
        return self._verdict(response, ending) in ("over", "give up")

    def _verdict(self, response: str, ending: ResponseEnding) -> Literal["over", "wait", "again", "give up"]:
        """Decide what follows from an ended response.

        over: request nothing, because the caller could hear the whole response, tools were called, or the response was
        interrupted; wait: the server may continue by itself.
        """
        if response in self._interrupted or ending.calls or ending.is_whole:
            return "over"
        if ending.waits_for_server and self._remote < _MOST_REMOTE:
            return "wait"
        return "give up" if self._is_final_failure(ending.code) else "again"

    def _settle(self, response: str, request: ResponseRequest | None, ending: ResponseEnding) -> None:
        interrupted = response in self._interrupted
        self._interrupted.pop(response, None)
        if ending.is_whole:
            self._attempts = self._remote = 0
        elif request is not None and interrupted and not ending.sounds:
            request.drop_outdated()  # the caller heard none of it: lasting instructions are still wanted
            self._pending.add(request)
        elif request is not None and ending.calls and request.whole:
            self._pending.add(request)  # requested first, whatever the tools return

    def remote_tool_done(self) -> list[Action]:
        """Handle the end of a tool that the server runs: if the server does not continue in a moment, the continuation
        is requested."""
        return [RetryIn(_REMOTE_SECONDS)] if self._failed is not None and self._remote else []

    def response_active(self) -> list[Action]:
        """Handle the refusal of a request because a response is active: the request waits for the end of that
        response. One in place of the server's own answer does not: this response is that answer, which was late."""
        sent, self._sent = self._sent, None
        for response, request in self._running.items() if sent is None else ():
            if request is not None:
                sent, self._running[response] = request, None
                break
        if sent is None or (sent.instead and self._running):
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
        """Handle the refusal of a request for another reason."""
        sent, self._sent = self._sent, None
        return self._next_request() if sent is None else self._again(sent, code)

    def caller_speaks(self, *, interrupts: bool, answers: bool) -> None:
        """Note that the caller speaks: no response is requested until the caller has finished, and earlier requests are
        outdated.

        `interrupts`: the server stops the running response; `answers`: the server will begin the next response by
        itself.
        """
        self._caller_speaks, self._awaits, self._turn_ends, self._may_go_on = True, False, False, ""
        if interrupts:
            for response in self._running:
                if response not in self._interrupted:
                    self._interrupted[response] = False
        if answers:
            self._failed = None
            self._attempts = self._remote = 0
            self._pending.drop_outdated()

    def caller_stopped(self, *, answers: bool) -> None:
        """Note that the caller has finished. Next the call learns it, and may request the answer; then `turn_over` is
        called."""
        self._caller_speaks, self._awaits, self._turn_ends = False, answers, True

    def turn_over(self) -> list[Action]:
        """Continue after the call has learned that the caller has finished."""
        self._turn_ends = False
        return self._next_request()

    # Decisions

    def _again(self, request: ResponseRequest, code: str) -> list[Action]:
        if not request:
            return self._next_request()  # it was withdrawn
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
        self._sent, self._pending, self._may_go_on = self._pending, ResponseRequest(), ""
        return [Create("\n\n".join(self._sent.instructions))]


def _instead(request: ResponseRequest | None, ending: ResponseEnding) -> ResponseRequest:
    """Return the request that replaces a response that was not heard in full."""
    request = request or ResponseRequest(plain=True)
    if ending.breaks_off and not request.whole:
        return ResponseRequest({GO_ON: False})
    if ending.sounds and not ending.breaks_off:
        return ResponseRequest(plain=True)  # a tool call at its end promises more
    if ending.texts and not request.instructions and not ending.sounds:
        return ResponseRequest({SAY_IT: False})
    return request
