"""What the operators' port tells of the record, and what it lets in."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import pytest

from callflow.app import Application
from callflow.config.settings import Settings
from callflow.sandbox.openai_realtime import Realtime
from tests.e2e import product as products
from tests.e2e.operators_port import JSON, Port, faults_of
from tests.e2e.product import run, until
from tests.e2e.talk import talk
from tests.e2e.test_operators_port import ended, port


CARD = "4111 1111 1111 1111"


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


SPELLINGS: dict[str, dict[str, Any]] = {
    "spoken": {"content": [text(f"It is {CARD}, until 12/27.")]},
    "without spaces": {"content": [text(CARD.replace(" ", ""))]},
    "in two parts": {"content": [text("My card is 4111 1111"), text("1111 1111, thank you")]},
    "with a NUL in it": {"content": [text("4111\x001111\x0011111111")]},
    "in another field of a part": {"content": [text("", transcript=CARD, deep=[{"er": [CARD]}])]},
    "as a number": {"content": [text("", value=4111111111111111)]},
    "as another number": {"content": [text("", value=4111111111111111.0)]},
    "as the name of a field": {"content": [{"type": "text", CARD: "x"}]},
    "in arguments": {"type": "function_call", "params": json.dumps({"card": CARD})},
    "in arguments, as an object": {"type": "function_call", "params": {"card": [CARD]}},
    "in arguments, escaped": {"type": "function_call", "arguments": '{"card": "\\u0034111 1111 1111 1111"}'},
    "in an output": {"type": "function_call_output", "output": f"charged {CARD}"},
    "in an output, as a number": {"type": "function_call_output", "output": 4111111111111111},
    "in a name": {"type": "function_call", "name": f"pay_{CARD}"},
    "in the role": {"role": CARD},
    "in the status": {"status": CARD},
}


def test_no_card_gets_on_record_by_being_posted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "data"

    async def main() -> None:
        async with port(data_dir=str(folder)) as (the, it):
            row = await ended(the)
            stream = f"/api/conversations/stream/{row['stream_sid']}"
            for number, (name, item) in enumerate(SPELLINGS.items()):
                given = {"id": f"item_{number}", "type": "message", "role": "user"} | item
                body = json.dumps({"items": [given]}).encode()
                answer = await it.ask("POST", f"{stream}/items", body=body, headers=[JSON])
                assert answer.status == 200, f"{name}: {answer.body!r}"
                shown = (await it.ask("GET", stream)).json()["items"]
                kept = json.dumps(next(each for each in shown if each["id"] == f"item_{number}"))
                assert "1111" not in kept, f"{name}: {kept}"
                assert "[card number]" in kept, f"{name}: {kept}"
            for item in ({"id": CARD}, {"id": f"item_{CARD}"}, {"call_id": CARD}):
                body = json.dumps({"items": [{"id": "x", "type": "function_call"} | item]}).encode()
                answer = await it.ask("POST", f"{stream}/items", body=body, headers=[JSON])
                assert (answer.status, "card number" in answer.json()["error"]) == (400, True), item
            found = (await it.ask("GET", "/api/conversations?text=thank")).json()
            assert [each["id"] for each in found] == [row["id"]], "the words beside a card are gone as well"

    run(main())
    kept = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    for spelling in (CARD, CARD.replace(" ", ""), "1111 1111", "11111111"):
        assert spelling.encode() not in kept
        assert spelling not in caplog.text


async def test_patterns_of_the_settings_hold_for_what_is_posted() -> None:
    async with port(redact_patterns="(?i)account [a-z]{3}[0-9]+") as (the, it):
        row = await ended(the)
        stream = f"/api/conversations/stream/{row['stream_sid']}"
        item = {
            "id": "a",
            "type": "message",
            "content": [text("Account DEF12345, please")],
            "output": "account abc1",
        }
        answer = await it.ask("POST", f"{stream}/items", body=json.dumps({"items": [item]}).encode())
        assert answer.status == 200
        kept = (await it.ask("GET", stream)).json()["items"][-1]
        assert kept["content"] == [text("[removed], please")]
        assert kept["output"] == "[removed]"


async def test_what_is_posted_is_kept_whole_or_not_at_all(database_url: str) -> None:
    async with port(database_url=database_url) as (the, it):
        row = await ended(the)
        stream = f"/api/conversations/stream/{row['stream_sid']}"
        before = (await it.ask("GET", stream)).json()
        good = [{"id": f"item_{n}", "type": "message", "content": [text(f"word{n}")]} for n in range(1000)]
        refused = (
            ([*good, {"id": "one_more", "type": "message"}], "1000"),
            ([*good[:10], {"id": "a", "type": "message", "content": [text("x" * 70_000)]}], "items[10]"),
            ([*good[:10], {"id": "a", "type": "message", "timestamp": "9999-12-31T23:59-14:00"}], "items[10]"),
            ([*good[:10], {"id": "a", "type": "message", "role": 5}], "items[10].role"),
        )
        for items, says in refused:
            answer = await it.ask("POST", f"{stream}/items", body=json.dumps({"items": items}).encode())
            assert (answer.status, says in answer.json()["error"]) == (400, True), answer.body
        assert (await it.ask("GET", stream)).json() == before
        for _ in range(2):  # the same again changes nothing
            body = json.dumps({"items": good}).encode()
            assert (await it.ask("POST", f"{stream}/items", body=body)).status == 200
            after = (await it.ask("GET", stream)).json()
            assert after["message_count"] == before["message_count"] + 1000
        assert len((await it.ask("GET", "/api/conversations?text=word999")).json()) == 1


async def test_more_words_than_a_database_can_search_are_refused(database_url: str) -> None:
    """A tsvector of PostgreSQL's holds a megabyte; SQLite's index has no such bound."""
    async with port(database_url=database_url) as (the, it):
        row = await ended(the)
        path = f"/api/conversations/stream/{row['stream_sid']}/items"
        statuses = []
        for post in range(2):
            words = [" ".join(f"w{post}x{item}x{n}" for n in range(4000)) for item in range(40)]
            items = [{"id": f"{post}_{n}", "type": "message", "content": [text(each)]} for n, each in enumerate(words)]
            answer = await it.ask("POST", path, body=json.dumps({"items": items}).encode())
            assert faults_of("POST", path, answer) == []
            statuses.append(answer.status)
        assert statuses == ([200, 200] if database_url.startswith("sqlite") else [400, 400])
        assert (await it.ask("GET", "/health")).json()["journal"]["ok"] is True


async def test_answers_can_be_printed_and_mean_the_same() -> None:
    hostile = "\x1b]0;t\x07 \x9b31m \u202egpj.exe \u2028 \ufeff \x7f 😀 \U000e0041"
    async with port() as (the, it):
        row = await ended(the)
        stream = f"/api/conversations/stream/{row['stream_sid']}"
        item = {"id": hostile, "type": "function_call", "name": hostile, "params": {hostile: hostile},
                "output": hostile, "call_id": hostile, "content": [text(hostile)]}  # fmt: skip
        assert (await it.ask("POST", f"{stream}/items", body=json.dumps({"items": [item]}).encode())).status == 200
        for path in (stream, f"/api/calls/{row['call_id']}", "/api/conversations/export"):
            answer = await it.ask("GET", path)
            assert faults_of("GET", path, answer) == [], path
            told = answer.json()
            told = told[0] if isinstance(told, list) else told.get("conversation", told)
            kept = next(each for each in told["items"] if hostile in (each["id"], each.get("item_id")))
            assert kept["content"] == [text(hostile)], path


CELLS = {
    "\n=1+1": "\\n=1+1", "=1": "'=1", " =1": "' =1", "\t=1": "\\t=1", "\r\n+1": "\\r\\n+1", "@SUM(1)": "'@SUM(1)",
    "-1": "'-1", "+1x": "'+1x", "\uff1d1": "'\uff1d1", "\u3000\uff0d1": "'\u3000\uff0d1", "\ufe621": "'\ufe621",
    "\x1b[2J": "\\x1b[2J", "\x9b": "\\x9b", "\u202e=1": "\\u202e=1", "\u200b=1": "\\u200b=1",
    "+15550100001": "+15550100001", "a=1": "a=1", "client:Łódź": "client:Łódź",
}  # fmt: skip


async def test_a_spreadsheet_runs_nothing_and_a_terminal_neither() -> None:
    """Whoever calls can say any number and any name of a stream, and those before this server could."""
    async with port(max_concurrent_calls=50) as (the, it):
        await ended(the)
        database = sqlite3.connect(str(the.app.history.database.url.database))
        for number, caller in enumerate(CELLS):
            database.execute(
                "INSERT INTO conversations (stream_sid, caller_number, phone_number, started_at)"
                "VALUES (?, ?, '+15550100002', ?)",
                (f"s{number}", caller, f"2020-01-01T00:00:{number:02}.000Z"),
            )
        database.commit()
        database.close()
        answer = await it.ask("GET", "/api/conversations/export?format=csv")
        assert faults_of("GET", "", answer) == []
        rows = {row["stream_sid"]: row["caller_number"] for row in csv.DictReader(io.StringIO(answer.body.decode()))}
        assert {caller: rows[f"s{number}"] for number, caller in enumerate(CELLS)} == CELLS


async def test_nothing_is_deleted_by_a_slip() -> None:
    async with port() as (the, it):
        await ended(the)
        for query in (
            "", "all=1", "all=yes", "all=", "all=true&before=2030-01-01", "before=2030-01-01&number=%2B15550100009",
            "befor=2030-01-01", "before=", "before=soon", "before=2030-01-01&before=2031-01-01", "all=true&limit=1",
            "before=9999-12-31T23:59-14:00",
        ):  # fmt: skip
            answer = await it.ask("DELETE", f"/api/conversations?{query}")
            assert (answer.status, faults_of("DELETE", "", answer)) == (400, []), query
        assert len((await it.ask("GET", "/api/conversations")).json()) == 1
        assert (await it.ask("DELETE", "/api/conversations?all=TRUE")).json() == {"success": True, "deleted": 1}


async def test_the_next_page_is_found_whatever_the_path_was() -> None:
    async with port() as (the, it):
        for _ in range(2):
            await ended(the)
        for number in ("+15550100002", "%2B1%20555%20010%200002", "+15550100002%C2%A0", "%EF%BC%8B15550100002"):
            answer = await it.ask("GET", f"/api/conversations/phone/{number}?limit=1")
            assert (answer.status, len(answer.json())) == (200, 1), number
            link = answer.headers["link"].partition(">")[0].removeprefix("<")
            assert len((await it.ask("GET", link)).json()) == 1, number
        answer = await it.ask("GET", "/api/conversations/phone/+15550100002%0d%0aX-Evil:%201?limit=1")
        assert "x-evil" not in answer.headers


async def test_several_problems_are_told_one_by_one() -> None:
    async with port() as (the, it):
        one = await talk(the)
        path = f"/api/calls/{the.call.id}/session"

        async def told(changes: bytes, *headers: tuple[bytes, bytes]) -> tuple[int, dict[str, Any]]:
            answer = await it.ask("POST", path, body=changes, headers=headers or [JSON])
            assert faults_of("POST", path, answer) == []
            return answer.status, answer.json()

        status, answer = await told(b'{"speed": 9, "port": 1, "nonsense": 2}')
        assert (status, set(answer), len(answer["problems"])) == (400, {"error", "problems"}, 3)
        status, answer = await told(b'{"speed": 9}')
        assert (status, set(answer)) == (400, {"error"})
        assert answer["error"] == "speed must be a number from 0.25 to 1.5, not 9."
        assert (await told(b"{}", (b"Content-Type", b"text/plain")))[0] == 415
        assert await told(b'{"speed": 1.1}') == (200, {"warnings": []})
        await one.call.hang_up()
        await the.quiet()


async def test_a_recording_is_kept_by_nobody_while_it_grows_and_can_be_asked_for_in_parts() -> None:
    async with port(record=True) as (the, it):
        one = await talk(the)
        path = f"/api/calls/{the.call.id}/recording"
        folder = the.app.history.recordings
        await until(lambda: folder.exists() and list(folder.iterdir()), "the recording to be written")
        await the.app.journal.flushed()
        answer = await it.ask("GET", path)
        assert (answer.status, answer.headers["cache-control"]) == (200, "private, no-store")
        await one.call.hang_up()
        await the.quiet()
        await the.app.journal.flushed()
        (file,) = folder.glob("*.wav")
        whole = file.read_bytes()
        answer = await it.ask("GET", path)
        assert answer.body == whole
        assert answer.headers["cache-control"] == "private, max-age=600"
        size = len(whole)
        for given, start, end in (
            ("0-43", 0, 44), ("44-", 44, size), ("-44", size - 44, size), (f"-{size * 2}", 0, size), ("1-1", 1, 2),
            (f"10-{size * 9}", 10, size),
        ):  # fmt: skip
            answer = await it.ask("GET", path, headers=[(b"Range", b"bytes=" + given.encode())])
            assert (answer.status, answer.body == whole[start:end]) == (206, True), given
            assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{size}", given
            assert answer.headers["cache-control"] == "private, max-age=600"
        for given in (f"{size}-", "9-1", "²-", "0-1,5-6", "x", "0-" + "9" * 5000):
            answer = await it.ask("GET", path, headers=[(b"Range", b"bytes=" + given.encode())])
            assert (answer.status, faults_of("GET", path, answer)) == (416, []), given
            assert answer.headers["content-range"] == f"bytes */{size}", given
        head = await it.ask("HEAD", path)
        assert (head.status, head.headers["content-length"], head.body) == (200, str(size), b"")
        for query, status in (("part=1", 200), ("part=2", 404), ("part=0", 404), ("part=1&part=1", 400)):
            assert (await it.ask("GET", f"{path}?{query}")).status == status, query
        file.unlink()
        assert (await it.ask("GET", path)).status == 404


async def test_before_the_record_is_open_live_calls_are_told_and_the_rest_is_asked_to_wait() -> None:
    """In the first second of a new data folder, and as long as somebody else holds the file."""
    carrier, realtime = products.exchange(), Realtime()
    async with carrier, realtime:
        with tempfile.TemporaryDirectory() as folder:
            holder = sqlite3.connect(Path(folder) / "callflow.db", isolation_level=None)
            holder.execute("BEGIN EXCLUSIVE")
            chosen: dict[str, Any] = {
                "openai_api_key": realtime.api_key, "openai_realtime_url": realtime.url, **carrier.settings(),
                "port": 0, "console_port": 0, "data_dir": folder,
            }  # fmt: skip
            line = Application(Settings(**chosen))
            starting = asyncio.create_task(line.__aenter__())
            await until(lambda: line.console_at[1], "the operators' port")
            it = Port(line.console_at[1], token="")
            await it.listens()
            assert line.journal.trouble == "", "it is known already that the file is held"
            assert (await it.ask("GET", "/api/calls/live")).json() == {"live": [], "recorded": []}
            for method, path in (
                ("GET", "/api/conversations"), ("GET", "/api/conversations/export"), ("GET", "/api/calls/x"),
                ("GET", "/api/calls/x/recording"), ("DELETE", "/api/conversations?all=true"),
                ("POST", "/api/conversations/stream/x/items"),
            ):  # fmt: skip
                answer = await it.ask(method, path, body=b"{}" if method == "POST" else None)
                assert (answer.status, set(answer.json())) == (503, {"error"}), f"{method} {path}"
                assert answer.headers["retry-after"] == "1"
            assert (await it.ask("GET", "/nothing")).status == 404
            holder.execute("ROLLBACK")
            holder.close()
            await starting
            await line.recovery.is_open(10)
            assert (await it.ask("GET", "/api/conversations")).json() == []
            await line.__aexit__()
