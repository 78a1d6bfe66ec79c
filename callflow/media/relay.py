"""The hot path: 50 frames a second each way, and nothing on it waits for anything but the two sockets and the pacer.

From the caller: media socket -> protocol -> listener, base64 untouched. To the caller: speech of the engine -> playout
-> protocol -> media socket. The relay owns one call's media socket at a time, and its playout. It knows bytes and not
turns: it reports to one `MediaListener`, and does what it is told within the same tick of the loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from callflow.contracts import events
from callflow.contracts.events import Event, LegIds
from callflow.contracts.media import Cut, Heard, Key, MediaProtocol, MediaSocket, StreamStarted
from callflow.journal import notes
from callflow.journal.notes import Note
from callflow.media import g711
from callflow.media.call_recorder import CallRecorder
from callflow.media.clip_player import ClipPlayer, is_clip
from callflow.media.clips import Clip
from callflow.media.frame_batcher import FrameBatcher
from callflow.media.media_config import MediaConfig
from callflow.media.media_stream import MediaStream
from callflow.media.playout import Playout, Send
from callflow.media.silence_filler import SilenceFiller
from callflow.timers import Timers


log = logging.getLogger(__name__)

_MARK_SECONDS: Final = 1.0
"""How late the mark of an end may be before the clock is believed instead."""
_BYTES_PER_SECOND: Final = g711.BYTES_PER_MS * 1000
_PROGRESS_SECONDS: Final = 0.5
"""How often the listener is told how far the caller is in what the agent says."""


class MediaListener(Protocol):
    """What the relay reports to: all that concerns turns. Times are of the loop's clock, in seconds.

    Everything is called on the event loop and must not block; the first two, once for each frame of the caller's.
    """

    def caller_payload(self, payload: str) -> None:
        """Audio of the caller's for the engine: base64 of µ-law, one frame or several joined."""

    def caller_frame(self, audio: bytes) -> None:
        """The same frame as µ-law bytes, for whatever listens beside the engine."""

    def stream_started(self, now: float) -> None:
        """The caller can hear us from now on."""

    def stream_paused(self) -> None:
        """Nobody can, until another stream starts."""

    def agent_silenced(self) -> None:
        """The agent has had its last word: a clip of ours ends the call, or the call is over."""

    def audio_sent(self, now: float, until: float, *, is_clip: bool) -> None:
        """Audio is on its way to the carrier; at `until` the caller will have heard all that was sent."""

    def began_to_be_heard(self, item: str, at: float) -> None:
        """The first audio of an item of the engine's came out of the caller's telephone."""

    def hearing(self, cut: Cut) -> None:
        """How far the caller is in what is being played, twice a second."""

    def heard(self, key: Key, ms: int) -> None:
        """The caller has heard the whole of a stretch of speech."""

    def played_out(self) -> None:
        """Everything that was sent has been heard."""

    def cut_off(self, cuts: Sequence[Cut]) -> None:
        """What was being played was cut, and not by the caller: its stream is lost, or a clip ends the call. Without
        cuts: none of it was the engine's."""


