"""Events reach a real receiver over HTTP: signed, in order per call, each of them until it is taken or given up."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from callflow.history.database import Database, url_of
from callflow.history.delivery import sender as module
from callflow.history.delivery.receiver import Receiver
from callflow.history.delivery.sender import AT_ONCE, GIVE_UP_SECONDS, LEAST_TRIES, Sender, pause_after
from callflow.history.delivery.signature import Signer
from callflow.history.event_store import EventStore
from callflow.history.events_out import EventMaker
from callflow.history.journal_writer import DurableJournal
from callflow.journal import notes
from callflow.journal.journal import JournalEntry
from callflow.journal.redaction import Redactor
from tests.e2e.product import until
from tests.history import new_database, sql
from tests.history.delivery.receiver import SECRET, EventReceiver, receiver


pytestmark = pytest.mark.e2e
TOOLS = 4
USUAL = ["call.started", *["tool.failed"] * TOOLS, "call.ended"]


class Stage:
    def __init__(self, folder: Path, there: EventReceiver, **options: Any) -> None:
        self.database = Database(url_of("", str(folder)))
        self.journal = DurableJournal(make_events=partial(EventMaker, redact=Redactor().data, recordings=folder))
        self.events = EventStore(self.database)
        self.there = there
        there.now = self.now
        self.ahead = 0.0
        """Seconds by which the clock is put forward."""
        self._options = options
        self._task: asyncio.Task[None] | None = None

    def now(self) -> float:
        return time.time() + self.ahead

    def begin(self, *, seconds: float = 5.0) -> Sender:
        """Send from now on."""
        post = Receiver(self.there.url, Signer(SECRET), at_once=AT_ONCE, seconds=seconds)
        self.sender = Sender(
            self.events, post, now=self.now, **{"first_pause": 0.02, "write_pause": 0.02, **self._options}
        )
        self.journal.on_events = self.sender.wake
        self._task = asyncio.create_task(self.sender.run())
        return self.sender

    async def rest(self) -> None:
        """Let another process send, as when this one does not lead any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def go_on(self) -> None:
        """Send once more, with the same sender."""
        self._task = asyncio.create_task(self.sender.run())

    async def end(self) -> None:
        if self._task is not None:
            await self.rest()
            await self.sender.close()

    async def call(self, name: str) -> None:
        """One call with some tools that fail; each step is a commit of its own."""
        self.journal.note(JournalEntry.of(notes.Began(carrier="telnyx"), call=name, at=self.now()))
        for number in range(TOOLS):
            event = {"event": "tool_finished", "id": f"c{number}", "tool": "book", "ok": False}
            entry = JournalEntry(name, number + 1, self.now(), event, "streaming", "streaming", True, [])
            await self.journal.append(entry)
        self.journal.note(JournalEntry.of(notes.Ended(cause="agent"), call=name, at=self.now()))

    async def has(self, condition: Callable[[], object], what: str) -> None:
        await until(condition, f"{what}; it came: {[(one.payload['type'], one.status) for one in self.there.came]}", 20)


@contextlib.asynccontextmanager
async def stage(folder: Path, **options: Any) -> AsyncIterator[Stage]:
    await new_database.put_into(folder)
    async with receiver() as there:
        the = Stage(folder, there, **options)
        the.journal.open(the.database)
        try:
            yield the
        finally:
            await the.end()
            await the.journal.close()
            await the.database.close()
            assert there.unsigned == 0


async def test_all_events_of_a_call_arrive_in_order_and_once(tmp_path: Path) -> None:
    async with stage(tmp_path) as the:
        made = the.begin()
        await the.call("a")
        await the.has(lambda: len(the.there.taken) == len(USUAL), "all events")
        assert the.there.types() == USUAL
        assert max(Counter(one.id for one in the.there.came).values()) == 1
        first = the.there.came[0]
        assert first.headers["content-type"] == "application/json"
        assert first.payload["id"] == first.id
        await the.has(lambda: made.counts["delivered"] == len(USUAL), "the counts")
        assert made.describe() == {"ok": True, "waiting": made.waiting, "dead": 0, "delivered": 6, "failed": 0}


async def test_a_process_that_leads_again_sends_again(tmp_path: Path) -> None:
    """After an outage of the database, or a drain that was called off, nothing was sent until a restart."""
    async with stage(tmp_path) as the:
        the.there.answer = lambda one: 503
        made = the.begin()
        await the.call("a")
        await the.has(lambda: made.trouble and made.waiting, "a try that fails")
        await the.rest()
        assert (made.trouble, made.waiting) == ("", 0), "what another process does now is not known here"
        the.there.answer = lambda one: 204
        the.go_on()
        await the.has(lambda: the.there.types("a") == USUAL, "all events")
        await the.has(lambda: made.counts["delivered"] == len(USUAL), "the counts")
        assert made.trouble == ""


