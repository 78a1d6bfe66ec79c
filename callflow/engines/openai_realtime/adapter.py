"""OpenAI Realtime over a WebSocket: a thin client of the GA interface.

    connecting -> configuring -> ready -> closed

Caller audio is held back in one queue until `session.updated` has confirmed our formats: audio that arrives before is
answered under the server's defaults, in another codec, and locks the voice. `session.created` needs no answer; the
update goes out as soon as the socket is open.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from callflow.contracts import addresses, remote_tools
from callflow.contracts.engine import (
    AudioDelta,
    AudioDone,
    ContextItem,
    EngineCan,
    EngineListener,
    ErrorReported,
    ItemAdded,
    McpApproval,
    ResponseDone,
    ResponseFailed,
    ResponseStarted,
    SessionContext,
    SessionExpiring,
    SessionLost,
    SessionReady,
    SpeechStarted,
    SpeechStopped,
    ToolCalls,
    Transcript,
    Usage,
)
from callflow.contracts.errors import EngineError, Malformed
from callflow.contracts.secret_text import NOT_SHOWN, Secrets
from callflow.contracts.tools import ToolCall
from callflow.engines import model_catalog
from callflow.engines.openai_realtime import audio_format, server_events, session_config, session_refusal
from callflow.engines.openai_realtime import event_summary as shown
from callflow.engines.openai_realtime.account import Account, open_socket
from callflow.engines.openai_realtime.connection import CLOSE_SECONDS
from callflow.engines.openai_realtime.response_endings import Endings, asked
from callflow.engines.openai_realtime.response_queue import Action, Create, GiveUp, Responses, RetryIn
from callflow.engines.openai_realtime.server_events import ServerEvent
from callflow.engines.openai_realtime.session_config import RealtimeConfig
from callflow.media.socket_writer import SocketWriter


log = logging.getLogger(__name__)

_APPROVALS: Final = 256
_APPEND: Final = '{"type":"input_audio_buffer.append","audio":"'
_CREATE: Final = "create-"
_FULL, _MINIMAL, _BARE = "session-full", "session-minimal", "session-bare"
"""What is asked for at first; with `#` and a number: again, without what was refused."""
_LATER, _FORMATS = "session-later", "session-formats"
_REMEMBERED: Final = "told_"
"""How the ids of items begin that we put into the conversation: nobody says them now."""
_BEGUN_SECONDS: Final = 5.0
"""How long the server may take to begin a response that it was asked for, until others need not wait for it."""
_AWAITED_SECONDS: Final = 1.5
"""How long it may take to begin the answer to the caller's turn by itself, until it is asked for it."""
_ENDED_SECONDS: Final = 2.0
"""After the last sound of a response has come, how long the server may take to say that it has ended."""
_FORMATS_SECONDS: Final = 3.0
"""How long the caller's audio waits for the server to confirm another format."""
_MOST_SHOWN: Final = 600
"""Characters of an event in the log."""
_TURN_SECONDS: Final = 0.002
"""How long the events of one session may be taken without a pause."""
_LEAST_EXPIRING: Final = 0.1
"""Seconds; a session that is nearly over when it begins is left as soon as that."""


