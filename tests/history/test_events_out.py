"""The events for EVENTS_URL: made from the journal, in its transaction, each of them once."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, select
from sqlalchemy.engine import Engine

from callflow.call import machine
from callflow.contracts import commands, events
from callflow.history import events_out
from callflow.history.database import Database, url_of
from callflow.history.event_store import EventStore
from callflow.history.events_out import TYPES, EventMaker, event_id
from callflow.history.journal_writer import DurableJournal
from callflow.history.store import Store
from callflow.history.tables import events_out as table
from callflow.history.tables import items, steps
from callflow.journal import notes
from callflow.journal.journal import JournalEntry
from callflow.journal.notes import Note
from callflow.journal.redaction import Redactor
from tests.history import new_database


CALL = "00000000-0000-4000-8000-00000000000a"
AT = 1_700_000_000.0
PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
CARD = "4111 1111 1111 1111"


class Stage:
    def __init__(self, url: str, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.database = Database(url_of(url, str(folder)))
        make = partial(EventMaker, redact=Redactor().data, recordings=folder, **options)
        self.journal = DurableJournal(make_events=make)
        self.told = 0
        self.journal.on_events = self._tell

    def _tell(self) -> None:
        self.told += 1

    def note(self, note: Note, *, call: str = CALL, step: int = 0, at: float = AT) -> None:
        self.journal.note(JournalEntry.of(note, call=call, at=at, step=step))

    def step(self, event: dict[str, Any], before: str, after: str, *, number: int = 1, at: float = AT) -> None:
        self.journal.note(JournalEntry(CALL, number, at, event, before, after, True, []))

    def began(self, **more: Any) -> None:
        numbers = {"from_number": "+15550100001", "to_number": "+15550100002"}
        self.note(notes.Began(**{"carrier": "telnyx", "control": "v3:x", **numbers, **more}))

    async def bodies(self) -> list[dict[str, Any]]:
        await self.journal.flushed()

        def read(connection: Connection) -> list[dict[str, Any]]:
            return [
                json.loads(body) for body in connection.execute(select(table.c.body).order_by(table.c.seq)).scalars()
            ]

        return await self.database.read(read)


@asynccontextmanager
async def stage(url: str, folder: Path, **options: Any) -> AsyncIterator[Stage]:
    if url.startswith("sqlite:///"):
        await new_database.put_into(Path(url.removeprefix("sqlite:///")).parent)
    the = Stage(url, folder, **options)
    await the.database.migrate()
    the.journal.open(the.database)
    try:
        yield the
    finally:
        await the.journal.close()
        await the.database.close()


_PERSON_ACCEPTS = (
    events.CallAnswered(leg=events.HUMAN),
    events.Dtmf(leg=events.HUMAN, digit="1"),
    events.CallBridged(leg=events.HUMAN),
)


@pytest.mark.parametrize(
    ("then", "outcome", "connected"),
    [
        ((), None, False),
        ((events.CallHangup(leg=events.HUMAN),), "not_reached", False),
        ((events.CallAnswered(leg=events.HUMAN), events.Dtmf(leg=events.HUMAN, digit="2")), "refused", False),
        ((events.CallHangup(),), "call_ended", False),
        ((*_PERSON_ACCEPTS, events.CallHangup(leg=events.HUMAN)), "left", True),
        ((*_PERSON_ACCEPTS, events.CallHangup()), "call_ended", True),
    ],
    ids=["it rings", "nobody answers", "refused", "the caller gives up", "the person leaves", "the caller leaves"],
)
async def test_how_a_transfer_ended_is_told(
    database_url: str, then: tuple[events.Event, ...], outcome: str | None, connected: bool, tmp_path: Path
) -> None:
    model = machine.Model()
    model.state, model.engine, model.media, model.answer_sent = "streaming", "ready", "open", True
    async with stage(database_url, tmp_path) as the:
        the.began()
        for number, happened in enumerate((events.TransferRequested(number="+15550100010"), *then), start=3):
            step = machine.take(model, happened)
            told = [commands.to_json(command) for command in step.commands]
            record = events.to_json(happened)
            the.journal.note(JournalEntry(CALL, number, AT, record, step.before, step.after, step.taken, told))
        found = [body for body in await the.bodies() if body["type"] == "transfer.ended"]
        expected = [(outcome, connected)] if outcome else []
        assert [(body["outcome"], body["connected"]) for body in found] == expected


async def test_a_call_tells_that_it_starts_is_answered_and_ends(database_url: str, tmp_path: Path) -> None:
    async with stage(database_url, tmp_path) as the:
        the.began(profile="sales")
        the.step({"event": "call_answered"}, "ringing", "answered", at=AT + 2)
        the.step({"event": "media_started", "stream": "MZ 1/2"}, "answered", "streaming", number=2, at=AT + 3)
        the.note(notes.Turn(who="caller", item="i1", text="a secret word"), at=AT + 4)
        the.note(notes.Usage(total={"total_tokens": 7}, usd=0.0123), at=AT + 5)
        the.note(notes.Ids(control="v3:of-a-person", of="human"), at=AT + 6)
        the.step({"event": "call_hangup", "source": "caller"}, "streaming", "hangup", number=3, at=AT + 60)
        the.note(notes.Ended(cause="normal_clearing"), at=AT + 60)
        started, answered, ended = await the.bodies()
        assert the.told >= 1
        common = {
            "call": CALL, "carrier": "telnyx", "carrier_call": "v3:x", "direction": "inbound",
            "from": "+15550100001", "to": "+15550100002", "profile": "sales", "business": "",
        }  # fmt: skip
        assert started == {
            **common, "id": event_id(CALL, "call.started"), "type": "call.started",
            "created_at": "2023-11-14T22:13:20.000Z",
        }  # fmt: skip
        assert answered == {
            **common, "id": event_id(CALL, "call.answered"), "type": "call.answered",
            "created_at": "2023-11-14T22:13:22.000Z",
        }  # fmt: skip
        assert ended == {
            **common, "id": event_id(CALL, "call.ended"), "type": "call.ended",
            "created_at": "2023-11-14T22:14:20.000Z",
            "started_at": "2023-11-14T22:13:20.000Z", "ended_at": "2023-11-14T22:14:20.000Z", "duration_seconds": 60,
            "cause": "normal_clearing", "cause_text": "it was hung up in the ordinary way, by the caller",
            "cost_usd": 0.0123, "transcript": "/api/conversations/stream/MZ%201%2F2",
        }  # fmt: skip


async def test_a_call_that_was_dialled_is_from_us_to_them_and_a_cost_that_is_not_known_is_no_zero(
    database_url: str, tmp_path: Path
) -> None:
    async with stage(database_url, tmp_path) as the:
        the.began(direction="outbound", from_number="+15550100002", to_number="+15550100001")
        the.step({"event": "call_hangup", "source": "caller"}, "ringing", "hangup")
        the.note(notes.Ended(cause="normal_clearing"))
        started, ended = await the.bodies()
        assert (started["direction"], started["from"], started["to"]) == ("outbound", "+15550100002", "+15550100001")
        assert ended["cost_usd"] is None
        assert ended["cause_text"] == "it was hung up in the ordinary way, by us"


async def test_a_tool_that_fails_is_told_and_what_it_was_told_is_not(database_url: str, tmp_path: Path) -> None:
    async with stage(database_url, tmp_path) as the:
        the.began()
        for number, ok in enumerate((True, False, False), start=1):
            finished = {
                "event": "tool_finished", "id": f"call_{number}", "tool": "book", "ok": ok,
                "ms": 40, "output": "a word",
            }  # fmt: skip
            the.step(finished, "streaming", "streaming", number=number)
        _, *failed = await the.bodies()
        told = [(one["type"], one["tool"], one["tool_call"], one["ms"]) for one in failed]
        assert told == [("tool.failed", "book", "call_2", 40), ("tool.failed", "book", "call_3", 40)]
        assert "word" not in json.dumps(failed)
        assert len({one["id"] for one in failed}) == 2


async def test_what_a_tool_did_that_the_vendor_runs_is_in_the_history_and_told_where_it_failed(tmp_path: Path) -> None:
    async with stage("", tmp_path) as the:
        the.began()
        the.note(notes.HostedTool(id="m1", server="shop", tool="look", arguments='{"for":"tea"}', output="2 left"))
        the.note(notes.HostedTool(id="m2", server="shop", tool="buy", arguments="{}", output="it is down", ok=False))
        _, failed = await the.bodies()
        assert [failed[name] for name in ("type", "tool", "tool_call")] == ["tool.failed", "shop.buy", "m2"]
        columns = items.c.item_type, items.c.function_name, items.c.function_params, items.c.function_output
        held = await the.database.read(lambda connection: connection.execute(select(*columns)).all())
        assert [tuple(row) for row in held[:2]] == [
            ("function_call", "shop.look", '{"for":"tea"}', "2 left"),
            ("function_call_output", "shop.look", '{"for":"tea"}', "2 left"),
        ]


async def test_words_are_told_where_they_are_asked_for_and_pass_the_redactor(database_url: str, tmp_path: Path) -> None:
    async with stage(database_url, tmp_path, words=True) as the:
        the.began()
        the.note(notes.Turn(who="agent", item="i1", text="Good morning, how can I help?"), at=AT + 1)
        cut = notes.Cut(
            item="i1", heard_ms=500, received_ms=900, heard_text="Good morning,", unheard_text="how can I help?"
        )
        the.note(notes.Interrupted(cuts=(cut,), by_caller=True), at=AT + 2)
        the.note(notes.Turn(who="caller", item="i2", text=f"My card is {CARD}."), at=AT + 3)
        failed = {"event": "tool_finished", "id": "c1", "tool": "pay", "ok": False, "output": f'{{"no": "{CARD}"}}'}
        the.step(failed, "streaming", "streaming", at=AT + 4)
        the.note(notes.Ended(cause="agent"), at=AT + 5)
        _, tool, ended = await the.bodies()
        assert tool["output"] == '{"no": "[card number]"}'
        assert [(one["role"], one["text"]) for one in ended["words"]] == [
            ("assistant", "Good morning,"), ("user", "My card is [card number]."),
        ]  # fmt: skip


async def test_a_transcript_in_an_event_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_out, "_MOST_WORDS", 100)
    async with stage("", tmp_path, words=True) as the:
        the.began()
        for number in range(5):
            the.note(notes.Turn(who="caller", item=f"i{number}", text="word " * 8), at=AT + number)
        the.note(notes.Ended(cause="agent"), at=AT + 9)
        *_, ended = await the.bodies()
        assert [one["role"] for one in ended["words"]] == ["user", "user", "system"]


async def test_a_recording_is_ready_when_its_call_is_over(database_url: str, tmp_path: Path) -> None:
    async with stage(database_url, tmp_path) as the:
        (tmp_path / "a.wav").touch()
        (tmp_path / "a-2.wav").touch()
        the.began()
        the.note(notes.Recording(file="a.wav"))
        the.note(notes.Recording(file="a.wav,a-2.wav"))
        the.note(notes.Ended(cause="agent"))
        *_, ended, ready = await the.bodies()
        assert [ended["type"], ready["type"]] == ["call.ended", "recording.ready"]
        assert ready["recording"] == [f"/api/calls/{CALL}/recording?part={part}" for part in (1, 2)]


@pytest.mark.parametrize("how", ["the disk is full", "no file"])
async def test_a_recording_that_failed_is_never_ready(how: str, tmp_path: Path) -> None:
    async with stage("", tmp_path) as the:
        the.began()
        the.note(notes.Recording(file="a.wav"))
        if how != "no file":
            (tmp_path / "a.wav").touch()
            the.note(notes.RecordingFailed(reason=how))
        the.note(notes.Ended(cause="agent"))
        found = await the.bodies()
        assert [one["type"] for one in found if "recording" in one["type"]] == ["recording.failed"]
        (failed,) = (one for one in found if one["type"] == "recording.failed")
        assert failed["reason"] == ("the file is not there" if how == "no file" else how)


async def test_an_entry_that_is_written_twice_makes_one_event(database_url: str, tmp_path: Path) -> None:
    async with stage(database_url, tmp_path) as the:
        for _ in range(2):
            the.began()
            the.step({"event": "call_answered"}, "ringing", "answered")
            the.step({"event": "tool_finished", "id": "c1", "ok": False}, "streaming", "streaming")
            the.note(notes.RecordingFailed(reason="the disk is full"))
            the.note(notes.Ended(cause="agent"))
        types = [one["type"] for one in await the.bodies()]
        assert types == ["call.started", "call.answered", "tool.failed", "recording.failed", "call.ended"]


async def test_an_event_and_its_journal_entry_are_written_together_or_not_at_all(tmp_path: Path) -> None:
    """The first commit fails after both were inserted: nothing of either is there until the next one."""
    async with stage("", tmp_path) as the:
        engine = the.database._files
        assert isinstance(engine, Engine)
        seen: list[tuple[int, int]] = []

        def counted() -> tuple[int, int]:
            with engine.connect() as other:
                return tuple(len(other.execute(select(one.c.call)).all()) for one in (steps, table))  # type: ignore[return-value]

        def fail(connection: Connection) -> None:
            if not seen:
                seen.append(counted())
                raise OSError("the disk is full")

        event.listen(engine, "commit", fail)
        the.began()
        assert [one["type"] for one in await the.bodies()] == ["call.started"]
        assert seen == [(0, 0)]
        assert counted() == (1, 1)


async def test_a_fault_of_ours_costs_the_event_and_never_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with stage("", tmp_path) as the:
        monkeypatch.setattr(events_out, "json_of", lambda value: 1 / 0)
        the.began()
        await the.journal.flushed()
        assert [one.name for one in await Store(the.database).journal(CALL)] == ["began"]
        assert await the.bodies() == []
        assert "an event cannot be made" in caplog.text


async def test_with_a_call_its_events_are_deleted(database_url: str, tmp_path: Path) -> None:
    async with stage(database_url, tmp_path) as the:
        the.began()
        the.note(notes.Began(carrier="twilio"), call="b")
        the.note(notes.Ended(cause="agent"))
        assert len(await the.bodies()) == 3
        store = Store(the.database)
        row = await store.conversation(CALL)
        assert row is not None
        await store.delete([row["id"]], AT)
        assert [one["call"] for one in await the.bodies()] == ["b"]


async def test_where_no_address_is_set_no_event_is_made(tmp_path: Path) -> None:
    await new_database.put_into(tmp_path)
    database = Database(url_of("", str(tmp_path)))
    journal = DurableJournal()
    journal.open(database)
    journal.note(JournalEntry.of(notes.Began(carrier="telnyx"), call=CALL, at=AT))
    await journal.flushed()
    assert await EventStore(database).counts() == (0, 0)
    await journal.close()
    await database.close()


def test_the_id_of_an_event_tells_nothing_and_has_no_dot() -> None:
    names = {event_id(CALL, kind, key) for kind in ("call.ended", "tool.failed") for key in ("", "a", "b")}
    assert len(names) == 6
    assert all(name.startswith("evt_") and "." not in name and len(name) == 36 for name in names)


def test_the_page_for_operators_names_every_type() -> None:
    section = PAGE.read_text(encoding="utf-8").split("\n## Events\n")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `([a-z]+[.][a-z_]+)` \|", section, re.MULTILINE)) == set(TYPES)
    assert [name for name in TYPES if f"`{name}`" not in section] == []
