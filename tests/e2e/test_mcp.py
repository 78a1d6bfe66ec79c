"""The record for language models, asked by the MCP package's own client: over standard input and output, and HTTP."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import Client, MCPError, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from callflow.config import files
from callflow.mcp import stdio as mcp
from callflow.mcp.stdio import history_url, home
from tests.e2e.operators_port import MCP_HEADERS, TOKEN, Answer, Log, Port, faults_of
from tests.e2e.process import ROOT
from tests.e2e.product import product, run
from tests.e2e.talk import talk
from tests.history.test_database import EARLIER
from tests.sample import Sample


OLD = ["get_conversations", "get_conversation_details", "search_conversations", "search_conversations_by_caller"]
NEW = ["search_conversations_by_text", "get_conversation_timeline"]
ROW = ["id", "stream_sid", "phone_number", "phone_number_sid", "caller_number", "started_at", "ended_at",
       "duration_seconds", "message_count"]  # fmt: skip


@asynccontextmanager
async def reading(folder: Path, database_url: str = "") -> AsyncIterator[Client]:
    """`python -m callflow.mcp`, in a folder that is not Callflow's."""
    variables = {"PATH": os.environ["PATH"], "DATABASE_URL": database_url or f"sqlite:///{folder}/callflow.db"}
    server = StdioServerParameters(command=sys.executable, args=["-m", "callflow.mcp"], env=variables, cwd=folder)
    async with Client(stdio_client(server)) as client:
        yield client


async def asked(client: Client, tool: str, **arguments: Any) -> Any:
    result = await client.call_tool(tool, arguments)
    (content,) = result.content
    assert content.type == "text"
    assert not result.is_error, content.text
    return json.loads(content.text)


