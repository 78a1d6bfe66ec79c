"""Campaigns as operators make and change them, over a real history: one for each key, kept whole or not at all.

What is dialled of them is told in test_runner.py, and with calls in tests/e2e/test_campaigns.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from callflow.contracts.errors import BadList, DialRefused
from callflow.history.campaign_store import CANCELLED, LOADING, PAUSED, RUNNING
from callflow.history.database import url_of
from callflow.history.history import History
from callflow.switchboard.campaigns import campaigns as module
from callflow.switchboard.campaigns.campaigns import CampaignRequest, Campaigns, request_of
from callflow.switchboard.campaigns.rows import Row
from callflow.switchboard.campaigns.schedule import Schedule
from callflow.switchboard.dialer import Dialer, DialRequest
from callflow.switchboard.shielded_changes import ShieldedChanges
from tests.history import new_database
from tests.in_loop import in_loop


OURS = "+15550100002"
SCHEDULE = Schedule(begins=0, ends=24 * 60, weekdays=tuple(range(7)))


class FakeDialer:
    """Lets everything be dialled, unless `refuses`. `meets`: so many are checked at the same moment."""

    def __init__(self, meets: int = 1) -> None:
        self.met = asyncio.Barrier(meets)
        self.refuses: DialRefused | None = None
        self.business = ""

    async def check(self, request: DialRequest) -> tuple[str, tuple[str, ...], str]:
        if self.refuses is not None:
            raise self.refuses
        await self.met.wait()
        return "fake", ("name",), self.business

    def own_number(self, request: DialRequest) -> str:
        return OURS

    async def outline(self, request: DialRequest) -> Any:
        raise NotImplementedError


class Node:
    """One process, with a history of its own over the database of all."""

    def __init__(self, history: History, dialer: FakeDialer) -> None:
        self.history, self.woken, self.shielded = history, 0, ShieldedChanges()
        self.campaigns = Campaigns(history, cast(Dialer, dialer), self.shielded, check=self._check, wake=self._wake)

    @staticmethod
    def _check(number: str) -> str:
        return "" if number.startswith("+1555") else "it is no number"

    def _wake(self) -> None:
        self.woken += 1

    async def rows(self, campaign: str) -> list[tuple[int, str, str]]:
        found = await self.history.campaigns.rows(campaign, limit=100)
        return [(row["line"], row["number"], row["state"]) for row in found]


@contextlib.asynccontextmanager
async def nodes(folder: Path, dialer: FakeDialer, count: int = 1) -> AsyncIterator[list[Node]]:
    await new_database.put_into(folder)
    async with contextlib.AsyncExitStack() as stack:
        made = []
        for _ in range(count):
            url = url_of("", str(folder))
            history = History(url, recordings=folder / "recordings", retention_days=0, country="")
            stack.push_async_callback(history.close)
            await history.open()
            stack.push_async_callback(history.journal.close)
            made.append(Node(history, dialer))
        yield made


def asked(*numbers: str, **more: Any) -> CampaignRequest:
    def rows() -> Any:
        return iter([Row(line, number, "UTC") for line, number in enumerate(numbers, start=2)])

    given = {"schedule": SCHEDULE, "call": DialRequest(to_number="", by="operator"), "digest": "".join(numbers), **more}
    return CampaignRequest(rows=rows, **given)


NUMBERS: Sequence[str] = [f"+155501000{number:02}" for number in range(10, 15)]


@in_loop
async def test_a_list_is_kept_with_what_is_skipped_of_it_and_why(tmp_path: Path) -> None:
    async with nodes(tmp_path, FakeDialer()) as (node,):
        await node.history.do_not_call.add(NUMBERS[1])
        told, is_new = await node.campaigns.make(asked(NUMBERS[0], NUMBERS[1], NUMBERS[0], "nobody", name="Bread"))
        assert (is_new, told["state"], told["name"], told["business"], node.woken) == (True, RUNNING, "Bread", None, 1)
        assert (told["rows"], told["called"], told["by_state"]) == (4, 1, {"skipped": 3, "waiting": 1})
        assert [(each["line"], each["number"]) for each in told["skipped"]["first"]] == [
            (3, NUMBERS[1]), (4, NUMBERS[0]), (5, None),
        ]  # fmt: skip
        assert told["warnings"] == ["{{name}} is left out: no row has such a variable"]
        assert await node.rows(told["id"]) == [
            (2, NUMBERS[0], "waiting"), (3, NUMBERS[1], "skipped"), (4, NUMBERS[0], "skipped"), (5, "", "skipped"),
        ]  # fmt: skip


@in_loop
async def test_one_key_makes_one_list_and_another_list_cannot_have_it(tmp_path: Path) -> None:
    async with nodes(tmp_path, FakeDialer()) as (node,):
        first, is_new = await node.campaigns.make(asked(*NUMBERS, key="k"))
        again, is_new_again = await node.campaigns.make(asked(*NUMBERS, key="k"))
        assert (first["id"], is_new, is_new_again) == (again["id"], True, False)
        with pytest.raises(DialRefused) as refused:
            await node.campaigns.make(asked(NUMBERS[0], key="k"))
        assert refused.value.status == 422
        of_bakery = DialRequest(to_number="", by="operator", business="bakery")
        other, _ = await node.campaigns.make(asked(NUMBERS[0], key="k", call=of_bakery))
        assert other["id"] != first["id"], "a business has keys of its own"
        assert len({(await node.campaigns.make(asked(NUMBERS[0])))[0]["id"] for _ in range(2)}) == 2


@pytest.mark.parametrize("other", [NUMBERS, NUMBERS[:1]], ids=["repeated", "another list"])
@in_loop
async def test_of_two_nodes_that_are_sent_one_key_at_the_same_moment_one_makes_the_list(
    tmp_path: Path, other: Sequence[str]
) -> None:
    """The one that came too late cancelled the list that the first one was writing."""
    async with nodes(tmp_path, FakeDialer(meets=2), 2) as (a, b):
        found: list[Any] = await asyncio.gather(
            a.campaigns.make(asked(*NUMBERS, key="k")), b.campaigns.make(asked(*other, key="k")), return_exceptions=True
        )
        (campaign,) = await a.history.campaigns.page(limit=10)
        assert (campaign["state"], campaign["error"]) == (RUNNING, "")
        won = [each for each in found if isinstance(each, tuple) and each[1]]
        lost = [each for each in found if each not in won]
        assert (len(won), len(lost)) == (1, 1)
        if other is NUMBERS:
            assert isinstance(lost[0], tuple)
            assert lost[0][0]["id"] == won[0][0]["id"]
        else:
            assert isinstance(lost[0], DialRefused)
            assert lost[0].status == 422
        rows = await a.rows(campaign["id"])
        assert (len(rows), {state for _, _, state in rows}) == (won[0][0]["rows"], {"waiting"})


@in_loop
async def test_a_list_that_cannot_be_written_to_its_end_is_cancelled_and_its_key_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with nodes(tmp_path, FakeDialer()) as (node,):
        with monkeypatch.context() as patch:
            patch.setattr(node.history.campaigns, "_add_rows", fails(OSError("disk full")))
            with pytest.raises(OSError, match="disk full"):
                await node.campaigns.make(asked(*NUMBERS, key="k"))
        told, is_new = await node.campaigns.make(asked(*NUMBERS, key="k"))
        assert (is_new, told["state"], told["rows"]) == (False, CANCELLED, 0)
        assert "send the list again, with a new key" in told["error"]


@in_loop
async def test_a_node_that_cannot_write_a_list_leaves_that_of_another_node_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database was busy with the first one's rows, and the second node cancelled them."""
    async with nodes(tmp_path, FakeDialer(meets=2), 2) as (a, b):
        store, begun, goes_on = cast(Any, a.history.campaigns), asyncio.Event(), asyncio.Event()
        add_rows = store._add_rows

        async def slow(*given: Any) -> None:
            begun.set()
            await goes_on.wait()
            await add_rows(*given)

        change = b.history.campaigns._change

        async def busy(statement: Any) -> int:
            await begun.wait()
            if statement.is_insert:
                raise OSError("database is locked")
            return await change(statement)

        monkeypatch.setattr(store, "_add_rows", slow)
        monkeypatch.setattr(b.history.campaigns, "_change", busy)
        making = asyncio.create_task(a.campaigns.make(asked(*NUMBERS, key="k")))
        with pytest.raises(OSError, match="locked"):
            await b.campaigns.make(asked(*NUMBERS, key="k"))
        goes_on.set()
        told, is_new = await making
        assert (is_new, told["state"], told["by_state"]) == (True, RUNNING, {"waiting": 5})


