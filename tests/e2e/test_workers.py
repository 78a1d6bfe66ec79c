"""Several processes on one machine, as a user starts them: `server.py --workers 2`, over real sockets and processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sqlite3
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from callflow.sandbox.openai_realtime import Pace, Realtime, Script, Turn
from callflow.sandbox.telnyx import Telnyx
from callflow.sandbox.twilio import Twilio
from tests.e2e import product
from tests.e2e.hook import hook
from tests.e2e.outbound import DIALS, OURS, TOKEN
from tests.e2e.process import ROOT, SERVER
from tests.e2e.product import PUBLIC, Exchange, run, until
from tests.e2e.talk import noise
from tests.history.delivery.receiver import SECRET
from tests.ports import free_port


pytestmark = pytest.mark.process
CARRIERS: Final = ("telnyx", "twilio")
SAMPLED: Final = True
"""Of both, by turns: see `tests/e2e/conftest.py`."""
BEARER: Final = {"Authorization": f"Bearer {TOKEN}"}
GREETING: Final = Turn.say("Good day, this is the harbour office.", noise(1500, 1))


@dataclass
class Office:
    """A main process with its workers, and the carrier and the model."""

    carrier: Exchange
    realtime: Realtime
    folder: Path
    port: int
    console: int
    env: Mapping[str, str]
    mains: list[asyncio.subprocess.Process] = field(default_factory=list)

    async def start(self, workers: int = 2, *, waits: bool = True) -> None:
        """`waits`: until each worker knows all."""
        with (self.folder / "log").open("ab") as log:
            main = await asyncio.create_subprocess_exec(
                sys.executable, SERVER, "--workers", str(workers),
                cwd=self.folder, env=self.env, stdout=log, stderr=log, stdin=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
        self.mains.append(main)
        if not waits:
            await eventually(self.is_bound, "the port", 20)
            return
        before = {node["name"] for node in await self.nodes()}

        async def are_there() -> bool:
            return sum(node["name"] not in before for node in await self.nodes()) >= workers

        await eventually(are_there, "the workers", 20)
        await asyncio.sleep(0.6)  # until each worker has seen the others

    async def is_bound(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True

    async def nodes(self) -> list[dict[str, Any]]:
        """The nodes that live, as the operators' port tells."""
        try:
            async with httpx.AsyncClient(trust_env=False, verify=False) as client:
                answer = await client.get(f"http://127.0.0.1:{self.console}/api/nodes", timeout=2, headers=BEARER)
        except httpx.HTTPError:
            return []
        return [node for node in answer.json()["nodes"] if node["state"] != "dead"]

    async def ring(self, calls: int) -> list[Any]:
        """Calls that have heard the greeting."""
        rung = []
        for _ in range(calls):
            rung.append(await self.carrier.ring())
            await asyncio.sleep(0.02)
        await asyncio.gather(*(call.phone.hears(0.3, timeout=15) for call in rung))
        return rung

    def workers(self) -> list[int]:
        """The processes of all workers."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = path.read_bytes().split(b"\0")
                where = (path.parent / "cwd").readlink()
                if b"callflow.cli.worker" in words and where == self.folder:
                    found.append(int(path.parent.name))
        return found

    def rows(self, query: str, *values: str) -> list[dict[str, Any]]:
        """What the history has."""
        with contextlib.closing(sqlite3.connect(self.folder / "data" / "callflow.db")) as database:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute(query, values)]

    def said(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8")


@contextlib.asynccontextmanager
async def office(*, waits: bool = True, **env: object) -> AsyncIterator[Office]:
    port, console = free_port(), free_port()
    server = f"http://127.0.0.1:{port}"
    realtime = Realtime(script=Script.of(GREETING, otherwise=Turn.say("Yes.", noise(400, 2))), pace=Pace.instant())
    carrier: Exchange = (
        Twilio(PUBLIC, server=server, fallback="/incoming-call")
        if product.usual == "twilio"
        else Telnyx(webhook_url=f"{server}/webhooks")
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in (".env", "settings.toml"):
            (folder / file).write_text("", encoding="utf-8")
        async with carrier, realtime:
            settings = {
                "OPENAI_API_KEY": realtime.api_key,
                "OPENAI_REALTIME_URL": realtime.url,
                **{key.upper(): value for key, value in carrier.settings().items()},
                "PORT": port,
                "CONSOLE_PORT": console,
                "DATA_DIR": folder / "data",
                "ADMISSION_LAG_MS": 0,
                "JOURNAL_SECONDS": 2,
                "DRAIN": "handover",
                "PATH": os.environ["PATH"],
                "PYTHONPATH": ROOT,
                "COLUMNS": 200,
                **env,
            }
            the = Office(
                carrier, realtime, folder, port, console, {key: _text(value) for key, value in settings.items()}
            )
            try:
                await the.start(waits=waits)
                yield the
            finally:
                for main in the.mains:
                    if main.returncode is None:
                        main.kill()
                    await main.wait()
                for pid in the.workers():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)


def _text(value: object) -> str:
    return str(value.get_secret_value() if hasattr(value, "get_secret_value") else value)


def streams(calls: Sequence[Any]) -> list[int]:
    return [len(call.streams) for call in calls]


async def eventually(condition: Callable[[], Awaitable[bool]], what: str, seconds: float) -> None:
    """Ask a condition of another process until it holds."""
    try:
        async with asyncio.timeout(seconds):
            while not await condition():  # noqa: ASYNC110 - another process has no event for us
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"waited {seconds:g} s for {what}") from None


def test_calls_are_spread_and_those_of_a_worker_that_is_killed_go_on() -> None:
    run(killed())


async def killed() -> None:
    # The port is there, and no worker yet: the first one that is ready must not take all that waits there.
    async with office(waits=False) as the:
        calls: list[Any] = list(await asyncio.gather(*(the.carrier.ring() for _ in range(8))))
        await asyncio.gather(*(call.phone.hears(0.3, timeout=40) for call in calls))
        await until(lambda: all(len(call.streams) == 1 for call in calls), "the streams")

        had: dict[str, int] = {}

        async def spread() -> bool:
            nodes = await the.nodes()
            had.update({node["name"]: node["calls"] for node in nodes})
            if len(nodes) < 2 or sum(had.values()) != 8:  # 9: two took one call, and one still has to let go
                return False
            first, second = (datetime.fromisoformat(node["startedAt"]) for node in nodes)
            # On a full machine the first one does not wait for another that takes seconds longer to start. And where
            # no worker is there for 2 s, the carrier sends each webhook again: then each worker spreads all calls in
            # the order in which they come to it, and whoever is the first to claim a call has it.
            return min(had.values()) >= 1 or abs(first - second) > timedelta(seconds=1)

        await eventually(spread, "the calls to be spread", 10)
        os.kill(the.workers()[0], signal.SIGKILL)

        async def one_is_gone() -> bool:
            return len({node["name"] for node in await the.nodes()} & had.keys()) == 1

        await eventually(one_is_gone, "the death to be known", 5)
        (gone,) = had.keys() - {node["name"] for node in await the.nodes()}
        await until(lambda: sum(streams(calls)) >= 8 + had[gone], "the calls to be taken over", 10)
        moved = [call for call in calls if len(call.streams) == 2]
        await asyncio.gather(*(call.phone.hears(1.0, timeout=8) for call in moved))
        assert len(moved) == had[gone], "a call of the other worker was touched"

        async def replaced() -> bool:
            return len(await the.nodes()) == 2

        await eventually(replaced, "another worker", 15)
        assert {call.state for call in calls} <= {"answered", "in-progress"}


@pytest.mark.alone
def test_whoever_rings_while_a_worker_dies_and_another_joins_is_served() -> None:
    run(ringing_all_the_time())


async def ringing_all_the_time() -> None:
    async with office(MAX_CONCURRENT_CALLS=200) as the:
        calls = []
        dying = asyncio.get_running_loop().call_later(0.5, lambda: os.kill(the.workers()[0], signal.SIGKILL))
        for number in range(80):  # until well after the new one has joined
            calls.append(await the.carrier.ring())
            await asyncio.sleep(0.05 if number else 0)
        dying.cancel()
        assert "it is started again" in the.said()
        try:
            await asyncio.gather(*(call.phone.hears(0.3, timeout=10, since=0.0) for call in calls))
        except TimeoutError:
            deaf = [call.story() for call in calls if call.phone.loud_ms(0) < 300]
            raise AssertionError(deaf, the.said()[-5000:]) from None
        assert [call.story() for call in calls if call.ended_at is not None] == []


def test_operators_reach_every_call_at_whichever_worker_they_come_in() -> None:
    run(operated())


async def operated() -> None:
    async with office(MAX_CONCURRENT_CALLS=9, DIALS_PER_MINUTE=7) as the:
        assert re.search(r" limits +9 calls at once", the.said()), the.said()
        calls = await the.ring(4)
        base = f"http://127.0.0.1:{the.console}"
        seen: list[list[str]] = []
        for _ in range(4):  # a connection each, so that both workers are asked
            async with httpx.AsyncClient(trust_env=False, verify=False) as client:
                live = (await client.get(f"{base}/api/calls/live")).json()["live"]
                seen.append([call["id"] for call in live])
                limits = (await client.get(f"{base}/api/limits")).json()
                assert (limits["calls"], limits["dialsPerMinute"]) == ({"live": 4, "most": 9}, 7), "the share of one"
                asked = [(await client.get(f"{base}/{path}")).json()["node"] for path in ("health", "api/checks")]
                assert asked in (["w1", "w1"], ["w2", "w2"])
        assert all(len(ids) == 4 for ids in seen)
        assert seen.count(seen[0]) == 4
        for name in seen[0]:
            async with httpx.AsyncClient(trust_env=False, verify=False) as client:
                said = await client.post(f"{base}/api/calls/{name}/say", json={"text": "One moment."})
                assert said.status_code == 202, said.text
                async with client.stream("GET", f"{base}/api/live/{name}/events") as stream:
                    first = await anext(stream.aiter_lines())
                    assert first.startswith(("id:", "retry:", "event:")), first
                metrics = (await client.get(f"{base}/metrics")).text
                assert len(set(re.findall(r'callflow_accepting\{node="(w\d)"\} 1', metrics))) == 2
                assert (await client.post(f"{base}/api/calls/{name}/hangup", json={"when": "now"})).status_code == 200
        await until(lambda: not {call.state for call in calls} & {"answered", "in-progress"}, "the calls to end", 10)


def test_a_call_of_which_nothing_is_on_record_is_reached_at_whichever_worker_it_is() -> None:
    """Before its first entry, its worker asks somebody about the caller."""
    run(looked_up())


async def looked_up() -> None:
    async with hook(delay=4) as there, office(
        CALLER_LOOKUP=there.url, EVENTS_SECRET=SECRET, CALLER_LOOKUP_SECONDS=5
    ) as the:  # fmt: skip
        ring: asyncio.Task[Any] = asyncio.create_task(the.carrier.ring())
        await until(lambda: there.asked, "the question about the caller", 5)
        call = there.asked[0]["call"]
        async with httpx.AsyncClient(trust_env=False, base_url=f"http://127.0.0.1:{the.console}") as client:
            said = []
            for _ in range(6):  # each on a connection of its own, so that both workers are asked
                headers = {**BEARER, "Connection": "close"}
                answer = await client.post(f"/api/calls/{call}/hangup", headers=headers, json={"when": "goodbye"})
                said.append((answer.status_code, answer.text))
            assert {status for status, _ in said} <= {200, 202}, said
        rung = await ring
        await until(lambda: rung.ended_at, "the call to end", 8)


@pytest.mark.proof
def test_workers_whose_main_process_is_killed_go_on_and_hand_over_to_those_of_the_next() -> None:
    run(main_killed())


async def main_killed() -> None:
    async with office() as the:
        calls = await the.ring(2)
        the.mains[0].kill()
        await the.mains[0].wait()
        await until(lambda: "the main process has gone" in the.said(), "a word about it")
        assert streams(calls) == [1, 1]
        more = await the.ring(2)  # they answer, too
        old = set(the.workers())
        await the.start()
        await until(lambda: all(count >= 2 for count in streams([*calls, *more])), "all calls to be moved", 20)
        await until(lambda: not old & set(the.workers()), "the old workers to end", 20)
        assert {call.state for call in [*calls, *more]} <= {"answered", "in-progress"}
        the.mains[1].terminate()
        async with asyncio.timeout(15):
            assert await the.mains[1].wait() == 0
        assert the.workers() == []


@pytest.mark.proof
def test_a_worker_that_was_stopped_commands_nothing_when_it_goes_on() -> None:
    run(stopped_for_a_while())


async def stopped_for_a_while() -> None:
    async with office() as the:
        calls = await the.ring(4)
        stopped = the.workers()[0]
        os.kill(stopped, signal.SIGSTOP)
        await until(lambda: max(streams(calls)) == 2, "its calls to be taken over", 8)
        await asyncio.sleep(1)
        taken, commands = streams(calls), len(the.carrier.commands)
        os.kill(stopped, signal.SIGCONT)
        await until(lambda: "this node was declared dead meanwhile" in the.said(), "the stopped worker to notice", 5)
        await asyncio.sleep(1)
        assert len(the.carrier.commands) == commands
        assert streams(calls) == taken


@pytest.mark.proof
def test_the_limits_of_a_caller_hold_over_all_workers() -> None:
    run(limited())


async def limited() -> None:
    async with office(MAX_CALLS_PER_CALLER=2) as the:
        for _ in range(2):
            await the.ring(1)
            await asyncio.sleep(0.6)  # each worker has heard how many calls the other has
        assert [node["calls"] for node in await the.nodes()] == [1, 1]
        await the.carrier.ring()
        await until(lambda: "caller_busy" in the.said(), "the third call to be refused", 5)


@pytest.mark.proof
def test_calls_that_are_dialled_are_spread_also_where_one_connection_asks_for_all() -> None:
    run(dialled())


async def dialled() -> None:
    async with (
        office(**{name.upper(): value for name, value in DIALS.items()}) as the,
        httpx.AsyncClient(
            trust_env=False, base_url=f"http://127.0.0.1:{the.console}", timeout=15, headers=BEARER
        ) as client,
    ):
        if isinstance(the.carrier, Twilio):
            the.carrier.exchange.number(OURS)
        key, wish = {"Idempotency-Key": "call 0"}, {"toNumber": "+12025550100"}
        same = await asyncio.gather(*(client.post("/api/calls", json=wish, headers=key) for _ in range(4)))
        assert sorted(answer.status_code for answer in same) == [200, 200, 200, 201], [each.text for each in same]
        assert len({answer.json()["id"] for answer in same}) == 1
        await asyncio.sleep(0.6)  # each worker has heard how many calls the other has
        for number in range(1, 6):
            made = await client.post("/api/calls", json={"toNumber": f"+1202555010{number}"})
            assert made.status_code == 201, made.text
        dials = [one for one in the.carrier.commands if one.action in ("dial", "create")]
        assert len(dials) == 6

        async def spread() -> bool:
            calls = [node["calls"] for node in await the.nodes()]
            return sum(calls) == 6 and bool(min(calls) >= 2)

        await eventually(spread, "the calls to be spread", 5)
