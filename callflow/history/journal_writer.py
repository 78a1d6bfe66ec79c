"""The durable journal: one writer that batches all entries that came in since its last commit into the next one.

While the database is in trouble (a full disk, a lock, no connection), entries are kept and tried again, up to a bound;
what is over the bound is counted as lost. Steps then do not wait for their entries, and say so: a live call goes on.

An entry that cannot be written although the database works is left out and kept in a side file: it delays no other.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

from sqlalchemy import Connection, insert, select

from callflow.contracts.errors import CallElsewhere, CannotWrite, JournalError
from callflow.contracts.repeated_warnings import RepeatedWarnings
from callflow.history.database import Database
from callflow.history.events_out import EventMaker
from callflow.history.handover_entries import HandoverEntries, HandoverEntry
from callflow.history.journal_fence import JournalFence
from callflow.history.prepared import Prepared
from callflow.history.projection import Projection, json_of
from callflow.history.side_file import SideFile
from callflow.history.tables import steps
from callflow.history.write_errors import unless_of_the_database, whose_fault
from callflow.journal.journal import JournalEntry, MemoryJournal
from callflow.journal.notes import Began, Ended


log = logging.getLogger(__name__)

_BATCH: Final = 500
"""Entries of one transaction at most."""
_MOST_WAITING: Final = 50_000
_ENDS: Final = frozenset({Began.kind, Ended.kind})
"""Two notes of each call, without which it would be live for ever, or its words kept for ever."""
_MOST_NOTES: Final = 5_000
"""Of one call that wait: what one call notes, however fast, leaves room for the others."""
_RETRY_SECONDS: Final = (0.25, 0.5, 1.0, 2.0)
_GATHER_SECONDS: Final = 0.05
_FLUSH_SECONDS: Final = 3.0
"""How long the end of the process waits for the last entries."""
_FORGOTTEN: Final = 10_000
_LANES: Final = 1000
"""The id of an entry is a time in µs, times this, and the lane of its process: see `JournalFence.lane`."""
_SAY_EVERY_SECONDS: Final = 5.0

Waiting = tuple[int, JournalEntry, "asyncio.Future[None] | None"]
"""An entry that is to be written: its key, itself, and the future of the step that waits for it."""


class DurableJournal(MemoryJournal):
    """Keeps the newest calls in memory beside, for those who look at them while the database is in trouble."""

    def __init__(
        self,
        *,
        most_waiting: int = _MOST_WAITING,
        side_file: SideFile | None = None,
        make_events: Callable[[str], EventMaker] | None = None,
    ) -> None:
        """`side_file`: where to keep the entries that cannot be written; None: nowhere. `make_events`: makes what
        writes the events for EVENTS_URL, for a dialect of SQL; None: there are none."""
        super().__init__(calls=100, steps=1000)
        self._most_waiting, self._side_file, self._make_events = most_waiting, side_file, make_events
        self._events: EventMaker | None = None
        self._of_call: Counter[str] = Counter()
        """How many entries of each call wait."""
        self._left_out_warnings = RepeatedWarnings(log, logging.ERROR)
        self._waiting: deque[Waiting] = deque()
        self._wake = asyncio.Event()
        self._urgent = asyncio.Event()
        """Somebody waits for the next commit."""
        self._idle = asyncio.Event()
        self._idle.set()
        self._put_so_far = self._settled = 0
        """Entries that were put into the queue, and that left it."""
        self._settling = asyncio.Event()
        """Wakes up whoever waits, after each batch."""
        self._database: Database | None = None
        self._task: asyncio.Task[None] | None = None
        self._tick = 0
        self._forgotten: dict[str, None] = {}
        self._said = -_SAY_EVERY_SECONDS
        self._said_opening = False
        self.on_began: Callable[[str, Began], None] = lambda call, began: None
        """Called for each call that begins. Must not wait."""
        self.on_entry: Callable[[JournalEntry], None] = lambda entry: None
        """Called for each entry that a call writes down. Must neither wait nor raise."""
        self.on_put: Callable[[int, JournalEntry], None] = lambda key, entry: None
        """Called for each entry that is to be written, with the id of its row. Must neither wait nor raise."""
        self.fence: JournalFence | None = None
        """None: no other process has calls of this history."""
        self.on_elsewhere: Callable[[str], None] = lambda call: None
        """Called for each call that turned out to be another process's. Must neither wait nor raise."""
        self._elsewhere: set[str] = set()
        """Such calls of the present batch."""
        self._handover_entries = HandoverEntries()
        self.on_events: Callable[[], None] = lambda: None
        """Called when a commit has brought events for EVENTS_URL. Must neither wait nor raise."""
        self.trouble = ""
        """Why nothing can be written at the moment; "": it can."""
        self.counts: Counter[str] = Counter()
        """Entries: `written`, `lost` (no room for them), `dropped` (notes of a call that has too many waiting),
        `unwritable` (no database takes them); `failures` and `batches`."""

    # For calls

    async def append(self, entry: JournalEntry) -> None:
        """Write an entry, and return once it is committed, or at once while the database is being opened. Raises
        JournalError while nothing can be written; the entry is written later then."""
        super().note(entry)
        self.on_entry(entry)
        if self.trouble:
            self._put(entry, None)
            raise JournalError(self.trouble)
        if self._database is None:  # it is being opened: callers are served meanwhile, and nothing is wrong
            self._put(entry, None)
            self._say_opening()
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._put(entry, done)
        await done

    def note(self, entry: JournalEntry) -> None:
        super().note(entry)
        self.on_entry(entry)
        if self.fence is not None and entry.name == Began.kind:
            self.fence.begin(entry.call)
        if entry.is_step or entry.name in _ENDS or self._of_call[entry.call] < _MOST_NOTES:
            self._put(entry, None)
        else:
            self.counts["dropped"] += 1
        if entry.name == Began.kind and isinstance(began := entry.note, Began):
            self.on_began(entry.call, began)

    def hand_over(
        self, last: JournalEntry, to: tuple[str, int], is_timely: Callable[[], bool] = lambda: True
    ) -> HandoverEntry:
        """Write the last entry of a call and give its claim to another process, in one transaction, at once or never.
        Whoever cancels `given` leaves it to `on_elsewhere` to be told of a late success."""
        one = HandoverEntry(last, to, asyncio.get_running_loop().create_future(), is_timely)
        if self.trouble or self._database is None or len(self._waiting) >= self._most_waiting:
            one.given.set_result(False)
            return one
        self._handover_entries.add(self._queue(last, None), one)
        self._urgent.set()
        return one

    def is_whole(self, call: str) -> bool:
        return super().is_whole(call) and not (self.fence is not None and self.fence.has_let_go(call))

    def seed_read(self, keyed: Sequence[tuple[int, JournalEntry]]) -> None:
        """Take over what another process wrote about a call, as it was read: each entry with the id of its row. What
        follows comes after it, however far ahead the clock was by which those ids were made."""
        for _, entry in keyed:
            self._forgotten.pop(entry.call, None)  # it may have been here before
        self.seed([entry for _, entry in keyed])
        self._tick = max([self._tick, *(key // _LANES for key, _ in keyed)])

    def add(self, entry: JournalEntry) -> None:
        """Write down a note about a call that may be long over."""
        if entry.call in self._calls:
            super().note(entry)
        if entry.call not in self._forgotten:
            self._put(entry, None)

    def _say_opening(self) -> None:
        if not self._said_opening:
            self._said_opening = True
            log.warning("the history is not open yet: what happens meanwhile is written as soon as it is")

    def forget(self, call: str) -> None:
        """Write nothing more about this call, which was deleted."""
        self._forgotten[call] = None
        if len(self._forgotten) > _FORGOTTEN:
            del self._forgotten[next(iter(self._forgotten))]
        self._calls.pop(call, None)

    def let_go(self, call: str) -> None:
        """Keep a call in memory no longer. What is still to be written about it is written."""
        self._calls.pop(call, None)

    @property
    def waiting(self) -> int:
        """How many entries wait to be written."""
        return len(self._waiting)

    def unwritten(self) -> list[str]:
        """Return the newest calls of which entries wait to be written, newest last."""
        return [call for call in self._calls if call in self._of_call]

    def waiting_of(self, call: str) -> list[tuple[int, JournalEntry]]:
        """Return the entries of one call that are not written yet, in order, each with the id of its row to be."""
        if call not in self._of_call:
            return []
        return [(key, entry) for key, entry, _ in self._waiting if entry.call == call]

    def _put(self, entry: JournalEntry, done: asyncio.Future[None] | None) -> None:
        most = self._most_waiting * (2 if entry.name in _ENDS else 1)
        if len(self._waiting) >= most:
            self.counts["lost"] += 1
            if done is not None:
                done.set_exception(JournalError("too many entries wait to be written"))
            return
        self.on_put(self._queue(entry, done), entry)

    def _queue(self, entry: JournalEntry, done: asyncio.Future[None] | None) -> int:
        """Returns the id of its row to be."""
        # Ids follow the order of happening, also over several processes, as far as clocks allow: a microsecond, and
        # three digits that no other process uses.
        self._tick = max(time.time_ns() // 1000, self._tick + 1)
        key = self._tick * _LANES + (self.fence.lane if self.fence is not None else 0)
        self._waiting.append((key, entry, done))
        self._put_so_far += 1
        self._of_call[entry.call] += 1
        self._wake.set()
        if done is not None:
            self._urgent.set()
        self._idle.clear()
        return key

    # The writer

    def open(self, database: Database) -> None:
        """Begin to write: the database is there, and its schema is this version's."""
        self._database = database
        dialect = "sqlite" if database.is_sqlite else "postgresql"
        self._projection = Projection(dialect)
        if self._make_events is not None:
            self._events = self._make_events(dialect)
        self._task = asyncio.create_task(self._run(database), name="journal writer")

    async def flushed(self) -> None:
        """Wait until all entries so far are written. Others come meanwhile, without an end on a busy server."""
        wanted = self._put_so_far
        while self._settled < wanted:
            await self._settling.wait()

    async def close(self) -> None:
        """Write what waits, for 3 s at most. What is left is counted as lost."""
        try:
            async with asyncio.timeout(_FLUSH_SECONDS if self._database is not None else 0):
                await self._idle.wait()
        except TimeoutError:
            self.counts["lost"] += len(self._waiting)
            log.error("the journal closes with %d entries that could not be written", len(self._waiting))
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for _, _, done in self._waiting:
            if done is not None and not done.done():
                done.cancel()

    async def _run(self, database: Database) -> None:
        failures = 0
        while True:
            while not self._waiting:
                self._idle.set()
                self._wake.clear()
                await self._wake.wait()
            await self._gather()
            batch = [self._waiting[index] for index in range(min(len(self._waiting), _BATCH))]
            try:
                await self._write(database, await self._unwritten(database, batch) if failures else batch)
            except Exception as error:
                self.counts["failures"] += 1
                self._fail(batch, error)
                await asyncio.sleep(_RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)])
                failures += 1
                continue
            if failures:
                log.warning("the journal is written again; %d entries had to wait", len(self._waiting))
            failures, self.trouble = 0, ""
            for _ in batch:
                key, entry, done = self._waiting.popleft()
                self._handover_entries.settle(key, given=False)  # unless it was given
                self._of_call[entry.call] -= 1
                if not self._of_call[entry.call]:
                    del self._of_call[entry.call]
                if done is None or done.done():
                    continue
                if entry.call in self._elsewhere:
                    done.set_exception(CallElsewhere(entry.call))
                    done.exception()  # its step may have gone on already
                else:
                    done.set_result(None)
            self._elsewhere.clear()
            self._settled += len(batch)
            self._settling.set()
            self._settling.clear()

    async def _gather(self) -> None:
        """Notes have time: with others of their kind they cost less. A step has none."""
        if len(self._waiting) >= _BATCH:
            return
        try:
            async with asyncio.timeout(_GATHER_SECONDS):
                await self._urgent.wait()
        except TimeoutError:
            pass
        self._urgent.clear()

    def _fail(self, batch: Sequence[Waiting], error: Exception) -> None:
        what = self._database.trouble(error) if self._database is not None else ""
        self.trouble = f"{type(error).__name__}: {what}"
        self._handover_entries.withdraw_all()
        now = time.monotonic()
        if now - self._said >= _SAY_EVERY_SECONDS:
            self._said = now
            log.error(
                "THE JOURNAL CANNOT BE WRITTEN (%s): calls go on without it; %d entries wait, %d are lost",
                self.trouble, len(self._waiting), self.counts["lost"],
            )  # fmt: skip
        for _, _, done in self._waiting:
            if done is not None and not done.done():
                done.set_exception(JournalError(self.trouble))
                done.exception()  # its step may have gone on already

    async def _unwritten(self, database: Database, batch: Sequence[Waiting]) -> list[Waiting]:
        """Without those whose commit succeeded, although we were never told."""
        keys = [key for key, _, _ in batch]
        wanted = select(steps.c.id).where(steps.c.id.in_(keys))
        there = await database.read(lambda connection: set(connection.execute(wanted).scalars()))
        self._are_written([(key, entry) for key, entry, _ in batch if key in there])
        return [each for each in batch if each[0] not in there]

    async def _write(self, database: Database, batch: Sequence[Waiting]) -> None:
        """Returns when each of them is written or left out. Raises while the database is in trouble."""
        try:
            await self._commit(database, batch)
        except Exception as error:
            if whose_fault(error) == "database":
                raise
            await self._write_each(database, batch)

    async def _write_each(self, database: Database, batch: Sequence[Waiting]) -> None:
        """Not all of these can be written: each is tried alone.

        An error that does not say whose fault it is, is the entry's own where another entry can be written, and
        otherwise the database's."""
        refused: list[tuple[JournalEntry, Exception]] = []
        doubts: list[Exception] = []
        for each in batch:
            try:
                await self._commit(database, [each])
            except Exception as error:
                fault = whose_fault(error)
                if fault == "database":
                    raise
                refused.append((each[1], error))
                if fault == "unknown":
                    doubts.append(error)
        if doubts and len(refused) == len(batch):
            raise doubts[0]
        for entry, why in refused:
            await self._leave_out(entry, why)

    async def _leave_out(self, entry: JournalEntry, error: Exception) -> None:
        self.counts["unwritable"] += 1
        cause = error.why if isinstance(error, CannotWrite) else error
        what = f"{type(cause).__name__}, {str(entry.event.get('event', ''))[:40]!r}"
        kept = "it is kept nowhere"
        if self._side_file is not None:
            try:
                await asyncio.to_thread(self._side_file.add, entry, cause)
                kept = f"it is kept in {self._side_file.path}"
            except OSError as trouble:
                kept = f"it could not be kept in {self._side_file.path} ({trouble.strerror})"
        self._left_out_warnings.say(
            what, "an entry of call %s cannot be written (%s) and is left out; %s", entry.call, what, kept,
            exc_info=cause,
        )  # fmt: skip

    async def _commit(self, database: Database, batch: Sequence[Waiting]) -> None:
        may_be = self._handover_entries.may_be_written
        wanted = [(key, entry) for key, entry, _ in batch if entry.call not in self._forgotten and may_be(key)]
        if not wanted:
            return
        try:
            elsewhere, refused = await database.write(lambda connection: self._apply(connection, wanted))
        except BaseException:
            self._projection.forget()
            raise
        written = [each for each in wanted if each[1].call not in elsewhere and each[0] not in refused]
        self._are_written(written)
        for call in elsewhere - self._elsewhere:
            self._elsewhere.add(call)
            self.on_elsewhere(call)
        self.counts["written"] += len(written)
        self.counts["batches"] += 1
        if self._events is not None and self._events.taken():
            self.on_events()

    def _are_written(self, written: Sequence[tuple[int, JournalEntry]]) -> None:
        if self.fence is None:
            return
        self.fence.written([entry for _, entry in written])
        for key, entry in written:
            if (one := self._handover_entries.settle(key, given=True)) is None:
                continue
            super().note(entry)  # told only now: it could have been refused
            self.on_entry(entry)
            self.on_put(key, entry)
            if one.given.cancelled():  # nobody waits for it: it is like a call that another process has taken over
                self.on_elsewhere(entry.call)
            else:
                self.fence.gave(entry.call)

    def _apply(
        self, connection: Connection, wanted: Sequence[tuple[int, JournalEntry]]
    ) -> tuple[set[str], Collection[int]]:
        """Returns the calls of another process, of which nothing was written, and the last entries of calls that no
        other process takes, which were not written either."""
        elsewhere = set() if self.fence is None else set(self.fence.admit(connection, [entry for _, entry in wanted]))
        wanted = [each for each in wanted if each[1].call not in elsewhere]
        refused = self._handover_entries.refused(connection, wanted, self.fence)
        wanted = [each for each in wanted if each[0] not in refused]
        if not wanted:
            return elsewhere, refused
        with unless_of_the_database():
            _INSERT.run(connection, *[_row(key, entry) for key, entry in wanted])
            for _, entry in wanted:
                self._projection.apply(connection, entry)
                if self._events is not None:
                    self._events.apply(connection, entry)
            self._projection.finish(connection)
        if self.fence is not None:
            self.fence.committing([entry for _, entry in wanted])
        return elsewhere, refused


_INSERT: Final = Prepared(insert(steps))


def _row(key: int, entry: JournalEntry) -> dict[str, Any]:
    return {
        "id": key, "call": entry.call, "step": entry.step, "at": entry.at, "event": json_of(entry.event),
        "before": entry.before, "after": entry.after, "taken": entry.taken,
        "commands": json_of(list(entry.commands)) if entry.commands else "[]",
    }  # fmt: skip
