"""Three machines, one PostgreSQL, HAProxy in front: one machine is killed, another is cut off from the database, and
HAProxy is restarted. No call is lost, and nothing is done twice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import pytest

from callflow.cli.haproxy import Server
from callflow.sandbox.openai_realtime import Pace, Realtime, Script, Turn
from callflow.sandbox.telnyx import Telnyx
from tests.e2e.cluster_proof.counting import ANSWER, Gaps, Voice, nobody_lost, nothing_twice, owner
from tests.e2e.cluster_proof.stage import hear_again
from tests.e2e.database_link import DatabaseLink
from tests.e2e.haproxy import in_front_of, program
from tests.e2e.process import ROOT
from tests.e2e.product import until
from tests.e2e.talk import noise
from tests.e2e.test_two_hosts import kill_all, machine
from tests.e2e.test_workers import eventually
from tests.history import postgres
from tests.ports import free_port


pytestmark = [pytest.mark.process, pytest.mark.proof, pytest.mark.alone]
NAMES = ("a", "b", "c")
TALK = Script.of(
    Turn.say("Good day, this is the harbour office, and there is a lot to tell.", noise(40_000, 1)),
    otherwise=Turn.say("Yes, I am here.", ANSWER),
)
"""Its first sentence outlasts the proof: who has heard the agent to the end hears nothing after a break."""


async def test_three_machines_lose_no_call(postgresql: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    count = 30 if request.config.getoption("--long") else 9
    program()
    name = f"test_{uuid.uuid4().hex}"
    await asyncio.to_thread(postgres.create, postgresql, name)
    port, ports = free_port(), {each: free_port() for each in NAMES}
    consoles = {each: free_port() for each in NAMES}
    realtime, gaps, link = Realtime(script=TALK, pace=Pace.instant()), Gaps(), DatabaseLink()
    telnyx = Telnyx(webhook_url=f"http://127.0.0.1:{port}/webhooks")
    async with telnyx, realtime, link.to(postgresql.format(name=name)) as of_c, contextlib.AsyncExitStack() as stack:
        env = {
            "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "COLUMNS": "200",
            "OPENAI_API_KEY": realtime.api_key, "OPENAI_REALTIME_URL": realtime.url,
            "TELNYX_API_KEY": telnyx.api_key, "TELNYX_PUBLIC_KEY": telnyx.public_key,
            "TELNYX_API_BASE": telnyx.base_url, "PUBLIC_BASE_URL": f"http://127.0.0.1:{port}",
            "DATABASE_URL": postgresql.format(name=name), "CLUSTER_SECRET": "s" * 32, "ADMISSION_LAG_MS": "0",
            "JOURNAL_SECONDS": "2", "DRAIN_SECONDS": "0.5", "NO_INPUT_SECONDS": "0",
        }  # fmt: skip
        machines = {}
        for each in NAMES:
            own = env | ({"DATABASE_URL": of_c} if each == "c" else {})
            machines[each] = await stack.enter_async_context(machine(each, ports[each], consoles[each], tmp_path, own))
        servers = [Server(each, f"127.0.0.1:{ports[each]}") for each in NAMES]
        proxy = await stack.enter_async_context(in_front_of(tmp_path, servers, port))

        async def up() -> set[str]:
            with contextlib.suppress(httpx.HTTPError):
                async with httpx.AsyncClient(trust_env=False) as client:
                    answer = await client.get(f"http://127.0.0.1:{consoles['b']}/api/nodes", timeout=2)
                return {node["name"] for node in answer.json()["nodes"] if node["state"] == "up"}
            return set()

        async def all_up() -> bool:
            return len(await up()) == 3

        await eventually(all_up, "the three machines", 30)
        await asyncio.sleep(1)  # until HAProxy has seen them
        calls = [await telnyx.ring(phone=Voice(number).phone) for number in range(count)]
        await asyncio.gather(*(call.phone.hears(0.3, timeout=20) for call in calls))
        assert {owner(call) for call in calls} == {f"{each}-w1" for each in NAMES}

        async def goes_on(theirs: list[Any], since: float, streams: dict[str, int]) -> None:
            try:
                await until(hear_again(theirs, since, streams), "the model's voice", 20)
            finally:
                nobody_lost(telnyx, calls)
            for call in theirs:
                gaps.add(call, since, streams[call.key])

        def of(node: str) -> tuple[list[Any], dict[str, int], float]:
            theirs = [call for call in calls if owner(call).startswith(node)]
            return theirs, {call.key: len(call.streams) for call in theirs}, monotonic()

        theirs, streams, since = of("a")
        kill_all(machines["a"].pid)
        await goes_on(theirs, since, streams)
        gaps.told("a machine killed")

        gaps = Gaps()
        theirs, streams, since = of("c")
        assert theirs
        link.cut()
        await goes_on(theirs, since, streams)
        gaps.told("a machine cut off from the database")
        assert {owner(call) for call in calls} == {"b-w1"}
        link.is_cut = False

        async def two_up() -> bool:
            return len(await up()) == 2

        await eventually(two_up, "the machine whose link is healed", 15)

        gaps = Gaps()
        theirs, streams, since = of("b")
        await proxy.close()
        await stack.enter_async_context(in_front_of(tmp_path, servers, port))
        await goes_on(theirs, since, streams)
        gaps.told("HAProxy restarted")
        nothing_twice(telnyx)
        for session in realtime.sessions:
            assert session.violations == []
