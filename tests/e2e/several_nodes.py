"""Two or more nodes in one process, with an emulated carrier and model."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

from sqlalchemy import Connection, text

from callflow.app import Application
from callflow.config.settings import Settings
from callflow.sandbox.openai_realtime import Pace, Realtime, Script, Turn
from tests.e2e import product
from tests.e2e.product import Exchange, until
from tests.e2e.talk import noise
from tests.ports import free_port


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
    realtime: Realtime

    async def begin(self, database: str = "", beside: Sequence[str] = ()) -> Application:
        """Open a node that reaches the database there; "": the file of all. `beside`: the names of those that begin
        together with it."""
        made = Settings(**self.settings, database_url=database, port=0 if self.nodes else self.port)
        config = product._node(f"w{len(self.nodes) + 1}", made)
        began = {name: product._node(name, made).address for name in beside}
        node = Application(made, node=replace(config, beside=began))
        self.nodes.append(await self.stack.enter_async_context(node))
        return node

    async def begin_two(self, database: str = "") -> None:
        """Open two nodes that know each other."""
        for _ in range(2):
            await self.begin(database)
        await self.meet()

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

    def moved(self) -> int:
        """How many calls have had another media stream than their first."""
        return sum(len(call.streams) > 1 for call in self.carrier.calls.values())

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
async def cluster(**more: Any) -> AsyncIterator[Cluster]:
    """Open the carrier and the model. `more`: settings of all nodes."""
    port = free_port()
    realtime, exchange = Realtime(script=TALK, pace=Pace.instant()), product.exchange()
    async with exchange, realtime, contextlib.AsyncExitStack() as stack:
        # The folder of a test has a long name, and the path of a socket has room for about 100 characters.
        data = stack.enter_context(tempfile.TemporaryDirectory())
        exchange.set_server(f"http://127.0.0.1:{port}")
        settings = {
            "openai_api_key": realtime.api_key, "openai_realtime_url": realtime.url, "console_port": 0,
            "public_base_url": f"http://127.0.0.1:{port}", "data_dir": data, "admission_lag_ms": 0,
            "no_input_seconds": 0, **exchange.settings(), **more,
        }  # fmt: skip
        yield Cluster(exchange, settings, port, stack, [], realtime)
