"""OpenAI Realtime over a WebSocket: one session of the model, as the engine of a call.

    connecting -> configuring -> ready -> closed

A thin client of the GA interface. This file connects, listens, and passes each event to the responsible module:
`session.py` (configuration), `audio_pipeline.py` (audio) or `response_driver.py` (turns, responses and tools).
`session.created` needs no answer: the first `session.update` is sent as soon as the socket is open.

Vendor: https://platform.openai.com/docs/guides/realtime-websocket
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from callflow.contracts import addresses, remote_tools
from callflow.contracts.engine import (
    AudioDone,
    ContextImage,
    ContextPart,
    EngineCan,
    EngineListener,
    ItemAdded,
    SessionContext,
    SessionLost,
    SessionReady,
    SpeechStarted,
    Transcript,
)
from callflow.contracts.errors import CallOver, EngineError, Malformed
from callflow.contracts.secret_text import NOT_SHOWN, Secrets
from callflow.contracts.tools import ToolCall
from callflow.engines.common import connection
from callflow.engines.common.account import Account, open_socket
from callflow.engines.common.channel import Channel
from callflow.engines.common.connection import shut
from callflow.engines.common.engine_socket import EngineSocket
from callflow.engines.openai_realtime import audio_format, event_summary, server_events, sideband
from callflow.engines.openai_realtime.audio_pipeline import AudioPipeline
from callflow.engines.openai_realtime.response_driver import CREATE, ResponseDriver
from callflow.engines.openai_realtime.server_events import ServerEvent
from callflow.engines.openai_realtime.session import Session
from callflow.engines.openai_realtime.session_config import RealtimeConfig
from callflow.engines.openai_realtime.sideband_events import SidebandEvents


log = logging.getLogger(__name__)

_CONTEXT_ITEM: Final = "told_"
"""Prefix of the ids of context items, which we add to the conversation and which are not spoken now."""
_MOST_LOGGED: Final = 600
"""The most characters of an event in the log."""
_MOST_WAITING: Final = 128 << 10
"""Bytes of events that may wait for a server that does not read, beside the caller's audio."""


def prepare(config: RealtimeConfig) -> None:
    """Load the libraries and certificates that this configuration needs, so that no call waits for them; the first time
    takes about 0.1 s."""
    connection.prepare(config)
    if config.engine_audio == audio_format.PCM24:
        audio_format.load()


