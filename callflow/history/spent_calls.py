"""What deleted calls have taken, kept for two days, so that nobody gets a day's budget back by deleting its calls.

Of such a call stay its id, when it began, its profile and its figures: no number, and nothing that was said.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Double,
    Integer,
    String,
    Table,
    Text,
    case,
    delete,
    func,
    select,
)

from callflow.history.tables import IS_PART, conversations, iso, metadata


_KEPT_SECONDS: Final = 2 * 86400.0
"""The day of a budget has 25 hours at most."""

spent_calls: Final = Table(
    "spent_calls",
    metadata,
    Column("call", String(36), primary_key=True),
    Column("started_at", Text, nullable=False),
    Column("profile", Text, nullable=False),
    Column("calls", Integer, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("engine_usd", Double, nullable=False),
    Column("carrier_usd", Double, nullable=False),
    Column("unpriced_seconds", Double, nullable=False),
)

_of = conversations.c
_ANSWERED: Final = func.coalesce(_of.answered_seconds, 0.0)
PROFILE: Final = func.coalesce(_of.profile, "")
TAKEN: Final[tuple[ColumnElement[Any], ...]] = (
    case((IS_PART, 0), else_=1).label("calls"),
    case((IS_PART, 0.0), else_=_ANSWERED).label("seconds"),
    func.coalesce(_of.cost_usd, 0.0).label("engine_usd"),
    func.coalesce(_of.carrier_usd, 0.0).label("carrier_usd"),
    case((_of.usage.is_not(None) & _of.cost_usd.is_(None), _ANSWERED), else_=0.0).label("unpriced_seconds"),
)
"""What one conversation has taken: calls and seconds of another one's part count there."""


def keep(connection: Connection, conversation_ids: Sequence[int], now: float) -> None:
    """Keep what these conversations have taken, which are about to be deleted, and forget what is too old to count.
    `now`: Unix time, in seconds."""
    oldest = iso(now - _KEPT_SECONDS)
    connection.execute(delete(spent_calls).where(spent_calls.c.started_at < oldest))
    taken = select(_of.call_id, _of.started_at, PROFILE, *TAKEN).where(
        _of.id.in_(conversation_ids), _of.call_id.is_not(None), _of.ended_at.is_not(None), _of.started_at >= oldest
    )  # fmt: skip
    insert: Any = importlib.import_module(f"sqlalchemy.dialects.{connection.dialect.name}").insert
    kept = insert(spent_calls).from_select([column.name for column in spent_calls.c], taken)
    connection.execute(kept.on_conflict_do_nothing())  # another node deletes the same call at this moment
