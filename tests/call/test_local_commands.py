"""The commands that a call carries out itself: each reaches the part that it is for, once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, cast

import pytest

from callflow.agent.prompts import Prompt, prompt
from callflow.call.deadlines import Deadlines
from callflow.call.legs import Legs
from callflow.call.line_requests import Words
from callflow.call.local_commands import LocalCommands
from callflow.contracts import commands
from callflow.contracts.engine import ToolCalls
from callflow.contracts.events import TransferRequested
from callflow.contracts.tools import ToolCall
from callflow.journal import notes
from tests.agent.offline import Scene
from tests.call.offline import FakeCarrier, as_carrier, config
from tests.in_loop import in_loop, settle


SECONDS = {"queue": 40.0, "ring": 30.0, "stream": 10.0, "engine": 8.0, "transfer": 20.0, "call": 600.0, "grace": 1.0}


class Clock:
    """Deadlines that only write down what is armed."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.begun: set[str] = set()

    def arm(self, name: str, seconds: float, *, shared: bool = False) -> None:
        self.told.append((name, seconds, shared))

    def disarm(self, name: str) -> None:
        self.told.append((name,))

    def has_begun(self, name: str) -> bool:
        return name in self.begun


class Call:
    def __init__(self, *, ready: bool = True, **changes: Any) -> None:
        self.scene, self.clock, self.words = Scene(), Clock(), Words()
        self.owned: list[tuple[str, asyncio.Task[None]]] = []
        self.may_run: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.legs = Legs(
            as_carrier(FakeCarrier("queues_dials")), dials=False, post=lambda event: None, named=lambda ids, leg: None
        )
        self.local = LocalCommands(
            self.scene.agent, self.scene.relay, cast(Deadlines, self.clock),
            config=config(deadline_seconds=SECONDS, briefing_text="{summary}", **changes), words=self.words,
            preamble_seconds=5.0, own=self._own, note=self.scene.notes.append, legs=self.legs, now=lambda: 100.0,
            may_run=self._may_run,
        )  # fmt: skip
        if ready:
            self.scene.ready()
            self.take()

    def _own(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self.owned.append((name, asyncio.ensure_future(work)))

    async def _may_run(self) -> bool:
        return await self.may_run

    def do(self, *told: commands.Command) -> None:
        for command in told:
            self.local.do(command)

    def take(self) -> list[Any]:
        return self.scene.engine.take()


@pytest.mark.parametrize(
    ("deadline", "armed"),
    [
        ("ring", ("ring", 35.0, False)), ("stream", ("stream", 15.0, False)), ("engine", ("engine", 8.0, True)),
        ("call", ("call", 600.0, False)), ("grace", ("grace", 1.0, False)), ("transfer", ("transfer", 20.0, False)),
    ],
)  # fmt: skip
@in_loop
async def test_a_deadline_has_the_length_of_its_setting_and_time_for_what_the_carrier_says_first(
    deadline: str, armed: tuple[Any, ...]
) -> None:
    call = Call(ready=False)
    call.do(commands.Arm(deadline=deadline), commands.Disarm(deadline=deadline))
    assert call.clock.told == [armed, (deadline,)]


@in_loop
async def test_a_person_has_time_to_hear_who_calls_before_they_must_have_accepted() -> None:
    call = Call(ready=False)
    call.legs.transfer = call.legs._transfer(TransferRequested(summary="x" * 100))
    call.do(commands.Arm(deadline="transfer"))
    assert call.legs.transfer.is_queued
    call.legs.transfer.is_queued = False
    call.do(commands.Arm(deadline="transfer"))
    (_, queued, _), (_, rings, _) = call.clock.told
    assert queued == pytest.approx(20.0 + 9.0 + 40.0)
    assert rings == pytest.approx(20.0 + 9.0)


@in_loop
async def test_a_session_is_opened_and_replaced() -> None:
    call = Call(ready=False)
    call.do(commands.ConnectEngine())
    assert len(call.scene.engines) == 1
    call.do(commands.RotateEngine())
    assert len(call.scene.engines) == 2


@in_loop
async def test_a_session_for_a_machine_says_the_message_and_nothing_else() -> None:
    call = Call()
    call.do(commands.ConnectEngine(message=True))
    assert call.scene.agent.voicemail.is_on
    assert len(call.scene.engines) == 2


@pytest.mark.parametrize(
    ("command", "instructions"),
    [
        (commands.Greet(), "Say hello."),
        (commands.Prompt(about="back"), prompt(Prompt.BACK)),
        (commands.Prompt(about="no_input", time=2), prompt(Prompt.NO_INPUT, time=2)),
    ],
)
@in_loop
async def test_the_agent_is_asked_to_speak(command: commands.Command, instructions: str) -> None:
    call = Call()
    call.do(command)
    assert [each for each in call.take() if each[0] == "response"] == [("response", instructions)]


@pytest.mark.parametrize("begun", [True, False])
@in_loop
async def test_a_caller_is_warned_of_the_time_once(begun: bool) -> None:
    """Not again when they are back from a person."""
    call = Call()
    call.clock.begun = {"call"} if begun else set()
    call.do(commands.Prompt(about="time_warning"))
    assert bool([each for each in call.take() if each[0] == "response"]) is not begun


@in_loop
async def test_a_tool_runs_in_a_task_of_the_call_and_is_answered_when_it_is_told() -> None:
    call = Call()
    call.scene.tell(ToolCalls("r", (ToolCall("call_a", "look", "{}"),)))
    call.do(commands.RunTool(id="call_a"))
    assert [name for name, _ in call.owned] == ["tool call_a"]
    await settle()
    assert call.take() == []
    call.do(commands.AnswerTool(id="call_a"), commands.AnswerTool(id="call_a"))
    assert [each[0] for each in call.take()] == ["tool"]


@pytest.mark.parametrize("may_run", [True, False])
@in_loop
async def test_a_tool_whose_step_is_not_written_runs_once_it_may(may_run: bool) -> None:
    call = Call()
    call.scene.tell(ToolCalls("r", (ToolCall("call_a", "look", "{}"),)))
    call.local.do(commands.RunTool(id="call_a"), is_written=False)
    await settle()
    assert call.scene.agent.tool_calls.runs == 0, "another node may let the model call it again"
    call.may_run.set_result(may_run)
    await asyncio.wait_for(call.owned[0][1], 5)
    assert call.scene.agent.tool_calls.runs == may_run


@pytest.mark.parametrize(
    ("outcome", "is_told", "speaks"),
    [("rings", True, True), ("refused", True, True), ("left", True, False), ("call_ended", False, False)],
)
@in_loop
async def test_the_agent_is_told_how_a_transfer_stands(outcome: str, is_told: bool, speaks: bool) -> None:
    call = Call()
    call.legs.transfer = call.legs._transfer(TransferRequested(target="the garage", by="ada"))
    call.do(commands.TellTransfer(outcome=outcome))
    asked = [each[0] for each in call.take()]
    assert ("context" in asked) is is_told
    assert ("response" in asked) is speaks
    assert ("transfer" in call.scene.agent.no_input._pauses) is (outcome == "rings"), "nobody is asked while it rings"


@in_loop
async def test_without_a_transfer_there_is_nothing_to_tell() -> None:
    call = Call()
    call.do(commands.TellTransfer(outcome="rings"))
    assert call.take() == []


@in_loop
async def test_hold_and_mute_are_those_of_the_line() -> None:
    call = Call()
    gates = call.scene.relay.gates
    call.do(commands.Hold())
    held = gates.caller_is_shut
    call.do(commands.Unhold())
    assert (held, gates.caller_is_shut) == (True, False)
    call.do(commands.Mute(party="caller", on=True))
    muted = gates.caller_is_shut
    call.do(commands.Mute(party="caller", on=False))
    assert (muted, gates.caller_is_shut) == (True, False)


@in_loop
async def test_words_and_keys_are_taken_once_by_their_id() -> None:
    call = Call()
    text, keys = call.words.keep("We close at six.", "ada"), call.words.keep("12", "ada")
    call.do(commands.Say(id=text))
    said = [each for each in call.take() if each[0] == "response"]
    assert "We close at six." in said[0][1]
    call.do(commands.PlayDtmf(id=keys))
    assert any(isinstance(each, bytes) for each in call.scene.stream.sent)
    assert call.words.take(text) == call.words.take(keys) == ""


@in_loop
async def test_a_clip_is_noted_and_silences_the_agent() -> None:
    call = Call()
    call.do(commands.PlayClip(clip="sorry"))
    assert call.scene.took(notes.Clip) == [notes.Clip(clip="sorry")]
    assert call.scene.relay.is_silenced


@in_loop
async def test_an_agent_that_is_to_be_silent_has_no_session_any_more() -> None:
    call = Call()
    call.do(commands.SilenceAgent())
    assert not call.scene.agent.sessions.is_there


@in_loop
async def test_the_media_socket_is_closed_in_a_task_of_the_call() -> None:
    call = Call()
    call.do(commands.CloseMedia())
    assert [name for name, _ in call.owned] == ["close-media"]
    await asyncio.gather(*(task for _, task in call.owned))
    assert call.scene.relay.is_silenced


@in_loop
async def test_a_command_for_the_carrier_is_none_of_these() -> None:
    call = Call()
    call.do(commands.Hangup())
    assert (call.take(), call.owned, call.clock.told) == ([], [], [])
