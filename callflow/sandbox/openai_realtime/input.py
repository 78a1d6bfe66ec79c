"""The caller's side of a session: the input audio buffer, turn detection, commits, transcripts, the idle timeout.

Vendor: https://platform.openai.com/docs/api-reference/realtime-client-events/input_audio_buffer/append
"""

from __future__ import annotations

import asyncio
import binascii
from collections.abc import Callable
from typing import Any, Final

from callflow.sandbox.openai_realtime.errors import Refusal
from callflow.sandbox.openai_realtime.items import Item
from callflow.sandbox.openai_realtime.script import words
from callflow.sandbox.openai_realtime.state import SessionState
from callflow.sandbox.openai_realtime.vad import BYTES_PER_MS, Vad


MOST_BYTES: Final = 15 * 1024 * 1024
"""The most audio of one `input_audio_buffer.append`, in bytes."""
LEAST_COMMIT_MS: Final = 100
"""The least audio that can be committed."""
_BY_MINUTE: Final = ("gpt-transcribe", "gpt-live-transcribe", "gpt-realtime-whisper", "whisper-1")
"""Transcription models billed by duration; the others by tokens."""


class CallerAudio:
    """The caller's audio and the turns in it.

    Args:
        keep: whether `audio` keeps all of it.
        on_interruption: called when the caller begins to speak and `interrupt_response` is on.
        on_turn: called when a turn is to be answered: after the caller's speech, or after the idle timeout.
    """

    def __init__(
        self,
        session: SessionState,
        *,
        keep: bool,
        on_interruption: Callable[[], None],
        on_turn: Callable[[], None],
    ) -> None:
        self.audio = bytearray()
        self.clock_ms = 0.0
        """The clock of the speech events: the length of all audio since the session began, in ms."""
        self._session = session
        self._keep = keep
        self._on_interruption, self._on_turn = on_interruption, on_turn
        self._settings: dict[str, Any] = {}
        self._vad: Vad | None = None
        self._speech: tuple[str, int] | None = None
        """The item announced by `speech_started` and where it begins."""
        self._buffer_from_ms = 0.0
        self._format_since = (0, 0.0)
        """Byte and ms at which the present format began."""
        self._appended = b""
        """What was appended last, for `listen`."""
        self._turns = 0
        self._idle: asyncio.TimerHandle | None = None
        self.configure()

    def configure(self) -> None:
        """Apply the session's input settings. Speech under way is forgotten only if they changed."""
        wanted = self._session.config["audio"]["input"]
        settings = {"format": wanted["format"], "turn_detection": wanted["turn_detection"]}
        if settings == self._settings:
            return
        if self._settings.get("format") != settings["format"]:
            self._format_since = (len(self.audio), self.clock_ms)
        self._settings = settings
        self._reset_vad()
        if settings["turn_detection"] is None:
            self.disarm_idle()

    @property
    def _bytes_per_ms(self) -> int:
        return BYTES_PER_MS[self._settings["format"]["type"]]

    def _reset_vad(self) -> None:
        detection = self._settings["turn_detection"]
        self._speech = None
        self._vad = None
        if detection is not None and not self._session.script.echo:
            self._vad = Vad(detection, self._settings["format"]["type"], clock_ms=self.clock_ms)

    # -- client events

    def append(self, base64: str) -> int:
        """Add audio and return its number of bytes; call `listen` then to find the turns in it. Raises Refusal."""
        session = self._session
        if session.script.echo and not self._keep:
            return len(base64) // 4 * 3 - base64[-2:].count("=")
        try:
            audio = binascii.a2b_base64(base64, strict_mode=True)
        except binascii.Error:
            raise Refusal(
                "Invalid 'audio'. Expected base64-encoded audio bytes but got an invalid value.",
                "invalid_value",
                "audio",
            ) from None
        if len(audio) > MOST_BYTES:
            raise Refusal("Invalid 'audio': more than 15 MiB of audio in one event.", "invalid_value", "audio")
        if self._keep:
            self.audio += audio
        self.clock_ms += len(audio) / self._bytes_per_ms
        self._appended = audio
        return len(audio)

    def listen(self) -> None:
        """Find the turns in the audio just appended."""
        if self._vad is None:
            return
        for edge in self._vad.feed(self._appended):
            if edge.edge == "started":
                self._started(edge.at_ms)
            else:
                self._stopped(edge.at_ms)

    def commit(self) -> None:
        """Make an item of what is in the buffer. Raises Refusal when that is too short."""
        length = self.clock_ms - self._buffer_from_ms
        if length < LEAST_COMMIT_MS:
            raise Refusal(
                "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, "
                f"but buffer only has {length:.2f}ms of audio.",
                "input_audio_buffer_commit_empty",
            )
        self._commit(self._session.new_id("item"), self._buffer_from_ms, self.clock_ms)
        self._reset_vad()

    def clear(self) -> None:
        """Drop what is in the buffer."""
        self._buffer_from_ms = self.clock_ms
        self._reset_vad()
        self._session.emit("input_audio_buffer.cleared")

    # -- turns

    @property
    def _detection(self) -> dict[str, Any]:
        return self._settings["turn_detection"] or {}

    def _started(self, at_ms: int) -> None:
        session = self._session
        self.disarm_idle()
        self._speech = (session.new_id("item"), at_ms)
        session.emit("input_audio_buffer.speech_started", audio_start_ms=at_ms, item_id=self._speech[0])
        if self._detection["interrupt_response"]:
            self._on_interruption()

    def _stopped(self, at_ms: int) -> None:
        session = self._session
        if self._speech is None:
            return
        item_id, start = self._speech
        self._speech = None
        session.emit("input_audio_buffer.speech_stopped", audio_end_ms=at_ms, item_id=item_id)
        self._commit(item_id, start, at_ms)
        if self._detection["create_response"]:
            self._on_turn()

    def _commit(self, item_id: str, start_ms: float, end_ms: float, *, said: bool = True) -> None:
        session = self._session
        base, since = self._format_since
        first, last = (base + max(0, round((ms - since) * self._bytes_per_ms)) for ms in (start_ms, end_ms))
        data = {
            "id": item_id,
            "object": "realtime.item",
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [{"type": "input_audio", "transcript": None}],
        }
        item = Item(data, self.audio[first:last], end_ms - start_ms, self._bytes_per_ms)
        previous = session.conversation.append(item)
        self._buffer_from_ms = self.clock_ms
        session.emit("input_audio_buffer.committed", previous_item_id=previous, item_id=item_id)
        session.emit("conversation.item.added", previous_item_id=previous, item=item.public())
        session.emit("conversation.item.done", previous_item_id=previous, item=item.public())
        settings = session.config["audio"]["input"]["transcription"]
        if said:
            text = session.script.transcript(self._turns)
            self._turns += 1
            if settings is not None:
                session.spawn(self._transcribe(item, text, settings["model"]))

    async def _transcribe(self, item: Item, text: str, model: str) -> None:
        """Send the transcript. It runs beside the response: its events come before, within or after it."""
        session = self._session
        await asyncio.sleep(session.pace.transcription_ms / 1000)
        kind = "conversation.item.input_audio_transcription"
        place = {"item_id": item.id, "content_index": 0}
        if session.faults.transcription_fails:
            message = f"Input transcription failed for item '{item.id}'. 429 Too Many Requests."
            error = {"type": "transcription_error", "code": None, "message": message, "param": None}
            session.emit(f"{kind}.failed", **place, error=error)
            return
        for piece in words(text, 1 if model == "whisper-1" else 4):
            session.emit(f"{kind}.delta", **place, delta=piece)
        item.data["content"][0]["transcript"] = text
        seconds = item.audio_ms / 1000
        heard, written = max(1, round(seconds * 10)), -(-len(text) // 4)
        usage = {"type": "duration", "seconds": round(seconds, 3)}
        if model not in _BY_MINUTE:
            usage = {
                "type": "tokens",
                "total_tokens": heard + written,
                "input_tokens": heard,
                "input_token_details": {"text_tokens": 0, "audio_tokens": heard},
                "output_tokens": written,
            }
        session.emit(f"{kind}.completed", **place, transcript=text, usage=usage)

    # -- idle timeout

    def arm_idle(self, playback_s: float) -> None:
        """Start the idle timer; it counts from the end of the model's audio, `playback_s` seconds from now."""
        self.disarm_idle()
        limit = self._detection.get("idle_timeout_ms")
        if limit is not None:
            loop = asyncio.get_running_loop()
            self._idle = loop.call_later(
                (playback_s + limit / 1000) / self._session.quirks.idle_speed, self._idle_timeout, limit
            )

    def disarm_idle(self) -> None:
        """Stop the idle timer."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _idle_timeout(self, limit: int) -> None:
        self._idle = None
        if self._speech is not None:
            return
        session, item_id = self._session, self._session.new_id("item")
        start = max(0.0, self.clock_ms - limit)
        session.emit(
            "input_audio_buffer.timeout_triggered",
            audio_start_ms=round(start),
            audio_end_ms=round(self.clock_ms),
            item_id=item_id,
        )
        self._commit(item_id, self.clock_ms, self.clock_ms, said=False)
        self._on_turn()
