"""Three machines, one PostgreSQL, HAProxy in front, with callers who only listen, callers whose words make the model
use a tool, and a list of numbers that is dialled: whatever is done to the machines, each of these is counted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx

from callflow.cli.haproxy import Server
from callflow.sandbox.openai_realtime import Pace, Realtime, Say, Script, Turn
from callflow.sandbox.telnyx import Telnyx
from callflow.sandbox.twilio import Twilio
from tests.e2e import product
from tests.e2e.campaigns import ALWAYS, SHORT, rows
from tests.e2e.cluster_proof.counting import ANSWER, Voice, nothing_twice, owner
from tests.e2e.haproxy import HAProxy, in_front_of, program
from tests.e2e.outbound import DIALS, OURS, TOKEN
from tests.e2e.process import ROOT
from tests.e2e.product import PUBLIC, Exchange, until
from tests.e2e.talk import noise
from tests.e2e.test_two_hosts import begin, kill_all
from tests.e2e.test_workers import eventually
from tests.history import postgres
from tests.ports import free_port


NAMES: Final = ("a", "b", "c")
LONG: Final = noise(40_000, 1)
"""A first sentence that outlasts what is done: who has heard the agent to the end hears nothing after a break."""
TOOL: Final = '''
import asyncio, pathlib

LOG = pathlib.Path(LOG_FILE)


async def book(table: int) -> str:
    """Books a table."""
    with LOG.open("a") as file:
        print(table, file=file, flush=True)
    await asyncio.sleep(0.4)
    return "booked"


tools = [book]
'''


_CROSSINGS: Final = (
    "already has an active response", "but buffer only has 0.00ms of audio", "no active response found",
)  # fmt: skip
"""Refusals of what crosses on the wire: the model begins to answer the caller while our request for a response is on
its way to it, ends the caller's turn while ours to end it is, or its response while we cancel that."""


@dataclass(frozen=True)
class Busy(Script):
    """The agent says something first; what the caller says makes it use the tool, each time with another number, and
    then answer."""

    tables: Iterator[int] = field(default_factory=lambda: count(1))
    questions: Iterator[int] = field(default_factory=lambda: count(1))

    @classmethod
    def saying(cls, first: bytes) -> Busy:
        return cls((Turn((Say("Good day, this is the harbour office.", first),)),))

    def turn(self, number: int) -> Turn:
        if number == 0:
            return self.turns[0]
        return Turn.call("book", table=next(self.tables)) if number % 2 else Turn.say("Yes, I am here.", ANSWER)

    def transcript(self, number: int) -> str:
        """Never the same: who says the same for two minutes is taken for a recording, and their call ends."""
        return f"I would like to have table {next(self.questions)}."


