"""Carries out the commands that a call's machine gives to the call itself: see `contracts/commands.py`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from callflow.agent.agent import Agent
from callflow.agent.line_control import LineControl
from callflow.call.call_config import CallConfig
from callflow.call.deadlines import Deadlines
from callflow.call.legs import Legs, asks_agent_to_speak
from callflow.call.line_requests import Words
from callflow.contracts import commands
from callflow.contracts.commands import Command
from callflow.journal import notes
from callflow.journal.notes import Note
from callflow.media.relay import Relay


class LocalCommands:
    """The local commands of one call."""

    def __init__(
        self,
        agent: Agent,
        relay: Relay,
        deadlines: Deadlines,
        *,
        config: CallConfig,
        words: Words,
        preamble_seconds: float,
        own: Callable[[Coroutine[Any, Any, None], str], object],
        note: Callable[[Note], None],
        legs: Legs,
        now: Callable[[], float],
        is_taken: Callable[[], bool] = lambda: False,
        may_run: Callable[[], Awaitable[bool]],
    ) -> None:
        """`words`: texts and digits that commands name. `preamble_seconds`: see `Carrier.preamble_seconds`. `own`:
        takes tasks that end with the call. `now`: returns Unix time, in seconds. `is_taken`: see `LineControl`.
        `may_run`: see `CallServices`."""
        self._legs, self._now = legs, now
        self._agent, self._relay, self._deadlines = agent, relay, deadlines
        self._config, self._words, self._preamble_seconds = config, words, preamble_seconds
        self.line = LineControl(agent, relay, hold_music=config.hold_music, is_taken=is_taken)
        self._own, self._note, self._may_run = own, note, may_run

    def do(self, command: Command, *, is_written: bool = True) -> None:
        """Carry out one command, at once; but a tool whose step is not written, once it may run."""
        match command:
            case commands.Arm(deadline=name):
                more = self._preamble_seconds if name in ("ring", "stream") else 0.0
                if name == "transfer":  # "Press 1" may be the last that the person is told
                    more = self._legs.briefing_seconds(self._config.briefing_text)
                    more += self._config.deadline_seconds["queue"] if self._legs.is_queued else 0.0
                self._deadlines.arm(name, self._config.deadline_seconds[name] + more, shared=name == "engine")
            case commands.Disarm(deadline=name):
                self._deadlines.disarm(name)
            case commands.ConnectEngine(message=True):
                self._agent.voicemail.begin()
            case commands.ConnectEngine():
                self._relay.when_answered(self._agent.connect)
            case commands.LeaveMessage():
                self._agent.voicemail.say()
            case commands.RotateEngine():
                self._agent.rotate()
            case commands.Greet():
                self._agent.prompter.greet()
            case commands.Prompt(about="time_warning") if self._deadlines.has_begun("call"):
                pass  # the caller was warned before they talked with a person
            case commands.Prompt(about=about, time=time):
                self._agent.prompter.prompt(about, time)
            case commands.RunTool(id=call_id):
                self._own(self._run_tool(call_id, is_written=is_written), f"tool {call_id}")
            case commands.AnswerTool(id=call_id):
                self._agent.tool_turns.answer(call_id)
            case commands.AwaitGoodbye():
                self._agent.await_goodbye()
            case commands.TellTransfer(outcome=outcome):
                self._agent.no_input.pause(outcome == "rings", "transfer")
                if text := self._legs.describe_outcome(outcome, self._now()):
                    self._agent.prompter.learn(text, speak=asks_agent_to_speak(outcome))
                    self._agent.changed()
            case commands.SilenceAgent():
                self._agent.silence()
            case commands.Hold():
                self.line.hold()
            case commands.Unhold():
                self.line.unhold()
            case commands.Mute(party=party, on=on):
                self.line.mute(party, on)
            case commands.Say(id=name):
                self.line.say(self._words.take(name))
            case commands.PlayDtmf(id=name):
                self.line.press(self._words.take(name), secret=self._config.dtmf_sensitive)
            case commands.PlayClip(clip=clip):
                self._note(notes.Clip(clip=clip))
                self._relay.play_clip(clip)
            case commands.CloseMedia():
                self._own(self._relay.close(), "close-media")

    async def _run_tool(self, call: str, *, is_written: bool) -> None:
        if is_written or await self._may_run():
            await self._agent.tool_calls.run(call)