class Relay:
    def __init__(
        self,
        *,
        call: str,
        ids: Callable[[], LegIds],
        config: MediaConfig,
        clips: Mapping[str, Clip],
        post: Callable[[Event], None],
        note: Callable[[Note], None],
    ) -> None:
        """`ids`: the carrier's of this call, as they are now. `post`: an event for the call's machine. `note`: an entry
        for its journal."""
        self.call, self._ids, self._config = call, ids, config
        self._post, self._note = post, note
        self._loop = asyncio.get_running_loop()
        self._clock = self._loop.time
        self.playout = Playout(lead_ms=config.carrier_lead_ms, mark_every_ms=config.mark_every_ms)
        self.clips = ClipPlayer(clips, self.playout)
        self.counts: Counter[str] = Counter()
        self.listener: MediaListener | None = None
        self.caller_speaks = False
        """As the listener has said."""
        self.silence_filler = SilenceFiller(lambda: self.caller_speaks and self.is_flowing, self._pass_on)
        self.frame_batcher = (
            FrameBatcher(join_ms=config.join_ms, warm_up_ms=config.warm_up_ms, append=self._to_engine)
            if config.join_ms or config.warm_up_ms
            else None
        )
        self.recorder: CallRecorder | None = None
        self._stream: MediaStream | None = None
        self._timers = Timers()
        self._answered = False
        self.is_silenced = False
        """The agent has had its last word: nothing more of it is played."""
        self._unplayed = False
        self.answered_at: float | None = None
        self._progress_at = 0.0

    # The media socket

    @property
    def is_attended(self) -> bool:
        """There is a media socket, whether it has begun or not."""
        return self._stream is not None

    @property
    def is_flowing(self) -> bool:
        """The caller's audio flows, and ours would be heard."""
        return self._stream is not None and self._stream.started

    async def attend(self, socket: MediaSocket, protocol: MediaProtocol, secret: str) -> None:
        """Serve one media socket until it ends or `close`; it is lent for that long."""
        if self._stream is not None:  # it was lost, and nobody has noticed yet
            await self._stream.end("another stream took its place")
        stream = MediaStream(self, socket, protocol, secret, self._config)
        self._stream = stream
        if self._answered:
            stream.await_start()
        try:
            reason = await stream.run()
        finally:
            if self._stream is stream:
                self._stream = None
            self._timers.stop("pacer", "clip")
            if self.listener is not None:
                self.listener.stream_paused()
            stream.gone.set()
        if stream.started and self.playout.is_unplayed(self._clock()):
            # What the socket held is gone with it: the engine must not believe that it was heard.
            self._cut_off()
        self._post(events.MediaLost(reason=reason))

    def answered(self) -> None:
        """The call is up: from now on an open socket must send its `start`."""
        if not self._answered:
            self._answered = True
            self.answered_at = self._clock()
            if self._stream is not None:
                self._stream.await_start()

    async def close(self) -> None:
        """Close the media socket and the recording; nothing is played any more."""
        self._silence()
        self.silence_filler.stop()
        if self.frame_batcher is not None:
            self.frame_batcher.flush()
        self._timers.stop("pacer", "heard-out", "clip")
        if self._stream is not None:
            await self._stream.close(1000, "the call is over")
        if self.recorder is not None:
            await self.recorder.close()

    # From the caller: told by the media stream

    def append(self, payload: str, audio: bytes) -> None:
        """One frame of the caller's: base64 of µ-law, and the same decoded."""
        self.silence_filler.frame()
        self._pass_on(payload, audio)

    def _pass_on(self, payload: str, audio: bytes) -> None:
        if self.recorder is not None:
            self.recorder.caller(audio)
        if self.listener is not None:
            if self.frame_batcher is None:
                self.listener.caller_payload(payload)
            else:
                self.frame_batcher.add(audio)
            self.listener.caller_frame(audio)

    def _to_engine(self, payload: str) -> None:
        if self.listener is not None:
            self.listener.caller_payload(payload)

    def started(self, stream: str, encoding: str) -> None:
        """The carrier's `start` frame has come: audio flows both ways."""
        self._answered = True
        now = self._clock()
        self.answered_at = self.answered_at or now
        self._post(events.MediaStarted(stream=stream, encoding=encoding))
        self.pump()
        if self.listener is not None:
            self.listener.stream_started(now)

    def is_ours(self, start: StreamStarted) -> bool:
        """Whether a stream that begins belongs to this call, as far as its carrier says."""
        ids = self._ids()
        return not start.call or start.call == ids.control or bool(ids.session and start.session == ids.session)

    def refused(self, reason: str) -> None:
        """The stream cannot be read."""
        self._post(events.MediaRefused(reason=reason))

    def digit(self, digit: str) -> None:
        """The caller has pressed a key."""
        self._post(events.Dtmf(digit=digit, source="stream"))

    def marked(self, name: str) -> None:
        """A mark has come back: the audio before it was played."""
        now = self._clock()
        began = self.playout.began(name)
        heard = self.playout.mark(name, now)
        if began is not None and self.listener is not None and not is_clip(began[0].item):
            self.listener.began_to_be_heard(began[0].item, now - began[1])
        self._tell_heard(heard)
        self._tell_progress(now)
        self.pump()

    def _tell_progress(self, now: float) -> None:
        if now - self._progress_at < _PROGRESS_SECONDS:
            return
        cut = self.playout.hearing(now)
        if cut is None or is_clip(cut.key.item) or self.listener is None:
            return
        self._progress_at = now
        self.listener.hearing(cut)

    def _tell_heard(self, heard: Sequence[Heard]) -> None:
        for key, ms in heard:
            if not is_clip(key.item):
                if self.listener is not None:
                    self.listener.heard(key, ms)
            elif name := self.clips.ended_by(key.item):
                self._clip_played(name)
        self.check_played_out()

    def check_played_out(self) -> None:
        """Tell the listener if all that was sent has been heard by now."""
        if self._unplayed and not self.playout.is_unplayed(self._clock()):
            self._unplayed = False
            if self.listener is not None:
                self.listener.played_out()

    # To the caller: told by the listener, in the engine's order

    def add(self, key: Key, response: str, audio: bytes) -> bool:
        """Queue speech of the engine's: µ-law. `pump` sends it. Returns False for what belongs to something that was
        interrupted: it is dropped."""
        if self.is_silenced or not self.playout.add(key, response, audio):
            return False
        self._unplayed = True
        return True

    def discard(self, key: Key) -> bool:
        """Drop what more comes of a stretch that began after its response was interrupted. Returns False if it is
        dropped already, or nothing of the agent's is played any more."""
        if self.is_silenced or self.playout.is_discarded(key):
            return False
        self.playout.discard_item(key)
        return True

    def finish(self, key: Key) -> None:
        """The engine has said all of that stretch."""
        self._tell_heard(self.playout.finish(key))
        self.pump()

    def finish_response(self, response: str) -> None:
        """The engine has said all of that response."""
        self._tell_heard(self.playout.finish_response(response))
        self.pump()

    def interrupt(self, now: float) -> list[Cut]:
        """Stop the queue, and have the carrier throw away what it holds. Returns what was cut of the engine's."""
        cuts = self.playout.interrupt(now)
        self._unplayed = False
        if self.recorder is not None:
            self.recorder.cut(now)
        if self._stream is not None:
            self._stream.clear()
        self._timers.stop("pacer", "heard-out")
        return [cut for cut in cuts if not is_clip(cut.key.item)]

    def watch_caller(self) -> None:
        """The caller has begun to speak: from now on silence that a carrier does not send is made up."""
        self.caller_speaks = True
        self.silence_filler.watch()

    def play_clip(self, name: str) -> None:
        """Play one of our own sentences now; the agent has said its last word."""
        clip = self.clips.clip(name)
        self._silence()
        if self.playout.is_unplayed(self._clock()):
            self._cut_off()
        if clip is None:
            log.error("call %s: there is no clip %r", self.call, name)
            self._clip_played(name)
        elif self._stream is not None:  # else its loss is on the way to the machine, which knows another voice
            self.clips.put_last(clip, name)
            self._unplayed = True
            self.pump()
            seconds = len(clip.audio) / _BYTES_PER_SECOND + _MARK_SECONDS
            self._timers.start("clip", seconds, self._clip_played, name)

    def interject(self, name: str, *otherwise: str) -> bool:
        """Play one of our own sentences in the agent's stead, behind what is being said; the call goes on. Returns
        False if there is none, or nobody would hear it."""
        clip = self.clips.clip(name, *otherwise)
        if clip is None or self.is_silenced or not self.is_flowing:
            return False
        self.clips.put_filler(clip)
        self._unplayed = True
        self.pump()
        self._note(notes.Filler(clip=clip.name))
        return True

    def _silence(self) -> None:
        self.is_silenced = True
        if self.listener is not None:
            self.listener.agent_silenced()

    def _clip_played(self, name: str) -> None:
        """By the mark of its last byte; or by the clock, where the carrier returns no marks."""
        self._timers.stop("clip")
        self._post(events.ClipPlayed(clip=name))

    def _cut_off(self) -> None:
        cuts = self.interrupt(self._clock())
        if self.listener is not None:
            self.listener.cut_off(cuts)

    def pump(self) -> None:
        """Send what is due, and come back when more will be."""
        stream = self._stream
        if stream is None or not stream.started:
            return
        now = self._clock()
        sent = False
        for out in self.playout.due(now):
            if isinstance(out, Send):
                stream.send_audio(out.audio)
                sent = True
                if self.recorder is not None:
                    self.recorder.agent(out.audio, self.playout.ends_at(now) - len(out.audio) / _BYTES_PER_SECOND)
            else:
                stream.send_mark(out.name)
        if sent and self.listener is not None:
            self.listener.audio_sent(now, self.playout.ends_at(now), is_clip=is_clip(self.playout.sending.item))
        wake = self.playout.wake_at(now)
        if wake is not None:
            self._timers.start("pacer", max(wake - now, 0.001), self.pump)
            self._timers.stop("heard-out")
        else:
            self._timers.stop("pacer")
            if self._unplayed:  # its mark tells; or the clock, where the carrier returns none
                late = max(self.playout.ends_at(now) - now, 0.0) + _MARK_SECONDS
                self._timers.start("heard-out", late, self.check_played_out)


def summary(relay: Relay) -> dict[str, Any]:
    """What is worth keeping of a call's media when it has ended: counts of frames and bytes, and ms."""
    return {
        **relay.counts,
        "made_up_silence_ms": round(relay.silence_filler.seconds * 1000),
        "stale_marks": relay.playout.stale_marks,
        "late_bytes": relay.playout.late_bytes,
    }
