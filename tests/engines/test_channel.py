"""What the modules of a session share: what is sent and what is not, and that a session ends once."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any, cast

import pytest

from callflow.contracts.engine import EngineEvent, ErrorReported, SessionContext, SessionLost
from callflow.contracts.secret_text import Secrets
from callflow.engines.common.channel import Channel
from tests.in_loop import in_loop, settle


KEY = "sk-0123456789abcdef"


class Socket:
    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.allowed: list[int] = []

    def put(self, text: str) -> None:
        self.sent.append(json.loads(text))

    def allow(self, size: int) -> None:
        self.allowed.append(size)


class Scene:
    def __init__(self, *, is_open: bool = True) -> None:
        self.told: list[EngineEvent] = []
        self.socket = Socket()
        self.channel = Channel(SessionContext("call_1", session=3), self.told.append, Secrets([KEY]))
        if is_open:
            self.channel.socket = cast(Any, self.socket)


EVENT = {"type": "response.create", "event_id": "e1"}


def test_before_there_is_a_socket_nothing_is_sent() -> None:
    one = Scene(is_open=False)
    one.channel.send(EVENT)
    assert one.socket.sent == []


@in_loop
async def test_after_the_end_of_the_call_only_what_has_to_be_said_then_is_sent() -> None:
    one = Scene()
    one.channel.send(EVENT)
    one.channel.end()
    one.channel.send(EVENT)
    assert one.socket.sent == [EVENT]
    one.channel.send({"type": "response.cancel"}, after_end=True)
    assert one.socket.sent[1:] == [{"type": "response.cancel"}]


@pytest.mark.parametrize(("size", "makes_room"), [(100, False), (2000, False), (3000, True), (1_000_000, True)])
def test_room_is_made_for_a_large_event_and_for_no_other(size: int, makes_room: bool) -> None:
    one = Scene()
    one.channel.send({"type": "x", "text": "y" * size})
    assert len(one.socket.sent) == 1
    assert [allowed > size for allowed in one.socket.allowed] == [True] * makes_room


def test_who_watches_gets_the_event_and_what_takes_secrets_out_of_it() -> None:
    seen: list[tuple[Any, ...]] = []

    class Watcher:
        def event(self, *about: Any) -> None:
            seen.append(about)

    one = Scene()
    one.channel.tap.watcher = Watcher()
    one.channel.send(EVENT)
    ((way, kind, raw, safe),) = seen
    assert (way, kind, raw) == ("to_model", "response.create", EVENT)
    assert KEY not in safe(f"the key is {KEY}")


def test_the_log_has_names_and_no_content(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "callflow.engines")
    one = Scene()
    one.channel.send({**EVENT, "item_id": None, "instructions": "secret"})
    assert "call call_1: to engine 3: response.create e1" in caplog.text
    assert "secret" not in caplog.text


def test_an_error_that_ends_nothing_is_reported() -> None:
    one = Scene()
    one.channel.report("bad_value", "no such voice")
    assert one.told == [ErrorReported("bad_value", "no such voice")]


@in_loop
async def test_a_session_is_lost_once_for_its_first_reason_and_without_its_key() -> None:
    one = Scene()
    one.channel.give_up("before it began")
    one.channel.lost = asyncio.get_running_loop().create_future()
    one.channel.give_up(f"refused: {KEY}", retry=False)
    one.channel.give_up("again")
    one.channel.close()
    lost = one.channel.lost.result()
    assert lost.retry is False
    assert lost.reason not in ("", "before it began", "again", "closed")
    assert KEY not in lost.reason


@in_loop
async def test_a_session_that_is_closed_is_lost_as_closed() -> None:
    one = Scene()
    one.channel.lost = asyncio.get_running_loop().create_future()
    one.channel.close()
    one.channel.close()
    assert one.channel.lost.result() == SessionLost("closed", True)
    assert one.channel.is_closed


@pytest.mark.parametrize("how", ["end", "close"])
@in_loop
async def test_no_timer_runs_on_after_the_end_and_none_starts(how: str) -> None:
    one, fired = Scene(), []
    one.channel.start_timer("a", 0.0, lambda: fired.append("a"))
    one.channel.start_timer("b", 60.0, lambda: fired.append("b"))
    assert one.channel.is_timed("b")
    one.channel.stop_timer("b")
    assert not one.channel.is_timed("b")
    getattr(one.channel, how)()
    one.channel.start_timer("c", 0.0, lambda: fired.append("c"))
    await settle()
    assert fired == []
    assert not one.channel.is_timed("c")
