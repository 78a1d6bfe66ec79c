"""Campaigns and their rows, in both databases: what is taken, by whom, and what becomes of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from callflow.history.campaign_store import CANCELLED, FINISHED, LOADING, PAUSED, RUNNING, CampaignStore
from callflow.history.database import Database, url_of
from callflow.history.events_out import EventMaker
from callflow.history.tables import events_out
from callflow.journal.redaction import Redactor
from tests.history import new_database


NOW = 1_764_000_000.0


@contextlib.asynccontextmanager
async def stores(url: str, count: int = 1, **options: Any) -> AsyncIterator[list[CampaignStore]]:
    """Several processes' views of one database."""
    if url.startswith("sqlite:///"):
        await new_database.put_into(Path(url.removeprefix("sqlite:///")).parent)
    databases = [Database(url_of(url, "data")) for _ in range(count)]
    await databases[0].migrate()
    try:
        yield [CampaignStore(database, **options) for database in databases]
    finally:
        for database in databases:
            await database.close()


def row(number: int, **more: Any) -> dict[str, Any]:
    return {
        "row": number, "line": number + 1, "number": f"+155501{number:05}", "zones": "UTC", "variables": "{}",
        "state": "waiting", "tries": 0, "next_at": NOW, "changed_at": NOW, "outcome": "", "reason": "", **more,
    }  # fmt: skip


async def bodies(store: CampaignStore) -> list[dict[str, Any]]:
    """The events that were written."""

    def read(connection: Connection) -> list[dict[str, Any]]:
        wanted = select(events_out.c.body).order_by(events_out.c.seq)
        return [json.loads(body) for body in connection.execute(wanted).scalars()]

    return await store._database.read(read)


async def campaign(store: CampaignStore, name: str = "c1", rows: int = 3, state: str = RUNNING, **more: Any) -> None:
    entry = {"id": name, "name": "", "asked": "{}", "digest": "", "created_by": "operator", "start_at": 0.0, **more}
    await store.add(entry, [row(number) for number in range(1, rows + 1)])
    if state != LOADING:
        assert await store.set_state(name, state, of=[LOADING], now=NOW)


async def test_many_processes_share_the_rows_and_none_is_taken_twice(database_url: str) -> None:
    async with stores(database_url, 4) as several:
        await campaign(several[0], rows=120)

        async def work(store: CampaignStore) -> list[int]:
            found = []
            while taken := await store.take("c1", NOW, ["UTC"], 3):
                found += [each["row"] for each in taken]
            return found

        shares = await asyncio.gather(*map(work, several))
        assert sorted(each for share in shares for each in share) == list(range(1, 121))
        assert len(await several[0].dialling()) == 120


async def test_only_rows_that_are_due_in_zones_that_are_open_are_taken_the_first_first(database_url: str) -> None:
    async with stores(database_url) as [store]:
        entry = {"id": "c1", "name": "", "asked": "{}", "digest": "", "created_by": "x", "start_at": 0.0}
        rows = [
            row(1, zones="Asia/Tokyo"), row(2, next_at=NOW + 1), row(3, next_at=NOW - 5), row(4, state="done"), row(5),
        ]  # fmt: skip
        await store.add(entry, rows)
        assert await store.take("c1", NOW, ["UTC"], 9) == []
        await store.set_state("c1", RUNNING, of=[LOADING])
        assert [each["row"] for each in await store.take("c1", NOW, ["UTC"], 1)] == [3]
        assert [each["row"] for each in await store.take("c1", NOW, ["UTC"], 9)] == [5]
        assert await store.take("c1", NOW, ["UTC"], 9) == []
        assert sorted(await store.waiting("c1")) == [("Asia/Tokyo", NOW), ("UTC", NOW + 1)]
        assert sorted(await store.zones("c1")) == ["Asia/Tokyo", "UTC"]


