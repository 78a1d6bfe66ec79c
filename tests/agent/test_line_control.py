"""Hold and mute with a model that cannot be stopped: it learns that nobody hears it, and what they have missed."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any, cast

import pytest

from callflow.agent.line_control import LineControl
from callflow.agent.prompts import Prompt, prompt
from callflow.contracts.engine import EngineListener, SessionContext
from callflow.engines.common.engine_socket import EngineSocket
from callflow.engines.openai_live.adapter import OpenAILive
from callflow.journal import notes
from tests.agent.offline import CAN, Scene
from tests.engines.test_live_delegation import CONFIG
from tests.in_loop import in_loop


LOUD = base64.b64encode(b"\x20\xa0" * 800).decode()
"""0.2 s."""


class Live:
    """A call whose model says what a test wants, over the real adapter."""

    def __init__(self, **config: Any) -> None:
        self.sent: list[dict[str, Any]] = []
        self.scene = Scene(make_engine=self._make, **config)
        self.scene.agent.connect()
        self.says("session.started", session={})
        self.line = LineControl(self.scene.agent, self.scene.relay, hold_music="silence")
        self.sent.clear()

    def _make(self, context: SessionContext, tell: EngineListener) -> OpenAILive:
        engine: Any = OpenAILive(CONFIG, context, tell)
        engine.run = asyncio.Event().wait
        engine._channel.lost = asyncio.get_running_loop().create_future()
        engine._channel.socket = engine._socket = cast(EngineSocket, self)
        engine._now = lambda: self.scene.now
        return cast(OpenAILive, engine)

    @property
    def engine(self) -> Any:
        return self.scene.agent.sessions.engine

    def put(self, text: str) -> None:
        self.sent.append(json.loads(text))

    def says(self, kind: str, **fields: Any) -> None:
        self.engine._received(json.dumps({"type": kind, **fields}).encode())

    def speaks(self, words: str) -> None:
        """0.2 s of sound a word, in real time."""
        for word in words.split():
            self.says("session.output_transcript.delta", delta=f"{word} ", start_ms=0, end_ms=0)
            self.says("session.output_audio.delta", delta=LOUD)
            self.scene.hear(0.2)

    def pauses(self) -> None:
        self.scene.now += 1.0
        self.engine._tick()

    def shuts(self, how: str, on: bool) -> None:
        if how == "mute":
            self.line.mute("agent", on)
        elif on:
            self.line.hold()
        else:
            self.line.unhold()

    def told(self) -> list[str]:
        return [event["content"] for event in self.sent if event["type"] == "session.thinking.append"]


@pytest.mark.parametrize("how", ["hold", "mute"])
@in_loop
async def test_a_model_that_cannot_be_stopped_learns_what_a_caller_on_hold_has_missed(how: str) -> None:
    one = Live()
    one.speaks("We are open from nine")
    one.shuts(how, True)
    assert one.told() == [prompt(Prompt.UNHEARD)]
    one.speaks("until five.")
    one.pauses()
    one.speaks("Anything else?")
    one.pauses()
    one.shuts(how, False)
    (again,) = one.told()[1:]
    assert again.startswith("The caller hears you again.")
    assert "until five. Anything else?" in again
    assert "We are" not in again
    turns = [(turn.text.strip(), turn.heard_ms) for turn in one.scene.turns.conversation.turns if turn.who == "agent"]
    assert [text for text, _ in turns] == ["We are open from nine", "until five.", "Anything else?"]
    assert [ms for _, ms in turns[1:]] == [0, 0], "written down as heard"
    one.line.mute("agent", False)
    assert len(one.told()) == 2, "told twice"


@in_loop
async def test_a_model_that_is_stopped_is_told_nothing() -> None:
    scene = Scene(can=CAN)
    scene.ready()
    scene.answer(ms=900, whole=False)
    line = LineControl(scene.agent, scene.relay, hold_music="silence")
    line.hold()
    line.mute("agent", True)
    line.unhold()
    line.mute("agent", False)
    assert not scene.took(notes.Fact)