async def test_a_receiver_that_is_down_for_a_while_gets_everything_in_order_per_call(tmp_path: Path) -> None:
    async with stage(tmp_path) as the:
        refuses = iter([500, 503, 429, 404, 302, 500])
        the.there.answer = lambda one: next(refuses, 204)
        await the.there.stop()
        made = the.begin()
        calls = [f"call-{number}" for number in range(12)]
        await asyncio.gather(*(the.call(name) for name in calls))
        await the.has(lambda: made.counts["failed"] > len(calls), "tries that fail")
        assert made.trouble.startswith("no answer (")
        await the.there.start()
        await the.has(lambda: len(the.there.taken) == len(calls) * len(USUAL), "all events")
        for name in calls:
            assert the.there.types(name) == USUAL
        assert max(Counter(one.id for one in the.there.taken).values()) == 1
        await the.has(lambda: made.counts["delivered"] == len(calls) * len(USUAL), "the counts")
        assert made.trouble == ""
        assert await the.events.counts() == (0, 0)


async def test_a_repeated_event_has_the_same_id_and_body_and_a_new_time(tmp_path: Path) -> None:
    async with stage(tmp_path, first_pause=2.5) as the:
        the.there.answer = lambda one: 204 if len(the.there.came) > 1 else 503
        the.begin()
        the.journal.note(JournalEntry.of(notes.Began(carrier="telnyx"), call="a", at=the.now()))
        await the.has(lambda: the.there.taken, "the second try")
        first, second = the.there.came
        assert (first.id, first.body) == (second.id, second.body)
        assert int(second.headers["webhook-timestamp"]) > int(first.headers["webhook-timestamp"])
        assert first.headers["webhook-signature"] != second.headers["webhook-signature"]


async def test_calls_do_not_wait_for_each_other_and_there_is_a_bound(tmp_path: Path) -> None:
    """One call's event is refused for now: its other events wait, those of other calls do not."""
    async with stage(tmp_path) as the:
        stuck = True
        the.there.answer = lambda one: 503 if stuck and one.payload["call"] == "stuck" else 204
        the.there.delay = 0.01
        the.begin()
        names = ["stuck", *(f"call-{number}" for number in range(2 * AT_ONCE))]
        await asyncio.gather(*(the.call(name) for name in names))
        await the.has(lambda: len(the.there.taken) == (len(names) - 1) * len(USUAL), "the events of the others")
        assert the.there.types("stuck") == []
        assert {one.payload["type"] for one in the.there.came if one.payload["call"] == "stuck"} == {"call.started"}
        stuck = False
        await the.has(lambda: the.there.types("stuck") == USUAL, "its events, in order")
        assert 2 <= the.there.most_at_once <= AT_ONCE


