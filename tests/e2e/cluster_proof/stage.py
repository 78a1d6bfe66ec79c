"""Two workers and callers who talk, for the proofs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest

from tests.e2e.cluster_proof.counting import Voice, hears_the_model
from tests.e2e.product import until
from tests.e2e.test_workers import Office, eventually


def is_long(request: pytest.FixtureRequest) -> bool:
    """Whether this is a run with --long; every other one looks at a sample."""
    return bool(request.config.getoption("--long"))


def only_with_long(request: pytest.FixtureRequest) -> None:
    """Leave a proof to --long that takes its time, or measures tenths of seconds beside other tests."""
    if not is_long(request):
        pytest.skip("it runs with --long")


async def callers(the: Office, numbers: range) -> list[tuple[Any, Voice]]:
    """Calls that have heard the beginning of what the agent says first."""
    voices, began = [Voice(number) for number in numbers], monotonic()
    calls = []
    for voice in voices:
        calls.append(await the.carrier.ring(phone=voice.phone))
        await asyncio.sleep(0.03)
    await asyncio.gather(*(call.phone.hears(0.3, timeout=20, since=began) for call in calls))
    return list(zip(calls, voices, strict=True))


async def both_are_up(the: Office) -> None:
    """Two workers take calls."""

    async def two() -> bool:
        return [node["state"] for node in await the.nodes()].count("up") == 2

    await eventually(two, "two workers", 20)


async def all_hang_up(calls: list[Any]) -> None:
    for call in calls:
        await call.hang_up()
    await until(lambda: all(call.ended_at is not None for call in calls), "all to hang up")


def hear_again(calls: list[Any], since: float, streams: dict[str, int]) -> Callable[[], bool]:
    """Whether all of them have heard the model again, on a stream after those that each had."""
    return lambda: all(hears_the_model(call, since, streams[call.key]) for call in calls)
