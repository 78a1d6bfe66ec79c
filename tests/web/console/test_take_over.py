"""The socket of an operator who speaks in place of the agent: what it takes, and after which ends somebody is awaited.

What caller, model and other operators notice of it is told in tests/e2e/test_take_over.py.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from quart import Quart

from callflow.call.machine.model import HANGUP, STREAMING
from callflow.media.g711 import FRAME_BYTES
from callflow.web.console import take_over
from callflow.web.console.identity import Operator
from callflow.web.console.take_over import add_take_over
from tests.in_loop import in_loop
from tests.web.console.bare import LiveCalls, Socket, bare_app, socket


FRAME = b"\xff" * FRAME_BYTES


class FakeTakeOver:
    """Of the call: notes what is done with it. `why`: why nobody may begin."""

    def __init__(self, why: str = "") -> None:
        self.why, self.by, self.number = why, "", 0
        self.is_written_down = True
        self.done: list[Any] = []

    def begin(self, by: str, *, again: bool = False) -> str:
        self.done.append(("begin", by, again))
        if not self.why:
            self.by, self.number = by, self.number + 1
        return self.why

    def speak(self, audio: bytes) -> None:
        self.done.append(len(audio) // FRAME_BYTES)

    def lost(self, number: int) -> None:
        self.done.append(("lost", number))

    def give_back(self, line: str = "") -> None:
        self.done.append(("back", line))


def call_with(ours: FakeTakeOver) -> Any:
    return SimpleNamespace(
        id="c", take_over=ours, is_handed_over=False, model=SimpleNamespace(state=STREAMING, farewell="")
    )


def app_with(ours: FakeTakeOver) -> tuple[Quart, Any]:
    app, call = bare_app(), call_with(ours)
    add_take_over(app, lambda: cast(Any, LiveCalls(c=call)), has_token=True)
    return app, call


async def began(page: Socket) -> None:
    assert await page.told() == {"call": "c", "taken_over": True, "written_down": True}


@in_loop
async def test_a_voice_is_passed_on_until_a_text_gives_the_caller_back() -> None:
    ours = FakeTakeOver()
    app, _ = app_with(ours)
    async with socket(app, "/api/calls/c/takeover?again", by=Operator("mia")) as page:
        await began(page)
        page.send(FRAME)
        page.send(FRAME * 10)
        page.send({"give_back": True, "line": " He wants two. "})
        assert await page.closed() == (1000, "The agent has the caller back.")
    assert ours.done == [("begin", "token mia", True), 1, 10, ("back", "He wants two.")], "and nobody was lost"


@pytest.mark.parametrize(
    ("message", "says"),
    [
        *((sound, "20 to 200 ms") for sound in (b"", b"\xff", FRAME[:-1], FRAME * 11)),
        *((text, "") for text in ("", "{", "7", "[]", "\ud800")),
        *((body, "") for body in ({}, {"give_back": 1}, {"give_back": "true"}, {"give_back": True, "line": None})),
    ],
)
@in_loop
async def test_sound_of_another_length_or_a_text_without_sense_ends_the_socket_and_gives_nothing_back(
    message: Any, says: str
) -> None:
    ours = FakeTakeOver()
    app, _ = app_with(ours)
    async with socket(app, "/api/calls/c/takeover") as page:
        await began(page)
        page.send(message)
        code, reason = await page.closed()
    assert (code, says in reason) == (1003, True)
    assert ours.done[1:] == [("lost", 1)]


@in_loop
async def test_who_was_not_written_down_is_asked_for_a_line_and_is_told_of_each_change() -> None:
    ours = FakeTakeOver()
    app, _ = app_with(ours)
    async with socket(app, "/api/calls/c/takeover") as page:
        await began(page)
        ours.is_written_down = False
        page.send(FRAME)
        assert (await page.told())["written_down"] is False
        for line in ("", " \n"):
            page.send({"give_back": True, "line": line})
            assert list(await page.told()) == ["line_needed"]
        page.send({"give_back": True, "line": "He wants two."})
        assert (await page.closed())[0] == 1000
    assert ours.done[1:] == [1, ("back", "He wants two.")]


@in_loop
async def test_a_connection_that_a_newer_one_has_followed_speaks_no_more_and_is_not_lost() -> None:
    ours = FakeTakeOver()
    app, _ = app_with(ours)
    async with socket(app, "/api/calls/c/takeover") as first:
        await began(first)
        async with socket(app, "/api/calls/c/takeover?again") as second:
            await began(second)
            for message in (FRAME, {"give_back": True}):
                first.send(message)
            assert (await first.closed())[0] == 1000
            second.send(FRAME * 2)
            second.send({"give_back": True})
            await second.closed()
    assert [each for each in ours.done if not isinstance(each, tuple)] == [2]
    assert ours.done[-1] == ("back", "")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda call: setattr(call.take_over, "by", ""), 1000),
        (lambda call: setattr(call.model, "state", HANGUP), 1000),
        (lambda call: setattr(call, "is_handed_over", True), 4412),
    ],
    ids=["handed on", "over", "moved"],
)
@in_loop
async def test_a_call_that_goes_on_without_the_person_ends_the_socket(change: Any, code: int) -> None:
    ours = FakeTakeOver()
    app, call = app_with(ours)
    async with socket(app, "/api/calls/c/takeover") as page:
        await began(page)
        change(call)
        page.send(FRAME)
        assert (await page.closed())[0] == code
    assert ("lost", 1) not in ours.done


@in_loop
async def test_who_leaves_or_is_silent_is_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = FakeTakeOver()
    app, _ = app_with(ours)
    async with socket(app, "/api/calls/c/takeover") as page:
        await began(page)
    assert ours.done[-1] == ("lost", 1)
    monkeypatch.setattr(take_over, "_SILENT_SECONDS", 0.02)
    async with socket(app, "/api/calls/c/takeover?again") as page:
        await began(page)
        assert await page.closed() == (1001, "Nothing came any more.")
    assert ours.done[-1] == ("lost", 2)


@in_loop
async def test_who_may_not_is_told_why_in_what_a_close_frame_holds() -> None:
    ours = FakeTakeOver("x" * 500)
    app, _ = app_with(ours)
    async with socket(app, "/api/calls/c/takeover") as page:
        assert await page.closed() == (4409, "x" * 120)
    async with socket(app, "/api/calls/gone/takeover") as page:
        assert (await page.closed())[0] == 4404
    assert ours.done == [("begin", "console", False)]
