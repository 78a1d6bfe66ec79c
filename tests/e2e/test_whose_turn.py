"""Nobody speaks over a caller who speaks, a short word is not overruled, and an end that nobody tells is found."""

from __future__ import annotations

import asyncio
import math
import time
from array import array
from collections.abc import Awaitable, Callable
from typing import Any

from callflow.media.g711 import pcm16_to_ulaw
from callflow.sandbox import voices
from callflow.sandbox.common.phone import tone
from callflow.sandbox.openai_realtime import Pace, Realtime, Script
from tests.e2e.product import product, run, together
from tests.e2e.puppet import Puppet, cause, puppet
from tests.e2e.talk import noise, saying, talk


CARRIERS = ("telnyx", "twilio")
SAMPLED = True


# Whatever wants the agent to speak waits until the caller has stopped


async def waits(what: str, act: Callable[[Puppet], Awaitable[None]], *, lasts: bool, **settings: Any) -> None:
    """`act` makes the agent want to speak while the caller does."""
    async with puppet(**settings) as one:
        before = len(one.creates())
        one.emit("input_audio_buffer.speech_started", audio_start_ms=0, item_id="u")
        await one.the.until(lambda: one.the.happened("caller_speaks"), "the caller to be heard")
        await act(one)
        await asyncio.sleep(0.3)  # long enough for whatever would be asked at once
        assert len(one.creates()) == before, f"{what}: it speaks over the caller: {one.creates()[before:]}"
        one.stopped("u")
        one.transcribed("u", "And one more thing.")
        since = time.monotonic()
        one.answer("Certainly.")
        await one.phone.hears(0.2, since=since)
        one.answered = before
        if lasts:
            await one.asked()
            since = time.monotonic()
            one.answer("Our time is nearly up.")
            await one.phone.hears(0.2, since=since)
        await one.rest()
        assert len(one.creates()) == before + lasts, f"{what}: {one.creates()[before:]}"


async def warned(one: Puppet) -> None:
    await one.the.until(lambda: one.the.happened("warning_deadline") or "call" in one.the.call.model.armed, "it", 4)


async def typed(one: Puppet) -> None:
    for digit in "1#":
        await one.call.press(digit)
    await one.the.until(lambda: one.the.happened("told"), "the keys to be told")


def test_nothing_is_said_over_a_caller_who_speaks() -> None:
    run(
        together(
            {
                "the time is nearly up": waits(
                    "warning", warned, lasts=True, max_call_seconds=32.5, max_call_warning_seconds=30
                ),
                "keys": waits("keys", typed, lasts=False),
            }
        )
    )


async def test_a_tool_that_ends_while_the_caller_speaks_is_answered_with_what_they_say() -> None:
    async with puppet() as one:
        await one.turn()
        call = {"id": "fc", "type": "function_call", "call_id": "c1", "name": "no_such_tool", "arguments": "{}"}
        response = one.begin()
        one.emit("input_audio_buffer.speech_started", audio_start_ms=0, item_id="u")
        one.done(response, output=[{**call, "status": "completed"}])
        await one.the.until(lambda: "c1" in str(one.sent("conversation.item.create")), "its answer")
        await asyncio.sleep(0.2)  # long enough for whatever would be asked at once
        assert len(one.creates()) == 1, "it speaks over the caller"
        one.stopped("u")
        since = time.monotonic()
        one.answer()
        await one.phone.hears(0.2, since=since)
        await one.rest()
        assert len(one.creates()) == 1, "the answer had the tool's result before it"


# A short word is not overruled


