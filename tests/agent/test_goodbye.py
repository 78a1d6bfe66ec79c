"""The goodbye after which the call ends: heard in full, called off by the caller, or said for a second time."""

from __future__ import annotations

import asyncio

import pytest

from callflow.agent import goodbye_rules
from callflow.agent.conversation import Conversation
from callflow.agent.goodbye import Goodbye
from callflow.agent.turn_taking import Floor
from callflow.contracts.events import EndRequested, Event, GoodbyeHeard, GoodbyeInterrupted, NoInput


QUIET = Floor(
    caller_speaking=False, answer_due=False, responses=False, tools_busy=False, unplayed=False, greeting_open=False
)


class Scene:
    def __init__(self) -> None:
        self.posted: list[Event] = []
        self.came = asyncio.Event()
        self.conversation = Conversation()
        self.goodbye = Goodbye(self.conversation, self._post)

    def _post(self, event: Event) -> None:
        self.posted.append(event)
        self.came.set()

    def turn(self, who: str, text: str) -> None:
        item = f"item_{len(self.conversation.turns)}"
        turn = self.conversation.opened("agent" if who == "agent" else "caller", item)
        assert turn is not None
        turn.text, turn.has_sound = text, True


@pytest.mark.parametrize("still", ["unplayed", "responses", "caller_speaking", "answer_due", "tools_busy"])
async def test_it_is_heard_when_nothing_more_is_to_come(still: str) -> None:
    scene = Scene()
    scene.goodbye.check(QUIET)
    assert scene.posted == [], "nobody has said goodbye"
    scene.goodbye.begin()
    scene.goodbye.check(QUIET._replace(**{still: True}))
    assert scene.posted == []
    scene.goodbye.check(QUIET)
    scene.goodbye.check(QUIET)
    assert scene.posted == [GoodbyeHeard()]


async def test_a_caller_who_breaks_in_calls_the_end_off_once() -> None:
    scene = Scene()
    assert not scene.goodbye.interrupted(), "any other sentence may be interrupted"
    scene.goodbye.begin()
    assert scene.goodbye.interrupted()
    assert not scene.goodbye.interrupted()
    scene.goodbye.check(QUIET)
    assert scene.posted == [GoodbyeInterrupted()]


@pytest.mark.parametrize(
    ("agent", "caller", "then"),
    [("Goodbye!", "Bye.", EndRequested), ("Moi moi!", "Hyvästi.", NoInput), ("Shall I book it?", "Yes.", None)],
)
async def test_after_that_a_second_goodbye_ends_the_call(
    agent: str, caller: str, then: type[Event] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(goodbye_rules, "SECONDS", 0.001)
    monkeypatch.setattr(goodbye_rules, "DOUBT_SECONDS", 0.001)
    scene = Scene()
    scene.goodbye.count_silence()
    scene.goodbye.begin()
    scene.goodbye.interrupted()
    scene.posted.clear()
    scene.came.clear()
    scene.turn("caller", caller)
    scene.turn("agent", agent)
    scene.goodbye.count_silence()
    if then is None:
        assert not scene.goodbye._timers.is_running("second goodbye")
        return
    async with asyncio.timeout(5):
        await scene.came.wait()
    assert [type(event) for event in scene.posted] == [then]


async def test_whoever_speaks_stops_the_timer() -> None:
    scene = Scene()
    scene.goodbye.begin()
    scene.goodbye.interrupted()
    scene.turn("agent", "Goodbye!")
    scene.goodbye.count_silence()
    assert scene.goodbye._timers.is_running("second goodbye")
    scene.goodbye.stop()
    assert not scene.goodbye._timers.is_running("second goodbye")
