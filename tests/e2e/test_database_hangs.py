"""A database server that takes connections and answers nothing: callers are answered all the same, and what was said is
on record when it is back."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from sqlalchemy import Connection, text

from callflow.app import Application
from callflow.config.settings import Settings
from callflow.sandbox.openai_realtime import Pace, Realtime, Script, Turn
from tests.e2e import product
from tests.e2e.database_link import DatabaseLink
from tests.e2e.product import Exchange, until
from tests.e2e.talk import noise
from tests.history import postgres
from tests.ports import free_port


CARRIERS = ("telnyx", "twilio")
SAMPLED = True
TALK = Script.of(
    Turn.say("Good day, this is the harbour office.", noise(1500, 1)), otherwise=Turn.say("Yes.", noise(400, 2))
)


@dataclass
class Cluster:
    """Nodes that are opened one after the other; all that comes from the carrier comes to the first."""

    carrier: Exchange
    settings: dict[str, Any]
    port: int
    """Of the first node."""
    stack: contextlib.AsyncExitStack
    nodes: list[Application]

    async def begin(self, database: str) -> Application:
        """Open a node that reaches the database there."""
        made = Settings(**self.settings, database_url=database, port=0 if self.nodes else self.port)
        node = Application(made, node=product._node(f"w{len(self.nodes) + 1}", made))
        self.nodes.append(await self.stack.enter_async_context(node))
        return node

    async def meet(self) -> None:
        """Wait until each node knows all."""
        await until(lambda: all(len(member(each).view.alive()) == len(self.nodes) for each in self.nodes), "the nodes")

    async def answered(self) -> Any:
        """Ring, and wait until the caller hears the agent. Returns the carrier's call, and after how many seconds."""
        began = monotonic()
        call = await self.carrier.ring()
        await call.phone.hears(0.3, timeout=15)
        return call, monotonic() - began

    def unwritten(self) -> int:
        """How many entries wait for the database."""
        return sum(each.journal.waiting for each in self.nodes)

    async def hang_up(self) -> None:
        """Let all callers hang up, and wait for the ends of their calls."""
        for call in self.carrier.calls.values():
            await call.hang_up()
        boards = [each.switchboard for each in self.nodes]
        await until(lambda: not any(board.calls or board.unwritten for board in boards), "the ends of the calls")
        await until(lambda: not self.unwritten(), "the last entries")

    async def on_record(self) -> int:
        """Return how many calls the history has from their beginnings to their ends."""
        history = self.nodes[-1].history

        def work(connection: Connection) -> int:
            found = connection.execute(text("SELECT count(*) FROM conversations WHERE ended_at IS NOT NULL"))
            claimed = connection.execute(text("SELECT count(*) FROM claims")).scalar_one()
            assert not claimed, "calls that are over belong to nodes"
            return int(found.scalar_one())

        return await history.database.read(work)


def member(node: Application) -> Any:
    assert node.cluster is not None
    return node.cluster


@contextlib.asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[Cluster]:
    port = free_port()
    realtime, exchange = Realtime(script=TALK, pace=Pace.instant()), product.exchange()
    async with exchange, realtime, contextlib.AsyncExitStack() as stack:
        exchange.set_server(f"http://127.0.0.1:{port}")
        settings = {
            "openai_api_key": realtime.api_key, "openai_realtime_url": realtime.url, "console_port": 0,
            "public_base_url": f"http://127.0.0.1:{port}", "data_dir": str(folder), "admission_lag_ms": 0,
            "no_input_seconds": 0, **exchange.settings(),
        }  # fmt: skip
        yield Cluster(exchange, settings, port, stack, [])


@contextlib.asynccontextmanager
async def database(server: str) -> AsyncIterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    await asyncio.to_thread(postgres.create, server, name)
    yield server.format(name=name)


async def test_callers_are_answered_while_it_hangs_and_are_on_record_afterwards(
    postgresql: str, tmp_path: Path, carrier: str
) -> None:
    link = DatabaseLink()
    async with database(postgresql) as behind, link.to(behind) as address, cluster(tmp_path) as the:
        for _ in range(2):
            await the.begin(address)
        await the.meet()
        first, usual = await the.answered()
        link.hang()
        seconds = [(await the.answered())[1] for _ in range(4)]
        print(f"{carrier}: heard after {usual:.2f} s; while the database hangs:", *(f"{each:.2f}" for each in seconds))
        await until(lambda: all(member(each).trouble for each in the.nodes), "both nodes to know")
        _, late = await the.answered()
        assert first.ended_at is None
        link.go_on()
        await until(lambda: not the.unwritten(), "the journal", 20)
        assert max(seconds) < usual + 4, seconds
        assert late < usual + 2, "it is known to hang, and they wait for it again"
        await the.hang_up()
        assert await the.on_record() == len(the.carrier.calls)


@pytest.mark.carrier("telnyx")
async def test_a_node_that_begins_meanwhile_answers_calls_and_joins_when_it_is_back(
    postgresql: str, tmp_path: Path
) -> None:
    link = DatabaseLink()
    async with database(postgresql) as behind, link.to(behind) as address, cluster(tmp_path) as the:
        link.hang()
        node = await the.begin(address)
        assert any("THE HISTORY CANNOT BE OPENED" in line or "NOT KNOWN" in line.upper() for line in node.warnings)
        for _ in range(2):
            await the.answered()
        assert not member(node).epoch
        link.go_on()
        await until(lambda: member(node).epoch and not the.unwritten(), "the node to join", 20)
        await the.answered()
        for call in node.switchboard.calls:
            assert member(node).claims.has(call.id)
        await the.hang_up()
        assert await the.on_record() == 3


@pytest.mark.carrier("telnyx")
async def test_where_it_hangs_for_one_node_the_other_has_its_calls(postgresql: str, tmp_path: Path) -> None:
    link = DatabaseLink()
    async with database(postgresql) as behind, link.to(behind) as address, cluster(tmp_path) as the:
        hangs = await the.begin(address)
        call, _ = await the.answered()
        other = await the.begin(behind)
        await the.meet()
        link.hang()
        await until(lambda: other.switchboard.calls and not hangs.switchboard.calls, "the takeover", 15)
        await until(lambda: len(call.streams) == 2, "its new media stream", 10)
        name = other.switchboard.calls[0].id
        assert member(hangs).has_let_go(name)
        assert await member(hangs).owner(name) is None
        await the.answered()
        link.go_on()
        await until(lambda: not member(hangs).trouble and not the.unwritten(), "the node to be back", 20)
        assert call.ended_at is None
        await the.hang_up()
        assert await the.on_record() == 2
