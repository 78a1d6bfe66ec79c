"""Statements of SQL that are written once for each kind of database.

SQLAlchemy finds a statement that it has written before, and then reads its parameters and prepares its result, which
takes several times what SQLite takes to run it. The journal runs some thirty for each call, all of them known before
the first one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

from sqlalchemy import ClauseElement, Connection, CursorResult, Dialect
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

    def run(self, connection: Connection, *rows: Mapping[str, Any]) -> CursorResult[Any]:
        """Run it, once for each of these rows of values. Raises KeyError where a value is missing."""
        dialect = connection.dialect
        text, order, fixed = self._written.get(dialect.name) or self._write(dialect)
        values = [tuple([row[name] if name in row else fixed[name] for name in order]) for row in rows]
        return connection.exec_driver_sql(text, values)

    def _write(self, dialect: Dialect) -> _Written:
        compiler = cast(SQLCompiler, self._statement.compile(dialect=dialect, column_keys=self._columns or None))
        fixed = {name: bound.effective_value for name, bound in compiler.binds.items() if not bound.required}
        written = self._written[dialect.name] = _Written(compiler.string, compiler.positiontup or (), fixed)
        return written