@pytest.mark.parametrize("state", [PAUSED, CANCELLED, LOADING])
async def test_of_a_campaign_that_does_not_run_nothing_is_taken(database_url: str, state: str) -> None:
    async with stores(database_url) as [store]:
        await campaign(store, state=state)
        assert await store.take("c1", NOW, ["UTC"], 9) == []
        assert await store.running(NOW) == []


async def test_what_becomes_of_a_row(database_url: str) -> None:
    async with stores(database_url) as [store]:
        await campaign(store, rows=5)
        again, given_up, done, back, skipped = sorted(
            await store.take("c1", NOW, ["UTC"], 9), key=lambda one: one["row"]
        )
        assert await store.settle(again, NOW, "busy", NOW + 60, ok=False) == "waiting"
        assert await store.settle(given_up, NOW, "busy", None, ok=False) == "given_up"
        assert await store.settle(done, NOW, "answered", None, ok=True) == "done"
        await store.put_back(back, NOW, NOW)
        await store.skip(skipped, NOW, "it is on the do-not-call list")
        counts = await store.counts("c1")
        assert counts["state"] == {"waiting": 2, "given_up": 1, "done": 1, "skipped": 1}
        assert counts["outcome"] == {"busy": 2, "answered": 1}
        assert counts["reason"] == {"it is on the do-not-call list": 1}
        assert [(each["row"], each["tries"]) for each in await store.take("c1", NOW, ["UTC"], 9)] == [(4, 0)]
        assert [(each["row"], each["tries"]) for each in await store.take("c1", NOW + 60, ["UTC"], 9)] == [(1, 1)]
        # A note that comes late, of a row that is settled already.
        await store.settle(done, NOW, "busy", NOW, ok=False)
        assert (await store.counts("c1"))["state"]["done"] == 1


async def test_the_end_of_a_row_is_told_once_and_in_the_transaction_that_ends_it(
    database_url: str, tmp_path: Path
) -> None:
    make = partial(EventMaker, redact=Redactor().data, recordings=tmp_path)
    async with stores(database_url, make_events=make) as [store]:
        told: list[bool] = []
        store.on_events = lambda: told.append(True)
        asked = json.dumps({"plan": {}, "call": {"from": "+15550100002", "carrier": "telnyx", "profile": "sales"}})
        entry = {"id": "c1", "name": "", "digest": "", "created_by": "x", "start_at": 0.0, "asked": asked}
        left_out = row(1, state="skipped", reason="it is on the do-not-call list")
        await store.add(entry, [left_out, *(row(number) for number in range(2, 6))])
        assert len(told) == 1
        await store.set_state("c1", RUNNING, of=[LOADING])
        again, done = sorted(await store.take("c1", NOW, ["UTC"], 2), key=lambda one: one["row"])
        await store.settle(again, NOW, "busy", NOW + 60, ok=False)
        for _ in range(2):
            await store.settle(done, NOW, "answered", None, ok=True)
        assert [body["row"] for body in await bodies(store)] == [1, 3]
        (taken,) = await store.take("c1", NOW, ["UTC"], 1)
        await store.set_state("c1", CANCELLED, of=[RUNNING], now=NOW)
        await store.cancel_rows("c1", NOW)
        await store.put_back(taken, NOW, NOW)
        found = {body["row"]: body for body in await bodies(store)}
        assert len(found) == len(await bodies(store)) == 5
        assert {number: body["state"] for number, body in found.items()} == {
            1: "skipped", 2: "cancelled", 3: "done", 4: "cancelled", 5: "cancelled",
        }  # fmt: skip
        assert (found[1]["reason"], found[1]["call"]) == ("it is on the do-not-call list", "")
        shown = {name: found[3][name] for name in ("from", "to", "carrier", "profile", "outcome", "attempts", "line")}
        assert shown == {
            "from": "+15550100002", "to": "+15550100003", "carrier": "telnyx", "profile": "sales",
            "outcome": "answered", "attempts": 1, "line": 4,
        }  # fmt: skip
        assert found[3]["call"]


