"""What breaks under a call and is mended: the engine's session, its audio, the media stream. Over real sockets."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from callflow.sandbox import voices
from callflow.sandbox.common.phone import Phone, loud_bytes, tone
from callflow.sandbox.openai_realtime import Faults, Pace, Quirks, Realtime, Script, Session, Turn
from callflow.sandbox.telnyx import ApiFault
from tests.e2e.product import Exchange, Product, exchange, faults, product, run, together, until
from tests.e2e.talk import FAST, Talk, noise, saying, talk


CARRIERS = ("telnyx", "twilio")
SAMPLED = True


MENDING: dict[str, Any] = {
    **FAST,
    "engine_tries": 3,
    "engine_retry_seconds": 0.1,
    "stream_tries": 2,
    "restream_seconds": 1.0,
    "filler_seconds": 0.5,
    "reply_filler_seconds": 0.8,
    "farewell_seconds": 8.0,
}
GREETING = Turn.say("Good day.", noise(400, 1))


def model(*turns: Turn, faults: Faults | None = None, **others: Any) -> Realtime:
    script = Script.of(GREETING, *turns, otherwise=Turn.say("Yes.", noise(400, 2)), heard=("What are your hours?",))
    return Realtime(script=script, pace=Pace.instant(), faults=faults, **others)


def longest_silence(phone: Phone, since: float, until: float) -> float:
    """Seconds in which nothing came out of the ear."""
    longest, start, at = 0.0, since, since
    while at < until:
        if phone.loud_ms(at, at + 0.05) > 0:
            longest, start = max(longest, at - start), at + 0.05
        at += 0.05
    return max(longest, until - start)


def asked(session: Session) -> list[str]:
    """What the agent was asked to say by us, without the session's own instructions."""
    creates = [one.event for one in session.received if one.event.get("type") == "response.create"]
    return [str((event.get("response") or {}).get("instructions", "")).rpartition("\n\n")[2] for event in creates]


def told(session: Session) -> str:
    """Everything that the client put into the conversation as text."""
    items = [one.event["item"] for one in session.received if one.event.get("type") == "conversation.item.create"]
    return " | ".join(part.get("text", "") for item in items for part in item.get("content", ()))


def no_quarrel(the: Product) -> None:
    for session in the.realtime.sessions:
        assert session.violations == [], f"session {session.number} refused something"


# The engine breaks


async def greeted(the: Product) -> Talk:
    one = await talk(the)
    await one.phone.hears(0.3)
    return one


async def broken_while(moment: str) -> None:
    async with product(realtime=model(saying(noise(1500, 3))), **MENDING) as the:
        one = await talk(the)
        session = one.session
        if moment == "the greeting is being generated":
            await session.wait_sent("response.output_audio.delta")
        elif moment == "nobody speaks":
            await one.phone.hears(0.35)
            await one.phone.hears_silence(300)
        else:
            await one.phone.hears(0.35)
            one.phone.say(tone(800 if moment == "the caller speaks" else 300))
            if moment == "the caller speaks":
                await session.wait_sent("input_audio_buffer.speech_started")
            elif moment == "the caller has just stopped":
                await session.wait_sent("input_audio_buffer.speech_stopped")
            else:
                await session.wait_sent("response.created", 2)
                await one.phone.hears(0.5)
        dropped = time.monotonic()
        session.drop()
        second = await the.realtime.wait_session(2)
        await second.wait_for("session.update")
        await until(lambda: the.call.model.state == "streaming", "the call to go on")
        if moment != "nobody speaks":
            await one.phone.hears(0.3, timeout=4, since=dropped + 0.1)
        one.phone.say(voices.load("caller/thanks")[:8000])
        await second.wait_sent("response.done", where=lambda event: event["response"]["status"] == "completed")
        await one.phone.hears(0.2)
        assert len(the.realtime.sessions) == 2, "one drop, one new session"
        greetings = [wish for each in the.realtime.sessions for wish in asked(each) if wish.startswith("Greet")]
        assert len(greetings) <= 1 + (moment == "the greeting is being generated"), f"greeted {len(greetings)} times"
        if moment == "the answer is being heard":
            assert "hours" in told(second), f"the new session does not know what was asked: {told(second)!r}"
        dead = {item.id for item in session.items}
        cut = {one.event["item_id"] for one in second.received if one.event.get("type") == "conversation.item.truncate"}
        assert not cut & dead, "the new session was told of an item of the dead one"
        no_quarrel(the)
        assert "streaming>recovering" in the.timeline()
        await one.call.hang_up()
        await the.quiet()


MOMENTS = (
    "the greeting is being generated",
    "nobody speaks",
    "the caller speaks",
    "the caller has just stopped",
    "the answer is being heard",
)


