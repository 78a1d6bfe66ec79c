"""`python server.py bench workers`: how many calls one process carries, and how many two workers do, when each process
of the server is held to a share of a core (`share.py`). Then two have twice what one has, as on a machine with more
cores than this one has for the server.

Calls are added, some at a time, until the caller's frames come too late at the model, or not at all; each call answers
every frame with a frame of the agent, as in `relay.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import binascii
import contextlib
import math
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from callflow.cli.bench.outcome import outcome_of
from callflow.cli.bench.relay import Probe, ring_all
from callflow.cli.bench.subjects import CALLFLOW, WORKERS, Subject, processes, world
from callflow.cli.terminal import Screen
from callflow.contracts.errors import BenchError


SHARE: Final = 0.3
SECONDS: Final = 3.0
STEP: Final = 12
_ROUNDS: Final = 3
_MOST_CALLS: Final = 400
_MOST_P99_SECONDS: Final = 0.2
"""Ten periods of `share.py`: a process that does not keep up falls behind further and further."""
_MOSTLY_USED: Final = 0.8
"""Of its share: a process that is the limit has used so much of it at least."""
_SETTLE_SECONDS: Final = 1.5
_LAST_SECONDS: Final = 0.5
"""After each window, until its last frames have come."""


def run(arguments: argparse.Namespace) -> Any:
    """Return the coroutine that measures; its result is the exit code."""
    return outcome_of(lambda: measure(arguments.seconds or SECONDS, Screen(highlight=False)), arguments.json)


async def measure(
    seconds: float, screen: Screen, share: float = SHARE, step: int = STEP, rounds: int = _ROUNDS
) -> dict[str, Any]:
    """Measure one process and two workers, in turn. Returns `{"share", "one_process", "two_workers", "ratio"}`: the
    calls that each of them carried in each round, and how many times more two workers carry. Raises BenchError."""
    screen.print(f"each process of the server held to {share:g} of a core, {step} calls more every {seconds:g} s …")
    found: dict[str, list[int]] = {CALLFLOW.name: [], WORKERS.name: []}
    for _ in range(rounds):
        for subject in (CALLFLOW, WORKERS):
            calls = await most_calls(subject, share, seconds, step)
            found[subject.name].append(calls)
            screen.print(f"{subject.name}: {calls} calls")
    one, two = (statistics.median(found[each.name]) for each in (CALLFLOW, WORKERS))
    if not one:
        raise BenchError("One process carries no call with that share of this machine's core.")
    screen.print(f"two workers carry {two / one:.2f} times the calls of one process (medians of {rounds})")
    return {"share": share, "one_process": found[CALLFLOW.name], "two_workers": found[WORKERS.name], "ratio": two / one}


async def most_calls(subject: Subject, share: float, seconds: float, step: int) -> int:
    """Return how many calls a server carries whose processes are held to that share. Raises BenchError, also if
    something else than the share is the limit."""
    probes: list[Probe] = []

    def on_echo(base64: str) -> None:
        start = binascii.a2b_base64(base64[:8])
        number = int.from_bytes(start[:2])
        if 0 < number <= len(probes):
            probes[number - 1].on_echo(start, time.monotonic())

    # Whether a caller gets in must not depend on how late the loop is, which is stopped again and again.
    async with contextlib.AsyncExitStack() as stack:
        the = await stack.enter_async_context(world(subject, on_echo, ADMISSION_LAG_MS="0"))
        # The main process with workers carries no audio; it is held to the same share.
        held = processes(the.server.pid)
        await stack.enter_async_context(_held([each.pid for each in held], share))

        def use() -> list[float]:
            return [float(sum(each.cpu_times()[:2])) for each in held]

        while len(probes) < _MOST_CALLS:
            new = [Probe(len(probes) + number + 1) for number in range(step)]
            probes += new
            is_served, before, began = False, use(), time.monotonic()
            with contextlib.suppress(BenchError):  # it does not even answer them: it does not carry them
                await ring_all(the.carrier, new)
                # A process that cannot keep up does not the second time either; what else the machine did may be over.
                for _ in range(2):
                    before, began = use(), time.monotonic()
                    if is_served := await _is_served(probes, seconds):
                        break
            if not is_served:
                used = max(now - then for now, then in zip(use(), before, strict=True)) / (time.monotonic() - began)
                if used < _MOSTLY_USED * share:
                    raise BenchError(
                        f"{len(probes)} calls are late although no process has used its {share:g} of a core, but"
                        f" {used:.2f}: other programs, or the emulators, are the limit. There is no figure."
                    )
                break
        return len(probes) - step


async def _is_served(probes: list[Probe], seconds: float) -> bool:
    """Whether all frames of so many seconds reach the model, and few of them late."""
    await asyncio.sleep(_SETTLE_SECONDS)
    for probe in probes:  # they would only grow
        for noted in (probe.sent, probe.reached, probe.returned):
            noted.clear()
    began = time.monotonic()
    await asyncio.sleep(seconds)
    ended = time.monotonic()
    await asyncio.sleep(_LAST_SECONDS)
    waits = sorted(
        probe.reached.get(chunk, math.inf) - at
        for probe in probes
        for chunk, at in probe.sent.items()
        if began <= at < ended
    )
    # The way back is no measure: what is echoed late waits behind what is still to be played, for as long as a call is.
    return waits[-1] < math.inf and waits[int(len(waits) * 0.99)] <= _MOST_P99_SECONDS


@contextlib.asynccontextmanager
async def _held(pids: Sequence[int], share: float) -> AsyncIterator[None]:
    """Hold these processes while it is entered."""
    words = ("-m", "callflow.cli.bench.share", str(share), *map(str, pids))
    holder = await asyncio.create_subprocess_exec(sys.executable, *words)
    try:
        yield
        if holder.returncode is not None:
            raise BenchError("A process of the server has ended.")
    finally:
        if holder.returncode is None:
            holder.terminate()
        await holder.wait()
