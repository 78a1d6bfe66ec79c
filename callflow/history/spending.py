"""What calls have taken, by day: minutes of those that were answered, and what engine and carrier have cost.

It is asked every few seconds. On a day of many calls, the sums of the older ones that are over are kept for some
minutes, so that each look reads only the calls of the last while, and the older ones that were not over.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Connection, Float, Integer, func, or_, select, union_all

from callflow.contracts.event import HUMAN, LED, PART_OF
from callflow.contracts.events import CallInitiated
from callflow.history.database import Database
from callflow.history.node_tables import claims
from callflow.history.spent_calls import PROFILE, TAKEN, spent_calls
from callflow.history.tables import IS_PART, conversations, iso, steps
from callflow.journal import notes


_of, _gone = conversations.c, spent_calls.c
_OF_LEGS: Final = (notes.Ids.kind, CallInitiated.name)
"""The entries of a journal that name further legs."""
_SUMMED: Final = tuple(column.name for column in TAKEN)
_SOME: Final = 500
"""Names in one statement."""
_MANY: Final = 2_000
"""Calls of a day from which on sums are kept: fewer are read in some milliseconds."""
_KEPT_SECONDS: Final = 300.0
"""How long sums are kept, and with that how late a cost may count that a carrier tells of an older call."""
_WRITTEN_SECONDS: Final = 600.0
"""A call that has begun so long ago is in the database, but after a longer outage: then it counts a little later."""


class Sums(NamedTuple):
    """What the ended calls of one profile, or of one caller, have taken."""

    name: str
    calls: int
    seconds: float
    engine_usd: float
    carrier_usd: float
    unpriced_seconds: float


class Running(NamedTuple):
    """A live call of another node. Times are Unix times, in seconds."""

    call: str
    began: float
    profile: str
    caller: str
    answered_at: float | None
    """None: not yet, or it is a part of another call, whose minutes count there."""
    engine_usd: float | None
    """So far. None: it is not known."""
    carrier_usd: float
    is_part: bool
    is_led: bool
    """It has another side, a call of its own, and what the model costs counts there."""


class Leg(NamedTuple):
    """A leg at a carrier."""

    carrier: str
    control: str
    """As of `LegIds`."""


class _Kept(NamedTuple):
    """The sums of a day's older calls."""

    day: str
    """When the day begins, as in the database."""
    until: str
    """They have begun before that."""
    read_at: float
    """In seconds of the monotonic clock."""
    sums: Sequence[Sums]
    live: Sequence[str]
    """Calls that have begun before that and are not in the sums, because they were not over."""


