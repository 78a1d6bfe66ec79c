"""The health service that keeps the alerts, without a server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from callflow.contracts.diagnostics import Finding
from callflow.contracts.secret_text import Secrets
from callflow.history.database import url_of
from callflow.history.history import History
from callflow.switchboard.health.alert_life_cycle import CLOSE_AFTER, Alert
from callflow.switchboard.health.service import HealthService, Look
from tests.call.offline import until


LATE = Finding("time", "wrong", "audio is late", "end other work")
SPENT = Finding("budget", "wrong", "all is spent", "wait")
WELL = Finding("time", "ok", "audio is in time")


class Nodes:
    """Two nodes, or three, that share a history, each with its service."""

    def __init__(self, folder: Path) -> None:
        self.history = History(url_of("", str(folder)), recordings=folder, retention_days=0, country="")
        self.gone: set[str] = set()
        self.services = {name: self.service(name) for name in ("w1", "w2", "w3")}

    def service(self, me: str) -> HealthService:
        def living() -> list[Any]:
            return [SimpleNamespace(name=name) for name in self.services if name != me and name not in self.gone]

        nodes = SimpleNamespace(me=me, living=living)
        service = HealthService(lambda: cast(Any, None), self.history, nodes=nodes)
        service._took_ms = 1.0  # the database answers
        return service

    async def look(self, name: str, at: float, *found: Finding) -> None:
        """Let a node judge itself every 10 s of the last 30."""
        for ago in (30, 20, 10, 0):
            await self.services[name]._judge(Look(at - ago, (), found, Secrets(())))

    async def told(self) -> dict[str, tuple[str, bool]]:
        """The words of each alert in the database, and whether it is over, by key."""
        rows = await self.history.alerts.page("", 50)
        return {row["key"]: (row["what"], row["over_at"] is not None) for row in rows}


@contextlib.asynccontextmanager
async def nodes(folder: Path, leader: str = "w1") -> AsyncIterator[Nodes]:
    the = Nodes(folder)
    await the.history.open()
    the.services[leader]._set_in_charge(True)
    try:
        yield the
    finally:
        await the.history.journal.close()
        await the.history.close()


async def test_every_node_tells_of_itself_and_the_one_in_charge_of_what_all_share(tmp_path: Path) -> None:
    """Only the node in charge was looked at: what was wrong with the others was no alert."""
    async with nodes(tmp_path) as the:
        await the.look("w2", 30.0, LATE, SPENT)
        assert await the.told() == {"node:w2/time": ("node w2: audio is late", False)}
        await the.look("w1", 40.0, WELL, SPENT)
        await the.look("w1", 40.0 + 2 * CLOSE_AFTER, WELL)
        assert await the.told() == {
            "node:w2/time": ("node w2: audio is late", False), "budget": ("all is spent", True),
        }  # fmt: skip
        await the.look("w2", 40.0 + 2 * CLOSE_AFTER, WELL)
        assert (await the.told())["node:w2/time"] == ("node w2: audio is late", True)


async def test_an_alert_about_the_node_that_was_in_charge_goes_on_under_the_next_one(tmp_path: Path) -> None:
    """The next one looked at itself, and closed it as over."""
    async with nodes(tmp_path) as the:
        await the.look("w1", 30.0, LATE)
        the.services["w1"]._set_in_charge(False)
        the.services["w2"]._set_in_charge(True)
        await the.look("w2", 60.0 + 2 * CLOSE_AFTER, WELL)
        await the.look("w1", 60.0 + 2 * CLOSE_AFTER, LATE)
        assert await the.told() == {"node:w1/time": ("node w1: audio is late", False)}


async def test_the_alerts_of_a_node_that_is_gone_for_a_while_are_over(tmp_path: Path) -> None:
    async with nodes(tmp_path) as the:
        await the.look("w2", 30.0, LATE)
        the.gone.add("w2")
        await the.look("w1", 40.0, WELL)
        assert not (await the.told())["node:w2/time"][1], "its next process may have the same name"
        await the.look("w1", 40.0 + CLOSE_AFTER, WELL)
        (row,) = await the.history.alerts.page("", 50)
        assert (row["over_at"], row["closed_at"]) == (10.0 + CLOSE_AFTER, 10.0 + CLOSE_AFTER)
        the.gone.clear()  # it was there all the time, and could not be reached
        await the.look("w2", 80.0 + CLOSE_AFTER, LATE)
        assert [row["over_at"] is None for row in await the.history.alerts.page("", 50)] == [True, False]


async def test_a_process_that_is_in_charge_again_does_not_write_what_it_had_found_before_others_were() -> None:
    """They have judged since: an alert of that time would be open for ever, because nobody looks whether it is over."""
    service = HealthService(lambda: cast(Any, None), cast(Any, None))
    old = Alert("alert_1", "disk", "wrong", "disk", "it is full", "make room", 1.0)
    service._unsaved, service._new = {old.id: old}, {old.id}
    keeping = asyncio.create_task(service.keep_alerts())
    await until(lambda: service._is_in_charge)
    assert (service.in_memory, service._new) == ([], set())
    keeping.cancel()
    await asyncio.wait([keeping])
