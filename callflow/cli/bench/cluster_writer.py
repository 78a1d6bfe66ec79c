"""One node's journal for `scripts/bench cluster`, without a call: the real writer and its fence, on a given database.

Reads from its standard input what to do, a word a line, and answers each with a line of JSON: what the function of that
name returns. It holds `seconds` (how long it took), `waits_ms` (how long single ones waited), and what was done, as far
as that says something: `entries`, `batches`, `calls`.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection, make_url

from callflow.cluster import node_store
from callflow.cluster.claims import Claims
from callflow.cluster.nodes import Node
from callflow.contracts.errors import JournalError
from callflow.history.database import Database
from callflow.history.journal_writer import DurableJournal
from callflow.history.store import Store
from callflow.journal import notes
from callflow.journal.journal import JournalEntry


_CALLS: Final = 100
_NOTES_A_STEP: Final = 4
"""Nearly all of what a call writes down are notes; here a fifth are steps, so that commits do not wait for more."""
_BEGINNING: Final = 20
"""Calls that begin at the same time."""
_NODES: Final = 50
_ORPHANS: Final = 2000
_LONG: Final = 200
"""Entries of a call that has been talking for a minute and a half."""
_BUSY_SECONDS: Final = 0.1
_REST: Final = 200


class Writer:
    """The journal of one node."""

    def __init__(self, url: str, name: str) -> None:
        self.database = Database(make_url(url))
        self._claims, self._name = Claims(), name
        self.journal = DurableJournal()
        self.journal.fence = self._claims
        self._steps = itertools.count(1)
        self.gone_on = 0
        """Steps that did not wait any longer."""

    async def open(self) -> None:
        """Join the cluster and begin to write."""
        node = Node(name=self._name, epoch=0, capacity=_CALLS)
        epoch = await self.database.write(lambda connection: node_store.join(connection, node))
        self.key = self._claims.key = (self._name, epoch)
        self.journal.open(self.database)

    def begin(self) -> str:
        """Note that a call has begun, which claims it."""
        call = str(uuid.uuid4())
        note = notes.Began(carrier="telnyx", from_number="+15550100001", to_number="+15550100002")
        self.journal.note(JournalEntry.of(note, call=call, at=time.time()))
        return call

    def end(self, call: str) -> None:
        """Note that it has ended, which gives up the claim."""
        self.journal.note(JournalEntry.of(notes.Ended(cause="caller_hung_up"), call=call, at=time.time()))

    async def step(self, call: str) -> None:
        """Take a step, and wait until it is written."""
        event = {"event": "agent_heard", "leg": "caller"}
        entry = JournalEntry(call, next(self._steps), time.time(), event, "streaming", "streaming", True)
        try:
            await self.journal.append(entry)
        except JournalError:  # the database was busy for too long; a call would go on without it
            self.gone_on += 1
            await asyncio.sleep(_BUSY_SECONDS)

    def speak(self, call: str, number: int) -> None:
        """Note what calls note most: how far the caller has heard the agent, and sometimes a turn."""
        item = f"item_{number // 8}"
        note: notes.Note = notes.Heard(item=item, ms=20 * number, of_ms=20 * number)
        if number % 8 == 0:
            note = notes.Turn(who="agent", item=item, text="So it is, as I said before.")
        self.journal.note(JournalEntry.of(note, call=call, at=time.time()))


async def write(writer: Writer, seconds: float) -> dict[str, Any]:
    """Write as much as goes, in calls that are claimed already."""
    calls = [writer.begin() for _ in range(_CALLS)]
    await writer.journal.flushed()
    until, waits = time.monotonic() + seconds, list[float]()

    async def talk(call: str) -> None:
        number = 0
        while (began := time.monotonic()) < until:
            for _ in range(_NOTES_A_STEP):
                number += 1
                writer.speak(call, number)
            await writer.step(call)
            waits.append(time.monotonic() - began)

    before, began = dict(writer.journal.counts), time.monotonic()
    await asyncio.gather(*map(talk, calls))
    took, after = time.monotonic() - began, dict(writer.journal.counts)
    for call in calls:
        writer.end(call)
    await writer.journal.flushed()
    return {"seconds": took, **_done(before, after), "waits_ms": _rest(waits)}


async def step(writer: Writer, seconds: float) -> dict[str, Any]:
    """Take one step after the other in one call: each has a transaction of its own."""
    call = writer.begin()
    await writer.journal.flushed()
    before = dict(writer.journal.counts)
    found = await _again(writer, seconds, lambda: writer.step(call))
    found |= _done(before, dict(writer.journal.counts))
    writer.end(call)
    await writer.journal.flushed()
    return found


async def begin(writer: Writer, seconds: float) -> dict[str, Any]:
    """Begin and end calls as fast as goes: each is claimed, takes a step, and is given up."""
    until, waits, calls = time.monotonic() + seconds, list[float](), 0

    async def one_after_the_other() -> None:
        nonlocal calls
        while (began := time.monotonic()) < until:
            call = writer.begin()
            await writer.step(call)
            waits.append(time.monotonic() - began)
            writer.end(call)
            calls += 1

    before, began = dict(writer.journal.counts), time.monotonic()
    await asyncio.gather(*(one_after_the_other() for _ in range(_BEGINNING)))
    await writer.journal.flushed()
    took, after = time.monotonic() - began, dict(writer.journal.counts)
    return {"seconds": took, **_done(before, after), "entries": 0, "calls": calls, "waits_ms": _rest(waits)}


async def renew(writer: Writer, seconds: float) -> dict[str, Any]:
    """Renew a lease and read all of 50 nodes, again and again, one transaction after the other."""
    node = Node(name=writer.key[0], epoch=writer.key[1], capacity=_CALLS)
    others = [Node(name=f"other-{number}", epoch=0) for number in range(_NODES - 1)]
    keys = [await writer.database.write(functools.partial(node_store.join, node=other)) for other in others]

    def beat(connection: Connection) -> None:
        node_store.renew(connection, node)
        node_store.view(connection)

    found = await _again(writer, seconds, lambda: writer.database.write(beat))
    for other, epoch in zip(others, keys, strict=True):
        await writer.database.write(functools.partial(node_store.leave, node=replace(other, epoch=epoch)))
    return found


async def kill(writer: Writer, _: float) -> dict[str, Any]:
    """Claim calls for a node that is dead: for `take`."""
    calls = [str(uuid.uuid4()) for _ in range(_ORPHANS)]
    for first in range(0, _ORPHANS, 500):
        some = calls[first : first + 500]
        await writer.database.write(functools.partial(node_store.claim, calls=some, key=("gone", 0)))
    return {"seconds": 1.0, "batches": 1, "waits_ms": []}


async def take(writer: Writer, seconds: float) -> dict[str, Any]:
    """Take over the calls of a dead node, a share after the other."""
    taken, waits, began = 0, list[float](), time.monotonic()
    while (now := time.monotonic()) < began + seconds:
        found = await writer.database.write(functools.partial(node_store.take_orphans, key=writer.key, survivors=2))
        if not found:
            break
        taken += len(found)
        waits.append(time.monotonic() - now)
    return {"seconds": time.monotonic() - began, "batches": len(waits), "calls": taken, "waits_ms": _rest(waits)}


async def read(writer: Writer, seconds: float) -> dict[str, Any]:
    """Read the journal of a call, as whoever takes it over does."""
    call = writer.begin()
    for number in range(_LONG):
        writer.speak(call, number)
    await writer.journal.flushed()
    store = Store(writer.database)
    found = await _again(writer, seconds, lambda: store.journal(call))
    writer.end(call)
    await writer.journal.flushed()
    return found


async def _again(writer: Writer, seconds: float, do: Callable[[], Awaitable[Any]]) -> dict[str, Any]:
    waits, began = list[float](), time.monotonic()
    while (now := time.monotonic()) < began + seconds:
        await do()
        waits.append(time.monotonic() - now)
    return {"seconds": time.monotonic() - began, "batches": len(waits), "waits_ms": _rest(waits)}


def _done(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    names = {"entries": "written", "batches": "batches", "failures": "failures", "unwritable": "unwritable"}
    return {name: after.get(count, 0) - before.get(count, 0) for name, count in names.items()}


def _rest(waits: list[float]) -> list[float]:
    """Return some of them, evenly, in milliseconds."""
    ordered = sorted(waits)
    return [round(1000 * ordered[len(ordered) * number // _REST], 3) for number in range(_REST)] if ordered else []


_WORK: Final = {"step": step, "write": write, "begin": begin, "renew": renew, "kill": kill, "take": take, "read": read}


async def main(url: str, name: str) -> None:
    """Do what is asked for, until there is nothing more."""
    writer = Writer(url, name)
    await writer.open()
    print(json.dumps({"ready": name}), flush=True)
    while line := (await asyncio.to_thread(sys.stdin.readline)).split():
        kind, seconds = line
        began = time.process_time()
        found = await _WORK[kind](writer, float(seconds))
        print(json.dumps(found | {"cpu": time.process_time() - began, "gone_on": writer.gone_on}), flush=True)
        writer.gone_on = 0
    await writer.journal.close()
    await writer.database.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
