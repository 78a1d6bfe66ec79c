"""Statements for a database of a test, past the code that is tested."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, text

from callflow.history.database import Database


async def execute(database: Database, *statements: str, row: Mapping[str, Any] | None = None) -> None:
    """Execute statements in one transaction. `row`: the values of their parameters."""

    def work(connection: Connection) -> None:
        for statement in statements:
            connection.execute(text(statement), row or {})

    await database.write(work)
