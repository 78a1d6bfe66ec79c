"""Runs the turns of one call: handles the reports of engine, media and timers. Times are seconds of the loop's clock.

`turn_taking.py` decides whose turn it is, `barge_in.py` what an interruption means. A barge-in makes one call to the
media: `Relay.interrupt` stops the audio and returns what was cut.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Final

from callflow.agent import barge_in
from callflow.agent.agent_config import AgentConfig
from callflow.agent.barge_in import Interruption, Situation
from callflow.agent.continued_speech import ContinuedSpeech
from callflow.agent.conversation import Conversation, cut_note
from callflow.agent.dead_air import DeadAir
from callflow.agent.full_duplex import PAUSE_SECONDS, FullDuplexPace
from callflow.agent.response_latency import ResponseLatency
from callflow.agent.turn_listener import TurnListener
from callflow.agent.turn_taking import Floor, TurnTaking
from callflow.agent.whispers import Whispers
from callflow.contracts.engine import AudioDelta, AudioDone, ResponseDone, SpeechStopped
from callflow.contracts.media import Cut, SpeechSegmentId
from callflow.journal import notes
from callflow.journal.notes import Note
from callflow.media.relay import Relay
from callflow.timers import Timers


_MOST_REPLIES: Final = 10_000


class TurnManager:
    """The `MediaListener` of a call's relay, and the part of its agent that deals with time and sound."""

    def __init__(
        self,
        *,
        relay: Relay,
        config: AgentConfig,
        agent: TurnListener,
        continued: ContinuedSpeech,
        note: Callable[[Note], None],
    ) -> None:
        self._relay, self._config, self._agent, self._note = relay, config, agent, note
        self._clock = asyncio.get_running_loop().time
        self._timers, self.taking = Timers(), TurnTaking()
        self.interruption, self.conversation = Interruption(), Conversation()
        self.latency, self.continued = ResponseLatency(), continued
        self.dead_air = DeadAir(weakref.proxy(self), self.continued, config)
        self.whispers = Whispers(note)
        self._discarded: frozenset[SpeechSegmentId] = frozenset()
        """Stretches that began after their response was interrupted; they are not played."""
        self.stream_since: float | None = None
        """Since when the caller is heard by the newest stream; None: there was none yet."""
        self.first_word_ms: int | None = None
        """Ms from the answer of the call to the agent's first audio that is sent, here or in a process before."""
        self.reply_ms: list[int] = []
        """Ms from the engine's report that the caller has stopped to the first audio of each reply that is sent."""
        self._noticed: float | None = None
        self._pace = FullDuplexPace()
        self._silenced_for_good = False
        self.caller_payload = agent.caller_payload  # bound for speed (50 a second): next hop `EngineSessions.append`
        self.caller_frame = self.dead_air.caller_audio
        relay.listener = weakref.proxy(self)  # as for its other parts: see `contracts/back_references.py`

    # The state

    @property
    def is_unplayed(self) -> bool:
        """Whether the caller has not heard all of the agent's speech yet."""
        return self._relay.playout.is_unplayed(self._clock())

    @property
    def is_playing(self) -> bool:
        """Whether anything was played since the last interruption."""
        return self._relay.playout.position(self._clock()) > 0

    @property
    def is_answer_due(self) -> bool:
        """Whether the caller waits for an answer."""
        return self.dead_air.is_answer_due

    @property
    def may_be_answered(self) -> bool:
        """Whether the caller has just said something that an engine that decides for itself has not answered so far."""
        return self._pace.may_be_answered(self._clock())

    @property
    def is_filling(self) -> bool:
        """Whether the caller waits for an answer so long that one of our own sentences was played."""
        return self.dead_air.is_filling

    @property
    def engine_decides(self) -> bool:
        """Whether the engine decides by itself what of the caller's speech it answers."""
        return self._agent.engine_has("decides_itself")

    @property
    def is_silenced(self) -> bool:
        """Whether the agent is not to be heard: for good, while it is muted, or while the caller is on hold."""
        return self._silenced_for_good or self._relay.gates.agent_is_shut

    @property
    def hears_speech(self) -> bool:
        """Whether our own detector hears somebody speak, whatever the engine says."""
        return self.dead_air.detector.hears_speech

    def floor(self, *, tools_busy: bool, greeting_open: bool) -> Floor:
        """Return all that decides whose turn it is."""
        return Floor(
            caller_speaking=self.taking.caller_speaking,
            answer_due=self.is_answer_due,
            responses=self.taking.is_responding,
            tools_busy=tools_busy,
            unplayed=self.is_unplayed,
            greeting_open=greeting_open,
            may_go_on=self._pace.may_go_on(self._clock()),
        )

    # The answer that is due

    def expect_speech(self, *, since: float | None = None, reply: bool = True) -> None:
        """Begin the agent's turn: clips fill silences, and an engine that stays silent for too long counts as lost.

        `since`: when the caller's last word ended, on the loop's clock; None: now. `reply` False: the engine waits
        first, for a tool for example.
        """
        if self.taking.may_expect_agent(silenced=self._relay.is_silenced or self._relay.gates.agent_is_shut):
            self.dead_air.answer_due(since=since, reply=reply)

    def no_answer_due(self) -> None:
        """End the agent's turn: the answer was given, or none is due after all."""
        self.continued.stop()
        self.dead_air.answer_given()

    # The caller, as the engine hears them

    def caller_began(self) -> None:
        """Handle the engine's report that the caller has begun to speak."""
        self.dead_air.detector.began()
        self.taking.caller_began()
        self._relay.watch_caller()
        self._noticed = None
        self._pace.answered()
        self.latency.caller_goes_on()
        match barge_in.on_speech(self._situation()):
            case "ignore":
                return
            case "answer_later":
                self.taking.spoken_over = True
            case "wait":
                self.no_answer_due()
                self._timers.start("interruption", self._config.min_interruption_ms / 1000, self._take_turn)
            case "interrupt" | "listen":
                self.no_answer_due()
                self._take_turn()

    def _situation(self) -> Situation:
        return Situation(
            protected=self.taking.protected,
            silenced=self._relay.is_silenced,
            unplayed=self.is_unplayed,
            engine_stops_itself=self._agent.engine_has("interrupts_itself"),
            min_interruption_ms=self._config.min_interruption_ms,
        )

    def _take_turn(self) -> None:
        """Give the turn to the caller: stop the agent's speech and its responses."""
        if self.is_unplayed:
            self.cut(self._relay.interrupt(self._clock()), by_caller=True)
        else:
            self.conversation.caller_speaks()
        self.drop_responses()

    def cut_short(self) -> None:
        """Stop the agent's speech and its responses. The session goes on, and no answer is due."""
        if self.is_unplayed:
            self.cut(self._relay.interrupt(self._clock()), by_caller=False)
        self.drop_responses()
        self.no_answer_due()

    def silence(self, *, fills: bool = True) -> None:
        """Do the same, because the caller no longer listens. `fills`: whether clips fill the silence: nobody speaks."""
        self.cut_short()
        self.engine_away()
        if not fills:
            self.engine_back()

    def drop_responses(self) -> None:
        """Stop the running responses, and drop their audio."""
        for response in self.taking.responses:
            self._relay.playout.discard_response(response)
            if not self._agent.engine_has("interrupts_itself"):
                self._agent.cancel(response)

    def silence_for_good(self) -> None:
        """Stop the agent; from now on no clip fills a silence, and the other side cannot take the turn."""
        self.taking.protected = self._silenced_for_good = True
        self._timers.stop("interruption")
        self.silence()

    def caller_ended(self, stopped: SpeechStopped) -> bool:
        """Handle the engine's report that the caller has stopped. Returns whether the agent must answer: not after a
        sound too short to interrupt."""
        now = self._clock()
        self.dead_air.detector.ended()
        counts = not self._timers.stop("interruption")
        self.taking.caller_ended(counts=counts)
        if not counts:
            self._note(notes.FalseStart())
            return False
        self._noticed = now
        self.continued.stop()
        ago = (stopped.ago_ms or 0.0) / 1000
        if not self.taking.protected:
            self.latency.caller_stopped(now, None if stopped.ago_ms is None else ago)
            self.conversation.caller_pauses()
            if stopped.answer_due:
                self.expect_speech(since=now - ago)
            else:
                self._pace.asked(now)
                self._fell_silent()
        return True

    # The engine's speech, in its order

    def response_began(self, response: str) -> None:
        """Handle the beginning of a response."""
        self.dead_air.begins()
        self.interruption.response_began()
        self.whispers.response_began(response)
        plays = self.taking.response_began(response, engine_stops_itself=self._agent.engine_has("interrupts_itself"))
        if not plays or self._relay.gates.agent_is_shut:
            self._relay.playout.discard_response(response)
            self._agent.cancel(response)

    def speech(self, heard: AudioDelta, key: SpeechSegmentId) -> bool:
        """Play audio of the engine. Returns False if the audio is dropped, because its response was interrupted."""
        if not self._relay.queue_speech(key, heard.response, heard.audio):
            if self._relay.discard(key):  # it began after the interruption of its response
                self._discarded |= {key}
            return False
        self.conversation.sounds(heard.item)
        self.dead_air.speaks()
        if self.latency.waits_for_audio:
            self.latency.generated(self._clock())
        self._relay.pump()
        return True

    def speech_done(self, done: AudioDone, key: SpeechSegmentId) -> None:
        """Handle the end of a stretch: the engine has sent all its audio."""
        if key in self._discarded:
            self._discarded -= {key}
            self._agent.truncate(key, 0)
            return
        self.conversation.complete(done.item)
        self._relay.finish(key)

    def response_ended(self, done: ResponseDone) -> None:
        """Handle the end of a response."""
        self._fell_silent()
        self.whispers.response_ended(done)
        match self.taking.response_ended(done):
            case "given":
                self.no_answer_due()
            case "due":
                self.expect_speech()
        self._relay.finish_response(done.response)

    def _fell_silent(self) -> None:
        if self.engine_decides:
            self._pace.fell_silent(self._clock())
            self._timers.start("settled", PAUSE_SECONDS + 0.01, self.settled)

    def settled(self) -> None:
        """Look again at what waited for the end of a pause."""
        if not self._relay.is_silenced:
            self._agent.check_sentences()
            self._agent.changed()

    def engine_away(self) -> None:
        """Handle the loss of the session. Its unfinished speech ends with the audio received so far."""
        self.taking.forget_responses()
        self.continued.stop()
        self.whispers.session_lost()
        for key, ms in self._relay.playout.break_off():
            self.conversation.broke_off(key.item, ms)
        self._relay.check_played_out()
        self.taking.caller_speaking = False
        self.dead_air.detector.forget()
        self.dead_air.restoring()
        self._relay.pump()

    def engine_back(self) -> None:
        """Note that there is a session again."""
        self.dead_air.restored()

    def cut(self, cuts: Sequence[Cut], *, by_caller: bool) -> None:
        """Report to engine and journal how much of the cut stretches was heard."""
        for cut in cuts:
            self._agent.truncate(cut.key, cut.heard_ms)
        if not cuts:
            self.conversation.caller_speaks()
            return
        self.conversation.interrupted(cuts, by_caller=by_caller)
        turn = self.conversation.turn
        told = tuple(cut_note(cut.key.item, cut.heard_ms, cut.received_ms, turn(cut.key.item)) for cut in cuts)
        network, lag = self._relay.playout.network_ms, self._relay.playout.lag_ms
        self._note(notes.Interrupted(by_caller=by_caller, cuts=told, network_ms=network, carrier_lag_ms=lag))
        if by_caller:
            self.interruption.began(cuts)
            self._agent.interrupted(cuts)

    # Called by the relay (`MediaListener`)

    def stream_started(self, now: float) -> None:
        """Resume counting silence, because the caller can hear us."""
        self.stream_since = now
        self.dead_air.sounds_until(now)
        self.dead_air.look_later()
        self._agent.changed()

    def stream_paused(self) -> None:
        """Stop counting silence, because there is no stream."""
        self.dead_air.pause()

    def agent_silenced(self) -> None:
        """Stop the timers, because the agent's speech is no longer played."""
        self._timers.stop("interruption")
        self.dead_air.leave()

    def audio_sent(self, now: float, until: float, *, is_clip: bool) -> None:
        """Note that the caller hears audio until `until`, and measure the first audio of an answer."""
        self.dead_air.sounds_until(until)
        if not is_clip:
            self._note_first_audio(now)

    def _note_first_audio(self, now: float) -> None:
        if self.latency.waits_for_audio:
            self.latency.sent(now)
        if self.first_word_ms is None and self._relay.answered_at is not None:
            self.first_word_ms = round((now - self._relay.answered_at) * 1000)
            self._note(notes.FirstWord(ms=self.first_word_ms))
        elif self._noticed is not None and len(self.reply_ms) < _MOST_REPLIES:
            self.reply_ms.append(round((now - self._noticed) * 1000))
            self._note(notes.Reply(ms=self.reply_ms[-1]))
        self._noticed = None
        self._pace.answered()
        if self.conversation.agent_speaks():
            self._note(notes.AgentSpeaks())

    def began_to_be_heard(self, item: str, at: float) -> None:
        """Note how long the caller waited for this answer."""
        waterfall = self.latency.heard(at)
        if waterfall is not None:
            self._note(notes.Latency(item=item, **waterfall))

    def hearing(self, cut: Cut) -> None:
        """Journal how much was heard so far, for the process that takes the call over if this process dies."""
        turn = self.conversation.turn(cut.key.item)
        so_far = turn.text if turn is not None and not turn.is_written else ""
        self._note(notes.Heard(item=cut.key.item, ms=cut.heard_ms, of_ms=cut.received_ms, done=False, so_far=so_far))

    def heard(self, key: SpeechSegmentId, ms: int) -> None:
        """Note a stretch that was heard in full."""
        self.conversation.heard(key, ms)
        self._note(notes.Heard(item=key.item, ms=ms, of_ms=ms, done=True))

    def played_out(self) -> None:
        """Report to the agent that the caller has heard everything."""
        self.conversation.agent_is_heard()
        self._fell_silent()
        if not self._relay.is_silenced:
            self._agent.played_out()

    def cut_off(self, cuts: Sequence[Cut]) -> None:
        """Handle a cut that the caller did not cause."""
        self.cut(cuts, by_caller=False)

    # Called by dead air (`DeadAirListener`)

    @property
    def is_flowing(self) -> bool:
        """Whether there is a stream, so that the caller could hear a clip."""
        return self._relay.is_flowing

    @property
    def is_protected(self) -> bool:
        """Whether the sentence being played cannot be interrupted."""
        return self.taking.protected

    @property
    def is_agent_shut(self) -> bool:
        """Whether the caller hears nothing of the agent now, so that no answer is missing."""
        return self._relay.gates.agent_is_shut

    @property
    def is_caller_speaking(self) -> bool:
        """Whether the engine hears the caller speak."""
        return self.taking.caller_speaking

    def audible_until(self, now: float) -> float:
        """Return when all that was sent so far will have been heard."""
        return self._relay.playout.ends_at(now)

    def interject(self, name: str, *otherwise: str) -> bool:
        """Play a clip: see `Relay.interject`. False also after `silence_for_good`."""
        return not self.is_silenced and self._relay.interject(name, *otherwise)

    def filled(self, now: float) -> None:
        """Note that a clip is due instead of the answer."""
        self.latency.filler(now)

    def engine_silent(self, reason: str) -> None:
        """Report to the agent that the engine has been silent for too long."""
        self._agent.engine_silent(reason)

    def missed_turn(self, since: float) -> None:
        """Report to the agent that the engine has missed a turn of the caller."""
        self._note(notes.EngineMissedSpeech())
        self.continued.stop()
        self._agent.missed_turn()

    def missed_end(self, since: float) -> None:
        """End the caller's turn, because the engine has missed its end."""
        self._note(notes.EngineMissedSpeech(end=True))
        if self.caller_ended(SpeechStopped((self._clock() - since) * 1000)):
            self._agent.missed_end()

    # Its end

    def close(self) -> None:
        """Stop the timers."""
        self._timers.close()
        self.dead_air.leave()

    def summary(self) -> dict[str, Any]:
        """Return the figures for the last note of the call: `first_word_ms`, `reply_ms` (a list), `latency` (a list,
        see `ResponseLatency.turns`) and `interruptions` (a count)."""
        return {
            "first_word_ms": self.first_word_ms,
            "reply_ms": self.reply_ms,
            "latency": self.latency.turns,
            "interruptions": self.conversation.interruptions,
        }
