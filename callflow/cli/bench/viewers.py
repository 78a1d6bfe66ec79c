"""`bench --watched`: what operators' pages cost the calls, which are measured in turn with and without viewers.

A page on the wall reads `/api/live`, and one on a call `/api/live/<call>/events`, with the single events of its model
and its audio stream. What the pages do with that is their browser's work, and is left out.

`bench --watched answers`: the same for questions, one a second, whose answers have 4,000 items. `bench --watched
control`: the same questions, answered by a program on the server's core that is no part of it: what they cost the calls
whoever answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Final

from callflow.cli.bench import asker
from callflow.contracts.errors import BenchError


WALLS: Final = 5
CALLS: Final = 3
BESIDE: Final = {
    "pages": f"{WALLS} viewers on the wall and {CALLS} on a call",
    "answers": "a question a second with a large answer",
    "control": "a question a second to another program on the server's core",
}
_ROUNDS: Final = 8
_BATCHES: Final = 4
_BATCH: Final = 1000
"""Items of a long conversation are sent in so many pieces of so many."""
_SETTLE_SECONDS: Final = 1.0
"""Left out of each window: streams begin with all that was told before, and the last frames come back."""
_HERE: Final = os.pathsep.join(map(os.path.abspath, sys.path))
"""So that another process finds this package."""
_WAYS: Final = ("caller_to_model_ms", "model_to_caller_ms")


async def compare(
    port: int,
    pid: int,
    beside: str,
    seconds: float,
    calls: Callable[[], AbstractAsyncContextManager[None]],
    figures: Callable[[float, float], Mapping[str, Any]],
    cpu: Callable[[], float],
) -> dict[str, Any]:
    """Return the windows' delays with and without viewers, and the ratios of the 99th percentiles.

    `port`, `pid`: of the server. `beside`: of `BESIDE`. `calls`: has new calls, while it is entered: what the server
    has to play for a caller grows whenever this machine stands still, and stays. `figures`: of the frames that were
    sent between two moments. `cpu`: processor time of the server so far, in seconds. Raises BenchError.
    """
    found: dict[bool, list[Mapping[str, Any]]] = {False: [], True: []}
    others = _viewers if beside == "pages" else partial(_askers, core=_core(pid) if beside == "control" else None)
    for number in range(2 * _ROUNDS):
        is_watched = number % 4 in (1, 2)
        async with calls():
            async with others(port) if is_watched else contextlib.nullcontext():
                await asyncio.sleep(_SETTLE_SECONDS)
                used, began = cpu(), time.monotonic()
                await asyncio.sleep(seconds)
                used, ended = cpu() - used, time.monotonic()
            await asyncio.sleep(_SETTLE_SECONDS)
        found[is_watched].append({**figures(began, ended), "cpu": 100 * used / (ended - began)})
    told: dict[str, Any] = {}
    for is_watched, name in ((False, "unwatched"), (True, "watched")):
        windows = found[is_watched]
        for way in _WAYS:
            told[f"{name}_{way}"] = {
                part: round(_usual(each[way][part] for each in windows), 2) for part in ("p50", "p99")
            }
        told[f"{name}_cpu_percent"] = round(_usual(each["cpu"] for each in windows), 1)
    for way in _WAYS:
        before, after = told[f"unwatched_{way}"]["p99"], told[f"watched_{way}"]["p99"]
        told[f"ratio_of_p99_{way.removesuffix('_ms')}"] = round(after / before, 2) if before else None
    return told


def _usual(values: Iterable[float]) -> float:
    """Return the lower quartile: whatever else this machine does makes some windows worse, and none better."""
    ordered = sorted(values)
    return ordered[len(ordered) // 4]


@contextlib.asynccontextmanager
async def _viewers(port: int) -> AsyncIterator[None]:
    """Have viewers read until this is left."""
    calls = [call["id"] for call in (await get(port, "/api/calls/live"))["live"][:CALLS]]
    paths = ["/api/live"] * WALLS + [f"/api/live/{call}/events" for call in calls]
    readers = [asyncio.create_task(_read(port, path), name=f"viewer of {path}") for path in paths]
    try:
        yield
        if ended := [task for task in readers if task.done()]:
            raise BenchError(f"{len(ended)} of {len(readers)} viewers were sent away: is the server too busy?")
    finally:
        for task in readers:
            task.cancel()
        await asyncio.gather(*readers, return_exceptions=True)


def _core(pid: int) -> int:
    """Return the core that a server is on. Raises BenchError."""
    if not hasattr(os, "sched_getaffinity"):
        raise BenchError("This system does not let a program choose its core: leave out --watched control.")
    return min(os.sched_getaffinity(pid))


@contextlib.asynccontextmanager
async def _askers(port: int, core: int | None = None) -> AsyncIterator[None]:
    """Have somebody ask for all of a long conversation, once a second, until this is left. `core`: on which another
    program answers; None: the server does."""
    (newest,) = await get(port, "/api/conversations?limit=1")
    path = f"/api/calls/{newest['stream_sid']}"
    for batch in range(_BATCHES):
        reader, writer = await _asked(
            port, f"/api/conversations/stream/{newest['stream_sid']}/items", "Connection: close\r\n", body=_items(batch)
        )
        await reader.read()
        writer.close()
    if len((await get(port, path))["conversation"]["items"]) < _BATCHES * _BATCH:
        raise BenchError("The server has not taken the items of a long conversation: see its log.")

    least = _BATCHES * len(_items(0))

    more = [] if core is None else [str(core)]
    asking = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        asker.__name__,
        str(port),
        path,
        str(least),
        *more,
        env={**os.environ, "PYTHONPATH": _HERE},
    )
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            asking.terminate()
        ended = await asking.wait()
    if ended != -signal.SIGTERM:  # by itself
        raise BenchError("A question had no large answer: is the server too busy?")


def _items(batch: int) -> bytes:
    said = [{"type": "text", "text": "What is said in a long conversation is kept, and is asked for. " * 5}]
    ids = [f"bench-{batch}-{number}" for number in range(_BATCH)]
    return json.dumps(
        {"items": [{"id": each, "type": "message", "role": "user", "content": said} for each in ids]}
    ).encode()


async def _read(port: int, path: str, more: str = "") -> int:
    """Read until the answer ends, and return how many bytes it had."""
    reader, writer = await _asked(port, path, more)
    length = 0
    try:
        while some := await reader.read(64 << 10):
            length += len(some)
    finally:
        writer.close()
    return length


async def get(port: int, path: str) -> Any:
    """Return what the operators' listener answers. Raises BenchError."""
    reader, writer = await _asked(port, path, "Connection: close\r\n")
    try:
        answer = await reader.read()
        return json.loads(answer.partition(b"\r\n\r\n")[2])
    except ValueError:
        raise BenchError(f"The operators' listener has not answered {path}: try again.") from None
    finally:
        writer.close()


async def _asked(
    port: int, path: str, more: str = "", *, body: bytes = b""
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError as error:
        raise BenchError(f"The operators' listener cannot be reached: {error}") from None
    if body:
        more += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    method = "POST" if body else "GET"
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{more}\r\n".encode() + body)
    return reader, writer
