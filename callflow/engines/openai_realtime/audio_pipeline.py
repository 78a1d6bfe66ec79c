"""The audio of one session: passes the caller's audio to the server and the model's audio to the call, transcoded if
necessary.

The telephone's format is µ-law at 8 kHz, which we request from the server. Caller audio waits in a bounded queue until
the server has confirmed a format, because the server would read earlier audio in its default format.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from callflow.contracts.engine import AudioDelta, AudioDone
from callflow.engines.common.channel import Channel
from callflow.engines.openai_realtime import audio_format
from callflow.engines.openai_realtime.server_events import ServerEvent
from callflow.engines.openai_realtime.session import Session


log = logging.getLogger(__name__)

_APPEND: Final = '{"type":"input_audio_buffer.append","audio":"'
"""Written by hand: base64 needs no escaping, and the event is sent 50 times a second for each call."""
_FORMATS_SECONDS: Final = 3.0
"""How long the caller's audio waits for the server to confirm another format."""
_NO_STRETCH: Final = ("", 0, "")
_MOST_STRETCHES: Final = 16
"""The most stretches of speech decoded at the same time; more come only from a server that never ends them."""


class AudioPipeline:
    """Appends the caller's audio, and turns the model's audio into µ-law."""

    def __init__(self, session: Session, channel: Channel, played: Callable[[AudioDelta], bool]) -> None:
        """`played`: receives the model's audio as µ-law. Returns whether more of the same stretch may go straight to
        the call, as long as the server sends nothing else."""
        self._session, self._channel, self._played = session, channel, played
        config = session.config
        self.appended = 0
        """Bytes of caller audio sent in this session, counted as µ-law: 8 for each ms."""
        self.has_spoken = False
        """The model has sent audio."""
        self.most_waiting = int(config.buffer_seconds * 8000)
        """The most bytes of caller audio that may wait, as µ-law."""
        self._buffer_seconds = config.buffer_seconds
        self._waiting: list[str] = []
        self._waiting_bytes = 0
        self._flows = False
        """Caller audio is sent at once; False: it waits."""
        self._is_ready = False
        self._is_closed = False
        self._awaits_format = False
        """Another format was requested, so the format in which the server reads our audio is unknown."""
        self._awaits_resampler = False
        self._wanted = config.engine_audio
        self._confirmed = {"input": config.engine_audio, "output": config.engine_audio}
        """The formats that the server confirmed last."""
        self._detected = ""
        """The detected format of the server's audio since that confirmation; "": unknown."""
        self._to_server: audio_format.FromTelephone | None = None
        """None: µ-law passes through unchanged."""
        self._stretches: dict[tuple[str, int], audio_format.ToTelephone] = {}
        """By item and content index."""
        self._has_complained = False
        self._plain = _NO_STRETCH
        """Item, content index and response of the one whose audio goes straight to the call."""

    # Caller audio

    def append(self, payload: str) -> None:
        """Send caller audio: base64 of µ-law. It waits while the session is not ready.

        Vendor: https://platform.openai.com/docs/api-reference/realtime-client-events/input_audio_buffer/append
        """
        size = len(payload) // 4 * 3 - payload.count("=", -2)
        if self._flows and self._channel.socket is not None:
            self.appended += size
            if self._to_server is not None:
                payload = self._to_server.feed(payload)
            if payload:  # the resampler delays a part
                self._channel.socket.put(f'{_APPEND}{payload}"}}')
        elif not self._is_closed:
            self._waiting.append(payload)
            self._waiting_bytes += size
            if self._waiting_bytes > self.most_waiting:
                self._channel.give_up(f"caller audio has waited {self._buffer_seconds:g} s for it")

    def await_session(self) -> None:
        """Count from now on how long caller audio waits: what is here already has waited for another session."""
        self.most_waiting += self._waiting_bytes

    def begin(self) -> None:
        """Allow sending caller audio, because the session is ready. `resume` sends the queued audio."""
        self._is_ready = True
        self._update_flow()

    def resume(self, *, late: bool = False) -> None:
        """Send the queued audio, if the format in which the server reads it is known. `late`: do not wait for the
        format any longer.

        The server reads all audio after a `session.update` in the new format, but confirms the format later: audio in
        the old format sent in between would be noise.
        """
        if self._awaits_format and (late or not self._session.awaits_formats):
            self._awaits_format = False
            self._channel.stop_timer("formats")
        self._update_flow()
        if not self._flows:
            return
        while self._waiting:
            self.append(self._waiting.pop(0))
        self._waiting_bytes = 0

    def close(self) -> None:
        """Drop the queued audio and all later audio."""
        self._is_closed, self._flows = True, False
        self._plain = _NO_STRETCH
        self._waiting.clear()

    def ms_since(self, audio_end_ms: float) -> float:
        """Return how many ms of caller audio were sent after this position."""
        return max(self.appended / 8 - audio_end_ms, 0.0)

    def _update_flow(self) -> None:
        self._flows = self._is_ready and not (self._is_closed or self._awaits_format or self._awaits_resampler)

    # The model's audio

    def delta(self, event: AudioDelta) -> None:
        """Decode a piece of the model's audio and pass it on as µ-law."""
        item, content, response = self._plain
        if event.item == item and event.content == content and event.response == response:  # as nearly all audio is
            self._channel.notify(event)
            return
        if self._is_closed:
            return
        self.has_spoken = True
        key = (event.item, event.content)
        stretch = self._stretches.get(key)
        if stretch is None:
            stretch = self._begin_stretch(key, event.response)
        if stretch.is_plain:
            if self._played(event):
                self._plain = (*key, event.response)
            return
        audio = stretch.feed(event.audio)
        if stretch.is_held and not self._channel.is_timed(name := f"held {key}"):
            self._channel.start_timer(name, audio_format.HOLD_SECONDS, lambda: self._release(key))
        self._follow_format(stretch)
        if audio is event.audio:
            self._played(event)
        elif audio:
            self._played(event._replace(audio=audio))

    def _release(self, key: tuple[str, int]) -> None:
        """Play what is held back of a stretch, because the server has sent too little to detect its format."""
        stretch = self._stretches.get(key)
        if stretch is None or self._is_closed:
            return
        audio = stretch.assume()
        self._follow_format(stretch)
        if audio:
            self._played(AudioDelta(stretch.response, *key, audio))

    def _follow_format(self, stretch: audio_format.ToTelephone) -> None:
        """Do what the format of a stretch asks for, now that more of it has come."""
        if stretch.is_detected:
            self._detected = stretch.format
        if stretch.awaits_resampler and self._channel.socket is not None:
            self._channel.socket.hold()  # what comes later is behind this audio
            self._load_resampler()
        if stretch.is_unexpected:
            self._agree_on_pcm()

    def look_again(self) -> None:
        """Note that the server has sent something else than audio."""
        self._plain = _NO_STRETCH

    def done(self, event: AudioDone) -> None:
        """Pass on the rest of a complete stretch of speech."""
        stretch = self._stretches.pop((event.item, event.content), None)
        rest = stretch.end() if stretch is not None else b""
        if rest:
            self._played(AudioDelta(event.response, event.item, event.content, rest))

    def response_done(self, response: Any) -> None:
        """Pass on the rest of an ended response, because not every server sends `response.output_audio.done`."""
        for key, stretch in list(self._stretches.items()):
            if stretch.response and stretch.response == response:
                del self._stretches[key]
                rest = stretch.end()
                if rest:
                    self._played(AudioDelta(stretch.response, *key, rest))

    def _begin_stretch(self, key: tuple[str, int], response: str) -> audio_format.ToTelephone:
        if len(self._stretches) > _MOST_STRETCHES:
            del self._stretches[next(iter(self._stretches))]
        stretch = self._stretches[key] = audio_format.ToTelephone(self._confirmed["output"], self._detected)
        stretch.response = response
        return stretch

    # Formats

    def use_formats(self, event: ServerEvent) -> None:
        """Apply the formats of a `session.updated`: confirmed formats hold, whatever was requested.

        Vendor: https://platform.openai.com/docs/api-reference/realtime-server-events/session/updated
        """
        session = event.session if isinstance(event.session, dict) else {}
        for side in ("input", "output"):
            try:
                named = session["audio"][side]["format"]["type"]
            except (KeyError, TypeError):
                continue
            if not isinstance(named, str):
                continue
            confirmed = audio_format.NAMES.get(named)
            if confirmed is None:
                self._channel.give_up(f"the engine insists on {named} for its {side}", retry=False)
            elif confirmed != self._confirmed[side]:
                self._confirmed[side] = confirmed
                if side == "output":
                    self._detected = ""
                    for stretch in self._stretches.values():
                        stretch.declare(confirmed)
                if confirmed != self._wanted:
                    self._complain(f"{self._wanted} was asked for, and {named} confirmed for its {side}")
        self._use_input_format()

    def _use_input_format(self) -> None:
        if self._confirmed["input"] == audio_format.PCM24:
            if not audio_format.is_loaded():  # which a configuration that asks for PCM has seen to
                self._load_resampler()
            elif self._to_server is None:
                self._to_server = audio_format.FromTelephone()
        elif self._to_server is not None:
            rest, self._to_server = self._to_server.rest(), None
            if rest:
                self._waiting.insert(0, rest)
                self.resume()

    def _load_resampler(self) -> None:
        """Load the resampler in another thread, because loading takes about 0.1 s; caller audio waits."""
        if self._awaits_resampler:
            return
        self._awaits_resampler = True
        self._update_flow()
        loading = asyncio.get_running_loop().run_in_executor(None, audio_format.load)
        loading.add_done_callback(self._resampler_loaded)

    def _resampler_loaded(self, loading: asyncio.Future[None]) -> None:
        self._awaits_resampler = False
        if loading.cancelled() or loading.exception() is not None:
            self._channel.give_up("its audio cannot be transcoded", retry=False)
        elif not self._is_closed:
            self._use_input_format()
            self.resume()
            for (item, content), stretch in self._stretches.items():
                if stretch.awaits_resampler and (audio := stretch.feed(b"")):
                    self._played(AudioDelta(stretch.response, item, content, audio))
        if self._channel.socket is not None:
            self._channel.socket.release()

    def _agree_on_pcm(self) -> None:
        """Request PCM: a server that sends a format other than the confirmed one may misread our audio, too."""
        if self._wanted != audio_format.PCM24:
            self._complain(f"{self._confirmed['output']} was confirmed, and another format is sent")
            self._wanted = audio_format.PCM24
            self._awaits_format = True
            self._update_flow()
            self._session.request_formats(audio_format.PCM24)
            self._channel.start_timer("formats", _FORMATS_SECONDS, lambda: self.resume(late=True))

    def _complain(self, what: str) -> None:
        channel = self._channel
        if not self._has_complained:
            self._has_complained = True
            log.error("call %s: the engine's audio is wrong: %s; it is transcoded from here on", channel.call, what)
            channel.report("audio_format", f"{what}; it is transcoded from here on")