async def short_word(
    heard: str, *, before: bool = False, audio: bytes = b"", late: bool = False, answers: bool = True
) -> None:
    """The caller breaks in with a short word; its transcript comes empty, before or after the model's answer."""
    async with puppet() as one:
        await one.turn()
        response = one.begin()
        story = one.say(response, "It is a long story.", tone(4000, 600.0))
        one.done(response, output=[{"id": story, "type": "message", "role": "assistant", "content": []}])
        await one.phone.hears(0.4)
        if audio:
            one.phone.say(audio)
            await one.phone.spoken(5) if late else await asyncio.sleep(0.1)
        one.emit("input_audio_buffer.speech_started", audio_start_ms=0, item_id="stop")
        await one.the.until(lambda: one.the.happened("interrupted"), "the interruption")
        await asyncio.sleep(0.3)  # how long they speak
        if audio:
            await one.phone.spoken(5)
        one.stopped("stop")
        if before:
            one.transcribed("stop", heard)
        if answers:
            response = one.begin()
        await asyncio.sleep(0.25)  # how long the transcript takes
        if not before:
            one.transcribed("stop", heard)
        since = time.monotonic()
        if answers:
            item = one.say(response, "Alright, I will stop.", tone(400, 500.0))
            one.done(response, output=[{"id": item, "type": "message", "role": "assistant", "content": []}])
        else:
            await one.asked()
            one.answer()
        await one.phone.hears(0.3, since=since)
        await one.rest()
        assert not one.sent("response.cancel"), "its answer was cancelled"
        assert not one.the.happened("interruption_empty"), "it goes on with its story"
        assert len(one.creates()) == 1 + (not answers), one.creates()


def test_an_empty_transcript_does_not_overrule_what_the_model_and_our_ear_have_heard() -> None:
    word = voices.load("caller/bye")
    run(
        together(
            {
                "the model answers": short_word(""),
                "blanks": short_word("  \n"),
                "a dot": short_word("."),
                "speech on the wire": short_word("", audio=word),
                "the end of it": short_word("", audio=word[6400:]),
                "noticed late": short_word("", audio=word[:8000], late=True),
                "speech, and the transcript first": short_word("", audio=word, before=True),
            }
        )
    )


async def unwritten_words(audio: bytes, *, asks: bool) -> None:
    """Three turns whose transcripts are empty, each answered by the model."""
    realtime = Realtime(
        script=Script.of(saying(tone(200, 900.0)), otherwise=saying(tone(300, 500.0))), pace=Pace.instant()
    )
    realtime.script = Script(realtime.script.turns, realtime.script.otherwise, heard_otherwise="")
    async with product(realtime=realtime, vad_silence_ms=200) as the:
        one = await talk(the)
        await one.phone.hears(0.15)
        for _ in range(3):
            await one.phone.hears_silence(300)
            since = time.monotonic()
            one.phone.say(audio)
            await one.phone.spoken(5)
            await one.phone.hears(0.2, since=since, timeout=8)
        await one.phone.hears_silence(400)
        assert bool(the.happened("no_input")) == asks
        await one.call.hang_up()
        await the.quiet()


def test_turns_without_a_transcript_are_no_silence_where_somebody_plainly_spoke() -> None:
    run(
        together(
            {
                "speech": unwritten_words(voices.load("caller/thanks"), asks=False),
                "hold music": unwritten_words(tone(900, 440.0), asks=True),
            }
        )
    )


# No end of speech


async def no_end(how: str) -> None:
    async with puppet() as one:
        one.emit("input_audio_buffer.speech_started", audio_start_ms=0, item_id="u")
        one.phone.say(voices.load("caller/hours"))
        await one.phone.spoken(5)
        stopped = time.monotonic()
        if how == "never told":
            await one.asked(5)
            assert one.sent("input_audio_buffer.commit")
            one.answer()
        elif how == "committed":
            one.emit("input_audio_buffer.committed", item_id="u", previous_item_id=None)
            await one.asked(4)
            one.answer()
        else:
            one.answer()
        await one.phone.hears(0.3, since=stopped, timeout=stopped + 5 - time.monotonic())
        await one.rest()
        assert one.the.call.agent.turns.taking.caller_speaking is False
        assert len(one.the.happened("filler")) <= 1


