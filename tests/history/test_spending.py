"""What calls took, as the database sums it up: by day, by profile, by caller, whatever order the costs come in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, update

from callflow.contracts import events
from callflow.history import spending as module
from callflow.history.node_tables import claims
from callflow.history.spending import SpendingStore, Sums
from callflow.history.store import Store
from callflow.history.tables import conversations, iso
from callflow.journal import notes
from callflow.journal.journal import JournalEntry
from tests.history.test_events_out import AT, Stage, stage


DAY = (AT - 3600, AT + 3600)


def call(
    the: Stage,
    name: str,
    *,
    profile: str = "",
    seconds: float = 60.0,
    usd: float | None = 0.5,
    at: float = AT,
    session: str = "",
) -> None:
    """A call of this length, of which the model has cost so much. None: its price is not known."""
    began = notes.Began(
        carrier="twilio", control=f"CA-{name}", session=session,
        from_number="+15550100001", to_number="+15550100002", profile=profile,
    )  # fmt: skip
    the.note(began, call=name, at=at)
    the.journal.note(JournalEntry(name, 1, at + 5, {"event": "call_answered"}, "ringing", "answered", True, []))
    total = {"models": {"m": {"audio_in": 3}}, "usd": usd}
    the.note(notes.Usage(model="m", used={"audio_in": 3}, total=total, usd=usd), call=name, step=1, at=at + 6)
    the.journal.note(JournalEntry(name, 2, at + 5 + seconds, {"event": "call_hangup"}, "answered", "hangup", True, []))
    the.note(notes.Ended(cause="completed", until=at + 5 + seconds), call=name, step=2, at=at + 9 + seconds)


def cost(the: Stage, name: str, **more: object) -> None:
    event = events.to_json(events.CarrierCost(**{"of": f"CA-{name}", "amount": 0.02, **more}))  # type: ignore[arg-type]
    the.journal.note(JournalEntry(name, 0, AT + 900, event))


def rounded(sums: Sums) -> list[float]:
    return [round(figure, 3) for figure in sums[1:]]


async def test_live_calls_of_other_nodes_are_told_one_by_one(database_url: str, tmp_path: Path) -> None:
    async with stage(database_url, tmp_path) as the:
        for name in ("mine", "theirs", "nobody's", "rings", "over"):
            call(the, name, profile="sales", usd=None if name == "over" else 0.25)
        await the.journal.flushed()

        def work(connection: Connection) -> None:
            for name in ("mine", "theirs", "nobody's"):
                live = {"ended_at": None, "answered_seconds": None}
                connection.execute(update(conversations).where(conversations.c.call_id == name).values(**live))
            waiting = {"ended_at": None, "answered_at": None, "cost_usd": None}
            connection.execute(update(conversations).where(conversations.c.call_id == "rings").values(**waiting))
            rows = {"mine": "a", "theirs": "b", "rings": "b", "over": "b"}
            connection.execute(insert(claims), [{"call": k, "node": v, "epoch": 1} for k, v in rows.items()])

        await the.database.write(work)
        store = SpendingStore(the.database)
        _, _, others = await store.of_profiles(*DAY, [], "a")
        found = {one.call: (one.profile, one.answered_at, one.engine_usd, one.is_part) for one in others}
        assert found == {"theirs": ("sales", AT + 5, 0.25, False), "rings": ("sales", None, None, False)}
        assert (await store.of_profiles(*DAY, []))[2] == [], "this process serves alone"
        assert (await store.of_profiles(AT + 3600, AT + 7200, [], "a"))[2] == []


async def test_a_live_call_of_another_node_whose_other_side_is_a_call_of_its_own_is_told_apart(
    database_url: str, tmp_path: Path
) -> None:
    """What the model costs counts there: its own price is never known, and each minute counted as the dearest."""
    async with stage(database_url, tmp_path) as the:
        for name, session in (("dialled", ""), ("other", ""), ("side", "call:dialled")):
            call(the, name, usd=None, session=session)
        await the.journal.flushed()

        def work(connection: Connection) -> None:
            connection.execute(update(conversations).values(ended_at=None, answered_seconds=None))
            rows = [{"call": name, "node": "b", "epoch": 1} for name in ("dialled", "other")]
            connection.execute(insert(claims), rows)

        await the.database.write(work)
        _, _, others = await SpendingStore(the.database).of_profiles(*DAY, [], "a")
        assert {one.call: one.is_led for one in others} == {"dialled": True, "other": False}


async def test_minutes_count_from_the_answer_and_unknown_prices_are_kept_apart(
    database_url: str, tmp_path: Path
) -> None:
    async with stage(database_url, tmp_path) as the:
        call(the, "a", profile="sales", seconds=90)
        call(the, "b", profile="sales", seconds=30, usd=None)
        call(the, "c")
        call(the, "yesterday", at=AT - 7200)
        the.note(notes.Began(carrier="twilio", control="CA-d"), call="rings", at=AT)
        cost(the, "a")
        await the.journal.flushed()
        store = SpendingStore(the.database)
        sums, there, _ = await store.of_profiles(*DAY, ["a", "c", "rings", "nobody's"])
        found = {one.name: rounded(one) for one in sums}
        assert found == {"sales": [2, 120.0, 0.5, 0.02, 30.0], "": [1, 60.0, 0.5, 0.0, 0.0]}
        assert there == {"a", "c"}


async def test_the_other_leg_of_a_call_counts_for_what_the_model_costs_alone(database_url: str, tmp_path: Path) -> None:
    async with stage(database_url, tmp_path) as the:
        call(the, "dialled", seconds=90, usd=0.0)
        for name, usd in (("led", 0.25), ("unknown", None)):
            call(the, name, seconds=80, usd=usd, session="call:dialled")
        await the.journal.flushed()
        store = SpendingStore(the.database)
        (sums,), there, _ = await store.of_profiles(*DAY, ["led"])
        assert [round(figure, 3) for figure in sums[1:]] == [1, 90.0, 0.25, 0.0, 80.0]
        assert there == {"led"}
        (caller,) = await store.of_callers(*DAY, 5)
        assert (caller.calls, round(caller.seconds), caller.engine_usd) == (1, 90, 0.25)


async def test_what_legs_cost_is_added_up_and_a_repeat_is_not(database_url: str, tmp_path: Path) -> None:
    async with stage(database_url, tmp_path) as the:
        call(the, "a")
        for more in (
            {},
            {"of": "leg 2", "amount": 0.03},
            {},
            {"of": "leg 2", "amount": 0.03},
            {"of": "x", "currency": "EUR"},
        ):
            cost(the, "a", **more)
        await the.journal.flushed()
        ((name, *_, carrier, _),) = (await SpendingStore(the.database).of_profiles(*DAY, []))[0]
        assert name == ""
        assert carrier == pytest.approx(0.05)


async def test_callers_come_dearest_first_and_calls_without_a_price_are_found(
    database_url: str, tmp_path: Path
) -> None:
    async with stage(database_url, tmp_path) as the:
        for name in ("a", "b", "c"):
            call(the, name)
        cost(the, "b")
        await the.journal.flushed()
        store = SpendingStore(the.database)
        (one,) = await store.of_callers(*DAY, 5)
        assert (one.name, one.calls) == ("+15550100001", 3)
        assert one.carrier_usd == pytest.approx(0.02)
        found = await store.without_price(["twilio"], AT - 60, 10)
        assert found == ["c", "a"]
        assert await store.without_price(["telnyx"], AT - 60, 10) == []


async def test_what_the_leg_costs_that_led_a_caller_to_us_is_what_the_call_costs_that_arrived(
    database_url: str, tmp_path: Path
) -> None:
    """It was written under an id that no call has: the calls of `route = "sip"` cost nothing but the model."""
    async with stage(database_url, tmp_path) as the:
        call(the, "arrived", session="leg:telnyx:led")
        call(the, "asked", session="leg:twilio:other")
        call(the, "dialled")
        call(the, "part", session="call:dialled")
        for leg, amount in (("leg 1", 0.02), ("leg 2", 0.03), ("leg 1", 0.02)):
            cost(the, "led", of=leg, amount=amount)
        await the.journal.flushed()
        store = SpendingStore(the.database)
        ((_, calls, *_, carrier, _),) = (await store.of_profiles(*DAY, []))[0]
        assert (calls, round(carrier, 3)) == (3, 0.05)
        assert await store.without_price(["twilio"], AT - 60, 10) == ["part", "dialled", "asked"]


async def test_every_leg_of_a_call_is_known(database_url: str, tmp_path: Path) -> None:
    async with stage(database_url, tmp_path) as the:
        the.note(notes.Began(carrier="twilio", control="CA1"), call="a", at=AT)
        for of, control in (("", "CA1"), ("human", "CA2"), ("human", "CA3"), ("human", "CA3")):
            the.note(notes.Ids(control=control, of=of), call="a", at=AT + 1)
        the.note(notes.Began(carrier="openai", control="rtc_1"), call="led", at=AT)
        rings = events.to_json(events.CallInitiated(linked="twilio:CA4"))
        the.journal.note(JournalEntry("led", 1, AT + 1, rings, "ringing", "ringing", True, []))
        await the.journal.flushed()
        store = SpendingStore(the.database)
        assert await store.legs_of("a") == [("twilio", "CA1"), ("twilio", "CA2"), ("twilio", "CA3")]
        assert await store.legs_of("led") == [("openai", "rtc_1"), ("twilio", "CA4")]
        assert await store.legs_of("nobody") == []


async def test_deleting_the_days_calls_gave_its_budget_back(database_url: str, tmp_path: Path) -> None:
    async with stage(database_url, tmp_path) as the:
        call(the, "a", profile="sales", seconds=90)
        call(the, "b", profile="sales", seconds=30, usd=None)
        call(the, "led", seconds=80, usd=0.25, session="call:a")
        call(the, "kept")
        cost(the, "a")
        await the.journal.flushed()
        store, spending = Store(the.database), SpendingStore(the.database)
        before, _, _ = await spending.of_profiles(*DAY, [])
        ids = [row["id"] for name in ("a", "b", "led") if (row := await store.conversation(name))]
        await store.delete(ids, AT + 1800)
        sums, there, _ = await spending.of_profiles(*DAY, ["a", "kept"])
        assert {one.name: rounded(one) for one in sums} == {one.name: rounded(one) for one in before}
        assert there == {"a", "kept"}, "the process that had a deleted call counts it no more"
        (caller,) = await spending.of_callers(*DAY, 5)
        assert caller.calls == 1, "whose call it was is not kept"
        # Two days later it counts nowhere, and goes with what is deleted then.
        await store.delete([row["id"] for row in [await store.conversation("kept")] if row], AT + 3 * 86400)
        assert await spending.of_profiles(*DAY, ["a"]) == ([], set(), [])


@dataclass
class Clock:
    now: float
    """Unix time, in seconds."""

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


def told(sums: list[Sums]) -> dict[str, list[float]]:
    return {one.name: rounded(one) for one in sums}


async def test_of_a_day_of_many_calls_each_look_reads_those_of_the_last_while_alone(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, read = Clock(AT + 1800), list[str]()
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(module, "_MANY", 4)
    reads = module._read

    def counted(connection: Connection, begins: str, ends: str, **more: Any) -> list[Sums]:
        read.append(begins)
        return reads(connection, begins, ends, **more)

    monkeypatch.setattr(module, "_read", counted)
    async with stage(database_url, tmp_path) as the:
        for number in range(6):
            call(the, f"early {number}", profile="sales" if number % 2 else "", at=AT + number)
        the.note(notes.Began(carrier="twilio", control="CA-long", profile="sales"), call="long", at=AT + 600)
        call(the, "later", at=AT + 900)
        await the.journal.flushed()
        store, spending = Store(the.database), SpendingStore(the.database)

        async def look() -> dict[str, list[float]]:
            """What is told, which is what a reader finds who keeps nothing."""
            sums = told((await spending.of_profiles(*DAY, []))[0])
            seen = len(read)
            assert sums == told((await SpendingStore(the.database).of_profiles(*DAY, []))[0])
            del read[seen:]
            return sums

        assert (await look())["sales"][0] == 3
        read.clear()
        await look()
        (since,) = read
        assert since == iso(AT + 1200), "calls of long ago were read again, as one of them goes on"

        call(the, "now", profile="sales", at=AT + 1700)
        the.journal.note(JournalEntry("long", 1, AT + 605, {"event": "call_answered"}, "ringing", "answered", True, []))
        the.note(notes.Ended(cause="completed", until=AT + 1750), call="long", step=1, at=AT + 1750)
        await the.journal.flushed()
        assert (await look())["sales"][0] == 5

        ids = [row["id"] for name in ("early 1", "long", "now") if (row := await store.conversation(name))]
        await store.delete(ids, AT + 1800)
        assert (await look())["sales"][0] == 5, "a deleted call counts once"

        cost(the, "early 0")
        await the.journal.flushed()
        clock.now += module._KEPT_SECONDS + 1
        assert (await look())[""][3] == 0.02, "a cost that comes later counts soon"

        read.clear()
        await spending.of_profiles(AT + 3600, AT + 7200, [])
        assert read == [iso(AT + 3600)], "another day is another sum"


async def test_where_many_calls_last_for_long_the_first_of_them_are_left_out_of_what_is_kept(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "time", Clock(AT + 1800))
    monkeypatch.setattr(module, "_MANY", 1)
    monkeypatch.setattr(module, "_SOME", 2)
    async with stage(database_url, tmp_path) as the:
        for number in range(4):
            the.note(notes.Began(carrier="twilio", control=f"CA-{number}"), call=f"long {number}", at=AT + 10 * number)
            call(the, f"over {number}", at=AT + 10 * number + 5)
        await the.journal.flushed()
        spending = SpendingStore(the.database)
        for calls in (4, 4):
            assert [one.calls for one in (await spending.of_profiles(*DAY, []))[0]] == [calls]
        assert spending._kept is not None
        assert (spending._kept.until, list(spending._kept.live)) == (iso(AT + 20), ["long 0", "long 1"])
        for number in range(4):
            the.note(notes.Ended(cause="completed"), call=f"long {number}", step=1, at=AT + 1750)
        await the.journal.flushed()
        assert [one.calls for one in (await spending.of_profiles(*DAY, []))[0]] == [8]


@pytest.mark.parametrize(
    ("answered", "seconds"), [("", 0.0), ("0", 0.0), ("ten", 0.0), ("90", 90.0), ("9999999999", 100.0)]
)
async def test_a_call_whose_answer_was_lost_counts_for_as_long_as_the_carrier_says(
    answered: str, seconds: float, database_url: str, tmp_path: Path
) -> None:
    async with stage(database_url, tmp_path) as the:
        the.note(notes.Began(carrier="twilio", control="CA-a"), call="a", at=AT)
        event = events.to_json(events.CallHangup(cause="completed", seconds=answered))
        the.journal.note(JournalEntry("a", 1, AT + 100, event, "ringing", "hangup", True, []))
        the.note(notes.Ended(cause="completed", until=AT + 100), call="a", step=1, at=AT + 100)
        await the.journal.flushed()
        (sums,) = (await SpendingStore(the.database).of_profiles(*DAY, []))[0]
        assert (sums.calls, sums.seconds) == (1, seconds)


@pytest.mark.parametrize("since", [AT + 300, AT + 3600])
async def test_right_after_midnight_nothing_is_kept(
    since: float, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "time", Clock(since))
    monkeypatch.setattr(module, "_MANY", 1)
    async with stage(database_url, tmp_path) as the:
        call(the, "yesterday", at=AT - 60)
        call(the, "today", at=AT + 60)
        await the.journal.flushed()
        spending = SpendingStore(the.database)
        for _ in range(2):
            (sums,) = (await spending.of_profiles(AT, AT + 86400, []))[0]
            assert sums.calls == 1


async def test_the_live_calls_of_other_nodes_are_found_without_reading_those_of_the_day(tmp_path: Path) -> None:
    """Every few seconds the parts of all calls that were led to a SIP address were read."""
    async with stage(f"sqlite:///{tmp_path}/h.db", tmp_path) as the:
        live = [("dialled", ""), ("side", "call:dialled")]
        for name, session in live:
            call(the, name, usd=None, session=session, at=AT + 1000)
        await the.journal.flushed()

        def begin(connection: Connection) -> None:
            connection.execute(update(conversations).values(ended_at=None))
            connection.execute(insert(claims), [{"call": name, "node": "b", "epoch": 1} for name, _ in live])

        def more(connection: Connection) -> None:
            rows = [
                {
                    "stream_sid": f"s{number}", "call_id": f"c{number}", "phone_number": "+15550100002",
                    "carrier_session_id": f"call:x{number}", "started_at": iso(AT), "ended_at": iso(AT),
                }
                for number in range(3000)
            ]  # fmt: skip
            connection.execute(insert(conversations), rows)

        def work(connection: Connection) -> int:
            """Return how many steps SQLite takes."""
            steps = 0

            def count() -> int:
                nonlocal steps
                steps += 1
                return 0

            driver = connection.connection.driver_connection
            assert driver is not None
            driver.set_progress_handler(count, 1)
            found = module._elsewhere(connection, "a", iso(DAY[0]), iso(DAY[1]))
            driver.set_progress_handler(None, 0)
            assert {one.call: one.is_led for one in found} == {"dialled": True, "side": False}
            return steps

        await the.database.write(begin)
        before = await the.database.read(work)
        await the.database.write(more)
        assert await the.database.read(work) <= before * 2
