"""Calls that are recorded: in step with what was heard, after consent where that is asked for, gone when deleted."""

from __future__ import annotations

import array
import asyncio
import stat
import wave
from pathlib import Path
from typing import Any

import httpx
import pytest

from callflow.journal.journal import JournalEntry
from callflow.sandbox.common.phone import tone
from callflow.sandbox.openai_realtime import Pace, Realtime, Script, Turn
from tests.e2e.product import Product, product, until
from tests.e2e.talk import clock, noise, talk


CARRIERS = ("telnyx", "twilio")
SAMPLED = True
MODEL: dict[str, Any] = {"vad_silence_ms": 200, "no_input_seconds": 0}


def model(*lengths: float) -> Realtime:
    turns = [Turn.say(f"Sentence {number}.", tone(ms, 300.0)) for number, ms in enumerate(lengths)]
    return Realtime(script=Script.of(*turns), pace=Pace(first_byte_ms=20, speed=20, jitter=0, transcription_ms=0))


def channels(path: Path) -> tuple[array.array[int], array.array[int]]:
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 8000)
        samples = array.array("h", file.readframes(file.getnframes()))
    return samples[0::2], samples[1::2]


def loud(samples: array.array[int], stall_ms: float = 0.0) -> list[tuple[float, float]]:
    """The stretches in which somebody is heard, in ms; pauses up to 60 ms belong to them, and stalls of the machine."""
    found: list[list[float]] = []
    for at in range(0, len(samples), 80):
        if max(map(abs, samples[at : at + 80]), default=0) > 1000:
            ms = at / 8
            if found and ms - found[-1][1] <= 60 + stall_ms:
                found[-1][1] = ms + 10
            else:
                found.append([ms, ms + 10])
    return [(begin, end) for begin, end in found]


def folder(the: Product) -> Path:
    return the.app.history.recordings


async def test_both_sides_are_recorded_when_they_were_heard() -> None:
    async with product(realtime=model(600, 2000, 500), record=True, **MODEL) as the, clock() as watched:
        one = await talk(the)
        await one.phone.hears(0.5)
        await one.phone.hears_silence(700)
        one.phone.say(tone(400))
        await one.phone.spoken()
        await one.phone.hears(0.7)
        one.phone.say(tone(500))  # breaks in
        await one.phone.spoken()
        await one.phone.hears(0.4)
        await one.phone.hears_silence(300)
        began = the.happened("media_started")
        assert began
        heard = [(segment.at, segment.ms) for segment in one.phone.heard]
        await one.call.hang_up()
        await the.quiet()
        (path,) = folder(the).glob("*.wav")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        left, right = channels(path)
        stall = watched.stall_ms
        caller, agent = loud(left, stall), loud(right, stall)
        assert [round((end - begin) / 100) for begin, end in caller] == [4, 5]
        assert len(agent) == 3, agent
        assert agent[0][1] - agent[0][0] == pytest.approx(600, abs=60 + stall)
        assert agent[1][1] - agent[1][0] < 1700, "what the caller broke off is in the recording"
        assert agent[2][1] - agent[2][0] == pytest.approx(500, abs=60 + stall)
        # as far apart as they were at the telephone
        first, last = heard[0], heard[-1]
        assert agent[2][0] - agent[0][0] == pytest.approx((last[0] - first[0]) * 1000, abs=120 + stall)
        assert caller[1][0] > agent[1][0], "the caller broke in before the agent spoke"
        assert agent[1][1] - caller[1][0] == pytest.approx(0, abs=400 + stall), "it ends where the caller broke in"

        url = f"http://127.0.0.1:{the.app.console_at[1]}"
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            row = (await client.get("/api/conversations")).json()[0]
            while row["ended_at"] is None:  # its end is still being written
                await asyncio.sleep(0.005)
                row = (await client.get("/api/conversations")).json()[0]
            answer = await client.get(f"/api/calls/{row['stream_sid']}/recording", headers={"Range": "bytes=0-43"})
            assert (answer.status_code, answer.content[:4]) == (206, b"RIFF")
            assert (await client.get(f"/api/calls/{row['stream_sid']}/recording?part=2")).status_code == 404
            await client.delete(f"/api/conversations/stream/{row['stream_sid']}")
        assert list(folder(the).iterdir()) == [], "the recording outlives its call"


async def test_the_first_words_are_in_it_although_the_history_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    async with product(realtime=model(1500), record=True, journal_seconds=2, **MODEL) as the, clock() as watched:
        append = the.app.journal.append

        async def slowly(entry: JournalEntry) -> None:
            await asyncio.sleep(0.4)
            await append(entry)

        monkeypatch.setattr(the.app.journal, "append", slowly)
        one = await talk(the)
        await one.phone.hears(1.3)
        await one.call.hang_up()
        await the.quiet()
        (path,) = folder(the).glob("*.wav")
        (greeting,) = loud(channels(path)[1], watched.stall_ms)
        assert greeting[1] - greeting[0] > 1200


async def test_nothing_is_recorded_unless_it_is_asked_for() -> None:
    async with product(realtime=model(300), **MODEL) as the:
        one = await talk(the)
        await one.phone.hears(0.2)
        await one.call.hang_up()
        await the.quiet()
        assert not folder(the).exists()


async def test_with_an_announcement_nothing_is_recorded_before_it_was_heard_in_full() -> None:
    announced: dict[str, Any] = {"record": True, "record_announcement": "This call is recorded.", **MODEL}
    async with product(realtime=model(900, 500), **announced) as the:
        one = await talk(the)
        await one.phone.hears(0.5)
        asked = [each.event for each in one.session.received if each.event["type"] == "response.create"]
        assert "This call is recorded." in str(asked[0])
        assert not the.happened("recording")
        await until(lambda: the.happened("protected"), "the announcement to be heard")
        await until(lambda: the.happened("recording"), "the recording to begin")
        one.phone.say(tone(300))
        await one.phone.spoken()
        await one.phone.hears(0.3)
        await one.call.hang_up()
        await the.quiet()
        (path,) = folder(the).glob("*.wav")
        left, right = channels(path)
        assert len(loud(left)) == 1
        assert len(loud(right)) == 1, "the announcement itself is in it, or the answer is not"

    async with product(realtime=model(900), **announced) as the:
        one = await talk(the)
        await one.phone.hears(0.3)
        await one.call.hang_up()
        await the.quiet()
        assert not folder(the).exists(), "somebody who did not hear it to its end was recorded"


async def test_a_disk_that_takes_nothing_ends_the_recording_and_not_the_call(tmp_path: Path) -> None:
    async with product(realtime=model(300, 400), record=True, data_dir=str(tmp_path), **MODEL) as the:
        folder(the).write_text("a file where the folder should be")
        one = await talk(the)
        await one.phone.hears(0.25)
        await until(lambda: the.happened("recording_failed"), "the failure", 5)
        one.phone.say(noise(300, 4))
        await one.phone.spoken()
        await one.phone.hears(0.3)
        await one.call.hang_up()
        await the.quiet()
