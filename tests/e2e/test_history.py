"""The record of a call over HTTP: right in every field, within a second, and in the old system's words."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from callflow.sandbox.common.phone import tone
from callflow.sandbox.openai_realtime import Pace, Realtime, Script, Turn
from callflow.sandbox.twilio import Twilio
from tests.e2e.product import Product, product, run, until
from tests.e2e.talk import noise, talk
from tests.history.test_database import EARLIER


CARRIERS = ("telnyx", "twilio")
SAMPLED = True
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
TOOLS = '''
def opening(day: str) -> str:
    """When we are open."""
    return f"{day}: nine to five"


tools = [opening]
'''
CARD = "4111 1111 1111 1111"


def model(*, heard: str = "When are you open on Monday?") -> Realtime:
    turns = (
        Turn.say("Good morning.", noise(300, 1)),
        Turn.call("opening", day="Monday"),
        Turn.say("We are open from nine to five.", noise(400, 2)),
    )
    pace = Pace(first_byte_ms=20, speed=20, jitter=0, transcription_ms=0)
    return Realtime(script=Script.of(*turns, heard=[heard]), pace=pace)


@asynccontextmanager
async def recorded(tmp_path: Path, **settings: Any) -> AsyncIterator[tuple[Product, httpx.AsyncClient]]:
    (tmp_path / "tools.py").write_text(TOOLS, encoding="utf-8")
    given: dict[str, Any] = {
        "tools_file": str(tmp_path / "tools.py"), "vad_silence_ms": 200, "no_input_seconds": 0,
        "realtime": model(), **settings,
    }  # fmt: skip
    async with product(**given) as the:
        url = f"http://127.0.0.1:{the.app.console_at[1]}"
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            yield the, client


async def scripted(the: Product) -> str:
    """Greeting, a question, a tool, its answer, the end. Returns the id of the call's stream."""
    one = await talk(the)
    await one.phone.hears(0.25)
    await one.phone.hears_silence(250)
    one.phone.say(tone(400))
    await one.phone.spoken()
    await until(lambda: the.happened("tool_finished"), "the tool")
    await one.phone.hears(0.35)
    await one.phone.hears_silence(250)
    stream: str = the.happened("media_started")[0]["stream"]
    return stream


def number_id(the: Product) -> str:
    """The carrier's own id of the number that is called."""
    if isinstance(the.carrier, Twilio):
        return the.carrier.exchange.numbers["+15550100002"].sid
    return the.telnyx.number("+15550100002").id


