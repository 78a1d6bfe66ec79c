"""A database of an earlier system, or of an earlier version, read as it is: nothing in it is changed.

SQLite looks for a table among the temporary ones first. So views of this connection's own stand before the tables of
the file, with the columns and the form of the times that this version has; what was not kept then is NULL, or has no
rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, text

from callflow.history.tables import SAID, SEARCH, metadata


TIMES: Final = {
    "conversations": ("started_at", "ended_at", "created_at"),
    "conversation_items": ("timestamp", "created_at"),
}
"""Columns that the earlier system wrote in UTC without saying so: `2025-12-01 23:00:00`."""
_WORDS: Final = "words_of_content"


def zoned(column: str) -> tuple[str, str]:
    """Return SQL for a column of times: which of its values have another form than ours, and these in ours.

    `2025-12-01 23:00:00` and `2025-12-01T23:00:00Z` are `2025-12-01T23:00:00.000Z`.
    """
    seconds = f"substr({column}, 1, 10) || 'T' || substr({column}, 12, 8)"
    return f"{column} LIKE '____-__-__ __:__:__' OR {column} LIKE '____-__-__T__:__:__Z'", f"{seconds} || '.000Z'"


def words(content: str) -> str:
    """Return the words of an item whose content is a JSON array of parts."""
    try:
        parts = json.loads(content)
    except (ValueError, RecursionError):
        return ""
    found = [part.get("text") or part.get("transcript") or "" for part in parts if isinstance(part, dict)]
    return " ".join(word for word in found if isinstance(word, str) and word)


def stand_in(connection: Any, tables: Mapping[str, set[str]]) -> None:
    """Put the views before the tables that are there, given with the names of their columns."""
    connection.create_function(_WORDS, 1, lambda content: words(content) if isinstance(content, str) else "")
    for name, table in metadata.tables.items():
        there = tables.get(name, set())
        columns = ", ".join(f'{_value(name, each.name, there)} AS "{each.name}"' for each in table.columns)
        rows = f'main."{name}"' if there else "(SELECT 1) WHERE 0"
        connection.execute(f'CREATE TEMP VIEW "{name}" AS SELECT {columns} FROM {rows}').close()


def _value(table: str, column: str, there: set[str]) -> str:
    if column in TIMES.get(table, ()) and column in there:
        is_other, ours = zoned(column)
        return f"CASE WHEN {is_other} THEN {ours} ELSE {column} END"
    if column in there:
        return f'"{column}"'
    if (table, column) == ("conversation_items", "text") and "content" in there:
        return f"{_WORDS}(content)"
    return "NULL"


def fill_search(connection: Connection) -> None:
    """Gather the words of a database that is read through views, so that they can be searched on this connection."""
    is_older = connection.execute(text("SELECT 1 FROM sqlite_temp_master WHERE name = 'conversations'")).first()
    if is_older is None:
        return
    connection.execute(text("PRAGMA query_only=OFF"))
    connection.execute(text(f"CREATE VIRTUAL TABLE temp.{SEARCH} USING fts5(words)"))
    connection.execute(
        text(
            f"INSERT INTO temp.{SEARCH} (rowid, words) SELECT conversation_id, group_concat({SAID}, ' ') "
            "FROM conversation_items WHERE text <> '' GROUP BY conversation_id"
        )
    )
    connection.execute(text("PRAGMA query_only=ON"))
