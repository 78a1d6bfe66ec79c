"""Events of a session beside a call, whose audio goes straight between caller and model: what is played, and keys."""

from __future__ import annotations

import asyncio
from typing import Final

from callflow.contracts.engine import KeyPressed
from callflow.contracts.events import DTMF_KEYS
from callflow.engines.common.channel import Channel
from callflow.engines.openai_realtime.remote_playout import RemotePlayout
from callflow.engines.openai_realtime.response_driver import ResponseDriver
from callflow.engines.openai_realtime.server_events import ServerEvent


_TRUNCATED_SECONDS: Final = 0.25
"""How long the server may take to say how far a response was heard, after it was cut off."""
_SPOKEN: Final = ("response.output_audio_transcript.delta", "response.output_audio_transcript.done")


class SidebandEvents:
    """Reads these events of one session, and reports them to the call."""

    def __init__(self, channel: Channel, responses: ResponseDriver) -> None:
        self._channel, self._responses = channel, responses
        self._clock = asyncio.get_running_loop().time
        self._playout = RemotePlayout()
        self._cleared_at = 0.0

    def words(self, event: ServerEvent) -> None:
        """Note speech of the model, by its transcript: the audio does not come here."""
        if event.type in _SPOKEN and event.response_id and event.item_id:
            self._playout.spoke(event.response_id, event.item_id)
            self._responses.spoke(event.response_id, event.item_id)

    def handle(self, event: ServerEvent) -> bool:
        """Handle an event. Returns False for one of another kind.

        Vendor: https://platform.openai.com/docs/api-reference/realtime-server-events/output_audio_buffer
        """
        playout, response = self._playout, event.response_id or ""
        match event.type:
            case "output_audio_buffer.started":
                self._tell_cut()
                self._channel.notify(playout.began(response, self._clock()))
            case "output_audio_buffer.stopped":
                self._channel.notify(playout.ended(response, self._clock(), cut=False))
            case "output_audio_buffer.cleared":
                self._tell_cut()
                playout.cleared, self._cleared_at = response, self._clock()
                if playout.is_told(response):
                    self._tell_cut()
                else:
                    self._channel.start_timer("cleared", _TRUNCATED_SECONDS, self._tell_cut)
            case "conversation.item.truncated":
                if event.item_id and event.audio_end_ms is not None:
                    playout.truncated(event.item_id, round(event.audio_end_ms))
                if playout.cleared and playout.is_told(playout.cleared):
                    self._tell_cut()
            case "input_audio_buffer.dtmf_event_received":
                if event.event and event.event.upper() in DTMF_KEYS:
                    self._channel.notify(KeyPressed(event.event.upper()))
            case _:
                return False
        return True

    def _tell_cut(self) -> None:
        self._channel.stop_timer("cleared")
        response, self._playout.cleared = self._playout.cleared, ""
        if response:
            self._channel.notify(self._playout.ended(response, self._cleared_at, cut=True))