def plain(value: Any) -> Any:
    """Without what differs from run to run: times (whose form is checked), ids, the carrier's names."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return "<time>" if isinstance(value, str) and TIME.fullmatch(value) else value


GOLDEN_ITEMS = [
    {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Good morning."}], "call_id": None,
     "name": None, "params": None, "output": None},
    {"type": "message", "role": "user", "content": [{"type": "text", "text": "When are you open on Monday?"}],
     "call_id": None, "name": None, "params": None, "output": None},
    {"type": "function_call", "role": "assistant", "content": [], "call_id": "<call>", "name": "opening",
     "params": '{"day": "Monday"}', "output": '"Monday: nine to five"'},
    {"type": "function_call_output", "role": "tool", "content": [], "call_id": "<call>", "name": "opening",
     "params": '{"day": "Monday"}', "output": '"Monday: nine to five"'},
    {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "We are open from nine to five."}],
     "call_id": None, "name": None, "params": None, "output": None},
]  # fmt: skip


async def test_a_scripted_call_is_on_record_as_it_was(tmp_path: Path, database_url: str) -> None:
    async with recorded(tmp_path, database_url=database_url) as (the, client):
        stream = await scripted(the)
        while_live = (await client.get("/api/conversations")).json()
        assert [row["ended_at"] for row in while_live] == [None]
        await the.carrier_call().hang_up()
        await the.quiet()
        await the.app.journal.flushed()

        (row,) = (await client.get("/api/conversations")).json()
        assert isinstance(row["id"], int)
        assert plain(row) == {
            "id": row["id"], "stream_sid": stream, "phone_number": "+15550100002",
            "phone_number_sid": number_id(the), "caller_number": "+15550100001", "started_at": "<time>",
            "ended_at": "<time>", "duration_seconds": row["duration_seconds"], "message_count": 3,
            "created_at": "<time>",
        }  # fmt: skip
        assert 1 <= row["duration_seconds"] <= 10

        whole = (await client.get(f"/api/conversations/stream/{stream}")).json()
        items = whole.pop("items")
        assert whole == row
        call = next(item["call_id"] for item in items if item["call_id"])
        for item in items:
            assert item.pop("object") == "realtime.item"
            assert item.pop("streamSid") == stream
            assert item.pop("status") == "completed"
            assert item.pop("id")
        times = [item.pop("timestamp") for item in items]
        assert all(TIME.fullmatch(at) for at in times)
        assert times == sorted(times)
        assert row["started_at"] < times[0] < times[-1] < row["ended_at"]
        expected = json.loads(json.dumps(GOLDEN_ITEMS).replace("<call>", call))
        for item, wanted in zip(items, expected, strict=True):
            for name in ("params", "output"):
                item[name], wanted[name] = (
                    None if each[name] is None else json.loads(each[name]) for each in (item, wanted)
                )
        assert items == expected

        paths = [f"/api/conversations/phone/{each}" for each in ("%2B15550100002", "+15550100002")]
        for path in [*paths, f"/api/conversations/stream/{the.app.journal.calls()[0]}"]:
            answer = (await client.get(path)).json()
            assert (answer[0] if isinstance(answer, list) else answer)["id"] == row["id"], path
        path = f"/api/conversations/phone-sid/{number_id(the)}"
        assert [each["id"] for each in (await client.get(path)).json()] == [row["id"]]
        assert (await client.get("/api/conversations/phone-sid/PNnone")).json() == []

        full = (await client.get(f"/api/calls/{the.app.journal.calls()[0]}")).json()["conversation"]
        assert full["direction"] == "inbound"
        assert full["carrier"] in ("telnyx", "twilio")
        assert full["usage"]["models"]["gpt-realtime-2.1"]["audio_out"] > 0
        assert full["cost_usd"] == pytest.approx(full["usage"]["usd"])
        assert [one["after"] for one in full["transitions"]] == ["answered", "streaming", "hangup"]
        assert [one["stream_sid"] for one in full["streams"]] == [stream]
        assert any(item["latency"] for item in full["items"]), "no answer says how long it took"


async def test_what_is_not_there_is_404_and_limits_are_checked(tmp_path: Path) -> None:
    async with recorded(tmp_path) as (_, client):
        for method, path, body in (
            ("GET", "/api/conversations/stream/none", None),
            ("DELETE", "/api/conversations/stream/none", None),
            ("POST", "/api/conversations/stream/none/items", {"items": []}),
        ):
            answer = await client.request(method, path, json=body)
            assert (answer.status_code, answer.json()) == (404, {"error": "Conversation not found"})
        for limit, status in (
            ("1", 200),
            ("500", 200),
            ("", 200),
            ("0", 400),
            ("-1", 400),
            ("501", 400),
            ("1000000000", 400),
            ("abc", 400),
            ("1.5", 400),
        ):
            answer = await client.get("/api/conversations", params={"limit": limit})
            assert answer.status_code == status, limit
            assert isinstance(answer.json(), list) if status == 200 else set(answer.json()) == {"error"}
        answer = await client.get("/api/conversations", params={"from": "yesterday"})
        assert answer.status_code == 400
        assert "2026-01-31" in answer.json()["error"]


async def test_items_that_somebody_else_kept_are_added_and_ours_win(tmp_path: Path) -> None:
    async with recorded(tmp_path) as (the, client):
        stream = await scripted(the)
        path = f"/api/conversations/stream/{stream}"
        before = (await client.get(path)).json()
        ours = before["items"][0]
        others = [
            {"id": ours["id"], "type": "message", "role": "user", "content": [{"type": "text", "text": "lies"}]},
            {"id": "item_new", "type": "message", "role": "user", "content": [{"type": "text", "text": "Thanks"}],
             "timestamp": "2026-11-25 10:00:00"},
        ]  # fmt: skip
        answer = await client.post(f"{path}/items", json={"items": others})
        assert (answer.status_code, answer.json()) == (200, {"success": True})
        after = (await client.get(path)).json()
        assert after["message_count"] == before["message_count"] + 1
        assert after["ended_at"] is None, "a live call was said to be over"
        by_id = {item["id"]: item for item in after["items"]}
        assert by_id[ours["id"]] == ours
        found = (await client.get("/api/conversations", params={"text": "thanks nine"})).json()
        assert [row["id"] for row in found] == [before["id"]], "what somebody else kept is not found"
        assert by_id["item_new"]["timestamp"] == "2026-11-25T10:00:00.000Z"
        for wrong in ({}, {"items": "x"}, {"items": [{"id": "a"}]}, {"items": [{"type": "message"}]}):
            assert (await client.post(f"{path}/items", json=wrong)).status_code == 400


async def test_search_paging_export_and_deletion(tmp_path: Path, database_url: str) -> None:
    async with recorded(tmp_path, database_url=database_url) as (the, client):
        for _ in range(3):
            one = await talk(the)
            await one.phone.hears(0.2)
            await one.phone.hears_silence(300)  # what the caller does not hear is not found
            await one.call.hang_up()
            await the.quiet()
        await the.app.journal.flushed()
        seen, path = [], "/api/conversations?limit=2&text=morning"
        while path:
            answer = await client.get(path)
            seen += [row["id"] for row in answer.json()]
            path = answer.links.get("next", {}).get("url", "")
        assert seen == sorted(seen, reverse=True)
        assert len(seen) == 3
        for params, count in (
            ({"text": "midnight"}, 0), ({"number": "+1 555 010 0001"}, 3), ({"number": "+15550100009"}, 0),
            ({"from": "2026-01-01"}, 3), ({"to": "2026-01-01"}, 0), ({"live": "true"}, 0),
            ({"text": "morning", "number": "+15550100001", "from": "2026-01-01"}, 3),
        ):  # fmt: skip
            answer = await client.get("/api/conversations", params=params)
            assert len(answer.json()) == count, params
        exported = (await client.get("/api/conversations/export")).json()
        assert [row["items"][0]["content"][0]["text"] for row in exported] == ["Good morning."] * 3
        answer = await client.get("/api/conversations/export", params={"format": "csv"})
        assert answer.headers["content-type"].startswith("text/csv")
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert [row["caller_number"] for row in rows] == ["+15550100001"] * 3

        gone = exported[0]
        answer = await client.delete(f"/api/conversations/stream/{gone['stream_sid']}")
        assert answer.json() == {"success": True}
        assert (await client.get(f"/api/conversations/stream/{gone['stream_sid']}")).status_code == 404
        assert (await client.get(f"/api/calls/{gone['call_id']}")).status_code == 404
        assert (await client.delete("/api/conversations")).status_code == 400
        assert (await client.delete("/api/conversations?before=2026-01-01")).json() == {
            "success": True,
            "deleted": 0,
        }
        assert (await client.delete("/api/conversations?all=true")).json() == {"success": True, "deleted": 2}
        assert (await client.get("/api/conversations")).json() == []


@pytest.mark.carrier("telnyx")
async def test_calls_of_the_earlier_system_are_listed_and_told(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / "old.db")
    old.executescript(EARLIER)
    old.close()
    async with recorded(tmp_path, database_url=f"sqlite:///{tmp_path}/old.db") as (_, client):
        names = (await client.get("/api/calls/live")).json()["recorded"]
        assert names == ["MZold1", "MZold2"]
        for name, why in zip(names, ("why is not in the history", "no end is in the history"), strict=True):
            answer = await client.get(f"/api/calls/{name}")
            assert answer.status_code == 200, f"{name} is listed, and denied"
            told = answer.json()
            assert (told["call"], told["entries"], told["records"]) == (name, [], [])
            assert told["conversation"]["ended_because"] == why
        assert (await client.get("/api/calls/MZold")).status_code == 404
        table = csv.DictReader(io.StringIO((await client.get("/api/conversations/export?format=csv")).text))
        assert [row["ended_because"] for row in table] == ["no end is in the history", "why is not in the history"]


@pytest.mark.carrier("telnyx")
async def test_a_number_of_another_country_is_not_missed_in_silence(tmp_path: Path) -> None:
    async with recorded(tmp_path, default_country="GB") as (_, client):
        for path in (
            "/api/conversations?number=030 12345678", "/api/conversations?caller=030 12345678",
            "/api/conversations/phone/030 12345678", "/api/conversations/export?called=030 12345678",
            "/api/conversations/phone/030\u00a012345678",
        ):  # fmt: skip
            answer = await client.get(path)
            assert (answer.status_code, answer.json()) == (200, []), path
            assert "looked for as a number of GB (default_country)" in answer.headers["warning"], path
        for path in ("?number=%2B49 30 12345678", "?number=anonymous", "?text=nobody", "/phone-sid/PN1", ""):
            answer = await client.get(f"/api/conversations{path}")
            assert (answer.json(), answer.headers.get("warning")) == ([], None), path


async def test_too_old_calls_are_deleted_by_themselves(tmp_path: Path) -> None:
    folder = str(tmp_path / "data")
    async with recorded(tmp_path, data_dir=folder, record=True) as (the, _):
        one = await talk(the)
        await one.phone.hears(0.2)
        await one.call.hang_up()
        await the.quiet()
        assert list(the.app.history.recordings.iterdir())
    async with recorded(tmp_path, data_dir=folder) as (the, client):
        assert len((await client.get("/api/conversations")).json()) == 1, "kept for ever, unless told otherwise"
    async with recorded(tmp_path, data_dir=folder, retention_days=1e-9) as (the, client):
        async with asyncio.timeout(10):  # the recording is deleted first, and then the row that names it
            while (await client.get("/api/conversations")).json():  # noqa: ASYNC110 - over HTTP
                await asyncio.sleep(0.005)
        assert not list(the.app.history.recordings.iterdir())


def test_a_card_number_is_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Said by the caller, given to a tool and answered by it: neither the database nor the log has it."""
    number = CARD.replace(" ", "")
    turns = (
        Turn.say("Good morning.", noise(300, 1)),
        Turn.call("opening", day=number),
        Turn.say(f"So it is {CARD}.", noise(400, 2)),
    )
    realtime = Realtime(
        script=Script.of(*turns, heard=[f"My card is {CARD}, until 12/27."]),
        pace=Pace(first_byte_ms=20, speed=20, jitter=0, transcription_ms=0),
    )
    folder = tmp_path / "data"

    async def main() -> None:
        async with recorded(tmp_path, realtime=realtime, data_dir=str(folder)) as (the, client):
            await scripted(the)
            await the.carrier_call().hang_up()
            await the.quiet()
            await the.app.journal.flushed()
            shown = (await client.get(f"/api/calls/{the.app.journal.calls()[0]}")).text
            assert "[card number]" in shown
            assert not re.search(r"(?<![\w.])4111(?!\w)|4111\W?1111", shown)  # nor as part of a time or an id
            assert (await client.get("/api/conversations?text=card")).json(), "the words beside it are gone as well"

    for ours in ("callflow.call.call", "callflow.agent.agent", "callflow.engines", "callflow.history", "carriers"):
        caplog.set_level("DEBUG", ours)
    run(main())
    kept = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    for spelling in (CARD, number, "4111"):
        assert spelling.encode() not in kept
        assert spelling not in caplog.text


