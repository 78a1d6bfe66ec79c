"""The agent of one call: what it is told, what it may do, when it may be interrupted, and whose turn it is.

The relay asks it what concerns audio, within the same tick; the machine tells it the rest by commands; the engine's
sessions come and go beneath it (`sessions.py`).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

from callflow.agent import goodbye
from callflow.agent.agent_config import AgentConfig
from callflow.agent.conversation import Turn, describe
from callflow.agent.engine_sessions import EngineSessions
from callflow.agent.late_transcripts import LEFT, TOO_LATE, LateTranscripts
from callflow.agent.no_input import NoInputTimer
from callflow.agent.prompts import Prompt, context_items, not_heard, prompt, tool_answered
from callflow.agent.protected_greeting import ProtectedGreeting
from callflow.agent.tool_calls import PendingToolCalls
from callflow.agent.usage import UsageTotal
from callflow.call.restore import RestoredCall
from callflow.contracts import events
from callflow.contracts.engine import (
    AudioDelta,
    AudioDone,
    ContextItem,
    Engine,
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
from callflow.media.relay import Relay


log = logging.getLogger(__name__)

_MUTE_SESSIONS: Final = 2
"""So many sessions in a row that never say a word, and no other is tried."""
_REMEMBERED: Final = 64
_AFRESH_SECONDS: Final = 1.2
"""How long a restored session may take to notice that the caller had spoken, before it is asked to speak."""
_UNNOTICED_SECONDS: Final = 3.0
"""So long a gap may pass without a word about it."""


class Agent:
    def __init__(
        self,
        *,
        call: str,
        config: AgentConfig,
        relay: Relay,
        tool_calls: PendingToolCalls,
        post: Callable[[Event], None],
        note: Callable[..., None],
        own: Callable[[Coroutine[Any, Any, None], str], None],
    ) -> None:
        self.call, self._config, self._relay = call, config, relay
        self._post, self._note, self._own = post, note, own
        self._loop = asyncio.get_running_loop()
        self._clock = self._loop.time
        self.tool_calls = tool_calls
        self.sessions = EngineSessions(call, config.make_engine, self, own)
        self._unwritten: str | None = None
        """The caller's turn whose words are still to come."""
        self._spoke: deque[str] = deque(maxlen=_REMEMBERED)
        """Responses that had audio."""
        self.protected_greeting = ProtectedGreeting(config.opens_protected)
        self._closing = False
        self._broken: tuple[Cut, ...] = ()
        """What the caller last broke into, until it is known that this was speech."""
        self._broken_by = ""
        self._proved = True
        self._mute_sessions = 0
        self._afresh: asyncio.TimerHandle | None = None
        self._said_untranscribed = False
        self._answers = 0
        """Responses that were begun since the caller last broke in: evidence that the engine took it for speech."""
        self._called_off: int | None = None
        """The place in the conversation at which a caller broke into the agent's goodbye."""
        self._second_goodbye: asyncio.TimerHandle | None = None
        self._late: LateTranscripts | None = None
        """Set when the call is over, and words of the caller are still to come."""
        self._opened: dict[str, float] = {}
        """When items whose words are still to come took their place."""
        self.usage = UsageTotal()
        self._away_since: float | None = None
        """The process before this one was gone since then; its caller has not been spoken to since."""
        self._left_quietly = False
        self.no_input = NoInputTimer(
            seconds=config.no_input_seconds, asks=config.no_input_asks, hold_seconds=config.hold_seconds,
            later=self._loop.call_later, tell=post,
        )  # fmt: skip
        self.interrupts_itself = True
        self.opening_heard: Callable[[], None] = lambda: None
        """Told when the protected sentence was heard in full."""
        relay.listener = self
        tool_calls.filler = self._fill_for_tool
        self._heard: dict[type, Callable[[Any], None]] = {
            AudioDelta: self._on_speech,
            AudioDone: lambda done: relay.speech_done(done, self.sessions.number),
            SpeechStarted: self._on_speech_started,
            SpeechStopped: self._on_speech_stopped,
            ResponseStarted: self._on_response_started,
            ResponseDone: self._on_response_done,
            Transcript: self._on_words,
            TranscriptFailed: self._on_not_transcribed,
            ItemAdded: self._on_item,
            McpApproval: lambda asked: note(
                "mcp_approval", server=asked.server, tool=asked.tool, approved=asked.approved
            ),
            ToolCalls: self._on_tool_calls,
            ResponseFailed: self._on_unable,
            Usage: self._on_bill,
            ErrorReported: lambda complaint: note("engine_complaint", code=complaint.code, message=complaint.message),
        }

    def restore(self, old: RestoredCall, ago_seconds: float) -> None:
        """Go on where another process was when it was last heard of, so long ago."""
        self._relay.conversation.restore(old.turns, old.interruptions)
        if old.opening_is_over:
            self.protected_greeting.over()
        self.sessions.changes |= old.changes
        self.usage.restore(old.usage)
        self._relay.first_word_ms = old.first_word_ms
        self._away_since, self._left_quietly = self._clock() - ago_seconds, old.quiet

    @property
    def _engine(self) -> Engine | None:
        return self.sessions.engine

    # Its sessions

    def connect(self) -> None:
        """Open a session: the first, or another in place of one that broke."""
        self._relay.restoring()
        self.sessions.connect()
        self._follow()

    def rotate(self) -> None:
        self.sessions.rotate()

    def brief(self, number: int) -> SessionContext:
        return SessionContext(
            self.call, number, self.tool_calls.definitions, turn_detection=not self.protected_greeting.is_open
        )

    def told(self) -> Sequence[ContextItem | ToolCall]:
        """What was said, and which tools still owe an answer."""
        return [*context_items(self._relay.conversation), *self.tool_calls.pending]

    @property
    def is_quiet(self) -> bool:
        relay = self._relay
        busy = self._is_busy or self._unwritten is not None or self.protected_greeting.is_open or self._closing
        return not (busy or relay.playout.is_unplayed(self._clock()) or relay.hears_speech)

    @property
    def _is_busy(self) -> bool:
        """Somebody speaks, or words are owed."""
        relay = self._relay
        return relay.is_caller_speaking or relay.is_owed or bool(relay.responses) or self.tool_calls.is_busy

    def ready(self) -> None:
        self._follow()
        self._relay.restored()
        self._post(events.EngineReady())

    def lost(self, lost: SessionLost) -> None:
        self._proved = False
        self.protected_greeting.again()
        if self._relay.is_caller_speaking or self._relay.hears_speech:
            self._unwritten = ""  # the next session is to hear it, and to answer it
        self.no_input.stop()
        self._post(events.EngineLost(reason=lost.reason, retry=lost.retry))

    def expiring(self, seconds: float) -> None:
        self._post(events.EngineExpiring(ms=round(seconds * 1000)))

    def changed_over(self, *, quiet: bool) -> None:
        self._follow()
        self._note("engine_rotated", session=self.sessions.number, quiet=quiet)
        if not quiet and not self._relay.is_caller_speaking and (self._relay.responses or self._relay.is_owed):
            self._relay.restoring()
            self._relay.restored()
            self._say(prompt(Prompt.RESUME))

    def _follow(self) -> None:
        engine = self._engine
        self.interrupts_itself = engine is not None and "interrupts_itself" in engine.can

    # What it hears

    def hear(self, heard: EngineEvent) -> None:
        self._heard[type(heard)](heard)
        self.changed()

    def _on_speech(self, heard: AudioDelta) -> None:
        if self._relay.speech(heard, self.sessions.number):
            self._cancel_afresh()
            if heard.response not in self._spoke:
                self._spoke.append(heard.response)
            if self._unwritten is None:
                self.sessions.forget_audio()
            self.protected_greeting.speech(Key(heard.item, heard.content, self.sessions.number), heard.audio)

    def _on_speech_started(self, _: SpeechStarted) -> None:
        self._cancel_afresh()
        self._stop_second_goodbye()
        self.no_input.stop()
        self.no_input.noise_began()
        self._note("caller_speaks")
        self._relay.speech_started()

    def _on_speech_stopped(self, heard: SpeechStopped) -> None:
        self._note("caller_pauses")
        self.no_input.noise_ended()
        counts = self._relay.speech_stopped(heard)
        self._unwritten = "" if counts else self._unwritten
        engine = self._engine
        if counts and not self.protected_greeting.is_open and engine is not None and "answers_itself" not in engine.can:
            engine.request_response()

    def _on_response_started(self, heard: ResponseStarted) -> None:
        self._answers += 1
        self._relay.response_started(heard.response)

    def _on_response_done(self, heard: ResponseDone) -> None:
        self._relay.response_done(heard)
        broken = heard.status in ("failed", "incomplete") or (heard.status == "cancelled" and not heard.final)
        for number, item in enumerate(heard.items, 1):
            if not heard.sounds:
                self._relay.conversation.silent(item)
            self._item_over(item, broken=broken and number == len(heard.items))
        if not heard.final and self.protected_greeting.is_said and (broken or not heard.sounds):
            self.protected_greeting.begin()  # it is said anew, and only that counts
        if heard.answered and heard.response in self._spoke:
            self._unwritten = None  # what the caller said was answered, whether it is written down or not
            self.sessions.forget_audio()
        if heard.status in ("failed", "incomplete") or not heard.final:
            self._note("response_failed", status=heard.status, detail=heard.detail, final=heard.final)
        self._check_opening()
        self._check_closing()

    def _on_item(self, heard: ItemAdded) -> None:
        self._relay.conversation.opened(heard.who, heard.item)
        self._opened[heard.item] = self._clock()
        if len(self._opened) > _REMEMBERED:
            del self._opened[next(iter(self._opened))]
        if heard.who == "caller" and self._unwritten == "":
            self._unwritten = heard.item
            if self._broken and not self._broken_by:
                self._broken_by = heard.item

    def _on_words(self, heard: Transcript) -> None:
        turn = self._relay.conversation.words(heard.who, heard.item, heard.text, final=heard.final)
        if not heard.final:
            return
        if heard.who == "caller":
            if heard.item == self._unwritten:
                self._unwritten = None
                self.sessions.forget_audio()
            if self._late is None:
                self._caller_said(heard.item, heard.text)
        if turn is not None and (turn.who == "caller" or turn.has_sound):
            self._write(turn, whole=turn.who == "caller" or self._late is None or turn.is_complete)
        elif turn is not None and (self._late is not None or not self._relay.responses):
            self._item_over(heard.item, broken=True)  # late words of something that nobody was to hear

    def _on_not_transcribed(self, heard: TranscriptFailed) -> None:
        """That the caller has spoken is known, and stands on record; what they said, nobody will know."""
        turn = self._relay.conversation.opened("caller", heard.item)
        now = self._clock()
        began = self._opened.get(heard.item, now)
        self._note("not_transcribed", item=heard.item, reason=heard.reason, ago_ms=round((now - began) * 1000))
        if turn is not None and turn.text:
            self._write(turn, whole=False)  # a part of it was
        self._opened.pop(heard.item, None)
        if heard.reason == TOO_LATE:
            log.info("call %s: what the caller said last is not written down: %s", self.call, heard.reason)
        elif not self._said_untranscribed:
            self._said_untranscribed = True
            log.warning("call %s: what the caller says is not written down: %s", self.call, heard.reason)

    def _write(self, turn: Turn, *, whole: bool) -> None:
        """Its place is where it began, which may be before what was written earlier."""
        now = self._clock()
        ago = round((now - self._opened.pop(turn.item, now)) * 1000)
        turn.is_written = True
        self._note("turn", who=turn.who, item=turn.item, text=turn.text, ago_ms=ago, whole=whole)

    def _item_over(self, item: str, *, broken: bool) -> None:
        """Nothing more comes of what the agent says there. What of it had no sound was said to nobody."""
        conversation = self._relay.conversation
        if (turn := conversation.never_sounded(item)) is not None:
            self._opened.pop(item, None)
            turn.is_written = True
            self._note("cut_off", cuts=[describe(item, 0, 0, turn)])
            return
        turn = conversation.turn(item)
        if turn is None or turn.who != "agent" or not turn.has_sound or turn.interrupted:
            return
        if broken:
            conversation.incomplete(turn)
        if turn.text and (broken or not turn.is_written):
            self._write(turn, whole=not broken)

    def _caller_said(self, item: str, text: str) -> None:
        words = any(map(str.isalnum, text))
        verdict = self._relay.dead_air.detector.verdict
        self.no_input.heard_words(words or verdict == "speech")
        broken = self._broken if item == self._broken_by else ()
        if broken:
            self._broken, self._broken_by = (), ""
        # An empty transcript alone proves nothing: what the engine and our own ear have heard outweighs it.
        nothing = not words and verdict != "speech" and (verdict == "noise" or not self._answers)
        if broken and nothing and not self._relay.is_caller_speaking and not self._closing:
            self._pick_up(broken)

    def _pick_up(self, broken: tuple[Cut, ...]) -> None:
        """It was a noise that interrupted: go on where the agent was, unless it is saying something else already."""
        relay = self._relay
        if self._engine is None or relay.playout.position(self._clock()) > 0:
            return
        self._note("interruption_empty")
        relay.drop_responses()
        for response in relay.responses:
            if self.interrupts_itself:
                self._engine.cancel(response)
        turn = relay.conversation.turn(broken[0].key.item)
        heard = turn.heard_text if turn is not None else ""
        self._engine.request_response(prompt(Prompt.CARRY_ON, heard=heard))
        relay.expect_speech()

    def _on_bill(self, bill: Usage) -> None:
        self.usage.add(bill)
        total = self.usage.total()
        self._note("usage", model=bill.model, used=dict(bill.usage), total=total, usd=total["usd"])

    def _on_tool_calls(self, heard: ToolCalls) -> None:
        for call in heard.calls:
            if self.tool_calls.called(call, spoken=heard.response in self._spoke):
                self._relay.expect_speech(reply=False)
                self._post(events.ToolCalled(id=call.id, tool=call.name, arguments=call.arguments))

    def _on_unable(self, heard: ResponseFailed) -> None:
        """The engine owes words and has none. Once it is passed over with a sentence of ours, the second time it is
        as good as lost."""
        self._note("engine_unable", reason=heard.reason)
        if self._relay.is_caller_speaking and not self.protected_greeting.is_open:
            return  # what they say now is answered, or not
        if self._proved and not self.protected_greeting.is_open and self._relay.interject("trouble", "sorry"):
            self._proved = False
            self._relay.nothing_owed()
        else:
            self._post(events.EngineLost(reason=f"it cannot answer: {heard.reason}", retry=False))

    # What the relay asks and tells

    def append(self, payload: str) -> None:
        self.sessions.append(payload)

    def truncate(self, key: Key, heard_ms: int) -> None:
        """Only the session that said it knows it."""
        self.protected_greeting.cut(key, heard_ms)
        if key.session == self.sessions.number and self._engine is not None and "truncates" in self._engine.can:
            self._engine.truncate(key.item, key.content, heard_ms)

    def cancel(self, response: str) -> None:
        if self._engine is not None and "cancels" in self._engine.can:
            self._engine.cancel(response)

    def unnoticed(self) -> None:
        """What the caller said is known as audio only: the engine is asked to take it for their turn; another session,
        if it comes to that, has to hear it."""
        self._unwritten = ""
        self.sessions.keep_audio()
        self._finish_turn()

    def unended(self) -> None:
        """The caller has stopped, and the engine does not see that."""
        self.no_input.noise_ended()
        self._unwritten = ""
        self._finish_turn()

    def _finish_turn(self) -> None:
        if self._engine is not None and not self.protected_greeting.is_open:
            self._engine.finish_turn()

    def engine_silent(self, reason: str) -> None:
        """The engine is there and says nothing. Another session may do better, but a third one will not."""
        self._mute_sessions += 1
        self.lost(SessionLost(reason, retry=self._mute_sessions < _MUTE_SESSIONS))

    def interrupted(self, cuts: list[Cut]) -> None:
        self._broken, self._broken_by, self._answers = tuple(cuts), "", 0
        self._tell_of_old(cuts)
        if self._closing:
            self._closing = False
            self._call_off()
            self._post(events.LastWordsInterrupted())

    def _call_off(self) -> None:
        """The caller has broken into the goodbye: the model is told, so that the next one ends the call."""
        conversation = self._relay.conversation
        self._called_off = len(conversation.turns)
        conversation.fact(prompt(Prompt.CALLED_OFF))
        if self._engine is not None:
            self._engine.add_context([ContextItem("system", prompt(Prompt.CALLED_OFF))])

    def _await_second_goodbye(self) -> None:
        """In the caller's turn, in a call whose end was called off."""
        if self._called_off is None or self._second_goodbye is not None or self._closing:
            return
        turns = self._relay.conversation.turns[self._called_off :]
        agent = next((turn.text for turn in reversed(turns) if turn.who == "agent" and turn.has_sound), "")
        caller = next((turn.text for turn in reversed(turns) if turn.who == "caller"), "")
        then, seconds = goodbye.after(agent, caller)
        if then == "end":
            self._second_goodbye = self._loop.call_later(seconds, self._post, events.EndRequested(reason="agent"))
        elif then == "ask":
            last = events.NoInput(time=1, last=True, why="called off")
            self._second_goodbye = self._loop.call_later(seconds, self._post, last)

    def _stop_second_goodbye(self) -> None:
        if self._second_goodbye is not None:
            self._second_goodbye.cancel()
            self._second_goodbye = None

    def _tell_of_old(self, cuts: list[Cut]) -> None:
        """What an earlier session said and was cut only now stands in the present one's memory as heard."""
        old = [cut for cut in cuts if cut.key.session != self.sessions.number]
        turns = [turn for cut in old if (turn := self._relay.conversation.turn(cut.key.item)) is not None]
        if self._engine is not None and any(turn.unheard_text for turn in turns):
            self._engine.add_context([not_heard(turn) for turn in turns if turn.unheard_text])

    def heard_out(self) -> None:
        relay = self._relay
        if not self._proved and not relay.is_owed and self.sessions.is_ready:
            self._proved, self._mute_sessions = True, 0
            self._post(events.AgentHeard())
        self._check_opening()
        self._check_closing()
        self.changed()

    def _check_opening(self) -> None:
        relay = self._relay
        busy = relay.responses or relay.is_owed or relay.playout.is_unplayed(self._clock())
        if self.protected_greeting.is_said and not busy:
            self._floor_opens(in_full=True)

    def changed(self) -> None:
        """Whose turn is it? When it is the caller's and nobody speaks, silence is counted."""
        resting = self.sessions.is_ready and self._is_resting
        self.no_input.rest() if resting else self.no_input.stop()
        self._await_second_goodbye() if resting else self._stop_second_goodbye()

    @property
    def _is_resting(self) -> bool:
        relay = self._relay
        unplayed = relay.playout.is_unplayed(self._clock())
        return relay.is_flowing and not (self._is_busy or unplayed or self.protected_greeting.is_open)

    # What the machine tells it to do

    def greet(self) -> None:
        config = self._config
        if self._engine is None:
            return
        if self.protected_greeting.is_open:
            self.protected_greeting.begin()
            self._relay.is_protected = True
        if config.disclosure or config.greeting:
            greeting = prompt(Prompt.GREET, disclosure=config.disclosure, greeting=config.greeting)
            self._engine.request_response(
                greeting, lasting=self.protected_greeting.is_open, whole=self.protected_greeting.is_open
            )
            self._relay.expect_speech()
        else:
            self._relay.nothing_owed()
            self.changed()

    def prompt(self, about: str, time: int) -> None:
        match about:
            case "resume":
                self._resume()
            case "no_input":
                self._say(prompt(Prompt.NO_INPUT, time=time))
            case "no_input_goodbye":
                self._say(prompt(Prompt.NO_INPUT_GOODBYE))
            case "time_warning":
                seconds = round(self._config.max_call_warning_seconds)
                if seconds and self._engine is not None:
                    self._engine.request_response(prompt(Prompt.TIME_WARNING, seconds=seconds), lasting=True)

    def _say(self, what: str) -> None:
        if self._engine is not None:
            self._engine.request_response(what)
            self._relay.expect_speech()

    def _resume(self) -> None:
        """Engine or stream are back. Whoever's turn it was, has it again."""
        relay = self._relay
        if self._engine is None:
            return
        nothing_said = not any(turn.who == "agent" and turn.heard_ms != 0 for turn in relay.conversation.turns)
        away, self._away_since = self._away_since, None
        if self.protected_greeting.is_open or nothing_said:
            self.greet()  # it has to be heard in full; or nothing of it was
            return
        if away is not None and not (self._left_quietly and self._clock() - away < _UNNOTICED_SECONDS):
            self._say(prompt(Prompt.RESUME))  # what the caller said meanwhile, nobody has heard
            return
        if relay.conversation.is_callers_turn and self._unwritten is None and not self.tool_calls.is_busy:
            relay.nothing_owed()
            self.changed()
        elif self._unwritten is not None:
            # The caller's last words are known as audio only, which the new session is hearing just now.
            relay.expect_speech()
            self._cancel_afresh()
            self._afresh = self._loop.call_later(_AFRESH_SECONDS, self._say, prompt(Prompt.RESUME))
        else:
            self._say(prompt(Prompt.RESUME))

    def _cancel_afresh(self) -> None:
        if self._afresh is not None:
            self._afresh.cancel()
            self._afresh = None

    def last_words(self) -> None:
        """Tell when they have been heard, and nothing more is to come."""
        self._closing = True
        self._check_closing()

    def _check_closing(self) -> None:
        if self._closing and not self._is_busy and not self._relay.playout.is_unplayed(self._clock()):
            self._closing = False
            self._post(events.LastWordsHeard())

    # A sentence that must be heard

    def _floor_opens(self, *, in_full: bool) -> None:
        self.protected_greeting.over()
        self._relay.is_protected = False
        proof = self.protected_greeting.proof(self._relay, self._clock(), in_full=in_full)
        self._note("protected", **proof)
        if proof["in_full"]:
            self.opening_heard()
        if self._engine is not None:
            self._engine.set_turn_detection(True)
            self._follow()
            if self._relay.spoken_over:
                self._relay.spoken_over = False
                self._say(prompt(Prompt.SAID_OVER))

    # Tools

    def answer_tool(self, call: str) -> None:
        answer = self.tool_calls.answer(call)
        if answer is None or self._engine is None:
            return
        asked, output, speak = answer
        self._relay.conversation.fact(tool_answered(asked.name, asked.arguments, output))
        if speak:
            self._relay.expect_speech()
        elif not self.tool_calls.is_busy:
            self._relay.nothing_owed()
        self._engine.answer_tool(call, output, speak=speak)
        self._check_closing()

    def _fill_for_tool(self) -> bool:
        """A tool takes its time. False: not now, somebody is speaking."""
        relay = self._relay
        spoken = relay.is_caller_speaking or relay.responses or relay.playout.is_unplayed(self._clock())
        if spoken or not self.sessions.is_ready:
            return False
        if self._engine is not None:
            self._engine.request_response(prompt(Prompt.STILL_BUSY))
        return True

    # Others

    def tell(self, text: str, *, shown: str) -> None:
        """A fact for the model, which is to be answered; `shown` is what later sessions and the record know of it."""
        if self._engine is None:
            return
        self.no_input.heard_words(True)
        self._relay.conversation.fact(shown)
        self._note("told", text=shown)
        self._engine.add_context([ContextItem("system", text)])
        self._engine.request_response()
        self._relay.expect_speech()
        self.changed()

    def update(self, changes: Mapping[str, Any]) -> list[str]:
        """Change this session and those that follow. Returns what was left out and why, a line each that begins with
        its name."""
        if self._engine is None:
            return ["there is no session yet"]
        left_out = self._engine.update(changes)
        refused = {line.split(" ", 1)[0] for line in left_out}
        taken = {name: value for name, value in changes.items() if name not in refused}
        self.sessions.changes |= taken
        self._note("session_changed", changes=taken)
        return left_out

    def ended(self, *, for_good: bool) -> bool:
        """The call is over: let go of the timers, and say how far a protected sentence got, and whatever is unwritten.
        True: words of the caller are still to come, and worth waiting for.

        Not `for_good`: it goes on in another process."""
        waits = self._wind_up() if for_good else False
        owed = self.sessions.owed if self.sessions.writes_down else ()
        for turn in self._relay.conversation.turns:
            if turn.item and turn.text and not turn.is_written and turn.item not in owed:
                if turn.who == "agent":
                    self._item_over(turn.item, broken=True)
                if not turn.is_written:
                    self._write(turn, whole=False)
        if self.protected_greeting.is_said and for_good:
            self._note("protected", **self.protected_greeting.proof(self._relay, self._clock(), in_full=False))
        self.no_input.close()
        self.tool_calls.close()
        self._cancel_afresh()
        self._stop_second_goodbye()
        self.sessions.stop()
        return waits

    def _wind_up(self) -> bool:
        """See whether words of the caller are still to come, and have the session stay for them."""
        sessions, relay = self.sessions, self._relay
        owed = sessions.owed
        if not sessions.writes_down:
            return False
        speaking = relay.is_caller_speaking or relay.dead_air.detector.is_alone
        if speaking or self._unwritten == "":
            owed.is_unplaced = True
        if not owed or not self._config.transcript_seconds:
            return False
        if relay.frame_batcher is not None:
            relay.frame_batcher.flush()
        late = LateTranscripts(owed, lambda heard: self._heard[type(heard)](heard))
        if not sessions.wind_up(late, speaking=speaking):
            return False
        self._late = late
        return True

    async def last_transcripts(self, seconds: float) -> None:
        """Until nothing of what the caller has said is to come any more, or that long."""
        if self._late is not None:
            await self._late.come(seconds)

    def give_up_words(self) -> None:
        """Wait no longer for them."""
        if self._late is not None:
            self._late.give_up()

    def written(self, *, for_good: bool) -> None:
        """Nothing more will come: what the caller has said and nobody has written down is noted as that."""
        if self._late is not None:
            self._late.close()
        if self.sessions.writes_down:
            for never in self.sessions.owed.close(TOO_LATE if for_good else LEFT):
                self._on_not_transcribed(never)

    def stream_lost(self) -> None:
        """Whether it works again shows when the caller has heard something."""
        self._proved = False

    async def close(self) -> None:
        await self.sessions.close()