async def test_what_the_receiver_refuses_is_a_dead_letter_at_once_and_the_next_event_has_its_turn(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with stage(tmp_path) as the:
        gone = {"call.started": 410, "call.ended": 422}
        the.there.answer = lambda one: gone.get(one.payload["type"], 204)
        made = the.begin()
        await the.call("a")
        await the.has(lambda: made.counts["dead"] == 2, "dead letters")
        assert the.there.types() == ["tool.failed"] * TOOLS
        assert [one.payload["type"] for one in the.there.came] == USUAL, "each of them was sent once"
        await the.has(lambda: made.dead == 2, "the count of dead letters")
        ended, started = await the.events.dead_letters(10, 0)
        assert (started["type"], ended["type"]) == ("call.started", "call.ended")
        assert (started["tries"], ended["error"]) == (1, "HTTP 422")
        assert started["error"].startswith("HTTP 410")
        assert started["payload"]["call"] == "a"
        assert [one["id"] for one in await the.events.dead_letters(10, ended["seq"])] == [started["id"]]

        gone.clear()
        assert await the.events.again(started["id"], the.now())
        assert not await the.events.again(started["id"], the.now()), "it waits already"
        assert not await the.events.again("evt_none", the.now())
        made.wake()
        await the.has(lambda: the.there.types().count("call.started") == 1, "the dead letter that is sent again")
        assert the.there.taken[-1].id == started["id"]
        assert "is a dead letter after 1 tries (HTTP 410" in caplog.text


async def test_after_a_day_of_failures_an_event_is_a_dead_letter(tmp_path: Path) -> None:
    async with stage(tmp_path) as the:
        the.there.answer = lambda one: 503
        made = the.begin()
        the.journal.note(JournalEntry.of(notes.Began(carrier="telnyx"), call="a", at=the.now()))
        await the.has(lambda: len(the.there.came) == LEAST_TRIES + 1, "several tries")
        assert made.counts["dead"] == 0, "a day has not passed"
        the.ahead = GIVE_UP_SECONDS
        made.wake()
        await the.has(lambda: made.counts["dead"] == 1, "the dead letter")
        (dead,) = await the.events.dead_letters(10, 0)
        assert dead["error"] == "HTTP 503"
        the.there.answer = lambda one: 204
        assert await the.events.again(dead["id"], the.now())
        made.wake()
        await the.has(lambda: the.there.taken, "it, sent again")


async def test_a_server_that_was_away_for_a_day_tries_several_times_all_the_same(tmp_path: Path) -> None:
    async with stage(tmp_path) as the:
        the.there.answer = lambda one: 204 if len(the.there.came) >= LEAST_TRIES else 503
        entry = JournalEntry.of(notes.Began(carrier="telnyx"), call="a", at=the.now() - 2 * GIVE_UP_SECONDS)
        the.journal.note(entry)
        await the.journal.flushed()
        the.begin()
        await the.has(lambda: the.there.taken, "the last try")


async def test_an_answer_that_never_comes_ends_the_try(tmp_path: Path) -> None:
    async with stage(tmp_path) as the:
        the.there.delay = 30
        made = the.begin(seconds=0.1)
        the.journal.note(JournalEntry.of(notes.Began(carrier="telnyx"), call="a", at=the.now()))
        await the.has(lambda: made.counts["failed"] >= 2, "tries that end")
        assert made.trouble == "no answer within 0.1 s"


async def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    async with stage(tmp_path) as the, receiver() as elsewhere:
        the.there.answer = lambda one: 308
        the.there.extra = f"Location: {elsewhere.url}\r\n"
        made = the.begin()
        the.journal.note(JournalEntry.of(notes.Began(carrier="telnyx"), call="a", at=the.now()))
        await the.has(lambda: made.counts["failed"] >= 2, "tries that fail")
        assert elsewhere.came == []
        assert "redirect" in made.trouble


async def test_what_is_not_noted_is_sent_again_with_its_id(tmp_path: Path) -> None:
    """The sender dies between the answer and its note; the one after it sends the event again."""
    async with stage(tmp_path) as the:
        held = asyncio.Event()

        async def never(name: str, now: float) -> None:
            held.set()
            await asyncio.Event().wait()

        the.begin()
        the.events.delivered = never  # type: ignore[method-assign]
        await the.call("a")
        await asyncio.wait_for(held.wait(), 10)
        await the.end()
        del the.events.delivered
        the.begin()
        await the.has(lambda: the.there.types()[-1:] == ["call.ended"], "the others")
        assert the.there.types() == ["call.started", *USUAL]
        assert the.there.taken[0].id == the.there.taken[1].id


async def test_a_database_that_is_away_delays_events_and_loses_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with stage(tmp_path) as the:
        await the.call("a")
        await the.journal.flushed()
        await sql.execute(the.database, "ALTER TABLE events_out RENAME TO away")
        the.begin()
        await the.has(lambda: "events for EVENTS_URL cannot be read" in caplog.text, "the failure")
        await sql.execute(the.database, "ALTER TABLE away RENAME TO events_out")
        await the.has(lambda: the.there.types() == USUAL, "all events")


async def test_delivered_events_are_emptied_at_once_and_deleted_later_and_so_are_old_dead_letters(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as the:
        the.there.answer = lambda one: 410 if one.payload["type"] == "call.ended" else 204
        made = the.begin()
        await the.call("a")
        await the.has(lambda: sum(made.counts[one] for one in ("delivered", "dead")) == len(USUAL), "all events")

        async def rows() -> dict[str, set[str]]:
            def work(connection: Any) -> dict[str, set[str]]:
                found: dict[str, set[str]] = {}
                for state, body in connection.exec_driver_sql("SELECT state, body FROM events_out"):
                    found.setdefault(state, set()).add(body and json.loads(body)["type"])
                return found

            return await the.database.read(work)

        async def are(wanted: dict[str, set[str]]) -> None:
            async with asyncio.timeout(10):
                while await rows() != wanted:
                    made.wake()
                    await asyncio.sleep(0.02)

        await are({"delivered": {""}, "dead": {"call.ended"}})
        the.ahead = module._DELIVERED_SECONDS + 60
        await are({"dead": {"call.ended"}})
        the.ahead = module._DEAD_SECONDS + 7200
        await are({})


async def test_neither_log_nor_table_hold_the_address(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "httpx")
    async with stage(tmp_path) as the:
        the.there.answer = lambda one: 503
        made = the.begin()
        await the.call("a")
        await the.has(lambda: made.counts["failed"], "a failure")
        await the.there.stop()
        await the.has(lambda: made.trouble.startswith("no answer"), "another one")
        told = caplog.text + made.trouble
        assert "of-the-receiver" not in told
        assert str(the.there.port) not in told


def test_pauses_double_and_have_a_bound_and_differ() -> None:
    many = [[pause_after(tries) for tries in range(1, 200)] for _ in range(20)]
    assert all(
        0.5 * min(2.0**index, 600) <= one <= min(2.0**index, 600) for row in many for index, one in enumerate(row)
    )
    assert len({row[5] for row in many}) > 10
