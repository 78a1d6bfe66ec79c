"""Makes the bodies of large answers from the history, in pieces. Runs in the server and in a process of its own alike.

Each function yields pieces of JSON that belong one behind another. Raises what the database's driver raises.
"""

from __future__ import annotations

import asyncio
import functools
import pickle
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

from callflow.contracts.json_slices import PIECE, json_pieces
from callflow.contracts.printable import to_json
from callflow.history.query import Query
from callflow.history.store import Store
from callflow.journal.journal import JournalEntry
from callflow.mcp.http import Headers, McpEndpoint
from callflow.web.console.large_answers import csv_table, shapes


async def earlier(store: Store, row: Mapping[str, Any]) -> AsyncIterator[bytes]:
    """Yield a conversation and its items in the shape of the earlier system. `row`: from the store."""
    items = await store.items(row["id"])

    def told() -> dict[str, Any]:
        shown = [shapes.earlier_item(item, row["stream_sid"]) for item in items]
        items.clear()  # here, because freeing thousands of them takes its time, too
        return {**shapes.conversation(row), "items": shown}

    for piece in await asyncio.to_thread(lambda: json_pieces(told(), to_json)):
        yield piece


async def details(store: Store, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything known about a conversation: see `shapes.full`."""
    items = await store.items(row["id"])
    more = await store.details(row["id"])

    def told() -> dict[str, Any]:
        whole = shapes.full(row, items, more)
        items.clear()
        return whole

    return await asyncio.to_thread(told)


async def timeline(store: Store, row: Mapping[str, Any], call: str, after: int) -> AsyncIterator[bytes]:
    """Yield every step of a call that is over, without the first `after`, and its conversation."""
    entries = await store.journal(call)
    conversation = await details(store, row)
    for piece in await asyncio.to_thread(timeline_of, call, entries, after, conversation):
        yield piece


def timeline_of(call: str, entries: list[JournalEntry], after: int, conversation: dict[str, Any] | None) -> list[bytes]:
    """Return the pieces of `timeline`, and empty what they are made of. To be called in another thread."""
    pieces = json_pieces(shapes.timeline(call, entries[after:], conversation), to_json)
    entries.clear()
    if conversation is not None:
        conversation.clear()
    return pieces


async def json(store: Store, query: Query) -> AsyncIterator[bytes]:
    """Yield all conversations that the query finds, a line each, with everything that is known of each."""
    between = b"[\n"
    async for page in store.pages(query):
        for row in page:
            conversation = await details(store, row)
            first, *others = await asyncio.to_thread(_pieces_of, conversation)
            yield between + first
            for piece in others:
                yield piece
            between = b",\n"
    yield b"[\n]\n" if between == b"[\n" else b"\n]\n"


def _pieces_of(conversation: dict[str, Any]) -> list[bytes]:
    pieces = json_pieces(conversation, to_json)
    conversation.clear()
    return pieces


async def csv(store: Store, query: Query) -> AsyncIterator[bytes]:
    """Yield all conversations that the query finds as a table."""
    yield csv_table.head()
    async for page in store.pages(query):
        yield await asyncio.to_thread(csv_table.lines, page)


async def mcp(store: Store, headers: Headers, body: bytes) -> AsyncIterator[bytes]:
    """Yield the status and headers of the answer to a request at `/mcp`, pickled, and then its body."""
    status, named, whole_body = await _endpoint(store).answer(headers, body)
    yield pickle.dumps((status, list(named)))
    for begin in range(0, len(whole_body), PIECE):
        yield whole_body[begin : begin + PIECE]


@functools.lru_cache(maxsize=1)
def _endpoint(store: Store) -> McpEndpoint:
    """Return the endpoint of this process, which has one store: loading the package of MCP takes its time."""

    async def open_store() -> Store:
        return store

    return McpEndpoint(None, open_store)


ANSWERS: Final[Mapping[str, Callable[..., AsyncIterator[bytes]]]] = {
    "earlier": earlier, "timeline": timeline, "json": json, "csv": csv, "mcp": mcp,
}  # fmt: skip
"""What the process can be asked for, by name."""


def here(store: Store, name: str, *arguments: Any) -> AsyncIterator[bytes]:
    """Yield the pieces of an answer, made by this process. `name`: of `ANSWERS`."""
    return ANSWERS[name](store, *arguments)


async def whole(store: Store, name: str, *arguments: Any) -> list[bytes]:
    """Return all that `here` yields."""
    return [piece async for piece in here(store, name, *arguments)]
