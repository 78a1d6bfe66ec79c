"""The socket of an operator who listens: who is let in, whose sound is sent, and with which code it ends.

What is heard in it is told in tests/e2e/test_listen_in.py.
"""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import Any, cast

import pytest
from quart import Quart

from callflow.call.machine.model import HANGUP, STREAMING
from callflow.media.g711 import FRAME_BYTES
from callflow.web.console import listen
from callflow.web.console.identity import Operator
from callflow.web.console.listen import MOST, MOST_OF_ONE, add_listen, listeners
from tests.e2e.product import until
from tests.in_loop import in_loop
from tests.web.console.bare import LiveCalls, Socket, bare_app, socket


FRAME = b"\xff" * FRAME_BYTES


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_LOOK_SECONDS", "_JOIN_SECONDS"):
        monkeypatch.setattr(listen, name, 0.005)


class FakeCall:
    def __init__(self, name: str) -> None:
        self.id = name
        self.relay: Any = self.new_relay()
        self.recordings = SimpleNamespace(pause=SimpleNamespace(is_on=False))
        self.model = SimpleNamespace(state=STREAMING)
        self.is_handed_over = False
        self.notes: list[tuple[str, str]] = []

    @staticmethod
    def new_relay(*, is_remote: bool = False) -> Any:
        return SimpleNamespace(taps=set(), is_remote=is_remote)

    def note(self, note: Any) -> None:
        self.notes.append((note.state, note.by))

    def says(self) -> None:
        for tap in self.relay.taps:
            tap.caller(FRAME)


def app_with(*calls: FakeCall) -> tuple[Quart, LiveCalls]:
    app, live = bare_app(), LiveCalls(**{call.id: call for call in calls})
    add_listen(app, lambda: cast(Any, live), has_token=True)
    return app, live


async def began(page: Socket, name: str = "c") -> None:
    assert await page.told() == {"call": name, "encoding": "mulaw", "rate": 8000}


@in_loop
async def test_sound_is_sent_also_when_the_call_has_got_another_relay_and_nothing_stays_behind() -> None:
    call = FakeCall("c")
    app, _ = app_with(call)
    async with socket(app, "/api/calls/c/listen", by=Operator("mia")) as page:
        await began(page)
        call.says()
        assert (await page.told()).endswith(FRAME)
        before, call.relay = call.relay, call.new_relay()
        await until(lambda: call.relay.taps, "the listener at the new relay")
        assert not before.taps
        call.says()
        assert (await page.told()).endswith(FRAME)
        assert listeners(cast(Any, call)) == 1
    assert not call.relay.taps
    assert call.notes == [("began", "token mia"), ("ended", "token mia")]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda call, live: setattr(call.model, "state", HANGUP), 1000),
        (lambda call, live: setattr(call, "is_handed_over", True), 4412),
        (lambda call, live: live.by_name.clear(), 1000),
    ],
    ids=["over", "moved", "gone"],
)
@in_loop
async def test_a_call_that_is_no_longer_here_ends_it(change: Any, code: int) -> None:
    call = FakeCall("c")
    app, live = app_with(call)
    async with socket(app, "/api/calls/c/listen") as page:
        await began(page)
        change(call, live)
        assert (await page.closed())[0] == code
    assert not call.relay.taps
    assert call.notes == [("began", "console")], "what is over has no more entries"


@pytest.mark.parametrize("message", [FRAME, b"", "hello"])
@in_loop
async def test_a_listener_who_sends_anything_is_put_out(message: Any) -> None:
    call = FakeCall("c")
    app, _ = app_with(call)
    async with socket(app, "/api/calls/c/listen") as page:
        await began(page)
        page.send(message)
        assert await page.closed() == (1008, "A listener sends nothing.")
    assert not call.relay.taps


@in_loop
async def test_so_many_listen_to_one_call_and_so_many_to_all() -> None:
    calls = [FakeCall(f"c{number}") for number in range(MOST // MOST_OF_ONE + 1)]
    app, _ = app_with(*calls)
    async with contextlib.AsyncExitStack() as stack:
        for call in calls[:-1]:
            for _ in range(MOST_OF_ONE):
                await began(await stack.enter_async_context(socket(app, f"/api/calls/{call.id}/listen")), call.id)
            async with socket(app, f"/api/calls/{call.id}/listen") as page:
                assert (await page.closed())[0] == 4429
        async with socket(app, f"/api/calls/{calls[-1].id}/listen") as page:
            assert (await page.closed())[0] == 4429
    async with socket(app, f"/api/calls/{calls[0].id}/listen") as page:
        await began(page, calls[0].id)


@in_loop
async def test_a_call_without_sound_here_and_none_at_all_are_told_apart() -> None:
    call = FakeCall("c")
    call.relay = call.new_relay(is_remote=True)
    app, _ = app_with(call)
    async with socket(app, "/api/calls/c/listen") as page:
        code, reason = await page.closed()
        assert (code, 0 < len(reason.encode()) <= 123) == (4409, True)
    async with socket(app, "/api/calls/gone/listen") as page:
        assert (await page.closed())[0] == 4404
    assert call.notes == []
