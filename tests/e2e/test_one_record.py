"""One record, told in many places: in the terminal, over HTTP, as an export, to a language model. They say the same."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import Client

from callflow.cli import calls
from callflow.cli.arguments import parse
from callflow.sandbox.common.phone import tone
from callflow.sandbox.openai_realtime import Call, Pace, Realtime, Say, Script, Turn
from tests.e2e.product import Product, product
from tests.e2e.talk import noise, talk
from tests.e2e.test_mcp import asked, over_http


CARRIERS = ("telnyx", "twilio")
DECIMALS = re.compile(r"\d\.\d{7,}")


def model() -> Realtime:
    turns = (
        Turn.say("Good morning, and welcome to the bakery at the corner.", noise(6000, 1)),
        Turn((Say("Goodbye then.", noise(300, 2)), Call("end_call", {"reason": "done"}))),
    )
    pace = Pace(first_byte_ms=20, speed=20, jitter=0, transcription_ms=0)
    return Realtime(script=Script.of(*turns, heard=["Stop, please."]), pace=pace)


@dataclass
class Places:
    """All that tells of the calls of one product."""

    the: Product
    client: httpx.AsyncClient
    mcp: Client
    out: pytest.CaptureFixture[str]

    async def printed(self, *words: str) -> list[str]:
        assert await calls.run_calls(parse(["calls", *words])) == 0
        return self.out.readouterr().out.splitlines()

    async def get(self, path: str) -> Any:
        answer = await self.client.get(path)
        assert answer.status_code == 200, path
        told = re.sub(r'"at":[0-9.]+', "", answer.text)  # Unix time, to the microsecond
        assert not DECIMALS.search(told), f"{path} tells a number that nobody has measured"
        return csv.DictReader(io.StringIO(answer.text)) if "csv" in path else answer.json()

    async def agree(self) -> list[dict[str, Any]]:
        """Compares them, call by call, newest first. Returns what is known of each."""
        await self.the.app.journal.flushed()
        rows = await self.get("/api/conversations")
        exported = {one["id"]: one for one in await self.get("/api/conversations/export")}
        sheet = {int(one["id"]): one for one in await self.get("/api/conversations/export?format=csv")}
        listed = [line for line in await self.printed() if re.match(r" ?\d{4}-", line)]
        models = await asked(self.mcp, "get_conversations")
        assert models == rows
        assert len(exported) == len(sheet) == len(listed) == len(rows)
        all_ = []
        for row, line in zip(rows, listed, strict=True):
            for name in (row["stream_sid"], exported[row["id"]]["call_id"]):
                whole = await self.get(f"/api/calls/{name}")
                assert whole["conversation"] == exported[row["id"]]
            full = whole["conversation"]
            assert {key: full[key] for key in row} == row
            stream = await self.get(f"/api/conversations/stream/{row['stream_sid']}")
            assert {key: stream[key] for key in row} == row
            for key, value in sheet[row["id"]].items():
                assert value == ("" if full[key] is None else str(full[key]).replace("True", "true")), key
            why = full["ended_because"]
            timeline = await asked(self.mcp, "get_conversation_timeline", streamSid=row["stream_sid"])
            assert timeline["ended"] == why
            assert line.rstrip().endswith(why)
            shown = await self.printed(full["call_id"])
            assert (f"ended: {why}" if full["ended_at"] else why) in shown
            steps = [f"{one['seconds']:9.3f} s  {one['what']}" for one in timeline["timeline"]]
            assert shown[-len(steps) :] == steps
            seconds = full["duration_seconds"]
            length = "–" if seconds is None else f"{seconds // 60}:{seconds % 60:02}"
            assert f" {length} " in line
            assert f", {length} long, " in shown[1]
            counted = [item for item in full["items"] if item["item_type"] == "message"]
            assert full["message_count"] == len(counted)
            assert len(
                (await asked(self.mcp, "get_conversation_details", streamSid=row["stream_sid"]))["items"]
            ) == len(stream["items"])
            self._compare_notes(full, whole["entries"], steps)
            all_.append(full)
        return all_

    def _compare_notes(self, full: dict[str, Any], records: list[dict[str, Any]], steps: list[str]) -> None:
        events = [each["event"] for each in records]
        first = [event["ms"] for event in events if event["event"] == "first_word"]
        assert ([full["first_word_ms"]] if full["first_word_ms"] is not None else []) == first
        assert all(isinstance(ms, int) for ms in first)
        assert sum("the caller breaks in" in step for step in steps) == full["interruptions"]
        for event in events:
            if event["event"] == "ended":
                assert (event["first_word_ms"], event["interruptions"]) == (
                    full["first_word_ms"],
                    full["interruptions"],
                )
                assert not event["cause"] or event["cause"] == full["hangup_cause"]


@pytest.mark.proof
@pytest.mark.one_node("each node has room of its own")
async def test_every_place_says_the_same(
    tmp_path: Path, database_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("COLUMNS", "250")
    chosen: dict[str, Any] = {"vad_silence_ms": 200, "no_input_seconds": 0, "max_concurrent_calls": 1}
    async with product(
        realtime=model(), data_dir=str(tmp_path / "data"), database_url=database_url, record=True, **chosen
    ) as the:
        url = f"http://127.0.0.1:{the.app.console_at[1]}"
        async with (
            httpx.AsyncClient(base_url=url, trust_env=False) as client,
            over_http(f"{url}/mcp", {}) as mcp,
        ):
            places = Places(the, client, mcp, capsys)
            one = await talk(the)
            await one.phone.hears(0.4)
            (live,) = await places.agree()
            assert live["ended_because"] == "it has not ended"
            await the.carrier.ring(from_number="+15550100007")
            await the.until(lambda: the.app.switchboard.counts["refused"] == 1, "the line to be busy")
            await one.call.hang_up()
            await the.quiet()

            one = await talk(the)
            await one.phone.hears(0.4)
            one.phone.say(tone(400))
            await one.phone.spoken()
            await the.quiet(10)

            by_agent, busy, in_mid_sentence = await places.agree()
            assert by_agent["ended_because"] == "the agent ended it, after its last words"
            assert by_agent["interruptions"] == 1
            assert by_agent["recording"]
            assert busy["ended_because"].startswith("too many calls were live")
            assert busy["first_word_ms"] is None
            assert in_mid_sentence["ended_because"].startswith("it was hung up in the ordinary way")
            assert in_mid_sentence["interruptions"] == 0
            assert in_mid_sentence["items"][0]["status"] == "incomplete"
            shown = await places.printed(in_mid_sentence["call_id"])
            assert any("the agent is cut off, heard " in line for line in shown)
            assert not any("broke" in line for line in shown), "an ordinary hang-up is told as a fault"
