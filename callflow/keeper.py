"""Keeps the record of one server: opens it, brings unfinished calls back from it, looks after it, closes it.

Everything here goes on while callers are served. A database that cannot be opened yet is tried again, and calls go on
without it, loudly.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError

from callflow import events
from callflow.call import Call
from callflow.commands import Hangup, command_id
from callflow.contracts import Carrier, Found, Order
from callflow.errors import CarrierError
from callflow.history.database import Database
from callflow.history.left_out import NAME, LeftOut
from callflow.history.lock import RecordLock
from callflow.history.store import Store, remove_files
from callflow.history.writer import DurableJournal
from callflow.journal import ENDED, NUMBER_ID, Record
from callflow.machine import RINGING
from callflow.number_ids import NumberIds
from callflow.rebuild import rebuild
from callflow.settings_values import is_loopback
from callflow.switchboard import Switchboard, name_of


log = logging.getLogger(__name__)

_AGAIN_SECONDS: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
_RESUME_SECONDS: Final = 10.0
_HOLD_SECONDS: Final = 1.0
"""Since the start, both: see `hold`."""
_LOCK_SECONDS: Final = 0.2
_CLOSE_SECONDS: Final = 3.0
_MOST_LOADS: Final = 1000
_QUESTIONS: Final = 20
"""To carriers, at the same time."""
_YOUNG_SECONDS: Final = 10.0
_SETTLED_SECONDS: Final = 30.0
"""So old is a call before anybody doubts it: carriers' lists lag behind their calls."""
_RETENTION_SECONDS: Final = 3600.0
_DAY: Final = 86400.0


