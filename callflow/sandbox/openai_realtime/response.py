"""One response of the emulated model: its events in OpenAI's order, at the model's pace, until done or stopped.

Vendor: https://platform.openai.com/docs/api-reference/realtime-server-events/response/created
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from callflow.sandbox.openai_realtime.items import Item, Tokens, usage
from callflow.sandbox.openai_realtime.script import PCM, Ask, Call, Delta, Say, Turn, deltas, encode, tone, words
from callflow.sandbox.openai_realtime.state import SessionState


_ARGUMENT_PIECE: Final = 12
"""Characters in one delta of function call arguments."""
RATE_LIMITED: Final = "inference_rate_limit_exceeded"


@dataclass(slots=True)
class _Open:
    """The output item under way."""

    item: Item
    place: dict[str, Any]
    remaining: list[Delta] = field(default_factory=list)
    encoded: bytes = b""


class Response:
    """A response under way or done.

    Args:
        turn: what the script says.
        params: the `response` object of `response.create`; {}: a response that turn detection creates.
        on_end: called with the response and the tokens of the conversation after it.
    """

    def __init__(
        self,
        session: SessionState,
        turn: Turn,
        params: dict[str, Any],
        *,
        on_end: Callable[[Response, Tokens], None],
    ) -> None:
        config = session.config
        asked = (params.get("audio") or {}).get("output") or {}
        self.id = session.new_id("resp")
        self.turn = turn
        self.status = "in_progress"
        self.details: dict[str, Any] | None = None
        self.usage: dict[str, Any] | None = None
        self.items: list[Item] = []
        self.in_conversation = params.get("conversation", "auto") == "auto"
        """Whether it belongs to the default conversation: one such runs at a time, and only those are interrupted."""
        self.format: dict[str, Any] = asked.get("format") or config["audio"]["output"]["format"]
        self.voice = asked.get("voice") or config["audio"]["output"]["voice"]
        self.modalities: list[str] = params.get("output_modalities") or config["output_modalities"]
        self.max_output_tokens = params.get("max_output_tokens", config["max_output_tokens"])
        self.metadata = params.get("metadata")
        self.audio_ms = 0.0
        """Length of the audio sent so far, in ms."""
        self.first_audio_at: float | None = None
        self.ended_by_itself_at = float("-inf")
        """When it ended without having been cancelled, on the loop's clock."""
        self._session = session
        self._on_end = on_end
        self._taken = session.input_tokens(params)
        self._open: _Open | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def active(self) -> bool:
        """Whether the response is under way."""
        return self.status == "in_progress"

    def public(self) -> dict[str, Any]:
        """Return the response object as clients see it."""
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": self.status,
            "status_details": self.details,
            "output": [item.public() for item in self.items] if not self.active else [],
            "conversation_id": self._session.conversation_id if self.in_conversation else None,
            "output_modalities": self.modalities,
            "max_output_tokens": self.max_output_tokens,
            "audio": {"output": {"format": self.format, "voice": self.voice}},
            "usage": self.usage,
            "metadata": self.metadata,
        }

    # -- its life

    def start(self) -> None:
        """Send `response.created` and begin to generate."""
        session = self._session
        if not session.faults.take("skip_response_created"):
            session.emit("response.created", response=self.public())
        if session.quirks.rate_limits == "start":
            session.emit_rate_limits(self._taken.total)
        self._task = session.spawn(self._run())

    def start_echo(self) -> None:
        """Open one message without an end, which `echo` fills; only a cancel ends it."""
        self._session.emit("response.created", response=self.public())
        self._open_message("")

    def echo(self, base64: str, size: int) -> None:
        """Send the caller's audio back unchanged."""
        current = self._open
        if current is not None:
            self._send(current, Delta(size / current.item.bytes_per_ms, size, base64))

    def stop(self, reason: str) -> None:
        """Cancel the response; `reason`: "turn_detected" or "client_cancelled"."""
        if self._task is not None:
            self._task.cancel()
        current = self._open
        if current is not None:
            late = self._session.faults.late_deltas
            for delta in current.remaining[:late]:
                self._send(current, delta)
            self._close("incomplete")
        self._finish("cancelled", {"type": "cancelled", "reason": reason})

    async def _run(self) -> None:
        session, turn = self._session, self.turn
        faults = session.faults
        first_byte = next(
            ms for ms in (faults.first_byte_ms, turn.first_byte_ms, session.pace.first_byte_ms) if ms is not None
        )
        await self._wait(first_byte / 1000)
        for part in turn.output:
            if isinstance(part, Ask):
                self._ask(part)
            elif isinstance(part, Call):
                await self._call(part)
            else:
                for say in _split(part, faults.messages_per_response):
                    await self._say(say)
        if turn.status == "failed":
            self._taken = Tokens()
            self._finish("failed", {"type": "failed", "error": _error(turn.error_code or "server_error")})
        elif turn.status == "incomplete":
            self._finish("incomplete", {"type": "incomplete", "reason": turn.reason or "max_output_tokens"})
        else:
            self._finish("completed", None)

    async def _wait(self, seconds: float) -> None:
        pace = self._session.pace
        if seconds > 0 and pace.jitter:
            seconds *= 1 + pace.jitter * self._session.jitter.uniform(-1, 1)
        await asyncio.sleep(seconds)

    def _finish(self, status: str, details: dict[str, Any] | None) -> None:
        session = self._session
        self.status, self.details = status, details
        if status != "cancelled":
            self.ended_by_itself_at = session.now()
        given = sum((item.tokens for item in self.items), Tokens())
        self.usage = usage(self._taken, session.cached_tokens(self._taken), given)
        limits = session.quirks.rate_limits
        if limits == "before_done":
            session.emit_rate_limits(self.usage["total_tokens"])
        session.emit("response.done", response=self.public())
        if limits == "after_done":
            session.emit_rate_limits(self.usage["total_tokens"])
        self._on_end(self, self._taken + given)

    # -- messages

    def _open_item(self, data: dict[str, Any], **place: int) -> _Open:
        session = self._session
        item = Item({"id": session.new_id("item"), "object": "realtime.item", **data})
        index = len(self.items)
        self.items.append(item)
        session.emit("response.output_item.added", response_id=self.id, output_index=index, item=item.public())
        if self.in_conversation:
            previous = session.conversation.append(item)
            session.emit("conversation.item.added", previous_item_id=previous, item=item.public())
        current = _Open(item, {"response_id": self.id, "item_id": item.id, "output_index": index, **place})
        self._open = current
        return current

    def _open_message(self, phase: str) -> _Open:
        data: dict[str, Any] = {"type": "message", "status": "in_progress", "role": "assistant", "content": []}
        current = self._open_item(data | ({"phase": phase} if phase else {}), content_index=0)
        text = self.modalities == ["text"]
        current.item.data["content"] = [{"type": "output_text", "text": ""} if text else _spoken("")]
        part = {"type": "text", "text": ""} if text else {"type": "audio", "transcript": ""}
        self._session.emit("response.content_part.added", **current.place, part=part)
        current.item.bytes_per_ms = 48 if self._sent_format == PCM else 8
        return current

    @property
    def _sent_format(self) -> str:
        return PCM if self._session.faults.wrong_output_format else str(self.format["type"])

    async def _say(self, say: Say) -> None:
        session = self._session
        current = self._open_message(say.phase)
        content = current.item.data["content"][0]
        if content["type"] == "output_text":
            for piece in words(say.text, 8):
                content["text"] += piece
                session.emit("response.output_text.delta", **current.place, delta=piece)
                await asyncio.sleep(0)
            self._close("completed")
            return
        audio = say.audio or tone(0.065 * len(say.text), 300.0)
        sizes = () if session.faults.oversized_deltas else tuple(session.pace.delta_ms)
        current.encoded = encode(audio, self._sent_format)
        current.remaining = list(deltas(audio, self._sent_format, sizes, session.faults.odd_deltas))
        # The transcript usually runs ahead of the audio: all of it is out when half of the audio is.
        transcript = words(say.text, max(1, len(current.remaining) // 2))
        while current.remaining:
            if transcript:
                self._transcript(current, transcript.pop(0))
            delta = current.remaining.pop(0)
            self._send(current, delta)
            await self._wait(0 if math.isinf(session.pace.speed) else delta.ms / 1000 / session.pace.speed)
        for piece in transcript:
            self._transcript(current, piece)
        self._close("completed")

    def _transcript(self, current: _Open, piece: str) -> None:
        session = self._session
        current.item.data["content"][0]["transcript"] += piece
        extra = {"obfuscation": session.new_id("obf")[-10:]} if session.quirks.obfuscation else {}
        session.emit("response.output_audio_transcript.delta", **current.place, delta=piece, **extra)

    def _send(self, current: _Open, delta: Delta) -> None:
        session, item = self._session, current.item
        if self.first_audio_at is None:
            self.first_audio_at = session.now()
        self.audio_ms += delta.ms
        item.audio_ms += delta.ms
        sent = session.generated.setdefault(item.id, bytearray())
        sent += current.encoded[len(sent) : len(sent) + delta.size]
        item.audio += current.encoded[len(item.audio) : len(item.audio) + delta.size]
        session.voice_locked = True
        session.emit_audio(current.place, delta)

    # -- function calls

    async def _call(self, call: Call) -> None:
        session = self._session
        call_id = call.call_id or session.new_id("call")
        data = {"type": "function_call", "status": "in_progress", "name": call.name, "call_id": call_id}
        current = self._open_item({**data, "arguments": ""})
        arguments = call.json
        for start in range(0, len(arguments), _ARGUMENT_PIECE):
            piece = arguments[start : start + _ARGUMENT_PIECE]
            current.item.data["arguments"] += piece
            session.emit("response.function_call_arguments.delta", **current.place, call_id=call_id, delta=piece)
            await asyncio.sleep(0)
        self._close("completed")

    def _ask(self, ask: Ask) -> None:
        data = {"type": "mcp_approval_request", "server_label": ask.server, "name": ask.name, "arguments": ask.json}
        self._open_item(data)
        self._close("completed")

    def _close(self, status: str) -> None:
        """End the open item, also when the response is cut short: every `…done` comes all the same."""
        current, session = self._open, self._session
        if current is None:
            return
        self._open = None
        item, place = current.item, current.place
        is_message = item.data["type"] == "message"
        if is_message or item.data["type"] == "function_call":
            item.data["status"] = status
        if item.data["type"] == "function_call":
            session.emit(
                "response.function_call_arguments.done",
                **place,
                call_id=item.data["call_id"],
                name=item.data["name"],
                arguments=item.data["arguments"],
            )
        elif item.spoken:
            transcript = item.data["content"][0]["transcript"]
            session.emit("response.output_audio.done", **place)
            session.emit("response.output_audio_transcript.done", **place, transcript=transcript)
            session.emit("response.content_part.done", **place, part={"type": "audio", "transcript": transcript})
        elif is_message:
            text = item.data["content"][0]["text"]
            session.emit("response.output_text.done", **place, text=text)
            session.emit("response.content_part.done", **place, part={"type": "text", "text": text})
        session.emit(
            "response.output_item.done",
            response_id=self.id,
            output_index=place["output_index"],
            item=item.public(),
        )
        if self.in_conversation:
            previous = session.conversation.previous(item)
            session.emit("conversation.item.done", previous_item_id=previous, item=item.public())


def _spoken(transcript: str) -> dict[str, Any]:
    return {"type": "output_audio", "transcript": transcript}


def _split(say: Say, pieces: int) -> list[Say]:
    """The message as several ones, as 2.x models send long answers."""
    texts = [text.strip() for text in words(say.text, pieces)] if pieces > 1 else [say.text]
    if len(texts) < 2 or not say.audio:
        return [say]
    length = -(-len(say.audio) // len(texts))
    length += -length % 160
    return [replace(say, text=text, audio=say.audio[n * length : (n + 1) * length]) for n, text in enumerate(texts)]


def _error(code: str) -> dict[str, Any]:
    if code == RATE_LIMITED:
        message = "Rate limit reached for gpt-realtime on requests per day (RPD): Limit 1000, Used 1000, Requested 1."
        return {"type": "invalid_request_error", "code": code, "message": message}
    kind = "server_error" if code == "server_error" else "invalid_request_error"
    return {"type": kind, "code": code, "message": "The server had an error while processing your request."}