async def refused(client: Client, tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    (content,) = result.content
    assert content.type == "text"
    assert result.is_error
    return content.text


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A database as the earlier system left it, with two more calls than 100."""
    database = sqlite3.connect(tmp_path / "callflow.db")
    database.executescript(EARLIER)
    database.executemany(
        "INSERT INTO conversations (stream_sid, phone_number, caller_number, started_at) VALUES (?, ?, ?, ?)",
        [(f"MZ{n:03}", "+15550100003", "+15550100007", f"2025-11-01 10:{n // 60:02}:{n % 60:02}") for n in range(100)],
    )
    database.commit()
    database.close()
    return tmp_path


async def the_tools_are_those_of_the_earlier_system_and_two_more(client: Client) -> None:
    info = client.server_info
    assert info is not None
    assert (info.name, info.version) == ("twilio-conversations", "1.0.0")
    tools = {tool.name: tool.input_schema for tool in (await client.list_tools()).tools}
    assert list(tools) == OLD + NEW
    assert {name: sorted(schema["properties"]) for name, schema in tools.items()} == {
        "get_conversations": ["limit", "phoneNumber", "phoneNumberSid"],
        "get_conversation_details": ["streamSid"],
        "search_conversations": ["endDate", "limit", "startDate"],
        "search_conversations_by_caller": ["callerNumber", "limit"],
        "search_conversations_by_text": ["limit", "query"],
        "get_conversation_timeline": ["streamSid"],
    }
    assert {name: schema.get("required", []) for name, schema in tools.items()} == {
        "get_conversations": [], "get_conversation_details": ["streamSid"], "search_conversations": [],
        "search_conversations_by_caller": ["callerNumber"], "search_conversations_by_text": ["query"],
        "get_conversation_timeline": ["streamSid"],
    }  # fmt: skip


async def every_tool_answers_and_dates_mean_what_they_say(client: Client) -> None:
    rows = await asked(client, "get_conversations")
    assert len(rows) == 50
    assert [row["stream_sid"] for row in rows[:2]] == ["MZold2", "MZold1"]
    assert list(rows[0]) == [*ROW, "created_at"]
    assert rows[1]["started_at"] == "2025-12-01T23:00:00.000Z"
    assert len(await asked(client, "get_conversations", limit=10**9)) == 102
    assert len(await asked(client, "get_conversations", limit=0)) == 1
    assert len(await asked(client, "get_conversations", phoneNumber="+1 555 010 0002")) == 2
    assert await asked(client, "get_conversations", phoneNumber="+15550100002", phoneNumberSid="PNx") == []

    # a call at 23:00 is after 10:00 of the same day, and a date as an end means that whole day
    for arguments in (
        {"startDate": "2025-12-01T10:00:00Z"},
        {"startDate": "2025-12-01", "endDate": "2025-12-01"},
    ):
        found = [row["stream_sid"] for row in await asked(client, "search_conversations", **arguments)]
        assert "MZold1" in found, arguments
    by_caller = await asked(client, "search_conversations_by_caller", callerNumber="(555) 010-0001")
    assert [row["stream_sid"] for row in by_caller] == ["MZold1"]
    by_text = await asked(client, "search_conversations_by_text", query="rye loaf")
    assert [row["stream_sid"] for row in by_text] == ["MZold1"]

    details = await asked(client, "get_conversation_details", streamSid="MZold1")
    assert list(details["conversation"]) == ROW
    assert [item["content"] for item in details["items"]][:2] == [
        "Welcome to the bakery",
        "A loaf of rye please",
    ]
    assert list(details["items"][0]) == ["role", "content", "timestamp", "type"]
    timeline = await asked(client, "get_conversation_timeline", streamSid="MZold1")
    assert (timeline["conversation"], timeline["ended"]) == (details["conversation"], "why is not in the history")
    assert timeline["timeline"] == [
        {"seconds": 2.0, "what": "agent: Welcome to the bakery"},
        {"seconds": 5.25, "what": "caller: A loaf of rye please"},
    ], "an earlier system kept no journal: what was said is all there is"
    timeline = await asked(client, "get_conversation_timeline", streamSid="MZold2")
    assert (timeline["ended"], timeline["timeline"]) == ("no end is in the history", [])


async def what_cannot_be_answered_is_an_error_in_english(client: Client) -> None:
    assert "streamSid is needed" in await refused(client, "get_conversation_details")
    assert "no conversation 'MZnone'" in await refused(client, "get_conversation_details", streamSid="MZnone")
    assert "callerNumber is needed" in await refused(client, "search_conversations_by_caller")
    assert "is no date" in await refused(client, "search_conversations", startDate="yesterday")
    assert "limit must be" in await refused(client, "get_conversations", limit="many")
    assert "there is no tool 'delete_all'" in await refused(client, "delete_all")
    assert (await refused(client, "get_conversation_details")).startswith("Error: ")


async def resources_are_the_newest_hundred_conversations(client: Client) -> None:
    resources = (await client.list_resources()).resources
    assert len(resources) == 100
    second = resources[1]
    at = datetime.fromisoformat("2025-12-01T23:00:00Z").astimezone().strftime("%Y-%m-%d %H:%M:%S")
    assert str(second.uri) == "conversation://MZold1"
    assert second.name == f"Conversation +15550100001 - {at}"
    assert second.description == f"Conversation of {at} (caller: +15550100001)"
    assert second.mime_type == "application/json"
    (content,) = (await client.read_resource(str(second.uri))).contents
    assert json.loads(getattr(content, "text", "")) == await asked(
        client, "get_conversation_details", streamSid="MZold1"
    )
    for uri in ("conversation://MZnone", "file:///etc/passwd"):
        with pytest.raises(MCPError):
            await client.read_resource(uri)


async def a_number_of_another_country_is_not_missed_in_silence(client: Client) -> None:
    for tool, argument in (
        ("get_conversations", "phoneNumber"), ("search_conversations_by_caller", "callerNumber"),
    ):  # fmt: skip
        result = await client.call_tool(tool, {argument: "030 12345678"})
        found, note = (getattr(content, "text", "") for content in result.content)
        assert (json.loads(found), result.is_error) == ([], False)
        assert "looked for as a number of US (default_country)" in note
        assert await asked(client, tool, **{argument: "+49 30 12345678"}) == []


async def test_what_an_earlier_system_left_is_answered_over_standard_input_and_output(earlier: Path) -> None:
    """All by one process: each start takes more than a second of a core."""
    async with reading(earlier) as client:
        await the_tools_are_those_of_the_earlier_system_and_two_more(client)
        await every_tool_answers_and_dates_mean_what_they_say(client)
        await what_cannot_be_answered_is_an_error_in_english(client)
        await resources_are_the_newest_hundred_conversations(client)
        await a_number_of_another_country_is_not_missed_in_silence(client)


async def test_without_a_record_the_client_is_told_what_to_do(tmp_path: Path) -> None:
    async with reading(tmp_path) as client:
        assert "start Callflow's server once" in await refused(client, "get_conversations")
        assert (await client.list_resources()).resources == []


@pytest.mark.proof
def test_an_earlier_record_stays_as_it_is(earlier: Path) -> None:
    """To the byte, and with nothing beside it, whatever is asked."""
    path = earlier / "callflow.db"
    before = (path.read_bytes(), path.stat().st_mtime_ns)

    async def main() -> None:
        async with reading(earlier) as client:
            everything: dict[str, dict[str, Any]] = {
                "get_conversations": {}, "get_conversation_details": {"streamSid": "MZold1"},
                "search_conversations": {"startDate": "2025-12-01"},
                "search_conversations_by_caller": {"callerNumber": "+15550100001"},
                "search_conversations_by_text": {"query": "bak*"},
                "get_conversation_timeline": {"streamSid": "MZold1"},
            }  # fmt: skip
            assert list(everything) == OLD + NEW
            for tool, arguments in everything.items():
                assert await asked(client, tool, **arguments), tool
                assert (path.read_bytes(), path.stat().st_mtime_ns) == before, f"{tool} changed the record"
            for resource in (await client.list_resources()).resources[:3]:
                await client.read_resource(str(resource.uri))

    run(main())
    assert [each.name for each in earlier.iterdir()] == ["callflow.db"]
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


@pytest.mark.proof
async def test_it_reads_beside_a_server_that_writes(tmp_path: Path, database_url: str) -> None:
    async with (
        product(database_url=database_url, data_dir=str(tmp_path / "data")) as the,
        reading(tmp_path, database_url) as client,
    ):
        for number in range(3):
            one = await talk(the)
            await one.phone.hears(0.2)
            await the.app.journal.flushed()
            rows = await asked(client, "get_conversations")
            assert [row["ended_at"] is None for row in rows] == [True, *[False] * number]
            timeline = await asked(client, "get_conversation_timeline", streamSid=rows[0]["stream_sid"])
            assert timeline["ended"] == "it has not ended"
            await one.call.hang_up()
            await the.quiet()
            await the.app.journal.flushed()
        for arguments in ({"phoneNumber": "555 010 0002"}, {"phoneNumberSid": rows[0]["phone_number_sid"]}):
            assert len(await asked(client, "get_conversations", **arguments)) == 3, arguments


@pytest.mark.proof
def test_a_client_that_is_gone_leaves_no_traceback(earlier: Path, some: Sample) -> None:
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello})
    variables = {"PATH": os.environ["PATH"], "DATABASE_URL": f"sqlite:///{earlier}/callflow.db"}
    ways = ((">/dev/full", 1), (">&-", 0), ("<&- >/dev/null", 0), ("| head -c 1 >/dev/null", 0))
    for streams, code in some(ways, 2):
        shell = ["sh", "-c", f"{sys.executable} -m callflow.mcp {streams}"]
        done = subprocess.run(
            shell, input=body + "\n", capture_output=True, text=True, env=variables, cwd=ROOT, check=False
        )
        assert (done.returncode, done.stdout) == (code, ""), streams
        assert "Traceback" not in done.stderr, streams


def test_it_finds_its_record_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of other projects have a .env and a data folder, too."""
    for name in ("DATABASE_URL", "DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").touch()
    (tmp_path / "data").mkdir()
    root = Path(__file__).parents[2]
    assert home() == root
    assert history_url(home()).database == str(root / "data" / "callflow.db")
    (tmp_path / "data" / "callflow.db").touch()
    assert history_url(home()).database == str(tmp_path / "data" / "callflow.db")


def test_it_reads_settings_like_a_server_and_leaves_those_of_other_programs_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DATABASE_URL", "DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    beside, other = tmp_path / "beside", tmp_path / "other"
    for folder in (beside / "mine", other):
        folder.mkdir(parents=True)
    for module in (mcp, files):
        monkeypatch.setattr(module, "HOME", beside)
    monkeypatch.chdir(other)
    (beside / ".env").write_text("DATA_DIR=mine")
    (beside / "mine" / "callflow.db").touch()
    (other / ".env").write_text("DATABASE_URL=sqlite:///theirs.db")
    assert history_url(home()).database == str(beside / "mine" / "callflow.db")
    (other / "settings.toml").touch()
    assert history_url(home()).database == str(other / "theirs.db"), "a server that is started here reads that .env"
    (other / ".env").unlink()
    assert history_url(home()).database == str(beside / "mine" / "callflow.db"), "there is no history here"
    (other / "mine").mkdir()
    (other / "mine" / "callflow.db").touch()
    assert history_url(home()).database == str(other / "mine" / "callflow.db")


async def test_the_operators_listener_serves_the_same_to_those_it_lets_in() -> None:
    token = "a-token-of-24-characters"
    async with product(console_token=token) as the:
        one = await talk(the)
        await one.phone.hears(0.2)
        url = f"http://127.0.0.1:{the.app.console_at[1]}/mcp"
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(trust_env=False) as plain:
            for given, status in (
                ({}, 401), ({"Authorization": "Bearer wrong"}, 401),
                ({**headers, "Origin": "https://evil.example"}, 403),
            ):  # fmt: skip
                answer = await plain.post(url, json={}, headers=given)
                assert answer.status_code == status, given
        await the.app.journal.flushed()
        async with over_http(url, headers) as client:
            assert [tool.name for tool in (await client.list_tools()).tools] == OLD + NEW
            (row,) = await asked(client, "get_conversations")
            assert row["ended_at"] is None
            timeline = await asked(client, "get_conversation_timeline", streamSid=row["stream_sid"])
            assert timeline["ended"] == "it has not ended"
            assert any("ringing -> answered" in line["what"] for line in timeline["timeline"])
        await one.call.hang_up()
        await the.quiet()


@asynccontextmanager
async def over_http(url: str, headers: dict[str, str]) -> AsyncIterator[Client]:
    import httpx2

    async with (
        httpx2.AsyncClient(headers=headers, trust_env=False) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        yield client


GARBAGE = {
    "nothing": b"", "no JSON": b"<a/>", "no UTF-8": b'"\xff"', "a number": b"7",
    "half a pair": b'{"jsonrpc":"2.0","id":1,"method":"\\ud800"}',
    "NaN": b'{"jsonrpc":"2.0","id":NaN,"method":"tools/list"}',
    "deep": b"[" * 400_000, "deep objects": b'{"a":' * 100_000,
    "a deep argument": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":' + b"[" * 100 + b"]" * 100 + b"}",
    "many values": b"[" + b"1," * 400_000 + b"1]", "a batch": b'[{"jsonrpc":"2.0","id":1,"method":"tools/list"}]',
    "an endless number": b'{"jsonrpc":"2.0","id":' + b"9" * 5000 + b',"method":"tools/list"}',
    "no method": b'{"jsonrpc":"2.0","id":1}', "a method of a list": b'{"jsonrpc":"2.0","id":1,"method":[]}',
}  # fmt: skip
WRONG_CALLS = (
    {"name": "get_conversations", "arguments": {"limit": 1e400}},
    {"name": "get_conversations", "arguments": {"limit": [1]}},
    {"name": "get_conversations", "arguments": {"phoneNumber": "+1\x00555"}},
    {"name": "get_conversations", "arguments": {"phoneNumber": "5" * 50_000}},
    {"name": "get_conversation_details", "arguments": {"streamSid": "\x00"}},
    {"name": "get_conversation_details", "arguments": {"streamSid": "\x1b[2J\u202e" * 9_000}},
    {"name": "get_conversation_timeline", "arguments": {"streamSid": {"a": 1}}},
    {"name": "search_conversations", "arguments": {"startDate": "0001-01-01T00:00+14:00"}},
    {"name": "search_conversations", "arguments": {"endDate": "9999-12-31T23:59-14:00"}},
    {"name": "search_conversations_by_caller", "arguments": {"callerNumber": ""}},
    {"name": "search_conversations_by_text", "arguments": {"query": "x" * 900}},
    {"name": "search_conversations_by_text", "arguments": {"query": '" ('}},
    {"name": "\x1b]0;title\x07\u202e", "arguments": {}},
)


async def test_over_http_garbage_is_told_what_it_is(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with product(console_token=TOKEN, database_url=database_url) as the:
        it, log = Port(the.app.console_at[1]), Log(caplog)
        for method in ("GET", "DELETE", "PUT", "HEAD", "OPTIONS"):
            answer = await it.ask(method, "/mcp", headers=MCP_HEADERS)
            assert (answer.status, answer.headers["allow"]) == (405, "POST"), method
            assert faults_of(method, "", answer) == [], method
        for name, body in GARBAGE.items():
            answer = await it.ask("POST", "/mcp", body=body, headers=MCP_HEADERS)
            assert 400 <= answer.status < 500, f"{name}: {answer}"
            assert faults_of("POST", "/mcp", answer) + log.faults() == [], name
        for kind in (b"text/plain", b"application/jsonx", b"", b"\xff"):
            answer = await it.ask("POST", "/mcp", body=b"{}", headers=[(b"Content-Type", kind), MCP_HEADERS[1]])
            assert (answer.status, set(answer.json())) == (415, {"error"}), kind
        for call in WRONG_CALLS:
            asks = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call})
            exact = asks.replace("Infinity", "1e400").encode()
            answer = await it.ask("POST", "/mcp", body=exact, headers=MCP_HEADERS)
            assert answer.status < 500, call
            assert faults_of("POST", "/mcp", answer) + log.faults() == [], call
            if answer.status == 200:
                (content,) = answer.json()["result"]["content"]
                assert answer.json()["result"]["isError"] is True, call
                assert faults_of("", "", Answer(200, {}, content["text"].encode())) == [], call
                assert len(content["text"]) < 500, call


