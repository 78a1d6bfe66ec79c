"""The hot path: 50 frames a second each way, and nothing on it waits for anything but the two sockets and the pacer.

From the caller: media socket -> dialect -> engine, base64 untouched. To the caller: engine -> playout ledger -> dialect
-> media socket. The relay owns one call's media socket at a time and its playout; it decides what concerns audio within
one tick of the loop (an interruption: stop, clear, truncate) and tells the call everything else as events.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from callflow import events
from callflow.contracts import (
    Dialect,
    Engine,
    ResponseDone,
    ResponseStarted,
    Speech,
    SpeechDone,
    SpeechStarted,
    SpeechStopped,
    Start,
    Wire,
)
from callflow.conversation import Conversation
from callflow.events import Event, LegIds
from callflow.media import g711
from callflow.media.clips import Clip
from callflow.media.playout import Cut, Heard, Key, Playout, Send
from callflow.media.stream import MediaSettings, Stream


log = logging.getLogger(__name__)

_CLIP: Final = "clip:"
_MARK_SECONDS: Final = 1.0
"""How late the mark of a clip's end may be before the clock is believed instead."""
_MOST_RESPONSES: Final = 64


class Relay:
    def __init__(
        self,
        *,
        call: str,
        ids: Callable[[], LegIds],
        settings: MediaSettings,
        clips: Mapping[str, Clip],
        post: Callable[[Event], None],
        note: Callable[..., None],
    ) -> None:
        self.call, self._ids, self._settings, self._clips = call, ids, settings, clips
        self._post, self._note = post, note
        self._loop = asyncio.get_running_loop()
        self._clock = self._loop.time
        self.playout = Playout(lead_ms=settings.lead_ms, mark_every_ms=settings.mark_every_ms)
        self.conversation = Conversation()
        self.counts: Counter[str] = Counter()
        self.engine: Engine | None = None
        self._stream: Stream | None = None
        self._pacer: asyncio.TimerHandle | None = None
        self._mute: asyncio.TimerHandle | None = None
        self._clip_end: asyncio.TimerHandle | None = None
        self._answered = False
        self._parting = False
        self._responses: dict[str, None] = {}
        self.caller_stopped: float | None = None
        self.answered_at: float | None = None
        self.first_word_ms: float | None = None
        """From the answer to the first audio of the agent on its way to the carrier."""
        self.reply_ms: list[float] = []
        """From the engine's notice that the caller has stopped to the first audio of the reply on its way."""

    # The media socket

    @property
    def is_attended(self) -> bool:
        return self._stream is not None

    async def attend(self, wire: Wire, dialect: Dialect, secret: str) -> None:
        """Serve one media socket until it ends or `close`; the caller of this lends the socket for that long."""
        stream = Stream(self, wire, dialect, secret, self._settings)
        self._stream = stream
        if self._answered:
            stream.await_start()
        try:
            reason = await stream.run()
        finally:
            if self._stream is stream:
                self._stream = None
            self._stop_pacer()
        if self._clip_end is not None:
            self._clip_end.cancel()
            self._clip_end = None
        if stream.started:
            self._cut_off()
        self._post(events.MediaLost(reason=reason))

    def answered(self) -> None:
        """The call is up: from now on an open socket owes us its `start`."""
        if not self._answered:
            self._answered = True
            self.answered_at = self._clock()
            if self._stream is not None:
                self._stream.await_start()

    async def close(self) -> None:
        self._parting = True
        self._stop_pacer()
        self._speech_came()
        if self._clip_end is not None:
            self._clip_end.cancel()
        if self._stream is not None:
            await self._stream.close(1000, "the call is over")

    # From the caller

    def started(self, stream: str, encoding: str) -> None:
        self._answered = True
        self.answered_at = self.answered_at or self._clock()
        self._post(events.MediaStarted(stream=stream, encoding=encoding))
        self._pump()

    def is_ours(self, start: Start) -> bool:
        ids = self._ids()
        return not start.call or start.call == ids.control or bool(ids.session and start.session == ids.session)

    def refused(self, reason: str) -> None:
        self._post(events.MediaRefused(reason=reason))

    def digit(self, digit: str) -> None:
        self._post(events.Dtmf(digit=digit))

    def marked(self, name: str) -> None:
        self._heard(self.playout.mark(name, self._clock()))
        self._pump()

    def _heard(self, heard: list[Heard]) -> None:
        for key, _ in heard:
            if key.item.startswith(_CLIP):
                self._clip_played(key.item.removeprefix(_CLIP))
        if heard and not self.playout.is_unplayed(self._clock()):
            self.conversation.agent_is_heard()

    # From the engine: called in the engine's order, on the loop

    def expect_speech(self) -> None:
        """It is the engine's turn. One that stays mute is as good as lost: nobody is left in silence."""
        if self._mute is None and not self._parting:
            seconds = self._settings.reply_seconds
            lost = events.EngineLost(reason=f"it has said nothing for {seconds:g} s")
            self._mute = self._loop.call_later(seconds, self._post, lost)

    def _speech_came(self) -> None:
        if self._mute is not None:
            self._mute.cancel()
            self._mute = None

    def speech(self, heard: Speech) -> None:
        self._speech_came()
        if self._parting:
            return
        if self.playout.add(Key(heard.item, heard.content), heard.response, heard.audio):
            self._pump()

    def speech_done(self, done: SpeechDone) -> None:
        self._heard(self.playout.finish(Key(done.item, done.content)))
        self._pump()

    def response_started(self, started: ResponseStarted) -> None:
        self._responses[started.response] = None
        if len(self._responses) > _MOST_RESPONSES:  # an engine that never ends what it began
            del self._responses[next(iter(self._responses))]

    def response_done(self, done: ResponseDone) -> None:
        self._responses.pop(done.response, None)
        if done.status != "failed":  # it may have nothing to say; but one that failed still owes its words
            self._speech_came()
        self._heard(self.playout.finish_response(done.response))
        self._pump()

    def speech_started(self, _: SpeechStarted) -> None:
        """The caller breaks in: stop the queue, let the carrier throw away what it holds, tell the engine the truth."""
        self.caller_stopped = None
        self._speech_came()
        if self._parting:
            return
        now = self._clock()
        if self.playout.is_unplayed(now):
            self._interrupt(now)
        else:
            self.conversation.caller_speaks()
        for response in self._responses:
            self.playout.kill_response(response)
            if self.engine is not None and "interrupts_itself" not in self.engine.can:
                self.engine.cancel(response)

    def speech_stopped(self, _: SpeechStopped) -> None:
        self.caller_stopped = self._clock()
        self.conversation.caller_pauses()
        self.expect_speech()

    # To the caller

    def play_clip(self, name: str) -> None:
        """Say one of our own sentences now; the agent has said its last word."""
        clip = self._clips.get(name)
        now = self._clock()
        if self.playout.is_unplayed(now):
            self._interrupt(now)
        self._parting = True
        self._speech_came()
        if clip is None:
            log.error("call %s: there is no clip %r", self.call, name)
            self._clip_played(name)
        elif self._stream is not None:  # else its loss is on the way to the machine, which knows another voice
            key = Key(_CLIP + name)
            self.playout.add(key, _CLIP, clip.audio)
            self.playout.finish(key)
            self._pump()
            seconds = len(clip.audio) / (g711.BYTES_PER_MS * 1000) + _MARK_SECONDS
            self._clip_end = self._loop.call_later(seconds, self._clip_played, name)

    def _clip_played(self, name: str) -> None:
        """By the mark of its last byte; or by the clock, where the carrier returns no marks."""
        if self._clip_end is not None:
            self._clip_end.cancel()
            self._clip_end = None
        self._post(events.ClipPlayed(clip=name))

    def _interrupt(self, now: float) -> None:
        cuts = self.playout.interrupt(now)
        if self._stream is not None:
            self._stream.clear()
        if self.engine is not None and "truncates" in self.engine.can:
            for cut in cuts:
                if not cut.key.item.startswith(_CLIP):
                    self.engine.truncate(cut.key.item, cut.key.content, cut.heard_ms)
        self.conversation.interrupted(cuts)
        self._stop_pacer()
        self._note("interrupted", cuts=[self._describe(cut) for cut in cuts])

    def _describe(self, cut: Cut) -> dict[str, Any]:
        turn = self.conversation.turn(cut.key.item)
        words = turn.heard_text if turn is not None else ""
        return {"item": cut.key.item, "heard_ms": cut.heard_ms, "received_ms": cut.received_ms, "heard_text": words}

    def _cut_off(self) -> None:
        """The socket is gone, and what it held with it: the engine must not believe that it was heard."""
        if self.playout.is_unplayed(self._clock()):
            self._interrupt(self._clock())

    def _pump(self) -> None:
        """Send what is due, and come back when more will be."""
        stream = self._stream
        if stream is None or not stream.started:
            return
        now = self._clock()
        for out in self.playout.due(now):
            if isinstance(out, Send):
                stream.send_audio(out.audio)
                if self.caller_stopped is not None or self.first_word_ms is None:
                    self._note_first_audio(now)
            else:
                stream.send_mark(out.name)
        self._stop_pacer()
        wake = self.playout.wake_at(now)
        if wake is not None:
            self._pacer = self._loop.call_at(max(wake, now + 0.001), self._pump)

    def _note_first_audio(self, now: float) -> None:
        if self.first_word_ms is None and self.answered_at is not None:
            self.first_word_ms = (now - self.answered_at) * 1000
            self._note("first_word", ms=round(self.first_word_ms))
        elif self.caller_stopped is not None and len(self.reply_ms) < 10_000:
            self.reply_ms.append((now - self.caller_stopped) * 1000)
            self._note("reply", ms=round(self.reply_ms[-1]))
        self.caller_stopped = None
        if self.conversation.agent_speaks():
            self._note("agent_speaks")

    def _stop_pacer(self) -> None:
        if self._pacer is not None:
            self._pacer.cancel()
            self._pacer = None


def summary(relay: Relay) -> dict[str, Any]:
    """What is worth keeping of a call's media when it has ended."""
    return {
        **relay.counts,
        "first_word_ms": relay.first_word_ms,
        "reply_ms": [round(ms, 1) for ms in relay.reply_ms],
        "interruptions": relay.conversation.interruptions,
        "stale_marks": relay.playout.stale_marks,
        "late_bytes": relay.playout.late_bytes,
    }
