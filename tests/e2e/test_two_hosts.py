"""Two machines with one PostgreSQL behind HAProxy, each a `server.py` of its own; one of them is killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from callflow.cli.haproxy import Server
from callflow.sandbox.openai_realtime import Pace, Realtime, Script, Turn
from callflow.sandbox.telnyx import Telnyx
from tests.e2e.haproxy import in_front_of, program
from tests.e2e.process import ROOT, SERVER
from tests.e2e.product import until
from tests.e2e.talk import noise
from tests.e2e.test_haproxy import told
from tests.history import postgres
from tests.ports import free_port


pytestmark = pytest.mark.process


@contextlib.asynccontextmanager
async def machine(
    name: str, port: int, console: int, folder: Path, env: dict[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A `server.py` with a data folder of its own: one with a short name, because Unix sockets lie in it."""
    data = tempfile.mkdtemp(prefix="ma")
    process = await begin(name, port, console, folder, env | {"DATA_DIR": data})
    try:
        yield process
    finally:
        kill_all(process.pid)
        await process.wait()
        shutil.rmtree(data, ignore_errors=True)


async def begin(name: str, port: int, console: int, folder: Path, env: dict[str, str]) -> asyncio.subprocess.Process:
    """Start a `server.py`, which may be one that was there before. `env` says where its data lie."""
    here = folder / name
    here.mkdir(exist_ok=True)
    if not (here / "data").is_symlink():
        (here / "data").symlink_to(env["DATA_DIR"])
    for file in (".env", "settings.toml"):
        (here / file).write_text("", encoding="utf-8")
    own = {"NODE": name, "PORT": str(port), "CONSOLE_PORT": str(console), "CLUSTER_PORT": str(free_port())}
    with (here / "log").open("ab") as log:
        return await asyncio.create_subprocess_exec(
            sys.executable, SERVER, cwd=here, env=env | own, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip


def kill_all(session: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to every process of a session, SIGKILL by default: workers are in process groups of their own."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text(encoding="utf-8").rpartition(")")[2].split()[3]) == session:
                os.kill(int(stat.parent.name), number)


@pytest.mark.proof
async def test_the_calls_of_a_machine_that_dies_go_on_at_the_other(postgresql: str, tmp_path: Path) -> None:
    program()
    database = f"test_{uuid.uuid4().hex}"
    await asyncio.to_thread(postgres.create, postgresql, database)
    port, of_a, of_b, console = free_port(), free_port(), free_port(), free_port()
    address = f"http://127.0.0.1:{port}"
    greeting = Turn.say("Good day, this is the harbour office.", noise(1500, 1))
    realtime = Realtime(script=Script.of(greeting, otherwise=Turn.say("Yes.", noise(400, 2))), pace=Pace.instant())
    telnyx = Telnyx(webhook_url=f"{address}/webhooks")
    async with telnyx, realtime:
        env = {
            "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "COLUMNS": "200",
            "OPENAI_API_KEY": realtime.api_key, "OPENAI_REALTIME_URL": realtime.url,
            "TELNYX_API_KEY": telnyx.api_key, "TELNYX_PUBLIC_KEY": telnyx.public_key,
            "TELNYX_API_BASE": telnyx.base_url, "PUBLIC_BASE_URL": address,
            "DATABASE_URL": postgresql.format(name=database), "CLUSTER_SECRET": "s" * 32, "ADMISSION_LAG_MS": "0",
            "JOURNAL_SECONDS": "2", "DRAIN_SECONDS": "0.5",
        }  # fmt: skip
        async with (
            machine("a", of_a, free_port(), tmp_path, env) as a,
            machine("b", of_b, console, tmp_path, env) as b,
            in_front_of(tmp_path, [Server("a", f"127.0.0.1:{of_a}"), Server("b", f"127.0.0.1:{of_b}")], port) as the,
        ):

            async def ready(port: int) -> bool:
                the.port, before = port, the.port
                try:
                    return (await the.ask("/ready", "GET"))[0] == 200
                except OSError:
                    return False
                finally:
                    the.port = before

            async with asyncio.timeout(30):
                while not (await ready(of_a) and await ready(of_b)):  # noqa: ASYNC110 - other processes
                    await asyncio.sleep(0.1)
            await asyncio.sleep(1)  # until each node has seen the other, and HAProxy both
            calls = [await telnyx.ring() for _ in range(6)]
            await asyncio.gather(*(call.phone.hears(0.3, timeout=15) for call in calls))
            assert [len(call.streams) for call in calls] == [1] * len(calls)

            async def had() -> dict[str, int]:
                async with httpx.AsyncClient(trust_env=False, verify=False) as client:
                    answer = await client.get(f"http://127.0.0.1:{console}/api/nodes")
                return {node["name"]: node["calls"] for node in answer.json()["nodes"]}

            async with asyncio.timeout(5):
                while sum((before := await had()).values()) != len(calls):  # noqa: ASYNC110 - likewise
                    await asyncio.sleep(0.1)
            assert set(before) == {"a-w1", "b-w1"}
            assert all(before.values()), "one machine has all calls"
            began = time.perf_counter()
            kill_all(a.pid)
            await until(lambda: sum(len(call.streams) == 2 for call in calls) == before["a-w1"], "the takeover", 10)
            told("all calls of a machine that died have a stream again after", time.perf_counter() - began)
            await asyncio.gather(*(call.phone.hears(0.3, timeout=8) for call in calls if len(call.streams) == 2))
            told("all of them have heard something after", time.perf_counter() - began)
            assert {call.state for call in calls} == {"answered"}
            more = await telnyx.ring()
            await more.phone.hears(0.3, timeout=8)
            os.kill(b.pid, signal.SIGTERM)
            async with asyncio.timeout(60):
                assert await b.wait() == 0
