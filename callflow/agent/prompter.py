"""Asks the engine to speak without a turn of the caller: greeting, resuming after a break, questions, warnings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from callflow.agent import turn_taking
from callflow.agent.agent_config import AgentConfig
from callflow.agent.engine_sessions import EngineSessions
from callflow.agent.prompts import Prompt, not_heard, prompt, shown, whispered
from callflow.agent.protected_greeting import ProtectedGreeting
from callflow.agent.tool_calls import PendingToolCalls
from callflow.agent.turn_manager import TurnManager
from callflow.agent.turn_taking import Floor, ProcessGap
from callflow.contracts.engine import ContextImage, ContextItem
from callflow.contracts.media import Cut
from callflow.journal.notes import Fact, InterruptionEmpty, Note
from callflow.timers import Timers


_ASK: Final = "ask"
"""The engine is asked to speak unless somebody speaks before."""
_MOST_KEYS_FAILED: Final = 2
"""Times in a call that the agent is told of keys which the carrier refuses: it would press them again without end."""
_HEAR_AGAIN_SECONDS: Final = 1.2
"""Time in which a restored session must notice the caller's last turn, before it is asked to speak."""
_FILLERS_UNANSWERED: Final = 2.0
"""After so many times `reply_filler_seconds` an engine that decides for itself is asked for the answer that it has not
given: nothing else tells one that has gone mute from one that is silent on purpose."""
_MOST_OWED: Final = 4
"""The most things that wait until the caller hears the agent again; then the oldest is left out."""
_TALKING_SECONDS: Final = 0.3
"""Pause before looking again whether somebody has stopped whom only our own detector hears."""


class RemoteSpeaker(Protocol):
    """See `callflow.agent.remote_speech`."""

    def resumes(self) -> str:
        """Return "listen", "answer", or "": as in other calls."""