def test_a_session_that_breaks_at_any_moment_is_replaced_and_the_conversation_goes_on() -> None:
    run(together({moment: broken_while(moment) for moment in MOMENTS}))


async def test_a_new_session_hears_the_caller_who_was_speaking_when_the_old_one_broke() -> None:
    async with product(realtime=model(), **MENDING) as the:
        one = await greeted(the)
        one.phone.say(noise(1500, 7))
        await one.session.wait_sent("input_audio_buffer.speech_started")
        one.session.drop()
        second = await the.realtime.wait_session(2)
        await one.phone.spoken(5)
        said = b"".join(segment.audio for segment in one.phone.said)
        await until(lambda: said[-1600:] in second.audio_in, "the caller's last words in the new session")
        assert said in second.audio_in, "the beginning of the caller's sentence was lost with the old session"
        no_quarrel(the)
        await one.call.hang_up()
        await the.quiet()


async def test_while_a_new_session_is_being_had_the_caller_hears_that_we_are_there() -> None:
    settings = {**MENDING, "engine_seconds": 10.0}
    async with product(realtime=model(saying(noise(300, 4))), **settings) as the:
        one = await greeted(the)
        one.phone.say(tone(300))
        await one.session.wait_sent("response.done", 2)
        the.realtime.faults.refuse_next = 3  # each with a second to wait
        dropped = time.monotonic()
        one.session.drop()
        second = await the.realtime.wait_session(2, timeout=8)
        await second.wait_sent("session.updated")
        assert the.happened("filler"), "nobody said anything"
        back = time.monotonic()
        assert back - dropped > 1.5, "that was too quick to prove anything"
        quiet = longest_silence(one.phone, dropped, back)
        assert quiet < 1.5, f"the caller was in silence for {quiet:.1f} s, with a filler after 0.5 s"
        no_quarrel(the)
        await one.call.hang_up()
        await the.quiet()


async def given_up(faults: dict[str, Any], cause: str) -> None:
    async with product(realtime=model(saying(noise(300, 4))), **{**MENDING, "engine_seconds": 2.5}) as the:
        one = await greeted(the)
        the.realtime.faults.set(faults)
        dropped = time.monotonic()
        one.session.drop()
        await one.call.wait_ended(12)
        await the.quiet()
        quiet = longest_silence(one.phone, dropped, one.call.ended_at or 0.0)
        assert quiet < 3.0, f"the caller was in silence for {quiet:.1f} s"
        (ended,) = the.happened("ended")
        assert ended["cause"] == cause
        assert the.happened("clip"), "the call ended without a word"
        assert (one.call.ended_at or 0.0) - dropped < 10, "an end that came too late"


def test_an_engine_that_cannot_be_had_again_is_apologised_for() -> None:
    run(
        together(
            {
                "refusing": given_up({"refuse_next": -1, "refuse_status": 503}, "engine_timeout"),
                "hanging": given_up({"hang_next": -1}, "engine_timeout"),
                "wrong key": given_up({"refuse_next": -1, "refuse_status": 401}, "engine_lost"),
                "breaks off at once": given_up({"drop_after_s": 0.02}, "engine_lost"),
                "never configured": given_up({"no_session_updated": True}, "engine_timeout"),
            }
        )
    )


async def test_a_model_that_is_mute_is_spoken_for_replaced_once_and_then_apologised_for() -> None:
    realtime = Realtime(script=Script.silent(), pace=Pace.instant())
    async with product(realtime=realtime, **{**MENDING, "reply_seconds": 1.5}) as the:
        one = await talk(the)
        began = time.monotonic()
        await one.call.wait_ended(15)
        await the.quiet()
        assert len(the.realtime.sessions) == 2
        assert the.happened("filler")
        assert longest_silence(one.phone, began, one.call.ended_at or 0.0) < 3.0
        (ended,) = the.happened("ended")
        assert ended["cause"] == "engine_lost"


async def test_a_peer_that_hangs_is_noticed_and_the_caller_is_not_left_in_silence() -> None:
    async with product(realtime=model(), **{**MENDING, "reply_seconds": 8.0}) as the:
        one = await greeted(the)
        await one.phone.hears_silence(300)
        one.session.freeze()
        one.phone.say(voices.load("caller/hours"))
        await one.phone.spoken(5)
        stopped = time.monotonic()
        second = await the.realtime.wait_session(2, timeout=12)
        await second.wait_sent("session.updated")
        await one.phone.hears(0.3, timeout=5, since=time.monotonic() - 0.2)
        quiet = longest_silence(one.phone, stopped, time.monotonic())
        assert quiet < 3.0, f"the caller was in silence for {quiet:.1f} s after a question that nobody heard"
        await one.call.hang_up()
        await the.quiet()


