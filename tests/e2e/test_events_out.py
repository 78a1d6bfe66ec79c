"""EVENTS_URL: what happens to calls reaches a receiver, signed, in order and once, whatever dies in between."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from callflow.sandbox.common.phone import Phone, tone
from callflow.sandbox.openai_realtime import Pace, Realtime, Script, Turn
from tests.e2e import outbound
from tests.e2e import product as module
from tests.e2e.process import SERVER, Process, environment, python
from tests.e2e.product import Product, product, until
from tests.e2e.talk import FAST, talk
from tests.e2e.test_metrics import scrape
from tests.history.delivery.receiver import SECRET, EventReceiver, receiver


CARRIERS = ("telnyx", "twilio")
SAMPLED = True
OURS, THEIRS = "+15550100002", "+15550100077"


def to(there: EventReceiver) -> dict[str, Any]:
    return {"events_url": there.url, "events_secret": SECRET}


async def one_call(the: Product) -> str:
    """From the ring until nothing is left of it. Returns its id."""
    one = await talk(the, from_number=THEIRS)
    await one.phone.hears(0.1)
    name = the.call.id
    await one.call.hang_up()
    await the.quiet()
    return name


async def ask(the: Product, method: str, path: str) -> Any:
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:
        answer = await client.request(method, f"http://127.0.0.1:{the.app.console_at[1]}{path}")
    return answer.json() if "json" in answer.headers["content-type"] else answer.text


async def test_a_call_is_told_from_its_start_to_its_recording() -> None:
    async with receiver() as there, product(record=True, **to(there), **FAST) as the:
        name = await one_call(the)
        await the.until(lambda: len(there.taken) == 4, "the events")
        assert there.types(name) == ["call.started", "call.answered", "call.ended", "recording.ready"]
        assert there.unsigned == 0
        assert max(Counter(one.id for one in there.came).values()) == 1
        for one in there.taken:
            body = one.payload
            assert (body["id"], body["call"], body["carrier"]) == (one.id, name, module.usual)
            assert (body["direction"], body["from"]) == ("inbound", THEIRS)
            assert body["to"].startswith("+1555")
        ended, ready = (one.payload for one in there.taken[2:])
        assert ended["cause"] in ("normal_clearing", "completed")
        assert ended["duration_seconds"] >= 0
        assert ended["cost_usd"] is None or ended["cost_usd"] >= 0
        assert "words" not in ended
        transcript = await ask(the, "GET", ended["transcript"])
        assert transcript["caller_number"] == THEIRS
        (path,) = ready["recording"]
        async with httpx.AsyncClient(trust_env=False, verify=False) as client:
            sound = await client.get(f"http://127.0.0.1:{the.app.console_at[1]}{path}")
        assert sound.content[:4] == b"RIFF"

        sender = the.app.sender
        assert sender is not None
        await the.until(lambda: sender.counts["delivered"] == 4, "the count")
        assert (await ask(the, "GET", "/health"))["events"]["delivered"] == 4
        assert (await scrape(the)).value("callflow_events_total", outcome="delivered") == 4


async def test_a_call_that_is_dialled_is_told_from_the_number_it_shows_to_the_one_that_is_called() -> None:
    """One that is answered, and one that is not."""
    async with receiver() as there, outbound.dialling(**to(there)) as the:
        first = (await outbound.dialled(the))["id"]
        call = the.carrier_call()
        await call.wait_streaming()
        await call.phone.hears(0.1)
        await call.hang_up()
        await the.quiet()
        outbound.callee(the, "busy")
        second = (await outbound.dialled(the))["id"]
        await the.quiet()
        await the.until(lambda: there.types().count("call.ended") == 2, "the end of both")
        assert there.types(first) == ["call.started", "call.answered", "call.ended"]
        assert there.types(second) == ["call.started", "call.ended"]
        for one in there.taken:
            body = one.payload
            assert (body["direction"], body["from"], body["to"]) == ("outbound", outbound.OURS, outbound.THEIRS)
        assert there.taken[-1].payload["cause"] in ("user_busy", "busy")


@pytest.mark.carrier("telnyx")
async def test_words_are_sent_only_where_they_are_asked_for() -> None:
    script = Script.of(Turn.say("A word that is said.", tone(200)))
    for words in (False, True):
        realtime = Realtime(script=script, pace=Pace.instant())
        async with (
            receiver() as there,
            product(realtime=realtime, events_words=words, **to(there), **FAST) as the,
        ):
            await one_call(the)
            await the.until(lambda: "call.ended" in there.types(), "the end")
            assert (b"A word" in b"".join(one.body for one in there.came)) is words


@pytest.mark.carrier("telnyx")
async def test_a_receiver_that_is_away_and_slow_holds_up_no_call_and_gets_everything() -> None:
    async with receiver() as there, product(**to(there), **FAST) as the:
        await there.stop()
        names = [await one_call(the) for _ in range(3)]
        sender = the.app.sender
        assert sender is not None
        await the.until(lambda: sender.counts["failed"], "a try that fails")
        assert (await ask(the, "GET", "/health"))["events"]["ok"] is False
        there.delay = 0.3
        await there.start()
        await the.until(lambda: len(there.taken) == 9, "all events", 30)
        for name in names:
            assert there.types(name) == ["call.started", "call.answered", "call.ended"]
        assert len({one.id for one in there.taken}) == 9


@pytest.mark.carrier("telnyx")
async def test_a_receiver_that_wants_no_more_gets_a_dead_letter_again_when_it_is_asked_for() -> None:
    async with receiver() as there, product(**to(there), **FAST) as the:
        there.answer = lambda one: 410
        await one_call(the)
        await the.until(lambda: len(there.came) == 3, "each event, once")
        sender = the.app.sender
        assert sender is not None
        await the.until(lambda: sender.dead == 3, "the dead letters to be counted")
        assert (await scrape(the)).value("callflow_events_dead") == 3
        dead = await ask(the, "GET", "/api/events/dead")
        assert [one["type"] for one in dead] == ["call.ended", "call.answered", "call.started"]
        there.answer = lambda one: 200
        told = await ask(the, "POST", f"/api/events/dead/{dead[1]['id']}/again")
        assert told == {"id": dead[1]["id"], "state": "waiting"}
        await the.until(lambda: [one.id for one in there.taken] == [dead[1]["id"]], "the one that was asked for")
        assert len(await ask(the, "GET", "/api/events/dead")) == 2


@pytest.mark.one_node("it has two servers of its own")
@pytest.mark.carrier("telnyx")
async def test_only_the_process_that_looks_after_the_calls_sends_and_it_sends_those_of_others(tmp_path: Path) -> None:
    async with receiver() as there:
        chosen = {"data_dir": str(tmp_path), **to(there), **FAST}
        async with product(**chosen) as owner, product(**chosen) as other:
            name = await one_call(other)
            await other.until(lambda: there.types(name)[-1:] == ["call.ended"], "the events of the other's call", 20)
            assert there.types(name) == ["call.started", "call.answered", "call.ended"]
            assert owner.app.sender is not None
            assert other.app.sender is not None
            await owner.until(lambda: owner.app.sender and owner.app.sender.counts["delivered"] == 3, "the count")
            assert not other.app.sender.counts


@pytest.mark.carrier("telnyx")
async def test_the_end_of_a_call_is_told_before_the_server_ends() -> None:
    async with receiver(delay=0.05) as there:
        async with product(**to(there), **FAST) as the:
            one = await talk(the)
            await one.phone.hears(0.1)
            await the.until(lambda: there.taken, "the first event")
        assert there.types() == ["call.started", "call.answered", "call.ended"]


@pytest.mark.carrier("telnyx")
async def test_without_an_address_there_is_neither_a_task_nor_a_row(tmp_path: Path) -> None:
    async with product(data_dir=str(tmp_path), **FAST) as the:
        await one_call(the)
        assert the.app.sender is None
        assert [task.get_name() for task in asyncio.all_tasks() if task.get_name() == "events"] == []
        assert "events" not in await ask(the, "GET", "/health")
        await the.app.journal.flushed()
        database = sqlite3.connect(tmp_path / "callflow.db")
        try:
            assert database.execute("SELECT count(*) FROM events_out").fetchone() == (0,)
        finally:
            database.close()


# Processes


@pytest.mark.process
@pytest.mark.carrier("telnyx")
async def test_events_that_were_not_delivered_before_kill_9_are_delivered_after_it_under_the_same_ids(
    tmp_path: Path,
) -> None:
    carrier, realtime = module.exchange(), Realtime(script=Script.tone(0.3), pace=Pace.instant())
    async with receiver() as there, carrier, realtime:
        there.answer = lambda one: 503  # so the ids that were tried are known
        env = environment(carrier, realtime) | {  # type: ignore[arg-type]
            "EVENTS_URL": there.url, "EVENTS_SECRET": SECRET, "DATA_DIR": str(tmp_path), "LOG_LEVEL": "debug",
        }  # fmt: skip

        async def ring(process: Process) -> Any:
            carrier.set_server(f"http://127.0.0.1:{await process.public_port()}")
            call = await carrier.ring(phone=Phone())
            await call.wait_streaming()
            return call

        async with python(SERVER, env=env) as first:
            ended = await ring(first)
            await ended.hang_up()
            await first.live(0)
            lives = await ring(first)
            await until(lambda: len({one.id for one in there.came}) == 2, "the first event of both calls")
            first.process.kill()
            await first.process.wait()
        tried = {one.id for one in there.came}
        assert there.taken == []

        there.answer = lambda one: 204
        async with python(SERVER, env=env) as second:
            carrier.set_server(f"http://127.0.0.1:{await second.public_port()}")
            await until(lambda: there.types().count("call.ended") >= 1, "the end of the call that was over", 20)
            await lives.hang_up()
            await until(lambda: there.types().count("call.ended") == 2, "the end of both calls", 20)
            calls = {one.payload["call"] for one in there.taken}
            assert len(calls) == 2
            for call in calls:
                assert there.types(call) == ["call.started", "call.answered", "call.ended"]
            assert max(Counter(one.id for one in there.taken).values()) == 1
            assert tried < {one.id for one in there.taken}
            assert there.unsigned == 0
            said = first.said() + second.said()
            assert "of-the-receiver" not in said
            assert SECRET.removeprefix("whsec_") not in said


@pytest.mark.process
@pytest.mark.carrier("telnyx")
async def test_a_server_without_a_secret_does_not_start_and_says_how_one_is_made() -> None:
    carrier, realtime = module.exchange(), Realtime()
    env = environment(carrier, realtime) | {"EVENTS_URL": "https://you.example/events"}  # type: ignore[arg-type]
    async with python(SERVER, env=env) as process:
        assert await process.ended() == 2
        assert "EVENTS_SECRET is not set" in process.said()
        assert "python3 -c" in process.said()
