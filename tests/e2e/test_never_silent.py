"""Whatever the engine does, with the settings that everybody begins with: in the agent's turn the caller is never
without a sound for three seconds, until there is an answer or the call has ended with a word. In real time."""

from __future__ import annotations

import time
from typing import Any

from callflow.sandbox import voices
from callflow.sandbox.openai_realtime import Faults, Pace, Realtime, Script, Turn
from tests.e2e.product import product, run, together, until
from tests.e2e.talk import Talk, talk
from tests.e2e.test_recovery import longest_silence
from tests.sample import Sample


CARRIERS = ("telnyx", "twilio")
MOST_SILENCE = 3.0
LATE = 0.3
"""For a machine on which many calls are played at the same time."""


def office() -> Realtime:
    greeting, answer = Turn.voice("agent/tomorrow"), Turn.voice("agent/goodbye")
    return Realtime(script=Script.of(greeting, otherwise=answer), pace=Pace(jitter=0))


async def greeted(one: Talk) -> None:
    await one.phone.hears(1.0, timeout=8)
    await one.phone.hears_silence(600, timeout=8)


async def question(one: Talk) -> float:
    """The caller asks something. When the last word was said."""
    one.phone.say(voices.load("caller/hours"))
    await one.phone.spoken(5)
    return time.monotonic()


async def asked_and(name: str, before: dict[str, Any], during: dict[str, Any], act: str, seconds: float) -> None:
    realtime = office()
    realtime.faults = Faults.from_json(before)
    async with product(realtime=realtime) as the:
        one = await talk(the) if not before else None
        if one is None:
            call = await the.carrier.ring()
            await call.wait_streaming()
            since, phone = time.monotonic(), call.phone
        else:
            call, phone = one.call, one.phone
            await greeted(one)
            if act == "in the answer":
                await question(one)
                await one.phone.hears(0.1, timeout=8)
                since = time.monotonic()
                the.realtime.faults.set(during)
                one.session.drop()
            else:
                the.realtime.faults.set(during)
                if act == "freeze":
                    one.session.freeze()
                since = await question(one)
                if act == "drop":
                    one.session.drop()
        until_ = since + seconds
        await until(lambda: time.monotonic() > until_ or call.state == "ended", f"{seconds:g} s of {name}", seconds + 1)
        quiet = longest_silence(phone, since, min(until_, call.ended_at or until_))
        assert quiet < MOST_SILENCE + LATE, f"{name}: {quiet:.1f} s without a sound; {the.timeline()}"
        assert phone.loud_ms(since) > 0, f"{name}: nothing was ever heard"
        await call.hang_up()
        await the.quiet()


def test_never_three_seconds_of_silence(carrier: str, some: Sample) -> None:
    """Each scene over one of the carriers; all over both with --long."""
    never: dict[str, Any] = {"refuse_next": -1, "refuse_status": 503}
    scenes: dict[str, tuple[dict[str, Any], dict[str, Any], str, float]] = {
        "mute from the start": ({"mute": True}, {}, "", 19.0),
        "refuses from the start": (never, {}, "", 11.0),
        "hangs from the start": ({"hang_next": -1}, {}, "", 11.0),
        "never confirms the session": ({"no_session_updated": True}, {}, "", 11.0),
        "mute in mid-call": ({}, {"mute": True}, "mute", 9.0),
        "rate-limited in mid-call": ({}, {"rate_limit_next": -1}, "limited", 6.0),
        "freezes while the caller asks": ({}, {}, "freeze", 6.0),
        "drops after the question, and is away": ({}, never, "drop", 11.0),
        "drops in the answer, and is away": ({}, never, "in the answer", 11.0),
        "slow": ({}, {"first_byte_ms": 5000.0}, "slow", 6.5),
    }
    first = CARRIERS.index(carrier)
    mine = some([*list(scenes.items())[first:], *list(scenes.items())[:first]], 2)
    run(together({name: asked_and(name, *scene) for name, scene in mine}))
