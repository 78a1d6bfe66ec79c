"""One live session of the emulated server: it hears and speaks at the same time, in real time.

Vendor: https://platform.openai.com/docs/guides/voice-websockets
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from callflow.sandbox.openai_realtime.live import validation as check
from callflow.sandbox.openai_realtime.live.decisions import Decisions
from callflow.sandbox.openai_realtime.live.sound import Sound
from callflow.sandbox.openai_realtime.live.validation import Refused
from callflow.sandbox.openai_realtime.script import Call, Pace, Say, Script, tone, words
from callflow.sandbox.openai_realtime.vad import Vad


PATH: Final = "/v1/live/sessions"
_STEP_MS: Final = 60
_HEAR: Final = {"type": "server_vad", "silence_duration_ms": 500, "prefix_padding_ms": 300, "threshold": 0.5}
_SECOND: Final = 1.0
_LIFE_SECONDS: Final = 3600


@dataclass(slots=True)
class LiveFaults:
    """What live sessions do wrong; read when it matters, so it may be changed at any time."""

    refuse_next: int = 0
    """The next n handshakes are answered with 503; -1: all."""
    refuse_start: str = ""
    """The code with which `session.start` is refused."""
    close_reason: str = ""
    """The session is closed with this reason as soon as the model has spoken for a moment."""
    drop: bool = False
    """The connection breaks as soon as the model has spoken for a moment, without `session.closed`."""
    mute: bool = False
    """The model never speaks."""
    talks_on: bool = False
    """The model takes no notice of a caller who speaks into it."""
    unknown_events: bool = False
    """Before every event comes one of an unknown type."""


class LiveSession:
    """`received` and `sent`: the events without those of sound; `violations`: what was refused, and why."""

    def __init__(self, socket: ServerConnection, script: Script, pace: Pace, faults: LiveFaults) -> None:
        self._socket, self._script, self._pace, self._faults = socket, script, pace, faults
        self.received: list[dict[str, Any]] = []
        self.sent: list[dict[str, Any]] = []
        self.violations: list[str] = []
        self.config: dict[str, Any] | None = None
        self.audio_in = 0
        """Bytes of caller audio, as µ-law."""
        self.spoken_ms = 0.0
        self.interrupted = 0
        """How often the model has stopped for the caller."""
        self.tool_outputs: dict[str, str] = {}
        self.closed = asyncio.Event()
        self._out: asyncio.Queue[str | None] = asyncio.Queue(10_000)
        self._speech: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns = self._heard = self._count = 0
        self._is_muted = False
        self._calls: set[str] = set()
        self._delegated: set[str] = set()
        """Delegations whose responses run."""
        self._vad = Vad(_HEAR, "audio/pcmu")
        self._sound = Sound({"type": "audio/pcmu", "rate": 8000})
        self._decisions = Decisions(self.emit, lambda: (self.config or {}).get("delegation") or {})
        self._caller_began_ms = 0
        self._began = time.monotonic()

    @property
    def is_speaking(self) -> bool:
        """Whether the model is about to speak, or speaks."""
        return self._speech is not None and not self._speech.done()

    # Its life

    async def run(self) -> None:
        """Serve the socket until it closes."""
        writer = self._spawn(self._write())
        try:
            async for frame in self._socket:
                self._frame(frame)
                if self.closed.is_set():
                    break
        except ConnectionClosed:
            pass
        finally:
            self.closed.set()
            self._out.put_nowait(None)
            with contextlib.suppress(TimeoutError, ConnectionClosed):
                async with asyncio.timeout(1):
                    await asyncio.shield(writer)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _write(self) -> None:
        while (text := await self._out.get()) is not None:
            await self._socket.send(text)
        await self._socket.close()

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def emit(self, kind: str, **fields: Any) -> None:
        """Send an event."""
        self._count += 1
        told = {"type": kind, "event_id": f"event_{self._count}", **fields}
        if self._faults.unknown_events:
            self._out.put_nowait(json.dumps({"type": "session.weather.updated", "event_id": f"odd_{self._count}"}))
        if kind == "session.output_audio.delta":
            del told["event_id"]
        else:
            self.sent.append(told)
        self._out.put_nowait(json.dumps(told))

    def _close(self, reason: str) -> None:
        seconds = round(time.monotonic() - self._began, 2)
        self.emit("session.closed", reason=reason, session=self._resource(), usage={"seconds": seconds})
        self.closed.set()
        self._out.put_nowait(None)

    def _resource(self) -> dict[str, Any]:
        expires = round(time.time()) + _LIFE_SECONDS
        return {
            "id": "sess_live",
            "expires_at": expires,
            "status": "active",
            **(self.config or {"model": "gpt-live-1"}),
        }

    # Client events

    def _frame(self, frame: str | bytes) -> None:
        about = None
        try:
            try:
                told = json.loads(frame)
            except ValueError:
                raise Refused("invalid_json", "The event is not JSON.") from None
            about = told.get("event_id") if isinstance(told, dict) else None
            event = check.event(told)
            if event["type"] != "session.input_audio.append":
                self.received.append(event)
            if (self.config is None) != (event["type"] == "session.start"):
                raise Refused("session_not_started" if self.config is None else "session_already_started", "Order.")
            self._handle(event)
        except Refused as refused:
            self.violations.append(f"{refused.code}: {refused}")
            error = {
                "type": "invalid_request_error", "code": refused.code, "message": str(refused), "param": refused.param,
                "client_event_id": about,
            }  # fmt: skip
            self.emit("error", error=error, client_event_id=about)

    def _handle(self, event: dict[str, Any]) -> None:
        at = round(self.audio_in / 8)
        match event["type"]:
            case "session.start":
                if code := self._faults.refuse_start:
                    raise Refused(code, "This session cannot be started.")
                self.config = check.session(event["session"])
                self._sound = Sound(self.config["audio"]["format"])
                self._began = time.monotonic()
                self.emit("session.started", session=self._resource(), client_event_id=event.get("event_id"))
                self._spawn(self._bill())
            case "session.update":
                self.config = check.update(event["session"], self.config or {})
                self.emit("session.updated", session=self._resource(), client_event_id=event.get("event_id"))
            case "session.input_audio.append":
                self._hear(self._sound.heard(b64decode(event["audio"])))
            case "session.output_audio.fixture.play":
                self._play(event["audio"], event.get("event_id"))
            case "decision.create" | "decision.item.create" | "decision.item.delete":
                self._decisions.handle(event)
            case "session.input_audio.mute" | "session.input_audio.unmute":
                self._is_muted = event["type"].endswith(".mute")
                self.emit(f"session.input_audio.{'muted' if self._is_muted else 'unmuted'}")
            case "session.instructions.append":
                self.emit("session.instructions.appended", start_ms=at, end_ms=at)
                self._answer()
            case "session.thinking.append" | "session.commentary.append":
                self.emit(f"{event['type']}ed", start_ms=at, end_ms=at)
            case "response.item.create":
                self._tool_output(event["item"])
            case "response.create":
                if self._calls:
                    raise Refused("tool_output_missing", f"No output for {', '.join(sorted(self._calls))}.")
                if self._delegated:
                    raise Refused("response_in_progress", "The response of this delegation has not ended yet.")
                self._answer()
            case "session.close":
                self._close("close_requested")

    def _tool_output(self, item: dict[str, Any]) -> None:
        call = item.get("call_id")
        if item.get("type") != "function_call_output" or not isinstance(item.get("output"), str):
            raise Refused("invalid_value", "Only outputs of functions are taken here.", "item")
        if not isinstance(call, str) or call not in self._calls:
            raise Refused("invalid_tool_call_id", f"There is no call '{call}' without an output.", "item.call_id")
        self._calls.discard(call)
        self.tool_outputs[call] = item["output"]

    # Hearing

    def _hear(self, audio: bytes) -> None:
        self.audio_in += len(audio)
        if self._is_muted:
            audio = b"\xff" * len(audio)
        for edge in self._vad.feed(audio):
            if edge.edge == "started":
                self._caller_began_ms = edge.at_ms
                self._spawn(self._heard_on(self._heard))
            else:
                self._heard += 1
                self._answer()

    async def _heard_on(self, number: int) -> None:
        """Write down what the caller says while they say it, and stop for them."""
        parts = words(self._script.transcript(number), 3)
        for count, part in enumerate(parts):
            await asyncio.sleep(0.2)
            if count == 0 and self.is_speaking and not self._faults.talks_on:
                assert self._speech is not None
                self._speech.cancel()
                self.interrupted += 1
            end = round(self.audio_in / 8)
            self.emit("session.input_transcript.delta", delta=part, start_ms=self._caller_began_ms, end_ms=end)

    # Speaking

    def _answer(self) -> None:
        if self._faults.mute or (self.is_speaking and self._faults.talks_on):
            return
        if self._speech is not None:
            self._speech.cancel()
        turn = self._script.turn(self._turns)
        self._turns += 1
        self._speech = self._spawn(self._say(turn.output))

    async def _say(self, output: tuple[Say | Call, ...]) -> None:
        await asyncio.sleep(self._pace.first_byte_ms / 1000)
        for each in output:
            if isinstance(each, Say):
                await self._speak(each)
            else:
                self._delegate(each)

    async def _speak(self, say: Say) -> None:
        audio = say.audio or tone(0.06 * max(len(say.text.split()), 2) * 3)
        size = _STEP_MS * 8
        pieces = [audio[at : at + size] for at in range(0, len(audio), size)]
        texts = words(say.text, len(pieces))
        began = time.monotonic()
        for number, piece in enumerate(pieces):
            at = round(self.audio_in / 8)
            first, behind = (-(-at_piece * len(texts) // len(pieces)) for at_piece in (number, number + 1))
            for text in texts[first:behind]:
                self.emit("session.output_transcript.delta", delta=text, start_ms=at, end_ms=at + _STEP_MS)
            delta = b64encode(self._sound.spoken(piece)).decode()
            self.emit("session.output_audio.delta", delta=delta, start_ms=at, end_ms=at + _STEP_MS)
            self.spoken_ms += len(piece) / 8
            if number == 5:
                await self._misbehave()
            await asyncio.sleep(max(began + (number + 1) * _STEP_MS / 1000 - time.monotonic(), 0))

    def _play(self, audio: str, about: str | None) -> None:
        """Play a recording of the client's (base64), which has the session's format already."""
        at = round(self.audio_in / 8)
        self.emit("session.output_audio.fixture.playing", client_event_id=about)
        self.emit("session.output_audio.delta", delta=audio, start_ms=at, end_ms=at)
        self.emit("session.output_audio.fixture.played", client_event_id=about)

    async def _misbehave(self) -> None:
        if reason := self._faults.close_reason:
            self._close(reason)
        if self._faults.drop:
            self._socket.transport.abort()

    def _delegate(self, call: Call) -> None:
        config = (self.config or {}).get("delegation") or {}
        self._count += 1
        name = f"dlg_{self._count}"
        target = config.get("type", "client")
        told: dict[str, Any] = {"id": name, "target": target, "type": "delegation"}
        if target != "responses":
            self.emit("session.delegation.created", delegation=told, offset_ms=0)
            return
        known = [tool.get("name") for tool in config["responses"].get("tools", [])]
        if call.name not in known:
            return  # a model calls only what it knows
        self.emit("session.delegation.created", delegation={**told, "response_id": f"resp_{name}"}, offset_ms=0)
        call_id = call.call_id or f"call_{name}"
        self._calls.add(call_id)
        item = {
            "type": "function_call", "id": f"fc_{name}", "call_id": call_id, "name": call.name, "arguments": call.json,
            "status": "completed",
        }  # fmt: skip
        done = {"type": "response.output_item.done", "output_index": 0, "sequence_number": 1, "item": item}
        self.emit("response.event", event=done, delegation_id=name)
        self._delegated.add(name)
        asyncio.get_running_loop().call_later(_STEP_MS / 1000, self._complete, name)

    def _complete(self, name: str) -> None:
        self._delegated.discard(name)
        if not self.closed.is_set():
            over = {
                "type": "response.completed",
                "sequence_number": 2,
                "response": {"id": f"resp_{name}", "usage": None},
            }
            self.emit("response.event", event=over, delegation_id=name)

    async def _bill(self) -> None:
        while not self.closed.is_set():
            await asyncio.sleep(_SECOND)
            self.emit("session.usage.updated", usage={"seconds": round(time.monotonic() - self._began, 2)})

    def drop(self) -> None:
        """Break the connection, without a word."""
        self._socket.transport.abort()

    async def wait_for(self, condition: Callable[[LiveSession], object], timeout: float = 10.0) -> None:
        """Wait at most `timeout` seconds until something holds. Raises TimeoutError."""
        async with asyncio.timeout(timeout):
            while not condition(self):  # noqa: ASYNC110 - conditions of tests, without an event
                await asyncio.sleep(0.01)
