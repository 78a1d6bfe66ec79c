"""A client whose input has ended has its answers, and what is no message is answered as that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import mcp_types as types
import pytest
from mcp.shared.message import SessionMessage

from callflow.mcp import last_answers as module
from callflow.mcp.last_answers import Incoming, Outgoing


def request(name: int | str) -> SessionMessage:
    return SessionMessage(types.JSONRPCRequest(jsonrpc="2.0", id=name, method="ping"))


def answer(name: int | str) -> SessionMessage:
    return SessionMessage(types.JSONRPCResponse(jsonrpc="2.0", id=name, result={}))


class Client:
    """What it sends, and what it gets. After that its input ends."""

    def __init__(self, *sends: Any) -> None:
        self.sends, self.got = list(sends), list[Any]()
        self.extra = "of the inner stream"
        self.is_entered = False

    async def receive(self) -> Any:
        if not self.sends:
            raise anyio.EndOfStream
        return self.sends.pop(0)

    async def send(self, item: SessionMessage) -> None:
        self.got.append(item.message)

    async def __aenter__(self) -> Client:
        self.is_entered = True
        return self

    async def __aexit__(self, *error: object) -> None:
        self.is_entered = False


def run(client: Client, main: Callable[[Incoming, Outgoing], Coroutine[Any, Any, None]]) -> None:
    async def begin() -> None:
        outgoing = Outgoing(client)
        async with asyncio.timeout(5):
            await main(Incoming(client, outgoing), outgoing)

    asyncio.run(begin())


def test_the_end_comes_when_every_request_has_its_answer() -> None:
    async def main(incoming: Incoming, outgoing: Outgoing) -> None:
        got = [await anext(incoming), await anext(incoming)]
        ending = asyncio.create_task(anext(incoming))
        await asyncio.sleep(0)
        assert ([each.message.id for each in got], ending.done()) == ([1, "two"], False)  # type: ignore[union-attr]
        await outgoing.send(answer(1))
        await outgoing.send(answer(1))
        await asyncio.sleep(0)
        assert not ending.done()
        await outgoing.send(answer("two"))
        with pytest.raises(StopAsyncIteration):
            await ending

    run(Client(request(1), request("two")), main)


def test_an_error_is_an_answer_too_and_news_is_none() -> None:
    async def main(incoming: Incoming, outgoing: Outgoing) -> None:
        await anext(incoming)
        await outgoing.send(SessionMessage(types.JSONRPCNotification(jsonrpc="2.0", method="x")))
        assert outgoing.awaited == {1}
        error = types.ErrorData(code=-1, message="no")
        await outgoing.send(SessionMessage(types.JSONRPCError(jsonrpc="2.0", id=1, error=error)))
        with pytest.raises(anyio.EndOfStream):
            await incoming.receive()

    run(Client(request(1)), main)


def test_without_a_request_nothing_is_waited_for() -> None:
    async def main(incoming: Incoming, outgoing: Outgoing) -> None:
        (only,) = [each async for each in incoming]
        assert isinstance(only.message, types.JSONRPCNotification)

    run(Client(SessionMessage(types.JSONRPCNotification(jsonrpc="2.0", method="x"))), main)


def test_an_answer_that_does_not_come_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ANSWER_SECONDS", 0.0)

    async def main(incoming: Incoming, outgoing: Outgoing) -> None:
        assert len([each async for each in incoming]) == 1

    run(Client(request(1)), main)


def test_a_line_that_is_no_message_is_answered_and_the_next_one_is_read() -> None:
    client = Client(ValueError("no JSON"), ValueError("again"), request(1))

    async def main(incoming: Incoming, outgoing: Outgoing) -> None:
        first = await incoming.receive()
        assert isinstance(first.message, types.JSONRPCRequest)
        assert [(each.id, each.error.code) for each in client.got] == [(None, -32700)] * 2
        assert outgoing.awaited == {1}

    run(client, main)


def test_the_rest_is_the_inner_streams() -> None:
    client = Client()

    async def main(incoming: Incoming, outgoing: Outgoing) -> None:
        assert incoming.extra == outgoing.extra == "of the inner stream"
        async with outgoing as entered:
            assert (entered is outgoing, client.is_entered) == (True, True)
        assert not client.is_entered

    run(client, main)
