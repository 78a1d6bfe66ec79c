"""The hot path: 50 frames a second each way, and nothing on it waits for anything but the two sockets and the pacer.

From the caller: media socket -> protocol -> agent, base64 untouched. To the caller: agent -> playout ledger -> protocol
-> media socket. The relay owns one call's media socket at a time and its playout; it decides what concerns audio within
one tick of the loop (an interruption: stop, clear, truncate) and tells its agent and the call everything else.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from callflow.agent.conversation import Conversation, describe
from callflow.agent.dead_air import DeadAir
from callflow.agent.response_latency import ResponseLatency
from callflow.contracts import events
from callflow.contracts.engine import AudioDelta, AudioDone, ResponseDone, SpeechStopped
from callflow.contracts.events import Event, LegIds
from callflow.contracts.media import Cut, Heard, Key, MediaProtocol, MediaSocket, StreamStarted
from callflow.media import g711
from callflow.media.call_recorder import CallRecorder
from callflow.media.clips import Clip
from callflow.media.frame_batcher import FrameBatcher
from callflow.media.media_config import MediaConfig
from callflow.media.media_stream import MediaStream
from callflow.media.playout import Playout, Send
from callflow.media.silence_filler import SilenceFiller


log = logging.getLogger(__name__)

_CLIP: Final = "clip:"
_MARK_SECONDS: Final = 1.0
"""How late the mark of an end may be before the clock is believed instead."""
_MOST_RESPONSES: Final = 64
_BYTES_PER_SECOND: Final = g711.BYTES_PER_MS * 1000
_PROGRESS_SECONDS: Final = 0.5
"""How often it is noted how far the caller is in what the agent says."""


class Mind(Protocol):
    """Whoever thinks for the agent: what the relay needs of it, and tells it."""

    interrupts_itself: bool
    """The engine stops its own response when it hears the caller."""

    def append(self, payload: str) -> None: ...

    def truncate(self, key: Key, heard_ms: int) -> None: ...

    def cancel(self, response: str) -> None: ...

    def interrupted(self, cuts: list[Cut]) -> None: ...

    def unnoticed(self) -> None:
        """The caller has said something, and the engine nothing about it."""

    def unended(self) -> None:
        """The caller has stopped, and the engine has not noticed."""

    def engine_silent(self, reason: str) -> None:
        """The engine owes words, and has said nothing for too long."""

    def heard_out(self) -> None:
        """Everything that was said has been heard, and nothing more is on its way."""

    def changed(self) -> None:
        """Somebody began or stopped to speak: look whose turn it is."""


class Relay:
    def __init__(
        self,
        *,
        call: str,
        ids: Callable[[], LegIds],
        config: MediaConfig,
        clips: Mapping[str, Clip],
        post: Callable[[Event], None],
        note: Callable[..., None],
    ) -> None:
        self.call, self._ids, self._config, self._clips = call, ids, config, clips
        self._post, self._note = post, note
        self._loop = asyncio.get_running_loop()
        self._clock = self._loop.time
        self.playout = Playout(lead_ms=config.carrier_lead_ms, mark_every_ms=config.mark_every_ms)
        self.conversation = Conversation()
        self.latency = ResponseLatency()
        self.dead_air = DeadAir(self, config)
        self.counts: Counter[str] = Counter()
        self.listener: Mind | None = None
        self.is_protected = False
        """What is being said may not be interrupted."""
        self.is_caller_speaking = False
        self.silence_filler = SilenceFiller(lambda: self.is_caller_speaking and self.is_flowing, self._pass_on)
        self.frame_batcher = (
            FrameBatcher(join_ms=config.join_ms, warm_up_ms=config.warm_up_ms, append=self._to_engine)
            if config.join_ms or config.warm_up_ms
            else None
        )
        self.spoken_over = False
        """The caller has spoken while that was not allowed to interrupt."""
        self.recorder: CallRecorder | None = None
        self._stream: MediaStream | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._answered = False
        self._parting = False
        self._unplayed = False
        self._fillers = 0
        self._responses: dict[str, None] = {}
        self._stillborn: set[Key] = set()
        """What an interrupted response still said, of which nobody was to hear anything."""
        self._last_clip = ""
        self.answered_at: float | None = None
        self._progress_at = 0.0
        self.first_word_ms: int | None = None
        """From the answer to the first audio of the agent on its way to the carrier, in whichever process that was."""
        self.reply_ms: list[int] = []
        """From the engine's notice that the caller has stopped to the first audio of the reply on its way."""
        self._noticed: float | None = None

    # The media socket

    @property
    def is_attended(self) -> bool:
        return self._stream is not None

    @property
    def is_flowing(self) -> bool:
        return self._stream is not None and self._stream.started

    async def attend(self, socket: MediaSocket, protocol: MediaProtocol, secret: str) -> None:
        """Serve one media socket until it ends or `close`; the caller of this lends the socket for that long."""
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
            self._stop("pacer", "clip")
            self.dead_air.pause()
            stream.gone.set()
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
        self.dead_air.leave()
        self.silence_filler.stop()
        if self.frame_batcher is not None:
            self.frame_batcher.flush()
        self._stop(*self._timers)
        if self._stream is not None:
            await self._stream.close(1000, "the call is over")
        if self.recorder is not None:
            await self.recorder.close()

    # From the caller

    def append(self, payload: str, audio: bytes) -> None:
        """One frame of the caller's."""
        self.silence_filler.frame()
        self._pass_on(payload, audio)

    def _pass_on(self, payload: str, audio: bytes) -> None:
        if self.recorder is not None:
            self.recorder.caller(audio)
        if self.listener is not None:
            if self.frame_batcher is None:
                self.listener.append(payload)
            else:
                self.frame_batcher.add(audio)
            self.dead_air.hear(audio)

    def _to_engine(self, payload: str) -> None:
        if self.listener is not None:
            self.listener.append(payload)

    def started(self, stream: str, encoding: str) -> None:
        self._answered = True
        self.answered_at = self.answered_at or self._clock()
        self.dead_air.sounds_until(self._clock())
        self._post(events.MediaStarted(stream=stream, encoding=encoding))
        self._pump()
        self.dead_air.look_later()
        if self.listener is not None:
            self.listener.changed()

    def is_ours(self, start: StreamStarted) -> bool:
        ids = self._ids()
        return not start.call or start.call == ids.control or bool(ids.session and start.session == ids.session)

    def refused(self, reason: str) -> None:
        self._post(events.MediaRefused(reason=reason))

    def digit(self, digit: str) -> None:
        self._post(events.Dtmf(digit=digit, source="stream"))

    def marked(self, name: str) -> None:
        now = self._clock()
        began = self.playout.began(name)
        heard = self.playout.mark(name, now)
        if began is not None and not began[0].item.startswith(_CLIP):
            waterfall = self.latency.heard(now - began[1])
            if waterfall is not None:
                self._note("latency", item=began[0].item, **waterfall)
        self._heard(heard)
        self._note_progress(now)
        self._pump()

    def _note_progress(self, now: float) -> None:
        """For whoever goes on with this call, should this process die just now."""
        if now - self._progress_at < _PROGRESS_SECONDS:
            return
        cut = self.playout.hearing(now)
        if cut is None or cut.key.item.startswith(_CLIP):
            return
        self._progress_at = now
        turn = self.conversation.turn(cut.key.item)
        words = {"so_far": turn.text} if turn is not None and turn.text and not turn.is_written else {}
        self._note("heard", item=cut.key.item, ms=cut.heard_ms, of_ms=cut.received_ms, done=False, **words)

    def _heard(self, heard: list[Heard]) -> None:
        for key, ms in heard:
            if not key.item.startswith(_CLIP):
                self.conversation.heard(key, ms)
                self._note("heard", item=key.item, ms=ms, of_ms=ms, done=True)
            elif key.item == f"{_CLIP}{self._last_clip}":
                self._clip_played(self._last_clip)
        self._check_heard_out()

    def _check_heard_out(self) -> None:
        if self._unplayed and not self.playout.is_unplayed(self._clock()):
            self._unplayed = False
            self.conversation.agent_is_heard()
            if self.listener is not None and not self._parting:
                self.listener.heard_out()

    # From the agent: called in the engine's order, on the loop

    @property
    def responses(self) -> list[str]:
        """Those under way at the engine."""
        return list(self._responses)

    def expect_speech(self, *, since: float | None = None, reply: bool = True, within: float | None = None) -> None:
        """It is the agent's turn: nobody is left in silence, and an engine that stays mute is as good as lost.

        `reply` False: it waits for something else first, such as a tool; `within`: the engine is in doubt, and has only
        so many seconds to begin.
        """
        if not self._parting and (
            self.is_protected or not self.is_caller_speaking
        ):  # else it is theirs until they stop
            self.dead_air.owe(since=since, reply=reply, within=within)

    def nothing_owed(self) -> None:
        self.dead_air.paid()

    @property
    def is_owed(self) -> bool:
        """The caller waits for the agent."""
        return self.dead_air.is_owed

    @property
    def hears_speech(self) -> bool:
        """Somebody is plainly speaking, whether the engine says so or not."""
        return self.dead_air.detector.hears_speech

    def restoring(self) -> None:
        """The engine is away for now. What it was saying ends where it ends."""
        self._responses.clear()
        for key, ms in self.playout.break_off():
            self.conversation.broke_off(key.item, ms)
        self._check_heard_out()
        self.is_caller_speaking = False
        self.dead_air.detector.forget()
        self.dead_air.restoring()
        self._pump()

    def restored(self) -> None:
        self.dead_air.restored()

    def speech(self, heard: AudioDelta, session: int) -> bool:
        """False: it belongs to something that was interrupted, and is dropped."""
        if self._parting:
            return False
        key = Key(heard.item, heard.content, session)
        if not self.playout.add(key, heard.response, heard.audio):
            if not self.playout.is_dead(key):  # it began after the interruption of its response
                self.playout.kill_item(key)
                self._stillborn.add(key)
            return False
        self.conversation.sounds(heard.item)
        self.dead_air.speaks()
        if self.latency.waits_for_audio:
            self.latency.generated(self._clock())
        self._unplayed = True
        self._pump()
        return True

    def speech_done(self, done: AudioDone, session: int) -> None:
        key = Key(done.item, done.content, session)
        if key in self._stillborn:
            self._stillborn.discard(key)
            if self.listener is not None:
                self.listener.truncate(key, 0)
            return
        self.conversation.complete(done.item)
        self._heard(self.playout.finish(key))
        self._pump()

    def response_started(self, response: str) -> None:
        self._responses[response] = None
        self.dead_air.begins()
        if self.is_caller_speaking and not self.is_protected and self._is_stopped_by_engine:
            self.playout.kill_response(response)  # it was on its way when they began
            if self.listener is not None:
                self.listener.cancel(response)
        if len(self._responses) > _MOST_RESPONSES:  # an engine that never ends what it began
            del self._responses[next(iter(self._responses))]

    def response_done(self, done: ResponseDone) -> None:
        self._responses.pop(done.response, None)
        if done.answered:
            self.nothing_owed()
        elif not done.final and not self.is_caller_speaking:
            self.expect_speech()
        self._heard(self.playout.finish_response(done.response))
        self._pump()

    def speech_started(self) -> None:
        """The caller breaks in: stop the queue, let the carrier throw away what it holds, tell the engine the truth."""
        self.dead_air.detector.began()
        self.is_caller_speaking = True
        self.silence_filler.watch()
        self._noticed = None
        self.latency.caller_goes_on()
        if self._parting:
            return
        if self.is_protected:
            self.spoken_over = True
            return
        self.nothing_owed()
        wait = 0 if self._is_stopped_by_engine else self._config.min_interruption_ms
        if wait and self.playout.is_unplayed(self._clock()):
            self._start("interruption", wait / 1000, self._break_in)
        else:
            self._break_in()

    @property
    def _is_stopped_by_engine(self) -> bool:
        return self.listener is None or self.listener.interrupts_itself

    def _break_in(self) -> None:
        now = self._clock()
        if self.playout.is_unplayed(now):
            self._interrupt(now)
        else:
            self.conversation.caller_speaks()
        self.drop_responses()

    def drop_responses(self) -> None:
        """Nothing of what the engine is saying just now is to be heard any more."""
        for response in self._responses:
            self.playout.kill_response(response)
            if not self._is_stopped_by_engine and self.listener is not None:
                self.listener.cancel(response)

    def speech_stopped(self, stopped: SpeechStopped) -> bool:
        """Whether the agent is to answer. False: a noise so short that nothing was stopped for it."""
        now = self._clock()
        self.dead_air.detector.ended()
        self.is_caller_speaking = False
        if self._stop("interruption"):
            self._note("false_start")
            return False
        self._noticed = now
        ago = None if stopped.ago_ms is None else stopped.ago_ms / 1000
        if not self.is_protected:
            self.latency.caller_stopped(now, ago)
            self.conversation.caller_pauses()
            self.expect_speech(since=now - (ago or 0.0))
        return True

    # To the caller

    def play_clip(self, name: str) -> None:
        """Say one of our own sentences now; the agent has said its last word."""
        clip = self._clips.get(name)
        now = self._clock()
        self._parting = True
        if self.playout.is_unplayed(now):
            self._interrupt(now, by_caller=False)
        self._stop("interruption")
        self.dead_air.leave()
        if clip is None:
            log.error("call %s: there is no clip %r", self.call, name)
            self._clip_played(name)
        elif self._stream is not None:  # else its loss is on the way to the machine, which knows another voice
            self._last_clip = name
            self._say_clip(clip, name)
            seconds = len(clip.audio) / (g711.BYTES_PER_MS * 1000) + _MARK_SECONDS
            self._start("clip", seconds, lambda: self._clip_played(name))

    def _say_clip(self, clip: Clip, item: str) -> None:
        key = Key(_CLIP + item, session=0)
        self.playout.add(key, _CLIP, clip.audio)
        self.playout.finish(key)
        self._unplayed = True
        self._pump()

    def _clip_played(self, name: str) -> None:
        """By the mark of its last byte; or by the clock, where the carrier returns no marks."""
        self._stop("clip")
        self._post(events.ClipPlayed(clip=name))

    def interject(self, name: str, *otherwise: str) -> bool:
        """Say one of our own sentences in the agent's stead, behind what is being said; the call goes on."""
        clip = next((self._clips[each] for each in (name, *otherwise) if each in self._clips), None)
        if clip is None or self._parting or not self.is_flowing:
            return False
        self._fillers += 1
        self._say_clip(clip, f"{clip.name}:{self._fillers}")
        self._note("filler", clip=clip.name)
        return True

    # What its company asks and tells

    def audible_until(self, now: float) -> float:
        return self.playout.ends_at(now)

    def filled(self, now: float) -> None:
        self.latency.filler(now)

    def engine_silent(self, reason: str) -> None:
        if self.listener is not None:
            self.listener.engine_silent(reason)

    def engine_missed_speech(self, since: float) -> None:
        self._note("engine_missed_speech")
        if self.listener is not None:
            self.listener.unnoticed()

    def unended(self, since: float) -> None:
        self._note("engine_missed_speech", end=True)
        if self.speech_stopped(SpeechStopped((self._clock() - since) * 1000)) and self.listener is not None:
            self.listener.unended()

    def _interrupt(self, now: float, *, by_caller: bool = True) -> None:
        cuts = self.playout.interrupt(now)
        self._unplayed = False
        if self.recorder is not None:
            self.recorder.cut(now)
        if self._stream is not None:
            self._stream.clear()
        said = [cut for cut in cuts if not cut.key.item.startswith(_CLIP)]
        if self.listener is not None:
            for cut in said:
                self.listener.truncate(cut.key, cut.heard_ms)
        self._stop("pacer", "heard-out")
        if not said:
            self.conversation.caller_speaks()
            return
        self.conversation.interrupted(said, by_caller=by_caller)
        self._note("interrupted", by_caller=by_caller, cuts=[self._describe(cut) for cut in said])
        if self.listener is not None and by_caller:
            self.listener.interrupted(said)

    def _describe(self, cut: Cut) -> dict[str, Any]:
        return describe(cut.key.item, cut.heard_ms, cut.received_ms, self.conversation.turn(cut.key.item))

    def _cut_off(self) -> None:
        """The socket is gone, and what it held with it: the engine must not believe that it was heard."""
        if self.playout.is_unplayed(self._clock()):
            self._interrupt(self._clock(), by_caller=False)

    def _pump(self) -> None:
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
        if sent:
            self.dead_air.sounds_until(self.playout.ends_at(now))
            if not self.playout.sending.item.startswith(_CLIP):
                self._note_first_audio(now)
        wake = self.playout.wake_at(now)
        if wake is not None:
            self._start("pacer", max(wake - now, 0.001), self._pump)
            self._stop("heard-out")
        else:
            self._stop("pacer")
            if self._unplayed:  # its mark tells; or the clock, where the carrier returns none
                late = max(self.playout.ends_at(now) - now, 0.0) + _MARK_SECONDS
                self._start("heard-out", late, self._check_heard_out)

    def _note_first_audio(self, now: float) -> None:
        if self.latency.waits_for_audio:
            self.latency.sent(now)
        if self.first_word_ms is None and self.answered_at is not None:
            self.first_word_ms = round((now - self.answered_at) * 1000)
            self._note("first_word", ms=self.first_word_ms)
        elif self._noticed is not None and len(self.reply_ms) < 10_000:
            self.reply_ms.append(round((now - self._noticed) * 1000))
            self._note("reply", ms=self.reply_ms[-1])
        self._noticed = None
        if self.conversation.agent_speaks():
            self._note("agent_speaks")

    # Timers, one of each name

    def _start(self, name: str, seconds: float, then: Callable[[], None]) -> None:
        self._stop(name)

        def fire() -> None:
            self._timers.pop(name, None)
            then()

        self._timers[name] = self._loop.call_later(seconds, fire)

    def _stop(self, *names: str) -> bool:
        """Whether any of them was running."""
        running = [self._timers.pop(name) for name in names if name in self._timers]
        for timer in running:
            timer.cancel()
        return bool(running)


def summary(relay: Relay) -> dict[str, Any]:
    """What is worth keeping of a call's media when it has ended."""
    return {
        **relay.counts,
        "first_word_ms": relay.first_word_ms,
        "reply_ms": relay.reply_ms,
        "latency": relay.latency.turns,
        "interruptions": relay.conversation.interruptions,
        "made_up_silence_ms": round(relay.silence_filler.seconds * 1000),
        "stale_marks": relay.playout.stale_marks,
        "late_bytes": relay.playout.late_bytes,
    }