async def test_what_it_tells_can_be_printed_and_means_the_same() -> None:
    hostile = "\x1b[2J \x9b \u202e \u2028 \x7f \U000e0041 ü"
    async with product(console_token=TOKEN) as the:
        it = Port(the.app.console_at[1])
        one = await talk(the)
        await one.call.hang_up()
        await the.quiet()
        await the.app.journal.flushed()
        (row,) = (await it.ask("GET", "/api/conversations")).json()
        item = {"id": "x", "type": "message", "content": [{"type": "text", "text": hostile}]}
        path = f"/api/conversations/stream/{row['stream_sid']}/items"
        assert (await it.ask("POST", path, body=json.dumps({"items": [item]}).encode())).status == 200
        async with over_http(f"http://127.0.0.1:{it.port}/mcp", {"Authorization": f"Bearer {TOKEN}"}) as client:
            result = await client.call_tool("get_conversation_details", {"streamSid": row["stream_sid"]})
            (content,) = result.content
            assert content.type == "text"
            assert faults_of("", "", Answer(200, {}, content.text.encode())) == []
            assert json.loads(content.text)["items"][-1]["content"] == hostile


async def test_when_it_cannot_answer_that_is_said_once_and_it_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).encode()
    async with product(console_token=TOKEN) as the:
        it = Port(the.app.console_at[1])
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "mcp.server.streamable_http_manager", None)  # the package is half there
            for _ in range(3):
                answer = await it.ask("POST", "/mcp", body=body, headers=MCP_HEADERS)
                assert (answer.status, set(answer.json())) == (503, {"error"})
                assert answer.headers["retry-after"]
        assert [record.levelname for record in caplog.records if record.exc_info] == ["ERROR"]
        answer = await it.ask("POST", "/mcp", body=body, headers=MCP_HEADERS)
        assert answer.status == 200
        assert answer.json()["result"]["tools"]
        assert (await it.ask("GET", "/health")).status == 200


