"""The hot path: 50 frames a second each way, which wait only for the two sockets and the pacer.

From the caller: media socket -> protocol -> listener, base64 untouched. To the caller: the engine's speech -> playout
-> protocol -> media socket. The relay owns the playout and one media socket at a time. It handles bytes, not turns: it
reports to one `MediaListener`, and serves the listener's requests within the same tick of the event loop.
"""

from __future__ import annotations

import asyncio
import logging
import math
import weakref
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from callflow.contracts import events
from callflow.contracts.back_references import to_owner
from callflow.contracts.event_tap import EventTap
from callflow.contracts.events import Event, LegIds
from callflow.contracts.media import Cut, Heard, MediaProtocol, MediaSocket, SpeechSegmentId, StreamStarted
from callflow.journal import notes
from callflow.media import g711
from callflow.media.audio_gates import AudioGates, silence
from callflow.media.call_recorder import CallRecorder
from callflow.media.clip_player import ClipPlayer, is_clip
from callflow.media.clips import Clip
from callflow.media.frame_batcher import FrameBatcher
from callflow.media.line_sounds import LineSounds
from callflow.media.media_config import MediaConfig
from callflow.media.media_listener import MediaListener
from callflow.media.media_stream import MediaStream
from callflow.media.playout import MARK_SECONDS, Playout, Send
from callflow.media.silence_filler import SilenceFiller
from callflow.media.voice_levels import AudioTap
from callflow.timers import Timer, Timers


log = logging.getLogger(__name__)

_BYTES_PER_SECOND: Final = g711.BYTES_PER_MS * 1000
_STALL_SECONDS: Final = 0.005
"""From which delay of the pacer on the process is taken to have stood still."""
_SAME_SECONDS: Final = 0.0005
"""Two times of the pacer with less between them count as the same."""
_PROGRESS_SECONDS: Final = 0.5
"""Interval of the reports how much of the agent's present speech the caller has heard."""


