"""The dead letters on the operators' listener."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from quart import Quart

from callflow.history.database import url_of
from callflow.history.delivery.answer import Answer as Judged
from callflow.history.delivery.sender import Sender
from callflow.history.events_out import EventMaker
from callflow.history.history import History
from callflow.journal import notes
from callflow.journal.journal import JournalEntry
from callflow.journal.redaction import Redactor
from callflow.web.console.events import add_events
from callflow.web.responses import install_error_handlers
from tests.history import new_database
from tests.web.asgi import Answer, ask


NOW = 1_700_000_000.0


class Nobody:
    async def post(self, name: str, body: str, now: float) -> Judged:
        raise AssertionError("nothing is sent here")

    async def close(self) -> None: ...


class Stage:
    def __init__(self, history: History, sender: Sender | None) -> None:
        self.history, self.sender = history, sender
        self.app = Quart("test")
        install_error_handlers(self.app, str)
        add_events(self.app, history, sender)

    async def ask(self, method: str, path: str) -> Answer:
        return await ask(self.app, method, path, body=b"")

    async def again(self, name: str) -> tuple[int, Any]:
        answer = await self.ask("POST", f"/api/events/dead/{name}/again")
        return answer.status, answer.json()


@asynccontextmanager
async def stage(folder: Path, *, dead: int = 0, sends: bool = True, opened: bool = True) -> AsyncIterator[Stage]:
    """`dead`: how many dead letters there are, each of a call of its own; the newest is `call-N`."""
    await new_database.put_into(folder)
    make = partial(EventMaker, redact=Redactor().data, recordings=folder)
    history = History(
        url_of("", str(folder)), recordings=folder, retention_days=0, country="", now=lambda: NOW, make_events=make
    )
    if opened:
        await history.open()
        for number in range(1, dead + 1):
            began = notes.Began(carrier="telnyx", from_number="+15550100001")
            history.journal.note(JournalEntry.of(began, call=f"call-{number}", at=NOW))
        await history.journal.flushed()
        for event in (await history.events.due(NOW, dead))[0]:
            await history.events.dead(event.id, NOW + 60, "HTTP 410")
    try:
        yield Stage(history, Sender(history.events, Nobody(), now=lambda: NOW) if sends else None)
    finally:
        await history.journal.close()
        await history.close()


async def test_dead_letters_are_listed_newest_first_in_pages(tmp_path: Path) -> None:
    async with stage(tmp_path, dead=5) as the:
        answer = await the.ask("GET", "/api/events/dead?limit=2")
        first = answer.json()
        assert [one["call"] for one in first] == ["call-5", "call-4"]
        assert {**first[0], "seq": 0, "id": ""} == {
            "seq": 0, "id": "", "type": "call.started", "call": "call-5", "created_at": "2023-11-14T22:13:20.000Z",
            "dead_since": "2023-11-14T22:14:20.000Z", "tries": 1, "error": "HTTP 410", "payload": first[0]["payload"],
        }  # fmt: skip
        assert first[0]["payload"]["from"] == "+15550100001"
        path = answer.headers["link"].removeprefix("<").partition(">")[0]
        following = await the.ask("GET", path)
        assert [one["call"] for one in following.json()] == ["call-3", "call-2"]
        last = await the.ask("GET", following.headers["link"].removeprefix("<").partition(">")[0])
        assert [one["call"] for one in last.json()] == ["call-1"]
        assert "link" not in last.headers


async def test_a_dead_letter_is_sent_again_and_counts_as_new(tmp_path: Path) -> None:
    async with stage(tmp_path, dead=2) as the:
        _, first = (await the.ask("GET", "/api/events/dead")).json()
        assert await the.again(first["id"]) == (202, {"id": first["id"], "state": "waiting"})
        (due,), _ = await the.history.events.due(NOW, 10)
        assert (due.id, due.tries, due.since) == (first["id"], 0, NOW)
        assert json.loads(due.body) == first["payload"]
        assert [one["call"] for one in (await the.ask("GET", "/api/events/dead")).json()] == ["call-2"]
        status, told = await the.again(first["id"])
        assert (status, told["error"]) == (409, "This event is no dead letter: it is waiting.")
        assert (await the.again("evt_none"))[0] == 404


async def test_without_an_address_dead_letters_are_shown_and_not_sent(tmp_path: Path) -> None:
    async with stage(tmp_path, dead=1, sends=False) as the:
        (dead,) = (await the.ask("GET", "/api/events/dead")).json()
        status, told = await the.again(dead["id"])
        assert (status, "EVENTS_URL is not set" in told["error"]) == (409, True)
        assert await the.history.events.counts() == (0, 1)


async def test_before_the_history_is_open_both_say_so(tmp_path: Path) -> None:
    async with stage(tmp_path, opened=False) as the:
        assert (await the.ask("GET", "/api/events/dead")).status == 503
        assert (await the.again("evt_1"))[0] == 503


async def test_a_page_that_cannot_be_is_refused(tmp_path: Path) -> None:
    async with stage(tmp_path) as the:
        for query in ("limit=0", "limit=101", "limit=x", "before=-1", "other=1"):
            assert (await the.ask("GET", f"/api/events/dead?{query}")).status == 400
        assert (await the.ask("GET", "/api/events/dead")).json() == []