async def test_a_campaign_that_is_cancelled_never_dials_again(database_url: str) -> None:
    async with stores(database_url) as [store]:
        await campaign(store, rows=450)
        (taken,) = await store.take("c1", NOW, ["UTC"], 1)
        assert await store.set_state("c1", CANCELLED, of=[RUNNING, PAUSED], now=NOW)
        await store.cancel_rows("c1", NOW)
        await store.settle(taken, NOW, "busy", NOW, ok=False)
        assert (await store.counts("c1"))["state"] == {"cancelled": 450}
        assert not await store.set_state("c1", RUNNING, of=[RUNNING, PAUSED])


async def test_what_was_being_cancelled_when_the_process_ended_is_cancelled_to_its_end(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callflow.history.campaign_store._MANY_CHANGES", 100)
    async with stores(database_url) as [store]:
        for name in ("c1", "c2", "c3"):
            await campaign(store, name, rows=250)
        await campaign(store, "c4", rows=250, state=LOADING)
        for name in ("c1", "c2"):
            assert await store.set_state(name, CANCELLED, of=[RUNNING], now=NOW)
        assert await store.break_off(["c3", "c4"], NOW) == 1
        await store.finish_cancelling(NOW)
        waiting = {name: (await store.counts(name))["state"] for name in ("c1", "c2", "c3", "c4")}
        cancelled = {"cancelled": 250}
        assert waiting == {"c1": cancelled, "c2": cancelled, "c3": {"waiting": 250}, "c4": cancelled}


async def test_campaigns_are_listed_and_expire_when_they_are_over(database_url: str) -> None:
    async with stores(database_url) as [store]:
        for name in ("c1", "c2", "c3"):
            await campaign(store, name, rows=250)
        assert [one["id"] for one in await store.page(limit=2)] == ["c3", "c2"]
        last = (await store.page(limit=2))[-1]["seq"]
        assert [one["id"] for one in await store.page(limit=2, before=last)] == ["c1"]
        await store.set_state("c1", FINISHED, of=[RUNNING], now=NOW)
        assert await store.expire(NOW) == 0
        assert await store.expire(NOW + 1) == 1
        assert await store.find("c1") is None
        assert await store.rows("c1", limit=9) == []
        assert len(await store.rows("c2", limit=9, after=2, state="waiting")) == 9


async def test_a_list_that_was_being_written_when_the_process_ended_is_cancelled(database_url: str) -> None:
    async with stores(database_url) as [store]:
        await campaign(store, state=LOADING)
        await campaign(store, "c2")
        await campaign(store, "c3", rows=0, state=LOADING)
        assert [(one["id"], one["rows"]) for one in await store.loading()] == [("c1", 3), ("c3", 0)]
        assert await store.break_off(["c1", "c2"], NOW) == 1
        assert [one["id"] for one in await store.loading()] == ["c3"]
        broken = await store.find("c1") or {}
        assert (broken["state"], "send the list again" in broken["error"]) == (CANCELLED, True)


async def test_a_campaign_begins_when_it_is_to(database_url: str) -> None:
    async with stores(database_url) as [store]:
        await campaign(store, start_at=NOW + 10)
        assert await store.running(NOW) == []
        assert [one["id"] for one in await store.running(NOW + 10)] == ["c1"]


async def test_a_row_that_was_never_called_tells_the_number_that_would_have_called(tmp_path: Path) -> None:
    make = partial(EventMaker, redact=Redactor().data, recordings=Path("recordings"))
    async with stores(f"sqlite:///{tmp_path}/callflow.db", make_events=make) as [store]:
        orders = {"c1": {"from": "", "shown": "+15550100002"}, "c2": {"from": ""}}
        for name, call in orders.items():
            asked = json.dumps({"plan": {}, "call": {"carrier": "telnyx", "profile": "", **call}})
            await campaign(store, name, rows=1, asked=asked)
            await store.set_state(name, CANCELLED, of=[RUNNING], now=NOW)
            await store.cancel_rows(name, NOW)
        assert [each.get("from") for each in await bodies(store)] == ["+15550100002", None]
