"""Nothing slow on the loop that carries audio: setting up a call imports, opens and looks up nothing there, reads no
certificates, and runs no callback that takes long.

The server is a process of its own, so that it is not the emulators that have loaded what it needs; carrier and model
speak TLS. Time is processor time of the loop's thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import statistics
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import pytest

from callflow.sandbox import telnyx, twilio
from callflow.sandbox.common.phone import Phone
from callflow.sandbox.openai_realtime import Pace, Realtime, Script
from tests.e2e.collector import collector
from tests.e2e.hook import hook
from tests.e2e.process import Process, python
from tests.e2e.product import Exchange, exchange, until
from tests.e2e.tls_front import Authority, front
from tests.history.delivery.receiver import SECRET, receiver


pytestmark = pytest.mark.process
CARRIERS = ("telnyx", "twilio")
_SERVER: Final = str(Path(__file__).with_name("watched_server.py"))
_LONGEST_MS: Final = 2.0
_LONGEST_OF_MOST_MS: Final = 3.0
"""A machine that is shared makes the same work take half as long again, in most calls."""
_LONGEST_OF_THE_FIRST_MS: Final = 10.0
"""Of the first call after the start, in which much runs for the first time."""
_LONGEST_COLLECTION_MS: Final = 5.0
_LEFT_OF_A_CALL: Final = 20
"""Objects that only the garbage collector frees: those of libraries. One of ours would hold all others, 490."""
_CALLS: Final = 6


class Found(NamedTuple):
    """See `watched_server.py`."""

    at: float
    on_loop: bool
    kind: str
    what: str


@dataclass
class Watched:
    carrier: Exchange
    process: Process
    report: Path
    calls: list[tuple[float, float]] = field(default_factory=list)
    """When each began and ended."""

    async def call(self) -> None:
        """One short call, from the ring until nothing is left of it."""
        begun = time.monotonic()
        call = await self.carrier.ring(phone=Phone())
        await call.wait_streaming()
        await call.phone.hears(0.1)
        await call.hang_up()
        await self.process.live(0)
        self.calls.append((begun, time.monotonic()))

    async def stop(self) -> None:
        await self.process.stop()
        assert await self.process.ended(20) == 0, self.process.said()

    def found(self, begun: float, ended: float) -> list[Found]:
        lines = self.report.read_text(encoding="utf-8").splitlines()
        return [one for one in (Found(*json.loads(line)) for line in lines) if begun <= one.at <= ended]

    def was_quick(self) -> None:
        """Check the longest callback of each call. What is slow in one of them may be the machine's: a cold cache, say.
        What is ours is slow in each call, or in every other."""
        first, *others = [
            max((float(one.what.split()[0]), one.what) for one in self.found(*times) if one.kind == "callback")
            for times in self.calls
        ]
        assert first[0] < _LONGEST_OF_THE_FIRST_MS, first
        assert min(others)[0] < _LONGEST_MS, others
        assert statistics.median_low(others)[0] < _LONGEST_OF_MOST_MS, others


@contextlib.asynccontextmanager
async def watched(folder: Path, *, tls: bool = True, operators: bool = True, **env: object) -> AsyncIterator[Watched]:
    """`tls`: carrier and model speak it. `operators`: one of them has asked before, so that their app is loaded."""
    authority, realtime, carrier = Authority(folder), Realtime(script=Script.tone(0.3), pace=Pace.instant()), exchange()
    async with carrier, realtime, contextlib.AsyncExitStack() as stack:

        async def fronted(address: str) -> str:
            return await stack.enter_async_context(front(address, authority)) if tls else address

        variables: dict[str, object] = {
            name.upper(): await fronted(value) if "api_base" in name else value
            for name, value in carrier.settings().items()
        }
        variables |= {
            "OPENAI_API_KEY": realtime.api_key,
            "OPENAI_REALTIME_URL": await fronted(realtime.url),
            "SSL_CERT_FILE": authority.trusted,
            "PORT": 0, "CONSOLE_PORT": 0, "DRAIN_SECONDS": 0.2, "FAREWELL_SECONDS": 1,
        }  # fmt: skip
        report = folder / "report"
        process = await stack.enter_async_context(python("-P", _SERVER, str(report), env=variables | env))
        port = await process.public_port()
        async with httpx.AsyncClient(trust_env=False, verify=False) as client:
            assert (await client.get(f"http://127.0.0.1:{port}/health")).text == "OK"
        if operators:
            await process.live(0)
        carrier.set_server(f"http://127.0.0.1:{port}")
        yield Watched(carrier, process, report)


@pytest.mark.parametrize("loop", ["standard", "uvloop"])
async def test_a_call_loads_opens_and_looks_up_nothing_on_the_loop(loop: str, tmp_path: Path) -> None:
    """Not even the first call after the start, which has been over when /health said OK."""
    async with watched(tmp_path, RECORD=True, CALLBACKS=1 if loop == "standard" else "") as the:
        for _ in range(_CALLS):
            await the.call()
        await the.stop()

    found = the.found(the.calls[0][0], the.calls[-1][1])
    assert [one for one in found if one.kind in ("import", "process", "certificates")] == []
    assert [one for one in found if one.kind in ("open", "dns") and one.on_loop] == []
    elsewhere = {one.kind for one in found if not one.on_loop}
    assert "open" in elsewhere, "the recordings: else nothing was watched"
    if loop == "standard":
        the.was_quick()


@pytest.mark.carrier("telnyx")
async def test_the_app_for_operators_is_loaded_by_a_thread_with_their_first_request(tmp_path: Path) -> None:
    async with watched(tmp_path, operators=False, CALLBACKS=1) as the:
        call = await the.carrier.ring(phone=Phone())
        await call.wait_streaming()
        begun = time.monotonic()
        await the.process.live(1)
        ended = time.monotonic()
        await call.hang_up()
        await the.stop()

    found = the.found(begun, ended)
    assert "callflow.web.console.app" in {one.what for one in found if one.kind == "import"}
    told = [one for one in found if one.on_loop]
    assert [one for one in told if one.kind in ("import", "process", "certificates", "open", "dns")] == []
    longest = max((float(one.what.split()[0]) for one in told if one.kind == "callback"), default=0.0)
    assert longest < _LONGEST_OF_THE_FIRST_MS


@pytest.mark.proof
@pytest.mark.carrier("telnyx")
async def test_a_trace_of_each_call_loads_opens_and_looks_up_nothing_on_the_loop(tmp_path: Path) -> None:
    async with collector() as there, watched(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=there.address) as the:
        for number in range(1, 4):
            await the.call()
            await until(lambda: len(there.requests) == number, "the trace")  # noqa: B023
        ended = time.monotonic()
        await the.stop()

    found = [one for one in the.found(the.calls[0][0], ended) if one.on_loop]
    assert [one for one in found if one.kind in ("import", "process", "certificates", "open", "dns")] == []


@pytest.mark.proof
@pytest.mark.carrier("telnyx")
@pytest.mark.parametrize("loop", ["standard", "uvloop"])
async def test_events_of_each_call_load_open_and_look_up_nothing_on_the_loop_however_slow_their_receiver(
    loop: str, tmp_path: Path
) -> None:
    """Its name is looked up by a thread, and so are its rows in the database."""
    async with receiver(delay=0.3) as there:
        address = there.url.replace("127.0.0.1", "localhost")
        chosen: dict[str, Any] = {
            "EVENTS_URL": address,
            "EVENTS_SECRET": SECRET,
            "CALLBACKS": 1 if loop == "standard" else "",
        }
        async with watched(tmp_path, **chosen) as the:
            for _ in range(_CALLS):
                await the.call()
            await until(lambda: len(there.taken) == 3 * _CALLS, "the events", 20)
            ended = time.monotonic()
            await the.stop()

    found = the.found(the.calls[0][0], ended)
    assert [one for one in found if one.kind in ("import", "process", "certificates")] == []
    assert [one for one in found if one.kind in ("open", "dns") and one.on_loop] == []
    assert min(end - begun for begun, end in the.calls) < there.delay * 3, "calls wait for no event"
    if loop == "standard":
        the.was_quick()


@pytest.mark.proof
@pytest.mark.carrier("telnyx")
@pytest.mark.parametrize("what", ["address", "function"])
async def test_who_calls_is_asked_without_loading_opening_or_looking_up_anything_on_the_loop(
    what: str, tmp_path: Path
) -> None:
    file = tmp_path / "who.py"
    file.write_text('def who(call):\n    return {"variables": {"name": "Ada"}}\n')
    async with hook({"variables": {"name": "Ada"}}) as there:
        address = there.url.replace("127.0.0.1", "localhost")
        chosen: dict[str, Any] = {
            "CALLER_LOOKUP": address if what == "address" else "who", "EVENTS_SECRET": SECRET, "TOOLS_FILE": file,
            "INSTRUCTIONS": "You talk with {{name}}.", "CALLBACKS": 1,
        }  # fmt: skip
        async with watched(tmp_path, **chosen) as the:
            for _ in range(_CALLS):
                await the.call()
            await the.stop()
        assert len(there.asked) == (_CALLS if what == "address" else 0)

    found = the.found(the.calls[0][0], the.calls[-1][1])
    assert [one for one in found if one.kind in ("import", "process", "certificates")] == []
    assert [one for one in found if one.kind in ("open", "dns") and one.on_loop] == []
    the.was_quick()


@pytest.mark.proof
@pytest.mark.alone
@pytest.mark.carrier("telnyx")
async def test_garbage_is_collected_while_nobody_is_on_the_line(tmp_path: Path) -> None:
    """While a hundred calls are live, and others come and go, no collection takes more than 5 ms; then there is one of
    everything, which finds hardly anything."""
    async with watched(tmp_path, tls=False, MAX_CONCURRENT_CALLS=200, LOG_LEVEL="debug") as the:

        async def talking() -> telnyx.Call | twilio.Call:
            call = await the.carrier.ring(phone=Phone())
            await call.wait_streaming(30)
            return call

        calls = [call for _ in range(10) for call in await asyncio.gather(*(talking() for _ in range(10)))]
        begun = time.monotonic()
        for _ in range(20):
            await (await talking()).hang_up()
        ended = time.monotonic()
        await asyncio.gather(*(call.hang_up() for call in calls))
        await the.process.says("garbage of 120 calls")
        (left,) = re.findall(r"garbage of 120 calls: (\d+) objects", the.process.said())
        await the.stop()

    pauses = [float(one.what) for one in the.found(begun, ended) if one.kind == "collection"]
    assert pauses, "the young ones are collected"
    assert max(pauses) <= _LONGEST_COLLECTION_MS, sorted(pauses)[-5:]
    assert int(left) / 120 < _LEFT_OF_A_CALL
