"""Carries out what operators and tools do with a call's line: hold, mute, words and keys."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Literal

from callflow.agent.agent import Agent
from callflow.agent.prompts import Prompt, heard_again, prompt
from callflow.media.clips import HOLD_MUSIC
from callflow.media.relay import Relay


HoldMusic = Literal["music", "clip", "silence"]
_SPOKEN = ("still-here", "one-moment")
"""Clips for hold with `clip`: the first that exists."""


class LineControl:
    """The line of one call."""

    def __init__(
        self, agent: Agent, relay: Relay, *, hold_music: HoldMusic, is_taken: Callable[[], bool] = lambda: False
    ) -> None:
        """`is_taken`: returns whether a person has taken the caller over: whoever gives them back tells the agent so,
        and to speak."""
        self._agent, self._relay, self._hold_music, self._is_taken = agent, relay, hold_music, is_taken
        self._clock = asyncio.get_running_loop().time

    def restore(self, muted: Iterable[Literal["caller", "agent"]]) -> None:
        """Mute whom the previous process had muted."""
        for party in muted:
            self._relay.gates.mute(party, True)
        self._agent.no_input.pause(not self._relay.gates.is_open, "line")

    def hold(self) -> None:
        """Silence the agent, which does not hear the caller any more, and play music."""
        self._silence()
        self._relay.gates.hold(True)
        names = {"music": (HOLD_MUSIC,), "clip": _SPOKEN, "silence": ()}[self._hold_music]
        clip = self._relay.clips.clip(*names)
        if clip is not None:
            self._relay.sounds.play_music(clip.audio, spoken=bool(clip.text))
        self._changed()

    def unhold(self) -> None:
        """Stop the music; the agent hears the caller again."""
        self._relay.sounds.stop_music()
        self._relay.gates.hold(False)
        self._relay.interrupt(self._clock())
        self._changed()

    def mute(self, party: Literal["caller", "agent"], on: bool) -> None:
        """Mute a party, or end that. An agent that is muted is cut off like one that is interrupted."""
        if party == "agent" and on:
            self._silence()
        self._relay.gates.mute(party, on)
        self._changed()
        if not on and not self._is_taken():
            self._agent.prompter.heard_again()
            self._agent.changed()

    def say(self, text: str) -> None:
        """Let the agent say this, word for word."""
        self._agent.prompter.say_exactly(text)
        self._agent.changed()

    def press(self, digits: str, *, secret: bool) -> None:
        """Play the tones of these keys, behind what the agent is saying."""
        self._relay.sounds.play_keys(digits, secret=secret)
        self._agent.changed()

    def _silence(self) -> None:
        """Cut the agent off, and stop its responses: nothing that the engine would hear tells it to. What it has not
        begun to say waits until it is heard; but not until it follows a person, who says what there is to say."""
        self._agent.prompter.unheard()
        if self._is_taken():
            self._agent.prompter.person_speaks()
        self._agent.turns.cut_short()
        if self._agent.engine_has("interrupts_itself"):
            for response in self._agent.turns.taking.responses:
                self._agent.cancel(response)

    def _tell_of_hearing(self) -> None:
        """Tell a model that cannot be stopped that the caller does not hear it, or that they do again, and what they
        missed: it believes that all it has said was heard."""
        agent, fact = self._agent, prompt(Prompt.UNHEARD)
        said = agent.turns.conversation.agent_turns_since(fact, heard_again(()))
        if not self._relay.gates.agent_is_shut:
            if said is not None:
                agent.prompter.learn(heard_again(said), speak=False)
        elif said is None and not agent.sessions.can("cancels"):
            agent.prompter.learn(fact, speak=False)

    def _changed(self) -> None:
        self._tell_of_hearing()
        self._agent.no_input.pause(not self._relay.gates.is_open, "line")
        self._agent.changed()
