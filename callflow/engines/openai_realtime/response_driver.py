"""Turns and responses of one session: carries out the decisions of the response queue, and reports the results to the
call.

The rules are pure and are in `response_queue.py` (when to request a response) and `response_endings.py` (how a response
ended). This module has the events, the timers and the sending.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from callflow.contracts.engine import (
    AudioDelta,
    AudioDone,
    McpApproval,
    ResponseDone,
    ResponseFailed,
    ResponseStarted,
    SessionLost,
    SpeechStopped,
    ToolCalls,
    Usage,
)
from callflow.contracts.tools import ToolCall
from callflow.engines import model_catalog
from callflow.engines.common.channel import Channel
from callflow.engines.openai_realtime import server_events
from callflow.engines.openai_realtime.hosted_tools import HostedTools
from callflow.engines.openai_realtime.response_endings import ResponseEndings, approval_answer_id, approval_request
from callflow.engines.openai_realtime.response_queue import Action, Create, GiveUp, ResponseQueue, RetryIn
from callflow.engines.openai_realtime.server_events import ServerEvent
from callflow.engines.openai_realtime.session import Session


CREATE: Final = "create-"
"""Prefix of the event ids of our `response.create`."""
_APPROVALS: Final = 256
_START_SECONDS: Final = 5.0
"""How long the server may take to begin a requested response; then other requests no longer wait for it."""
_OWN_START_SECONDS: Final = 1.5
"""How long the server may take to begin the answer to the caller's turn by itself; then the answer is requested."""
_DONE_SECONDS: Final = 2.0
"""How long the server may tell nothing of a response whose audio is complete; then nothing waits for its end."""


_SPEECH: Final = bytes(320)
"""µ-law that is no silence, in place of speech that does not come here."""