class Keeper:
    def __init__(
        self,
        url: URL,
        *,
        recordings: Path,
        retention_days: float = 0,
        reconcile_seconds: float = 60,
        country: str = "US",
        now: Callable[[], float] = time.time,
    ) -> None:
        self.database = Database(url)
        self.store = Store(self.database, country=country)
        self._left_out = LeftOut(recordings.parent / NAME)
        self.journal = DurableJournal(left_out=self._left_out)
        self._lock = RecordLock(self.database)
        self.recordings = recordings
        self._retention_days, self._reconcile_seconds, self._now = retention_days, reconcile_seconds, now
        self.is_readable = False
        """The record can be read: its tables are there."""
        self.opened = asyncio.Event()
        """The record is open, and the calls of the process before are known."""
        self.began = asyncio.get_running_loop().time()
        self._tasks: list[asyncio.Task[None]] = []
        self._few = asyncio.Semaphore(_QUESTIONS)
        self._number_ids = NumberIds(self._note_number_id)
        self.journal.on_began = lambda record: self._number_ids.began(record.call, record.event)

    def begin(
        self,
        switchboard: Switchboard,
        carriers: Sequence[Carrier],
        learn: Callable[[str], None] = lambda address: None,
        *,
        load: Callable[[], Awaitable[None]] | None = None,
        prepare: Callable[[Mapping[str, Any]], None] = lambda kept: None,
    ) -> None:
        """`learn`: told our public address, as the process before knew it. `load`: reads from the record what else is
        kept there. `prepare`: told what was when a call began that is brought back."""
        self._switchboard, self._learn, self._load, self._prepare = switchboard, learn, load, prepare
        self._carriers = {carrier.name: carrier for carrier in carriers}
        self._number_ids.begin(self._carriers)
        self._tasks.append(asyncio.create_task(self._run(), name="record keeper"))

    def _note_number_id(self, call: str, number: str) -> None:
        self.journal.add(Record(call, 0, self._now(), {"event": NUMBER_ID, "number": number}))

    async def is_open(self, seconds: float) -> bool:
        """Wait for that, but no longer."""
        try:
            async with asyncio.timeout(seconds):
                await self.opened.wait()
        except TimeoutError:
            return False
        return True

    async def hold(self, signal: events.Signal | None) -> None:
        """At start: whatever may be about a call of the process before (None: a media socket) waits for it to be known.

        A caller who is on the line with nobody to speak to waits longest: hanging up on them would be worse.
        """
        if self.opened.is_set() or (signal is not None and self._switchboard.has(signal)):
            return
        resumed = signal is not None and isinstance(signal.event, events.CallResumed)
        most = _RESUME_SECONDS if resumed else _HOLD_SECONDS
        await self.is_open(max(self.began + most - asyncio.get_running_loop().time(), 0.0))

    async def close(self) -> None:
        """The last records are written first."""
        # A driver that is stopped in the middle of something may wait for itself for ever.
        await self.is_open(_CLOSE_SECONDS if not self.journal.trouble else 0.0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, self._number_ids.close(), return_exceptions=True)
        await self.journal.close()
        await self._lock.release()
        await self.database.close()

    async def _run(self) -> None:
        await self._open()
        await self._try_to_load()
        await self._take_charge()
        await self._try_to_load()  # the process before may have changed it meanwhile
        back = await self._try_to_bring_back()
        self.opened.set()
        self._tasks.append(asyncio.create_task(self._keep(), name="record retention"))
        await asyncio.gather(*(self._ask_about(call) for call in back))
        if self._reconcile_seconds:
            while True:
                await asyncio.sleep(self._reconcile_seconds)
                await self.reconcile()

    async def _open(self) -> None:
        failures = 0
        while True:
            try:
                if await self.database.migrate():
                    log.info("the record in %s has the schema of this version now", self.database.name)
                break
            except Exception as error:
                what = f"{self.database.name}: {self.database.trouble(error)}"
                self.journal.trouble = what
                log.error("THE RECORD CANNOT BE OPENED (%s): calls go on without it, and it is tried again", what)
                await asyncio.sleep(_AGAIN_SECONDS[min(failures, len(_AGAIN_SECONDS) - 1)])
                failures += 1
        self.journal.trouble = ""
        self.journal.open(self.database)
        self.is_readable = True

    async def _try_to_load(self) -> None:
        """Once; if that fails, again beside everything else."""
        if self._load is None:
            return
        try:
            await self._load()
        except Exception as error:
            what = self.database.trouble(error)
            log.error("WHAT IS KEPT OF THE SETTINGS CANNOT BE READ (%s): calls go on without it", what)
            self._tasks.append(asyncio.create_task(self._load_again(self._load), name="kept settings"))

    async def _load_again(self, load: Callable[[], Awaitable[None]]) -> None:
        for pause in (*_AGAIN_SECONDS, *(_AGAIN_SECONDS[-1],) * _MOST_LOADS):
            await asyncio.sleep(pause)
            with contextlib.suppress(Exception):
                await load()
                log.warning("what is kept of the settings is read now, and holds for coming calls")
                return

    async def _take_charge(self) -> None:
        """Nobody but this process looks after the calls of this record."""
        while not await self._is_in_charge():
            if not self.opened.is_set():
                log.warning("another Callflow serves with this record: its calls are left alone until it ends")
                self.opened.set()
            await asyncio.sleep(_LOCK_SECONDS)

    async def _is_in_charge(self) -> bool:
        try:
            return await self._lock.take()
        except Exception as error:
            what = self.database.trouble(error)
            log.error("whether another Callflow serves with this record is not known: %s", what)
            await asyncio.sleep(_AGAIN_SECONDS[-1])
            return False

    # Calls of the process before

    async def _try_to_bring_back(self) -> list[Call]:
        back: list[Call] = []
        for pause in _AGAIN_SECONDS:
            try:
                for name in await self.store.unfinished():
                    try:
                        call = await self._bring_back(name)
                    except (SQLAlchemyError, OSError):
                        raise
                    except Exception:  # whatever its record holds: the others are taken back
                        log.exception("call %s cannot be taken back through a fault of our own", name)
                        continue
                    if call is not None:
                        back.append(call)
                break
            except Exception:
                log.exception("calls of the process before cannot be read; it is tried again")
                await asyncio.sleep(pause)
        else:
            log.error("CALLS OF THE PROCESS BEFORE CANNOT BE READ: they are not taken back")
        if back:
            log.warning("taking back %d of the calls of the process before this one", len(back))
        return back

    async def _bring_back(self, name: str) -> Call | None:
        """An unfinished call, made again from its record; what became of it, its carrier is asked later."""
        if self._switchboard.is_live(name):
            return None
        records = await self.store.journal(name)
        try:
            old = rebuild(records)
        except Exception:
            log.exception("the record of call %s makes no sense", name)
            old = None
        if old is not None and old.odd:
            log.error("call %s: %d records make no sense, and are passed over; the first: %s", name, *old.odd)
        carrier = self._carriers.get(old.carrier) if old is not None else None
        if old is None or carrier is None:
            log.error("call %s cannot be taken back, and is closed as interrupted: is its carrier still set up?", name)
            at = records[-1].at if records else self._now()
            self.journal.note(Record(name, 0, self._now(), {"event": ENDED, "cause": "interrupted", "until": at}))
            return None
        await asyncio.to_thread(self._prepare, old.kept)
        self.journal.seed(records)
        self._number_ids.began(name, {"carrier": old.carrier, "to": old.to_number, "number": old.ids.number})
        if old.address and not is_loopback(urlsplit(old.address).hostname or ""):
            self._learn(old.address)
        return self._switchboard.restore(carrier, old)

    async def _ask_about(self, call: Call) -> None:
        found: Found = "ringing" if call.model.state == RINGING else "answered"
        try:
            async with self._few:
                found = await call.carrier.find(call.ids)
                if found == "gone" and self._now() - call.began < _YOUNG_SECONDS:
                    await asyncio.sleep(_AGAIN_SECONDS[2])  # carriers' lists lag behind their calls
                    found = await call.carrier.find(call.ids)
        except CarrierError as error:
            log.warning("call %s: the carrier does not say how it is, so it is taken back anyway: %s", call.id, error)
        except Exception:
            log.exception("call %s: asking the carrier failed through a fault of our own", call.id)
        call.take_back(found)

    # Looking after both

    async def reconcile(self) -> None:
        """Calls that we believe alive and the carrier does not, and the reverse."""
        await asyncio.gather(*(self._doubt(call) for call in self._switchboard.calls))
        for carrier in self._carriers.values():
            try:
                for ids in await carrier.active():
                    await self._account_for(carrier, ids)
            except CarrierError as error:
                log.warning("%s does not say which calls it has: %s", carrier.name, error)
            except Exception:
                log.exception("comparing our calls with those of %s failed through a fault of our own", carrier.name)

    async def _doubt(self, call: Call) -> None:
        if self._now() - call.began < _SETTLED_SECONDS or call.awaits_return:
            return
        try:
            async with self._few:
                if await call.carrier.find(call.ids) != "gone":
                    return
        except CarrierError:
            return  # no news
        except Exception:
            log.exception("call %s: asking the carrier failed through a fault of our own", call.id)
            return
        log.warning("call %s: its carrier has it no more, and has not said so", call.id)
        self._switchboard.counts["lost_hangups"] += 1
        call.post(events.CallHangup(cause="not_at_carrier", source="reconciliation"))

    async def _account_for(self, carrier: Carrier, ids: events.LegIds) -> None:
        if self._switchboard.knows(carrier.name, ids):
            return
        name = name_of(carrier.name, ids)
        row = await self.store.conversation(name)
        if row is None:
            return  # never ours: of somebody else who shares the account
        if row["ended_at"] is None:
            call = await self._bring_back(name)
            if call is not None:
                log.warning("call %s is unfinished on record and nobody's: it is taken back", name)
                await self._ask_about(call)
            return
        log.warning("call %s is over, and its carrier still has it: it is hung up once more", name)
        self._switchboard.counts["orphans"] += 1
        await carrier.execute(Order(Hangup(), command_id(name, 0, 0), name, ids))  # no step's, so of no other command

    # Old calls

    async def _keep(self) -> None:
        while self._retention_days:
            try:
                await self.expire(self._now() - self._retention_days * _DAY)
            except Exception:
                log.exception("calls that are too old could not be deleted; it is tried again")
            await asyncio.sleep(_RETENTION_SECONDS)

    async def expire(self, before: float) -> int:
        """Delete what began before that. Returns how many calls."""
        deleted = 0
        while ids := await self.store.older_than(before):
            await self.delete(ids)
            deleted += len(ids)
            await asyncio.sleep(0.05)  # the journal's turn
        await asyncio.to_thread(self._left_out.expire, before)
        if deleted:
            log.info("%d calls were older than %g days, and are deleted", deleted, self._retention_days)
        return deleted

    async def delete(self, ids: Sequence[int]) -> None:
        """Conversations, with all that is kept of them anywhere."""
        calls, files = await self.store.delete(ids)
        for call in calls:
            self.journal.forget(call)
        await asyncio.to_thread(remove_files, files, self.recordings)
        await asyncio.to_thread(self._left_out.forget, calls)
