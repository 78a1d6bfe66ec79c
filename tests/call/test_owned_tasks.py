"""The tasks of a call: none is left when it is over, and none can hold its end up."""

from __future__ import annotations

import asyncio
from time import monotonic

import pytest

from callflow.call import owned_tasks
from callflow.call.owned_tasks import OwnedTasks
from tests.loop import other_tasks


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owned_tasks, "_CLOSE_SECONDS", 0.02)


def names() -> set[str]:
    return {task.get_name() for task in other_tasks()}


async def forever() -> None:
    await asyncio.Event().wait()


async def test_tasks_are_named_after_the_call_and_gone_when_they_are_done() -> None:
    tasks = OwnedTasks("c1")
    tasks.start(asyncio.sleep(0), "tool t1")
    assert names() == {"tool t1 c1"}
    async with asyncio.timeout(5):
        while names():  # noqa: ASYNC110 - what is waited for is the end of the task itself
            await asyncio.sleep(0)


async def test_the_end_runs_what_is_given_and_cancels_the_rest() -> None:
    tasks, closed = OwnedTasks("c1"), asyncio.Event()

    async def close() -> None:
        closed.set()

    tasks.start(forever(), "tool")
    tasks.start_session(forever(), "session")
    await tasks.end(close(), sessions=True)
    assert closed.is_set()
    assert names() == set()


async def test_sessions_may_stay() -> None:
    tasks = OwnedTasks("c1")
    tasks.start(forever(), "tool")
    tasks.start_session(forever(), "session")
    await tasks.end(asyncio.sleep(0), sessions=False)
    assert names() == {"session c1"}
    await tasks.end(asyncio.sleep(0), sessions=True)
    assert names() == set()


async def test_nothing_holds_the_end_up_neither_what_hangs_nor_what_fails() -> None:
    tasks = OwnedTasks("c1")

    async def fail() -> None:
        raise RuntimeError("not for the end to see")

    began = monotonic()
    await tasks.end(forever(), fail(), sessions=True)
    assert monotonic() - began < 2
    assert names() == set()
