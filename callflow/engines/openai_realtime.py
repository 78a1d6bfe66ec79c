"""OpenAI Realtime over a WebSocket: a thin client of the GA interface.

    connecting -> configuring -> ready -> closed

Caller audio is held back in one queue until `session.updated` has confirmed our formats: audio that arrives before is
answered under the server's defaults, in another codec, and locks the voice. `session.created` needs no answer; the
update goes out as soon as the socket is open.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from typing import Any, Final

import msgspec
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_before_delay, wait_exponential_jitter
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException

from callflow.contracts import Complaint, EngineCan, Hear, Lost, Ready
from callflow.engines import realtime_events
from callflow.engines.realtime_events import ServerEvent
from callflow.engines.session_config import RealtimeConfig, greeting, minimal_session, session, session_url
from callflow.errors import EngineError, Malformed
from callflow.writer import Writer


log = logging.getLogger(__name__)

_CLOSE_SECONDS: Final = 0.3
_MOST_MESSAGE: Final = 16 << 20
"""Bytes of one server event; audio deltas are far smaller."""
_APPEND: Final = '{"type":"input_audio_buffer.append","audio":"'
_FULL, _MINIMAL = "session-full", "session-minimal"


class OpenAIRealtime:
    can: frozenset[EngineCan] = frozenset({"truncates", "cancels", "interrupts_itself"})

    def __init__(self, config: RealtimeConfig, call: str, hear: Hear) -> None:
        self._config, self._call, self._hear = config, call, hear
        self._socket: ClientConnection | None = None
        self._writer: Writer | None = None
        self._ready = False
        self._closed = False
        self._asked = _FULL
        self._trouble = "no answer came"
        """Why the last try to connect failed."""
        self._held: deque[str] = deque()
        self._held_bytes = 0
        self._most_held = int(config.buffer_seconds * 8000)
        self._lost: asyncio.Future[str] | None = None
        self.counts: Counter[str] = Counter()
        """Events received by type, and under `malformed` those that could not be read."""

    # What the rooms above ask for

    async def run(self) -> None:
        if self._closed:
            return
        self._lost = asyncio.get_running_loop().create_future()
        connecting = asyncio.create_task(self._connect(), name=f"engine-connect {self._call}")
        try:
            ends: set[asyncio.Future[Any]] = {connecting, self._lost}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if self._lost.done():
                raise EngineError(self._lost.result())
            await self._converse(await connecting)
        except EngineError as error:
            self._tell_lost(str(error))
        finally:
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)
            await self.close()

    def append(self, payload: str) -> None:
        size = len(payload) // 4 * 3 - payload.count("=", -2)
        if self._ready and self._writer is not None:
            self._writer.put(f'{_APPEND}{payload}"}}', size)
        elif not self._closed:
            self._held.append(payload)
            self._held_bytes += size
            if self._held_bytes > self._most_held:
                self._give_up(f"caller audio has waited {self._config.buffer_seconds:g} s for it")

    def greet(self) -> bool:
        if self._config.greeting:
            self._send({"type": "response.create", "response": greeting(self._config)})
        return bool(self._config.greeting)

    def truncate(self, item: str, content: int, heard_ms: int) -> None:
        self._send(
            {"type": "conversation.item.truncate", "item_id": item, "content_index": content, "audio_end_ms": heard_ms}
        )

    def cancel(self, response: str) -> None:
        self._send({"type": "response.cancel", "response_id": response})

    async def close(self) -> None:
        self._closed = True
        self._give_up("closed")
        self._held.clear()
        socket, self._socket, self._writer = self._socket, None, None
        if socket is not None:
            try:
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await socket.close()
            except TimeoutError:
                socket.transport.abort()

    # Connecting

    async def _connect(self) -> ClientConnection:
        """Tries until the deadline: what 429 and 5xx say may pass; what other refusals say will not."""
        seconds = self._config.connect_seconds
        try:
            async with asyncio.timeout(seconds):
                async for attempt in AsyncRetrying(
                    stop=stop_before_delay(seconds),
                    wait=_wait,
                    retry=retry_if_exception(lambda error: isinstance(error, EngineError) and error.retry),
                    before_sleep=self._before_sleep,
                    reraise=True,
                ):
                    with attempt:
                        self._socket = await self._connect_once()
                        return self._socket
        except TimeoutError:
            raise EngineError(f"no connection to the engine within {seconds:g} s; {self._trouble}") from None
        raise AssertionError("unreachable: the last attempt either returns or raises")

    async def _connect_once(self) -> ClientConnection:
        try:
            return await connect(
                session_url(self._config),
                additional_headers={"Authorization": f"Bearer {self._config.api_key}"},
                compression=None,
                open_timeout=None,  # the deadline is over all tries
                close_timeout=_CLOSE_SECONDS,
                max_size=_MOST_MESSAGE,
                max_queue=256,
                ping_interval=20,
                ping_timeout=20,
            )
        except InvalidStatus as error:
            status = error.response.status_code
            after = error.response.headers.get("Retry-After", "")
            raise EngineError(
                f"the engine refused the connection: HTTP {status}",
                retry=status in (408, 429) or status >= 500,
                wait=min(float(after), 5.0) if after.isascii() and after.isdigit() else 0.0,
            ) from None
        except (OSError, EOFError, WebSocketException) as error:
            # The rest of WebSocketException are addresses that no second try can mend.
            retry = isinstance(error, (OSError, EOFError, InvalidHandshake))
            raise EngineError(f"the engine cannot be reached: {type(error).__name__}", retry=retry) from error

    def _before_sleep(self, state: RetryCallState) -> None:
        self._trouble = str(state.outcome.exception()) if state.outcome else ""
        log.warning("call %s: %s; trying again", self._call, self._trouble)

    # Conversing

    async def _converse(self, socket: ClientConnection) -> None:
        self._writer = Writer(
            socket.send, self._give_up, seconds=self._config.write_seconds, limit=self._most_held + 8000, messages=5000
        )
        self._update(_FULL)
        assert self._lost is not None
        listening = asyncio.create_task(self._listen(socket), name=f"engine-in {self._call}")
        writing = asyncio.create_task(self._writer.run(), name=f"engine-out {self._call}")
        try:
            ends: set[asyncio.Future[Any]] = {listening, writing, self._lost}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if self._lost.done():
                raise EngineError(self._lost.result())
            for task in (listening, writing):
                if task.done() and (error := task.exception()) is not None:
                    raise EngineError(f"the engine broke off: {error}") from error
            raise EngineError("the engine closed the connection")
        finally:
            for task in (listening, writing):
                task.cancel()
            await asyncio.gather(listening, writing, return_exceptions=True)

    async def _listen(self, socket: ClientConnection) -> None:
        hear, decode, read = self._hear, realtime_events.decode, realtime_events.read
        while True:
            try:
                message = await socket.recv(decode=False)
            except ConnectionClosed as closed:
                raise EngineError(f"the engine closed the connection: {closed}") from None
            try:
                event = decode(message)
                self.counts[event.type if len(self.counts) < 200 else "more"] += 1
                if event.type == "session.updated":
                    self._confirmed()
                elif event.type == "error" and not self._ready:
                    self._refused(event)
                elif (heard := read(event)) is not None:
                    if isinstance(heard, Lost):
                        self._give_up(heard.reason)
                    else:
                        hear(heard)
            except Malformed:
                self.counts["malformed"] += 1

    def _update(self, which: str) -> None:
        self._asked = which
        wanted = session(self._config) if which == _FULL else minimal_session(self._config)
        self._send({"type": "session.update", "event_id": which, "session": wanted})

    def _confirmed(self) -> None:
        if self._ready or self._writer is None:
            return
        self._ready = True
        self._hear(Ready())
        while self._held:
            self.append(self._held.popleft())

    def _refused(self, event: ServerEvent) -> None:
        """An error before `session.updated`: our update is lost as a whole, so ask for less, once."""
        code, message, about = realtime_events.error_of(event)
        about_this = about in ("", self._asked)
        if code in realtime_events.FATAL_CODES or (about_this and self._asked == _MINIMAL):
            self._give_up(f"the engine refused the session: {code}: {message}"[:300])
            return
        self._hear(Complaint(code, message[:300]))
        if about_this:
            log.warning("the engine refused the session, asking for less: %s: %s", code, message[:300])
            self._update(_MINIMAL)

    def _send(self, event: dict[str, Any]) -> None:
        if self._writer is not None:
            self._writer.put(msgspec.json.encode(event).decode())

    def _give_up(self, reason: str) -> None:
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(reason)

    def _tell_lost(self, reason: str) -> None:
        if not self._closed:
            self._closed = True
            self._hear(Lost(reason))


_BACKOFF = wait_exponential_jitter(multiplier=0.2, max=2.0, jitter=0.1)


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.wait if isinstance(error, EngineError) else 0.0
    return asked or _BACKOFF(state)
