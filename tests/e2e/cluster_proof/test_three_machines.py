"""Three machines, one PostgreSQL, HAProxy in front: machines are killed, stopped and cut off from the database at
random, HAProxy is restarted, and all are replaced one after the other, while callers talk, tools run and a list of
numbers is dialled. No call is lost, and nothing is done twice."""

from __future__ import annotations

import asyncio
import random
import signal
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from tests.e2e import product
from tests.e2e.cluster_proof.counting import ANSWER, Arrivals, Gaps, every_frame, hears_the_model, p95
from tests.e2e.cluster_proof.site import LONG, NAMES, Busy, Site, site, talking
from tests.e2e.cluster_proof.stage import hear_again, is_long
from tests.e2e.cluster_proof.test_rolling import MOST_LATE, lateness, talk
from tests.e2e.product import until


pytestmark = [pytest.mark.process, pytest.mark.proof, pytest.mark.alone]
CARRIERS = ("telnyx", "twilio")


@pytest.fixture(autouse=True)
def only_whole(request: pytest.FixtureRequest) -> None:
    """Leave them out of CI: `test_three_nodes.py` has a sample that two cores carry beside all else."""
    if not is_long(request):
        pytest.skip("minutes of two cores: with --long")


BREAKS = ("killed", "HAProxy", "stopped", "cut off")