class Relay:
    """The audio of one call, in both directions: its media socket, one at a time, and its playout."""

    is_remote = False
    """The audio does not pass here: see `media/remote_line.py`."""

    @property
    def remote(self) -> str:
        """The carrier's id of such a call; "": it is none."""
        return ""

    def __init__(
        self,
        *,
        call: str,
        ids: Callable[[], LegIds],
        config: MediaConfig,
        clips: Mapping[str, Clip],
        post: Callable[[Event], None],
        note: Callable[[notes.Note], None],
    ) -> None:
        """`ids`: returns the carrier's ids of this call. `clips`: by name, in the language of the call. `post`: posts
        an event to the call's machine. `note`: adds a note to the journal."""
        self.call, self._ids, self._config = call, ids, config
        self.post, self._note = post, note
        loop = asyncio.get_running_loop()
        self._clock = loop.time
        self.playout = Playout(lead_ms=config.playout_lead_ms, mark_every_ms=config.mark_every_ms)
        self.clips = ClipPlayer(clips, self.playout)
        self.gates = AudioGates()
        this: Relay = weakref.proxy(self)  # for its part: see `contracts/back_references.py`
        self.sounds = LineSounds(this)
        self.counts: Counter[str] = Counter()
        self.frames_in = self.bytes_out = 0  # with every frame, and a Counter's key takes three times as long
        self.listener: MediaListener | None = None
        self.silence_filler = SilenceFiller(to_owner(self._caller_is_speaking), to_owner(self.pass_caller_frame))
        self.frame_batcher = (
            FrameBatcher(batch_ms=config.frame_batch_ms, warm_up_ms=config.warm_up_ms, append=to_owner(self._to_engine))
            if config.frame_batch_ms or config.warm_up_ms
            else None
        )
        self.recorder: CallRecorder | None = None
        self.taps: set[AudioTap] = set()
        """Get the audio of both sides, for those who watch or listen."""
        self.tap = EventTap()
        self.before_audio: Callable[[], object] | None = None
        """Called when a stream starts, before any audio of it."""
        self._stream: MediaStream | None = None
        self._timers = Timers()
        self._pacer = Timer(loop)
        self._heard_out = Timer(loop)
        """Takes the place of the last mark, for a carrier that returns no marks."""
        self._unplayed = False
        self.is_silenced = False
        """The agent has finished for good: its speech is no longer played."""
        self.answered_at: float | None = None
        self._progress_at = 0.0
        self._pump_at = math.inf
        """When the pacer is due."""

    @property
    def awaits_marks(self) -> bool:
        """Whether the carrier has not shown yet that the caller has heard everything, and still may."""
        return self.playout.awaits_marks(self._clock())

    # The media socket

    @property
    def has_socket(self) -> bool:
        """Whether there is a media socket, even if its stream has not started."""
        return self._stream is not None

    @property
    def is_flowing(self) -> bool:
        """Whether the stream has started: the caller's audio arrives, and ours would be heard."""
        return self._stream is not None and self._stream.started

    async def serve_socket(self, socket: MediaSocket, protocol: MediaProtocol, secret: str) -> None:
        """Serve one media socket until it ends or `close` is called."""
        if self._stream is not None:  # the previous stream was lost, but its end is not noticed yet
            await self._stream.end("another stream took its place")
        self._stream = stream = MediaStream(self, socket, protocol, secret, self._config, self.playout)
        if self.answered_at is not None:
            stream.await_start()
        try:
            reason = await stream.run()
        finally:
            if self._stream is stream:
                self._stream = None
            self._timers.stop("clip")
            self._stop_pacer()
            if self.listener is not None:
                self.listener.stream_paused()
            stream.gone.set()
        if stream.started:  # what is unplayed is lost with the socket: the engine must not believe that it was heard
            self._cut_off()
        self.post(events.MediaLost(reason=reason))

    def when_answered(self, begin: Callable[[], None]) -> None:
        """Call this at once: a session can be opened while it still rings."""
        begin()

    def answered(self, *, ago: float = 0.0) -> None:
        """Note that the call was answered, `ago` seconds ago: an open socket must send its `start` frame in time."""
        if self.answered_at is None:
            self.answered_at = self._clock() - ago
            if self._stream is not None:
                self._stream.await_start()

    async def hear_out(self) -> None:
        """End the media stream, and take what the carrier had sent before it knew: see `MediaStream`."""
        if self._stream is not None:
            await self._stream.hear_out()

    async def close(self) -> None:
        """Close the media socket and the recording; no audio is played any more."""
        self._silence()
        self.silence_filler.stop()
        self.sounds.close()
        if self.frame_batcher is not None:
            self.frame_batcher.flush()
        self._timers.stop("clip")
        self._stop_pacer()
        self._heard_out.stop()
        if self._stream is not None:
            await self._stream.close(1000, "the call is over")
        if not self.is_remote:
            self._cut_off()  # what waited for a stream that never came, or not again: nobody has heard it
        if self.recorder is not None:
            await self.recorder.close()

    # From the caller: called by the media stream

    def pass_caller_frame(self, payload: str, audio: bytes, *, made_up: bool = False) -> None:
        """Pass on a frame of the caller: base64 of µ-law, and the same decoded. `made_up`: it is not the caller's."""
        if self.silence_filler.is_watching and not made_up:
            self.silence_filler.frame()
        if self.gates.caller_is_shut:
            payload, audio = silence(len(audio))
        for tap in self.taps:
            tap.caller(audio)
        if self.recorder is not None:
            self.recorder.caller(audio)
        if self.listener is not None:
            if self.frame_batcher is None:
                self.listener.caller_payload(payload, audio)
            else:
                self.frame_batcher.add(audio)
            self.listener.caller_frame(audio)

    def _to_engine(self, payload: str, audio: bytes) -> None:
        if self.listener is not None:
            self.listener.caller_payload(payload, audio)

    def started(self, stream: str, encoding: str) -> None:
        """Note that the carrier's `start` frame has come: audio flows both ways."""
        now = self._clock()
        self.answered_at = self.answered_at or now
        if self.before_audio is not None:
            self.before_audio()
        self.post(events.MediaStarted(stream=stream, encoding=encoding))
        self.pump()
        if self.listener is not None:
            self.listener.stream_started(now)

    def is_ours(self, start: StreamStarted) -> bool:
        """Return whether a starting stream is this call's, by its ids; for a leg without any, the token has decided."""
        ids = self._ids()
        no_name_yet = not (ids.control or start.is_foreign)
        return no_name_yet or start.call in ("", ids.control) or bool(ids.session and start.session == ids.session)

    def refused(self, reason: str) -> None:
        """Report an unreadable stream, such as a stream with another codec."""
        self.post(events.MediaRefused(reason=reason))

    def digit(self, digit: str) -> None:
        """Report a key of the caller's telephone: `0` to `9`, `*`, `#` or `A` to `D`."""
        self.post(events.Dtmf(digit=digit, source="stream"))

    def marked(self, name: str) -> None:
        """Handle a returned mark: the audio before it was played."""
        now = self._clock()
        self._find_stall(now)
        began = self.playout.began(name)
        heard = self.playout.mark(name, now)
        if began is not None and self.listener is not None and not is_clip(began[0].item):
            self.listener.began_to_be_heard(began[0].item, now - began[1])
        self._tell_heard(heard)
        self._tell_progress(now)
        self.pump()

    def _tell_progress(self, now: float) -> None:
        if now - self._progress_at < _PROGRESS_SECONDS or (cut := self.playout.hearing(now)) is None:
            return
        if not is_clip(cut.key.item) and self.listener is not None:
            self._progress_at = now
            self.listener.hearing(cut)

    def _tell_heard(self, heard: Sequence[Heard]) -> None:
        for key, ms in heard:
            if not is_clip(key.item):
                if self.listener is not None:
                    self.listener.heard(key, ms)
            elif name := self.clips.ended_by(key.item):
                self._clip_played(name)
            else:
                self.sounds.heard(key.item)
        self.check_played_out()

    def check_played_out(self) -> None:
        """Report to the listener, once, if the caller has heard all audio."""
        if self._unplayed and not self.playout.is_unplayed(self._clock()):
            self._unplayed = False
            if self.listener is not None:
                self.listener.played_out()

    # To the caller: called by the listener, in the engine's order

    def queue_speech(self, key: SpeechSegmentId, response: str, audio: bytes) -> bool:
        """Queue µ-law audio of the engine's speech; `pump` sends it. Returns False if the audio is dropped, because its
        response or item was interrupted."""
        if self.is_silenced or self.gates.agent_is_shut or not self.playout.add(key, response, audio):
            return False
        self._unplayed = True
        return True

    def discard(self, key: SpeechSegmentId) -> bool:
        """Drop later audio of a stretch that began after its response was interrupted. Returns False if the stretch is
        dropped already, or the agent is silenced."""
        if self.is_silenced or self.playout.is_discarded(key):
            return False
        self.playout.discard_item(key)
        return True

    def finish(self, key: SpeechSegmentId) -> None:
        """Note that the engine has sent all audio of this stretch."""
        self._tell_heard(self.playout.finish(key))
        self.pump()

    def finish_response(self, response: str) -> None:
        """Note that this response has ended."""
        self._tell_heard(self.playout.finish_response(response))
        self.pump()

    def interrupt(self, now: float) -> list[Cut]:
        """Empty the queue, also the carrier's (`clear`). Returns the cut stretches of the engine's speech, in order."""
        self._find_stall(now)
        cuts = self.playout.interrupt(now)
        self._unplayed = False
        for tap in self.taps:
            tap.cut()
        if self.recorder is not None:
            self.recorder.cut(now)
        if self._stream is not None:
            self._stream.clear(self.playout.probe)
        self._stop_pacer()
        self._heard_out.stop()
        if not self.is_silenced:
            self.sounds.cut(cuts)
        return [cut for cut in cuts if not is_clip(cut.key.item)]

    def watch_caller(self) -> None:
        """Note that the caller has begun to speak: from now on, silence is generated where the carrier sends none."""
        self.silence_filler.watch()

    def _caller_is_speaking(self) -> bool:
        return self.listener is not None and self.listener.is_caller_speaking and self.is_flowing

    def play_clip(self, name: str) -> None:
        """Silence the agent and play the clip that ends the call. `ClipPlayed` is posted when it was heard."""
        clip = self.clips.clip(name)
        self._silence()
        self._cut_off()
        if clip is None:
            log.error("call %s: there is no clip %r", self.call, name)
            self._clip_played(name)
        elif self._stream is not None:  # otherwise the machine learns of the loss, and lets the carrier speak
            self.clips.put_last(clip, name)
            self._unplayed = True
            self.pump()
            self._timers.start("clip", len(clip.audio) / _BYTES_PER_SECOND + MARK_SECONDS, self._clip_played, name)

    def interject(self, name: str, *otherwise: str) -> bool:
        """Play the first of these clips that exists, behind the queued audio. False: the caller cannot hear it."""
        clip = self.clips.clip(name, *otherwise)
        if clip is None or self.gates.agent_is_shut or not self.put_sound(clip.name, clip.audio):
            return False
        self.pump()
        self._note(notes.Filler(clip=clip.name))
        return True

    def put_sound(self, name: str, audio: bytes) -> str:
        """Queue a sound of ours behind the queued audio; `pump` sends it. Returns the item under which it is played;
        "": it is not, because the caller could not hear it."""
        if self.is_silenced or not self.is_flowing:
            return ""
        self._unplayed = True
        return self.clips.put_next(name, audio)

    def queued_seconds(self) -> float:
        """Return how much audio waits to be sent."""
        return self.playout.waiting_ms / 1000

    def _silence(self) -> None:
        self.is_silenced = True
        if self.listener is not None:
            self.listener.agent_silenced()

    def _clip_played(self, name: str) -> None:
        """Report that the clip was heard: for its last mark, or by a timer if the carrier returns no marks."""
        self._timers.stop("clip")
        self.post(events.ClipPlayed(clip=name))

    def _cut_off(self) -> None:
        if self.playout.is_unplayed(now := self._clock()):
            cuts = self.interrupt(now)
            if self.listener is not None:
                self.listener.cut_off(cuts)

    def pump(self) -> None:
        """Send the audio and marks that are due, and start a timer for the next ones."""
        if (stream := self._stream) is None or not stream.started:
            return
        now = self._clock()
        self._find_stall(now)
        sent = False
        for out in self.playout.due(now):
            if isinstance(out, Send):
                stream.send_audio(out.audio)
                sent = True
                if self.taps or self.recorder is not None:
                    self._show(out.audio, now)
            else:
                stream.send_mark(out.name)
        stream.ping(self.playout, now)
        if sent and self.listener is not None:
            self.listener.audio_sent(now, self.playout.ends_at(now), is_clip=is_clip(self.playout.sending.item))
        wake = self.playout.wake_at(now)
        if wake is not None:
            if abs(wake - self._pump_at) > _SAME_SECONDS or not self._pacer.is_running:
                self._pump_at = max(wake, now + 0.001)
                self._pacer.start(self._pump_at - now, self.pump)
            self._heard_out.stop()
        else:
            self._stop_pacer()
            if self._unplayed:
                self._heard_out.start(max(self.playout.ends_at(now) - now, 0.0) + MARK_SECONDS, self._hear_out)

    def _hear_out(self) -> None:
        self.check_played_out()
        self.pump()  # waits again if the carrier seems to stand still

    def play_on(self, key: SpeechSegmentId, response: str, audio: bytes, now: float) -> bool:
        """Send more of the speech that plays, if nothing waits and no mark is due. Returns False otherwise, and does
        nothing then: call `add` and `pump`. Called 50 times a second while a model speaks no faster than we play."""
        if not self._unplayed or (stream := self._stream) is None or not stream.started:
            return False
        if self.is_silenced or self.gates.agent_is_shut:
            return False
        if now - self._pump_at > _STALL_SECONDS or (wake := self.playout.passes(key, response, audio, now)) is None:
            return False
        stream.send_audio(audio)
        if self.taps or self.recorder is not None:
            self._show(audio, now)
        self._pump_at = wake
        self._pacer.start(wake - now, self.pump)
        if self._heard_out.handle is not None:
            self._heard_out.stop()
        return True

    def _show(self, audio: bytes, now: float) -> None:
        audio = self.sounds.recorded(self.playout.sending.item, audio)
        self._keep(audio, self.playout.ends_at(now) - len(audio) / _BYTES_PER_SECOND)

    def send_at_once(self, audio: bytes, at: float) -> bool:
        """Send µ-law, a multiple of 20 ms, past the playout: the voice of a person in place of the agent's, which is
        neither paced nor interrupted. `at`: when the caller will hear it. Returns False if they cannot."""
        if self.is_silenced or self._stream is None or not self._stream.started:
            return False
        self._stream.send_audio(audio)
        self._keep(audio, at)
        return True

    def _keep(self, audio: bytes, at: float) -> None:
        """Give what was sent to those who listen, and to the recording."""
        for tap in self.taps:
            tap.agent(audio)
        if self.recorder is not None:
            self.recorder.agent(audio, at)

    def _stop_pacer(self) -> None:
        self._pacer.stop()
        self._pump_at = math.inf

    def _find_stall(self, now: float) -> None:
        """Tell the playout if the process stood still: the pacer is overdue, so marks are read late too."""
        if now - self._pump_at > _STALL_SECONDS:
            self.playout.stalled(now - self._pump_at, now)
            self._pump_at = math.inf
