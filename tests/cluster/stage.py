"""Nodes that share a real database, and write their journals to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from sqlalchemy import Connection

from callflow.cluster import node_store
from callflow.cluster.claims import Claims
from callflow.cluster.nodes import Node
from callflow.history.database import Database, url_of
from callflow.history.journal_writer import DurableJournal
from callflow.journal.journal import JournalEntry
from callflow.journal.notes import Began


_Found = TypeVar("_Found")


CALL = "11111111-1111-4111-8111-111111111111"


OTHER = "22222222-2222-4222-8222-222222222222"


class Stage:
    """Nodes that share one history."""

    def __init__(self, url: str) -> None:
        self.database = Database(url_of(url, ""))
        self.journals: list[DurableJournal] = []
        self.keys: dict[str, tuple[str, int]] = {}

    async def open(self) -> Stage:
        await self.database.migrate()
        return self

    async def node(self, name: str) -> tuple[DurableJournal, Claims]:
        journal, claims = DurableJournal(), Claims()
        epoch = await self.run(lambda connection: node_store.join(connection, Node(name=name, epoch=0)))
        claims.key = self.keys[name] = (name, epoch)
        journal.fence = claims
        journal.open(self.database)
        self.journals.append(journal)
        return journal, claims

    async def run(self, work: Callable[[Connection], _Found]) -> _Found:
        return await self.database.write(work)

    async def owner(self, call: str = CALL) -> tuple[str, bool]:
        return await self.run(lambda connection: node_store.owner(connection, call))

    async def close(self) -> None:
        for journal in self.journals:
            await journal.close()
        await self.database.close()


def began(call: str = CALL) -> JournalEntry:
    return JournalEntry.of(Began(carrier="telnyx", direction="inbound"), call=call, at=1.0)


def step(call: str = CALL) -> JournalEntry:
    return JournalEntry(call, 1, 2.0, {"event": "call_initiated"}, "ringing", "ringing", True)


@asynccontextmanager
async def staged(url: str) -> AsyncIterator[Stage]:
    stage = await Stage(url).open()
    try:
        yield stage
    finally:
        await stage.close()
