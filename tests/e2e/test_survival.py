"""Calls outlive their process: `kill -9`, start again, and the caller is spoken to in context. Over real processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import socket
import sqlite3
import statistics
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, time
from typing import Any

import pytest

from callflow.agent.turn_taking import UNNOTICED_SECONDS
from callflow.history.store import Store
from callflow.sandbox.common.phone import Phone
from callflow.sandbox.openai_realtime import Pace, Realtime, Say, Script, Session, Turn
from callflow.sandbox.telnyx import ApiFault, Telnyx
from tests.e2e import product
from tests.e2e.process import SERVER, Process, python
from tests.e2e.product import Exchange, run, until
from tests.e2e.talk import noise
from tests.history import postgres
from tests.ports import free_port
from tests.sample import Sample


CARRIERS = ("telnyx", "twilio")
SAMPLED = True

SENTENCE = "Good morning, this is the office of the harbour master, and I am glad that you call."
QUICK: dict[str, object] = {
    # On a machine that is busy with other tests a process may take seconds to start.
    "TWILIO_RESUME_SECONDS": 8,
    "STREAM_GRACE_SECONDS": 0.3,
    "VAD_SILENCE_MS": 200,
    "LOG_LEVEL": "info",
}


def model(*turns: Turn) -> Realtime:
    """Says a long sentence, and then shorter ones."""
    long = Turn((Say(SENTENCE, noise(4000, 1)),))
    pace = Pace(first_byte_ms=50, speed=20, jitter=0, transcription_ms=0)
    return Realtime(
        script=Script.of(*(turns or (long,)), otherwise=Turn((Say("Where were we?", noise(900, 2)),))), pace=pace
    )


@dataclass
class Office:
    """A server that may be killed and started again, and the carrier and the model, which stay."""

    carrier: Exchange
    realtime: Realtime
    env: dict[str, object]
    port: int
    folder: Path
    process: Process | None = None
    lives: list[Process] = field(default_factory=list)
    listening_at: float = 0.0
    _open: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    async def start(self) -> None:
        process = await self._open.enter_async_context(python(SERVER, env=self.env))
        self.process = process
        self.lives.append(process)

        def listens() -> bool:
            with socket.socket() as one:
                return process.exit_code is not None or one.connect_ex(("127.0.0.1", self.port)) == 0

        await until(listens, "the server to listen", 15)
        assert process.exit_code is None, process.said()
        self.listening_at = monotonic()
        self.carrier.set_server(f"http://127.0.0.1:{self.port}")

    async def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        assert self.process is not None
        self.process.process.send_signal(number)
        await self.process.process.wait()
        self.process = None

    async def ring(self, number: int = 1, **options: Any) -> Caller:
        phone = Phone()
        call = await self.carrier.ring(from_number=f"+1555010{number:04}", phone=phone, **options)
        return Caller(call, phone)

    def rows(self, query: str) -> list[dict[str, Any]]:
        database = sqlite3.connect(self.folder / "callflow.db")
        database.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in database.execute(query)]
        finally:
            database.close()

    def said(self) -> str:
        return "\n".join(one.said() for one in self.lives)


@dataclass
class Caller:
    call: Any
    phone: Phone

    async def hears_again(self, since: float, timeout: float = 12.0) -> float:
        """Seconds from then until the caller hears something."""
        await until(lambda: any(one.at > since for one in self.phone.heard), "the caller to hear something", timeout)
        return next(one.at for one in self.phone.heard if one.at > since) - since

    @property
    def is_up(self) -> bool:
        return self.call.ended_at is None

    @property
    def heard_ms(self) -> float:
        return sum(one.ms for one in self.phone.heard)


@contextlib.asynccontextmanager
async def office(realtime: Realtime | None = None, **env: object) -> AsyncIterator[Office]:
    carrier, realtime = product.exchange(), realtime or model()
    async with carrier, realtime:
        with tempfile.TemporaryDirectory() as name:
            port = free_port()
            given: dict[str, object] = {
                "OPENAI_API_KEY": realtime.api_key, "OPENAI_REALTIME_URL": realtime.url,
                "OPENAI_LIVE_URL": realtime.live_url, "PORT": port, "CONSOLE_PORT": 0, "DATA_DIR": name,
                **{key.upper(): value for key, value in carrier.settings().items()}, **QUICK, **env,
            }  # fmt: skip
            one = Office(carrier, realtime, given, port, Path(name))
            async with one._open:
                await one.start()
                try:
                    yield one
                finally:
                    for call in [call for call in carrier.calls.values() if call.ended_at is None]:
                        await call.hang_up()
                    await asyncio.sleep(0.05)


def answers(one: Office) -> int:
    """How often the carrier was made to answer a call."""
    if product.usual == "twilio":
        return sum(call.answered_at is not None for call in one.carrier.calls.values())
    return sum(command.action == "answer" and command.status == 200 for command in one.carrier.commands)


def told(session: Session) -> list[str]:
    """The words that a session was given of what was said before it."""
    created = [one.event["item"] for one in session.received if one.event["type"] == "conversation.item.create"]
    return [part["text"] for item in created for part in item.get("content", ())]


def wishes(session: Session) -> str:
    asked = [one.event.get("response") or {} for one in session.received if one.event["type"] == "response.create"]
    return "\n".join(str(each.get("instructions", "")) for each in asked)


async def test_a_caller_whose_server_is_killed_in_mid_sentence_is_spoken_to_again_in_context() -> None:
    async with office() as one:
        caller = await one.ring()
        await until(lambda: caller.heard_ms > 1500, "the middle of the sentence")
        await one.stop()
        await one.start()
        gap = await caller.hears_again(one.listening_at)
        assert gap < 2.0, f"{gap:.2f} s after the new process listens"
        assert answers(one) == 1
        assert caller.is_up
        session = one.realtime.sessions[-1]
        heard, unheard = told(session)[1:3]
        assert SENTENCE.startswith(heard), heard
        assert heard.split(), "the model is told that nothing was heard"
        assert "did not hear" in unheard
        assert unheard.split("“")[1].rstrip("”") in SENTENCE
        assert "Do not greet again" in wishes(session)
        await caller.call.hang_up()
        await until(lambda: one.rows("SELECT * FROM conversations WHERE ended_at IS NOT NULL"), "the end on record")
        (row,) = one.rows("SELECT * FROM conversations")
        assert row["state"] == "hangup"
        assert row["phone_number_sid"]
        (over,) = one.rows('SELECT event FROM steps WHERE event LIKE \'{"event":"ended"%\'')
        told_at_the_end = json.loads(over["event"])
        for name in ("first_word_ms", "interruptions"):
            assert told_at_the_end[name] == row[name], f"{name} of the process before is forgotten"
        assert row["first_word_ms"] is not None
        item = one.rows("SELECT * FROM conversation_items WHERE role = 'assistant'")[0]
        assert (item["text"], item["status"]) == (SENTENCE, "incomplete")
        assert 1000 <= item["heard_ms"] <= 2500
        assert SENTENCE.startswith(item["heard_text"])
        for session in one.realtime.sessions:
            assert session.violations == []


def test_killed_at_random_moments_no_call_is_lost_and_nothing_is_done_twice(
    record_property: Callable[[str, object], None], some: Sample
) -> None:
    rounds, together = 1 + len(some(range(2), 2)), 5
    gaps: list[float] = []
    dice = random.Random(5)

    async def main() -> None:
        async with office() as one:
            callers: list[Caller] = []
            for number in range(rounds):
                for _ in range(together if number == 0 else 2):
                    callers.append(await one.ring(len(callers) + 1))
                    await asyncio.sleep(dice.uniform(0, 0.15))
                await asyncio.sleep(dice.uniform(0, 1.5))
                await one.stop()
                await one.start()
                gaps.extend(await asyncio.gather(*(caller.hears_again(one.listening_at) for caller in callers)))
            lost = [caller.call for caller in callers if not caller.is_up]
            assert lost == [], f"lost: {lost}\n{one.said()}"
            assert answers(one) == len(callers)
            rows = one.rows("SELECT * FROM conversations")
            assert len(rows) == len(callers)
            for caller in callers:
                await caller.call.hang_up()
            await until(
                lambda: not one.rows("SELECT * FROM conversations WHERE ended_at IS NULL"), "all ends on record", 10
            )
            await replays(one)

    run(main())
    line = (
        f"{product.usual}: {len(gaps)} calls recovered after kill -9; from listening to being heard: "
        f"p50 {statistics.median(gaps):.2f} s, p95 {sorted(gaps)[int(len(gaps) * 0.95)]:.2f} s"
    )
    print(f"\n{line}")
    record_property("survival", line)
    most = 4.5 if product.usual == "twilio" else 2.0
    assert sorted(gaps)[int(len(gaps) * 0.95)] < most, line


async def replays(one: Office) -> None:
    from callflow.call.replay import replay
    from callflow.history.database import Database, url_of

    database = Database(url_of("", str(one.folder)), read_only=True)
    store = Store(database)
    for row in one.rows("SELECT call_id FROM conversations"):
        records = await store.journal(row["call_id"])
        assert replay(records).divergences == []
    await database.close()


TOOLS = '''
import asyncio, pathlib

LOG = pathlib.Path(LOG_FILE)


async def book(table: int) -> str:
    """Books a table."""
    with LOG.open("a") as file:
        print(table, file=file)
    await asyncio.sleep(3600)


tools = [book]
'''


async def test_a_tool_that_was_running_is_not_run_twice_and_the_model_is_told(tmp_path: Path) -> None:
    log, tools = tmp_path / "booked", tmp_path / "tools.py"
    tools.write_text(TOOLS.replace("LOG_FILE", repr(str(log))), encoding="utf-8")
    async with office(model(Turn.call("book", table=4)), TOOLS_FILE=tools) as one:
        caller = await one.ring()
        await until(lambda: log.exists() and log.read_text(), "the tool to run")
        await one.stop()
        said = Turn.say("I do not know whether that was done.", noise(500, 3))
        one.realtime.script = Script.of(Turn.call("book", table=4), otherwise=said)  # it does as it was told not to
        await one.start()
        await caller.hears_again(one.listening_at)
        assert log.read_text() == "4\n"
        words = "\n".join(told(one.realtime.sessions[-1]))
        assert "book" in words
        assert "Do not call it again" in words
        await until(
            lambda: one.rows("SELECT * FROM conversation_items WHERE item_type = 'function_call_output'"),
            "the unknown outcome on record",
        )
        calls = one.rows("SELECT * FROM conversation_items WHERE item_type = 'function_call'")
        assert [(call["function_name"], json.loads(call["function_params"])) for call in calls] == [
            ("book", {"table": 4})
        ] * 2
        assert all("not known" in call["function_output"] for call in calls)


@pytest.mark.carrier("telnyx")
async def test_a_call_whose_answer_had_not_got_through_is_answered_once() -> None:
    async with office() as one:
        assert isinstance(one.carrier, Telnyx)
        one.carrier.faults.api.append(ApiFault("answer", status=503, times=2))
        caller = await one.ring()
        await until(lambda: any(each.action == "answer" for each in one.carrier.commands), "the refused answer")
        await one.stop()
        await one.start()
        await caller.hears_again(one.listening_at)
        assert answers(one) == 1
        answered = [command for command in one.carrier.commands if command.action == "answer"]
        assert len({command.body["command_id"] for command in answered}) == 1, "another command than before"
        assert len({command.body["stream_url"] for command in answered}) == 1


async def test_a_caller_who_hung_up_meanwhile_is_closed_as_interrupted() -> None:
    async with office() as one:
        caller = await one.ring()
        await until(lambda: caller.heard_ms > 700, "the agent")
        await one.stop()
        caller.call.faults.webhook_drop.append("*")  # nobody is there to be told
        await caller.call.hang_up()
        await one.start()
        await until(lambda: one.rows("SELECT * FROM conversations WHERE ended_at IS NOT NULL"), "the end on record")
        (row,) = one.rows("SELECT * FROM conversations")
        assert (row["hangup_cause"], row["state"]) == ("interrupted", "hangup")
        assert row["duration_seconds"] <= 2, "it ended when it was last heard of"
        assert one.rows("SELECT * FROM conversation_items WHERE status IN ('in_progress', 'running')") == []


async def test_killed_again_and_again_the_same_call_goes_on(some: Sample) -> None:
    async with office() as one:
        caller = await one.ring()
        await until(lambda: caller.heard_ms > 600, "the agent")
        for _ in some(range(4), 2):
            await one.stop()
            await one.start()
            await caller.hears_again(one.listening_at)
        assert caller.is_up
        assert answers(one) == 1
        records = one.rows("SELECT DISTINCT step FROM steps ORDER BY step")
        assert [row["step"] for row in records] == list(range(len(records))), "steps are counted on"


async def test_a_handover_waits_for_a_quiet_moment_and_the_caller_hears_nothing_of_it() -> None:
    async with office(DRAIN="handover", DRAIN_SECONDS=10, NO_INPUT_SECONDS=0) as one:
        caller = await one.ring()
        await until(lambda: caller.heard_ms > 600, "the agent")
        started = monotonic()
        await one.stop(signal.SIGTERM)
        assert monotonic() - started > 2, "it left in mid-sentence"
        assert caller.heard_ms > 3900, "the sentence was not heard to its end"
        assert caller.is_up
        (left,) = one.rows('SELECT at FROM steps WHERE event LIKE \'{"event":"handed_over"%\'')
        await one.start()
        await until(lambda: len(one.realtime.sessions) == 2, "the next process's session")
        stream = await caller.call.wait_streaming()
        await until(lambda: stream.started, "the next process's stream")
        with contextlib.suppress(AssertionError):
            await caller.hears_again(one.listening_at, 1.5)
        if asked := [each.at for each in one.realtime.sessions[-1].received if each.event["type"] == "response.create"]:
            away = time() - (monotonic() - asked[0]) - left["at"]
            assert away >= UNNOTICED_SECONDS, f"it says that it is back, after {away:.2f} s"
        # of 4000 ms the caller has heard 3900 at least: the last word may count as not heard
        assert told(one.realtime.sessions[-1])[1].startswith(SENTENCE.rpartition(" ")[0])
        caller.phone.say(noise(500, 7))
        await caller.hears_again(monotonic())
        assert one.rows("SELECT COUNT(*) AS n FROM conversations WHERE ended_at IS NULL")[0]["n"] == 1


async def test_who_calls_during_a_handover_is_answered_and_goes_on_in_the_next_process() -> None:
    async with office(DRAIN="handover", DRAIN_SECONDS=5) as one:
        first = await one.ring(1)
        await until(lambda: first.heard_ms > 300, "the agent")
        assert one.process is not None
        one.process.process.send_signal(signal.SIGTERM)
        await one.process.says("draining")
        second = await one.ring(2)
        await one.process.process.wait()
        await one.start()
        await second.hears_again(one.listening_at, 12)
        assert first.is_up
        assert second.is_up


@pytest.mark.alone
@pytest.mark.carrier("telnyx")
async def test_a_stream_that_the_carrier_still_counts_is_stopped_first() -> None:
    async with office() as one:
        assert isinstance(one.carrier, Telnyx)
        caller = await one.ring()
        await until(lambda: caller.heard_ms > 600, "the agent")
        caller.call.faults.stale_streams = 1
        await one.stop()
        await one.start()
        await caller.hears_again(one.listening_at)
        actions = [(command.action, command.status) for command in one.carrier.commands[-3:]]
        assert actions == [("streaming_start", 422), ("streaming_stop", 200), ("streaming_start", 200)]


@pytest.mark.proof
async def test_with_postgresql_it_is_the_same(postgresql: str) -> None:
    name = f"office_{product.usual}"
    postgres.create(postgresql, name)
    async with office(DATABASE_URL=postgresql.format(name=name)) as one:
        caller = await one.ring()
        await until(lambda: caller.heard_ms > 1500, "the middle of the sentence")
        for _ in range(2):
            await one.stop()
            await one.start()
            assert await caller.hears_again(one.listening_at) < 3.0
        assert answers(one) == 1
        assert SENTENCE.startswith(told(one.realtime.sessions[1])[1])


async def test_a_second_server_on_the_same_record_leaves_the_calls_of_the_first_alone() -> None:
    async with office() as one:
        caller = await one.ring()
        await until(lambda: caller.heard_ms > 600, "the agent")
        async with python(SERVER, env={**one.env, "PORT": 0}) as second:
            await second.says("its calls are left alone")
            await until(lambda: caller.heard_ms > 3900, "the sentence to be heard to its end")
            assert len(one.realtime.sessions) == 1, "the second server took the call"
            assert "of the calls of another process" not in second.said()


async def test_a_card_number_is_not_in_the_log_of_a_tool_that_fails_over_it(tmp_path: Path) -> None:
    number = "4111111111111111"
    tools = tmp_path / "tools.py"
    tools.write_text(
        "def pay(card: str) -> str:\n    'Pays.'\n    raise ValueError(f'no such card: {card}')\n\n\ntools = [pay]\n",
        encoding="utf-8",
    )
    realtime = model(Turn.call("pay", card=number), Turn.say(f"I cannot find {number}.", noise(400, 8)))
    async with office(realtime, TOOLS_FILE=tools, LOG_LEVEL="debug") as one:
        caller = await one.ring()
        await until(lambda: caller.heard_ms > 350, "the answer", 10)
        await caller.call.hang_up()
        await until(lambda: one.rows("SELECT * FROM conversations WHERE ended_at IS NOT NULL"), "the end on record")
        await one.stop(signal.SIGTERM)
        assert "[card number]" in one.said(), "the tool's failure is not in the log at all"
        assert number not in one.said()
        for path in one.folder.rglob("*"):
            assert not path.is_file() or number.encode() not in path.read_bytes(), path


async def test_while_the_record_cannot_be_opened_yet_the_caller_is_kept_and_then_spoken_to_in_context() -> None:
    async with office(TWILIO_RESUME_SECONDS=2) as one:
        caller = await one.ring()
        await until(lambda: caller.heard_ms > 1200, "the agent")
        await one.stop()
        locker = sqlite3.connect(one.folder / "callflow.db", isolation_level=None)
        locker.execute("PRAGMA locking_mode=EXCLUSIVE")
        locker.execute("BEGIN EXCLUSIVE")
        await one.start()
        if product.usual == "twilio":  # the tail asks what to do, and is not told to hang up
            await until(lambda: any("/resume" in each.url for each in one.carrier.deliveries), "the question", 6)
        else:
            await asyncio.sleep(1.5)
        locker.close()
        await caller.hears_again(one.listening_at)
        assert caller.is_up
        words = told(one.realtime.sessions[-1])
        assert SENTENCE.startswith(words[1]), words
        assert "cannot be opened" in one.said().lower() or product.usual == "twilio"


async def test_without_its_record_no_call_is_handed_over() -> None:
    """The next process could not know it: so the caller is told goodbye."""
    async with office(DRAIN="handover", DRAIN_SECONDS=0.5, FAREWELL_SECONDS=4) as one:
        caller = await one.ring()
        await until(lambda: caller.heard_ms > 600, "the agent")
        locker = sqlite3.connect(one.folder / "callflow.db", isolation_level=None)
        locker.execute("BEGIN EXCLUSIVE")
        assert one.process is not None
        caller.phone.say(noise(300, 9))
        await one.process.says("THE JOURNAL CANNOT BE WRITTEN")
        await one.stop(signal.SIGTERM)
        locker.close()
        await until(lambda: not caller.is_up, "the caller to be let go")
