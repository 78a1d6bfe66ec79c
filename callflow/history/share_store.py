"""Links with which somebody without a token reads one call, for some days. Every method raises what the driver raises.

A link is an id and a secret. The secret is told once, to whoever makes the link; here is its SHA-256 only.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Any, Final

from sqlalchemy import Connection, delete, func, insert, select

from callflow.history.database import Database
from callflow.history.deleted_conversations import VISIBLE
from callflow.history.tables import conversations, share_links


MOST_DAYS: Final = 7
DAY: Final = 86400.0
_MOST_OF_CALL: Final = 20
_ID_BYTES, _SECRET_BYTES = 8, 32
_BETWEEN: Final = "-"
_ID: Final = re.compile(f"[0-9a-f]{{{2 * _ID_BYTES}}}")
_KEY: Final = re.compile(f"{_ID.pattern}{_BETWEEN}[0-9a-f]{{{2 * _SECRET_BYTES}}}")
_table = share_links.c


class ShareStore:
    """The table of links to one call. Links are dicts of its columns. All times are Unix time, in seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, conversation: int, by: str, now: float, days: int) -> tuple[str, dict[str, Any]] | None:
        """Make a link. Returns what must be known to use it, and its row; None: the call has too many."""
        name, secret = secrets.token_hex(_ID_BYTES), secrets.token_hex(_SECRET_BYTES)
        row = {
            "id": name, "digest": _digest(secret), "conversation_id": conversation, "created_at": now, "created_by": by,
            "expires_at": now + days * DAY,
        }  # fmt: skip
        of_call = select(func.count()).where(_table.conversation_id == conversation, _table.expires_at > now)

        def work(connection: Connection) -> bool:
            if (connection.execute(of_call).scalar() or 0) >= _MOST_OF_CALL:
                return False
            connection.execute(insert(share_links), row)
            return True

        return (f"{name}{_BETWEEN}{secret}", row) if await self._database.write(work) else None

    async def conversation(self, key: str, now: float) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Return the link that somebody knows, and the row of `tables.conversations` that it shows; None: there is
        none, or no more."""
        if not _KEY.fullmatch(key):
            return None
        name, _, secret = key.partition(_BETWEEN)
        row = await self.find(name)
        if row is None or not hmac.compare_digest(_digest(secret).encode(), row["digest"].encode()):
            return None
        if row["expires_at"] <= now:
            return None
        wanted = select(conversations).where(conversations.c.id == row["conversation_id"], VISIBLE)
        found = await self._first(wanted)
        return (row, found) if found is not None else None

    async def find(self, name: str) -> dict[str, Any] | None:
        """Return a link by its id; None: there is none."""
        return await self._first(select(share_links).where(_table.id == name))

    async def business(self, name: str) -> str | None:
        """Return the business whose call a link leads to; "": nobody's in particular; None: there is no such link."""
        if not _ID.fullmatch(name):
            return None
        of = select(conversations.c.business).join(share_links).where(_table.id == name)
        found = await self._first(of)
        return (found["business"] or "") if found is not None else None

    async def of_conversation(self, conversation: int, now: float) -> list[dict[str, Any]]:
        """Return the links of a conversation that still lead to it, the newest first."""
        wanted = select(share_links).where(_table.conversation_id == conversation, _table.expires_at > now)
        wanted = wanted.order_by(_table.created_at.desc()).limit(_MOST_OF_CALL)
        return await self._database.rows(wanted)

    async def revoke(self, name: str) -> bool:
        """Delete a link. False: there is none."""
        if not _ID.fullmatch(name):
            return False
        gone = delete(share_links).where(_table.id == name)
        return await self._database.write(lambda connection: connection.execute(gone).rowcount) > 0

    async def expire(self, now: float) -> None:
        """Delete the links that lead nowhere any more."""
        gone = delete(share_links).where(_table.expires_at <= now)
        await self._database.write(lambda connection: connection.execute(gone))

    async def _first(self, wanted: Any) -> dict[str, Any] | None:
        def work(connection: Connection) -> dict[str, Any] | None:
            row = connection.execute(wanted).first()
            return dict(row._mapping) if row is not None else None

        return await self._database.read(work)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
