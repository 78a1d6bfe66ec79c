"""The recordings on record: whatever order a carrier tells of them in, and however often."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from callflow.contracts import events
from callflow.history import recording_rows
from callflow.history.recording_store import RecordingFolder
from callflow.history.store import Store
from callflow.journal import notes
from callflow.journal.journal import JournalEntry
from tests.history.test_events_out import AT, CALL, Stage, stage


RE = "RE" + 32 * "a"
RUNNING = events.CarrierRecording(recording=RE, state="running", channels=2, began=AT + 1)
READY = events.CarrierRecording(recording=RE, state="ready", channels=2, seconds=13.0, began=AT + 1)
FAILED = events.CarrierRecording(recording=RE, state="failed", reason="nobody knows")


def tell(the: Stage, event: events.Event, *, call: str = CALL, step: int = 0) -> None:
    """As a call or the switchboard writes an event that the machine does nothing about."""
    state = "streaming" if step else ""
    the.journal.note(JournalEntry(call, step, AT + 9, events.to_json(event), state, state, False, []))


async def rows(the: Stage, call: str = "", most: int = 9) -> list[dict[str, Any]]:
    await the.journal.flushed()
    return await recording_rows.newest(the.database, RecordingFolder(the.folder), most, call)


@pytest.mark.parametrize("order", [(RUNNING, READY, READY), (READY, RUNNING, READY), (READY, READY, RUNNING)])
async def test_what_is_ready_stays_ready(database_url: str, tmp_path: Path, order: Any) -> None:
    async with stage(database_url, tmp_path) as the:
        the.began()
        for number, event in enumerate(order):
            tell(the, event, step=number)  # after the end of the call, too, which is step 0 here
        (one,) = await rows(the)
        assert (one["sid"], one["status"], one["duration"], one["channels"]) == (RE, "ready", 13.0, 2)
        assert one["dateCreated"] == "2023-11-14T22:13:21.000Z"
        assert (one["call"], one["callSid"], one["carrier"]) == (CALL, "v3:x", "telnyx")
        assert [each["type"] for each in await the.bodies()].count("recording.ready") == 1


async def test_a_failure_does_not_run_again_and_is_told_once(database_url: str, tmp_path: Path) -> None:
    async with stage(database_url, tmp_path) as the:
        the.began()
        for event in (FAILED, RUNNING, FAILED):
            tell(the, event)
        (one,) = await rows(the)
        assert (one["status"], one["reason"], one["mediaUrl"]) == ("failed", "nobody knows", None)
        (told,) = [each for each in await the.bodies() if each["type"] == "recording.failed"]
        assert (told["recording_id"], told["reason"], told["source"]) == (RE, "nobody knows", "carrier")


async def test_what_is_ready_is_told_with_its_path(tmp_path: Path) -> None:
    async with stage("", tmp_path) as the:
        the.began()
        tell(the, READY)
        told = (await the.bodies())[-1]
        assert (told["type"], told["source"]) == ("recording.ready", "carrier")
        assert (told["recording"], told["recording_id"]) == ([f"/api/recordings/{RE}/audio"], RE)
        assert (told["duration_seconds"], told["channels"]) == (13.0, 2)


async def test_a_failure_at_the_carrier_says_nothing_of_our_own_recording(tmp_path: Path) -> None:
    async with stage("", tmp_path) as the:
        (tmp_path / "a.wav").touch()
        the.began()
        the.note(notes.Recording(file="a.wav"))
        tell(the, FAILED)
        tell(the, events.CommandFailed(command="record", reason="not eligible"))
        the.note(notes.Ended(cause="agent"))
        types = [each["type"] for each in await the.bodies()]
        assert types.count("recording.failed") == 2
        assert types[-1] == "recording.ready"


async def test_a_recording_of_a_call_that_is_not_on_record_is_nowhere(tmp_path: Path) -> None:
    async with stage("", tmp_path) as the:
        tell(the, READY, call="another")
        assert await rows(the) == []
        assert await recording_rows.find(the.database, RE) is None


async def test_both_kinds_are_listed_newest_first_and_no_more_than_asked_for(tmp_path: Path) -> None:
    async with stage("", tmp_path) as the:
        (tmp_path / "b.wav").write_bytes(bytes(44 + 32000))
        the.began()
        tell(the, READY)
        the.note(notes.Began(carrier="twilio", control="CA1"), call="b", at=AT + 60)
        the.note(notes.Recording(file="b.wav,b-2.wav"), call="b")
        ours, theirs = await rows(the)
        assert (ours["sid"], ours["source"], ours["duration"]) == ("b-1", "callflow", 1.0)
        assert ours["callSid"] == "CA1"
        assert theirs["sid"] == RE
        assert await rows(the, most=1) == [ours]
        assert await rows(the, "v3:x") == await rows(the, CALL) == [theirs]
        assert await rows(the, "CA2") == []


async def test_with_a_call_its_recordings_are_deleted(database_url: str, tmp_path: Path) -> None:
    async with stage(database_url, tmp_path) as the:
        the.began()
        tell(the, READY)
        assert len(await rows(the)) == 1
        store = Store(the.database)
        row = await store.conversation(CALL)
        assert row is not None
        assert (await store.details(row["id"]))["recordings"][0]["seconds"] == 13.0
        await store.delete([row["id"]], AT)
        assert await rows(the) == []


@pytest.mark.parametrize(("name", "part"), [("a-1", ("a", 1)), ("a-b-12", ("a-b", 12)), ("a-0", None), ("a", None)])
def test_our_own_ids_name_the_call_and_the_part(name: str, part: Any) -> None:
    assert recording_rows.own_part(name) == part


async def test_our_own_recording_of_a_live_call_is_running_but_for_the_parts_that_are_whole(tmp_path: Path) -> None:
    async with stage("", tmp_path) as the:
        (tmp_path / "a.wav").write_bytes(bytes(44 + 32000))
        (tmp_path / "b.wav").write_bytes(bytes(44 + 16000))
        the.began()
        the.note(notes.Recording(file="a.wav,b.wav"))
        found = {each["sid"]: each for each in await rows(the)}
        told = [[found[f"{CALL}-{part}"][name] for name in ("status", "duration", "mediaUrl")] for part in (1, 2)]
        assert told == [["ready", 1.0, f"/api/recordings/{CALL}-1/audio"], ["running", None, None]]
        the.note(notes.Ended(cause="agent"))
        found = {each["sid"]: each for each in await rows(the)}
        second = found[f"{CALL}-2"]
        assert (second["status"], second["duration"]) == ("ready", 0.5)
        assert second["mediaUrl"] == f"/api/recordings/{CALL}-2/audio"