def fails(error: Exception) -> Callable[..., Any]:
    async def fail(*_: Any) -> None:
        raise error

    return fail


@in_loop
async def test_a_list_is_written_although_whoever_sent_it_has_gone(tmp_path: Path) -> None:
    async with nodes(tmp_path, FakeDialer()) as (node,):
        begun, goes_on = asyncio.Event(), asyncio.Event()
        store: Any = node.history.campaigns
        add_rows = store._add_rows

        async def slow(*given: Any) -> None:
            begun.set()
            await goes_on.wait()
            await add_rows(*given)

        store._add_rows = slow
        making = asyncio.create_task(node.campaigns.make(asked(*NUMBERS, key="k")))
        await begun.wait()
        with pytest.raises(DialRefused) as busy:
            await node.campaigns.make(asked(NUMBERS[0]))
        assert (busy.value.status, busy.value.wait) == (503, module._NO_ROOM_SECONDS)
        making.cancel()
        with pytest.raises(asyncio.CancelledError):
            await making
        told, is_new = await node.campaigns.make(asked(*NUMBERS, key="k"))
        assert (is_new, told["state"]) == (False, LOADING)
        assert not await node.campaigns.change(told["id"], PAUSED), "it is not whole yet"
        goes_on.set()
        await node.shielded.close()
        assert [state for _, _, state in await node.rows(told["id"])] == ["waiting"] * 5
        assert node.campaigns.is_over({"state": CANCELLED})


