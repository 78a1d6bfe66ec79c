"""Makes a new SQLite file by `schema.sql`, which `cli/schema_file.py` writes from the migrations.

So the first start does without Alembic, whose modules would take 0.1 s and stay in memory (11 MB). Files of earlier
versions, and PostgreSQL, are brought up to date by the migrations.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sqlalchemy import Connection


FILE: Final = Path(__file__).with_name("schema.sql")


def is_new(connection: Connection) -> bool:
    """Return whether nothing at all is in this SQLite database yet."""
    return connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar() == 0


def create(connection: Connection) -> None:
    """Make the tables and indexes of this version in an SQLite database that is new."""
    for statement in _statements(FILE.read_text(encoding="utf-8")):
        connection.exec_driver_sql(statement)


def _statements(script: str) -> Iterator[str]:
    """Yield each statement of a script."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