@dataclass
class Site:
    """What runs, and who calls."""

    carrier: Exchange
    realtime: Realtime
    folder: Path
    port: int
    env: dict[str, str]
    database: str
    """Its address, as the server itself has it."""
    links: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)
    machines: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=lambda: {name: free_port() for name in NAMES})
    consoles: dict[str, int] = field(default_factory=lambda: {name: free_port() for name in NAMES})
    data: dict[str, str] = field(default_factory=lambda: {name: tempfile.mkdtemp(prefix="ma") for name in NAMES})
    talks: list[tuple[Any, Voice]] = field(default_factory=list)
    """Everybody who is on the line."""
    numbers: list[str] = field(default_factory=list)
    campaign: str = ""
    rung: int = 0
    _proxy: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    # The machines

    async def start(self, name: str) -> None:
        own = {"DATABASE_URL": self.database.replace(self._socket, self.data[name]), "DATA_DIR": self.data[name]}
        console = self.consoles[name]
        self.machines[name] = await begin(name, self.ports[name], console, self.folder, self.env | own)

    @property
    def _socket(self) -> str:
        """The folder of the database's socket."""
        return parse_qs(urlsplit(self.database).query)["host"][0]

    async def join(self, name: str) -> None:
        """Open a machine's way to the database."""
        path = Path(self.data[name]) / ".s.PGSQL.5432"
        path.unlink(missing_ok=True)
        self.links[name] = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.e2e.database_link", path, f"{self._socket}/.s.PGSQL.5432", cwd=ROOT
        )
        await until(path.exists, "the link to the database")

    async def cut(self, name: str) -> None:
        """Cut it: what was open ends, and nothing is accepted."""
        self.links[name].kill()
        await self.links[name].wait()

    def signal(self, name: str, number: signal.Signals) -> None:
        """To every process of a machine."""
        kill_all(self.machines[name].pid, number)

    async def open_proxy(self) -> HAProxy:
        servers = [Server(name, f"127.0.0.1:{self.ports[name]}") for name in NAMES]
        return await self._proxy.enter_async_context(in_front_of(self.folder, servers, self.port))

    async def close_proxy(self) -> None:
        await self._proxy.aclose()

    async def ask(self, method: str, path: str, body: Any = None) -> httpx.Response | None:
        """Ask the first machine that answers. None: none did."""
        for name in NAMES:
            with contextlib.suppress(httpx.HTTPError):
                async with httpx.AsyncClient(trust_env=False, timeout=3) as client:
                    url = f"http://127.0.0.1:{self.consoles[name]}{path}"
                    return await client.request(method, url, json=body, headers={"Authorization": f"Bearer {TOKEN}"})
        return None

    async def all_up(self, timeout: float = 40) -> None:
        """Each machine takes calls, each knows so, and HAProxy has seen it."""

        async def three() -> bool:
            for name in NAMES:
                with contextlib.suppress(httpx.HTTPError):
                    async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
                        given = {"Authorization": f"Bearer {TOKEN}"}
                        answer = await client.get(f"http://127.0.0.1:{self.consoles[name]}/api/nodes", headers=given)
                    up = {node["name"][0] for node in answer.json()["nodes"] if node["state"] == "up"}
                    if up == set(NAMES):
                        continue
                return False
            return True

        await eventually(three, "the three machines", timeout)
        await asyncio.sleep(1)

    def said(self) -> str:
        """The ends of their logs."""
        logs = [(name, (self.folder / name / "log").read_text(encoding="utf-8")) for name in NAMES]
        return "\n".join(f"--- {name}\n{text[-4000:]}" for name, text in logs)

    # The callers

    async def ring(self, calls: int) -> list[tuple[Any, Voice]]:
        """More callers, who have heard the beginning of what the agent says first."""
        began, new = monotonic(), []
        for _ in range(calls):
            voice = Voice(self.rung)
            self.rung += 1
            new.append((await self.carrier.ring(phone=voice.phone), voice))
            await asyncio.sleep(0.04)
        self.talks += new
        try:
            await asyncio.gather(*(call.phone.hears(0.3, timeout=20, since=began) for call, _ in new))
        except (AssertionError, TimeoutError):
            silent = [call.story() for call, _ in new if call.phone.loud_ms(began) < 300]
            raise AssertionError(f"{len(silent)} callers heard nothing", silent, self.said()) from None
        return new

    async def hang_up(self, talks: Sequence[tuple[Any, Voice]]) -> None:
        for call, _ in talks:
            await call.hang_up()
        self.talks = [one for one in self.talks if one not in talks]

    def at(self, name: str) -> list[Any]:
        """The calls of a machine."""
        return [call for call, _ in self.talks if owner(call).startswith(f"{name}-")]

    # The tool

    def runs(self) -> Counter[str]:
        """How often the tool has run for each table."""
        booked = self.folder / "booked"
        return Counter(booked.read_text(encoding="utf-8").split()) if booked.exists() else Counter()

    # The list of numbers

    async def dial_list(self, numbers: int, a_second: float) -> None:
        self.numbers = [f"+1555010{number:04}" for number in range(10, 10 + numbers)]
        self.carrier.exchange.timing.ring_s = 0.1
        self.carrier.exchange.callee = SHORT
        body = {"rows": rows(*self.numbers), **ALWAYS, "attempts": 1, "at_once": 3, "calls_per_second": a_second}
        made = await self.ask("POST", "/api/campaigns", body)
        assert made is not None
        assert made.status_code == 201, made.text
        self.campaign = made.json()["url"]

    def dialled(self) -> list[str]:
        """The numbers in the order in which the carrier has dialled them."""
        known = set(self.numbers)
        return [call.to_number for call in self.carrier.calls.values() if call.to_number in known]

    async def list_is_done(self, breaks: int) -> str:
        """Wait for the end of the list, and look at what became of each number. `breaks`: how often machines were
        killed, stopped or cut off. Returns what is to be told."""
        told: dict[str, Any] = {}

        async def finished() -> bool:
            answer = await self.ask("GET", self.campaign)
            if answer is not None and answer.is_success:
                told.update(answer.json())
            return bool(told.get("state") == "finished")

        await eventually(finished, f"the end of the campaign: {told}", 30 + len(self.numbers))
        dialled = Counter(self.dialled())
        twice = [number for number, times in dialled.items() if times > 1]
        assert twice == [], f"numbers that were dialled twice: {twice}"
        missed = len(self.numbers) - len(dialled)
        # Of a dial that was on its way when its node died nobody knows whether it has arrived: it is not tried again.
        assert missed <= 3 * breaks, (missed, told)
        return f"{len(dialled)} of {len(self.numbers)} numbers dialled, none twice"

    # What is asserted

    def nobody_lost(self) -> None:
        lost = [call.story() for call, _ in self.talks if call.ended_at is not None]
        assert lost == [], (f"{len(lost)} of {len(self.talks)} calls were lost", lost, self.said())
        assert self.carrier.failures == [], self.carrier.failures

    def nothing_twice(self) -> None:
        nothing_twice(self.carrier)
        twice = [table for table, times in self.runs().items() if times > 1]
        assert twice == [], f"requests for which a tool ran twice: {twice}"
        violations = [
            each for session in self.realtime.sessions for each in session.violations
            if not (session.audio_in and any(crossing in each for crossing in _CROSSINGS))
        ]  # fmt: skip
        assert violations == [], violations


