"""The agent of one call: what it is told, what it may do, and what its engine's sessions say.

The machine tells it what to do by commands; sessions of the engine come and go beneath it (`engine_sessions.py`);
`turn_manager.py` conducts the turns, and asks it only for what concerns the engine.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

from callflow.agent import turn_taking
from callflow.agent.agent_config import AgentConfig
from callflow.agent.agent_state import AgentState
from callflow.agent.barge_in import Evidence
from callflow.agent.engine_sessions import EngineSessions
from callflow.agent.no_input import NoInputTimer
from callflow.agent.prompter import Prompter
from callflow.agent.prompts import Prompt, context_items, prompt, tool_answered
from callflow.agent.protected_greeting import ProtectedGreeting
from callflow.agent.second_goodbye import SecondGoodbye
from callflow.agent.tool_calls import PendingToolCalls
from callflow.agent.transcripts import Transcripts
from callflow.agent.turn_manager import TurnManager
from callflow.agent.turn_taking import Floor
from callflow.agent.usage import UsageTotal
from callflow.agent.wind_up import WindUp
from callflow.contracts import events
from callflow.contracts.engine import (
    AudioDelta,
    AudioDone,
    ContextItem,
    EngineEvent,
    ErrorReported,
    ItemAdded,
    McpApproval,
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
from callflow.contracts.events import Event
from callflow.contracts.media import Cut, Key
from callflow.contracts.tools import ToolCall
from callflow.journal import notes
from callflow.journal.notes import Note
from callflow.media.relay import Relay


_SILENT_SESSIONS: Final = 2
"""So many sessions in a row that never say a word, and no other is tried."""
_REMEMBERED: Final = 64


class Agent:
    def __init__(
        self,
        *,
        call: str,
        config: AgentConfig,
        relay: Relay,
        tool_calls: PendingToolCalls,
        post: Callable[[Event], None],
        note: Callable[[Note], None],
        own: Callable[[Coroutine[Any, Any, None], str], None],
    ) -> None:
        """`post`: an event for the call's machine. `note`: an entry for its journal. `own`: a task of the call's."""
        self._call, self._relay, self._post, self._note = call, relay, post, note
        self._clock = asyncio.get_running_loop().time
        self.tool_calls = tool_calls
        tool_calls.filler = self._fill_for_tool
        self.sessions = EngineSessions(call, config.make_engine, self, own)
        self.caller_payload = self.sessions.append
        self.turns = TurnManager(relay=relay, config=config, agent=self, note=note)
        self.conversation = self.turns.conversation
        self.transcripts = Transcripts(
            call, self.turns, note=note, forget_audio=self.sessions.forget_audio, caller_said=self._caller_said
        )
        self.protected_greeting = ProtectedGreeting(config.opens_protected)
        self.greeting_heard: Callable[[], None] = lambda: None
        """Told when the protected sentence was heard in full."""
        self.prompter = Prompter(
            config=config, sessions=self.sessions, turns=self.turns, tool_calls=tool_calls,
            protected_greeting=self.protected_greeting, note=note, listen=self._listen,
        )  # fmt: skip
        self.no_input = NoInputTimer(
            seconds=config.no_input_seconds, asks=config.no_input_asks, hold_seconds=config.hold_seconds,
            tell=post,
        )  # fmt: skip
        self.wind_up = WindUp(
            relay=relay, turns=self.turns, sessions=self.sessions, transcripts=self.transcripts,
            seconds=config.transcript_seconds, hear=lambda heard: self._heard[type(heard)](heard),
        )  # fmt: skip
        self._second_goodbye = SecondGoodbye(self.conversation, post)
        self.usage = UsageTotal()
        self._spoke: deque[str] = deque(maxlen=_REMEMBERED)
        """Responses that had audio."""
        self._ending = False
        """The agent says its last words."""
        self._proved = True
        """The caller has heard something since engine and stream were last lost."""
        self._silent_sessions = 0
        self._heard: dict[type, Callable[[Any], None]] = {
            AudioDelta: self._on_audio,
            AudioDone: lambda heard: self.turns.speech_done(heard, self._key(heard)),
            SpeechStarted: self._on_speech_started,
            SpeechStopped: self._on_speech_stopped,
            ResponseStarted: lambda heard: self.turns.response_began(heard.response),
            ResponseDone: self._on_response_done,
            Transcript: self.transcripts.transcript,
            TranscriptFailed: self.transcripts.failed,
            ItemAdded: self.transcripts.item_added,
            McpApproval: self._on_approval,
            ToolCalls: self._on_tool_calls,
            ResponseFailed: self._on_response_failed,
            Usage: self._on_usage,
            ErrorReported: self._on_error,
        }

    def restore(self, state: AgentState, ago_seconds: float) -> None:
        """Go on where another process was when the last of it was written, so long ago."""
        self.conversation.restore(state.turns, state.interruptions)
        if state.greeting_is_over:
            self.protected_greeting.over()
        self.sessions.changes |= state.changes
        self.usage.restore(state.usage)
        self.turns.first_word_ms = state.first_word_ms
        self.prompter.restored(ago_seconds, left_quietly=state.left_quietly)

    @property
    def _floor(self) -> Floor:
        return self.turns.floor(tools_busy=self.tool_calls.is_busy, greeting_open=self.protected_greeting.is_open)

    # Its sessions (`SessionListener`)

    def connect(self) -> None:
        """Open a session: the first, or another in place of one that broke."""
        self.turns.engine_away()
        self.sessions.connect()

    def rotate(self) -> None:
        """Open the next session beside the one that will expire."""
        self.sessions.rotate()

    def session_context(self, number: int) -> SessionContext:
        return SessionContext(
            self._call, number, self.tool_calls.definitions, turn_detection=not self.protected_greeting.is_open
        )

    def context_items(self) -> Sequence[ContextItem | ToolCall]:
        """What was said, and which tools still owe an answer."""
        return [*context_items(self.conversation), *self.tool_calls.pending]

    @property
    def is_quiet(self) -> bool:
        floor = self._floor
        busy = turn_taking.is_busy(floor) or self.turns.taking.audio_is_needed or floor.greeting_open or self._ending
        return not (busy or floor.unplayed or self.turns.hears_speech)

    def ready(self) -> None:
        self.turns.engine_back()
        self._post(events.EngineReady())

    def lost(self, lost: SessionLost) -> None:
        self._proved = False
        self.protected_greeting.again()
        self.turns.taking.engine_lost(hears_speech=self.turns.hears_speech)
        self.no_input.stop()
        self._post(events.EngineLost(reason=lost.reason, retry=lost.retry))

    def expiring(self, seconds: float) -> None:
        self._post(events.EngineExpiring(ms=round(seconds * 1000)))

    def changed_over(self, *, quiet: bool) -> None:
        self._note(notes.EngineRotated(session=self.sessions.number, quiet=quiet))
        taking = self.turns.taking
        if not quiet and not taking.caller_speaking and (taking.responses or self.turns.is_owed):
            self.turns.engine_away()
            self.turns.engine_back()
            self.prompter.say(prompt(Prompt.RESUME))

    # What the engine says

    def hear(self, heard: EngineEvent) -> None:
        self._heard[type(heard)](heard)
        self.changed()

    def _key(self, heard: AudioDelta | AudioDone) -> Key:
        return Key(heard.item, heard.content, self.sessions.number)

    def _on_audio(self, heard: AudioDelta) -> None:
        key = self._key(heard)
        if not self.turns.speech(heard, key):
            return
        self.prompter.somebody_speaks()
        if heard.response not in self._spoke:
            self._spoke.append(heard.response)
        if not self.turns.taking.audio_is_needed:
            self.sessions.forget_audio()
        self.protected_greeting.speech(key, heard.audio)

    def _on_speech_started(self, _: SpeechStarted) -> None:
        self.prompter.somebody_speaks()
        self._second_goodbye.stop()
        self.no_input.stop()
        self.no_input.noise_began()
        self._note(notes.CallerSpeaks())
        self.turns.caller_began()

    def _on_speech_stopped(self, heard: SpeechStopped) -> None:
        self._note(notes.CallerPauses())
        self.no_input.noise_ended()
        counts = self.turns.caller_ended(heard)
        if counts and not self.protected_greeting.is_open and not self.sessions.can("answers_itself"):
            self.sessions.request_response()

    def _on_response_done(self, heard: ResponseDone) -> None:
        self.turns.response_ended(heard)
        broken = heard.status in ("failed", "incomplete") or (heard.status == "cancelled" and not heard.final)
        for number, item in enumerate(heard.items, 1):
            if not heard.sounds:
                self.conversation.silent(item)
            self.transcripts.item_over(item, broken=broken and number == len(heard.items))
        if not heard.final and self.protected_greeting.is_said and (broken or not heard.sounds):
            self.protected_greeting.begin()  # it is said anew, and only that counts
        if heard.answered and heard.response in self._spoke:
            self.turns.taking.answered()
            self.sessions.forget_audio()
        if heard.status in ("failed", "incomplete") or not heard.final:
            self._note(notes.ResponseFailed(status=heard.status, detail=heard.detail, final=heard.final))
        self._check_greeting()
        self._check_goodbye()

    def _on_approval(self, asked: McpApproval) -> None:
        self._note(notes.McpApproval(server=asked.server, tool=asked.tool, approved=asked.approved))

    def _on_error(self, reported: ErrorReported) -> None:
        self._note(notes.EngineComplaint(code=reported.code, message=reported.message))

    def _on_usage(self, used: Usage) -> None:
        self.usage.add(used)
        total = self.usage.total()
        self._note(notes.Usage(model=used.model, used=dict(used.usage), total=total, usd=total["usd"]))

    def _on_tool_calls(self, heard: ToolCalls) -> None:
        for call in heard.calls:
            if self.tool_calls.called(call, spoken=heard.response in self._spoke):
                self.turns.expect_speech(reply=False)
                self._post(events.ToolCalled(id=call.id, tool=call.name, arguments=call.arguments))

    def _on_response_failed(self, heard: ResponseFailed) -> None:
        """The engine owes words and has none. The first time a sentence of ours is heard instead, the second time it is
        as good as lost."""
        self._note(notes.EngineUnable(reason=heard.reason))
        protected = self.protected_greeting.is_open
        if self.turns.taking.caller_speaking and not protected:
            return  # what they say now is answered, or not
        if self._proved and not protected and self.turns.interject("trouble", "sorry"):
            self._proved = False
            self.turns.nothing_owed()
        else:
            self._post(events.EngineLost(reason=f"it cannot answer: {heard.reason}", retry=False))

    def _caller_said(self, item: str, text: str) -> None:
        """The words of a turn of the caller's have come, or that there are none."""
        words = any(map(str.isalnum, text))
        verdict = self.turns.dead_air.detector.verdict
        self.no_input.heard_words(words or verdict == "speech")
        evidence = Evidence(words, verdict, self.turns.taking.caller_speaking, self._ending)
        cut = self.turns.interruption.was_false(item, evidence)
        if cut is not None:
            self.prompter.carry_on(cut)

    # What the turns ask and tell (`TurnListener`)

    def truncate(self, key: Key, heard_ms: int) -> None:
        """Only the session that said it knows it."""
        self.protected_greeting.cut(key, heard_ms)
        self.sessions.truncate(key, heard_ms)

    def cancel(self, response: str) -> None:
        self.sessions.cancel(response)

    @property
    def engine_stops_itself(self) -> bool:
        return self.sessions.stops_itself

    def missed_turn(self) -> None:
        """What the caller said is known as audio only: the engine is asked to take it for their turn; another session,
        if it comes to that, has to hear it."""
        self.turns.taking.unheard_turn()
        self.sessions.keep_audio()
        self._finish_turn()

    def missed_end(self) -> None:
        self.no_input.noise_ended()
        self.turns.taking.unheard_turn()
        self._finish_turn()

    def _finish_turn(self) -> None:
        if not self.protected_greeting.is_open:
            self.sessions.finish_turn()

    def engine_silent(self, reason: str) -> None:
        """The engine is there and says nothing. Another session may do better, but a third one will not."""
        self._silent_sessions += 1
        self.lost(SessionLost(reason, retry=self._silent_sessions < _SILENT_SESSIONS))

    def interrupted(self, cuts: Sequence[Cut]) -> None:
        self.prompter.cut_in_earlier_session([cut for cut in cuts if cut.key.session != self.sessions.number])
        if self._ending:
            self._ending = False
            self._second_goodbye.called_off()
            self.prompter.goodbye_called_off()
            self._post(events.GoodbyeInterrupted())

    def played_out(self) -> None:
        if not self._proved and not self.turns.is_owed and self.sessions.is_ready:
            self._proved, self._silent_sessions = True, 0
            self._post(events.AgentHeard())
        self._check_greeting()
        self._check_goodbye()
        self.changed()

    def changed(self) -> None:
        """When it is the caller's turn and nobody speaks, silence is counted."""
        if self.sessions.is_ready and turn_taking.is_resting(self._floor, flowing=self._relay.is_flowing):
            self.no_input.rest()
            if not self._ending:
                self._second_goodbye.rest()
        else:
            self.no_input.stop()
            self._second_goodbye.stop()

    # What the machine tells it to do

    def _listen(self) -> None:
        self.turns.nothing_owed()
        self.changed()

    def await_goodbye(self) -> None:
        """Tell the machine when the agent's last words have been heard, and nothing more is to come."""
        self._ending = True
        self._check_goodbye()

    def _check_goodbye(self) -> None:
        if self._ending and turn_taking.has_said_goodbye(self._floor):
            self._ending = False
            self._post(events.GoodbyeHeard())

    def _check_greeting(self) -> None:
        """The protected sentence was heard: from now on the caller may interrupt."""
        if not self.protected_greeting.is_said or not turn_taking.greeting_was_heard(self._floor):
            return
        self.protected_greeting.over()
        self.turns.taking.protected = False
        if self._note_greeting(in_full=True):
            self.greeting_heard()
        if self.sessions.set_turn_detection(True) and self.turns.taking.spoken_over:
            self.turns.taking.spoken_over = False
            self.prompter.say(prompt(Prompt.SAID_OVER))

    def _note_greeting(self, *, in_full: bool) -> bool:
        """Returns whether all of it was heard."""
        proof = self.protected_greeting.proof(self._relay.playout, self.conversation, self._clock(), in_full=in_full)
        self._note(proof)
        return proof.in_full

    # Tools

    def answer_tool(self, call: str) -> None:
        """Tell the engine what came of a tool call, by its id."""
        answer = self.tool_calls.answer(call)
        if answer is None or not self.sessions.is_there:
            return
        asked, output, speak = answer
        self.conversation.fact(tool_answered(asked.name, asked.arguments, output))
        if speak:
            self.turns.expect_speech()
        elif not self.tool_calls.is_busy:
            self.turns.nothing_owed()
        self.sessions.answer_tool(call, output, speak=speak)
        self._check_goodbye()

    def _fill_for_tool(self) -> bool:
        """A tool takes its time. False: not now, somebody is speaking."""
        floor = self._floor
        if floor.caller_speaking or floor.responses or floor.unplayed or not self.sessions.is_ready:
            return False
        self.sessions.request_response(prompt(Prompt.STILL_BUSY))
        return True

    # Operators, and the caller's keys

    def tell(self, text: str, *, shown: str) -> None:
        """A fact for the model, which is to be answered; `shown` is what later sessions and the journal know of it."""
        if not self.sessions.is_there:
            return
        self.no_input.heard_words(True)
        self.conversation.fact(shown)
        self._note(notes.Told(text=shown))
        self.sessions.add_context([ContextItem("system", text)])
        self.sessions.request_response()
        self.turns.expect_speech()
        self.changed()

    def update(self, changes: Mapping[str, Any]) -> list[str]:
        """Change this session and those that follow, by names of settings. Returns what was left out and why, a line
        each that begins with its name."""
        taken, left_out = self.sessions.update(changes)
        if taken is not None:
            self._note(notes.SessionChanged(changes=taken))
        return left_out

    # The end

    def ended(self, *, for_good: bool) -> bool:
        """The call is over: let go of the timers, and write down what is not. Returns whether words of the caller are
        still to come, and worth waiting for.

        Not `for_good`: it goes on in another process."""
        waits = self.wind_up.begin() if for_good else False
        self.transcripts.finish(self.sessions.owed if self.sessions.writes_down else ())
        if self.protected_greeting.is_said and for_good:
            self._note_greeting(in_full=False)
        self.no_input.close()
        self.tool_calls.close()
        self.prompter.close()
        self._second_goodbye.stop()
        self.turns.close()
        self.sessions.stop()
        return waits

    def stream_lost(self) -> None:
        """The media stream is gone: whether it works again shows when the caller has heard something."""
        self._proved = False

    async def close(self) -> None:
        """Close the sessions."""
        await self.sessions.close()