class SpendingStore:
    """The sums in the history. All times are Unix time, in seconds. Every method raises what the driver raises."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: _Kept | None = None

    async def of_profiles(
        self, begins: float, ends: float, lately: Sequence[str], me: str = ""
    ) -> tuple[list[Sums], set[str], list[Running]]:
        """Return what the ended calls took that began in this time (Unix time, seconds), by profile ("": none), which
        of the calls `lately` are among them, and the calls of that time that other nodes have. Calls that were deleted
        are among them, too.

        `me`: the name of this node in a cluster; "": it serves alone, and there are none.
        """
        ended = _within(begins, ends)
        gone = (_gone.started_at >= iso(begins), _gone.started_at < iso(ends))

        def work(connection: Connection) -> tuple[list[Sums], set[str], list[Running]]:
            # The other nodes' calls first: one that ends in between counts twice for a moment, and not less than once.
            others = _elsewhere(connection, me, iso(begins), iso(ends)) if me else []
            # First which, then how much, for the same reason.
            there: set[str] = set()
            for begin in range(0, len(lately), _SOME):
                some = lately[begin : begin + _SOME]
                there |= set(connection.execute(select(_of.call_id).where(*ended, _of.call_id.in_(some))).scalars())
                there |= set(connection.execute(select(_gone.call).where(*gone, _gone.call.in_(some))).scalars())
            return self._of_profiles(connection, begins, ends), there, others

        return await self._database.read(work)

    def _of_profiles(self, connection: Connection, begins: float, ends: float) -> list[Sums]:
        day, end, now = iso(begins), iso(ends), time.monotonic()
        kept = self._kept
        if kept is None or kept.day != day or now - kept.read_at > _KEPT_SECONDS:
            kept = self._kept = None
        newer = _read(connection, day if kept is None else kept.until, end)
        if kept is not None:
            return _together([*kept.sums, *_read_those(connection, kept.live), *newer])
        if sum(each.calls for each in newer) >= _MANY:
            until = min(iso(time.time() - _WRITTEN_SECONDS), end)
            older = select(_of.call_id, _of.started_at).where(
                _of.started_at >= day, _of.started_at < until, _of.ended_at.is_(None), _of.call_id.is_not(None)
            )
            live = connection.execute(older.order_by(_of.started_at).limit(_SOME + 1)).all()
            if len(live) > _SOME:  # of those that have begun later, each look reads all
                until = live[_SOME].started_at
            if until > day:
                names = [one.call_id for one in live[:_SOME]]
                self._kept = _Kept(day, until, now, _read(connection, day, until, but=names), names)
        return newer

    async def of_callers(self, begins: float, ends: float, most: int) -> list[Sums]:
        """Return what the ended calls took by the number of the other side, the dearest first; those that are deleted
        have none any more."""
        caller = func.coalesce(_of.caller_number, "").label("caller")
        every = select(caller, *TAKEN).where(*_within(begins, ends)).subquery().c
        cost = func.sum(every.engine_usd + every.carrier_usd)
        sums = select(every.caller, *_sums(every)).group_by(every.caller)
        sums = sums.order_by(cost.desc(), func.sum(every.seconds).desc(), every.caller).limit(most)
        return await self._database.read(lambda connection: [Sums(*row) for row in connection.execute(sums)])

    async def without_price(self, carriers: Sequence[str], since: float, most: int) -> list[str]:
        """Return the newest ended calls, begun since then, of which these carriers have told no cost."""
        led = (_of.carrier_session_id.startswith(f"{LED}{name}:") for name in carriers)
        wanted = (
            select(_of.call_id)
            .where(
                _of.started_at >= iso(since), _of.ended_at.is_not(None), _of.answered_at.is_not(None),
                or_(_of.carrier.in_(list(carriers)), *led), _of.carrier_usd.is_(None), _of.call_id.is_not(None),
            )
            .order_by(_of.id.desc())
            .limit(most)
        )  # fmt: skip
        return await self._database.read(lambda connection: list(connection.execute(wanted).scalars()))

    async def legs_of(self, call: str) -> list[Leg]:
        """Return the legs of a call: its own, those of people to whom it went, and the one that led it to us."""
        own = select(_of.carrier, _of.carrier_call_id).where(_of.call_id == call)
        alike = or_(*(steps.c.event.startswith(f'{{"event":"{name}"', autoescape=True) for name in _OF_LEGS))
        told = select(steps.c.event).where(steps.c.call == call, alike).order_by(steps.c.id)

        def work(connection: Connection) -> list[Leg]:
            row = connection.execute(own).first()
            if row is None:
                return []
            found = [Leg(row.carrier or "", row.carrier_call_id or "")]
            for event in map(msgspec.json.decode, connection.execute(told).scalars()):
                if event.get("of") == HUMAN:
                    found.append(Leg(found[0].carrier, str(event.get("control", ""))))
                elif linked := str(event.get("linked", "")):
                    carrier, _, control = linked.partition(":")
                    found.append(Leg(carrier, control))
            return [leg for leg in dict.fromkeys(found) if leg.control]

        return await self._database.read(work)


def _sums(of: Any) -> list[ColumnElement[Any]]:
    """Return the sums of these columns, in the order of `Sums`."""
    return [func.sum(of[name], type_=Integer if name == "calls" else Float).label(name) for name in _SUMMED]


def _read(connection: Connection, begins: str, ends: str, *, but: Sequence[str] = ()) -> list[Sums]:
    """Return what the ended calls took, by profile, that began in this time. `but`: without these calls."""
    of = (_of.started_at >= begins, _of.started_at < ends, *([_of.call_id.not_in(but)] if but else []))
    gone = (_gone.started_at >= begins, _gone.started_at < ends, *([_gone.call.not_in(but)] if but else []))
    return _of_both(connection, of, gone)


def _read_those(connection: Connection, calls: Sequence[str]) -> list[Sums]:
    """Return what those of these calls took, by profile, that have ended."""
    return _of_both(connection, (_of.call_id.in_(calls),), (_gone.call.in_(calls),)) if calls else []


def _of_both(
    connection: Connection, of: Sequence[ColumnElement[bool]], gone: Sequence[ColumnElement[bool]]
) -> list[Sums]:
    """Return the sums of the ended calls for which `of` holds, and of the deleted ones for which `gone` does."""
    # One statement, so that a call that is deleted meanwhile counts once.
    kept = select(_gone.profile, *(_gone[name] for name in _SUMMED)).where(*gone)
    ended = select(PROFILE.label("profile"), *TAKEN).where(*of, _of.ended_at.is_not(None))
    every = union_all(ended, kept).subquery()
    sums = select(every.c.profile, *_sums(every.c)).group_by(every.c.profile)
    return [Sums(*row) for row in connection.execute(sums)]


def _together(sums: Sequence[Sums]) -> list[Sums]:
    """Return one sum for each name."""
    found: dict[str, list[Sums]] = {}
    for each in sums:
        found.setdefault(each.name, []).append(each)
    return [Sums(name, *map(sum, zip(*(one[1:] for one in each), strict=True))) for name, each in found.items()]


def _elsewhere(connection: Connection, me: str, begins: str, ends: str) -> list[Running]:
    """Return the live calls of the other nodes that began in this time."""
    # By name: a join is read through all calls of the day.
    names = list(connection.execute(select(claims.c.call).where(claims.c.node != me)).scalars())
    caller = func.coalesce(_of.caller_number, "")
    wanted = select(
        _of.call_id, _of.started_at, PROFILE, caller, _of.answered_at, _of.cost_usd, _of.carrier_usd, IS_PART
    ).where(_of.ended_at.is_(None))
    found = list[Running]()
    for begin in range(0, len(names), _SOME):
        rows = connection.execute(wanted.where(_of.call_id.in_(names[begin : begin + _SOME])))
        found += [_running(*row) for row in rows if begins <= row.started_at < ends]
    led = _led(connection, [one for one in found if one.engine_usd is None and not one.is_part])
    return [one._replace(is_led=one.call in led) for one in found]


def _led(connection: Connection, calls: Sequence[Running]) -> set[str]:
    """Return which of these calls have another side, a call of its own, which began after they did."""
    led = set[str]()
    for begin in range(0, len(calls), _SOME):
        some = calls[begin : begin + _SOME]
        parts = select(_of.carrier_session_id).where(
            _of.started_at >= iso(min(one.began for one in some)),
            _of.carrier_session_id.in_([f"{PART_OF}{one.call}" for one in some]),
        )
        led |= {part.removeprefix(PART_OF) for part in connection.execute(parts).scalars()}
    return led


def _begun(begins: float, ends: float) -> tuple[ColumnElement[bool], ...]:
    return _of.started_at >= iso(begins), _of.started_at < iso(ends)


def _within(begins: float, ends: float) -> tuple[ColumnElement[bool], ...]:
    return *_begun(begins, ends), _of.ended_at.is_not(None)


def _running(
    call: str, began: str, profile: str, caller: str, answered: str | None, usd: float | None, carrier: float | None,
    is_part: bool,
) -> Running:  # fmt: skip
    answered_at = _unix(answered) if answered and not is_part else None
    return Running(call, _unix(began), profile, caller, answered_at, usd, carrier or 0.0, bool(is_part), is_led=False)


def _unix(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
