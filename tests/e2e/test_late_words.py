"""What callers say right before they hang up: it is written down, or noted as missing, and nothing waits for that but
the engine's session."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from callflow.agent.late_transcripts import TOO_LATE
from callflow.app import Application
from callflow.config.settings import Settings
from callflow.history.recent_problems import learnt
from callflow.history.tables import iso
from callflow.sandbox import voices
from callflow.sandbox.openai_realtime import Call as ToolCall
from callflow.sandbox.openai_realtime import Pace, Realtime, Script, Turn
from tests.e2e.product import Product, product, until
from tests.e2e.talk import FAST, Talk, noise, talk


CARRIERS = ("telnyx", "twilio")
SAMPLED = True
NEVER = 60_000
WORDS = "I will come at nine."


def scribe(ms: float, script: Script | None = None, **pace: Any) -> Realtime:
    """Writes down what the caller says so long after it was spoken."""
    script = script or Script(otherwise=Script.tone(0.2).otherwise, heard_otherwise=WORDS)
    return Realtime(script=script, pace=Pace.instant(transcription_ms=ms, **pace))


async def hangs_up(the: Product, *, speaking: bool = False) -> Talk:
    """Says something, and hangs up: right behind it, or in the middle of it."""
    one = await talk(the)
    await one.phone.hears(0.1)
    one.phone.say(noise(4000 if speaking else 400, 1))
    what = "input_audio_buffer.speech_started" if speaking else "input_audio_buffer.committed"
    await one.session.wait_sent(what)
    if speaking:
        await the.until(lambda: the.call.agent.turns.taking.caller_speaking, "the server to hear them")
        clock = one.session.caller.clock_ms
        await the.until(lambda: one.session.caller.clock_ms > clock + 200, "some more words")
    else:
        await the.until(lambda: the.happened("caller_pauses"), "the server to hear the end")
    await one.call.hang_up()
    await gone(the)
    return one


async def gone(the: Product) -> None:
    """Until no call is live, whatever is still to be written down of those that were."""
    await the.until(lambda: not the.app.switchboard.calls, "the call to leave its place")


async def settled(the: Product, calls: int = 1) -> None:
    await the.until(lambda: len(the.happened("ended")) == calls, "the end to be on record", 6)
    await the.until(lambda: not the.app.switchboard.unwritten, "nobody to be waited for")
    await the.app.journal.flushed()


async def asked(the: Product, path: str) -> Any:
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(f"http://127.0.0.1:{the.app.console_at[1]}{path}")).json()


async def said(the: Product, call: str) -> list[tuple[str, str]]:
    """Status and words of the caller's turns, as the record of the calls tells them."""
    told = await asked(the, f"/api/conversations/stream/{call}")
    theirs = [item for item in told["items"] if item["role"] == "user"]
    return [(item["status"], json.dumps(item["content"])) for item in theirs]


def types(one: Talk) -> list[str]:
    """What the session was sent, but for audio."""
    sent = [event.event["type"] for event in one.session.received]
    return [name for name in sent if name != "input_audio_buffer.append"]


@pytest.mark.parametrize("speaking", [False, True], ids=["behind it", "in the middle of it"])
async def test_what_was_said_right_before_the_end_is_written_down(speaking: bool) -> None:
    async with product(realtime=scribe(700), **FAST) as the:
        one = await hangs_up(the, speaking=speaking)
        (call,) = the.app.journal.calls()
        assert not one.session.closed, "the session stays for the words"
        assert the.app.switchboard.unwritten == 1
        assert the.happened("ended") == []
        told = await asked(the, "/api/calls/live")
        assert (told["live"], told["recorded"]) == ([], [call])
        assert await asked(the, "/api/conversations?live=true") == []
        assert all(stream.ended for stream in one.call.streams), "the carrier's socket is closed"
        before = types(one)
        billed = len(the.happened("usage"))
        responses = len(one.session.responses)
        await settled(the)
        await one.session.wait_closed()
        assert [words for _, words in await said(the, call) if WORDS in words], "they are on record"
        assert the.happened("not_transcribed") == []
        assert len(the.happened("usage")) > billed, "and what that has cost"
        assert before == types(one), "nothing more is asked of it"
        assert before.count("input_audio_buffer.commit") == speaking
        assert "response.create" not in before[before.index("session.update", 1) :]
        assert len(one.session.responses) == responses, "nothing is answered"
        assert one.session.violations == []


