"""Statements of SQL that are written once for each kind of database.

SQLAlchemy finds a statement that it has written before, and then reads its parameters and prepares its result, which
takes several times what SQLite takes to run it. The journal runs some thirty for each call, and in a cluster twice as
many, all of them known before the first one. So a file's driver runs them itself.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from sqlalchemy import ClauseElement, Connection, Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler


class _Written(NamedTuple):
    text: str
    order: Sequence[str]
    """The names of its parameters, as the text has them."""
    fixed: Mapping[str, Any]
    """The values that the statement itself has."""


class Prepared:
    """A statement. Its values must be of types that drivers take as they are (text, numbers, true and false), and their
    number fixed, which that of `in_` is not."""

    def __init__(self, statement: ClauseElement, *columns: str) -> None:
        """`columns`: those that an INSERT has values for, unless it says so itself."""
        self._statement, self._columns = statement, columns
        self._written: dict[str, _Written] = {}
        """By the name of the kind of database."""

    def run(self, connection: Connection, *rows: Mapping[str, Any]) -> int:
        """Run it, once for each of these rows of values. Returns how many rows of the table it has changed. Raises
        KeyError where a value is missing."""
        text, values = self._filled(connection.dialect, rows)
        if connection.dialect.name == "sqlite":
            return run_on_file(connection, text, *values).rowcount
        return connection.exec_driver_sql(text, values).rowcount

    def all(self, connection: Connection, values: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        """Run it with these values, and return the rows that it finds. Raises as `run` does."""
        text, filled = self._filled(connection.dialect, (values,))
        if connection.dialect.name == "sqlite":
            return run_on_file(connection, text, *filled).fetchall()
        return connection.exec_driver_sql(text, filled).all()

    def first(self, connection: Connection, values: Mapping[str, Any]) -> Sequence[Any] | None:
        """Return the first row that it finds with these values; None: it finds nothing. Raises as `run` does."""
        return next(iter(self.all(connection, values)), None)

    def _filled(self, dialect: Dialect, rows: Sequence[Mapping[str, Any]]) -> tuple[str, list[tuple[Any, ...]]]:
        text, order, fixed = self._written.get(dialect.name) or self._write(dialect)
        return text, [tuple([row[name] if name in row else fixed[name] for name in order]) for row in rows]

    def _write(self, dialect: Dialect) -> _Written:
        compiler = cast(SQLCompiler, self._statement.compile(dialect=dialect, column_keys=self._columns or None))
        fixed = {name: bound.effective_value for name, bound in compiler.binds.items() if not bound.required}
        written = self._written[dialect.name] = _Written(compiler.string, compiler.positiontup or (), fixed)
        return written


def run_on_file(connection: Connection, text: str, *rows: Sequence[Any]) -> sqlite3.Cursor:
    """Have SQLite run a statement, once for each of these rows of values. Raises what SQLAlchemy would raise."""
    driver: Any = connection.connection.dbapi_connection
    try:
        cursor: sqlite3.Cursor = driver.execute(text, *rows) if len(rows) < 2 else driver.executemany(text, rows)
    except sqlite3.Error as error:
        raise DBAPIError.instance(text, None, error, sqlite3.Error, hide_parameters=True) from error
    return cursor
