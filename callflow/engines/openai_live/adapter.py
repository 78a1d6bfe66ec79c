"""OpenAI's full-duplex models over a WebSocket: one live session, as the engine of a call.

    connecting -> starting -> ready -> closed

Sound goes both ways all the time, and the model decides by itself who speaks. `turns.py` finds the turns in it,
`live_config.py` makes the session, and the account with its breaker is shared with the vendor's other interface.

- Facts go in as `session.thinking.append`, which is not spoken; what is to be said, as `session.instructions.append`.
- Tools are called by a model behind the session (`responses` delegation): a delegation to the client brings no name and
  no arguments, so nothing could be called by it. It is answered that there is nothing to delegate to.
- A sentence that cannot be interrupted is spoken while the session's input is muted.

Vendor: https://platform.openai.com/docs/guides/voice-websockets
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from callflow.contracts import addresses
from callflow.contracts.engine import (
    ContextImage,
    ContextItem,
    ContextPart,
    EngineCan,
    EngineEvent,
    EngineListener,
    SessionContext,
    SessionExpiring,
    SessionLost,
    SessionReady,
    ToolCalls,
    Usage,
)
from callflow.contracts.errors import EngineError, Malformed
from callflow.contracts.secret_text import NOT_SHOWN, Secrets
from callflow.contracts.tools import ToolCall
from callflow.engines import model_catalog
from callflow.engines.common import connection, session_end
from callflow.engines.common.account import Account
from callflow.engines.common.channel import Channel
from callflow.engines.common.connection import shut
from callflow.engines.common.engine_socket import EngineSocket
from callflow.engines.openai_live import live_config, server_events
from callflow.engines.openai_live.live_config import LiveConfig
from callflow.engines.openai_live.server_events import LiveEvent
from callflow.engines.openai_live.turns import LiveTurns


log = logging.getLogger(__name__)

_APPEND: Final = '{"type":"session.input_audio.append","audio":"'
"""Written by hand: base64 needs no escaping, and the event is sent 50 times a second for each call."""
_START: Final = "session-start"
_ANSWER: Final = "Speak to the caller now: answer what was said or has become known last."
_NO_DELEGATE: Final = "Nothing can be looked up or done for this. Say so if the caller asked for it, and go on."
_MOST_WAITING: Final = 128 << 10
_MOST_ADOPTED: Final = 100
_DELEGATION_SECONDS: Final = 2.0
"""How long the end of a response may take that has called a tool."""
_BILL_SECONDS: Final = 4.0
"""The vendor tells every moment what a session has used; the call is told so often, and of the rest at its end."""


def prepare(config: LiveConfig) -> None:
    """Load what connections under this configuration need, so that no call waits for it."""
    connection.prepare(config)


class OpenAILive:
    """One session: see `callflow.contracts.engine.Engine`, which documents the methods."""

    def __init__(
        self, config: LiveConfig, context: SessionContext, listener: EngineListener, account: Account | None = None
    ) -> None:
        """`account`: shared by the sessions of all calls; None: this session gets its own."""
        self._config, self._context, self._notify = config, context, listener
        self._account = account or Account()
        secrets = Secrets([config.api_key, *addresses.secrets_in(config.url)])
        self._channel = Channel(context, listener, secrets)
        self._turns = LiveTurns(context.session)
        self._listens = context.turn_detection
        self._has_tools = bool(config.delegation_model and live_config.functions(context.tools))
        self._told: list[ContextItem | ToolCall] = []
        """What was said before the session began."""
        self._later: list[dict[str, Any]] = []
        """Events that wait for the session."""
        self._waiting: list[str] = []
        self._waiting_bytes = 0
        self._most_waiting = int(config.buffer_seconds * 8000)
        self._appended = 0
        self._is_ready = False
        self._calls: dict[str, str] = {}
        """Unanswered tool calls of this session, each with its response."""
        self._adopted: dict[str, None] = {}
        """Unanswered tool calls of earlier sessions."""
        self._delegations: set[str] = set()
        """Those whose response has called a tool, and has not ended."""
        self._answers_speak = False
        self._seconds = self._billed = 0.0
        """What the session has cost so far, and how much of it was told, in seconds."""
        self._began: float | None = None
        """When it began to cost, on the loop's clock; None: not yet, or its end was billed."""
        self._socket: EngineSocket | None = None
        self._now = asyncio.get_running_loop().time

    @property
    def can(self) -> frozenset[EngineCan]:
        can: set[EngineCan] = {"transcribes", "decides_itself"}
        if self._listens:
            can |= {"interrupts_itself", "answers_itself"}
        if self._has_tools:
            can.add("calls_tools")
        return frozenset(can)

    # The engine's methods

    async def run(self) -> None:
        channel = self._channel
        if channel.is_closed:
            return
        channel.lost = asyncio.get_running_loop().create_future()
        self._most_waiting += self._waiting_bytes  # which have waited for another session
        opening = self._account.open(self._config, channel.call, arrives=channel.session == 1)
        connecting = asyncio.create_task(opening, name=f"engine-connect {channel.call}")
        lost: SessionLost | None = None
        try:
            ends: set[asyncio.Future[Any]] = {connecting, channel.lost}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            lost = channel.lost.result() if channel.lost.done() else await self._converse(await connecting)
        except EngineError as error:
            lost = SessionLost(channel.secrets.safe_text(str(error)), retry=error.retry)
            error.__traceback__ = None  # as in the vendor's other interface: its frames hold the tasks
        finally:
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)
            if connecting.done() and not connecting.cancelled() and connecting.exception() is None:
                self._socket = self._socket or connecting.result()
            was_closed = channel.is_closed
            await self.close()
            if lost is not None and not was_closed:
                self._notify(lost)

    def append(self, payload: str) -> None:
        size = len(payload) // 4 * 3 - payload.count("=", -2)
        if self._is_ready and self._channel.socket is not None:
            if not self._channel.is_over:
                self._appended += size
                self._channel.socket.put(f'{_APPEND}{payload}"}}')
        elif not self._channel.is_closed:
            self._waiting.append(payload)
            self._waiting_bytes += size
            if self._waiting_bytes > self._most_waiting:
                self._channel.give_up(f"caller audio has waited {self._config.buffer_seconds:g} s for it")

    def add_context(self, items: Sequence[ContextPart]) -> None:
        known = [item for item in items if not isinstance(item, ContextImage)]  # it sees no pictures
        for item in known:
            if isinstance(item, ToolCall):
                self._adopted[item.id] = None
                while len(self._adopted) > _MOST_ADOPTED:
                    del self._adopted[next(iter(self._adopted))]
        if self._socket is None:
            self._told += known
            return
        for item in known:
            self._send({"type": "session.thinking.append", "content": live_config.fact(item)})

    def request_response(self, instructions: str = "", *, lasting: bool = False, whole: bool = False) -> None:
        self._send({"type": "session.instructions.append", "content": instructions or _ANSWER})

    def withdraw(self) -> Mapping[str, bool]:
        """Return nothing: what the model was told to say cannot be taken back."""
        return {}

    def finish_turn(self) -> None:
        """Do nothing: the model decides by itself when the caller has finished."""

    def answer_tool(self, call: str, output: str, *, speak: bool = True) -> None:
        if call in self._adopted:  # the session that asked is gone, and with it the call as this one would know it
            del self._adopted[call]
            self._send({"type": "session.thinking.append", "content": f"The tool has answered: {output}"})
            if speak:
                self.request_response()
            return
        if self._calls.pop(call, None) is None:
            return
        self._answers_speak |= speak
        item = {"type": "function_call_output", "call_id": call, "output": output}
        self._send({"type": "response.item.create", "item": item})
        self._go_on()

    def _go_on(self) -> None:
        """Let the tools' model go on when all its calls are answered and its response is over: another call may follow,
        and of the vendor's other interface it is known that it refuses to begin before."""
        if self._calls or self._delegations:
            return
        if self._answers_speak:
            self._send({"type": "response.create"})
        self._answers_speak = False

    def _delegations_over(self) -> None:
        self._delegations.clear()
        self._go_on()

    def truncate(self, item: str, content: int, heard_ms: int) -> None:
        """Do nothing: there is no such event, and `can` says so."""

    def cancel(self, response: str) -> None:
        """End the turn as far as the call is concerned. There is no event that stops the model, and `can` says so."""
        self._tell(self._turns.cut(response))

    def set_turn_detection(self, on: bool) -> None:
        if on != self._listens:
            self._listens = on
            self._send({"type": f"session.input_audio.{'unmute' if on else 'mute'}"})

    def wind_up(self, *, speaking: bool) -> None:
        if self._channel.is_over:
            return
        self._channel.send({"type": "session.close"})
        self._bill_to_the_end()
        self._tell(self._turns.end())
        self._channel.end()

    def update(self, changes: Mapping[str, Any]) -> list[str]:
        left_out: list[str] = []
        for name, value in changes.items():
            if name == "instructions" and isinstance(value, str):
                self._send({"type": "session.instructions.append", "content": f"From now on: {value}"})
            else:
                left_out.append(f"{name} cannot be changed in a session of this engine")
        return left_out

    async def close(self) -> None:
        socket, self._socket, self._channel.socket = self._socket, None, None
        self._bill_to_the_end()
        self._channel.close()
        self._waiting.clear()
        if socket is None:
            return
        socket.put('{"type":"session.close"}')  # ends the bill now; not needed if it is over already
        await shut(socket)

    # The conversation

    async def _converse(self, socket: EngineSocket) -> SessionLost:
        channel = self._channel
        self._socket = channel.socket = socket
        socket.start(
            self._received,
            channel.give_up,
            write_seconds=self._config.write_seconds,
            most_waiting=self._most_waiting * 4 // 3 + _MOST_WAITING,
        )
        session = live_config.session(self._config, self._context, self._told)
        channel.send({"type": "session.start", "event_id": _START, "session": session})
        assert channel.lost is not None
        return await channel.lost

    def _send(self, event: dict[str, Any]) -> None:
        """Send an event, as soon as the session has begun."""
        if self._is_ready:
            self._channel.send(event)
        elif not self._channel.is_closed:
            self._later.append(event)

    def _received(self, message: bytes) -> None:
        channel = self._channel
        if channel.lost is None or channel.lost.done():
            return
        try:
            event = server_events.decode(message)
            if channel.tap.watcher is not None:
                channel.tap.watcher.event("from_model", event.type, message, channel.secrets.safe_text)
            self._handle(event)
        except Malformed as error:
            channel.cannot_read(error)
        except Exception as error:
            log.exception("call %s: engine %d: an internal error in an event", channel.call, channel.session)
            channel.give_up(f"the engine broke off: {error!r}")

    def _handle(self, event: LiveEvent) -> None:
        now = self._now() * 1000
        match event.type:
            case "session.output_audio.delta":
                if not self._channel.is_over:
                    self._tell(self._turns.audio(server_events.audio_of(event), now))
            case "session.output_transcript.delta":
                self._tell(self._turns.agent_words(event.delta or ""))
            case "session.input_transcript.delta":
                ago = 0.0 if event.end_ms is None else max(self._appended / 8 - event.end_ms, 0.0)
                self._tell(self._turns.caller_words(event.delta or "", now, ago))
            case "session.started":
                self._started(event)
            case "session.delegation.created":
                self._delegated(event)
            case "response.event":
                self._of_response(event, now)
            case "session.usage.updated":
                self._used(event)
            case "session.closed":
                self._used(event)
                self._began = None  # it says itself what it has cost
                self._bill()
                self._tell(self._turns.end())
                reason = (event.reason or "no reason")[:60]
                self._channel.give_up(f"the engine closed the session: {reason}", retry=reason != "content")
            case "error":
                self._error(event)
            case "info":
                self._channel.report(str(event.code)[:60], self._channel.secrets.safe_text(str(event.message))[:300])

    def _tell(self, told: Iterable[EngineEvent]) -> None:
        for each in told:
            self._notify(each)
        due = self._turns.due
        if due is not None:
            self._channel.start_timer("turns", max(due / 1000 - self._now(), 0.001), self._tick)

    def _tick(self) -> None:
        self._tell(self._turns.tick(self._now() * 1000 + 1))

    def _started(self, event: LiveEvent) -> None:
        if self._is_ready:
            return
        self._is_ready, self._began = True, self._now()
        if not self._listens:
            self._channel.send({"type": "session.input_audio.mute"})
        self._notify(SessionReady())
        later, self._later = self._later, []
        for each in later:
            self._channel.send(each)
        waiting, self._waiting = self._waiting, []
        for payload in waiting:
            self.append(payload)
        self._start_expiry_timer(server_events.expiry_of(event))

    def _start_expiry_timer(self, expires_at: float | None) -> None:
        promised, socket = None, self._channel.socket
        if expires_at is not None and socket is not None:
            promised = expires_at - (time.time() - socket.clock_ahead)
        wait, left = session_end.announcing(self._config.session_seconds, self._config.rotation_seconds, promised)
        self._channel.start_timer("expiring", wait, lambda: self._notify(SessionExpiring(left)))

    def _delegated(self, event: LiveEvent) -> None:
        """Answer a delegation to us: there is nobody to delegate to. One to the tools' model needs no answer."""
        found = event.delegation if isinstance(event.delegation, dict) else {}
        if found.get("target") == "client" and isinstance(found.get("id"), str):
            self._send(
                {"type": "session.thinking.append", "content": _NO_DELEGATE, "delegation_id": found["id"]},
            )

    def _of_response(self, event: LiveEvent, now: float) -> None:
        """Read an event of the tools' model."""
        kind, within = server_events.inner(event)
        call = server_events.tool_call_of(within) if kind == "response.output_item.done" else None
        if call is not None and call.id not in self._calls and not self._channel.is_over:
            self._calls[call.id] = ""
            self._delegations.add(server_events.delegation_of(event))
            self._channel.start_timer("delegations", _DELEGATION_SECONDS, self._delegations_over)
            self._notify(ToolCalls(self._turns.spoken_with(now), (call,)))
        if kind in ("response.completed", "response.failed", "response.incomplete"):
            self._delegations.discard(server_events.delegation_of(event))
            self._go_on()
        if kind == "response.completed":
            response = within.get("response")
            usage = model_catalog.read_usage(response.get("usage")) if isinstance(response, dict) else {}
            if usage:
                model = self._config.delegation_model
                self._notify(Usage(model, usage, model_catalog.cost(model, usage)))
        elif kind == "response.failed":
            self._channel.report("tools_failed", "the model that calls the tools has failed")

    def _used(self, event: LiveEvent) -> None:
        self._seconds = max(self._seconds, server_events.seconds_of(event) or 0.0)
        if self._seconds - self._billed >= _BILL_SECONDS:
            self._bill()

    def _bill_to_the_end(self) -> None:
        """Tell what was used since the last time, to this moment: nobody waits for the vendor's last word on it."""
        if self._began is not None:
            self._seconds, self._began = max(self._seconds, self._now() - self._began), None
        self._bill()

    def _bill(self) -> None:
        """Tell what was used since the last time."""
        used = {"seconds": round(self._seconds - self._billed, 3)}
        self._billed = self._seconds
        if not used["seconds"]:
            return
        model = self._config.live_model
        self._notify(Usage(model, used, model_catalog.cost(model, used)))

    def _error(self, event: LiveEvent) -> None:
        channel = self._channel
        code, message, about = server_events.error_of(event)
        if channel.secrets.within(str(event.error)):
            code, message = channel.secrets.safe_text(code), NOT_SHOWN
        if code in server_events.REFUSED or (
            about == _START and not self._is_ready and code not in server_events.FATAL
        ):
            channel.give_up(f"the engine refused the session: {code}: {message}"[:300], retry=False)
        elif code in server_events.FATAL:
            channel.give_up(f"{code}: {message}"[:300])
        else:
            channel.report(code, message[:300])