async def test_the_end_on_record_is_when_the_call_ended_and_not_when_its_words_came() -> None:
    async with product(realtime=scribe(1200), **FAST) as the:
        await hangs_up(the)
        (call,) = the.app.journal.calls()
        await settled(the)
        records = the.app.journal.read(call)
        hung_up = next(record.at for record in records if record.after == "hangup")
        (end,) = (record for record in records if record.event["event"] == "ended")
        (turn,) = (record for record in records if record.event.get("who") == "caller")
        assert hung_up < turn.at <= end.at, "whoever reads that it has ended has all of it"
        assert end.at - hung_up > 0.8, "it was waited for"
        assert hung_up <= end.event["until"] < hung_up + 0.8
        assert end.event["cause"] in ("normal_clearing", "completed")
        row = await the.app.history.store.conversation(call)
        assert row is not None
        assert row["state"] == "hangup"
        assert row["ended_at"] == iso(end.event["until"])
        with sqlite3.connect(Path(the.app.settings.data_dir) / "callflow.db") as database:
            ((stream,),) = database.execute("SELECT ended_at FROM streams").fetchall()
        assert stream <= row["ended_at"]


@pytest.mark.one_node("each node has room of its own")
async def test_words_that_never_come_are_noted_and_hold_up_no_other_caller() -> None:
    async with product(realtime=scribe(NEVER), max_concurrent_calls=1, **FAST | {"transcript_seconds": 1.5}) as the:
        one = await hangs_up(the)
        (call,) = the.app.journal.calls()
        began = time.monotonic()
        two = await talk(the)
        await two.phone.hears(0.1)
        assert the.app.switchboard.unwritten == 1, "the first one still waits"
        assert the.app.switchboard.counts["refused"] == 0
        await the.until(lambda: the.happened("not_transcribed", call), "the note")
        assert time.monotonic() - began < 3
        await one.session.wait_closed()
        await the.app.journal.flushed()
        ((status, words),) = await said(the, call)
        assert status == "incomplete"
        assert TOO_LATE in words
        assert len(the.happened("ended", call)) == 1
        (lesson,) = await learnt(the.app.history.store)
        assert "transcript_seconds" in lesson.remedy
        await two.call.hang_up()
        await settled(the, 2)


@pytest.mark.one_node("each node has room of its own")
async def test_no_more_calls_are_waited_for_than_may_be_live() -> None:
    async with product(realtime=scribe(NEVER), max_concurrent_calls=1, **FAST | {"transcript_seconds": 20}) as the:
        first = await hangs_up(the)
        second = await hangs_up_next(the)
        await the.until(lambda: len(the.happened("ended")) == 1, "the second one to be given up")
        assert the.app.switchboard.unwritten == 1
        await second.session.wait_closed()
        assert not first.session.closed
        assert [event["reason"] for event in the.happened("not_transcribed")] == [TOO_LATE]


async def hangs_up_next(the: Product) -> Talk:
    one = await talk(the)
    await one.phone.hears(0.1)
    one.phone.say(noise(400, 2))
    await one.session.wait_sent("input_audio_buffer.committed")
    await one.call.hang_up()
    await gone(the)
    return one


@pytest.mark.parametrize(
    ("settings", "noted"),
    [({"transcript_seconds": 0}, 1), ({"transcription_model": ""}, 0)],
    ids=["not waited for", "nobody writes"],
)
async def test_where_nothing_is_waited_for_the_session_closes_at_once(settings: dict[str, Any], noted: int) -> None:
    async with product(realtime=scribe(NEVER), **FAST | settings) as the:
        one = await hangs_up(the)
        assert the.app.switchboard.unwritten == 0
        assert len(the.happened("ended")) == 1
        assert "until" not in the.happened("ended")[0]
        await one.session.wait_closed(1)
        assert [event["reason"] for event in the.happened("not_transcribed")] == [TOO_LATE] * noted


async def test_a_call_in_which_all_is_written_waits_for_nothing() -> None:
    async with product(realtime=scribe(0), **FAST) as the:
        one = await talk(the)
        await one.phone.hears(0.1)
        one.phone.say(noise(400, 1))
        await the.until(lambda: [e for e in the.happened("turn") if e["who"] == "caller"], "the words")
        await one.call.hang_up()
        await gone(the)
        assert the.app.switchboard.unwritten == 0
        assert len(the.happened("ended")) == 1
        assert "input_audio_buffer.commit" not in types(one)


async def test_an_answer_under_way_is_cancelled_once_and_its_tools_are_not_run() -> None:
    long = Script.tone(20).otherwise
    script = Script((Script.tone(0.2).otherwise, Turn((*long.output, ToolCall("end_call")))), heard_otherwise=WORDS)
    async with product(realtime=scribe(900, script, speed=1.0), **FAST) as the:
        one = await talk(the)
        await one.phone.hears(0.1)
        await one.phone.hears_silence(200)
        one.phone.say(noise(400, 1))
        await one.session.wait_sent("input_audio_buffer.committed")
        await the.until(lambda: the.call.agent.turns.taking.responses, "the answer to begin")
        await one.call.hang_up()
        await gone(the)
        await settled(the)
        assert types(one).count("response.cancel") == 1
        assert [event["text"] for event in the.happened("turn") if event["who"] == "caller"] == [WORDS]
        assert the.happened("tool_called") == []
        assert one.session.violations == []


