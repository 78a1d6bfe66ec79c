"""A caller is on hold or muted, and the process is killed: the next one goes on with it. Over real processes."""

from __future__ import annotations

from time import monotonic
from typing import Any

import httpx

from callflow.media import clips
from callflow.sandbox.common.phone import tone
from callflow.sandbox.openai_realtime import Script
from tests.e2e.outbound import TOKEN
from tests.e2e.product import until
from tests.e2e.test_outbound_survival import dial, dialling_office, leg, over
from tests.e2e.test_survival import Office


CARRIERS = ("telnyx", "twilio")
SAMPLED = True
ENV: dict[str, Any] = {"STREAM_TRIES": 2, "ENGINE_TRIES": 1, "NO_INPUT_SECONDS": 0}
MUSIC = clips.load("en")[clips.HOLD_MUSIC].audio[4000:8000]


async def do(one: Office, what: str, body: Any) -> httpx.Response:
    assert one.process is not None
    (row,) = one.rows("SELECT DISTINCT call FROM steps")
    url = f"http://127.0.0.1:{await one.process.console_port()}/api/calls/{row['call']}/{what}"
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        return await client.post(url, json=body, headers={"Authorization": f"Bearer {TOKEN}"})


def asked_to(one: Office, words: str) -> bool:
    asked = [event.event for session in one.realtime.sessions for event in session.received]
    return any(words in str(event.get("response", {}).get("instructions", "")) for event in asked)


def speech(one: Office) -> int:
    sent = [event.type for session in one.realtime.sessions for event in session.sent]
    return sent.count("input_audio_buffer.speech_started")


async def test_hold_goes_on_in_the_next_process() -> None:
    async with dialling_office(**ENV) as one:
        one.realtime.script = Script.tone(0.4)
        assert (await dial(one)).status_code == 201
        call = leg(one)
        call.pick_up()
        await call.wait_streaming(15)
        await call.phone.hears(0.3)
        assert (await do(one, "hold", {})).status_code == 202
        await until(lambda: MUSIC in call.phone.heard_between(0.0, monotonic()), "the music")
        await until(lambda: one.rows("SELECT 1 FROM steps WHERE event LIKE '%hold_requested%'"), "hold to be on record")
        await one.stop()
        await one.start()
        since = monotonic()
        await until(lambda: MUSIC in call.phone.heard_between(since, monotonic()), "the music again", 15)
        assert not asked_to(one, "The line was interrupted")
        before = speech(one)
        call.phone.say(tone(600, 300.0))
        await call.phone.spoken(5)
        assert speech(one) == before
        assert (await do(one, "resume", {})).status_code == 202
        await until(lambda: asked_to(one, "was on hold"), "the agent to have the caller back")
        await call.hang_up()
        await over(one)


async def test_whoever_was_muted_is_muted_in_the_next_process() -> None:
    async with dialling_office(**ENV) as one:
        one.realtime.script = Script.tone(0.4)
        assert (await dial(one)).status_code == 201
        call = leg(one)
        call.pick_up()
        await call.wait_streaming(15)
        await call.phone.hears(0.3)
        for party, on in (("agent", True), ("caller", True), ("agent", False)):
            assert (await do(one, "mute", {"party": party, "on": on})).status_code == 202
        three = "SELECT COUNT(*) AS n FROM steps WHERE event LIKE '%mute_requested%'"
        await until(lambda: one.rows(three)[0]["n"] == 3, "all of it to be on record")
        await one.stop()
        await one.start()
        began = one.listening_at
        await until(lambda: any(part.at > began for part in call.phone.heard), "the agent to be heard", 15)
        before = speech(one)
        call.phone.say(tone(600, 300.0))
        await call.phone.spoken(5)
        await call.phone.hears_silence(300)
        assert speech(one) == before
        await call.hang_up()
        await over(one)
