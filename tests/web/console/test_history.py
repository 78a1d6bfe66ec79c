"""The history over HTTP: search, paging, export and deletion, without a socket."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from callflow.history.tables import EARLIER
from callflow.journal.notes import Began, Ended, Recording
from tests.web.console.stage import CALL, Stage, play


CALLS = ["c1", "c2", "c3"]


async def written(the: Stage) -> None:
    for number, call in enumerate(CALLS):
        await the.write_call(call, at=1_700_000_000.0 + number * 86400, from_number=f"+1555010000{number}")


async def names(the: Stage, path: str) -> list[str]:
    answer = await the.get(path)
    assert answer.status == 200, answer.body
    return [row["caller_number"][-1] for row in answer.json()]


def test_conversations_are_listed_newest_first_in_pages(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await written(the)
        assert await names(the, "/api/conversations") == ["2", "1", "0"]
        page = await the.get("/api/conversations?limit=2")
        assert 'rel="next"' in page.headers["link"]
        following = page.headers["link"].split(">")[0].removeprefix("<")
        assert await names(the, following) == ["0"]

    play(tmp_path, main)


def test_a_call_that_we_dialled_says_so_and_the_others_are_as_they_were(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await the.write_call("c-in")
        await the.write_call("c-out", at=1_700_000_100.0)
        await the.make_outbound("c-out")
        dialled, came_in = (await the.get("/api/conversations")).json()
        assert tuple(came_in) == EARLIER
        assert tuple(dialled) == (*EARLIER, "direction")
        assert (dialled["direction"], dialled["caller_number"]) == ("outbound", "+15550100001")
        assert (await the.get("/api/conversations/stream/c-out")).json()["direction"] == "outbound"
        assert "direction" not in (await the.get("/api/conversations/stream/c-in")).json()

    play(tmp_path, main)


def test_a_call_that_we_recorded_says_so_with_all_columns(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await the.write(Began(carrier="telnyx"), Recording(file="c.wav"), Ended(cause="hangup"), call="c")
        (told,) = (await the.get("/api/conversations")).json()
        assert tuple(told) == EARLIER
        (whole,) = (await the.get("/api/conversations?columns=all")).json()
        assert whole["recording"] == "c.wav"

    play(tmp_path, main)


def test_a_search_by_number_and_time(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await written(the)
        assert await names(the, "/api/conversations?caller=%2B15550100001") == ["1"]
        assert await names(the, "/api/conversations?callerNumber=%2B15550100001") == ["1"], "its older name"
        assert await names(the, "/api/conversations?from=2023-11-15T12:00:00Z") == ["2", "1"]
        assert await names(the, "/api/conversations/phone/+15550100002?limit=1") == ["2"]

    play(tmp_path, main)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "live=perhaps", "caller=1&callerNumber=2", "since=yesterday", "limitt=1"]
)
def test_a_query_that_makes_no_sense_is_refused(tmp_path: Path, query: str) -> None:
    async def main(the: Stage) -> None:
        answer = await the.get(f"/api/conversations?{query}")
        assert (answer.status, "error" in answer.json()) == (400, True)

    play(tmp_path, main)


def test_one_conversation_is_read_added_to_and_deleted(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await written(the)
        (row, *_) = (await the.get("/api/conversations")).json()
        path = f"/api/conversations/stream/{row['stream_sid']}"
        item = {"id": "i1", "type": "message", "role": "user", "content": [{"type": "text", "text": "Hello"}]}
        assert (await the.send("POST", f"{path}/items", json.dumps({"items": [item]}).encode())).json() == {
            "success": True
        }
        assert (await the.get(path)).json()["items"][0]["content"][0]["text"] == "Hello"
        assert (await the.send("DELETE", path)).json() == {"success": True}
        for method, suffix in (("GET", ""), ("DELETE", ""), ("POST", "/items")):
            assert (await the.send(method, path + suffix)).json() == {"error": "Conversation not found"}

    play(tmp_path, main)


def test_an_export_took_a_page_and_answered_everything(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await written(the)
        for page in ("limit=2", "offset=1"):
            refused = await the.get(f"/api/conversations/export?{page}&format=csv")
            assert (refused.status, page.partition("=")[0] in refused.json()["error"]) == (400, True)
        everything = (await the.get("/api/conversations/export")).json()
        older = (await the.get(f"/api/conversations/export?before={everything[0]['id']}")).json()
        assert older == everything[1:]

    play(tmp_path, main)


def test_a_call_that_goes_on_was_deleted_at_once_and_nobody_could_take_it_back(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        began = Began(carrier="telnyx", from_number="+15550100001", to_number="+15550100002")
        path = f"/api/conversations/stream/{CALL}"
        await the.write(began)  # and the process that has it may be another one
        assert (await the.send("DELETE", path)).status == 409
        assert await the.history.store.unfinished() == [CALL]
        the.live()
        await the.write(Ended(cause="hangup"), at=1_700_000_010.0)
        assert (await the.send("DELETE", path)).status == 409, "its last words are still written"
        the.calls.clear()
        assert (await the.send("DELETE", path)).json() == {"success": True}

    play(tmp_path, main)


def test_many_are_deleted_only_when_it_is_said_which(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await written(the)
        for query in ("", "?all=true&before=2026-01-01", "?all=yes"):
            assert (await the.send("DELETE", f"/api/conversations{query}")).status == 400, query
        assert (await the.send("DELETE", "/api/conversations?before=2023-11-16")).json()["deleted"] == 2
        assert (await the.send("DELETE", "/api/conversations?all=true")).json()["deleted"] == 1
        assert await names(the, "/api/conversations") == []

    play(tmp_path, main)


def test_an_export_has_all_as_json_or_as_a_table(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await written(the)
        found = await the.get("/api/conversations/export?format=json")
        assert [row["call_id"] for row in found.json()] == ["c3", "c2", "c1"]
        table = await the.get("/api/conversations/export?format=csv")
        assert 'filename="calls.csv"' in table.headers["content-disposition"]
        rows = list(csv.DictReader(io.StringIO(table.body.decode())))
        assert [row["call_id"] for row in rows] == ["c3", "c2", "c1"]

    play(tmp_path, main)


def test_a_history_that_is_not_open_says_to_come_again(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        answer = await the.get("/api/conversations")
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")

    play(tmp_path, main, opened=False)
