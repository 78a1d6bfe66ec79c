"""A worker that is stopped for longer than its lease, and goes on: it finds itself fenced, and nothing is done twice."""

from __future__ import annotations

import asyncio
import os
import signal
from time import monotonic

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


pytestmark = [pytest.mark.process, pytest.mark.proof]
CARRIERS = ("telnyx", "twilio")


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
        os.kill(frozen, signal.SIGSTOP)
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
        late = [one for one in the.carrier.commands if one.at > again and one.action not in ("get", "fetch")]
        assert late == [], "the worker that goes on has commanded something"
        for call, _ in talks:
            assert call in theirs or len(call.streams) == 1, call.story()
        line = gaps.told("a worker stopped")
        assert p95(gaps.sound) < 15, line