async def test_a_caller_whom_only_we_have_heard_is_written_down_too() -> None:
    """The engine does not look for turns, and hang-ups do not wait for a pause."""
    async with product(realtime=scribe(300), **FAST | {"turn_detection": "none"}) as the:
        one = await talk(the)
        one.phone.say(voices.load("caller/hours"))
        await the.until(lambda: the.call.agent.turns.dead_air.detector.is_alone, "our ear to hear them", 5)
        await one.call.hang_up()
        await gone(the)
        await settled(the)
        assert types(one).count("input_audio_buffer.commit") == 1
        assert [event["text"] for event in the.happened("turn") if event["who"] == "caller"] == [WORDS]


async def test_an_agent_that_was_broken_off_for_nothing_does_not_go_on_in_a_call_that_is_over() -> None:
    script = Script(otherwise=Script.tone(5).otherwise, heard_otherwise="")
    async with product(realtime=scribe(1500, script), **FAST | {"vad_create_response": False}) as the:
        one = await talk(the)
        await one.phone.hears(0.1)
        one.phone.say(noise(300, 1))
        await the.until(lambda: the.happened("interrupted"), "the interruption")
        await one.session.wait_sent("input_audio_buffer.committed")
        await one.call.hang_up()
        await gone(the)
        before = types(one)
        await settled(the)
        assert the.happened("interruption_empty") == []
        assert types(one) == before
        assert the.happened("not_transcribed") == []


async def test_a_session_that_breaks_meanwhile_is_not_waited_for() -> None:
    async with product(realtime=scribe(NEVER), **FAST | {"transcript_seconds": 20, "engine_tries": 3}) as the:
        one = await hangs_up(the)
        one.session.drop()
        await settled(the)
        assert [event["reason"] for event in the.happened("not_transcribed")] == [TOO_LATE]
        assert len(the.realtime.sessions) == 1, "no other one is opened for it"


@pytest.mark.parametrize(("ms", "found"), [(900, WORDS), (NEVER, TOO_LATE)], ids=["they come", "they never come"])
async def test_a_server_that_stops_meanwhile_ends_in_time_and_its_record_is_whole(
    ms: float, found: str, tmp_path: Path
) -> None:
    async with product(realtime=scribe(ms), **FAST, data_dir=str(tmp_path)) as the:
        await hangs_up(the)
        assert the.app.switchboard.unwritten == 1
        began = time.monotonic()
        await the.app.switchboard.drain(5)
        assert time.monotonic() - began < 3.5
        assert the.app.switchboard.unwritten == 0
    assert found in whole(tmp_path)


async def test_callers_who_wait_for_the_next_process_do_not_wait_for_it(tmp_path: Path) -> None:
    async with product(realtime=scribe(NEVER), **FAST | {"transcript_seconds": 20}, data_dir=str(tmp_path)) as the:
        await hangs_up(the)
        began = time.monotonic()
        await the.app.switchboard.hand_over(5)
        await settled(the)
        assert time.monotonic() - began < 2
    assert TOO_LATE in whole(tmp_path)


def whole(folder: Path) -> str:
    """The only caller's turn on record, of a call that has ended."""
    with sqlite3.connect(folder / "callflow.db") as database:
        ((ended, state),) = database.execute("SELECT ended_at, state FROM conversations").fetchall()
        assert ended
        assert state == "hangup"
        ((text,),) = database.execute("SELECT text FROM conversation_items WHERE role = 'user'").fetchall()
    return str(text)


async def test_a_process_that_dies_meanwhile_leaves_a_call_that_is_over(tmp_path: Path) -> None:
    async with product(realtime=scribe(NEVER), **FAST | {"transcript_seconds": 20}) as the:
        await hangs_up(the)
        (call,) = the.app.journal.calls()
        await the.app.journal.flushed()
        died = time.time()
        with (
            sqlite3.connect(Path(the.app.settings.data_dir) / "callflow.db") as there,
            sqlite3.connect(tmp_path / "callflow.db") as copy,
        ):
            there.backup(copy)
        async with AsyncExitStack() as stack:
            changed = {"port": 0, "console_port": 0, "data_dir": str(tmp_path)}
            again = await stack.enter_async_context(Application(Settings(**the.app.settings.model_dump() | changed)))
            await until(lambda: again.recovery.opened.is_set() and not again.switchboard.calls, "it to be over", 15)
            await again.journal.flushed()
            row = await again.history.store.conversation(call)
            assert row is not None
            assert row["ended_at"], "it is not taken for a live one"
            records = await again.history.store.journal(call)
            (end,) = (record for record in records if record.event["event"] == "ended")
            assert end.event["until"] <= died + 0.1, "it ended when it was last heard of"
            assert end.event["cause"] == next(r for r in reversed(records) if r.after == "hangup").event.get(
                "cause", end.event["cause"]
            )
