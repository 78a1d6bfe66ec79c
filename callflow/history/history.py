"""The history of the calls, as one process has it: the database, the journal that writes to it, and the recordings.

A database that cannot be opened yet is tried again, and calls go on without it, loudly.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection

from callflow.history.alert_store import AlertStore
from callflow.history.campaign_store import CampaignStore
from callflow.history.database import Database
from callflow.history.deleted_conversations import UNDO_SECONDS, DeletedConversations, Deletions
from callflow.history.do_not_call import DoNotCall
from callflow.history.event_store import EventStore
from callflow.history.events_out import EventMaker
from callflow.history.journal_writer import DurableJournal
from callflow.history.recording_store import RecordingFolder, RecordingStore
from callflow.history.retention import Retention
from callflow.history.share_store import ShareStore
from callflow.history.side_file import NAME, SideFile
from callflow.history.spending import SpendingStore
from callflow.history.statistics import Statistics
from callflow.history.store import Store
from callflow.journal.journal import JournalEntry
from callflow.journal.notes import Ended


log = logging.getLogger(__name__)

AGAIN_SECONDS: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Pauses between tries at a database that does not answer; the last one goes on."""
_ANSWER_SECONDS: Final = 1.0
"""Calls go on meanwhile."""
_LOST_SECONDS: Final = 300.0
"""An unfinished call that no process has counts as over when nothing was written about it for so long."""
_WRITE_SECONDS: Final = 5.0


async def _not_known(call: str) -> bool:
    return False


