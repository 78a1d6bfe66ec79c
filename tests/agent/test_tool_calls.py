"""The tools that one call has under way: each run once, and answered once whatever its toolbox does."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from callflow.agent.tool_calls import PERSON_SPEAKS, PendingToolCalls
from callflow.contracts.errors import AskOperator
from callflow.contracts.events import Event, ToolFinished
from callflow.contracts.tools import ToolAnswer, ToolCall
from callflow.journal.notes import Note, OperatorAnswered, OperatorAsked


class Toolbox:
    """Raises, answers or waits as it is told."""

    def __init__(self, does: Any) -> None:
        self.does = does
        self.ran: list[str] = []

    @property
    def definitions(self) -> Sequence[Mapping[str, Any]]:
        return ()

    async def run(self, call: ToolCall, seconds: float) -> ToolAnswer:
        self.ran.append(call.id)
        if isinstance(self.does, asyncio.Event):
            await self.does.wait()
            return ToolAnswer("{}", ok=True)
        if isinstance(self.does, BaseException) or (
            isinstance(self.does, type) and issubclass(self.does, BaseException)
        ):
            raise self.does
        answer: ToolAnswer = self.does
        return answer


def made(does: Any) -> tuple[PendingToolCalls, Toolbox, list[Event]]:
    posted: list[Event] = []
    toolbox = Toolbox(does)
    tool_calls = PendingToolCalls(toolbox, seconds=5, filler_seconds=60, post=posted.append)
    return tool_calls, toolbox, posted


class Own(BaseException):
    pass


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError

    __repr__ = __str__


@pytest.mark.parametrize(
    "does",
    [
        asyncio.CancelledError, GeneratorExit, SystemExit, KeyboardInterrupt, Own, StopAsyncIteration, StopIteration,
        Mute, ValueError("x"), TimeoutError, None, "no answer", ToolAnswer(5, ok=True),  # type: ignore[arg-type]
    ],
    ids=repr,
)  # fmt: skip
async def test_whatever_a_toolbox_does_is_one_answer(does: Any) -> None:
    tool_calls, _, posted = made(does)
    tool_calls.called(ToolCall("c", "look", "{}"), spoken=False)
    await tool_calls.run("c")
    (finished,) = posted
    assert isinstance(finished, ToolFinished)
    assert (finished.id, finished.tool) == ("c", "look")
    assert finished.output == ("5" if isinstance(does, ToolAnswer) else '{"error":"this tool failed"}')
    answered = tool_calls.answer("c")
    assert answered is not None
    assert answered[1] == finished.output
    assert tool_calls.answer("c") is None, "answered once"
    assert not tool_calls.is_busy


@pytest.mark.parametrize(
    ("name", "spoken", "speaks"),
    [("end_call", True, False), ("end_call", False, True), ("look", True, True), ("look", False, True)],
)
async def test_whoever_has_said_goodbye_in_the_same_breath_is_not_asked_to_speak_again(
    name: str, spoken: bool, speaks: bool
) -> None:
    tool_calls, _, _ = made(ToolAnswer("{}", ok=True))
    call = ToolCall("c", name, "{}")
    tool_calls.called(call, spoken=spoken)
    await tool_calls.run("c")
    assert tool_calls.answer("c") == (call, "{}", speaks)


@pytest.mark.parametrize("how", ["while it waits", "before it begins"])
async def test_a_call_that_is_over_hears_of_no_answer(how: str) -> None:
    tool_calls, toolbox, posted = made(asyncio.Event())
    tool_calls.called(ToolCall("c", "look", "{}"), spoken=False)
    running = asyncio.create_task(tool_calls.run("c"))
    if how == "while it waits":
        await asyncio.sleep(0)
        assert toolbox.ran == ["c"]
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert posted == []


def test_a_run_that_is_thrown_away_posts_nothing() -> None:
    """As by a loop that is closed: nobody is there to be told."""

    async def main() -> list[Event]:
        tool_calls, _, posted = made(asyncio.Event())
        tool_calls.called(ToolCall("c", "look", "{}"), spoken=False)
        running = tool_calls.run("c")
        running.send(None)
        running.close()
        return posted

    assert asyncio.run(main()) == []


async def test_each_call_runs_once() -> None:
    tool_calls, toolbox, posted = made(ToolAnswer("1", ok=True))
    assert tool_calls.called(ToolCall("c", "look", "{}"), spoken=False)
    assert not tool_calls.called(ToolCall("c", "look", "{}"), spoken=False)
    await asyncio.gather(tool_calls.run("c"), tool_calls.run("c"), tool_calls.run("nonesuch"))
    assert toolbox.ran == ["c"]
    assert len(posted) == 1


async def test_a_long_call_may_use_tools_as_often_as_it_likes() -> None:
    tool_calls, _, posted = made(ToolAnswer("1", ok=True))
    for number in range(2500):
        assert tool_calls.called(ToolCall(f"c{number}", "look", "{}"), spoken=False)
        await tool_calls.run(f"c{number}")
        assert tool_calls.answer(f"c{number}") is not None
    assert [each.output for each in posted if isinstance(each, ToolFinished)] == ["1"] * 2500
    assert not tool_calls.called(ToolCall("c2499", "look", "{}"), spoken=False), "what was lately run is not run again"


async def test_more_tools_at_once_than_can_be_are_answered_all_the_same() -> None:
    go_on = asyncio.Event()
    tool_calls, toolbox, posted = made(go_on)
    names = [f"c{number}" for number in range(1200)]
    for name in names:
        assert tool_calls.called(ToolCall(name, "look", "{}"), spoken=False)
    runs = [asyncio.create_task(tool_calls.run(name)) for name in names]
    await asyncio.sleep(0)
    assert len(toolbox.ran) == 1000
    assert {each.output for each in posted if isinstance(each, ToolFinished)} == {
        '{"error":"too many tools are under way already"}'
    }
    go_on.set()
    await asyncio.gather(*runs)
    assert sorted(each.id for each in posted if isinstance(each, ToolFinished)) == sorted(names)


async def test_an_operator_answers_a_tool_call_once() -> None:
    noted: list[Note] = []
    posted: list[Event] = []
    tool_calls = PendingToolCalls(
        Toolbox(AskOperator(60)), seconds=5, filler_seconds=60, post=posted.append, note=noted.append
    )
    tool_calls.called(ToolCall("c", "approve", '{"percent":10}'), spoken=False)
    assert tool_calls.answered_by_hand("c", ToolAnswer("{}", ok=True), "console") == "", "nobody was asked yet"
    running = asyncio.create_task(tool_calls.run("c"))
    await asyncio.sleep(0)
    (waiting,) = tool_calls.for_operators()
    assert (waiting["id"], waiting["tool"], waiting["arguments"]) == ("c", "approve", '{"percent":10}')
    assert 59 < waiting["seconds"] <= 60
    assert tool_calls.answered_by_hand("c", ToolAnswer('{"approved":true}', ok=True), "token ada") == "approve"
    assert tool_calls.answered_by_hand("c", ToolAnswer("{}", ok=True), "token bob") == ""
    assert tool_calls.for_operators() == []
    await running
    assert [(one.output, one.ok) for one in posted if isinstance(one, ToolFinished)] == [('{"approved":true}', True)]
    assert noted == [
        OperatorAsked(id="c", tool="approve", ms=60_000),
        OperatorAnswered(id="c", tool="approve", ok=True, by="token ada"),
    ]


async def test_the_model_is_told_that_nobody_answered() -> None:
    tool_calls, _, posted = made(AskOperator(0.001))
    tool_calls.called(ToolCall("c", "approve", "{}"), spoken=False)
    await tool_calls.run("c")
    (finished,) = posted
    assert isinstance(finished, ToolFinished)
    assert not finished.ok
    assert "nobody has answered" in finished.output
    assert tool_calls.answered_by_hand("c", ToolAnswer("{}", ok=True), "x") == ""


async def test_no_tool_runs_while_it_is_refused_and_each_is_answered_at_once() -> None:
    tool_calls, toolbox, posted = made(ToolAnswer("{}", ok=True))
    tool_calls.refused = lambda call: PERSON_SPEAKS
    tool_calls.called(ToolCall("c1", "end_call", "{}"), spoken=False)
    await tool_calls.run("c1")
    assert toolbox.ran == []
    (finished,) = posted
    assert isinstance(finished, ToolFinished)
    assert (finished.ok, finished.output) == (False, PERSON_SPEAKS.output)
