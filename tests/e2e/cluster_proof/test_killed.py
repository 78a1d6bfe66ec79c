"""Workers killed at random under calls: none is lost, nothing is done twice, and who is at the other worker hears
nothing of it."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from time import monotonic

import pytest

from tests.e2e.cluster_proof.counting import (
    TALK,
    Arrivals,
    Gaps,
    every_frame,
    nobody_lost,
    nothing_twice,
    owner,
    p95,
    process_of,
)
from tests.e2e.cluster_proof.stage import all_hang_up, both_are_up, callers, hear_again, is_long
from tests.e2e.product import run, until
from tests.e2e.test_workers import office


pytestmark = [pytest.mark.process, pytest.mark.proof, pytest.mark.alone]
CARRIERS = ("telnyx", "twilio")


def test_a_worker_killed_at_random_takes_no_call_with_it(request: pytest.FixtureRequest) -> None:
    run(killed(*((40, 10) if is_long(request) else (8, 2))))


async def killed(count: int, kills: int) -> None:
    dice, gaps = random.Random(19), Gaps()
    async with office(NO_INPUT_SECONDS=0, MAX_CONCURRENT_CALLS=200) as the:
        the.realtime.script = TALK
        arrivals = Arrivals(the.realtime)
        talks = await callers(the, range(count))
        for number in range(kills):
            await asyncio.sleep(dice.uniform(0.2, 1.0))  # the moment of the kill
            gone = dice.choice(sorted({owner(call) for call, _ in talks}))
            theirs = [call for call, _ in talks if owner(call) == gone]
            others = [(call, voice, call.stream, len(voice.at)) for call, voice in talks if owner(call) != gone]
            streams = {call.key: len(call.streams) for call in theirs}
            since = monotonic()
            os.kill(process_of(the.folder, gone), signal.SIGKILL)
            try:
                await until(hear_again(theirs, since, streams), "the model's voice", 20)
            finally:
                nobody_lost(the.carrier, [call for call, _ in talks])
            await both_are_up(the)
            for call in theirs:
                gaps.add(call, since, streams[call.key])
                assert len(call.streams) == streams[call.key] + 1, call.story()
            assert others, "nobody was at the other worker"
            last = {voice.number: len(voice.at) - 1 for _, voice, _, _ in others}
            await asyncio.sleep(0.2)  # until the last of these frames has come to the model
            arrived = await arrivals.read()
            for call, voice, stream, first in others:
                assert call.stream is stream, f"a call of the other worker was touched: {call.story()}"
                every_frame(arrived, voice, first, last[voice.number])
            if number + 1 < kills:  # the new worker gets calls as well
                await all_hang_up([call for call, _ in talks[: count // 2]])
                begin = count + number * (count // 2)
                talks = talks[count // 2 :] + await callers(the, range(begin, begin + count // 2))
        nobody_lost(the.carrier, [call for call, _ in talks])
        nothing_twice(the.carrier)
        for session in the.realtime.sessions:
            assert session.violations == []
        line = gaps.told("a worker killed")
        assert p95(gaps.sound) < 10, line
