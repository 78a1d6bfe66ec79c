"""Lists the numbers of all carriers, points them at this server, and puts back where they led before.

What a carrier holds is kept before it is changed, so that whatever happens then can be undone, also by another process.
An undo puts back only what is still as it was set from here: what somebody else has changed meanwhile is left alone,
unless that is asked for.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from callflow.contracts import addresses
from callflow.contracts.carrier import Carrier
from callflow.contracts.e164 import is_subscriber
from callflow.contracts.errors import CarrierError, DatabaseError, NumberRefused
from callflow.contracts.numbers import OwnNumber, Part, Pointed, PointingPlan, Value
from callflow.contracts.printable import quoted
from callflow.history.pointed_numbers import PointedNumbers
from callflow.switchboard.shielded_changes import ShieldedChanges


log = logging.getLogger(__name__)

_SECONDS: Final = 60.0
"""For one whole change, or list."""

_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class Listing:
    """The numbers of all accounts."""

    numbers: Sequence[tuple[OwnNumber, Pointed | None]]
    """Each with what is kept for its undo."""
    problems: Sequence[str]
    """Sentences about what could not be looked up."""


class NumberService:
    """Changes numbers one after another. Every method raises NumberRefused, or what the database's driver raises."""

    def __init__(
        self,
        carriers: Sequence[Carrier],
        kept: PointedNumbers,
        normal: Callable[[str], str],
        *,
        shielded: ShieldedChanges,
        may_release: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`normal`: brings a number as people write it into E.164. `shielded`: whoever closes the carriers waits for
        it. `may_release`: the setting ALLOW_NUMBER_RELEASE. `now`: Unix time, in seconds."""
        self._carriers = {carrier.name: carrier for carrier in carriers}
        self._kept, self._normal, self._may_release, self._now = kept, normal, may_release, now
        self._one_at_a_time = asyncio.Lock()
        self._shielded = shielded

    async def listed(self, address: str) -> Listing:
        """List all numbers. `address`: our public address; "": not known, so that none is here."""
        names = list(self._carriers)
        asked = (self._ask(name, self._carriers[name].numbers.list_numbers(address)) for name in names)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        problems, found = _apart(answers)
        try:
            kept = {(one.carrier, one.number): one for one in sorted(await self._kept.all(), key=_temporary_last)}
        except (SQLAlchemyError, DatabaseError, OSError) as error:
            kept = {}
            problems.append(f"What numbers led to before cannot be read from the history ({type(error).__name__}).")
        numbers = [(one, kept.get((one.carrier, one.number))) for some in found for one in some]
        return Listing(sorted(numbers, key=lambda row: (row[0].number, row[0].carrier)), problems)

    async def plan(self, number: str, address: str, carrier: str = "") -> PointingPlan:
        """Look up what has to be changed so that the calls of a number come to `address`; nothing is changed yet.

        `carrier`: whose number it is; "": of whichever account has it."""
        plain, names = self._plain(number), self._named(carrier)
        asked = (self._ask(name, self._carriers[name].numbers.plan(plain, address)) for name in names)
        problems, answers = _apart(await asyncio.gather(*asked, return_exceptions=True))
        return self._only([plan for plan in answers if plan is not None], plain, problems)

    async def point(self, plan: PointingPlan, *, temporary: bool = False) -> Pointed:
        """Carry a plan out. `temporary`: only until the server stops; see `Pointed`."""
        return await self._to_its_end(self._point(plan, temporary))

    async def undo(self, number: str, carrier: str = "", *, yes: bool = False, temporary: bool = False) -> list[str]:
        """Put back where a number led before it was pointed here; returns a line for each thing that was put back.

        `yes`: also what somebody else has changed meanwhile. `temporary`: only what was pointed until the stop.
        """
        return await self._to_its_end(self._undo(self._plain(number), carrier, yes, temporary))

    async def release(self, number: str, confirm: object, carrier: str = "") -> str:
        """Give a number back to its carrier, for ever. `confirm`: the number once more, as somebody has typed it.
        Returns the number."""
        plain = self._plain(number)
        if not isinstance(confirm, str) or self._normal(confirm.strip()) != plain:
            raise NumberRefused(
                400, f"Releasing {plain} cannot be undone: confirm it with the number itself, typed once more."
            )
        if not self._may_release:
            raise NumberRefused(403, "Numbers are not released from here: set ALLOW_NUMBER_RELEASE=true and restart.")
        return await self._to_its_end(self._release(plain, carrier))

    # One change

    async def _point(self, plan: PointingPlan, temporary: bool) -> Pointed:
        name, number = plan.number.carrier, plan.number.number
        older = next((one for one in await self._kept.all() if _key(one) == (name, number, temporary)), None)
        parts = tuple(_merged(part, older) for part in plan.parts)
        pointed = Pointed(name, number, plan.address, parts, self._now(), temporary)
        await self._kept.put([pointed])
        account = self._carriers[name].numbers
        try:
            for part in plan.parts:
                if part.changes:
                    await self._ask(name, account.change(part.resource, part.changes))
        except NumberRefused as refused:
            raise NumberRefused(refused.status, *refused.reasons, await self._back_out(pointed, older)) from None
        log.info("a number of %s leads to %s now", name, addresses.shown(plan.address))
        return pointed

    async def _back_out(self, pointed: Pointed, older: Pointed | None) -> str:
        """Put back what was changed before a change failed. Returns a sentence about it."""
        if older is None:
            try:
                await self._undo(pointed.number, pointed.carrier, False, pointed.temporary)
                return "Nothing of it is left: what had been changed was put back."
            except (NumberRefused, SQLAlchemyError, OSError) as error:
                log.warning("a number that could only in part be pointed here is not put back: %s", error)
        return f"Some of it may be changed: undo {pointed.number} puts it back."

    async def _undo(self, number: str, carrier: str, yes: bool, temporary: bool) -> list[str]:
        everything = await self._kept.all()
        names = self._named(carrier)
        found = [one for one in everything if one.number == number and one.carrier in names]
        found = [one for one in found if one.temporary] or ([] if temporary else found)  # the last one first
        if not found:
            raise NumberRefused(404, f"Nothing is kept of {number}: it was not pointed from here, or was put back.")
        if len(found) > 1:
            raise NumberRefused(409, f"Several carriers have {number}: say which ({_listed(found)}).")
        (pointed,) = found
        others = [one for one in everything if one.carrier == pointed.carrier and one.number != number]
        told, foreign = list[str](), list[str]()
        back: list[tuple[str, dict[str, Value]]] = []
        for part in reversed(pointed.parts):
            if not part.changes:
                continue
            present = await self._present(pointed.carrier, part)
            if present is None:
                told.append(f"{part.resource} is not there any more")
                continue
            values: dict[str, Value] = {}
            for field in part.changes:
                handed = [_handed_over(one, part, field) for one in others]
                if handed != others:
                    others = handed
                    told.append(f"{field} stays as it is, because another number leads here through it")
                    continue
                before, now = part.before[field], present.get(field, "")
                if now == before:
                    continue
                if now != part.after[field]:
                    foreign.append(f"{field} is {shown(now)} now, which was not set from here")
                values[field] = before
                told.append(f"{field} is {shown(before)} again")
            if values:
                back.append((part.resource, values))
        if foreign and not yes:
            raise NumberRefused(409, *(f"{_sentence(line)}" for line in foreign), "Nothing was put back.")
        for resource, values in back:
            await self._ask(pointed.carrier, self._carriers[pointed.carrier].numbers.change(resource, values))
        await self._kept.replace([pointed], [one for one in others if one not in everything])
        log.info("a number of %s leads again to where it led before", pointed.carrier)
        return told

    async def _present(self, carrier: str, part: Part) -> Mapping[str, Value] | None:
        """Return what the fields of a part hold now; None: the carrier has no such resource any more."""
        try:
            async with asyncio.timeout(_SECONDS):
                return await self._carriers[carrier].numbers.values(part)
        except CarrierError as error:
            if error.gone:
                return None
            raise NumberRefused(502, _sentence(f"{carrier}: {error}")) from None

    async def _release(self, number: str, carrier: str) -> str:
        names = self._named(carrier)
        asked = (self._ask(name, self._carriers[name].number_id(number)) for name in names)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        problems, _ = _apart(answers)
        held = [(name, found) for name, found in zip(names, answers, strict=True) if found and isinstance(found, str)]
        name, number_id = self._only(held, number, problems)
        await self._ask(name, self._carriers[name].numbers.release(number_id))
        log.warning("a number was given back to %s", name)
        gone = [one for one in await self._kept.all() if (one.carrier, one.number) == (name, number)]
        await self._kept.replace(gone, ())
        return number

    # Its parts

    def _plain(self, number: str) -> str:
        plain = self._normal(number.strip())
        if not is_subscriber(plain):
            raise NumberRefused(400, f"{quoted(number)} is no telephone number: write it as +15550100002.")
        return plain

    def _named(self, carrier: str) -> list[str]:
        if carrier and carrier not in self._carriers:
            raise NumberRefused(400, f"There is no carrier {quoted(carrier)} here, but {', '.join(self._carriers)}.")
        return [carrier] if carrier else list(self._carriers)

    def _only(self, found: Sequence[_Found], number: str, problems: Sequence[str]) -> _Found:
        if len(found) == 1:
            return found[0]
        if found:
            raise NumberRefused(409, f"Several carriers have {number}: say which ({', '.join(self._carriers)}).")
        if problems:
            raise NumberRefused(502, *problems)
        raise NumberRefused(404, f"No account ({', '.join(self._carriers)}) has the number {number}.")

    async def _ask(self, carrier: str, work: Coroutine[Any, Any, _Found]) -> _Found:
        try:
            async with asyncio.timeout(_SECONDS):
                return await work
        except CarrierError as error:
            raise NumberRefused(502, _sentence(f"{carrier}: {error}")) from None
        except TimeoutError:
            raise NumberRefused(504, f"{carrier} does not answer in time.") from None

    async def _to_its_end(self, work: Coroutine[Any, Any, _Found]) -> _Found:
        """Finish a change even if its client is gone, one after another and within a minute each."""

        async def bounded() -> _Found:
            try:
                async with asyncio.timeout(_SECONDS), self._one_at_a_time:
                    return await work
            except TimeoutError:
                raise NumberRefused(504, "It took too long, and what was done of it can be undone.") from None
            finally:
                work.close()

        return await self._shielded(bounded())


def shown(value: Value) -> str:
    """Return what a field holds as it may be shown: addresses without passwords."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return (addresses.shown(value) if ":" in value else value) or "empty"


def previous(pointed: Pointed) -> Mapping[str, str]:
    """Return what an undo would put back, by the carrier's names of the fields, fit to be shown."""
    return {name: shown(part.before[name]) for part in pointed.parts for name in part.changes}


def _apart(answers: Sequence[_Found | BaseException]) -> tuple[list[str], list[_Found]]:
    """Return the problems among answers, and the other answers. Raises what is no NumberRefused."""
    problems, found = list[str](), list[_Found]()
    for answer in answers:
        if isinstance(answer, NumberRefused):
            problems += answer.reasons
        elif isinstance(answer, BaseException):
            raise answer
        else:
            found.append(answer)
    return problems, found


def _merged(part: Part, older: Pointed | None) -> Part:
    """Return a part that also undoes an earlier change of the same number, which is still as it was made."""
    for earlier in older.parts if older is not None else ():
        if earlier.resource == part.resource:
            before = {
                name: earlier.before.get(name, value) if value == earlier.after.get(name) else value
                for name, value in part.before.items()
            }
            return replace(part, before=before)
    return part


def _handed_over(other: Pointed, part: Part, field: str) -> Pointed:
    """Return what is kept of another number, with what it has to undo now: if it was pointed after this one, and found
    this field as we had set it, the field is its own from now on."""

    def parts() -> Iterator[Part]:
        for each in other.parts:
            if each.resource == part.resource and each.before.get(field) == part.after[field]:
                yield replace(each, before={**each.before, field: part.before[field]})
            else:
                yield each

    return replace(other, parts=tuple(parts()))


def _key(one: Pointed) -> tuple[str, str, bool]:
    return one.carrier, one.number, one.temporary


def _temporary_last(one: Pointed) -> bool:
    return one.temporary


def _listed(found: Sequence[Pointed]) -> str:
    return ", ".join(one.carrier for one in found)


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?")) else f"{text}."
