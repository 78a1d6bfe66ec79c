"""The lists of calls on the operators' listener: the newest, one by its id, and the live ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from callflow.journal.journal import JournalEntry
from callflow.journal.notes import Began
from tests.web.console.stage import CALL, Stage, play


SID = "CA00000000000000000000000000000001"


async def listed(the: Stage) -> list[dict[str, Any]]:
    answer = await the.get("/api/calls")
    assert answer.status == 200
    told: list[dict[str, Any]] = answer.json()
    return told


def test_the_newest_calls_come_first_and_each_once(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await the.write_call("c-old", at=1_700_000_000.0)
        await the.write_call("c-live", at=1_700_000_500.0)
        await the.write_call("c-new", at=1_700_001_000.0)
        the.live("c-live")
        told = await listed(the)
        assert [(call["id"], call["status"]) for call in told] == [
            ("c-new", "failed"), ("c-live", "in-progress"), ("c-old", "failed"),
        ]  # fmt: skip
        assert list(told[0]) == [
            "sid", "id", "carrier", "to", "from", "status", "direction", "startTime", "endTime", "duration", "cause",
            "causeText",
        ]  # fmt: skip
        assert (told[0]["from"], told[0]["to"]) == ("+15550100001", "+15550100002")
        assert (told[0]["startTime"], told[0]["endTime"]) == ("2023-11-14T22:30:00.000Z", "2023-11-14T22:30:01.000Z")

    play(tmp_path, main)


def test_a_call_that_we_dialled_has_its_numbers_the_right_way_round(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await the.write_call()
        await the.make_outbound()
        (told,) = await listed(the)
        assert (told["direction"], told["from"], told["to"]) == ("outbound", "+15550100002", "+15550100001")

    play(tmp_path, main)


@pytest.mark.exhaustive
def test_fifty_are_listed_at_most(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        for number in range(55):
            await the.write_call(f"c-{number}", at=1_700_000_000.0 + number)
        assert [call["id"] for call in await listed(the)] == [f"c-{number}" for number in range(54, 4, -1)]

    play(tmp_path, main)


def test_a_call_is_answered_by_any_of_its_ids(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await the.write_call(control=SID)
        the.live("c-live", more={"carrier_id": "v3:live-one", "state": "ringing"})
        for name, call in ((SID, CALL), (CALL, CALL), ("v3:live-one", "c-live"), ("c-live", "c-live")):
            answer = await the.get(f"/api/calls?sid={name}")
            assert (answer.status, answer.json()["id"]) == (200, call), name
        assert (await the.get(f"/api/calls?sid={CALL}")).json()["sid"] == SID

    play(tmp_path, main)


def test_an_id_of_no_call_is_told_so(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await the.write_call()
        answer = await the.get("/api/calls?sid=CA404")
        assert (answer.status, answer.json()["error"]) == (
            404, 'There is no call "CA404"; GET /api/calls lists the newest.'
        )  # fmt: skip

    play(tmp_path, main)


@pytest.mark.parametrize("sid", ["", "%20", "a%20b", "%27;--", "x" * 300, "%D9%A3", "*", "..", "a%0Ab"])
def test_what_is_no_id_is_refused(tmp_path: Path, sid: str) -> None:
    async def main(the: Stage) -> None:
        answer = await the.get(f"/api/calls?sid={sid}")
        assert (answer.status, "the id of one call" in answer.json()["error"]) == (400, True)
        assert (await the.get("/api/calls?sid=a&sid=b")).status == 400
        assert "did you mean sid?" in (await the.get("/api/calls?id=a")).json()["error"]

    play(tmp_path, main)


def began(the: Stage, call: str, at: float = 1_700_000_600.0, **more: Any) -> None:
    note = Began(carrier="telnyx", from_number="+15550100001", to_number="+15550100002", **more)
    the.history.journal.note(JournalEntry.of(note, call=call, at=at))


def test_a_call_whose_row_is_not_written_yet_is_listed(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await the.write_call("c-old")
        began(the, "c-unwritten", control="v3:unwritten")
        assert the.history.journal.unwritten() == ["c-unwritten"], "the writer had no turn yet"
        told = await listed(the)
        assert [call["id"] for call in told] == ["c-unwritten", "c-old"]
        began(the, "c-next", control="v3:next")
        assert (await the.get("/api/calls?sid=v3:next")).json()["id"] == "c-next"

    play(tmp_path, main)


def test_without_a_history_the_live_calls_and_those_in_memory_are_listed(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        the.live("c-live")
        began(the, "c-memory", control="v3:memory")
        assert [call["id"] for call in await listed(the)] == ["c-memory", "c-live"]
        for sid in ("c-live", "c-memory", "v3:memory"):
            assert (await the.get(f"/api/calls?sid={sid}")).status == 200, sid
        assert (await the.get("/api/calls?sid=CA404")).status == 503, "it may be in the history"

    play(tmp_path, main, opened=False)


def test_a_history_that_breaks_leaves_the_live_calls(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await the.write_call("c-memory")
        the.live("c-live")
        await the.history.database.write(lambda connection: connection.execute(text("DROP TABLE transitions")))
        assert [call["id"] for call in await listed(the)] == ["c-live", "c-memory"]

    play(tmp_path, main)


def test_live_is_a_list_and_no_call(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await the.write_call("live")
        assert set((await the.get("/api/calls/live")).json()) == {"live", "recorded"}
        assert (await the.get("/api/calls?sid=live")).json()["id"] == "live", "it can be had all the same"
        assert (await the.get("/api/conversations/stream/live")).status == 200
        assert (await the.send("POST", "/api/calls/live/hangup")).status == 409
        assert (await the.get("/api/calls/live/")).status == 404

    play(tmp_path, main)
