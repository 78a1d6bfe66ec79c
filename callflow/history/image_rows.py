"""The pictures that were shown to the model in a call: one row each, with a thumbnail. They go with the call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, func, select

from callflow.history.database import Database
from callflow.history.tables import conversations, images, iso


MOST: Final = 50
"""Of one call."""
_SHOWN: Final = (
    images.c.number, images.c.shown_at, images.c.shown_by, images.c.mime, images.c.width, images.c.height, images.c.size
)  # fmt: skip


async def add(
    database: Database, call: str, fields: Mapping[str, Any], pictures: Mapping[str, bytes], by: str, *, most: int
) -> int | None:
    """Keep one. `pictures`: `shown` and `thumbnail`. Raises what the driver raises.

    Returns its number within the call, from 1; None: the history has no such call; 0: it would be more than `most`
    bytes in all, or more than `MOST`.
    """

    def work(connection: Connection) -> int | None:
        conversation = connection.scalar(select(conversations.c.id).where(conversations.c.call_id == call))
        if conversation is None:
            return None
        of_call = select(
            func.count(), func.coalesce(func.sum(images.c.size), 0), func.coalesce(func.max(images.c.number), 0)
        )
        count, size, last = connection.execute(of_call.where(images.c.conversation_id == conversation)).one()
        if size + fields["size"] > most or count >= MOST:
            return 0
        row = {
            **fields, "conversation_id": conversation, "number": last + 1, "shown_by": by, **pictures,
            "shown_at": iso(datetime.now(UTC).timestamp()),
        }  # fmt: skip
        connection.execute(images.insert().values(row))
        return int(last) + 1

    return await database.write(work)


async def remove(database: Database, call: str, number: int) -> None:
    """Take one back, because it was not shown after all. Raises what the driver raises."""
    of_call = select(conversations.c.id).where(conversations.c.call_id == call).scalar_subquery()
    gone = images.delete().where(images.c.conversation_id == of_call, images.c.number == number)
    await database.write(lambda connection: connection.execute(gone))


async def of_conversation(database: Database, conversation: int) -> list[dict[str, Any]]:
    """Return the rows of a conversation's pictures, in order, without the pictures themselves: the columns of
    `_SHOWN`."""
    asked = select(*_SHOWN).where(images.c.conversation_id == conversation).order_by(images.c.number)
    return await database.rows(asked)


async def calls_with(database: Database, calls: Sequence[str]) -> set[str]:
    """Return which of these calls have any."""
    asked = select(conversations.c.call_id).join(images).where(conversations.c.call_id.in_(calls)).distinct()
    return await database.read(lambda connection: set(connection.scalars(asked)))


async def newest(database: Database, call: str, most: int) -> list[tuple[str, bytes]]:
    """Return the newest of a call as the model got them, with their types, oldest first."""
    of_call = select(conversations.c.id).where(conversations.c.call_id == call).scalar_subquery()
    asked = select(images.c.mime, images.c.shown).where(images.c.conversation_id == of_call)
    asked = asked.order_by(images.c.number.desc()).limit(most)
    found = await database.read(lambda connection: [(row.mime, row.shown) for row in connection.execute(asked)])
    return found[::-1]


async def thumbnail(database: Database, conversation: int, number: int) -> bytes | None:
    """Return one of them, as JPEG; None: there is none of this number."""
    asked = select(images.c.thumbnail).where(images.c.conversation_id == conversation, images.c.number == number)
    return await database.read(lambda connection: connection.scalar(asked))
