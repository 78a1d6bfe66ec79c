"""What the entries of a call make of the tables that people read, and that repeated or late ones change nothing.

What is found in these tables is told in test_store.py and test_query.py; writing the journal in test_journal_writer.py.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from callflow.history.database import Database, url_of
from callflow.history.projection import Projection, clean, json_of, words_of
from callflow.journal.journal import JournalEntry
from callflow.journal.notes import Began, Ended, Heard, Ids, Latency, Note, Turn
from tests.history import new_database


CALL = "00000000-0000-4000-8000-000000000001"
AT = 1_764_630_000.0


def note(of: Note, after: float = 0.0, call: str = CALL) -> JournalEntry:
    return JournalEntry.of(of, call=call, at=AT + after)


def step(event: dict[str, Any], after: float, before: str = "streaming", then: str = "streaming") -> JournalEntry:
    return JournalEntry(CALL, 1, AT + after, event, before, then, taken=True)


BEGAN = note(Began(carrier="telnyx", from_number="+15550100001", to_number="+15550100002", control="c"))
TURN = note(Turn(who="agent", item="i1", text="Good day."), 3)


class Tables:
    def __init__(self, database: Database) -> None:
        self.database, self.projection = database, Projection("sqlite")

    async def take(self, *entries: JournalEntry) -> None:
        """One transaction."""

        def work(connection: Connection) -> None:
            for entry in entries:
                self.projection.apply(connection, entry)
            self.projection.finish(connection)

        await self.database.write(work)

    async def rows(self, table: str, *names: str) -> list[tuple[Any, ...]]:
        wanted = text(f"SELECT {', '.join(names)} FROM {table} ORDER BY id")
        return await self.database.read(lambda connection: [tuple(row) for row in connection.execute(wanted)])


def play(folder: Path, main: Callable[[Tables], Awaitable[None]]) -> None:
    async def begin() -> None:
        await new_database.put_into(folder)
        database = Database(url_of("", str(folder)))
        try:
            await main(Tables(database))
        finally:
            await database.close()

    asyncio.run(begin())


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("a\x00b", "ab"), ("\ud800x", "?x"), ("zürich 東京 \U0001f35e", "zürich 東京 \U0001f35e"), ("", ""),
        (None, None), (7, 7), ("\n\t\x1b", "\n\t\x1b"),
    ],
)  # fmt: skip
def test_text_is_what_every_database_takes(value: Any, stored: Any) -> None:
    assert clean(value) == stored


def test_json_holds_whatever_a_model_writes() -> None:
    odd = {"\ud800": ["\udfff", {"a": ("\ud83c", 1, None)}]}
    assert json.loads(json_of(odd)) == {"?": ["?", {"a": ["?", 1, None]}]}
    assert json.loads(words_of('"\x00\u2028"')) == [{"type": "text", "text": '"\x00\u2028"'}]


def test_a_call_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    async def main(the: Tables) -> None:
        await the.take(BEGAN, step({"event": "call_answered"}, 1.0, "ringing", "answered"))
        await the.take(TURN, note(Turn(who="caller", item="i2", text=" \n"), 4))
        await the.take(note(Ended(cause="agent"), 61.9994))
        names = (
            "answered_at",
            "ended_at",
            "duration_seconds",
            "answered_seconds",
            "message_count",
            "state",
            "hangup_cause",
        )
        assert await the.rows("conversations", *names) == [
            ("2025-12-01T23:00:01.000Z", "2025-12-01T23:01:01.999Z", 61, 60.999, 1, "hangup", "agent"),
        ]  # fmt: skip
        assert await the.rows("conversation_items", "item_id", "role", "text", "status") == [
            ("i1", "assistant", "Good day.", "completed"),
        ]  # fmt: skip

    play(tmp_path, main)


def test_an_entry_that_comes_twice_or_of_no_call_changes_nothing(tmp_path: Path) -> None:
    async def main(the: Tables) -> None:
        await the.take(TURN, note(Ended(cause="agent"), 5), note(Heard(item="i1", ms=5, of_ms=9, done=True), 4))
        assert await the.rows("conversations", "id") == []
        assert await the.rows("conversation_items", "id") == []
        for _ in range(2):
            await the.take(BEGAN, TURN, note(Ended(cause="agent"), 60))
        await the.take(note(Ended(cause="interrupted"), 90))
        assert await the.rows("conversations", "duration_seconds", "hangup_cause") == [(60, "agent")]
        assert await the.rows("conversation_items", "text") == [("Good day.",)]

    play(tmp_path, main)


def test_an_end_before_the_beginning_is_no_negative_time(tmp_path: Path) -> None:
    """The clock of another machine, or one that was set."""

    async def main(the: Tables) -> None:
        await the.take(BEGAN, step({"event": "call_answered"}, 1.0, "ringing", "answered"))
        await the.take(note(Ended(cause="hangup", until=AT - 10), 2))
        assert await the.rows("conversations", "duration_seconds", "answered_seconds") == [(0, 0.0)]

    play(tmp_path, main)


def test_words_that_are_known_late_keep_how_long_their_answer_took(tmp_path: Path) -> None:
    async def main(the: Tables) -> None:
        await the.take(BEGAN, note(Latency(item="i1"), 2))
        await the.take(TURN)
        ((latency,),) = await the.rows("conversation_items", "latency")
        assert latency is not None
        assert json.loads(latency) is not None

    play(tmp_path, main)


def test_what_was_cut_off_is_not_whole_again_when_its_transcript_comes(tmp_path: Path) -> None:
    async def main(the: Tables) -> None:
        await the.take(BEGAN, note(Turn(who="agent", item="i1", text="Good", whole=False), 3))
        await the.take(TURN)
        assert await the.rows("conversation_items", "text", "status") == [("Good day.", "incomplete")]

    play(tmp_path, main)


def test_the_leg_of_a_person_neither_ends_the_call_nor_gives_it_its_id(tmp_path: Path) -> None:
    async def main(the: Tables) -> None:
        hung_up = {"event": "call_hangup", "source": "callee", "leg": "human"}
        await the.take(BEGAN, note(Ids(control="theirs", of="human"), 1), step(hung_up, 2))
        assert await the.rows("conversations", "carrier_call_id", "hangup_source") == [("c", None)]
        await the.take(step({**hung_up, "leg": "caller"}, 3), note(Ids(control="ours", leg="l"), 4))
        assert await the.rows("conversations", "carrier_call_id", "hangup_source") == [("ours", "callee")]

    play(tmp_path, main)


@pytest.mark.parametrize("event", [{"event": 7}, {"event": ["turn"]}, {"event": "turn", "who": "caller"}])
def test_what_makes_no_sense_is_said_to_be_so(tmp_path: Path, event: dict[str, Any]) -> None:
    async def main(the: Tables) -> None:
        with pytest.raises(ValueError, match=r"text|missing"):
            await the.take(JournalEntry(CALL, 0, AT, event))
        the.projection.forget()
        await the.take(BEGAN)

    play(tmp_path, main)
