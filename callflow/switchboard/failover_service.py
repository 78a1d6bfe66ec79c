"""Tells the carriers what to do when this server does not answer, and puts back what was set there before.

What a carrier holds is kept before it is changed, so that whatever happens then can be undone, also by another process.
Each change is read back. An undo puts back only what is still as it was set from here.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from callflow.config.profiles import Profiles
from callflow.config.settings import Settings
from callflow.contracts.carrier import Carrier
from callflow.contracts.diagnostics import Finding
from callflow.contracts.errors import CarrierError, NumberRefused
from callflow.contracts.failover import Failover, FailoverPlan, Provision
from callflow.contracts.numbers import Value
from callflow.history.provisions import Provisions


_SECONDS: Final = 60.0
"""For each question to a carrier, and each change."""
_MOST_SHOWN: Final = 5

_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class Undo:
    """What an undo has to do about one resource."""

    kept: Provision
    values: Mapping[str, Value]
    """Fields that are put back, with what they held before; empty: they hold it already, or the resource is gone."""
    foreign: tuple[str, ...] = ()
    """Fields that somebody else has changed meanwhile, in words."""
    is_gone: bool = False
    """The carrier has no such resource any more."""


def failover_of(settings: Settings, profiles: Profiles, address: str = "") -> Failover | None:
    """Return what the settings want; None: nothing. `address`: our public address; "": not known."""
    numbers = {name: chosen.fallback_number for name, chosen in profiles.all().items()}
    if not (settings.failover_url or any(numbers.values())):
        return None
    return Failover(address, settings.failover_url, lambda own: numbers[profiles.name_for(own)])


async def check_failover(carriers: Sequence[Carrier], wanted: Failover) -> list[Finding]:
    """Ask the carriers whether they hold what is wanted. Of one that cannot be asked nothing is said: others look
    whether its account answers."""
    if wanted.address and urlsplit(wanted.url).netloc == urlsplit(wanted.address).netloc:
        wanted = replace(wanted, url="")  # this is the second server
    held, untold = 0, list[str]()
    for carrier in carriers:
        with contextlib.suppress(NumberRefused):
            plan = await _ask(carrier.name, carrier.failover.plan(wanted))
            held += len(plan.provisions)
            untold += [f"{one.carrier}, {one.about}" for one in plan.provisions if one.part.changes]
    if untold:
        most = f"{'; '.join(untold[:_MOST_SHOWN])}{' …' if len(untold) > _MOST_SHOWN else ''}"
        what = f"carriers were not told what to do while this server does not answer: {most}"
        return [Finding("failover", "wrong", what, "run `python server.py provision`")]
    return [Finding("failover", "ok", "carriers know what to do while this server does not answer")] if held else []


class FailoverService:
    """Every method raises NumberRefused, or what the database's driver raises."""

    def __init__(self, carriers: Sequence[Carrier], kept: Provisions, *, now: Callable[[], float] = time.time) -> None:
        """`now`: Unix time, in seconds."""
        self._carriers = {carrier.name: carrier for carrier in carriers}
        self._kept, self._now = kept, now

    async def plan(self, wanted: Failover) -> list[FailoverPlan]:
        """Look up what is set in each account, and what has to be changed; nothing is changed yet."""
        return [await _ask(name, carrier.failover.plan(wanted)) for name, carrier in self._carriers.items()]

    async def apply(self, one: Provision) -> None:
        """Make one change, and read it back."""
        part = one.part
        older = next((each for each in await self._kept.all() if _key(each) == _key(one)), None)
        before = dict(part.before)
        for name, value in part.before.items() if older is not None else ():
            if older is not None and value == older.part.after.get(name):
                before[name] = older.part.before.get(name, value)  # an undo goes back behind our earlier change, too
        await self._kept.keep(replace(one, part=replace(part, before=before), at=self._now()))
        account = self._carriers[one.carrier].failover
        await _ask(one.carrier, account.change(part.resource, part.after))
        held = await _ask(one.carrier, account.values(part))
        for name, value in part.after.items():
            if held.get(name) != value:
                raise NumberRefused(
                    502, f"{one.carrier} has taken the change of the {one.about}, but {name} does not hold it."
                )

    async def undos(self, kept: Sequence[Provision]) -> list[Undo]:
        """Look up what an undo would do, the newest change first; nothing is changed yet. `kept`: all that are, oldest
        first."""
        return [await self._undo_of(one) for one in reversed(kept) if one.carrier in self._carriers]

    async def _undo_of(self, one: Provision) -> Undo:
        try:
            async with asyncio.timeout(_SECONDS):
                held = await self._carriers[one.carrier].failover.values(one.part)
        except CarrierError as error:
            if error.gone:
                return Undo(one, {}, is_gone=True)
            raise NumberRefused(502, f"{one.carrier}: {error}") from None
        except TimeoutError:
            raise NumberRefused(504, f"{one.carrier} does not answer in time.") from None
        back, foreign = dict[str, Value](), list[str]()
        for name, value in one.part.before.items():
            now = held.get(name, "")
            if now == value:
                continue
            back[name] = value
            if now != one.part.after.get(name):
                foreign.append(name)
        return Undo(one, back, tuple(foreign))

    async def undo(self, one: Undo) -> None:
        """Put one resource back, and keep it no more."""
        if one.values:
            account = self._carriers[one.kept.carrier].failover
            await _ask(one.kept.carrier, account.change(one.kept.part.resource, one.values))
        await self._kept.forget(one.kept)


async def _ask(carrier: str, work: Coroutine[Any, Any, _Found]) -> _Found:
    try:
        async with asyncio.timeout(_SECONDS):
            return await work
    except CarrierError as error:
        raise NumberRefused(502, f"{carrier}: {error}") from None
    except TimeoutError:
        raise NumberRefused(504, f"{carrier} does not answer in time.") from None


def _key(one: Provision) -> tuple[str, str]:
    return one.carrier, one.part.resource