class ResponseDriver:
    """Requests, follows and ends the responses of one session."""

    def __init__(self, session: Session, channel: Channel) -> None:
        config = session.config
        self.queue = ResponseQueue(retries=config.response_retries, retry_seconds=config.response_retry_seconds)
        self.caller_speaks = False
        """The caller speaks, according to the server's turn detection."""
        self._session, self._channel = session, channel
        self.hosted = HostedTools(channel)
        self._endings = ResponseEndings()
        self._requests = 0
        self._calls: dict[str, list[ToolCall]] = {}
        """Complete tool calls of running responses, by response."""
        self._approved: list[str] = []
        """Ids of approval requests that were answered."""
        self._awaits_done: frozenset[str] = frozenset()
        """Responses whose audio is complete, and for whose ends a timer runs."""

    # Requests

    def begin(self) -> None:
        """Send the requests that waited for the session to be ready."""
        self.act(self.queue.open())

    def request(self, instructions: str = "", *, lasting: bool = False, whole: bool = False) -> None:
        """See `callflow.contracts.engine.Engine.request_response`."""
        self.act(self.queue.request_response(instructions, lasting=lasting, whole=whole))

    def withdraw(self) -> dict[str, bool]:
        """See `callflow.contracts.engine.Engine.withdraw`."""
        return self.queue.withdraw([response for response in self.queue.running if self._endings.sounds(response)])

    def answer_tool(self, call: str, output: str, *, speak: bool) -> None:
        """Send the result of a tool call, unless a result was sent before.

        Vendor: https://platform.openai.com/docs/api-reference/realtime-client-events/conversation/item/create
        """
        is_new, actions = self.queue.answered(call, speak=speak)
        if is_new:
            item = {"type": "function_call_output", "call_id": call, "output": output}
            self._channel.send({"type": "conversation.item.create", "item": item})
        self.act(actions)

    def cancel(self, response: str) -> None:
        """Stop a response.

        Vendor: https://platform.openai.com/docs/api-reference/realtime-client-events/response/cancel
        """
        if self.queue.cancelled(response):
            self._channel.send({"type": "response.cancel", "response_id": response})

    def act(self, actions: Sequence[Action]) -> None:
        """Carry out what the queue has decided.

        Vendor: https://platform.openai.com/docs/api-reference/realtime-client-events/response/create
        """
        for action in actions if not self._channel.is_over else ():
            match action:
                case Create(instructions=instructions):
                    self._requests += 1
                    request: dict[str, Any] = {"type": "response.create", "event_id": f"{CREATE}{self._requests}"}
                    if instructions:  # instructions of a response replace the session's, so send both
                        both = f"{self._session.config.instructions}\n\n{instructions}".strip()
                        request["response"] = {"instructions": both}
                    self._channel.send(request)
                    self._channel.start_timer("start", _START_SECONDS, self._not_started)
                case RetryIn(seconds=seconds):
                    self._channel.start_timer("retry", seconds, lambda: self.act(self.queue.retry()))
                case GiveUp(reason=reason):
                    self._channel.notify(ResponseFailed(reason))

    def _not_started(self) -> None:
        self.act(self.queue.unanswered())
        if self.queue.is_sent:
            self._channel.start_timer("start", _START_SECONDS, self._not_started)

    # Turns

    def speech_started(self) -> None:
        """Handle the server's report that the caller has begun to speak."""
        self.caller_speaks = True
        self._caller_has_turn()

    def turn_detection_resumed(self) -> None:
        """Handle the restart of turn detection: a caller who is speaking now has the turn."""
        if self.caller_speaks:
            self._caller_has_turn()

    def _caller_has_turn(self) -> None:
        if not self._session.turn_detection:
            return  # the caller cannot take the turn, so nothing waits for them
        can = self._session.can
        self.queue.caller_speaks(interrupts="interrupts_itself" in can, answers="answers_itself" in can)
        if not self.queue.is_sent:
            self._channel.stop_timer("start")

    def speech_stopped(self, ago_ms: float | None) -> None:
        """Handle the server's report that the caller has stopped. `ago_ms`: ms of audio after the last word; None:
        unknown."""
        spoke, self.caller_speaks = self.caller_speaks, False
        if self._session.turn_detection:
            # Of a turn whose end was known before, the answer has begun, or been asked for.
            self.queue.caller_stopped(answers=spoke and "answers_itself" in self._session.can)
        self._channel.notify(SpeechStopped(ago_ms))
        if self._session.turn_detection:
            self.act(self.queue.turn_over())
            if self.queue.is_awaited:
                self._channel.start_timer("start", _OWN_START_SECONDS, self._not_started)

    def finish_turn(self) -> None:
        """Commit the audio and request the answer, because the server has missed the end of the caller's turn.

        Vendor: https://platform.openai.com/docs/api-reference/realtime-client-events/input_audio_buffer/commit
        """
        self._channel.send({"type": "input_audio_buffer.commit"})
        self.caller_speaks = False
        self.queue.caller_stopped(answers=False)
        self.act(self.queue.request_response())
        self.act(self.queue.turn_over())

    # Responses

    def created(self, event: ServerEvent) -> None:
        """Handle the beginning of a response. Raises Malformed.

        Vendor: https://platform.openai.com/docs/api-reference/realtime-server-events/response/created
        """
        started = server_events.read(event)
        if not isinstance(started, ResponseStarted) or self.queue.is_over(started.response):
            return
        self._begin(started)

    def _begin(self, started: ResponseStarted) -> None:
        """Let the queue and the call know of a response that runs."""
        if self.caller_speaks and self._session.turn_detection and not self.queue.is_sent:
            self.speech_stopped(None)  # the server answers without having reported the end of speech
        self.queue.created(started.response)
        if self._channel.is_over:
            self._channel.send({"type": "response.cancel", "response_id": started.response}, after_end=True)
        self._channel.stop_timer("start")
        self._channel.notify(started)

    def played(self, audio: AudioDelta) -> bool:
        """Pass on a piece of a response's audio, as µ-law. Returns False if more of it must come here, too."""
        response = audio.response
        if response in self._awaits_done:
            self._stop_awaiting_done(response)
        if self.queue.is_awaited:
            self._is_there(response)
        is_late = self.queue.is_over(response) and not self._goes_on(response)
        if is_late:  # nothing ends it any more
            done = AudioDone(response, audio.item, audio.content)
            self._channel.start_timer(f"late {response}", _DONE_SECONDS, lambda: self._channel.notify(done))
        is_settled = False
        if not self.queue.is_interrupted(response):  # the caller does not hear later audio
            is_settled = self._endings.add_audio(response, audio.item, audio.audio)
        self._channel.notify(audio)
        return is_settled and not is_late

    def _is_there(self, response: str) -> None:
        """Take a response as begun of which the server has not said so, while it should begin an answer by itself."""
        if response and self.queue.is_new(response):
            self._begin(ResponseStarted(response))

    def _goes_on(self, response: str) -> bool:
        """Let a response run again that was given up too early. Returns whether it was one."""
        goes_on = self.queue.goes_on(response)
        if goes_on:
            self._channel.notify(ResponseStarted(response))
        return goes_on

    def heard_of(self, response: str) -> None:
        """Note an event of a response, other than audio: its end is still to come, however long a tool's arguments
        take."""
        if response in self._awaits_done or self._goes_on(response):
            self._await_done(response)

    def words(self, response: str, item: str) -> None:
        """Note that text of the model has come."""
        self._endings.add_words(response, item)

    def spoke(self, response: str, item: str) -> None:
        """Note speech of the model that is played without us."""
        self._endings.add_audio(response, item, _SPEECH)

    def audio_done(self, event: AudioDone) -> None:
        """Handle the end of the audio of one content part.

        Vendor: https://platform.openai.com/docs/api-reference/realtime-server-events/response/output_audio/done
        """
        self._channel.notify(event)
        if event.response and not self.queue.is_over(event.response):
            self._await_done(event.response)

    def item_done(self, event: ServerEvent) -> None:
        """Handle a complete item of a response.

        Vendor: https://platform.openai.com/docs/api-reference/realtime-server-events/response/output_item/done
        """
        response = event.response_id or ""
        self._endings.add_item(response, event.item)
        self._answer_approvals([event.item])
        self.hosted.item(event.item)
        calls = self._tool_calls([event.item])
        if calls and response:
            self._calls.setdefault(response, []).extend(calls)

    def done(self, event: ServerEvent) -> None:
        """Handle the end of a response. Raises Malformed.

        Vendor: https://platform.openai.com/docs/api-reference/realtime-server-events/response/done
        """
        done = server_events.read(event)
        if isinstance(done, SessionLost):
            self._channel.give_up(done.reason, retry=done.retry)
        if not isinstance(done, ResponseDone):
            return
        if not done.response:
            done = done._replace(response=self.queue.unnamed)
        if self.queue.is_done(done.response):
            return
        if self.queue.is_awaited:
            self._is_there(done.response)
        self._stop_awaiting_done(done.response)
        was_told = self.queue.is_over(done.response)
        is_outdated = was_told and not self.queue.goes_on(done.response)
        if done.response:
            self.queue.ended(done.response)
        done = done._replace(detail=self._channel.secrets.safe_text(done.detail))
        response = server_events.response_of(event)
        output = response.get("output")
        self._answer_approvals(output)
        for item in output if isinstance(output, list) else ():
            self.hosted.item(item)
        calls = [*self._calls.pop(done.response, []), *self._tool_calls(output)]
        self.report_usage(self._session.config.model, response.get("usage"))
        if is_outdated:  # it was taken for ended, and the conversation has gone on since
            self._endings.forget(done.response)
            self._tell(ToolCalls(done.response, self._new(done.response, calls)))
        else:
            self._end(done, output, calls, was_told=was_told)

    def request_refused(self, code: str) -> None:
        """Handle the refusal of a `response.create` for its own sake."""
        self._channel.stop_timer("start")
        self.act(self.queue.request_failed(code))

    def response_active(self) -> None:
        """Handle the refusal of a `response.create` because a response is active already."""
        self._channel.stop_timer("start")
        self.act(self.queue.response_active())

    def remote_tool_done(self) -> None:
        """Handle the end of a tool that the server runs.

        Vendor: https://platform.openai.com/docs/api-reference/realtime-server-events/response/mcp_call/completed
        """
        self.act(self.queue.remote_tool_done())

    def report_usage(self, model: str, usage: Any) -> None:
        """Report the usage of a response or transcription, and its cost, to the call."""
        used = model_catalog.read_usage(usage)
        if used:
            self._channel.notify(Usage(model, used, model_catalog.cost(model, used)))

    def _await_done(self, response: str) -> None:
        self._awaits_done |= {response}
        self._channel.start_timer(f"done {response}", _DONE_SECONDS, lambda: self._not_done(response))

    def _stop_awaiting_done(self, response: str) -> None:
        self._awaits_done -= {response}
        self._channel.stop_timer(f"done {response}")

    def _not_done(self, response: str) -> None:
        """Stop waiting for the end of a response whose audio is complete."""
        self._awaits_done -= {response}
        if response in self.queue.running:
            self._end(ResponseDone(response, "completed"), None, self._calls.pop(response, []), is_known=False)

    def _end(
        self,
        done: ResponseDone,
        output: Any,
        calls: Sequence[ToolCall],
        *,
        is_known: bool = True,
        was_told: bool = False,
    ) -> None:
        """End a response. Not `is_known`: the server has not said so, and may still do it. `was_told`: the call has
        been told of an end, and hears of this one only if the answer is still owed."""
        response, queue = done.response, self.queue
        new = self._new(response, calls)
        awaits_tools = queue.awaits_tools(response)
        ending, items = self._endings.end(
            response, done.status, done.detail, output, calls=awaits_tools, keep=not is_known
        )
        final = queue.is_final(response, ending)
        if not (was_told and final):
            told = done._replace(final=final, answered=ending.is_whole, sounds=ending.sounds, items=items)
            self._channel.notify(told)
        self._tell(ToolCalls(response, new))
        self.act(queue.done(response, ending) if is_known else queue.give_up(response, ending))

    # Tools

    def _answer_approvals(self, items: Any) -> None:
        """Answer the server's requests for approval of tools that the server runs.

        Vendor: https://platform.openai.com/docs/api-reference/realtime-client-events/conversation/item/create
        """
        for item in items if isinstance(items, list) else ():
            request = approval_request(item)
            if request is None or request.id in self._approved:
                continue
            self._approved.append(request.id)
            del self._approved[:-_APPROVALS]
            approved = self._session.config.mcp_approval == "approve"
            answer = {
                "id": approval_answer_id(request.id),
                "type": "mcp_approval_response",
                "approval_request_id": request.id,
                "approve": approved,
            }
            if not approved:
                answer["reason"] = "This line does not allow it."
            self._channel.send({"type": "conversation.item.create", "item": answer})
            self._channel.notify(McpApproval(request.server, request.tool, approved))

    def _new(self, response: str, calls: Sequence[ToolCall]) -> tuple[ToolCall, ...]:
        """Note the complete tool calls of a response. Returns those that were not known."""
        by_id = {call.id: call for call in calls}
        return tuple(by_id[name] for name in self.queue.called(response, list(by_id)))

    def _tell(self, called: ToolCalls) -> None:
        if called.calls:
            self._channel.notify(called)

    def _tool_calls(self, items: Any) -> list[ToolCall]:
        if server_events.has_nameless_calls(items):
            self._channel.report("tool_call", "a tool was called without an id or a name that can be answered")
        return server_events.tool_calls(items)
