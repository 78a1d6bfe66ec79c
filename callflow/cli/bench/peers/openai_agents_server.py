"""A server for calls with openai-agents, for `scripts/bench --peers`: runs with that peer's own Python.

It does what the library's example for Twilio's media streams does, with Telnyx's frames: a `RealtimeRunner`, audio
gathered to 50 ms both ways, a mark behind each piece, and a `RealtimePlaybackTracker` that is fed by the marks.

Reads TELNYX_API_BASE, TELNYX_API_KEY, OPENAI_API_KEY and OPENAI_REALTIME_URL; prints its address as the server does.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import time
from typing import Any, Final

from agents.realtime import RealtimeAgent, RealtimePlaybackTracker, RealtimeRunner
from fastapi import WebSocket, WebSocketDisconnect

from callflow.cli.bench.peers import peer_server


_PIECE_BYTES: Final = 400
_FLUSH_SECONDS: Final = 0.05
_AGENT: Final = RealtimeAgent(name="Bench", instructions="You answer the telephone. Be brief.")


class _Line:
    """One call."""

    def __init__(self, caller: WebSocket) -> None:
        self._caller = caller
        self._tracker = RealtimePlaybackTracker()
        self._there, self._back = bytearray(), bytearray()
        self._there_at = self._back_at = time.monotonic()
        self._marks: dict[str, tuple[str, int, int]] = {}
        self._unsent: list[str] = []
        self._number = 0
        self._session: Any = None

    async def run(self) -> None:
        """Serve until the caller is gone."""
        settings = {
            "input_audio_format": "g711_ulaw",
            "output_audio_format": "g711_ulaw",
            "turn_detection": {"type": "semantic_vad", "interrupt_response": True, "create_response": True},
        }
        model = {
            "api_key": os.environ["OPENAI_API_KEY"],
            "url": f"{os.environ['OPENAI_REALTIME_URL']}?model=gpt-realtime",
            "initial_model_settings": settings,
            "playback_tracker": self._tracker,
        }
        async with await RealtimeRunner(_AGENT).run(model_config=model) as self._session:
            await self._session.send_message("Greet the caller.")
            tasks = [asyncio.create_task(work) for work in (self._from_model(), self._flush())]
            try:
                async for text in self._caller.iter_text():
                    await self._of_carrier(json.loads(text))
            except (WebSocketDisconnect, RuntimeError):
                pass
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _of_carrier(self, message: dict[str, Any]) -> None:
        if message["event"] == "media":
            self._there += base64.b64decode(message["media"]["payload"])
            if len(self._there) >= _PIECE_BYTES:
                await self._send_there()
        elif message["event"] == "mark":
            known = self._marks.pop(message["mark"]["name"], None)
            if known is not None:
                item, index, size = known
                self._tracker.on_play_bytes(item, index, bytes(size))

    async def _from_model(self) -> None:
        async for event in self._session:
            if event.type == "audio":
                self._number += 1
                self._marks[str(self._number)] = event.audio.item_id, event.audio.content_index, len(event.audio.data)
                self._unsent.append(str(self._number))
                self._back += event.audio.data
                if len(self._back) >= _PIECE_BYTES:
                    await self._send_back()
            elif event.type == "audio_interrupted":
                self._back.clear()
                self._unsent.clear()
                await self._caller.send_text('{"event":"clear"}')
            elif event.type == "audio_end":
                await self._send_back()

    async def _flush(self) -> None:
        """Send what did not become a whole piece."""
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            late = time.monotonic() - 2 * _FLUSH_SECONDS
            if self._there and self._there_at < late:
                await self._send_there()
            if self._back and self._back_at < late:
                await self._send_back()

    async def _send_there(self) -> None:
        audio, self._there_at = bytes(self._there), time.monotonic()
        self._there.clear()
        await self._session.send_audio(audio)

    async def _send_back(self) -> None:
        if not self._back:
            return
        audio, marks, self._back_at = bytes(self._back), self._unsent, time.monotonic()
        self._back.clear()
        self._unsent = []
        await self._caller.send_text(
            json.dumps({"event": "media", "media": {"payload": base64.b64encode(audio).decode()}})
        )
        for name in marks:
            await self._caller.send_text(json.dumps({"event": "mark", "mark": {"name": name}}))


async def _serve(caller: WebSocket) -> None:
    await caller.accept()
    await _Line(caller).run()


if __name__ == "__main__":
    os.environ["OPENAI_AGENTS_DISABLE_TRACING"] = "1"  # nothing is sent anywhere
    peer_server.main(_serve)