class OpenAIRealtime:
    """One session: see `callflow.contracts.engine.Engine`, which documents the methods."""

    def __init__(
        self, config: RealtimeConfig, context: SessionContext, listener: EngineListener, account: Account | None = None
    ) -> None:
        """`account`: shared by the sessions of all calls; None: this session gets its own."""
        keys = (key for tool in context.tools for key in remote_tools.keys_of(tool))
        secrets = Secrets([config.api_key, *addresses.secrets_in(config.url), *keys])
        self._config, self._context, self._notify = config, context, listener
        self._account = account or Account()
        self._channel = Channel(context, listener, secrets)
        self._session = Session(config, context, self._account, self._channel)
        self._responses = ResponseDriver(self._session, self._channel)
        self._audio = AudioPipeline(self._session, self._channel, self._responses.played)
        self._beside = SidebandEvents(self._channel, self._responses) if context.remote else None
        self.append: Callable[[str], None] = self._audio.append
        """The bound method itself, for speed: called 50 times a second for each call."""
        self._socket: EngineSocket | None = None
        self._idle_item: str | None = None
        """The caller's item that the server created because the caller said nothing."""
        self._early_context: list[ContextPart] = []
        self._early_answers: list[Callable[[], None]] = []
        """What came before the session was ready for it."""
        self._context_items = 0

    @property
    def can(self) -> frozenset[EngineCan]:
        return self._session.can

    # The engine's methods

    async def run(self) -> None:
        channel = self._channel
        if channel.is_closed:
            return
        channel.lost = asyncio.get_running_loop().create_future()
        self._audio.await_session()
        beside = self._context.remote
        connecting = asyncio.create_task(self._open(), name=f"engine-connect {channel.call}")
        lost: SessionLost | None = None
        try:
            await asyncio.wait((connecting, channel.lost), return_when=asyncio.FIRST_COMPLETED)
            lost = channel.lost.result() if channel.lost.done() else await self._converse(await connecting)
            if beside and lost.retry and not channel.is_closed:
                lost = lost._replace(over=await sideband.is_over(self._config, beside))
        except EngineError as error:
            lost = SessionLost(channel.secrets.safe_text(str(error)), error.retry, isinstance(error, CallOver))
            error.__traceback__ = None  # its frames hold the tasks, and these the error: nothing would be freed
        finally:
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)
            if connecting.done() and not connecting.cancelled() and connecting.exception() is None:
                self._socket = self._socket or connecting.result()
            was_closed = channel.is_closed
            await self.close()
            if lost is not None and not was_closed:
                self._notify(lost)

    async def _open(self) -> EngineSocket:
        call, beside = self._channel.call, self._context.remote
        if beside:
            return await sideband.attach(self._config, beside, self._account, call, was_there=self._context.was_there)
        return await open_socket(self._config, call, self._account, arrives=self._channel.session == 1)

    def add_context(self, items: Sequence[ContextPart]) -> None:
        if not self._session.is_ready:
            self._early_context += items
            return
        for item in items:
            if isinstance(item, ToolCall):
                self._responses.queue.adopt(item.id)
                if self._context.was_there:
                    continue  # the conversation has it
            self._context_items += 1
            name = f"{_CONTEXT_ITEM}{self._context_items}"
            event = {"type": "conversation.item.create", "item": {"id": name, **_client_item(item)}}
            self._channel.send(event)

    def request_response(self, instructions: str = "", *, lasting: bool = False, whole: bool = False) -> None:
        self._responses.request(instructions, lasting=lasting, whole=whole)

    def withdraw(self) -> Mapping[str, bool]:
        return self._responses.withdraw()

    def finish_turn(self) -> None:
        if self._session.is_ready:
            self._audio.resume(late=True)  # audio that waits for a change of format belongs to this turn
            self._responses.finish_turn()

    def answer_tool(self, call: str, output: str, *, speak: bool = True) -> None:
        if self._session.is_ready:
            self._responses.answer_tool(call, output, speak=speak)
        else:
            self._early_answers.append(lambda: self._responses.answer_tool(call, output, speak=speak))

    def truncate(self, item: str, content: int, heard_ms: int) -> None:
        self._channel.send(
            {"type": "conversation.item.truncate", "item_id": item, "content_index": content, "audio_end_ms": heard_ms}
        )

    def cancel(self, response: str) -> None:
        self._responses.cancel(response)
        if self._context.remote:
            self._channel.send({"type": "output_audio_buffer.clear"})

    def set_turn_detection(self, on: bool) -> None:
        resumes = on and not self._session.turn_detection
        self._session.turn_detection = on
        if resumes:
            self._responses.turn_detection_resumed()
        if self._session.is_ready:
            self._session.send_turn_detection(on)

    def wind_up(self, *, speaking: bool) -> None:
        if self._channel.is_over:
            return
        for response in self._responses.queue.running:
            self.cancel(response)
        if speaking:
            self._channel.send({"type": "input_audio_buffer.commit"})  # this begins no response
        if self.can & {"answers_itself", "interrupts_itself"}:
            self._session.send_turn_detection(False)
        self._channel.end()
        self._audio.close()

    def update(self, changes: Mapping[str, Any]) -> list[str]:
        return self._session.change(changes, spoken=self._audio.has_spoken)

    async def close(self) -> None:
        self._channel.close()
        self._audio.close()
        socket, self._socket, self._channel.socket = self._socket, None, None
        if socket is not None:
            await shut(socket)

    # The conversation

    async def _converse(self, socket: EngineSocket) -> SessionLost:
        """Configure the session and serve it until it ends. Returns why it ended."""
        channel = self._channel
        self._socket = channel.socket = socket
        socket.start(
            self._received,
            channel.give_up,
            write_seconds=self._config.write_seconds,
            most_waiting=self._audio.most_waiting * 4 // 3 + _MOST_WAITING,
        )
        self._session.request()
        assert channel.lost is not None
        return await channel.lost

    def _received(self, message: bytes) -> None:
        """Handle one event of the server's."""
        channel = self._channel
        if channel.lost is None or channel.lost.done():
            return
        try:
            event = server_events.decode(message)
            if channel.is_debugging:
                text = channel.secrets.safe_text(event_summary.in_short(event))[:_MOST_LOGGED]
                log.debug("call %s: engine %d: %s", channel.call, channel.session, text)
            if channel.tap.watcher is not None:
                channel.tap.watcher.event("from_model", event.type, message, channel.secrets.safe_text)
            if event.type != server_events.AUDIO_DELTA:
                self._audio.look_again()
                self._handle(event)
            elif not self._context.remote and (audio := server_events.audio_delta(event)) is not None:
                self._audio.delta(audio)
        except Malformed as error:
            channel.cannot_read(error)
        except Exception as error:
            log.exception("call %s: engine %d: an internal error in an event", channel.call, channel.session)
            channel.give_up(f"the engine broke off: {error!r}")

    def _handle(self, event: ServerEvent) -> None:
        """Pass a server event other than audio to the responsible module.

        Vendor: https://platform.openai.com/docs/api-reference/realtime-server-events
        """
        responses = self._responses
        if event.response_id:
            responses.heard_of(event.response_id)
        match event.type:
            case "session.created":
                self._session.note(event)
                if self._context.remote and not self._session.is_ready:  # it is configured since the accept
                    self._begin()
            case "session.updated":
                self._session_updated(event)
            case "error":
                self._error(event)
            case "response.created":
                responses.created(event)
            case "response.done":
                self._audio.response_done(server_events.response_of(event).get("id"))
                responses.done(event)
            case "response.output_item.done":
                responses.item_done(event)
            case "input_audio_buffer.speech_started":
                responses.speech_started()
                self._notify(SpeechStarted())
            case "input_audio_buffer.speech_stopped":
                responses.speech_stopped(self._speech_ended_ago(event))
            case "input_audio_buffer.committed":
                if responses.caller_speaks:  # some servers commit a turn without saying that the speech has stopped
                    responses.speech_stopped(None)
            case "input_audio_buffer.timeout_triggered":
                self._idle_item = event.item_id
            case "response.mcp_call.completed" | "response.mcp_call.failed":
                responses.remote_tool_done()
            case "mcp_list_tools.failed":
                responses.hosted.listing_failed(event)
            case _ if not (self._beside is not None and self._beside.handle(event)):
                self._handle_content(event)

    def _handle_content(self, event: ServerEvent) -> None:
        """Pass on transcripts and items."""
        content = server_events.read(event)
        self._responses.hosted.item(event.item)
        match content:
            case None:
                return
            case AudioDone():
                self._audio.done(content)
                self._responses.audio_done(content)
                return
            case ItemAdded(item=item) if item.startswith(_CONTEXT_ITEM) or item == self._idle_item:
                return
            case Transcript(who="agent", item=item):
                self._responses.words(event.response_id or "", item)
                if self._beside is not None:
                    self._beside.words(event)
        if event.usage is not None:
            self._responses.report_usage(self._session.config.transcription_model, event.usage)
        self._notify(content)

    def _session_updated(self, event: ServerEvent) -> None:
        self._session.confirmed(event)
        if self._channel.socket is None:
            return
        if not self._context.remote:
            self._audio.use_formats(event)
        if not self._session.is_ready:
            self._begin()
        self._audio.resume()

    def _begin(self) -> None:
        """Send what has waited for the configured session."""
        self._session.begin()
        self._audio.begin()
        context, self._early_context = self._early_context, []
        self.add_context(context)
        self._notify(SessionReady())
        answers, self._early_answers = self._early_answers, []
        for answer in answers:
            answer()
        self._responses.begin()
        if not self._context.remote:  # its session cannot be replaced by another
            self._session.start_expiry_timer()

    def _error(self, event: ServerEvent) -> None:
        """Classify an error: harmless, the session's end, about an update, or about a response.

        Vendor: https://platform.openai.com/docs/api-reference/realtime-server-events/error
        """
        channel = self._channel
        code, message, about = server_events.error_of(event)
        if channel.secrets.within(str(event.error)):  # search the whole error, because half a key is not recognised
            code, message = channel.secrets.safe_text(code), NOT_SHOWN
        if server_events.is_benign(code, message):
            channel.report(code, message[:300])
            if code == server_events.ACTIVE_RESPONSE:
                self._responses.response_active()
            return
        read = server_events.read(event)
        if isinstance(read, SessionLost):
            channel.give_up(f"{code}: {message}"[:300], retry=read.retry)
        elif self._session.is_refusal(about):
            self._session.refused(code, message, event.error.get("param") if isinstance(event.error, dict) else None)
            self._audio.resume()
        else:
            channel.report(code, message[:300])
            if about.startswith(CREATE) or (not about and self._responses.queue.is_sent):
                self._responses.request_refused(code)

    def _speech_ended_ago(self, event: ServerEvent) -> float | None:
        """Return how many ms ago the caller's last word ended, measured in caller audio; None: the server did not
        report it.

        `audio_end_ms` includes the silence after which the server took the turn for ended.
        Vendor: https://platform.openai.com/docs/api-reference/realtime-server-events/input_audio_buffer/speech_stopped
        """
        if event.audio_end_ms is None:
            return None
        config = self._session.config
        silence = config.vad_silence_ms if config.turn_detection == "server_vad" else 0
        return self._audio.ms_since(event.audio_end_ms) + silence


def _client_item(item: ContextPart) -> dict[str, Any]:
    """Return an item in the form in which a client may create it: the assistant's turns as text only."""
    if isinstance(item, ContextImage):
        words = [{"type": "input_text", "text": item.text}] if item.text else []
        return {"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": item.url}, *words]}
    if isinstance(item, ToolCall):
        return {"type": "function_call", "call_id": item.id, "name": item.name, "arguments": item.arguments}
    role = {"caller": "user", "agent": "assistant", "system": "system"}[item.who]
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": item.text}]}