@pytest.mark.timeout(600)
async def test_three_machines_lose_no_call(postgresql: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    dice = random.Random(19)
    of_carrier = BREAKS[:2] if product.usual == "telnyx" else BREAKS[2:]
    breaks = [*BREAKS] * 3 if is_long(request) else [*of_carrier]
    dice.shuffle(breaks)
    # More than that is more than two cores carry beside the machines, the database, HAProxy and the emulators.
    listening, busy, stopped = (15, 5, 10.0) if is_long(request) else (5, 2, 4.0)
    async with site(postgresql, tmp_path, Busy.saying(LONG)) as the:
        gaps = {each: Gaps() for each in breaks}
        arrivals, over = Arrivals(the.realtime), asyncio.Event()
        await the.ring(listening)
        who_talk = await the.ring(busy)
        talks = [asyncio.create_task(talking(call, voice, over)) for call, voice in who_talk]
        await until(lambda: len(the.runs()) >= busy, "the tool to run", 15)
        await the.dial_list(*((200, 1.0) if is_long(request) else (12, 1.0)))
        await until(the.dialled, "the first number to be dialled", 15)
        try:
            for number, each in enumerate(breaks):
                seen = len(the.dialled())
                await asyncio.sleep(dice.uniform(0.2, 1.0))  # the moment of the break
                await broken(the, each, dice, gaps[each], arrivals, [call for call, _ in who_talk], stopped)
                the.nothing_twice()
                if number + 1 < len(breaks):
                    await the.all_up()
                assert len(the.dialled()) > seen or len(set(the.dialled())) == len(the.numbers), "nobody is dialled"
                if number + 1 < len(breaks):  # so that the machine that is back has calls as well
                    quiet = [one for one in the.talks if one not in who_talk]
                    await the.hang_up(quiet[: listening // 2])
                    await the.ring(listening // 2)
            numbers = await the.list_is_done(sum(each != "HAProxy" for each in breaks))
        finally:
            over.set()
            await asyncio.gather(*talks)
        for call, voice in who_talk:
            asked = monotonic()
            voice.say(800)
            await until(lambda: call.phone.loud_ms(asked) > 500, "an answer at the end", 10)  # noqa: B023
        the.nobody_lost()
        the.nothing_twice()
        lines = [gap.told(f"three machines, {each}") for each, gap in gaps.items()]
        print(f"{numbers}; the tool ran {sum(the.runs().values())} times, never twice for one request")
        for each, gap in gaps.items():
            assert p95(gap.sound) < (15 if each == "stopped" else 10), lines


async def broken(
    the: Site, how: str, dice: random.Random, gaps: Gaps, arrivals: Arrivals, busy: list[Any], stopped: float
) -> None:
    """Break something, wait until those who only listen hear the model again, and mend it."""
    name = dice.choice([each for each in NAMES if any(call not in busy for call in the.at(each))])
    concerned = [call for call, _ in the.talks] if how == "HAProxy" else the.at(name)
    theirs = [call for call in concerned if call not in busy]
    others = [(call, voice, call.stream, len(voice.at)) for call, voice in the.talks if call not in concerned]
    streams = {call.key: len(call.streams) for call in concerned}
    since = monotonic()
    if how == "killed":
        the.signal(name, signal.SIGKILL)
        await the.machines[name].wait()
    elif how == "stopped":
        the.signal(name, signal.SIGSTOP)
    elif how == "cut off":
        await the.cut(name)
    else:
        await the.close_proxy()
        await the.open_proxy()
    try:
        await until(hear_again(theirs, since, streams), f"the model's voice, {how}, {name}", 20)
        await until(lambda: all(len(call.streams) > streams[call.key] for call in concerned), "the busy ones", 10)
    except AssertionError as error:
        silent = [call.story() for call in theirs if not hears_the_model(call, since, streams[call.key])]
        raise AssertionError(str(error), silent, the.said()) from None
    finally:
        the.nobody_lost()
    for call in theirs:
        gaps.add(call, since, streams[call.key])
    if how == "stopped":
        await asyncio.sleep(max(0.0, since + stopped - monotonic()))
        the.signal(name, signal.SIGCONT)
    elif how == "cut off":
        await the.join(name)
    elif how == "killed":
        await the.start(name)
    last = {voice.number: len(voice.at) - 1 for _, voice, _, _ in others}
    await asyncio.sleep(0.3)  # until the last of these frames has come to the model
    arrived = await arrivals.read()
    for call, voice, stream, first in others:
        assert call.stream is stream, f"a call of another machine was touched: {call.story()}"
        every_frame(arrived, voice, first, last[voice.number])


@pytest.mark.timeout(300)
async def test_a_rolling_deploy_of_three_machines_loses_no_word(
    postgresql: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if not is_long(request) and product.usual == "telnyx":
        pytest.skip("over Telnyx it runs with --long")
    calls, which = (20, NAMES) if is_long(request) else (6, NAMES[:1])
    async with site(postgresql, tmp_path, Busy.saying(ANSWER)) as the:
        await the.ring(calls)
        over = asyncio.Event()
        talks = [asyncio.create_task(talk(call, voice, over)) for call, voice in the.talks]
        await the.dial_list(*((60, 1.0) if is_long(request) else (10, 1.0)))
        try:
            for name in which:
                await replaced(the, name)
            over.set()
            async with asyncio.timeout(20):
                answered = sum(await asyncio.gather(*talks))
        finally:
            for task in talks:
                task.cancel()
        the.nobody_lost()
        numbers = await the.list_is_done(0)
        the.nothing_twice()
        got = await Arrivals(the.realtime).read()
        lost = {voice.number: len(voice.speech - set(got[voice.number])) for _, voice in the.talks}
        stories = [call.story() for call, voice in the.talks if lost[voice.number]]
        assert stories == [], f"frames of callers' words that never came to the model: {lost}"
        moved = sum(len(call.streams) - 1 for call, _ in the.talks)
        late = max(lateness(call) for call, _ in the.talks)
        line = (
            f"rolling deploy of three machines: {moved} moves of {calls} calls, {answered} answers heard, "
            f"the tool ran {sum(the.runs().values())} times; {numbers}; "
            f"the agent's words were held up by at most {late * 1000:.0f} ms"
        )
        print(f"\n{line}")
        assert late < MOST_LATE, line


async def replaced(the: Site, name: str) -> None:
    """One machine hands its calls over and ends, and is started again."""
    process, theirs = the.machines[name], the.at(name)
    assert theirs
    process.send_signal(signal.SIGTERM)
    try:
        await until(lambda: not [call for call in the.at(name) if call.ended_at is None], f"{name} to be empty", 40)
        async with asyncio.timeout(30):
            assert await process.wait() == 0
    except (AssertionError, TimeoutError):
        raise AssertionError([call.story() for call in the.at(name)], the.said()) from None
    await the.start(name)
    await the.all_up()
