"""`serve --point NUMBER`: the calls of a number come here while the server runs, and go where they went before when it
stops.

What it led to is kept in the database, so that a server that was killed can put it back as well: at its next end, or by
`numbers undo`.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING, Final, Self

from sqlalchemy.exc import SQLAlchemyError

from callflow.contracts import addresses
from callflow.contracts.errors import DatabaseError, NumberRefused
from callflow.history.pointed_numbers import PointedNumbers


if TYPE_CHECKING:
    from callflow.app import Application

_BACK_SECONDS: Final = 15.0
"""How long the end of the server waits for the carrier."""
_LOOK_SECONDS: Final = 1.0


class TemporaryPointing:
    """Use it as an async context manager, within that of the application: the tunnel is open until it ends."""

    def __init__(self, application: Application, number: str, *, yes: bool) -> None:
        """`number` "": none is pointed. `yes`: also where that does more than to this number."""
        self._application, self._number, self._yes = application, number, yes
        self._back: asyncio.Task[None] | None = None
        self._is_pointed = False

    async def __aenter__(self) -> Self:
        """Raises NumberRefused, and leaves nothing changed then."""
        if not self._number:
            return self
        application = self._application
        if not application.history.is_readable:
            raise NumberRefused(503, "Where the number of --point leads cannot be kept: the history is not open.")
        service, address = application.number_service, application.address.known
        plan = await service.plan(self._number, address)
        self._number = plan.number.number
        if plan.consequences and not self._yes:
            also = (f"Besides, {each}." for each in plan.consequences)
            raise NumberRefused(409, f"--point {self._number} would do more:", *also, "Say --yes to do it.")
        await service.point(plan, temporary=True)
        self._is_pointed = True
        _say(f"{self._number} ({plan.number.carrier}) leads to {addresses.shown(address)} until the stop.")
        return self

    async def __aexit__(self, *_: object) -> None:
        if (back := self.put_back()) is not None:
            await back

    def put_back(self) -> asyncio.Task[None] | None:
        """Begin to put the number back, once; new callers need not wait until the live calls are over."""
        if self._back is None and self._is_pointed:
            self._back = asyncio.create_task(self._put_back(), name="number put back")
        return self._back

    async def _put_back(self) -> None:
        try:
            async with asyncio.timeout(_BACK_SECONDS):
                told = await self._application.number_service.undo(self._number, temporary=True)
        except (NumberRefused, SQLAlchemyError, DatabaseError, OSError, TimeoutError) as error:
            why = self._application.history.database.trouble(error)
            what = f"{self._number} IS NOT PUT BACK ({why}): `python server.py numbers undo {self._number}` does it"
            print(what, file=sys.stderr, flush=True)
        else:
            _say(f"{self._number} is put back: {'; '.join(told) or 'it led there already'}.")


async def left_over(application: Application) -> list[str]:
    """Return a line for each number that a server before this one pointed until its stop, and could not put back."""
    if not application.history.is_readable:
        return []
    try:
        async with asyncio.timeout(_LOOK_SECONDS):
            kept = await PointedNumbers(application.history.database).all()
    except (SQLAlchemyError, OSError, TimeoutError):
        return []
    known = application.address.known
    return [
        f"{one.number} still leads to {addresses.shown(one.address)}, where an earlier start pointed it:"
        f" `python server.py numbers undo {one.number}` puts it back."
        for one in kept
        if one.temporary and one.address != known
    ]


def _say(text: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        print(text, flush=True)
