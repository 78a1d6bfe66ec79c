"""Figures of many calls: how many by the hour, how long, how fast the answers were, what they cost, how they ended.

The database counts; what comes back has a bound. Of more calls than `MOST_CALLS` the newest are counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import JSON, BigInteger, ColumnElement, Connection, Float, Integer, Select, case, cast, func, select

from callflow.contracts.event import PART_OF
from callflow.history.database import Database
from callflow.history.query import Query, select_conversations
from callflow.history.tables import conversations, items


MOST_CALLS: Final = 20_000
_MOST_GROUPS: Final = 5_000
"""Rows of one count."""
_HOUR: Final = 13
"""Characters of a time until its hour: `2026-01-31T12`."""
_of: Final = conversations.c


def _answered(ours: ColumnElement[Any], earlier: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return a column of ours that a conversation of an earlier system lacks: it kept only what was answered, from the
    beginning on."""
    return case((_of.call_id.is_(None), func.coalesce(ours, earlier)), else_=ours).label(ours.key)


_COLUMNS: Final = (
    *(
        _of[name]
        for name in (
            "id", "carrier_session_id", "started_at", "ended_at", "interruptions", "first_word_ms", "hangup_cause",
            "cost_usd", "carrier_usd", "usage", "profile", "carrier", "direction",
        )
    ),
    _answered(_of.answered_at, _of.started_at),
    _answered(_of.answered_seconds, _of.duration_seconds),
)  # fmt: skip


class Statistics:
    """Counts one question at a time, so that readers of single calls need not wait long."""

    def __init__(self, database: Database, *, country: str) -> None:
        """`country`: of numbers without a country code."""
        self._database, self._country = database, country
        self._turn = asyncio.Lock()

    async def of(self, query: Query) -> dict[str, Any]:
        """Return the figures of the calls that a query finds; its limit and paging do not matter.

        `calls`: numbers and sums, `whole` is False where there are more than were counted. `hours`: [hour in UTC as
        `2026-01-31T12`, calls, answered]. `endings`: [cause, whether the caller heard the agent, calls]. `profiles`,
        `carriers`, `directions`: [name, calls, answered], the most first. `talked` (s) and `latency` (ms): [value, how
        often], by value. Raises BadQuery, or what the driver raises.
        """
        wanted = await asyncio.to_thread(self._selected, query)
        async with self._turn:
            return await self._database.read(lambda connection: self._count(connection, wanted))

    def _selected(self, query: Query) -> Select[Any]:
        all_of_it = replace(query, limit=1, offset=0, before=0)
        chosen = select_conversations(all_of_it, self._database.is_sqlite, self._country)
        return chosen.with_only_columns(*_COLUMNS, maintain_column_froms=True).limit(MOST_CALLS + 1)

    def _count(self, connection: Connection, wanted: Select[Any]) -> dict[str, Any]:
        of = wanted.limit(MOST_CALLS).subquery("chosen").c
        is_whole = func.coalesce(of.carrier_session_id, "").not_like(f"{PART_OF}%")
        answered = func.sum(case((of.answered_at.is_not(None) & is_whole, 1), else_=0), type_=Integer)

        def groups(column: ColumnElement[Any], *more: ColumnElement[Any], by_name: bool = False) -> list[list[Any]]:
            asked = (
                select(column, *more, func.count().label("n"), answered.label("m"))
                .group_by(column, *more)
                .where(is_whole)
            )
            asked = asked.order_by(column.desc() if by_name else func.count().desc()).limit(_MOST_GROUPS)
            return [list(row) for row in connection.execute(asked)]

        def values(column: ColumnElement[Any], *conditions: ColumnElement[bool]) -> list[list[int]]:
            asked = select(column, func.count()).where(*conditions).group_by(column).order_by(column)
            asked = asked.limit(_MOST_GROUPS)
            return [[int(value), int(count)] for value, count in connection.execute(asked)]

        heard = case((of.first_word_ms.is_not(None), 1), else_=0)
        ended = case((of.ended_at.is_not(None), func.coalesce(of.hangup_cause, "")), else_=None)
        seconds = cast(func.round(of.answered_seconds), Integer)
        return {
            "calls": self._sums(connection, of, answered, is_whole, wanted),
            "hours": sorted(groups(func.substr(of.started_at, 1, _HOUR), by_name=True)),
            "endings": [[cause, bool(was_heard), count] for cause, was_heard, count, _ in groups(ended, heard)],
            "profiles": groups(func.coalesce(of.profile, "")),
            "carriers": groups(func.coalesce(of.carrier, "")),
            "directions": groups(func.coalesce(of.direction, "inbound")),
            "talked": values(seconds, of.answered_seconds.is_not(None), is_whole),
            "latency": values(
                self._total_ms(), items.c.conversation_id.in_(select(of.id)), items.c.latency.is_not(None)
            ),
        }

    def _sums(
        self,
        connection: Connection,
        of: Any,
        answered: ColumnElement[Any],
        is_whole: ColumnElement[bool],
        wanted: Select[Any],
    ) -> dict[str, Any]:
        def total(column: ColumnElement[Any]) -> ColumnElement[Any]:
            return func.coalesce(func.sum(column, type_=Float), 0.0)

        unpriced = case((of.usage.is_not(None) & of.cost_usd.is_(None), 1), else_=0)
        columns: Sequence[ColumnElement[Any]] = (
            func.count().label("rows"),
            func.coalesce(func.sum(case((is_whole, 1), else_=0), type_=Integer), 0).label("all"),
            func.coalesce(answered, 0).label("answered"),
            func.coalesce(func.sum(case((of.ended_at.is_not(None) & is_whole, 1), else_=0), type_=Integer), 0).label(
                "over"
            ),
            func.coalesce(func.sum(of.interruptions, type_=Integer), 0).label("interruptions"),
            total(case((is_whole, of.answered_seconds), else_=None)).label("seconds"),
            total(of.cost_usd).label("engine_usd"),
            total(of.carrier_usd).label("carrier_usd"),
            func.coalesce(func.sum(unpriced, type_=Integer), 0).label("unpriced"),
        )
        found = dict(connection.execute(select(*columns)).one()._mapping)
        more = select(func.count()).select_from(wanted.subquery("more"))
        found["whole"] = found.pop("rows") < MOST_CALLS or int(connection.execute(more).scalar_one()) <= MOST_CALLS
        return found

    def _total_ms(self) -> ColumnElement[Any]:
        """Return the SQL of an answer's latency."""
        if self._database.is_sqlite:
            return cast(func.json_extract(items.c.latency, "$.total_ms"), Integer)
        return cast(func.json_extract_path_text(cast(items.c.latency, JSON), "total_ms"), BigInteger)


def percentile(values: Sequence[Sequence[int]], share: float) -> int | None:
    """Return the value below or at which this share of all lies; None: there is none. `values`: [value, how often],
    by value."""
    left = share * sum(count for _, count in values)
    for value, count in values:
        left -= count
        if left <= 0:
            return value
    return None
