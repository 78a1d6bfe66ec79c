"""Calls that were deleted: nobody finds them, it can be undone, and then they are gone, over a restart as well."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from callflow.history import recording_rows
from callflow.history.deleted_conversations import UNDO_SECONDS
from callflow.history.history import History
from callflow.history.query import Query
from callflow.journal.notes import Began, EndCall, Ended, Recording
from tests.web.console.stage import CALL, Stage, play


OTHER = "c-other"


async def places(the: Stage, call: str = CALL) -> list[str]:
    """Return where a call is found."""
    history, store = the.history, the.history.store
    found = {
        "list": [row["call_id"] for row in await store.find(Query())],
        "number": [row["call_id"] for row in await store.find(Query(number="+15550100001"))],
        "newest": [row["call_id"] for row in await store.newest_calls(9)],
        "pages": [row["call_id"] async for page in store.pages(Query()) for row in page],
        "like": [row["call_id"] for row in await store.like(call[:6])],
        "one": [row["call_id"] for row in [await store.conversation(call)] if row is not None],
        "listed": [row["call_id"] for row in [await store.listed_call(call)] if row is not None],
        "journal": [entry.call for entry in await store.journal(call)],
        "keyed": [entry.call for _, entry in await store.keyed_journal(call)],
        "memory": history.journal.calls(),
        "recordings": [row["call"] for row in await recording_rows.newest(history.database, history.sounds, 9)],
    }
    return [place for place, calls in found.items() if call in calls]


def test_what_is_deleted_is_found_nowhere_and_comes_back(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await the.write_call(CALL)
        await the.write_call(OTHER, at=1_700_000_100.0)
        (tmp_path / "recordings").mkdir(exist_ok=True)
        before = await places(the)
        assert {"list", "number", "newest", "pages", "like", "one", "listed", "journal", "keyed"} <= set(before)
        assert (await the.get("/api/calls/deleted")).json() == []
        answer = await the.send("DELETE", f"/api/calls/{CALL}")
        (listed,) = (await the.get("/api/calls/deleted")).json()
        assert (listed["id"], listed["caller"]) == (CALL, "+15550100001")
        assert 0 < listed["undo_seconds"] <= UNDO_SECONDS
        assert (answer.status, answer.json()) == (202, {"id": CALL, "undo_seconds": UNDO_SECONDS})
        assert await places(the) == []
        assert set(before) - {"recordings"} <= set(await places(the, OTHER))
        for path in (f"/api/calls/{CALL}", f"/api/calls?sid={CALL}", f"/api/conversations/stream/{CALL}"):
            assert (await the.get(path)).status == 404, path
        for path in ("/api/calls", "/api/calls/live", "/api/conversations", "/api/conversations/export"):
            assert CALL not in (await the.get(path)).body.decode(), path
        assert (await the.send("DELETE", f"/api/calls/{CALL}")).status == 404
        assert (await the.send("POST", f"/api/calls/{CALL}/restore")).status == 200
        assert set(before) - {"memory"} <= set(await places(the))
        assert (await the.send("POST", f"/api/calls/{CALL}/restore")).status == 404

    play(tmp_path, main)


def test_its_time_comes_over_a_restart_too(database_url: str, tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await the.write_call(CALL)
        await the.write_call(OTHER, at=1_700_000_100.0)
        row = await the.history.store.conversation(CALL)
        assert row is not None
        assert await the.history.hide(row)
        assert 0 < await the.history.deletions.run_once() <= UNDO_SECONDS
        assert await the.history.store.conversation(CALL, hidden=True) is not None
        now = the.history.now()
        later = History(
            the.history.database.url, recordings=tmp_path / "recordings", retention_days=0, country="US",
            now=lambda: now + UNDO_SECONDS + 1,
        )  # fmt: skip
        assert not await later.restore(row), "it is too late"
        await later.deletions.run_once()
        assert await later.store.conversation(CALL, hidden=True) is None
        assert await later.store.journal(CALL, hidden=True) == []
        assert await later.store.conversation(OTHER) is not None
        await later.close()

    play(tmp_path, main, url=database_url)


def test_a_live_call_is_not_deleted(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        the.live(CALL)
        assert (await the.send("DELETE", f"/api/calls/{CALL}")).status == 409
        assert (await the.send("DELETE", "/api/calls/nobody")).status == 404

    play(tmp_path, main)


async def lost_end(the: Stage, *, nobodys: bool) -> None:
    """A call of which the database has no end. `nobodys`: no process has it."""

    async def is_nobodys(call: str) -> bool:
        return nobodys

    await the.write(Began(carrier="telnyx"), call=CALL)
    the.history.is_nobodys = is_nobodys


@pytest.mark.parametrize("path", ["/api/calls/{}", "/api/conversations/stream/{}"])
def test_a_call_whose_end_was_lost_is_deleted_once_no_process_has_it(path: str, tmp_path: Path) -> None:
    """It was live for ever: until a later start nobody could delete it, and retention passed it over."""

    async def main(the: Stage) -> None:
        await lost_end(the, nobodys=False)
        assert (await the.send("DELETE", path.format(CALL))).status == 409
        await lost_end(the, nobodys=True)
        await the.write(EndCall(reason="a moment ago"), at=the.history.now())
        assert (await the.send("DELETE", path.format(CALL))).status == 409, "its last entries may be on their way"
        the.history.now = lambda: time.time() + 1000
        assert (await the.send("DELETE", path.format(CALL))).status in (200, 202)
        row = await the.history.store.conversation(CALL, hidden=True)
        assert row is None or (row["hangup_cause"], bool(row["ended_at"])) == ("interrupted", True)

    play(tmp_path, main)


def test_retention_deletes_a_call_whose_end_was_lost(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await lost_end(the, nobodys=False)
        assert await the.history.expire(1_700_001_000.0) == 0
        await lost_end(the, nobodys=True)
        assert await the.history.expire(1_699_999_000.0) == 0, "it is not old enough"
        assert await the.history.expire(1_700_001_000.0) == 1

    play(tmp_path, main)


def test_audio_goes_before_the_row_that_names_it(tmp_path: Path) -> None:
    """Whoever dies in between leaves a call that can be deleted again."""

    async def main(the: Stage) -> None:
        await the.write_call(CALL)
        await the.write(Recording(file=f"{CALL}.wav"))
        folder = tmp_path / "recordings"
        folder.mkdir(exist_ok=True)
        file = folder / f"{CALL}.wav"
        file.write_bytes(b"RIFF")
        seen = []

        async def deleted(files: Sequence[str], calls: Sequence[str]) -> None:
            is_there = await the.history.store.conversation(CALL) is not None
            seen.append((list(files), list(calls), file.exists(), is_there))

        the.history.on_deleted = deleted
        row = await the.history.store.conversation(CALL)
        assert row is not None
        await the.history.delete([row["id"]])
        assert seen == [([file.name], [], False, True), ([], [CALL], False, False)]
        assert await the.history.store.conversation(CALL) is None

    play(tmp_path, main)


def test_what_is_kept_of_no_conversation_expires_as_calls_do(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await the.write_call(CALL)
        await the.write(Ended(cause="hangup"), call=OTHER)  # its first entry was lost
        assert len(await the.history.store.journal(OTHER)) == 1
        assert await the.history.expire(time.time() + 60) == 1
        assert await the.history.store.journal(CALL) == await the.history.store.journal(OTHER) == []

    play(tmp_path, main)
