"""Figures of many calls, counted by the database."""

from __future__ import annotations

from pathlib import Path

import pytest

from callflow.history.query import Query
from callflow.history.statistics import percentile
from callflow.journal.notes import Began, Ended, FirstWord, Latency, Turn
from tests.history.sql import execute
from tests.web.console.stage import Stage, play


NOON = 1_700_000_000.0 - 1_700_000_000.0 % 86400 + 43200


async def one(
    the: Stage, call: str, at: float, *latencies: int, cause: str = "agent", talked: float = 0.0, session: str = ""
) -> None:
    """A call that is over."""
    turns = [
        note for number, ms in enumerate(latencies)
        for note in (
            # as it comes: what is heard is written down later, unless the model was quicker with the words
            Latency(item=f"i{number}", total_ms=ms if ms != 600 else 1),
            Turn(who="agent", item=f"i{number}", text="Yes.", whole=True),
            *([Latency(item=f"i{number}", total_ms=600)] if ms == 600 else []),
        )
    ]  # fmt: skip
    first = [FirstWord(ms=300)] if latencies else []
    began = Began(carrier="telnyx", session=session, from_number="+15550100001", to_number="+15550100002")
    await the.write(began, *first, *turns, Ended(cause=cause), call=call, at=at)
    if talked:
        row = {"call": call, "seconds": talked}
        sql = "UPDATE conversations SET answered_seconds = :seconds, answered_at = started_at WHERE call_id = :call"
        await execute(the.history.database, sql, row=row)


def test_the_database_counts(database_url: str, tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await one(the, "c1", NOON, 400, 600, talked=30.4)
        await one(the, "c2", NOON + 600, 2000, talked=61.0)
        await one(the, "c3", NOON + 3600, cause="normal_clearing")
        await one(the, "c4", NOON - 86400 * 300, 9999, talked=900.0)
        await one(the, "c5", NOON + 601, talked=60.0, session="call:c2")  # the other leg of c2
        path = "/api/stats?from=2023-11-14&to=2023-11-14"
        told = (await the.get(path)).json()
        assert told["calls"] == {"all": 3, "answered": 2, "rate": 0.6667, "over": 3, "whole": True, "most": 20_000}
        assert told["seconds"] == {"count": 2, "p50": 30, "p95": 61}
        assert (told["latency_ms"]["count"], told["latency_ms"]["p50"], told["latency_ms"]["p95"]) == (3, 600, 2000)
        assert {each["until"]: each["count"] for each in told["latency_ms"]["bins"] if each["count"]} == {
            500: 1, 750: 1, 2000: 1,
        }  # fmt: skip
        assert told["hours"] == [
            {"at": "2023-11-14T12:00:00.000Z", "calls": 2, "answered": 2},
            {"at": "2023-11-14T13:00:00.000Z", "calls": 1, "answered": 0},
        ]
        assert told["results"] == [{"result": "success", "calls": 2}, {"result": "caller", "calls": 1}]
        assert told["directions"] == [{"name": "inbound", "calls": 3, "answered": 2}]
        assert told["minutes"] == 1.5
        words = (await the.get(f"{path}&text=yes&number=%2B15550100001")).json()
        assert words["calls"]["all"] == 2, "the same filters as in the list"
        assert (await the.get("/api/stats?from=2023-01-01&to=2023-12-31")).status == 400
        nothing = (await the.get("/api/stats")).json()
        assert (nothing["calls"]["all"], nothing["calls"]["rate"], nothing["latency_ms"]["p50"]) == (0, None, None)
        assert (await the.history.statistics.of(Query(limit=1)))["calls"]["all"] == 4

    play(tmp_path, main, url=database_url)


def test_calls_of_an_earlier_system_were_answered_as_the_list_of_calls_says(database_url: str, tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await one(the, "c1", NOON)
        await execute(
            the.history.database,
            "INSERT INTO conversations (stream_sid, phone_number, started_at, ended_at, duration_seconds) VALUES "
            "('MZ1', '+15550100002', '2023-11-14T10:00:00.000Z', '2023-11-14T10:10:00.000Z', 600)",
        )
        listed = (await the.get("/api/calls")).json()[-1]
        told = (await the.get("/api/stats?from=2023-11-14&to=2023-11-14")).json()
        assert (listed["status"], int(listed["duration"])) == ("completed", 600)
        assert (told["calls"]["all"], told["calls"]["answered"], told["minutes"]) == (2, 1, 10.0)
        assert (told["seconds"]["count"], told["seconds"]["p50"]) == (1, 600)
        assert [(each["calls"], each["answered"]) for each in told["hours"]] == [(1, 1), (1, 0)]

    play(tmp_path, main, url=database_url)


@pytest.mark.parametrize(
    "asked", ["to=0001-01-20", "to=0001-01-01", "from=9999-12-31", "from=0001-01-01&to=0001-01-20"]
)
def test_figures_of_dates_far_away_are_none(tmp_path: Path, asked: str) -> None:
    async def main(the: Stage) -> None:
        answer = await the.get(f"/api/stats?{asked}")
        is_refused = asked == "from=9999-12-31"
        assert (answer.status, b"is after" in answer.body) == ((400, True) if is_refused else (200, False))

    play(tmp_path, main)


def test_percentiles_of_counted_values() -> None:
    values = [[10, 1], [20, 8], [90, 1]]
    assert [percentile(values, share) for share in (0.05, 0.5, 0.9, 0.95)] == [10, 20, 20, 90]
    assert percentile([], 0.5) is None