class OpenAIRealtime:
    def __init__(
        self, config: RealtimeConfig, brief: SessionContext, hear: EngineListener, account: Account | None = None
    ) -> None:
        """`account`: that of all calls; None: this session is alone."""
        self._config, self._brief, self._hear = config, brief, hear
        self._account = account or Account()
        self._call = brief.call
        keys = (key for tool in brief.tools for key in remote_tools.keys_of(tool))
        self._secrets = Secrets([config.api_key, *addresses.secrets_in(config.url), *keys])
        """What the server may repeat in an error."""
        self._socket: ClientConnection | None = None
        self._writer: SocketWriter | None = None
        self._shows = log.isEnabledFor(logging.DEBUG)
        """Every event, in a few words, but for the audio."""
        self._ready = self._closed = self._spoken = False
        self._over = False
        """So is the call: nothing more is sent, but that what begins by itself is to stop."""
        self._transcribes = False
        self._idle_item: str | None = None
        """The turn that the server made up because the caller said nothing."""
        self._takes_turns = brief.turn_detection
        self._left_out: tuple[session_refusal.Path, ...] = ()
        """What the server refuses of a session: none of our updates has it."""
        self._asked: dict[str, Any] = {}
        """The session as it was asked for last, whole or minimal."""
        self._tries = 0
        self._updates: deque[tuple[str, RealtimeConfig]] = deque()
        """Session updates that the server has not confirmed yet, and what held before each."""
        self._held: deque[str] = deque()
        self._held_bytes = 0
        self._most_held = int(config.buffer_seconds * 8000)
        self._told: list[ContextItem | ToolCall] = []
        self._remembered = 0
        self._later: list[Callable[[], None]] = []
        """Answers of tools that came before the session was ready for them."""
        self._lost: asyncio.Future[SessionLost] | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._requests = 0
        self._responses = Responses(retries=config.response_retries, retry_seconds=config.response_retry_seconds)
        self._calls: dict[str, list[ToolCall]] = {}
        self._endings = Endings()
        self._approved: deque[str] = deque(maxlen=_APPROVALS)
        """The questions of the server that were answered."""
        self._caller_speaks = False
        """By the server's own turn detection."""
        self._wanted = config.engine_audio
        self._sounds_like = {"input": config.engine_audio, "output": config.engine_audio}
        """What the server has confirmed."""
        self._proved = ""
        """What the server's audio has turned out to be since it confirmed a format."""
        self._settling = False
        """Other formats were asked for, and which of them the server takes our audio for is not known."""
        self._up: audio_format.FromTelephone | None = None
        self._down: dict[tuple[str, int], audio_format.ToTelephone] = {}
        self._expires_at: float | None = None
        self._appended = 0
        """Bytes of the caller's audio that this session was given, as µ-law."""
        self.counts: Counter[str] = Counter()
        """Events received by type, under `malformed` those that could not be read, and benign errors by their code."""

    @property
    def can(self) -> frozenset[EngineCan]:
        can: set[EngineCan] = {"truncates", "cancels", "calls_tools", "updates"}
        if self._takes_turns and self._config.interrupts_itself:
            can.add("interrupts_itself")
        if self._takes_turns and self._config.answers_itself:
            can.add("answers_itself")
        if self._transcribes:
            can.add("transcribes")
        return frozenset(can)

    # What the rooms above ask for

    async def run(self) -> None:
        if self._closed:
            return
        self._lost = asyncio.get_running_loop().create_future()
        opening = open_socket(self._config, self._call, self._account, arrives=self._brief.session == 1)
        connecting = asyncio.create_task(opening, name=f"engine-connect {self._call}")
        lost: SessionLost | None = None
        try:
            ends: set[asyncio.Future[Any]] = {connecting, self._lost}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            lost = self._lost.result() if self._lost.done() else await self._converse(await connecting)
        except EngineError as error:
            lost = SessionLost(self._secrets.told(str(error)), retry=error.retry)
        finally:
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)
            if connecting.done() and not connecting.cancelled() and connecting.exception() is None:
                self._socket = self._socket or connecting.result()
            tell = not self._closed
            await self.close()
            if tell and lost is not None:
                self._hear(lost)

    def append(self, payload: str) -> None:
        if self._over:
            return
        size = len(payload) // 4 * 3 - payload.count("=", -2)
        if self._ready and self._writer is not None and not self._settling:
            self._appended += size
            if self._up is not None:
                payload = self._up.feed(payload)
            if payload:  # the resampler keeps some of it
                self._writer.put(f'{_APPEND}{payload}"}}', size)
        elif not self._closed:
            self._held.append(payload)
            self._held_bytes += size
            if self._held_bytes > self._most_held:
                self._give_up(f"caller audio has waited {self._config.buffer_seconds:g} s for it")

    def add_context(self, items: Sequence[ContextItem | ToolCall]) -> None:
        if not self._ready:
            self._told += items
            return
        for item in items:
            if isinstance(item, ToolCall):
                self._responses.adopt(item.id)
            self._remembered += 1
            name = f"{_REMEMBERED}{self._remembered}"
            self._send({"type": "conversation.item.create", "item": {"id": name, **_item(item)}})

    def request_response(self, instructions: str = "", *, lasting: bool = False, whole: bool = False) -> None:
        self._act(self._responses.request_response(instructions, lasting=lasting, whole=whole))

    def finish_turn(self) -> None:
        if self._ready:
            self._settle(late=True)  # what still waits for a change of format belongs to this turn
            self._send({"type": "input_audio_buffer.commit"})
            self._caller_speaks = False
            self._responses.caller_stopped(answers=False)
            self._act(self._responses.request_response())
            self._act(self._responses.turn_over())

    def answer_tool(self, call: str, output: str, *, speak: bool = True) -> None:
        if not self._ready:
            self._later.append(lambda: self.answer_tool(call, output, speak=speak))
            return
        is_new, actions = self._responses.answered(call, speak=speak)
        if is_new:
            item = {"type": "function_call_output", "call_id": call, "output": output}
            self._send({"type": "conversation.item.create", "item": item})
        self._act(actions)

    def truncate(self, item: str, content: int, heard_ms: int) -> None:
        self._send(
            {"type": "conversation.item.truncate", "item_id": item, "content_index": content, "audio_end_ms": heard_ms}
        )

    def cancel(self, response: str) -> None:
        self._responses.cancelled(response)
        self._send({"type": "response.cancel", "response_id": response})

    def set_turn_detection(self, on: bool) -> None:
        if on and not self._takes_turns and self._caller_speaks:
            self._takes_turns = on
            self._hold_the_floor()
        self._takes_turns = on
        if self._ready:
            self._update(_LATER, session_config.turns(self._config, on))

    def wind_up(self, *, speaking: bool) -> None:
        if self._over:
            return
        for response in self._responses.running:
            self.cancel(response)
        if speaking:
            self._send({"type": "input_audio_buffer.commit"})  # this begins no response
        if self.can & {"answers_itself", "interrupts_itself"}:
            self._update(_LATER, session_config.turns(self._config, False))
        self._over = True
        for name in list(self._timers):
            self._stop(name)

    def update(self, changes: Mapping[str, Any]) -> list[str]:
        brief = self._present_brief
        partial, config, left_out = session_config.changed(self._config, brief, changes, spoken=self._spoken)
        before, self._config = self._config, config
        if len(partial) > 1 and self._ready:
            self._update(_LATER, partial, before)
        return left_out

    async def close(self) -> None:
        self._closed = True
        self._give_up("closed")
        self._held.clear()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        socket, self._socket, self._writer = self._socket, None, None
        if socket is not None:
            try:
                async with asyncio.timeout(CLOSE_SECONDS):
                    await socket.close()
            except TimeoutError:
                socket.transport.abort()

    # Conversing

    async def _converse(self, socket: ClientConnection) -> SessionLost:
        """Why it ended. Raises EngineError."""
        self._socket = socket
        self._writer = SocketWriter(
            socket.send, self._give_up, seconds=self._config.write_seconds, limit=self._most_held + 8000, messages=5000
        )
        self._ask_for_session()
        assert self._lost is not None
        listening = asyncio.create_task(self._listen(socket), name=f"engine-in {self._call}")
        writing = asyncio.create_task(self._writer.run(), name=f"engine-out {self._call}")
        try:
            ends: set[asyncio.Future[Any]] = {listening, writing, self._lost}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if self._lost.done():
                return self._lost.result()
            for task in (listening, writing):
                if task.done() and (error := task.exception()) is not None:
                    raise EngineError(f"the engine broke off: {error}") from error
            raise EngineError("the engine closed the connection")
        finally:
            for task in (listening, writing):
                task.cancel()
            await asyncio.gather(listening, writing, return_exceptions=True)

    @property
    def _present_brief(self) -> SessionContext:
        brief = self._brief
        return SessionContext(brief.call, brief.session, brief.tools, turn_detection=self._takes_turns)

    async def _listen(self, socket: ClientConnection) -> None:
        decode, clock = server_events.decode, asyncio.get_running_loop().time
        turn_ends = 0.0
        while True:
            try:
                message = await socket.recv(decode=False)
            except ConnectionClosed as closed:
                raise EngineError(f"the engine closed the connection: {closed}") from None
            if clock() > turn_ends:  # events that wait already are taken without a pause: the other calls want theirs
                await asyncio.sleep(0)
                turn_ends = clock() + _TURN_SECONDS
            try:
                event = decode(message)
                if self._shows:
                    told = self._secrets.told(shown.in_short(event))[:_MOST_SHOWN]
                    log.debug("call %s: engine %d: %s", self._call, self._brief.session, told)
                self.counts[event.type if len(self.counts) < 200 else "more"] += 1
                self._take(event)
            except Malformed as error:
                self.counts["malformed"] += 1
                if self._shows:
                    log.debug("call %s: engine %d: cannot be read: %s", self._call, self._brief.session, error)

    def _take(self, event: ServerEvent) -> None:
        match event.type:
            case "session.created":
                self._note_expiry(event)
            case "session.updated":
                self._confirmed(event)
            case "error":
                self._complained(event)
            case "response.created":
                self._response_began(event)
            case "response.done":
                self._let_out(server_events.response_of(event).get("id"))
                self._response_ended(event)
            case "response.output_item.done":
                self._item_done(event)
            case "input_audio_buffer.speech_started":
                self._caller_speaks = True
                self._hold_the_floor()
                self._hear(SpeechStarted())
            case "input_audio_buffer.speech_stopped":
                self._caller_stopped(self._ago(event))
            case "input_audio_buffer.committed":
                if self._caller_speaks:  # it has not said that they stopped, and takes it for granted
                    self._caller_stopped(None)
            case "input_audio_buffer.timeout_triggered":
                self._idle_item = event.item_id
            case "response.mcp_call.completed" | "response.mcp_call.failed":
                self._act(self._responses.remote_done())
            case _:
                self._take_words(event)

    def _take_words(self, event: ServerEvent) -> None:
        heard = server_events.read(event)
        match heard:
            case None:
                return
            case AudioDelta():
                self._say(heard)
                return
            case AudioDone():
                self._said(heard)
                return
            case ItemAdded(item=item) if item.startswith(_REMEMBERED) or item == self._idle_item:
                return
            case Transcript(who="agent", item=item):
                self._endings.words(event.response_id or "", item)
        if event.usage is not None:
            self._bill(self._config.transcription_model, event.usage)
        self._hear(heard)

    # Turns

    def _hold_the_floor(self) -> None:
        """The caller speaks; where they may not take the turn, nothing waits for them."""
        if self._takes_turns:
            can = self.can
            self._responses.caller_speaks(interrupts="interrupts_itself" in can, answers="answers_itself" in can)
            if not self._responses.is_sent:
                self._stop("begun")

    def _caller_stopped(self, ago_ms: float | None) -> None:
        self._caller_speaks = False
        if self._takes_turns:
            self._responses.caller_stopped(answers="answers_itself" in self.can)
        self._hear(SpeechStopped(ago_ms))
        if self._takes_turns:
            self._act(self._responses.turn_over())
            if self._responses.is_awaited:
                self._start("begun", _AWAITED_SECONDS, self._not_begun)

    def _not_begun(self) -> None:
        self._act(self._responses.unanswered())
        if self._responses.is_sent:
            self._start("begun", _BEGUN_SECONDS, self._not_begun)

    # The session

    def _update(self, which: str, session: dict[str, Any], before: RealtimeConfig | None = None) -> None:
        session = session_refusal.without(session, self._left_out)
        heard = session.get("audio", {}).get("input", {})
        if not which.startswith((_LATER, _FORMATS)):
            self._asked = session
            self._transcribes = bool(heard.get("transcription"))
        elif "transcription" in heard:
            self._transcribes = bool(heard["transcription"])
        self._updates.append((which, before or self._config))
        self._send({"type": "session.update", "event_id": which, "session": session})

    @property
    def _asked_of(self) -> str:
        return f"{self._config.model} {self._config.url} {self._config.api_key}"

    def _ask_for_session(self) -> None:
        full = session_config.session(self._config, self._present_brief)
        self._left_out = self._account.left_out.recall(self._asked_of, full, time.monotonic())
        for path in self._left_out:
            self._hear(ErrorReported("left_out", f"{session_refusal.shown(path)} was refused before and is left out"))
        self._update(_FULL, full)

    def _confirmed(self, event: ServerEvent) -> None:
        if self._updates:
            self._updates.popleft()
        if self._writer is None:
            return
        self._note_expiry(event)
        self._compare_formats(event)
        if self._ready:
            self._settle()
            return
        self._ready = True
        full = session_config.session(self._config, self._present_brief)
        self._account.left_out.keep(self._asked_of, full, self._left_out, time.monotonic())
        told, self._told = self._told, []
        self.add_context(told)
        self._hear(SessionReady())
        later, self._later = self._later, []
        for act in later:
            act()
        self._act(self._responses.open())
        self._settle()
        self._arm_expiry()

    def _complained(self, event: ServerEvent) -> None:
        code, message, about = server_events.error_of(event)
        if self._secrets.within(str(event.error)):  # all of it: what is cut off in the middle of a key is found no more
            code, message = self._secrets.told(code), NOT_SHOWN
        if server_events.is_benign(code, message):
            self.counts[f"benign:{code}"] += 1
            self._hear(ErrorReported(code, message[:300]))
            if code == server_events.ACTIVE_RESPONSE:
                self._stop("begun")
                self._act(self._responses.refused())
            return
        heard = server_events.read(event)
        if isinstance(heard, SessionLost):
            self._give_up(f"{code}: {message}"[:300], retry=heard.retry)
        elif self._updates and about in ("", self._updates[0][0]):
            self._refused(code, message, event.error.get("param") if isinstance(event.error, dict) else None)
        else:
            self._hear(ErrorReported(code, message[:300]))
            if about.startswith(_CREATE) or (not about and self._responses.is_sent):
                self._stop("begun")
                self._act(self._responses.turned_down(code))

    def _refused(self, code: str, message: str, param: Any) -> None:
        """A session update is lost as a whole. The first one: ask for less. A later one: nothing has changed."""
        which, before = self._updates.popleft()
        if self._ready or which.startswith((_LATER, _FORMATS)):
            self._hear(ErrorReported(code, message[:300]))
            self._config = before
            self._settle()
            return
        self._tries += 1
        path = session_refusal.culprit(self._asked, param, message)
        stage = which.rpartition("#")[0] or which
        minimal = session_config.minimal_session(self._config, self._present_brief)
        bare = session_refusal.functions_only(minimal)
        if path is not None and path not in self._left_out and self._tries < session_refusal.MOST_TRIES:
            what = session_refusal.shown(path)
            self._left_out = (*self._left_out, path)
            self._hear(ErrorReported(code, f"{message[:200]} {what} is left out"[:300]))
            self._account.say_left_out(what, message[:300])
            full = session_config.session(self._config, self._present_brief)
            self._update(f"{stage}#{self._tries}", {_FULL: full, _MINIMAL: minimal, _BARE: bare}[stage])
        elif stage == _FULL or (stage == _MINIMAL and bare != minimal):
            self._hear(ErrorReported(code, message[:300]))
            what = f"{code}: {message}"[:300]
            log.warning("call %s: the engine refused the session, asking for less: %s", self._call, what)
            self._update(*((_MINIMAL, minimal) if stage == _FULL else (_BARE, bare)))
        else:
            self._give_up(f"the engine refused the session: {code}: {message}"[:300], retry=False)

    def _note_expiry(self, event: ServerEvent) -> None:
        expires = event.session.get("expires_at") if isinstance(event.session, dict) else None
        if isinstance(expires, (int, float)) and expires > 0:
            self._expires_at = float(expires)

    def _arm_expiry(self) -> None:
        """Tell in time: when our own limit is reached, or so long before the session's that another can be opened."""
        left = self._config.session_seconds + self._config.rotation_seconds
        if self._expires_at is not None:
            left = min(left, self._expires_at - time.time())
        wait = min(self._config.session_seconds, left - self._config.rotation_seconds)
        if wait <= 0:
            wait = max(left / 2, _LEAST_EXPIRING)
        self._start("expiring", wait, lambda: self._hear(SessionExpiring(max(left - wait, 0.0))))

    # Responses

    def _act(self, actions: Sequence[Action]) -> None:
        for action in actions if not self._over else ():
            match action:
                case Create(instructions=instructions):
                    self._requests += 1
                    request: dict[str, Any] = {"type": "response.create", "event_id": f"{_CREATE}{self._requests}"}
                    if instructions:  # a response's own instructions replace the session's, so those go with it
                        request["response"] = {"instructions": f"{self._config.instructions}\n\n{instructions}".strip()}
                    self._send(request)
                    self._start("begun", _BEGUN_SECONDS, self._not_begun)
                case RetryIn(seconds=seconds):
                    self._start("retry", seconds, lambda: self._act(self._responses.retry()))
                case GiveUp(reason=reason):
                    self._hear(ResponseFailed(reason))

    def _response_began(self, event: ServerEvent) -> None:
        began = server_events.read(event)
        if isinstance(began, ResponseStarted):
            if self._caller_speaks and self._takes_turns and not self._responses.is_sent:
                self._caller_stopped(None)  # it has not said so, and answers
            self._responses.created(began.response)
            if self._over:
                self._send({"type": "response.cancel", "response_id": began.response}, still=True)
            self._stop("begun")
            self._hear(began)

    def _item_done(self, event: ServerEvent) -> None:
        response = event.response_id or ""
        self._endings.item_done(response, event.item)
        self._approve([event.item])
        calls = self._tool_calls([event.item])
        if calls and response:
            self._calls.setdefault(response, []).extend(calls)

    def _response_ended(self, event: ServerEvent) -> None:
        done = server_events.read(event)
        if isinstance(done, SessionLost):
            self._give_up(done.reason, retry=done.retry)
        if not isinstance(done, ResponseDone):
            return
        self._stop("ended")
        done = done._replace(detail=self._secrets.told(done.detail))
        output = server_events.response_of(event).get("output")
        self._approve(output)
        calls = [*self._calls.pop(done.response, []), *self._tool_calls(output)]
        self._bill(self._config.model, server_events.response_of(event).get("usage"))
        self._end(done, output, calls)

    def _end(self, done: ResponseDone, output: Any, calls: Sequence[ToolCall]) -> None:
        new = self._responses.called(done.response, [call.id for call in calls])
        ending, items = self._endings.end(
            done.response, done.status, done.detail, output, calls=self._responses.owes(done.response)
        )
        final = self._responses.is_final(done.response, ending)
        self._hear(done._replace(final=final, answered=ending.is_whole, sounds=ending.sounds, items=items))
        if new:
            once = {call.id: call for call in calls}
            self._hear(ToolCalls(done.response, tuple(once[name] for name in new)))
        self._act(self._responses.done(done.response, ending))

    def _never_ended(self, response: str) -> None:
        """All of it was said, and the server does not say that it has ended: others need not wait for that."""
        if response in self._responses.running:
            self.counts["never ended"] += 1
            self._end(ResponseDone(response, "completed"), None, self._calls.pop(response, []))

    def _approve(self, items: Any) -> None:
        """Answer the server's questions whether it may use a tool that it runs by itself."""
        for item in items if isinstance(items, list) else ():
            question = asked(item)
            if question is None or question.id in self._approved:
                continue
            self._approved.append(question.id)
            approved = self._config.mcp_approval == "approve"
            answer = {"type": "mcp_approval_response", "approval_request_id": question.id, "approve": approved}
            if not approved:
                answer["reason"] = "This line does not allow it."
            self._send({"type": "conversation.item.create", "item": answer})
            self._hear(McpApproval(question.server, question.tool, approved))

    def _tool_calls(self, items: Any) -> list[ToolCall]:
        if server_events.has_nameless_calls(items):
            self.counts["malformed"] += 1
            self._hear(ErrorReported("tool_call", "a tool was called without an id or a name that can be answered"))
        return server_events.tool_calls(items)

    def _bill(self, model: str, usage: Any) -> None:
        used = model_catalog.read_usage(usage)
        if used:
            self._hear(Usage(model, used, model_catalog.cost(model, used)))

    # Audio

    def _say(self, heard: AudioDelta) -> None:
        if self._over:
            return
        self._spoken = True
        key = (heard.item, heard.content)
        way = self._down.get(key)
        if way is None:
            if len(self._down) > 16:  # an engine that never ends what it began
                del self._down[next(iter(self._down))]
            way = self._down[key] = audio_format.ToTelephone(self._sounds_like["output"], self._proved)
            way.response = heard.response
        ulaw = way.feed(heard.audio)
        if way.is_proved:
            self._proved = way.format
        if way.is_odd:
            self._agree_on_pcm()
        if ulaw:
            self._sound(heard._replace(audio=ulaw))

    def _said(self, done: AudioDone) -> None:
        way = self._down.pop((done.item, done.content), None)
        rest = way.end() if way is not None else b""
        if rest:
            self._sound(AudioDelta(done.response, done.item, done.content, rest))
        self._hear(done)
        if done.response:
            self._start("ended", _ENDED_SECONDS, lambda: self._never_ended(done.response))

    def _let_out(self, response: Any) -> None:
        """What is left of a response that has ended: not every server says when a stretch of speech does."""
        for key, way in list(self._down.items()):
            if way.response and way.response == response:
                del self._down[key]
                rest = way.end()
                if rest:
                    self._sound(AudioDelta(way.response, *key, rest))

    def _sound(self, heard: AudioDelta) -> None:
        self._stop("ended")
        if not self._responses.is_overruled(heard.response):  # nobody hears what comes after
            self._endings.sound(heard.response, heard.item, heard.audio)
        self._hear(heard)

    def _compare_formats(self, event: ServerEvent) -> None:
        """The formats that the server confirms are the ones that hold, whatever was asked for."""
        session = event.session if isinstance(event.session, dict) else {}
        for side in ("input", "output"):
            try:
                shown = session["audio"][side]["format"]["type"]
            except (KeyError, TypeError):
                continue
            confirmed = audio_format.NAMES.get(shown)
            if confirmed is None:
                self._give_up(f"the engine insists on {shown} for its {side}", retry=False)
            elif confirmed != self._sounds_like[side]:
                self._sounds_like[side] = confirmed
                if side == "output":
                    self._proved = ""
                    for way in self._down.values():
                        way.declare(confirmed)
                if confirmed != self._wanted:
                    self._complain_of_format(f"{self._wanted} was asked for, and {shown} confirmed for its {side}")
        if self._sounds_like["input"] == audio_format.PCM24:
            self._up = self._up or audio_format.FromTelephone()
        elif self._up is not None:
            rest, self._up = self._up.rest(), None
            if rest:
                self._held.appendleft(rest)
                self._settle()

    def _agree_on_pcm(self) -> None:
        """What comes is not what was confirmed, so the server may well misread what we send, too: settle on PCM."""
        if self._wanted != audio_format.PCM24:
            self._complain_of_format(f"{self._sounds_like['output']} was confirmed, and another format is sent")
            self._wanted = audio_format.PCM24
            self._settling = True
            self._update(_FORMATS, session_config.formats(audio_format.PCM24))
            self._start("formats", _FORMATS_SECONDS, lambda: self._settle(late=True))

    def _settle(self, *, late: bool = False) -> None:
        """The caller's audio goes on, once it is known what the server takes it for.

        The server reads everything behind a `session.update` in the new format, and says so only later: what is sent in
        between would reach it as noise.
        """
        if self._settling and (late or all(which != _FORMATS for which, _ in self._updates)):
            self._settling = False
            self._stop("formats")
        if not self._ready or self._settling:
            return
        while self._held:
            self.append(self._held.popleft())
        self._held_bytes = 0

    def _complain_of_format(self, what: str) -> None:
        if not self.counts["audio_format"]:
            log.error("call %s: the engine's audio is wrong: %s; it is transcoded from here on", self._call, what)
            self._hear(ErrorReported("audio_format", f"{what}; it is transcoded from here on"))
        self.counts["audio_format"] += 1

    def _ago(self, event: ServerEvent) -> float | None:
        """How long ago the caller's last word ended, by the audio's own clock: `audio_end_ms` counts the silence that
        it took to notice."""
        if event.audio_end_ms is None:
            return None
        silence = self._config.vad_silence_ms if self._config.turn_detection == "server_vad" else 0
        return max(self._appended / 8 - event.audio_end_ms, 0.0) + silence

    # Inside

    def _send(self, event: dict[str, Any], *, still: bool = False) -> None:
        """`still`: although the call is over."""
        if self._writer is not None and (still or not self._over):
            if self._shows:
                names = (event.get(name) for name in ("type", "event_id", "response_id", "item_id"))
                told = " ".join(name for name in names if name)
                log.debug("call %s: to engine %d: %s", self._call, self._brief.session, told)
            self._writer.put(msgspec.json.encode(event).decode())

    def _start(self, name: str, seconds: float, then: Any) -> None:
        self._stop(name)
        if not (self._closed or self._over):
            self._timers[name] = asyncio.get_running_loop().call_later(seconds, then)

    def _stop(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _give_up(self, reason: str, *, retry: bool = True) -> None:
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(SessionLost(self._secrets.told(reason), retry))


def _item(item: ContextItem | ToolCall) -> dict[str, Any]:
    """As a client may create it: an assistant's turn as text only."""
    if isinstance(item, ToolCall):
        return {"type": "function_call", "call_id": item.id, "name": item.name, "arguments": item.arguments}
    role = {"caller": "user", "agent": "assistant", "system": "system"}[item.who]
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": item.text}]}