@pytest.mark.one_node("nodes meet in the database")
def test_while_the_record_cannot_be_read_the_tools_say_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"this is no database" * 100)

    async def main() -> None:
        async with product(console_token=TOKEN, database_url=f"sqlite:///{broken}") as the:
            url, headers = f"http://127.0.0.1:{the.app.console_at[1]}/mcp", {"Authorization": f"Bearer {TOKEN}"}
            async with over_http(url, headers) as client:
                assert "not open yet" in await refused(client, "get_conversations")
                assert (await client.list_resources()).resources == []
                with pytest.raises(MCPError, match="not open yet"):
                    await client.read_resource("conversation://x")

    run(main())
    assert not [record for record in caplog.records if record.exc_info]


def test_a_script_that_closes_its_end_has_every_answer(tmp_path: Path) -> None:
    requests: list[dict[str, Any]] = [
        {"id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "script", "version": "1"},
        }},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/list"},
        {"id": 3, "method": "tools/call", "params": {"name": "get_conversations", "arguments": {}}},
        {"id": 4, "method": "resources/list"},
    ]  # fmt: skip
    lines = [json.dumps({"jsonrpc": "2.0", **request}) for request in requests]
    lines.insert(2, "garbage")
    variables = {"PATH": os.environ["PATH"], "DATABASE_URL": f"sqlite:///{tmp_path}/none.db"}
    done = subprocess.run(
        [sys.executable, "-m", "callflow.mcp"], input="\n".join(lines) + "\n", text=True, capture_output=True,
        env=variables, cwd=tmp_path, timeout=60, check=True,
    )  # fmt: skip
    answers = {answer["id"]: answer for answer in map(json.loads, done.stdout.splitlines())}
    assert sorted(answers, key=str) == [1, 2, 3, 4, None]
    assert answers[None]["error"]["code"] == -32700
    assert "error" not in answers[3]