# Failed answers


async def test_a_failed_answer_is_asked_for_again() -> None:
    settings = {**MENDING, "response_retry_seconds": 0.1}
    async with product(realtime=model(saying(noise(400, 5))), **settings) as the:
        one = await greeted(the)
        await one.phone.hears_silence(200)
        the.realtime.faults.rate_limit_next = 2
        since = time.monotonic()
        one.phone.say(tone(300))
        await one.phone.hears(0.3, since=since)
        failures = the.happened("response_failed")
        assert [failure["final"] for failure in failures] == [False, False]
        assert len(the.realtime.sessions) == 1
        no_quarrel(the)
        await one.call.hang_up()
        await the.quiet()


async def test_answers_that_fail_again_and_again_are_excused_and_then_the_call_ends_with_an_apology() -> None:
    settings = {**MENDING, "response_retry_seconds": 0.1, "no_input_seconds": 0}
    async with product(realtime=model(), **settings) as the:
        one = await greeted(the)
        await one.phone.hears_silence(200)
        the.realtime.faults.rate_limit_next = -1
        since = time.monotonic()
        one.phone.say(tone(300))
        await the.until(lambda: the.happened("engine_unable"), "the engine to be given up for this turn")
        await the.until(lambda: [one for one in the.happened("filler") if one["clip"] == "trouble"], "an excuse")
        await one.phone.hears(0.3, since=since)
        one.phone.say(tone(300))
        await one.call.wait_ended(12)
        await the.quiet()
        (ended,) = the.happened("ended")
        assert ended["cause"] == "engine_lost"
        assert [clip["clip"] for clip in the.happened("clip")] == ["sorry"]


# The session's own end


async def test_a_session_is_replaced_before_its_end_and_the_caller_hears_nothing() -> None:
    async with product(realtime=model(saying(noise(300, 6))), **{**MENDING, "session_seconds": 1.6}) as the:
        one = await greeted(the)
        await one.phone.hears_silence(300)
        heard = one.phone.heard_bytes
        second = await the.realtime.wait_session(2)
        await the.until(lambda: the.happened("engine_rotated"), "the change")
        assert not one.session.closed or second.updates, "the old one was left before the new one was there"
        await one.session.wait_closed()
        ready = next(each.at for each in second.sent if each.type == "session.updated")
        assert one.session.received[-1].at >= ready - 0.05, "nobody listened to the caller in between"
        assert one.phone.heard_bytes == heard, "the caller heard the change"
        assert "Sentence number 0." not in told(second)
        assert "Good day." in told(second), "the new session does not know what was said"
        since = time.monotonic()
        one.phone.say(tone(300))
        await one.phone.hears(0.2, since=since)
        assert "streaming>recovering" not in the.timeline()
        no_quarrel(the)
        await one.call.hang_up()
        await the.quiet()


async def test_a_session_that_says_when_it_expires_is_replaced_in_time() -> None:
    quirks = Quirks(session_seconds=3.0)
    settings = {**MENDING, "rotation_seconds": 1.0}
    async with product(realtime=model(quirks=quirks), **settings) as the:
        one = await greeted(the)
        await the.realtime.wait_session(3, timeout=12)
        await the.until(lambda: len(the.happened("engine_rotated")) >= 2, "two changes", 8)
        assert "streaming>recovering" not in the.timeline()
        assert not the.happened("clip")
        no_quarrel(the)
        await one.call.hang_up()
        await the.quiet()


async def test_no_session_is_changed_while_somebody_speaks() -> None:
    realtime = model(saying(noise(2500, 8)))
    async with product(realtime=realtime, **{**MENDING, "session_seconds": 1.0}) as the:
        one = await greeted(the)
        one.phone.say(tone(300))
        await one.session.wait_sent("response.done", 2)
        await the.realtime.wait_session(2)
        await one.phone.hears(2.2)
        assert not the.happened("engine_rotated"), "the session was changed in the middle of a sentence"
        await the.until(lambda: the.happened("engine_rotated"), "the change")
        assert the.happened("engine_rotated")[0]["quiet"]
        await one.call.hang_up()
        await the.quiet()


# Audio in another format than was agreed