@contextlib.asynccontextmanager
async def site(postgresql: str, folder: Path, script: Script) -> AsyncIterator[Site]:
    """The three machines are up, HAProxy knows them, and nobody calls yet. All settings that concern what is proved
    have their defaults."""
    program()
    name, port = f"test_{uuid.uuid4().hex}", free_port()
    await asyncio.to_thread(postgres.create, postgresql, name)
    server = f"http://127.0.0.1:{port}"
    realtime = Realtime(script=script, pace=Pace.instant())
    carrier: Exchange = (
        Twilio(PUBLIC, server=server, fallback="/incoming-call")
        if product.usual == "twilio"
        else Telnyx(webhook_url=f"{server}/webhooks")
    )
    (folder / "tools.py").write_text(TOOL.replace("LOG_FILE", repr(str(folder / "booked"))), encoding="utf-8")
    async with carrier, realtime:
        env = {
            "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "COLUMNS": "200", "PUBLIC_BASE_URL": server,
            "OPENAI_API_KEY": realtime.api_key, "OPENAI_REALTIME_URL": realtime.url, "CLUSTER_SECRET": "s" * 32,
            **{key.upper(): str(value) for key, value in (DIALS | carrier.settings()).items()},
            "ADMISSION_LAG_MS": "0", "NO_INPUT_SECONDS": "0", "MAX_CONCURRENT_CALLS": "200",
            "TOOLS_FILE": str(folder / "tools.py"), "DIALS_PER_MINUTE": "10000",
            "DRAIN": "handover", "DRAIN_SECONDS": "30",
        }  # fmt: skip
        the = Site(carrier, realtime, folder, port, env, postgresql.format(name=name))
        if isinstance(carrier, Twilio):
            carrier.exchange.number(OURS)
        try:
            await the.open_proxy()
            for each in NAMES:
                await the.join(each)
                await the.start(each)
            await the.all_up()
            yield the
        finally:
            for process in the.machines.values():
                kill_all(process.pid)
                await process.wait()
            for each, link in the.links.items():
                if link.returncode is None:
                    await the.cut(each)
                shutil.rmtree(the.data[each], ignore_errors=True)
            await the.close_proxy()


async def talking(call: Any, voice: Voice, over: asyncio.Event) -> None:
    """Say something again and again, until the call or the test is over, whatever is answered."""
    while not over.is_set() and call.ended_at is None:
        asked = monotonic()
        voice.say(600)
        while monotonic() < asked + 5 and not over.is_set():
            await asyncio.sleep(0.05)
            if call.phone.loud_ms(asked) >= 1000:
                break
        await asyncio.sleep(0.8 + voice.number % 7 / 10)
