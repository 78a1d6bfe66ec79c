"""Conversations as a table for spreadsheets, a line each. Pure."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any, Final

from callflow.contracts.printable import line
from callflow.web.console.large_answers import shapes


_CSV: Final = (
    "id", "call_id", "stream_sid", "carrier", "direction", "caller_number", "phone_number", "started_at", "ended_at",
    "duration_seconds", "message_count", "interruptions", "first_word_ms", "hangup_cause", "hangup_source", "cost_usd",
    "profile", "recording", "phone_number_sid", "ended_because", "result",
)  # fmt: skip
_FORMULA: Final = ("=", "+", "-", "@")
"""Beginnings of a cell that a spreadsheet would run as a formula, also behind spaces and as full-width characters.
Telephone numbers with `+` are exempt."""


def head() -> bytes:
    """Return the first line, with the names of the columns."""
    return _csv_lines([_CSV])


def lines(page: Iterable[Mapping[str, Any]]) -> bytes:
    """Return the lines of these conversations. `page`: from the store."""
    return _csv_lines([row[name] for name in _CSV] for row in map(shapes.whole, page))


def _csv_lines(rows: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO()
    # Texts are quoted, so that numbers without a plus are masked for those who may only view.
    csv.writer(text, quoting=csv.QUOTE_NONNUMERIC).writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    if not isinstance(value, str) or re.fullmatch(r"\+[0-9]+", value):
        return value
    shown = line(value)
    begins = unicodedata.normalize("NFKC", shown.lstrip()[:1])
    return f"'{shown}" if begins.startswith(_FORMULA) else shown
