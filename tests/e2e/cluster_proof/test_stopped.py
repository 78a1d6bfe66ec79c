"""A worker that is stopped for longer than its lease, and goes on: it is fenced, and nothing is done twice."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from time import monotonic
from urllib.parse import unquote

import pytest

from callflow.sandbox.telnyx import ApiFault
from callflow.sandbox.twilio import ApiFault as TwilioApiFault
from tests.e2e import product
from tests.e2e.cluster_proof.counting import (
    TALK,
    Gaps,
    Voice,
    hears_the_model,
    nobody_lost,
    nothing_twice,
    owner,
    p95,
    process_of,
)
from tests.e2e.cluster_proof.stage import both_are_up, callers, hear_again, is_long
from tests.e2e.product import run, until
from tests.e2e.test_workers import office


pytestmark = [pytest.mark.process, pytest.mark.proof, pytest.mark.alone]
CARRIERS = ("telnyx", "twilio")


def holds_the_database(process: int, database: Path) -> bool:
    """Whether it is within a transaction that writes: then SQLite lets nobody else write, as long as it is stopped."""
    shared = database.with_name(f"{database.name}-shm").stat().st_ino
    lines = Path("/proc/locks").read_text(encoding="utf-8").splitlines()
    return any(f" WRITE {process} " in line and line.split()[-3].endswith(f":{shared}") for line in lines)


def is_stopped(process: int) -> bool:
    """Whether every thread of it stands still."""
    return all(" T " in one.read_text() for one in Path(f"/proc/{process}/task").glob("*/stat"))


async def stop(process: int, database: Path, *, within_a_transaction: bool) -> None:
    """Stop it at such a moment, however often that takes."""
    async with asyncio.timeout(90):  # a transaction takes a millisecond, and they come now and then
        while True:
            os.kill(process, signal.SIGSTOP)
            await until(lambda: is_stopped(process), "it to stop")
            if holds_the_database(process, database) == within_a_transaction:
                return
            os.kill(process, signal.SIGCONT)
            await asyncio.sleep(0.003)


def test_a_worker_that_is_stopped_and_goes_on_commands_nothing_twice(request: pytest.FixtureRequest) -> None:
    run(stopped(*((20, 10.0) if is_long(request) else (4, 4.0))))


async def stopped(count: int, seconds: float) -> None:
    """Some of its callers talk when it is stopped, others are being answered."""
    gaps = Gaps()
    async with office(NO_INPUT_SECONDS=0, MAX_CONCURRENT_CALLS=200) as the:
        the.realtime.script = TALK
        talks = await callers(the, range(count))
        node = owner(talks[0][0])
        frozen = process_of(the.folder, node)
        theirs = [call for call, _ in talks if owner(call) == node]
        slow = TwilioApiFault("update", slow_s=0.3) if product.usual == "twilio" else ApiFault("answer", slow_s=0.3)
        the.carrier.faults.api.append(slow)
        new = [await the.carrier.ring(phone=Voice(count + number).phone) for number in range(4)]
        await asyncio.sleep(0.05)
        streams = {call.key: 1 for call in theirs}
        since = monotonic()
        await stop(frozen, the.folder / "data" / "callflow.db", within_a_transaction=False)
        try:
            try:
                await until(hear_again(theirs, since, streams), "the model's voice", 12)
            except AssertionError:
                raise AssertionError([call.story() for call in theirs], the.said()) from None
            for call in theirs:
                gaps.add(call, since, 1)
            await asyncio.sleep(max(0.0, since + seconds - monotonic()))
        finally:
            os.kill(frozen, signal.SIGCONT)
        again = monotonic()
        await until(lambda: "this node was declared dead meanwhile" in the.said(), "it to notice", 5)
        await both_are_up(the)
        try:
            await until(lambda: all(map(hears_the_model, new)), "those who rang meanwhile", 20)
        except AssertionError:
            raise AssertionError([call.story() for call in new if not hears_the_model(call)], the.said()) from None
        await asyncio.sleep(1)
        calls = [*(call for call, _ in talks), *new]
        nobody_lost(the.carrier, calls)
        nothing_twice(the.carrier)
        for call in theirs:
            assert len(call.streams) == 2, call.story()
        about = {call.key for call, _ in talks}  # a call that rang meanwhile may be answered now
        late = [
            one for one in the.carrier.commands
            if one.at > again and one.action not in ("get", "fetch") and about & {*unquote(one.path).split("/")}
        ]  # fmt: skip
        assert late == [], "the worker that goes on has commanded something"
        for call, _ in talks:
            assert call in theirs or len(call.streams) == 1, call.story()
        line = gaps.told("a worker stopped")
        assert p95(gaps.sound) < 15, line


@pytest.mark.carrier("telnyx")
def test_a_worker_that_is_stopped_while_it_writes_is_ended() -> None:
    """SQLite: it holds the database, so that the other one could neither renew its lease nor take calls over."""
    run(stopped_while_it_writes())


async def stopped_while_it_writes() -> None:
    async with office(NO_INPUT_SECONDS=0) as the:
        the.realtime.script = TALK
        talks = await callers(the, range(4))
        node = owner(talks[0][0])
        frozen = process_of(the.folder, node)
        theirs = [call for call, _ in talks if owner(call) == node]
        await stop(frozen, the.folder / "data" / "callflow.db", within_a_transaction=True)
        since = monotonic()
        await until(hear_again(theirs, since, {call.key: 1 for call in theirs}), "the model's voice", 8)
        assert f"worker {node} was stopped while it wrote" in the.said()
        await both_are_up(the)
        nobody_lost(the.carrier, [call for call, _ in talks])
        nothing_twice(the.carrier)
        for call, _ in talks:
            assert call in theirs or len(call.streams) == 1, call.story()