def test_an_end_of_speech_that_is_never_told_is_found() -> None:
    run(together({how: no_end(how) for how in ("never told", "committed", "answered")}))


async def test_where_that_does_not_help_another_session_does() -> None:
    async with puppet(reply_seconds=2.0) as one:
        one.emit("input_audio_buffer.speech_started", audio_start_ms=0, item_id="u")
        one.phone.say(voices.load("caller/hours"))
        await one.phone.spoken(5)
        await one.the.realtime.wait_session(2, timeout=8)


# A model whose turn detection has gone deaf


async def deaf(audio: bytes, *, alarm: bool, mute: bool = False) -> None:
    async with puppet() as one:
        since = time.monotonic()
        one.phone.say(audio)
        await one.phone.spoken(8)
        stopped = time.monotonic()
        if not alarm:
            await asyncio.sleep(4.0)  # whatever it would do, it would have done
            assert len(one.creates()) == 1, "it takes a noise for a question"
            assert len(one.the.realtime.sessions) == 1
            assert not one.the.happened("filler")
            assert not one.the.happened("engine_missed_speech")
        elif mute:
            one.the.realtime.script = Script(otherwise=saying(tone(400, 500.0)))
            await one.the.realtime.wait_session(2, timeout=stopped + 6 - time.monotonic())
            await one.phone.hears(0.3, since=stopped + 2.6, timeout=stopped + 6 - time.monotonic())
        else:
            await one.asked(4)
            one.answer()
            await one.phone.hears(0.3, since=since, timeout=stopped + 6 - time.monotonic())


def music(seconds: float) -> bytes:
    notes = (262, 330, 392, 523, 440, 349, 294, 392)

    def sample(at: float) -> float:
        hertz = notes[int(at / 0.4) % 8]
        return 9000 * math.exp(-(at % 0.4) * 4) * math.sin(2 * math.pi * hertz * at)

    return pcm16_to_ulaw(array("h", (int(sample(n / 8000)) for n in range(round(seconds * 8000)))).tobytes())


def test_a_deaf_model_is_asked_or_replaced_and_music_and_noise_are_no_question() -> None:
    scenes = {
        "a question": deaf(voices.load("caller/hours"), alarm=True),
        "another": deaf(voices.load("caller/order"), alarm=True),
        "mute as well": deaf(voices.load("caller/account"), alarm=True, mute=True),
        "music": deaf(music(3.0), alarm=False),
        "a tone": deaf(tone(2000), alarm=False),
        "noise": deaf(noise(2000, 3), alarm=False),
    }
    run(together(scenes))


# A goodbye that the caller breaks into


async def says_goodbye(one: Puppet, call: str) -> None:
    """The agent ends the call, with a sentence."""
    await one.turn("That is all.")
    response = one.begin()
    item = one.say(response, "Thank you for calling, goodbye!", tone(3000, 600.0))
    tool = {"id": f"f{call}", "type": "function_call", "call_id": call, "name": "end_call", "arguments": "{}"}
    one.done(response, output=[{"id": item, "type": "message"}, {**tool, "status": "completed"}])
    await one.the.until(lambda: one.the.happened("end_requested"), "the end to be asked for")
    await one.phone.hears(0.3)


async def breaks_in(one: Puppet, words: str, answer: str, ms: float = 500) -> None:
    item = await one.turn(None, ms=400)
    await one.the.until(lambda: one.the.happened("goodbye_interrupted"), "the end to be called off")
    one.transcribed(item, words)
    since = time.monotonic()
    one.answer(answer, ms=ms)
    await one.phone.hears(0.3, since=since)


async def second_goodbye(words: str, answer: str, *, within: float) -> None:
    async with puppet() as one:
        await says_goodbye(one, "c1")
        await breaks_in(one, words, answer)
        told = str(one.sent("conversation.item.create"))
        assert "the call goes on" in told, "the model does not know that the end was called off"
        began = time.monotonic()
        if within > 4:
            await one.asked(within)
            one.answer("I will hang up now.")
        assert await cause(one, within) in ("agent", "no_input")
        assert time.monotonic() - began < within


