"""Conducts the turns of one call: what engine, media and clock report goes in here, and what follows is done.

Whose turn it is, `turn_taking.py` decides; what an interruption means, `barge_in.py`; when a silence has become too
long, `dead_air_timer.py`. A barge-in crosses to the media once: `interrupt` stops the audio and returns what was cut.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from callflow.agent import barge_in
from callflow.agent.agent_config import AgentConfig
from callflow.agent.barge_in import Interruption, Situation
from callflow.agent.conversation import Conversation, cut_note
from callflow.agent.dead_air import DeadAir
from callflow.agent.response_latency import ResponseLatency
from callflow.agent.turn_taking import Floor, TurnTaking
from callflow.contracts.engine import AudioDelta, AudioDone, ResponseDone, SpeechStopped
from callflow.contracts.media import Cut, Key
from callflow.journal import notes
from callflow.journal.notes import Note
from callflow.media.relay import Relay
from callflow.timers import Timers


_MOST_REPLIES: Final = 10_000


class TurnListener(Protocol):
    """Whom the turns concern: the agent, which has the engine's session."""

    @property
    def engine_stops_itself(self) -> bool:
        """The engine stops its own response when it hears the caller."""

    def caller_payload(self, payload: str) -> None:
        """Audio of the caller's for the engine: base64 of µ-law."""

    def truncate(self, key: Key, heard_ms: int) -> None:
        """Tell the engine how much of a stretch was heard."""

    def cancel(self, response: str) -> None:
        """Stop a response of the engine's."""

    def interrupted(self, cuts: Sequence[Cut]) -> None:
        """The caller has interrupted the agent."""

    def missed_turn(self) -> None:
        """The caller has said something, and the engine nothing about it."""

    def missed_end(self) -> None:
        """The caller has stopped, and the engine has not noticed."""

    def engine_silent(self, reason: str) -> None:
        """The engine owes words, and has said nothing for too long."""

    def played_out(self) -> None:
        """Everything that was said has been heard, and nothing more is on its way."""

    def changed(self) -> None:
        """Somebody began or stopped to speak: look whose turn it is."""