async def in_the_wrong_format(faults: dict[str, Any], settings: dict[str, Any], complains: bool) -> None:
    greeting, answer = voices.load("agent/greeting"), voices.load("agent/tomorrow")
    script = Script.of(Turn.voice("agent/greeting"), Turn.voice("agent/tomorrow"))
    realtime = Realtime(script=script, pace=Pace(speed=8, jitter=0), faults=Faults.from_json(faults))
    async with product(realtime=realtime, **{**MENDING, "vad_silence_ms": 500, **settings}) as the:
        one = await talk(the)
        await one.phone.hears(loud_bytes(greeting) / 8000 * 0.9, timeout=8)
        await one.phone.hears_silence(500, timeout=8)
        loud = one.phone.loud_ms()
        assert abs(loud - loud_bytes(greeting) / 8) < 0.15 * len(greeting) / 8, "that did not sound like the greeting"
        one.phone.say(voices.load("caller/hours"))
        await one.session.wait_sent("input_audio_buffer.speech_stopped", timeout=8)
        await one.phone.hears(loud_bytes(answer) / 8000 * 0.9, timeout=8, since=time.monotonic())
        assert one.session.config["audio"]["input"]["format"]["type"] == "audio/pcm"
        assert len(the.realtime.sessions) == 1, "the call was dropped over it"
        complaints = [one for one in the.happened("engine_complaint") if one["code"] == "audio_format"]
        assert len(complaints) == complains, "said once, where something is wrong"
        no_quarrel(the)
        await one.call.hang_up()
        await the.quiet()


@pytest.mark.proof
def test_whatever_format_the_engine_speaks_the_caller_hears_speech_and_is_heard() -> None:
    run(
        together(
            {
                "another than confirmed": in_the_wrong_format({"wrong_output_format": True}, {}, True),
                "another than asked for": in_the_wrong_format({"wrong_formats_echoed": True}, {}, True),
                "pcm24 by setting": in_the_wrong_format({}, {"engine_audio": "pcm24"}, False),
            }
        )
    )


# The media stream is lost


async def stream_lost(telnyx: Exchange, actions: list[str]) -> None:
    async with product(realtime=model(saying(noise(1500, 9))), carrier=telnyx, **MENDING) as the:
        one = await greeted(the)
        one.phone.say(tone(300))
        await one.session.wait_sent("response.done", 2)
        await one.phone.hears(0.4)
        one.stream.drop()
        await the.until(lambda: len(one.call.streams) > 1 and one.call.streams[-1].started, "another stream", 6)
        since = time.monotonic()
        await one.phone.hears(0.3, since=since, timeout=4)
        posted = [command.action for command in the.telnyx.commands if command.action.startswith("streaming")]
        assert posted == actions
        first, *_, last = (stream.options.url for stream in one.call.streams)
        assert first != last, "the new stream has the old one's token"
        ids = [command.body["command_id"] for command in the.telnyx.commands if "command_id" in command.body]
        assert len(ids) == len(set(ids))
        assert [wish for wish in asked(one.session) if "interrupted for a moment" in wish], "nothing was taken up"
        one.phone.say(tone(300))
        await one.session.wait_sent("response.done", 4)
        no_quarrel(the)
        await one.call.hang_up()
        await the.quiet()


@pytest.mark.carrier("telnyx")
def test_a_stream_that_is_lost_is_asked_for_anew_and_the_conversation_goes_on() -> None:
    refused = exchange(api=[ApiFault("streaming_start", status=422, code="90046")])
    run(
        together(
            {
                "at once": stream_lost(exchange(), ["streaming_start"]),
                "as the carrier sees it, it is open still": stream_lost(
                    exchange(stale_streams=1), ["streaming_start", "streaming_stop", "streaming_start"]
                ),
                "refused the first time": stream_lost(refused, ["streaming_start", "streaming_start"]),
            }
        )
    )


async def test_a_stream_that_does_not_come_back_is_apologised_for_by_the_carrier() -> None:
    async with product(realtime=model(), **MENDING) as the:
        one = await greeted(the)
        one.call.faults = faults(never_connect=True)
        one.stream.drop()
        await one.call.wait_ended(15)
        await the.quiet()
        assert one.call.spoken == ["Sorry."]
        assert the.actions("streaming_start"), "no other stream was asked for"
        (ended,) = the.happened("ended")
        assert ended["cause"] == "stream_lost"


@pytest.mark.parametrize("kind", ["stream and engine at once"])
async def test_both_may_be_lost_together(kind: str) -> None:
    async with product(realtime=model(), **MENDING) as the:
        one = await greeted(the)
        one.session.drop()
        one.stream.drop()
        second = await the.realtime.wait_session(2)
        await the.until(lambda: len(one.call.streams) > 1 and one.call.streams[-1].started, "another stream", 6)
        await the.until(lambda: the.call.model.state == "streaming", "the call to go on")
        since = time.monotonic()
        one.phone.say(tone(300))
        await second.wait_sent("response.done")
        await one.phone.hears(0.2, since=since)
        await asyncio.sleep(0)
        no_quarrel(the)
        await one.call.hang_up()
        await the.quiet()