async def test_a_database_in_trouble_stops_no_call_and_is_plain_to_see(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with recorded(tmp_path, data_dir=str(folder)) as (the, client):
        locker = sqlite3.connect(folder / "callflow.db", isolation_level=None)
        locker.execute("BEGIN EXCLUSIVE")
        await scripted(the)
        health = (await client.get("/health")).json()
        assert health["journal"]["ok"] is False
        assert "locked" in health["journal"]["trouble"]
        locker.execute("ROLLBACK")
        locker.close()
        await until(lambda: the.app.journal.waiting == 0, "the journal to catch up", 10)
        (row,) = (await client.get("/api/conversations")).json()
        assert row["message_count"] == 3


@pytest.mark.one_node("nodes meet in the database")
async def test_a_record_that_cannot_be_opened_keeps_nobody_from_being_answered(tmp_path: Path) -> None:
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"this is no database" * 100)
    async with recorded(tmp_path, database_url=f"sqlite:///{broken}") as (the, client):
        assert any("THE HISTORY CANNOT BE OPENED" in line for line in the.app.warnings)
        one = await talk(the)
        await one.phone.hears(0.2)
        answer = await client.get("/api/conversations")
        assert (answer.status_code, set(answer.json())) == (503, {"error"})
        assert answer.headers["retry-after"]
        assert [call["id"] for call in (await client.get("/api/calls/live")).json()["live"]] == [the.call.id]
        assert "sqlite" not in answer.text.lower()
        await one.call.hang_up()
        await asyncio.sleep(0)