class TurnManager:
    """The `MediaListener` of a call's relay, and the part of its agent that deals with time and sound."""

    def __init__(self, *, relay: Relay, config: AgentConfig, agent: TurnListener, note: Callable[[Note], None]) -> None:
        self._relay, self._config, self._agent, self._note = relay, config, agent, note
        self._clock = asyncio.get_running_loop().time
        self._timers = Timers()
        self.taking = TurnTaking()
        self.interruption = Interruption()
        self.conversation = Conversation()
        self.latency = ResponseLatency()
        self.dead_air = DeadAir(self, config)
        self._discarded: set[Key] = set()
        """What an interrupted response still said, of which nothing was to be heard."""
        self.first_word_ms: int | None = None
        """From the answer to the first audio of the agent on its way to the carrier, in whichever process that was."""
        self.reply_ms: list[int] = []
        """From the engine's notice that the caller has stopped to the first audio of the reply on its way."""
        self._noticed: float | None = None
        self.caller_payload = agent.caller_payload  # fifty a second: straight on
        self.caller_frame = self.dead_air.hear
        relay.listener = self

    # How things are

    @property
    def is_unplayed(self) -> bool:
        """Some of what was said is still to be heard."""
        return self._relay.playout.is_unplayed(self._clock())

    @property
    def is_playing(self) -> bool:
        """Something was played since the last interruption."""
        return self._relay.playout.position(self._clock()) > 0

    @property
    def is_owed(self) -> bool:
        """The caller waits for the agent."""
        return self.dead_air.is_owed

    @property
    def hears_speech(self) -> bool:
        """Somebody is plainly speaking, whether the engine says so or not."""
        return self.dead_air.detector.hears_speech

    def floor(self, *, tools_busy: bool, greeting_open: bool) -> Floor:
        """All that says whose turn it is."""
        return Floor(
            caller_speaking=self.taking.caller_speaking,
            words_owed=self.is_owed,
            responses=bool(self.taking.responses),
            tools_busy=tools_busy,
            unplayed=self.is_unplayed,
            greeting_open=greeting_open,
        )

    # The words that the agent owes

    def expect_speech(self, *, since: float | None = None, reply: bool = True) -> None:
        """It is the agent's turn: nobody is left in silence, and an engine that stays silent is as good as lost.

        `since`: when the caller's last word ended, on the loop's clock; None: now. `reply` False: the engine waits for
        something else first, such as a tool.
        """
        if self.taking.may_expect_agent(silenced=self._relay.is_silenced):
            self.dead_air.owe(since=since, reply=reply)

    def nothing_owed(self) -> None:
        """The words have come, or none are owed after all."""
        self.dead_air.paid()

    # The caller, as the engine hears them

    def caller_began(self) -> None:
        """The engine says that the caller has begun to speak."""
        self.dead_air.detector.began()
        self.taking.caller_began()
        self._relay.watch_caller()
        self._noticed = None
        self.latency.caller_goes_on()
        match barge_in.on_speech(self._situation()):
            case "ignore":
                return
            case "answer_later":
                self.taking.spoken_over = True
            case "wait":
                self.nothing_owed()
                self._timers.start("interruption", self._config.min_interruption_ms / 1000, self._take_turn)
            case "interrupt" | "listen":
                self.nothing_owed()
                self._take_turn()

    def _situation(self) -> Situation:
        return Situation(
            protected=self.taking.protected,
            silenced=self._relay.is_silenced,
            unplayed=self.is_unplayed,
            engine_stops_itself=self._agent.engine_stops_itself,
            min_interruption_ms=self._config.min_interruption_ms,
        )

    def _take_turn(self) -> None:
        """The turn is the caller's from now on: nothing more of what the agent was saying is to be heard."""
        if self.is_unplayed:
            self._cut(self._relay.interrupt(self._clock()), by_caller=True)
        else:
            self.conversation.caller_speaks()
        self.drop_responses()

    def drop_responses(self) -> None:
        """Nothing of what the engine is saying just now is to be heard any more."""
        for response in self.taking.responses:
            self._relay.playout.discard_response(response)
            if not self._agent.engine_stops_itself:
                self._agent.cancel(response)

    def caller_ended(self, stopped: SpeechStopped) -> bool:
        """The caller has stopped. Returns whether the agent is to answer: not after a sound so short that nothing was
        stopped for it."""
        now = self._clock()
        self.dead_air.detector.ended()
        self._relay.caller_speaks = False
        counts = not self._timers.stop("interruption")
        self.taking.caller_ended(counts=counts)
        if not counts:
            self._note(notes.FalseStart())
            return False
        self._noticed = now
        ago = (stopped.ago_ms or 0.0) / 1000
        if not self.taking.protected:
            self.latency.caller_stopped(now, None if stopped.ago_ms is None else ago)
            self.conversation.caller_pauses()
            self.expect_speech(since=now - ago)
        return True

    # The engine's speech, in its order

    def response_began(self, response: str) -> None:
        """The engine begins to answer."""
        self.dead_air.begins()
        self.interruption.response_began()
        if not self.taking.response_began(response, engine_stops_itself=self._agent.engine_stops_itself):
            self._relay.playout.discard_response(response)
            self._agent.cancel(response)

    def speech(self, heard: AudioDelta, key: Key) -> bool:
        """Play it. Returns False for what belongs to something that was interrupted: it is dropped."""
        if not self._relay.add(key, heard.response, heard.audio):
            if self._relay.discard(key):  # it began after the interruption of its response
                self._discarded.add(key)
            return False
        self.conversation.sounds(heard.item)
        self.dead_air.speaks()
        if self.latency.waits_for_audio:
            self.latency.generated(self._clock())
        self._relay.pump()
        return True

    def speech_done(self, done: AudioDone, key: Key) -> None:
        """The engine has said all of that stretch."""
        if key in self._discarded:
            self._discarded.discard(key)
            self._agent.truncate(key, 0)
            return
        self.conversation.complete(done.item)
        self._relay.finish(key)

    def response_ended(self, done: ResponseDone) -> None:
        """A response has ended."""
        match self.taking.response_ended(done):
            case "paid":
                self.nothing_owed()
            case "expected":
                self.expect_speech()
        self._relay.finish_response(done.response)

    def engine_away(self) -> None:
        """There is no session for now. What it was saying ends where it ends."""
        self.taking.forget_responses()
        for key, ms in self._relay.playout.break_off():
            self.conversation.broke_off(key.item, ms)
        self._relay.check_played_out()
        self.taking.caller_speaking = self._relay.caller_speaks = False
        self.dead_air.detector.forget()
        self.dead_air.restoring()
        self._relay.pump()

    def engine_back(self) -> None:
        """There is one again."""
        self.dead_air.restored()

    def _cut(self, cuts: Sequence[Cut], *, by_caller: bool) -> None:
        """What was being said was cut: the engine is told how much was heard, and it goes into the journal."""
        for cut in cuts:
            self._agent.truncate(cut.key, cut.heard_ms)
        if not cuts:
            self.conversation.caller_speaks()
            return
        self.conversation.interrupted(cuts, by_caller=by_caller)
        told = [cut_note(cut.key.item, cut.heard_ms, cut.received_ms, self._turn(cut.key)) for cut in cuts]
        self._note(notes.Interrupted(by_caller=by_caller, cuts=tuple(told)))
        if by_caller:
            self.interruption.began(cuts)
            self._agent.interrupted(cuts)

    def _turn(self, key: Key) -> Any:
        return self.conversation.turn(key.item)

    # What the media report (`MediaListener`)

    def stream_started(self, now: float) -> None:
        self.dead_air.sounds_until(now)
        self.dead_air.look_later()
        self._agent.changed()

    def stream_paused(self) -> None:
        self.dead_air.pause()

    def agent_silenced(self) -> None:
        self._timers.stop("interruption")
        self.dead_air.leave()

    def audio_sent(self, now: float, until: float, *, is_clip: bool) -> None:
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
        if self.conversation.agent_speaks():
            self._note(notes.AgentSpeaks())

    def began_to_be_heard(self, item: str, at: float) -> None:
        waterfall = self.latency.heard(at)
        if waterfall is not None:
            self._note(notes.Latency(item=item, **waterfall))

    def hearing(self, cut: Cut) -> None:
        """For the process that goes on with this call, should this one die just now."""
        turn = self.conversation.turn(cut.key.item)
        so_far = turn.text if turn is not None and not turn.is_written else ""
        self._note(notes.Heard(item=cut.key.item, ms=cut.heard_ms, of_ms=cut.received_ms, done=False, so_far=so_far))

    def heard(self, key: Key, ms: int) -> None:
        self.conversation.heard(key, ms)
        self._note(notes.Heard(item=key.item, ms=ms, of_ms=ms, done=True))

    def played_out(self) -> None:
        self.conversation.agent_is_heard()
        if not self._relay.is_silenced:
            self._agent.played_out()

    def cut_off(self, cuts: Sequence[Cut]) -> None:
        self._cut(cuts, by_caller=False)

    # What dead air asks and tells (`Voice`)

    @property
    def is_flowing(self) -> bool:
        return self._relay.is_flowing

    @property
    def is_protected(self) -> bool:
        return self.taking.protected

    @property
    def is_caller_speaking(self) -> bool:
        return self.taking.caller_speaking

    def audible_until(self, now: float) -> float:
        return self._relay.playout.ends_at(now)

    def interject(self, name: str, *otherwise: str) -> bool:
        """Play one of our own sentences in the agent's stead. Returns False if there is none, or nobody would hear."""
        return self._relay.interject(name, *otherwise)

    def filled(self, now: float) -> None:
        self.latency.filler(now)

    def engine_silent(self, reason: str) -> None:
        self._agent.engine_silent(reason)

    def missed_turn(self, since: float) -> None:
        self._note(notes.EngineMissedSpeech())
        self._agent.missed_turn()

    def missed_end(self, since: float) -> None:
        self._note(notes.EngineMissedSpeech(end=True))
        if self.caller_ended(SpeechStopped((self._clock() - since) * 1000)):
            self._agent.missed_end()

    # Its end

    def close(self) -> None:
        """Let go of the timers."""
        self._timers.close()
        self.dead_air.leave()

    def summary(self) -> dict[str, Any]:
        """What is worth keeping when the call has ended; times in ms."""
        return {
            "first_word_ms": self.first_word_ms,
            "reply_ms": self.reply_ms,
            "latency": self.latency.turns,
            "interruptions": self.conversation.interruptions,
        }
