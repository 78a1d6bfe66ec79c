"""Many calls of which few talk: what the silent ones cost those who talk, and the server's memory. 5 of 50 talk; 50 of
1,000 with --long, which needs half of a core for the server, and half of another for the emulators. `-s`: figures."""

from __future__ import annotations

import asyncio
import binascii
import time
from collections.abc import Iterator
from typing import Any, Final

import psutil
import pytest

from callflow.cli.bench.relay import Probe, _figures
from callflow.cli.bench.subjects import without_collections
from callflow.sandbox.common.phone import Phone
from callflow.sandbox.openai_realtime import Realtime, Script
from callflow.sandbox.telnyx import Call, Telnyx
from tests.e2e.process import serving
from tests.e2e.product import until
from tests.e2e.scenes import exchange
from tests.sample import Sample


_AT_ONCE: Final = 10
"""Calls that are set up at the same time."""
_WINDOWS: Final = 4
"""The best of so many counts, because other programs make some worse."""
_WINDOW_SECONDS: Final = 1.0
_MOST_RATIO: Final = 4.0
"""How many times as late frames may be beside the silent calls: bytes to look at are the same, caches are not."""
_MOST_BYTES: Final = 150_000
"""Growth of the server's resident memory for each call: twice what was measured (docs/performance.md)."""


async def _rung(telnyx: Telnyx, phones: list[Phone]) -> list[Call]:
    """Have a call of each of these, which sends no frames any more once its stream has begun."""
    calls: list[Call] = []
    for first in range(0, len(phones), _AT_ONCE):
        some = [await telnyx.ring(phone=phone) for phone in phones[first : first + _AT_ONCE]]
        for call in some:
            await call.wait_streaming(60)
            telnyx.exchange.pacer.remove(call)
        calls += some
    return calls


async def _windows() -> list[tuple[float, float]]:
    found = []
    for _ in range(_WINDOWS):
        began = time.monotonic()
        await asyncio.sleep(_WINDOW_SECONDS)
        found.append((began, time.monotonic()))
    return found


def _best(probes: list[Probe], windows: list[tuple[float, float]], percentile: str) -> float:
    """Milliseconds from the caller to the model, in the best of these windows."""
    found: list[dict[str, Any]] = [_figures(probes, began, ended) for began, ended in windows]
    return min(float(each["caller_to_model_ms"][percentile]) for each in found)


@pytest.fixture(autouse=True)
def _no_collections() -> Iterator[None]:
    with without_collections():
        yield


@pytest.mark.proof
@pytest.mark.alone
@pytest.mark.timeout(400)
async def test_calls_that_send_no_frames_cost_those_that_talk_nothing_and_beyond_the_capacity_it_is_busy(
    some: Sample,
) -> None:
    talking, silent = (50, 950) if some.is_whole else (5, 45)
    probes = [Probe(number + 1) for number in range(talking)]

    def on_echo(base64: str) -> None:
        start = binascii.a2b_base64(base64[:8])
        if 0 < (number := int.from_bytes(start[:2])) <= talking:
            probes[number - 1].on_echo(start, time.monotonic())

    telnyx = exchange()
    realtime = Realtime(script=Script.echoing(on_echo), keep_audio=False)
    capacity = talking + silent
    settings: dict[str, Any] = {
        "GREETING": "",
        "NO_INPUT_SECONDS": 0,
        "MAX_CONCURRENT_CALLS": capacity,
        "JOURNAL_SECONDS": 5,
        # The echo of a caller who sends nothing more never ends: it is neither waited for nor bridged by a sound. Else
        # all of them would hear "one moment, please" again and again, which is as much work as callers who talk.
        "REPLY_SECONDS": 600,
        "PATIENCE_SECONDS": 590,
    }
    async with serving(telnyx, realtime, LOG_LEVEL="warning", **settings) as server:
        watched = psutil.Process(server.process.pid)
        for call in await _rung(telnyx, [Phone() for _ in range(_AT_ONCE)]):  # what only first calls need
            await call.hang_up()
            await call.wait_ended()
        await server.live(0)
        before = watched.memory_info().rss

        pacer = telnyx.exchange.pacer
        talkers = await _rung(telnyx, [Phone(source=probe.frame, on_media=probe.on_media) for probe in probes])
        for call in talkers:
            pacer.add(call)
        await until(lambda: all(probe.returned for probe in probes), "everybody to hear themselves", 30)
        alone = await _windows()
        for call in talkers:  # the emulators have enough to do meanwhile
            pacer.remove(call)
        began = time.monotonic()
        await _rung(telnyx, [Phone() for _ in range(silent)])
        print(f"\n{silent} silent calls were set up within {time.monotonic() - began:.0f} s")
        for call in talkers:
            pacer.add(call)
        await asyncio.sleep(_WINDOW_SECONDS)
        beside = await _windows()
        grown = watched.memory_info().rss - before

        for _ in range(3):
            call = await telnyx.ring()
            await call.wait_ended(10)
            assert call.hangup_cause == "user_busy"
        assert (await server.health())["calls"] == capacity

        for began, ended in (*alone, *beside):
            await until(lambda: _figures(probes, began, ended)["frames_lost"] == 0, "every frame to have come back", 10)  # noqa: B023
        assert _figures(probes, *beside[-1])["frames_out_of_order"] == 0
        for percentile in ("p50", "p99"):
            without, with_them = (_best(probes, each, percentile) for each in (alone, beside))
            print(f"caller to model, {percentile}: {without:.1f} ms without them, {with_them:.1f} ms with them")
            assert with_them <= _MOST_RATIO * without, f"{percentile}: {without} ms without, {with_them} ms with them"
        print(f"{grown / capacity / 1000:.0f} kB a call")
        assert grown / capacity <= _MOST_BYTES, f"{grown / capacity / 1000:.0f} kB a call"
        await server.stop()
        await server.ended(60)  # a thousand hear goodbye
