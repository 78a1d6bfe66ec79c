"""Statements that are written once, and the connection of the thread that runs them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import Boolean, Connection, Dialect, Double, bindparam, insert, select, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.compiler import SQLCompiler

from callflow.cluster import node_store
from callflow.history import conversation_rows, journal_writer, kept_profiles, own_tools, store
from callflow.history.database import Database, url_of
from callflow.history.prepared import Prepared
from callflow.history.tables import conversations
from callflow.history.write_errors import whose_fault


_OF_CALL = conversations.c.call_id == bindparam("call")
_SELECT = Prepared(select(conversations.c.state, conversations.c.direction).where(_OF_CALL))
_INSERT = Prepared(insert(conversations), "stream_sid", "call_id", "phone_number", "started_at")
_UPDATE = Prepared(update(conversations).where(_OF_CALL).values(state=bindparam("now"), direction="inbound"))


def _row(call: str) -> dict[str, Any]:
    return {"call_id": call, "stream_sid": call, "started_at": "2026-01-01", "phone_number": "+15550100001"}


async def test_values_go_by_their_names(database_url: str) -> None:
    def work(connection: Connection) -> list[Sequence[Any] | None]:
        _INSERT.run(connection, _row("a"), _row("b"))
        assert _UPDATE.run(connection, {"call": "a", "now": "over"}) == 1
        assert _UPDATE.run(connection, {"now": "over", "call": "nobody's"}) == 0
        return [_SELECT.first(connection, {"call": call}) for call in ("a", "b", "nobody's")]

    database = Database(url_of(database_url, "data"), here=True)
    await database.migrate()
    try:
        assert await database.write(work) == [("over", "inbound"), (None, None), None]
    finally:
        await database.close()


async def test_a_value_that_is_missing_is_a_fault_and_leaves_nothing(tmp_path: Path) -> None:
    def work(connection: Connection) -> None:
        _INSERT.run(connection, _row("a"))
        _UPDATE.run(connection, {"call": "a"})

    database = Database(url_of("", str(tmp_path)))
    await database.migrate()
    with pytest.raises(KeyError, match="now"):
        await database.write(work)
    await database.write(lambda connection: _INSERT.run(connection, _row("b")))
    found = await database.rows(select(conversations.c.call_id))
    await database.close()
    assert found == [{"call_id": "b"}], "what had failed was written, or what came after it was not"


async def test_what_a_database_refuses_is_told_as_sqlalchemy_tells_it(database_url: str) -> None:
    """The writer of the journal tells by that whose fault it is."""
    database = Database(url_of(database_url, "data"), here=True)
    await database.migrate()
    try:
        with pytest.raises(IntegrityError) as refused:
            await database.write(lambda connection: _INSERT.run(connection, {**_row("a"), "phone_number": None}))
        assert whose_fault(refused.value) == "entry"
        assert _row("a")["started_at"] not in str(refused.value), "what a caller said would stand in the log"
    finally:
        await database.close()


_ASYNCPG = asyncpg.dialect()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("dialect", [sqlite.dialect(), _ASYNCPG], ids=["sqlite", "postgresql"])
def test_no_value_has_to_be_converted_and_none_has_to_be_counted(dialect: Dialect) -> None:
    """SQLAlchemy would do both while it runs a statement. SQLite takes true and false as they are, and its columns make
    a whole number one with a fraction."""
    of_kind = conversation_rows.statements(dialect.name)
    everything = [
        *vars(conversation_rows).values(), *of_kind, *of_kind.find_words, journal_writer._INSERT,
        *vars(node_store).values(), node_store._claim_new(dialect.name),
        kept_profiles._LOOK, own_tools._LOOK, store._ENDED,
    ]  # fmt: skip
    found = [each for each in everything if isinstance(each, Prepared)]
    assert len(found) > 25
    for each in found:
        compiled = cast(SQLCompiler, each._statement.compile(dialect=dialect, column_keys=each._columns or None))
        assert not compiled.post_compile_params, compiled.string
        for name, bound in compiled.binds.items():
            is_plain = isinstance(bound.type, (Boolean, Double)) or bound.type._cached_bind_processor(dialect) is None
            assert is_plain, f"{name} in {compiled.string}"