class History:
    """The history of one process: opens the database, and has its stores, the journal and the recordings."""

    def __init__(
        self,
        url: URL,
        *,
        recordings: Path,
        retention_days: float,
        country: str,
        now: Callable[[], float] = time.time,
        make_events: Callable[[str], EventMaker] | None = None,
        make_sounds: Callable[[Path, Database], RecordingStore] | None = None,
    ) -> None:
        """`recordings`: the folder in which they are made; the side file lies beside it. `retention_days` 0: calls are
        kept for ever. `country`: of numbers that are searched for without a country code. `now`: Unix time, in seconds.
        `make_events`: see `DurableJournal`. `make_sounds`: makes what keeps recordings; None: that folder does."""
        self.database = Database(url)
        self.store = Store(self.database, country=country)
        self.do_not_call = DoNotCall(self.database)
        self.campaigns = CampaignStore(self.database, make_events=make_events)
        self.events = EventStore(self.database)
        self.alerts = AlertStore(self.database, make_events=make_events)
        self.shares = ShareStore(self.database)
        self.deleted = DeletedConversations(self.database)
        self.spending = SpendingStore(self.database)
        self.statistics = Statistics(self.database, country=country)
        self._side_file = SideFile(recordings.parent / NAME)
        self.journal = DurableJournal(side_file=self._side_file, make_events=make_events)
        self.recordings = recordings
        self.sounds = make_sounds(recordings, self.database) if make_sounds is not None else RecordingFolder(recordings)
        self.on_deleted: Callable[[Sequence[str], Sequence[str]], Awaitable[None]] | None = None
        """Learns which recordings and which calls are deleted: see `forget`, for other nodes. Must not raise."""
        self.is_nobodys: Callable[[str], Awaitable[bool]] = _not_known
        """Returns whether no process has this call. Raises what the driver raises."""
        self.now = now
        self.is_readable = False
        """Its tables are there."""
        self.opened = asyncio.Event()
        """Set when it has become readable."""
        self.retention = Retention(self.expire, retention_days, now, what="calls")
        """In one process for all."""
        self.own_retention = Retention(self._expire_side_file, retention_days, now, what="entries of the side file")
        """In every process, for what lies on its machine alone."""
        self.deletions = Deletions(self)

    async def open(self) -> None:
        """Bring the schema up to date and let the journal write; returns when that has been done, however often it
        takes."""
        failures = 0
        while True:
            try:
                if await self.database.migrate():
                    log.info("the history in %s has the schema of this version now", self.database.name)
                break
            except Exception as error:
                what = f"{self.database.name}: {self.database.trouble(error)}"
                self.journal.trouble = what
                log.error("THE HISTORY CANNOT BE OPENED (%s): calls go on without it, and it is opened later", what)
                await asyncio.sleep(AGAIN_SECONDS[min(failures, len(AGAIN_SECONDS) - 1)])
                failures += 1
        self.journal.trouble = ""
        self.journal.open(self.database)
        self.is_readable = True
        self.opened.set()

    async def keep_recordings(self) -> None:
        """Put recordings where they are to be kept, once the database is open, until cancelled."""
        await self.opened.wait()
        await self.sounds.run()

    async def close(self) -> None:
        """Close the database; the journal must be closed before, so that its last entries are written."""
        await self.database.close()

    async def answers(self) -> bool:
        """Return whether the database answers, and what has happened is written. A server that hangs is found out only
        by a question."""
        if not self.is_readable or self.journal.trouble:
            return False

        def work(connection: Connection) -> None:
            connection.exec_driver_sql("SELECT 1")

        try:
            await self.database.soon(self.database.read(work), _ANSWER_SECONDS)
            async with asyncio.timeout(_ANSWER_SECONDS):
                await self.journal.flushed()
        except Exception as error:
            log.warning("the history does not answer: %s", type(error).__name__)
            return False
        return True

    async def expire(self, before: float) -> int:
        """Delete the calls that began before that (Unix time, seconds), and the campaigns that were over then.

        Returns how many calls. Raises as `delete`.
        """
        deleted = 0
        for call in await self.store.unfinished(before):
            await self.close_lost(call)
        while ids := await self.store.older_than(before):
            await self.delete(ids)
            deleted += len(ids)
            await asyncio.sleep(0.05)  # the journal's turn
        while await self.store.delete_strays(before):  # noqa: ASYNC110 - a pause, and no condition
            await asyncio.sleep(0.05)
        await self.campaigns.expire(before)
        return deleted

    async def _expire_side_file(self, before: float) -> int:
        return await asyncio.to_thread(self._side_file.expire, before)

    async def close_lost(self, call: str) -> bool:
        """End an unfinished call in the history, as interrupted, if no process has it: its end was lost, as when the
        database was away for long. Returns whether it is over now. Raises what the driver raises."""
        keyed = await self.store.keyed_journal(call)
        is_quiet = not keyed or keyed[-1][1].at < self.now() - _LOST_SECONDS
        if not is_quiet or self.journal.waiting_of(call) or not await self.is_nobodys(call):
            return False
        log.warning("call %s: no process has it and its end was lost, so it is closed as interrupted", call)
        self.close_interrupted(call, keyed)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_WRITE_SECONDS):
                await self.journal.flushed()
        row = await self.store.conversation(call, hidden=True)
        return row is not None and row["ended_at"] is not None

    def close_interrupted(self, call: str, keyed: Sequence[tuple[int, JournalEntry]]) -> None:
        """Write the end of a call with which no process goes on. `keyed`: its journal, as `Store.keyed_journal`."""
        self.journal.seed_read(keyed)
        until = keyed[-1][1].at if keyed else self.now()
        self.journal.note(JournalEntry.of(Ended(cause="interrupted", until=until), call=call, at=self.now()))

    async def hide(self, row: Mapping[str, Any]) -> bool:
        """Delete a conversation that is over, so that it can be undone for a while. False: it is live."""
        if not await self.deleted.hide(row["id"], self.now() + UNDO_SECONDS):
            return False
        self.journal.let_go(row["call_id"] or "")
        self.deletions.wake()
        return True

    async def restore(self, row: Mapping[str, Any]) -> bool:
        """Undo what `hide` did. False: it is too late."""
        return await self.deleted.restore(row["id"], self.now())

    async def delete(self, ids: Sequence[int]) -> None:
        """Delete these conversations, with all that is kept of them anywhere. Raises OSError or StoreAway if a
        recording cannot be deleted.

        Recordings go first: as long as a row names them, whoever dies in between leaves something that can be deleted
        again, instead of audio that nobody knows of.
        """
        files = await self.store.recordings_of(ids)
        await self._forget(files, [])
        calls, named = await self.store.delete(ids, self.now())
        await self._forget([file for file in named if file not in files], calls)  # a live call began one meanwhile

    async def _forget(self, files: Sequence[str], calls: Sequence[str]) -> None:
        if files or calls:
            await self.forget(files, calls)
            if self.on_deleted is not None:
                await self.on_deleted(files, calls)

    async def forget(self, files: Sequence[str], calls: Sequence[str]) -> None:
        """Delete these recordings, and what this process and its machine keep of these calls beside the database.
        Raises OSError or StoreAway."""
        for call in calls:
            self.journal.forget(call)
        await asyncio.to_thread(self._side_file.forget, calls)
        await self.sounds.delete(files)
