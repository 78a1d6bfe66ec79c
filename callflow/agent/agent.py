"""The agent of one call: it handles the engine's events, the caller's turns, tool calls and the protected greeting.

The call's machine gives the agent commands; `engine_sessions.py` opens and replaces the engine's sessions;
`turn_manager.py` runs the turns, and calls the agent for what concerns the engine.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

from callflow.agent import turn_taking
from callflow.agent.agent_config import AgentConfig
from callflow.agent.agent_state import AgentState
from callflow.agent.barge_in import Evidence
from callflow.agent.continued_speech import ContinuedSpeech
from callflow.agent.engine_sessions import EngineSessions
from callflow.agent.event_notes import NOTED
from callflow.agent.goodbye import Goodbye
from callflow.agent.no_input import NoInputTimer
from callflow.agent.prompter import Prompter
from callflow.agent.prompts import Prompt, context_items, prompt
from callflow.agent.protected_greeting import ProtectedGreeting
from callflow.agent.remote_speech import NOT_REMOTE, RemoteSpeech
from callflow.agent.tool_calls import PendingToolCalls
from callflow.agent.tool_turns import ToolTurns
from callflow.agent.transcripts import Transcripts
from callflow.agent.turn_manager import TurnManager
from callflow.agent.turn_taking import Floor
from callflow.agent.usage import UsageTotal
from callflow.agent.voicemail_message import VoicemailMessage
from callflow.agent.wind_up import WindUp
from callflow.contracts import events
from callflow.contracts.back_references import to_owner
from callflow.contracts.engine import (
    AudioDelta,
    AudioDone,
    ContextItem,
    EngineCan,
    EngineEvent,
    ItemAdded,
    KeyPressed,
    PlayoutBegan,
    PlayoutEnded,
    ResponseDone,
    ResponseFailed,
    ResponseStarted,
    SessionContext,
    SessionLost,
    SpeechStarted,
    SpeechStopped,
    ToolCalls,
    Transcript,
    TranscriptFailed,
    Usage,
)
from callflow.contracts.media import Cut, SpeechSegmentId
from callflow.contracts.tools import ToolCall
from callflow.journal import notes
from callflow.media.relay import Relay


_SILENT_SESSIONS: Final = 2
"""After this many silent sessions in a row, no further session is tried."""


class Agent:
    """The voice agent of one call: its conversation, its tools, and its sessions of the engine, one after another."""

    def __init__(
        self,
        *,
        call: str,
        config: AgentConfig,
        relay: Relay,
        tool_calls: PendingToolCalls,
        post: Callable[[events.Event], None],
        note: Callable[[notes.Note], None],
        own: Callable[[Coroutine[Any, Any, None], str], None],
    ) -> None:
        """`post` takes events for the machine, `note` entries of the journal, `own` tasks that end with the call."""
        self._call, self._relay, self._post, self._note = call, relay, post, note
        self._clock = asyncio.get_running_loop().time
        self.tool_calls, tool_calls.filler = tool_calls, to_owner(self._fill_for_tool)
        this: Agent = weakref.proxy(self)  # for its parts: see `contracts/back_references.py`
        continued = ContinuedSpeech(relay)
        self.sessions = EngineSessions(call, config.make_engine, this, continued, own, config.engine_buffer_seconds)
        self.caller_payload, self.cancel = self.sessions.append, self.sessions.cancel  # bound for speed: next hop
        self.turns = TurnManager(relay=relay, config=config, agent=this, continued=continued, note=note)
        self.conversation = self.turns.conversation
        self.transcripts = Transcripts(
            call, self.turns, note=note, forget_audio=self.sessions.forget_audio,
            caller_said=to_owner(self._caller_said),
        )  # fmt: skip
        self.protected_greeting = ProtectedGreeting(config.opens_protected, config.disclosure)
        self.greeting_heard: Callable[[], None] = lambda: None
        """Called when the caller has heard the protected sentence in full."""
        self.prompter = Prompter(
            config=config, sessions=self.sessions, turns=self.turns, tool_calls=tool_calls,
            protected_greeting=self.protected_greeting, note=note, listen=to_owner(self._listen),
        )  # fmt: skip
        self.no_input = NoInputTimer(
            seconds=config.no_input_seconds, asks=config.no_input_asks,
            noise_seconds=config.no_input_noise_seconds, tell=post,
        )  # fmt: skip
        self.wind_up = WindUp(
            relay=relay, turns=self.turns, sessions=self.sessions, transcripts=self.transcripts,
            seconds=config.transcript_seconds, handle_event=to_owner(self._pass_on),
        )  # fmt: skip
        self.remote = self.prompter.remote = RemoteSpeech(relay, this, post) if relay.is_remote else NOT_REMOTE
        self.goodbye = Goodbye(self.conversation, post)
        self.tool_turns = ToolTurns(tool_calls, self.sessions, self.turns, self.prompter, post, this)
        self.voicemail = VoicemailMessage(config.voicemail_message, this, post)
        self.usage, self._silent_sessions = UsageTotal(), 0

    def restore(self, state: AgentState, ago_seconds: float) -> None:
        """Continue a call that another process had. `ago_seconds`: how long ago that process wrote its last entry."""
        self.conversation.restore(state.turns, state.interruptions)
        if state.greeting_is_over:
            self.protected_greeting.over()
        self.sessions.restore(state)
        self.usage.restore(state.usage)
        self.turns.first_word_ms = state.first_word_ms
        self.remote.restored(state.unanswered, was_there=state.had_session)
        self.prompter.restored(ago_seconds, left_quietly=state.left_quietly, met_person=state.met_person)

    @property
    def _floor(self) -> Floor:
        return self.turns.floor(tools_busy=self.tool_calls.is_busy, greeting_open=self.protected_greeting.is_open)

    # Called by the sessions (`SessionListener`)

    def connect(self) -> None:
        """Open a session of the engine: the first, or another in place of one that was lost."""
        self.turns.engine_away()
        self.sessions.connect()

    def rotate(self) -> None:
        """Open the next session, while the expiring session is still used."""
        self.sessions.rotate()

    def session_context(self, number: int) -> SessionContext:
        """Return the context with which the session of this number is opened."""
        listens = not self.protected_greeting.is_open
        return SessionContext(
            self._call, number, self.tool_calls.definitions, turn_detection=listens, tap=self._relay.tap,
            remote=self._relay.remote, was_there=self.sessions.was_there, engine=self.sessions.chosen,
        )  # fmt: skip

    def context_items(self) -> Sequence[ContextItem | ToolCall]:
        """Return the conversation so far, and the unanswered tool calls, for a new session."""
        return [] if self.voicemail.is_on else [*context_items(self.conversation), *self.tool_calls.pending]

    @property
    def is_quiet(self) -> bool:
        """Whether nobody speaks and no answer is due: the caller would not notice a change of sessions now."""
        floor, taking = self._floor, self.turns.taking
        busy = turn_taking.is_busy(floor) or taking.audio_is_needed or floor.greeting_open or self.turns.hears_speech
        busy = busy or self.turns.may_be_answered or self.goodbye.is_awaited or self.prompter.owes_speech
        return not (busy or floor.unplayed or self._relay.awaits_marks)

    def ready(self) -> None:
        """Report that the present session is configured."""
        self.turns.engine_back()
        self.remote.ready()
        self.prompter.session_ready()
        self._post(events.EngineReady())

    def lost(self, lost: SessionLost) -> None:
        """Report that the present session is gone."""
        self.turns.taking.doubt()
        self.protected_greeting.again()
        self.turns.taking.engine_lost(hears_speech=self.turns.hears_speech)
        self.no_input.stop()
        if not self.remote.lost(lost):
            self._post(events.EngineLost(reason=lost.reason, retry=lost.retry))

    def expiring(self, seconds: float) -> None:
        """Report that the present session ends in so many seconds."""
        self._post(events.EngineExpiring(ms=round(seconds * 1000)))

    def changed_over(self, *, quiet: bool) -> None:
        """Continue with the next session. Not `quiet`: the agent was cut off, and resumes."""
        self._note(notes.EngineRotated(session=self.sessions.number, quiet=quiet))
        taking, turns = self.turns.taking, self.turns
        is_due = taking.is_responding or turns.is_answer_due or turns.may_be_answered
        if not quiet and not taking.caller_speaking and is_due:
            self.turns.engine_away()
            self.turns.engine_back()
            self.prompter.say(prompt(Prompt.RESUME))

    # Events of the engine

    def handle_event(self, heard: EngineEvent) -> None:
        """Handle an event of the present session."""
        if type(heard) is AudioDelta:  # by far the most frequent
            self._on_audio(heard)
            if self.turns.taking.is_responding:  # its response has ended the silence
                return
        else:
            self.turns.continued.stop()
            self._pass_on(heard)
        self.changed()

    def _pass_on(self, heard: EngineEvent) -> None:
        _HANDLERS[type(heard)](self, heard)

    def _on_audio(self, heard: AudioDelta) -> None:
        key = self.sessions.key(heard)
        if not self.turns.speech(heard, key):
            return
        self.prompter.agent_speaks()
        self.turns.taking.spoke(heard.response)
        if not self.turns.taking.audio_is_needed:
            self.sessions.forget_audio()
        counts = self.protected_greeting.speech(key, heard.audio)
        if self.turns.taking.is_responding and not (counts or self.turns.taking.audio_is_needed):
            self.turns.continued.begin(key)

    def _on_transcript(self, heard: Transcript) -> None:
        self.remote.words(heard)
        self.transcripts.transcript(heard)

    def _on_playout_began(self, heard: PlayoutBegan) -> None:
        self.prompter.agent_speaks()
        self.remote.began(heard)

    def _on_speech_started(self, _: SpeechStarted) -> None:
        self.prompter.somebody_speaks()
        self.goodbye.stop()
        self.no_input.stop()
        self.no_input.noise_began()
        self._note(notes.CallerSpeaks())
        self.turns.caller_began()

    def _on_speech_stopped(self, heard: SpeechStopped) -> None:
        self._note(notes.CallerPauses())
        self.no_input.noise_ended()
        ended = self.turns.caller_ended(heard)
        self._check_greeting()
        if ended and not self.protected_greeting.is_open:
            self.prompter.caller_stopped(answer_due=heard.answer_due)

    def _on_response_done(self, heard: ResponseDone) -> None:
        self.turns.response_ended(heard)
        broken = heard.status in ("failed", "incomplete") or (heard.status == "cancelled" and not heard.final)
        for number, item in enumerate(heard.items, 1):
            if not heard.sounds:
                self.conversation.silent(item)
            self.transcripts.item_over(item, broken=broken and number == len(heard.items))
        if not heard.final and self.protected_greeting.is_said and (broken or not heard.sounds):
            self.protected_greeting.begin()  # the engine repeats the sentence; only the repetition counts
        if heard.answered and self.turns.taking.has_spoken(heard.response):
            self.turns.taking.answered()
            self.sessions.forget_audio()
        if heard.status in ("failed", "incomplete") or not heard.final:
            self._note(notes.ResponseFailed(status=heard.status, detail=heard.detail, final=heard.final))
        self.check_sentences()

    def _on_response_failed(self, heard: ResponseFailed) -> None:
        """Handle the engine's report that it has no answer: play a clip; the second time, count the session as lost."""
        self._note(notes.EngineUnable(reason=heard.reason))
        protected = self.protected_greeting.is_open
        if self.turns.taking.caller_speaking and not protected:
            return  # what the caller is saying now gets the answer
        if not (self.turns.taking.in_doubt or protected) and self.turns.interject("trouble", "sorry"):
            self.turns.taking.doubt()
            self.turns.no_answer_due()
        else:
            self._post(events.EngineLost(reason=f"it cannot answer: {heard.reason}", retry=False))

    def _caller_said(self, item: str, text: str) -> None:
        """Handle the transcript of a caller's turn; the transcript may be empty."""
        words = any(map(str.isalnum, text))
        verdict = self.turns.dead_air.detector.verdict
        self.no_input.heard_text(text, sounds_like_speech=verdict == "speech")
        evidence = Evidence(words, verdict, self.turns.taking.caller_speaking, self.goodbye.is_awaited)
        if (cut := self.turns.interruption.was_false(item, evidence)) is not None:
            self.prompter.carry_on(cut)

    # Called by the turn manager (`TurnListener`)

    def truncate(self, key: SpeechSegmentId, heard_ms: int) -> None:
        """Report to the engine that the caller heard only the first `heard_ms` of a stretch."""
        self.protected_greeting.cut(key, heard_ms)
        self.sessions.truncate(key, heard_ms)

    def engine_has(self, what: EngineCan) -> bool:
        """Return whether there is a session with this capability."""
        return self.sessions.has(what)

    def missed_turn(self) -> None:
        """Ask the engine to commit a turn that it missed. Its audio is kept for a next session."""
        self.sessions.keep_audio()
        self._finish_turn()

    def missed_end(self) -> None:
        """Ask the engine to end the caller's turn, because the engine has not noticed the end."""
        self.no_input.noise_ended()
        self._finish_turn()

    def _finish_turn(self) -> None:
        self.turns.taking.unheard_turn()
        if not self.protected_greeting.is_open:
            self.sessions.finish_turn()

    def engine_silent(self, reason: str) -> None:
        """Give up a silent session. A second session is tried, but no third."""
        self._silent_sessions += 1
        self.lost(SessionLost(reason, retry=self._silent_sessions < _SILENT_SESSIONS))

    def interrupted(self, cuts: Sequence[Cut]) -> None:
        """Handle an interruption by the caller. An interrupted goodbye calls the end of the call off."""
        self.prompter.cut_in_earlier_session([cut for cut in cuts if cut.key.session != self.sessions.number])
        if self.goodbye.interrupted():
            self.prompter.goodbye_called_off()

    def played_out(self) -> None:
        """Check whether greeting or goodbye are over, now that the caller has heard everything sent so far."""
        if not self.turns.is_answer_due and self.sessions.is_ready and self.turns.taking.heard_out():
            self._silent_sessions = 0
            self._post(events.AgentHeard())
        self.check_sentences()
        self.changed()

    def changed(self) -> None:
        """Start counting the caller's silence if it is the caller's turn and nobody speaks; otherwise stop counting."""
        if self.sessions.is_ready and turn_taking.silence_counts(self._floor, flowing=self._relay.is_flowing):
            self.no_input.count_silence()
            self.goodbye.count_silence()
        else:
            self.no_input.stop()
            self.goodbye.stop()

    # Commands of the machine

    def _listen(self) -> None:
        self.turns.no_answer_due()
        self.changed()

    def await_goodbye(self) -> None:
        """Post `GoodbyeHeard` as soon as the caller has heard the agent's goodbye in full."""
        self.goodbye.begin()
        self.check_goodbye()

    def check_sentences(self) -> None:
        """Note the end of a sentence that matters: greeting, goodbye or the message on a machine."""
        self._check_greeting()
        self.check_goodbye()
        self.voicemail.check(self._floor)

    def check_goodbye(self) -> None:
        """Note the end of the goodbye, if the caller has heard it."""
        self.goodbye.check(self._floor, owes_speech=self.prompter.owes_speech)

    def _check_greeting(self) -> None:
        """Allow interruptions from now on, if the caller has heard the protected sentence."""
        if not self.protected_greeting.was_heard(self._floor, self.conversation):
            return
        self.protected_greeting.over()
        self.turns.taking.protected = False
        if self.note_greeting(in_full=True):
            self.greeting_heard()
        if self.sessions.set_turn_detection(True) and self.turns.taking.spoken_over:
            self.turns.taking.spoken_over = False
            self.prompter.say(prompt(Prompt.SAID_OVER))

    def note_greeting(self, *, in_full: bool = False) -> bool:
        """Write the note about the protected sentence. Returns whether the caller heard the whole sentence."""
        proof = self.protected_greeting.proof(self._relay.playout, self.conversation, self._clock(), in_full=in_full)
        self._note(proof)
        return proof.in_full

    def _fill_for_tool(self) -> bool:
        """Ask the agent to say that a tool is slow. Returns False if somebody speaks or no session is ready."""
        return self.prompter.still_busy(self._floor)

    # Operators, and the caller's keys

    def respond_to(self, text: str, *, shown: str, by: str = "") -> None:
        """Give the model a fact to respond to, or to know while the caller cannot hear it: see `Prompter.learn`."""
        if not self.sessions.is_there or self.voicemail.is_on:
            return
        self.no_input.heard_words(True)
        self.prompter.learn(text, speak=not self._relay.gates.agent_is_shut, shown=shown, by=by)
        self.changed()

    def silence(self) -> None:
        """Stop speaking and hearing, because the caller talks with a person now."""
        self.turns.silence(fills=False)
        self.prompter.person_speaks()
        if not self.remote.silence():
            self.sessions.leave()
        self.no_input.stop()

    def update(self, changes: Mapping[str, Any], by: str = "") -> list[str]:
        """Change this and later sessions. Returns a line for each change left out. `by`: who asked."""
        taken, left_out = self.sessions.update(changes)
        if taken is not None:
            self._note(notes.SessionChanged(changes=taken, by=by))
        return left_out

    # The end

    def ended(self, *, for_good: bool) -> bool:
        """Stop and journal all turns. Not `for_good`: the call is handed over. Returns whether to await transcripts."""
        waits = for_good and self.wind_up.begin()
        self.transcripts.finish(self.sessions.pending_transcripts if self.sessions.writes_down else ())
        if self.protected_greeting.is_said and for_good:
            self.note_greeting()
        self.no_input.close()
        self.tool_calls.close()
        self.prompter.close()
        self.goodbye.stop()
        self.turns.close()
        self.sessions.stop()
        return waits

    def stream_lost(self) -> None:
        """Note that the media stream was lost. It counts as recovered once the caller has heard an answer."""
        self.turns.taking.doubt()

    async def close(self) -> None:
        """Close the sessions."""
        await self.sessions.close()


_HANDLERS: Final[Mapping[type, Callable[[Agent, Any], None]]] = {
    AudioDelta: Agent._on_audio,
    AudioDone: lambda agent, heard: agent.turns.speech_done(heard, agent.sessions.key(heard)),
    SpeechStarted: Agent._on_speech_started,
    SpeechStopped: Agent._on_speech_stopped,
    ResponseStarted: lambda agent, heard: agent.turns.response_began(heard.response),
    ResponseDone: Agent._on_response_done,
    Transcript: Agent._on_transcript,
    TranscriptFailed: lambda agent, heard: agent.transcripts.failed(heard),
    ItemAdded: lambda agent, heard: agent.transcripts.item_added(heard),
    ToolCalls: lambda agent, heard: agent.tool_turns.called(heard),
    PlayoutBegan: Agent._on_playout_began,
    PlayoutEnded: lambda agent, heard: agent.remote.ended(heard),
    KeyPressed: lambda agent, heard: agent.remote.key_pressed(heard),
    ResponseFailed: Agent._on_response_failed,
    Usage: lambda agent, used: agent._note(agent.usage.added(used)),
    **dict.fromkeys(NOTED, lambda agent, told: agent._note(NOTED[type(told)](**told._asdict()))),
}
