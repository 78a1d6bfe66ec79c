"""A rolling deploy under calls in which both sides talk: no word of a caller or of the agent is lost or comes late."""

from __future__ import annotations

import asyncio
import os
import signal
from time import monotonic
from typing import Any

import pytest

from callflow.media.g711 import FRAME_BYTES
from callflow.sandbox.common.playout import BYTES_PER_SECOND
from callflow.sandbox.openai_realtime import Script, Turn
from tests.e2e.cluster_proof.counting import ANSWER, Arrivals, Voice, nobody_lost, nothing_twice, owner, process_of
from tests.e2e.cluster_proof.stage import both_are_up, callers, only_with_long
from tests.e2e.product import run, until
from tests.e2e.test_workers import Office, office


pytestmark = [pytest.mark.process, pytest.mark.proof, pytest.mark.alone]
CARRIERS = ("telnyx", "twilio")
MOST_LATE = 0.3
"""Seconds that a word may come late."""


def test_a_rolling_deploy_loses_no_word(request: pytest.FixtureRequest) -> None:
    only_with_long(request)
    run(rolled(40))


async def rolled(count: int) -> None:
    async with office(NO_INPUT_SECONDS=0, MAX_CONCURRENT_CALLS=200, DRAIN_SECONDS=30) as the:
        the.realtime.script = Script.of(Turn.say("Yes, I am here.", ANSWER))
        talks = await callers(the, range(count))
        over = asyncio.Event()
        talking = [asyncio.create_task(talk(call, voice, over)) for call, voice in talks]
        try:
            for node in sorted({owner(call) for call, _ in talks}):
                await replaced(the, node, [call for call, _ in talks])
            over.set()
            async with asyncio.timeout(20):
                answered = sum(await asyncio.gather(*talking))
        finally:
            for task in talking:
                task.cancel()
        nobody_lost(the.carrier, [call for call, _ in talks])
        nothing_twice(the.carrier)
        got = await Arrivals(the.realtime).read()
        lost = {voice.number: len(voice.speech - set(got[voice.number])) for _, voice in talks}
        stories = [call.story() for call, voice in talks if lost[voice.number]]
        assert stories == [], f"frames of callers' words that never came to the model: {lost}"
        moved = sum(len(call.streams) - 1 for call, _ in talks)
        late = max(lateness(call) for call, _ in talks)
        line = (
            f"rolling deploy: {moved} moves of {count} calls, {answered} answers heard; "
            f"the agent's words were held up by at most {late * 1000:.0f} ms"
        )
        print(f"\n{line}")
        assert moved >= count, line
        assert late < MOST_LATE, line


async def replaced(the: Office, node: str, calls: list[Any]) -> None:
    """One worker hands its calls over and ends, and the main process starts another."""
    process = process_of(the.folder, node)
    os.kill(process, signal.SIGTERM)
    try:
        await until(lambda: all(owner(call) != node or call.ended_at for call in calls), f"{node} to be empty", 40)
    except AssertionError:
        raise AssertionError([call.story() for call in calls if owner(call) == node], the.said()[-9000:]) from None
    await until(lambda: process not in the.workers(), f"{node} to end", 20)
    await both_are_up(the)


async def talk(call: Any, voice: Voice, over: asyncio.Event) -> int:
    """Ask something, hear the answer, think for a moment, and ask again. Returns how many answers were heard."""
    answers = 0
    await asyncio.sleep(voice.number * 0.37 % 1.5)
    while not over.is_set():
        await until(lambda: quiet_since(call) > 0.5, f"the agent to be quiet, caller {voice.number}", 10)
        asked = monotonic()
        voice.say(800)
        try:
            await until(lambda: call.phone.loud_ms(asked) >= len(ANSWER) / 8 * 0.9, "", 8)  # noqa: B023
        except AssertionError:
            raise AssertionError(f"caller {voice.number} asked and was not answered: {call.story()}") from None
        answers += 1
    return answers


def quiet_since(call: Any) -> float:
    """Seconds since the end of what was heard last."""
    return monotonic() - max((one.ends for one in call.phone.heard), default=0.0)


def lateness(call: Any) -> float:
    """The longest pause within an answer of the agent, in seconds, or the time until one that was cut off was begun
    again. Words that are missing within an answer fail."""
    frames = [ANSWER[at : at + FRAME_BYTES] for at in range(0, len(ANSWER), FRAME_BYTES)]
    places = {frame: number for number, frame in enumerate(frames)}
    pause, began, before = 0.0, 0.0, (-1, 0.0)
    for segment in call.phone.heard:
        for start in range(0, len(segment.audio) - FRAME_BYTES + 1, FRAME_BYTES):
            number = places.get(bytes(segment.audio[start : start + FRAME_BYTES]))
            at = segment.at + start / BYTES_PER_SECOND
            if number is None:
                continue
            if number:
                assert number == before[0] + 1, f"words of the agent are missing: {before[0]}, {number}; {call.story()}"
                pause = max(pause, at - before[1] - FRAME_BYTES / BYTES_PER_SECOND)
            else:
                if 0 <= before[0] < len(frames) - 1:
                    pause = max(pause, at - began)
                began = at
            before = (number, at)
    return pause
