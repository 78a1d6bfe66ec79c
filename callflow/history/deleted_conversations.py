"""Conversations that an operator has deleted: hidden at once, removed from the database half a minute later.

Until then the deletion can be undone. The time of the removal stands in the database, so that it holds over a restart
and for all processes that share the history.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from sqlalchemy import ColumnElement, Connection, delete, func, insert, literal, select

from callflow.contracts.errors import StoreAway
from callflow.contracts.repeated_warnings import RepeatedWarnings
from callflow.history.database import Database
from callflow.history.tables import conversations, hidden_conversations
from callflow.history.write_errors import unexplained


log = logging.getLogger(__name__)
_warnings: Final = RepeatedWarnings(log, seconds=300.0)

UNDO_SECONDS: Final = 30.0
"""How long a deletion can be undone."""
_LOOK_SECONDS: Final = 10.0
"""How often to look for what other processes have hidden."""
_MANY: Final = 200

_table = hidden_conversations.c
VISIBLE: Final[ColumnElement[bool]] = conversations.c.id.not_in(select(_table.conversation_id))
"""Holds for conversations that nobody has deleted."""


def deleted_calls() -> Any:
    """Return the query for our ids of the calls that are hidden."""
    calls = select(conversations.c.call_id).join(hidden_conversations)
    return calls.where(conversations.c.call_id.is_not(None))


class DeletedConversations:
    """The table of hidden conversations: those that are removed soon, unless the deletion is undone. All times are
    Unix time, in seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def hide(self, conversation: int, until: float) -> bool:
        """Hide a conversation. `until`: when it is to be deleted (Unix time, seconds). False: it is live, hidden, or
        not there."""
        over = conversations.c.ended_at.is_not(None) | conversations.c.call_id.is_(None)
        row = select(conversations.c.id, literal(until)).where(conversations.c.id == conversation, over, VISIBLE)
        wanted = insert(hidden_conversations).from_select(["conversation_id", "until"], row)
        wanted = wanted.execution_options(preserve_rowcount=True)
        return await self._database.write(lambda connection: connection.execute(wanted).rowcount) > 0

    async def restore(self, conversation: int, now: float) -> bool:
        """Show a conversation again. False: it is not hidden, or too late: somebody may be deleting it."""
        wanted = delete(hidden_conversations).where(_table.conversation_id == conversation, _table.until > now)
        return await self._database.write(lambda connection: connection.execute(wanted).rowcount) > 0

    async def listed(self, now: float) -> list[dict[str, Any]]:
        """Return the conversations whose deletion can be undone, the last one first: `id` (ours, or the stream's),
        `began` (ISO 8601), `caller`, `until` (Unix time, in seconds)."""
        of = conversations.c
        wanted = select(of.call_id, of.stream_sid, of.started_at, of.caller_number, _table.until)
        wanted = wanted.select_from(conversations.join(hidden_conversations)).where(_table.until > now)
        wanted = wanted.order_by(_table.until.desc()).limit(_MANY)

        def work(connection: Connection) -> list[dict[str, Any]]:
            return [
                {
                    "id": row.call_id or row.stream_sid, "began": row.started_at, "caller": row.caller_number,
                    "until": row.until,
                }
                for row in connection.execute(wanted)
            ]  # fmt: skip

        return await self._database.read(work)

    async def due(self, now: float) -> tuple[list[int], float | None]:
        """Return the conversations that are to be deleted now, and when the next is; None: no other is."""
        ready = select(_table.conversation_id).where(_table.until <= now).limit(_MANY)
        later = select(func.min(_table.until)).where(_table.until > now)

        def work(connection: Connection) -> tuple[list[int], float | None]:
            return list(connection.execute(ready).scalars()), connection.execute(later).scalar()

        return await self._database.read(work)


class Deletes(Protocol):
    """What has a clock and the table of hidden conversations, and can remove conversations."""

    @property
    def now(self) -> Callable[[], float]: ...

    @property
    def deleted(self) -> DeletedConversations: ...

    async def delete(self, ids: Sequence[int]) -> None: ...


class Deletions:
    """Removes hidden conversations when their time has come."""

    def __init__(self, history: Deletes) -> None:
        self._history = history
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Look at once when the next is due."""
        self._wake.set()

    async def run(self) -> None:
        """Delete what is due, until cancelled; a database that refuses is asked again."""
        while True:
            pause = _LOOK_SECONDS
            try:
                pause = min(await self.run_once(), pause)
            except StoreAway as error:
                _warnings.say("store", "calls that are hidden cannot be deleted yet, for their recordings: %s", error)
            except Exception as error:
                _warnings.say(
                    "trouble",
                    "calls that are hidden could not be deleted; it is tried again: %s",
                    type(error).__name__,
                    exc_info=unexplained(error),
                )
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def run_once(self) -> float:
        """Delete what is due. Returns in how many seconds the next is."""
        self._wake.clear()
        while True:
            now = self._history.now()
            ids, following = await self._history.deleted.due(now)
            if not ids:
                return _LOOK_SECONDS if following is None else max(following - now, 0.0)
            await self._history.delete(ids)
            await asyncio.sleep(0.05)  # the journal's turn