@in_loop
async def test_paused_resumed_and_cancelled_once(tmp_path: Path) -> None:
    async with nodes(tmp_path, FakeDialer()) as (node,):
        told, _ = await node.campaigns.make(asked(*NUMBERS, is_paused=True, start_at=1_800_000_000.0))
        assert (told["state"], told["start"], told["next"]) == (PAUSED, "2027-01-15T08:00:00.000Z", None)
        assert [await node.campaigns.change(told["id"], state) for state in (RUNNING, PAUSED, CANCELLED)] == [True] * 3
        assert [await node.campaigns.change(told["id"], state) for state in (RUNNING, CANCELLED)] == [False] * 2
        assert not await node.campaigns.change("nobody", PAUSED)
        (found,) = await node.history.campaigns.page(limit=1)
        over = await node.campaigns.describe(found)
        assert (over["state"], over["by_state"], bool(over["finished"])) == (CANCELLED, {"cancelled": 5}, True)


@pytest.mark.parametrize("count", [0, 4])
@in_loop
async def test_a_list_without_rows_or_with_too_many_is_refused_and_nothing_of_it_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 3)
    async with nodes(tmp_path, FakeDialer()) as (node,):
        with pytest.raises(BadList):
            await node.campaigns.make(asked(*NUMBERS[:count]))
        assert await node.history.campaigns.page(limit=1) == []
        assert (await node.campaigns.make(asked(*NUMBERS[:3])))[0]["rows"] == 3


@in_loop
async def test_what_the_dialer_refuses_is_no_list(tmp_path: Path) -> None:
    dialer = FakeDialer()
    async with nodes(tmp_path, dialer) as (node,):
        dialer.refuses = DialRefused(400, "There is no such carrier.")
        with pytest.raises(DialRefused):
            await node.campaigns.make(asked(*NUMBERS))
        assert await node.history.campaigns.page(limit=1) == []
        dialer.refuses = None
        assert (await node.campaigns.make(asked(*NUMBERS)))[1], "and keeps no other from being read"


@in_loop
async def test_a_call_of_a_row_is_what_was_asked_for_and_a_key_for_each_attempt(tmp_path: Path) -> None:
    call = DialRequest(
        to_number="", from_number=OURS, carrier="fake", profile="p", session={"speed": 0.9}, record=True, by="operator",
        business="bakery",
    )  # fmt: skip
    async with nodes(tmp_path, FakeDialer()) as (node,):
        told, _ = await node.campaigns.make(asked(NUMBERS[0], call=call))
        (found,) = await node.history.campaigns.page(limit=1)
        (row,) = await node.history.campaigns.rows(told["id"], limit=1)
        kept = json.loads(found["asked"])
        first, second = (request_of(kept, {**row, "tries": tries}) for tries in (0, 1))
        assert first.key != second.key
        for name in ("from_number", "carrier", "profile", "session", "record", "by", "business"):
            assert getattr(first, name) == getattr(call, name), name
        assert first.to_number == NUMBERS[0]
        shown = [node.campaigns.row_json({**row, **more}) for more in (
            {}, {"state": "dialling"}, {"state": "done", "tries": 2},
        )]  # fmt: skip
        assert [each["call"] is None for each in shown] == [True, False, False]
        assert [each["next"] is None for each in shown] == [False, True, True]
        assert SimpleNamespace(**shown[0]).timezones == ["UTC"]
