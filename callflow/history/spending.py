"""What calls have taken, by day: minutes of those that were answered, and what engine and carrier have cost."""

from __future__ import annotations

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


class SpendingStore:
    """The sums in the history. All times are Unix time, in seconds. Every method raises what the driver raises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_profiles(
        self, begins: float, ends: float, lately: Sequence[str], me: str = ""
    ) -> tuple[list[Sums], set[str], list[Running]]:
        """Return what the ended calls took that began in this time (Unix time, seconds), by profile ("": none), which
        of the calls `lately` are among them, and the calls of that time that other nodes have. Calls that were deleted
        are among them, too.

        `me`: the name of this node in a cluster; "": it serves alone, and there are none.
        """
        ended = _within(begins, ends)
        # One statement, so that a call that is deleted meanwhile counts once.
        gone = (_gone.started_at >= iso(begins), _gone.started_at < iso(ends))
        kept = select(_gone.profile, *(_gone[name] for name in _SUMMED)).where(*gone)
        every = union_all(select(PROFILE.label("profile"), *TAKEN).where(*ended), kept).subquery()
        sums = select(every.c.profile, *_sums(every.c)).group_by(every.c.profile)

        caller = func.coalesce(_of.caller_number, "")
        running = (
            select(
                _of.call_id, _of.started_at, PROFILE, caller, _of.answered_at, _of.cost_usd, _of.carrier_usd, IS_PART,
            )
            .join(claims, claims.c.call == _of.call_id)
            .where(claims.c.node != me, _of.ended_at.is_(None), *_begun(begins, ends))
        )  # fmt: skip
        parts = select(_of.carrier_session_id).where(IS_PART, *_begun(begins, ends))

        def work(connection: Connection) -> tuple[list[Sums], set[str], list[Running]]:
            # The other nodes' calls first: one that ends in between counts twice for a moment, and not less than once.
            found = connection.execute(running).all() if me else []
            led = {part.removeprefix(PART_OF) for part in connection.execute(parts).scalars()} if found else set()
            others = [_running(*row, is_led=row[0] in led) for row in found]
            # First which, then how much, for the same reason.
            there: set[str] = set()
            for begin in range(0, len(lately), 500):
                some = lately[begin : begin + 500]
                there |= set(connection.execute(select(_of.call_id).where(*ended, _of.call_id.in_(some))).scalars())
                there |= set(connection.execute(select(_gone.call).where(*gone, _gone.call.in_(some))).scalars())
            return [Sums(*row) for row in connection.execute(sums)], there, others

        return await self._database.read(work)

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


def _begun(begins: float, ends: float) -> tuple[ColumnElement[bool], ...]:
    return _of.started_at >= iso(begins), _of.started_at < iso(ends)


def _within(begins: float, ends: float) -> tuple[ColumnElement[bool], ...]:
    return *_begun(begins, ends), _of.ended_at.is_not(None)


def _running(
    call: str, began: str, profile: str, caller: str, answered: str | None, usd: float | None, carrier: float | None,
    is_part: bool, *, is_led: bool,
) -> Running:  # fmt: skip
    answered_at = _unix(answered) if answered and not is_part else None
    return Running(call, _unix(began), profile, caller, answered_at, usd, carrier or 0.0, bool(is_part), is_led)


def _unix(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