class Prompter:
    """Decides which prompts the engine gets, and sends them."""

    def __init__(
        self,
        *,
        config: AgentConfig,
        sessions: EngineSessions,
        turns: TurnManager,
        tool_calls: PendingToolCalls,
        protected_greeting: ProtectedGreeting,
        note: Callable[[Note], None],
        listen: Callable[[], None],
    ) -> None:
        """`listen`: called when the agent has nothing to say, so the caller has the turn."""
        self._config, self._sessions, self._turns, self._tool_calls = config, sessions, turns, tool_calls
        self._protected_greeting, self._note, self._listen = protected_greeting, note, listen
        self._clock = asyncio.get_running_loop().time
        self._timers = Timers()
        self._away_since: float | None = None
        """When the previous process lost the call, on the loop's clock; None once the agent has spoken again."""
        self._left_quietly = self._was_moved = self._was_heard = self._met_person = False
        self._keys_failed = 0
        self._owed: dict[str, bool] = {}
        """The instructions of the speech that waits until the caller hears the agent again, oldest first, each with
        whether it lasts. Of those that do not last there is one at most."""
        self._awaits_step = False
        """A session is ready, and the machine's step, which says how the conversation goes on, is still to come."""
        self.remote: RemoteSpeaker | None = None
        """Decides how a conversation goes on in a call whose audio never comes here."""

    def restored(self, ago_seconds: float, *, left_quietly: bool, met_person: bool = False) -> None:
        """Note that no process had the call for `ago_seconds`. `left_quietly`: nobody spoke at the handover.
        `met_person`: the caller has talked with a person before."""
        self._met_person = met_person
        self._away_since, self._left_quietly = self._clock() - ago_seconds, left_quietly

    def moved(self) -> None:
        """Note that a process which goes on has given the call to this one."""
        self._was_moved = True

    def heard_meanwhile(self) -> None:
        """Note that all is here which the caller said until now while no process of the call heard them."""
        if self._away_since is not None:
            self._away_since, self._was_heard = self._clock(), True

    def greet(self) -> None:
        """Let the engine speak first, if there is a greeting or a disclosure."""
        config, protected = self._config, self._protected_greeting.is_open
        if not self._sessions.is_there:
            return
        if protected:
            self._protected_greeting.begin()
            self._turns.continued.stop()  # audio of the sentence is counted
            self._turns.taking.protected = True
        if config.disclosure or config.greeting:
            greeting = prompt(Prompt.GREET, disclosure=config.disclosure, greeting=config.greeting)
            self.say(greeting, lasting=protected, whole=protected)
        else:
            self._let_caller_speak()

    def prompt(self, about: str, time: int) -> None:
        """Ask the agent to speak: see `commands.Prompt`. `time`: how many times in a row, from 1."""
        match about:
            case "resume":
                self._resume()
            case "back":
                self.say(prompt(Prompt.BACK))
            case "held":
                self.say(prompt(Prompt.HELD))
            case "keys_failed" if self._keys_failed < _MOST_KEYS_FAILED:
                self._keys_failed += 1
                self.learn(prompt(Prompt.KEYS_FAILED), speak=True)
            case "no_input":
                self.say(prompt(Prompt.NO_INPUT, time=time))
            case "no_input_goodbye":
                self.say(prompt(Prompt.NO_INPUT_GOODBYE))
            case "time_warning":
                seconds = round(self._config.max_call_warning_seconds)
                if seconds:
                    self.say(prompt(Prompt.TIME_WARNING, seconds=seconds), lasting=True)

    def say(self, instructions: str, *, lasting: bool = False, whole: bool = False) -> None:
        """Ask the engine to speak, if there is a session; this begins the agent's turn. It waits until the caller hears
        the agent: what was asked for before would be cut off, and nobody would ask again, or without end. Not so what
        is `whole`: the protected sentence has its own proof. `lasting`, `whole`: see `Engine.request_response`."""
        if self._turns.is_agent_shut and not whole:
            self._owe(instructions, lasting=lasting)
        elif not instructions and self.is_in_break and self._sessions.is_there:
            self._owe("", lasting=False)  # asked for now, it would be said beside the sentence after the break
            self._turns.expect_speech()
        elif self._sessions.request_response(instructions, lasting=lasting, whole=whole):
            self._turns.expect_speech()
            if not self._turns.is_agent_shut:
                owed, self._owed = self._owed, {}
                for text, lasts in owed.items():
                    if (lasts or lasting) and text != instructions:
                        self._sessions.request_response(text, lasting=lasts)

    def _owe(self, instructions: str, *, lasting: bool) -> None:
        """Keep this for later. What does not last takes the place of the earlier; a mere wish to speak of none."""
        owed = self._owed
        if lasting or instructions:
            owed = {text: lasts for text, lasts in owed.items() if text != instructions and (lasts or lasting)}
        elif not all(owed.values()):
            return
        self._owed = dict([*owed.items(), (instructions, lasting)][-_MOST_OWED:])

    def unheard(self) -> None:
        """Keep for later what the engine was asked to say and has not begun: the caller hears the agent no more. Else
        it would begin, be cancelled and, as it lasts, be asked for again, without end."""
        for text, lasts in self._sessions.withdraw().items():
            self._owe(text, lasting=lasts)

    @property
    def owes_speech(self) -> bool:
        """Whether the agent has something to say as soon as the caller hears it again."""
        return bool(self._owed)

    @property
    def is_in_break(self) -> bool:
        """Whether no session is ready, or the machine has not yet said how the conversation goes on with one that is:
        what is asked for now would be said beside that."""
        return self._awaits_step or not self._sessions.is_ready

    def session_ready(self) -> None:
        """Note that a session is ready: the machine learns it now, and says how the conversation goes on."""
        self._awaits_step = True

    def break_over(self, *, asked: bool) -> None:
        """Note that the machine has taken that step. `asked`: the step asks for a sentence, or none is to be said;
        otherwise what is owed is said, because nothing resumes."""
        self._awaits_step = False
        if not asked:
            self.heard_again()

    def heard_again(self) -> bool:
        """Ask for what waited while the caller could not hear the agent, if they can now. Returns whether it was asked
        for: in a break it waits for its end."""
        if not self._owed or self._turns.is_agent_shut or self.is_in_break:
            return False
        owed, self._owed = self._owed, {}
        for text, lasts in owed.items():
            self.say(text, lasting=lasts)
        return True

    def person_speaks(self) -> None:
        """Note that a person has the caller, who is not greeted any more, and hears nothing of what the agent owes."""
        self._met_person = True
        self.forget_owed()

    def forget_owed(self) -> None:
        """Drop what waits until the caller hears the agent again, and what the engine has not begun: others speak now,
        or nobody any more."""
        self._sessions.withdraw()
        self._owed = {}

    def caller_stopped(self, *, answer_due: bool) -> None:
        """Ask for an answer to the caller's turn, where the engine gives none by itself. Not `answer_due`: it decides
        whether it answers, and is asked once it has said nothing for long."""
        if not self._sessions.can("answers_itself"):
            if not self._turns.is_agent_shut:
                self._sessions.request_response()
        elif not answer_due:
            self._timers.start(_ASK, _FILLERS_UNANSWERED * self._config.reply_filler_seconds, self._unanswered)

    def _unanswered(self) -> None:
        turns = self._turns
        if turns.is_answer_due or turns.is_silenced or self._tool_calls.is_busy or turns.taking.caller_speaking:
            return
        if turns.hears_speech:
            self._timers.start(_ASK, _TALKING_SECONDS, self._unanswered)
        else:
            self.say("")

    def say_exactly(self, text: str) -> None:
        """Let the agent say a text of an operator, word for word, also if the caller speaks before it begins."""
        self.say(prompt(Prompt.SAY, text=text), lasting=True)

    def _resume(self) -> None:
        """Continue the conversation, now that engine or stream are back."""
        if not self._sessions.is_there:
            return
        since, self._away_since = self._away_since, None
        match self.remote.resumes() if self.remote is not None else "":
            case "listen":
                self._let_caller_speak()
                return
            case "answer":
                self.say("")
                return
        conversation = self._turns.conversation
        match turn_taking.resume(
            greeting_open=self._protected_greeting.is_open,
            is_new=not (
                self._met_person or any(turn.who == "agent" and turn.heard_ms != 0 for turn in conversation.turns)
            ),
            away=None
            if since is None
            else ProcessGap(self._heard_since() - since, self._left_quietly, self._was_moved, self._was_heard),
            callers_turn=conversation.is_callers_turn,
            audio_is_needed=self._turns.taking.audio_is_needed,
            tools_busy=self._tool_calls.is_busy,
        ):
            case "greet":
                self.greet()
            case "apologise":
                if not self.heard_again():
                    self.say(prompt(Prompt.RESUME))
            case "listen":
                self._let_caller_speak()
            case "hear_again":
                self._turns.expect_speech()
                self._timers.start(_ASK, _HEAR_AGAIN_SECONDS, self.say, prompt(Prompt.RESUME))

    def _let_caller_speak(self) -> None:
        """Leave the turn to the caller, unless something is to be said that they have not heard."""
        if not self.heard_again():
            self._listen()

    def _heard_since(self) -> float:
        """Return since when the caller is heard: from then on all audio is kept for a session that is not there yet."""
        since = self._turns.stream_since
        return self._clock() if since is None else since

    def carry_on(self, cut: Cut) -> None:
        """Ask the agent to continue where a mere noise cut it off, unless the agent is speaking already."""
        if not self._sessions.is_there or self._turns.is_playing or self._turns.is_silenced:
            return
        self._note(InterruptionEmpty())
        self._turns.drop_responses()
        if self._sessions.has("interrupts_itself"):
            for response in self._turns.taking.responses:
                self._sessions.cancel(response)
        turn = self._turns.conversation.turn(cut.key.item)
        self.say(prompt(Prompt.CARRY_ON, heard=turn.heard_text if turn is not None else ""))

    def still_busy(self, floor: Floor) -> bool:
        """Ask the agent to say that a tool is slow. Returns False if somebody speaks or no session is ready."""
        is_busy = floor.caller_speaking or floor.responses or floor.unplayed or self._turns.is_silenced
        if is_busy or self.is_in_break:
            return False
        return self._sessions.request_response(prompt(Prompt.STILL_BUSY))

    def learn(self, text: str, *, speak: bool, shown: str = "", by: str = "") -> None:
        """Give the model a fact of ours, also for later sessions. `speak`: it says something about it at once. `shown`:
        without private parts, for journal and later sessions. `by`: see `notes.Fact`."""
        self._turns.conversation.fact(shown or text)
        self._note(Fact(text=shown or text, by=by))
        self._sessions.add_context([ContextItem("system", text)])
        if speak:
            self.say("")

    def whisper(self, name: str, text: str, *, now: bool) -> None:
        """Give the model an operator's words, which the caller does not hear, also for later sessions. `now`: it speaks
        about them at once. `name`: see `notes.Whispered`."""
        fact = whispered(text)
        self._turns.conversation.fact(fact)
        self._turns.whispers.given(name)
        self._sessions.add_context([ContextItem("system", fact)])
        if now:
            self.say("")

    def show(self, image: ContextImage, *, now: bool) -> None:
        """Show the model a picture, also in later sessions. `now`: it speaks about it at once."""
        self._turns.conversation.fact(shown(image.text))
        self._sessions.show(image)
        if now:
            self.say("")

    def goodbye_called_off(self) -> None:
        """Add to the model's context that the caller interrupted the goodbye, so the next goodbye ends the call."""
        self._turns.conversation.fact(prompt(Prompt.CALLED_OFF))
        self._sessions.add_context([ContextItem("system", prompt(Prompt.CALLED_OFF))])

    def cut_in_earlier_session(self, cuts: Sequence[Cut]) -> None:
        """Correct the context of the present session after a cut of an earlier session's speech: the context said that
        the whole speech was heard."""
        turns = [turn for cut in cuts if (turn := self._turns.conversation.turn(cut.key.item)) is not None]
        if any(turn.unheard_text for turn in turns):
            self._sessions.add_context([not_heard(turn) for turn in turns if turn.unheard_text])

    def somebody_speaks(self) -> None:
        """Cancel the prompt that waits for a session to notice or to answer the caller: it has, or they go on."""
        self._timers.stop(_ASK)

    def agent_speaks(self) -> None:
        """Do the same when the caller hears the agent: what was to be said and does not last is outdated."""
        self._timers.stop(_ASK)
        if self._owed and not self._turns.is_agent_shut:
            self._owed = {text: True for text, lasts in self._owed.items() if lasts}
            self.heard_again()

    def close(self) -> None:
        """Stop the timer."""
        self._timers.close()
        self.forget_owed()