def test_the_second_goodbye_ends_the_call() -> None:
    run(
        together(
            {
                "okay, bye": second_goodbye("Okay, bye.", "Bye bye!", within=4),
                "in another language": second_goodbye("Tschüss.", "Auf Wiederhören!", within=4),
                "in one that we do not know": second_goodbye("Hyvästi.", "Moi moi!", within=8),
                "the transcript is empty": second_goodbye("", "Goodbye then.", within=4),
            }
        )
    )


async def test_whoever_has_a_question_after_the_goodbye_has_time() -> None:
    async with puppet() as one:
        await says_goodbye(one, "c1")
        await breaks_in(one, "Wait, when do you open?", "We open at nine. Is there anything else?")
        await one.rest()
        await asyncio.sleep(4.5)  # longer than any second goodbye would take
        assert one.call.state != "ended"
        assert len(one.creates()) == 1


async def test_what_was_asked_for_just_before_the_caller_began_is_not_said_over_them() -> None:
    async with puppet(max_call_seconds=32.5, max_call_warning_seconds=30) as one:
        wish = await one.asked(4)
        one.emit("input_audio_buffer.speech_started", audio_start_ms=0, item_id="u")
        since = time.monotonic()
        response = one.begin()  # it was on its way
        item = one.say(response, "Our time is nearly up.", tone(1500, 600.0))
        await one.the.until(lambda: one.sent("response.cancel"), "it to be called off")
        one.done(response, "cancelled", output=[{"id": item, "type": "message"}], reason="client_cancelled")
        one.stopped("u")
        one.answer("Certainly.", ms=300)
        await one.phone.hears(0.25, since=since)
        assert await one.asked() == wish, "what lasts is asked for again"
        one.answer("Our time is nearly up.", ms=300)
        await one.rest()
        assert one.phone.loud_ms(since) < 900, "it was said over the caller"


async def test_an_end_that_is_never_told_in_a_protected_sentence_is_found_behind_it() -> None:
    async with puppet(greeted=False, disclosure="This call is recorded.") as one:
        await one.asked()
        response = one.begin()
        item = one.say(response, "This call is recorded.", tone(5000, 500.0))
        one.done(response, output=[{"id": item, "type": "message", "role": "assistant", "content": []}])
        await one.phone.hears(0.2)
        one.emit("input_audio_buffer.speech_started", audio_start_ms=0, item_id="u")
        one.phone.say(voices.load("caller/bye"))
        await one.the.until(lambda: one.the.happened("protected"), "the sentence to be heard", 8)
        since = time.monotonic()
        await one.asked(4)
        one.answer()
        await one.phone.hears(0.3, since=since)


async def test_a_session_that_takes_over_from_one_that_heard_somebody_begin_may_be_deaf_too() -> None:
    async with puppet(engine_tries=3) as one:
        one.emit("input_audio_buffer.speech_started", audio_start_ms=0, item_id="u")
        await one.the.until(lambda: one.the.happened("caller_speaks"), "the caller to be heard")
        one.session.drop()
        second = await one.the.realtime.wait_session(2)
        await second.wait_sent("session.updated")
        second.config["audio"]["input"]["turn_detection"] = None
        second.caller.configure()
        next_one = Puppet(one.the, one.call, second)
        await next_one.asked(4)
        next_one.answer("I am back.")
        await one.phone.hears(0.3)
        await one.rest()
        one.phone.say(voices.load("caller/hours"))
        await one.phone.spoken(5)
        await one.the.until(lambda: one.the.happened("engine_missed_speech"), "its deafness to be noticed", 4)
        await next_one.asked(4)
        since = time.monotonic()
        next_one.answer()
        await one.phone.hears(0.3, since=since)
