"""The model: how it is greeted and configured, what happens when it fails, and what is kept of what was said."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest

from callflow.contracts import events
from callflow.media import clips
from callflow.sandbox import voices
from callflow.sandbox.common.phone import tone
from callflow.sandbox.openai_realtime import Faults as ModelFaults
from callflow.sandbox.openai_realtime import Pace, Quirks, Realtime, Script, Turn
from callflow.sandbox.telnyx import Telnyx
from tests.e2e.media_socket import media_socket, ring_by_hand
from tests.e2e.product import Exchange, Product, exchange, faults, product, run, together
from tests.e2e.talk import FAST, Talk, clock, goodbye, noise, saying, talk


CARRIERS = ("telnyx", "twilio")
SAMPLED = True


SORRY = clips.load("en")["sorry"].audio
GOODBYE = clips.load("en")["goodbye"].audio
BEGINNING = 1600
"""Bytes of a clip that are enough to know it."""


def model(*greeting: bytes, pace: Pace | None = None, quirks: Quirks | None = None, **faults: Any) -> Realtime:
    script = Script.of(saying(*greeting), otherwise=Turn.silence()) if greeting else Script.tone(0.2)
    return Realtime(script=script, pace=pace or Pace.instant(), quirks=quirks, faults=ModelFaults(**faults))


def asked(one: Talk, kind: str) -> list[dict[str, Any]]:
    return [event.event for event in one.session.received if event.event["type"] == kind]


async def apologised(the: Product, one: Talk) -> None:
    """The caller hears the apology as a clip, and the server hangs up, once."""
    await the.until(lambda: SORRY[:BEGINNING] in one.received, "the apology at the carrier")
    await one.call.wait_ended(3)
    assert one.call.ended_by == "product", "the call was not ended by the server"
    assert one.received.count(SORRY[:BEGINNING]) == 1, "the apology began twice"
    await the.quiet()
    assert len(the.actions("hangup")) == 1


# The beginning


async def test_the_session_is_configured_first_and_the_caller_greeted_once() -> None:
    said = noise(300, 1)
    async with product(realtime=model(said), instructions="Be brief.", greeting="Say hello.", **FAST) as the:
        one = await talk(the)
        await the.until(lambda: len(one.received) == len(said), "the greeting")
        kinds = [event.event["type"] for event in one.session.received]
        assert kinds[0] == "session.update"
        assert kinds.count("session.update") == 1
        (greeting,) = asked(one, "response.create")
        assert greeting["response"] == {"instructions": "Be brief.\n\nSay hello."}
        audio = one.session.config["audio"]
        assert audio["input"]["format"] == audio["output"]["format"] == {"type": "audio/pcmu"}
        assert audio["output"]["voice"] == the.app.settings.voice
        assert audio["input"]["turn_detection"]["silence_duration_ms"] == FAST["vad_silence_ms"]
        await goodbye(the, one)


async def test_without_a_greeting_the_model_waits_for_the_caller() -> None:
    async with product(realtime=model(), greeting="", **FAST) as the:
        one = await talk(the)
        one.phone.say(tone(160))
        await one.phone.hears(0.1)
        assert asked(one, "response.create") == []
        await goodbye(the, one)


UNTAKEN: dict[str, tuple[dict[str, Any], list[str]]] = {
    "the first update refused": ({"refuse_session_update": 1}, ["session-full", "session-minimal"]),
    "no transcription model": ({"refuse_transcription": True}, ["session-full", "session-minimal"]),
    "an error that names no event": (
        {"refuse_session_update": 1, "error_event_id_null": True},
        ["session-full", "session-minimal"],
    ),
    "no session.created": ({"no_session_created": True}, ["session-full"]),
}


def test_a_session_that_is_not_taken_as_asked_is_a_phone_call_all_the_same() -> None:
    async def scene(faults: dict[str, Any], updates: list[str]) -> None:
        async with product(realtime=model(**faults), **FAST) as the:
            one = await talk(the)
            await one.phone.hears(0.2)
            assert [event["event_id"] for event in asked(one, "session.update")] == updates
            audio = one.session.config["audio"]
            assert audio["input"]["format"] == audio["output"]["format"] == {"type": "audio/pcmu"}
            assert len(asked(one, "response.create")) == 1
            await goodbye(the, one)

    run(together({name: scene(*how) for name, how in UNTAKEN.items()}))


def test_a_busy_model_is_tried_again_and_the_caller_greeted_once() -> None:
    async def scene(status: int) -> None:
        async with product(realtime=model(refuse_next=1, refuse_status=status), **FAST) as the:
            one = await talk(the)
            await one.phone.hears(0.2)
            assert the.realtime.connections_attempted == 2
            assert len(asked(one, "response.create")) == 1
            await goodbye(the, one)

    run(together({f"HTTP {status}": scene(status) for status in (429, 500, 503)}))


# It fails before anybody is heard


async def apologised_to(the: Product) -> Any:
    """A caller who hears nothing but the apology: in the carrier's voice, before there is a stream, or with the clip.
    Returns the call."""
    call, received = await the.carrier.ring(), bytearray()
    call.phone.on_media = lambda at, audio: received.extend(audio)
    await call.wait_ended(8)
    assert (call.spoken == ["Sorry."]) != (SORRY[:BEGINNING] in received), "the caller heard no apology, or two"
    return call


def test_a_refusal_that_no_second_try_can_mend_ends_the_call_at_once() -> None:
    async def scene(status: int) -> None:
        async with product(realtime=model(refuse_next=-1, refuse_status=status), **FAST) as the:
            begun = time.monotonic()
            call = await apologised_to(the)
            assert time.monotonic() - begun < 3 + len(SORRY) / 8000, "the call waited for its deadline"
            assert call.ended_by == "product"
            assert the.realtime.connections_attempted == 1, "a refusal for good was tried again"
            await the.quiet()
            (lost,) = the.happened("engine_lost")
            assert str(status) in lost["reason"]

    run(together({f"HTTP {status}": scene(status) for status in (400, 401, 403, 404)}))


NEVER_READY: dict[str, dict[str, Any]] = {
    "failing for ever": {"refuse_next": -1, "refuse_status": 500},
    "a handshake without an answer": {"hang_next": -1},
    "an update that is never confirmed": {"no_session_updated": True},
}


def test_a_model_that_never_gets_ready_is_given_its_time_and_then_an_apology() -> None:
    async def scene(faults: dict[str, Any]) -> None:
        async with product(realtime=model(**faults), engine_seconds=1.2, **FAST) as the:
            begun = time.monotonic()
            call = await the.carrier.ring()
            received = bytearray()
            call.phone.on_media = lambda at, audio: received.extend(audio)
            await call.wait_ended(5)
            assert 0.2 < time.monotonic() - begun < 4.5
            assert SORRY[:BEGINNING] in received, "the caller heard no apology"
            await the.quiet()
            (summary,) = the.happened("ended")
            assert summary["cause"] in ("engine_timeout", "engine_lost")

    run(together({name: scene(faults) for name, faults in NEVER_READY.items()}))


STILLBORN: dict[str, dict[str, Any]] = {
    "both updates refused": {"refuse_session_update": 2},
    "dropped after session.created": {"drop_after_events": 1},
    "dropped at once": {"drop_after_s": 0.0},
    "closed after session.created": {"drop_after_events": 1, "close_code": 1011},
}


def test_a_session_that_ends_before_it_begins_is_apologised_for() -> None:
    async def scene(faults: dict[str, Any]) -> None:
        async with product(realtime=model(**faults), carrier=slow_to_answer(), **FAST) as the:
            await apologised_to(the)
            await the.quiet()
            assert the.realtime.connections_attempted == 1
            assert the.happened("engine_lost")

    run(together({name: scene(faults) for name, faults in STILLBORN.items()}))


def slow_to_answer() -> Exchange:
    """Whatever fails in the model's first moments fails before there is a stream."""
    carrier = exchange()
    if isinstance(carrier, Telnyx):
        carrier.exchange.timing.answer_s = 0.3
    else:
        carrier.faults.link_ms = 100
    return carrier


async def test_a_caller_who_gives_up_while_the_model_is_called_leaves_nothing_behind() -> None:
    async with product(realtime=model(hang_next=-1), **FAST) as the:
        call = await the.carrier.ring()
        await the.realtime.wait_attempt()
        await call.hang_up()
        await the.quiet(1.5)
        assert the.happened("engine_lost") == []
        left = [task.get_name() for task in asyncio.all_tasks() if "engine" in task.get_name()]
        assert left == [], f"tasks left behind: {left}"


# It fails in the middle


def test_a_lost_model_is_apologised_for_at_any_moment() -> None:
    async def scene(how: str) -> None:
        dice = random.Random(how)
        pace = Pace(first_byte_ms=100, speed=3)
        async with product(realtime=model(noise(2000, 3), noise(2000, 4), pace=pace), **FAST) as the:
            talks = [await talk(the) for _ in range(3)]

            async def lose(one: Talk) -> None:
                await asyncio.sleep(dice.uniform(0, 0.8))
                if how == "dropped":
                    one.session.drop()
                else:
                    one.session.close(int(how.split()[1]), "enough")
                await the.until(lambda: SORRY[:BEGINNING] in one.received, "the apology at the carrier")
                await one.call.wait_ended(3)
                assert one.call.ended_by == "product"
                assert one.received.count(SORRY[:BEGINNING]) == 1

            await asyncio.gather(*map(lose, talks))
            await the.quiet()
            assert the.realtime.connections_attempted == 3
            assert [event["cause"] for event in the.happened("ended")] == ["engine_lost"] * 3

    run(together({how: scene(how) for how in ("dropped", "closed 1000", "closed 1001", "closed 1011", "closed 4000")}))


async def test_the_apology_takes_the_place_of_what_was_being_said() -> None:
    said = noise(8000, 5)
    async with product(realtime=model(said), **FAST) as the:
        one = await talk(the)
        await the.until(lambda: one.phone.heard_ms > 300, "the beginning of the greeting")
        one.session.drop()
        await apologised(the, one)
        heard = one.heard()
        greeting, apology, rest = heard.partition(SORRY[:BEGINNING])
        assert said.startswith(greeting)
        assert SORRY.startswith(apology + rest), "the apology was mixed with something else"
        assert one.stream.clears == 1


def test_a_fatal_error_is_not_tried_again() -> None:
    async def scene(code: str) -> None:
        async with product(realtime=model(fatal_error=code), **FAST) as the:
            await apologised_to(the)
            await the.quiet()
            assert the.realtime.connections_attempted == 1
            (lost,) = the.happened("engine_lost")
            assert code in lost["reason"]

    run(
        together(
            {code: scene(code) for code in ("insufficient_quota", "invalid_api_key", "billing_hard_limit_reached")}
        )
    )


def test_the_end_of_a_session_is_noticed_however_it_is_told() -> None:
    async def scene(expiry: Any) -> None:
        quirks = Quirks(session_seconds=0.5, expires_at_in=3600, expiry=expiry)  # nobody can see it coming
        async with product(realtime=model(quirks=quirks), **FAST) as the:
            one = await talk(the)
            await apologised(the, one)
            (summary,) = the.happened("ended")
            assert summary["cause"] == "engine_lost"

    run(together({expiry: scene(expiry) for expiry in ("error_and_close", "error", "close")}))


@pytest.mark.carrier("telnyx")
async def test_a_model_that_stops_reading_loses_its_own_call_only() -> None:
    realtime = model(stop_reading_after=3, only_connections=[2])
    async with product(realtime=realtime, write_seconds=0.5, **{**FAST, "greeting": ""}) as the:
        other = await talk(the)
        call, url = await ring_by_hand(the)
        async with media_socket(url, call.control_id) as wire:
            await wire.start()
            second = b"\xff" * 8000
            for _ in range(3000):
                await wire.audio(second)
                if the.happened("engine_lost"):
                    break
            await the.until(lambda: the.happened("engine_lost"), "the stuck model to be noticed", 2)
            await the.until(lambda: SORRY[:BEGINNING] in wire.heard, "the apology")
        assert other.call.state == "answered"
        other.phone.say(tone(160))
        await other.phone.hears(0.1)


async def test_a_response_that_fails_for_the_rate_limit_ends_no_call() -> None:
    async with product(realtime=model(rate_limit_next=1), **FAST) as the:
        one = await talk(the)
        await the.until(lambda: the.happened("response_failed"), "the failed response on record")
        (failed,) = the.happened("response_failed")
        assert failed["detail"] == "inference_rate_limit_exceeded"
        one.phone.say(tone(160))
        await one.phone.hears(0.1)
        await goodbye(the, one)


async def test_errors_that_end_nothing_are_on_record() -> None:
    async with product(realtime=model(), **FAST) as the:
        one = await talk(the)
        await one.phone.hears(0.2)
        for code in ("conversation_already_has_active_response", "response_cancel_not_active", "server_error"):
            one.session.fail(code, "Something is not as it should be.")
        one.session.send({"type": "error", "error": None})
        one.session.send({"type": "error"})
        await the.until(lambda: len(the.happened("engine_complaint")) == 5, "five complaints on record")
        assert one.call.state == "answered"
        await goodbye(the, one)


NONSENSE: list[dict[str, Any]] = [
    {"type": "response.output_audio.delta"},
    {"type": "response.output_audio.delta", "item_id": "item_x", "response_id": "resp_x", "delta": "%%%"},
    {"type": "response.output_audio.delta", "item_id": None, "response_id": None, "delta": None},
    {"type": "response.output_audio.delta", "item_id": 5, "content_index": "x", "delta": ["AAAA"]},
    {"type": "response.output_audio.delta", "item_id": "item_x", "delta": ""},
    {"type": "response.output_audio.done"},
    {"type": "response.created"},
    {"type": "response.created", "response": {"id": 5}},
    {"type": "response.done", "response": []},
    {"type": "response.done", "response": {"id": "resp_unknown", "status": "failed", "status_details": "x"}},
    {"type": "conversation.item.added", "item": "x"},
    {"type": "conversation.item.added", "item": {"type": "message", "role": "assistant"}},
    {"type": "conversation.item.input_audio_transcription.completed", "item_id": "item_y"},
    {"type": "session.updated"},
    {"type": "session.updated", "session": None},
    {"type": "rate_limits.updated", "rate_limits": None},
    {"type": ""},
    {"type": 7},
    {},
]


async def test_nonsense_from_the_model_ends_nothing_and_is_not_played() -> None:
    said = noise(200, 6)
    async with product(realtime=model(said), **FAST) as the:
        one = await talk(the)
        await the.until(lambda: len(one.received) == len(said), "the greeting")
        for event in NONSENSE:
            one.session.send_frame(_json(event))
        one.session.send_frame("[" * 100_000)
        one.session.send_frame("x" * 1_000_000)
        one.session.send_frame(b"\xff" * 1000)
        one.session.fail("the_last", "Everything before this was read.")
        await the.until(lambda: the.happened("engine_complaint"), "the events to be read")
        assert bytes(one.received) == said
        assert len(asked(one, "session.update")) == 1
        assert len(asked(one, "response.create")) == 1
        one.phone.say(tone(160))
        await one.session.wait_sent("input_audio_buffer.speech_stopped")
        await goodbye(the, one)


def _json(event: dict[str, Any]) -> str:
    import json

    return json.dumps(event)


async def test_the_session_is_closed_when_the_caller_hangs_up() -> None:
    async with product(realtime=model(noise(5000, 7)), **FAST) as the:
        one = await talk(the)
        await one.phone.hears(0.2)
        await one.call.hang_up()
        assert await one.session.wait_closed(1.5) in (1000, 1006)
        await the.quiet()


async def test_a_goodbye_is_not_talked_over_by_a_model_that_goes() -> None:
    async with product(realtime=model(noise(5000, 8)), **{**FAST, "farewell_seconds": 20}) as the:
        one = await talk(the)
        await one.phone.hears(0.2)
        the.call.post(events.GoodbyeRequested(reason="test"))
        await the.until(lambda: GOODBYE[:BEGINNING] in one.received, "the goodbye")
        one.session.respond({})
        one.session.drop()
        await one.call.wait_ended(5)
        assert SORRY[:BEGINNING] not in one.received, "an apology followed the goodbye"
        assert GOODBYE[:-640] in bytes(one.received), "the goodbye was cut short"
        assert len(GOODBYE) - len(one.heard().partition(GOODBYE[:BEGINNING])[2]) - BEGINNING <= 320
        await the.quiet()
        (summary,) = the.happened("ended")
        assert summary["cause"] == "test"


async def test_a_model_lost_while_the_media_socket_is_away_is_apologised_for(carrier: str) -> None:
    async with product(realtime=model(noise(400, 9)), **{**FAST, "stream_grace_seconds": 2}) as the:
        one = await talk(the, faults=faults(**({"reconnect_after_s": 0.4} if carrier == "telnyx" else {})))
        await one.phone.hears(0.2)
        one.stream.drop()
        await the.until(lambda: the.happened("media_lost"), "the loss of the stream")
        one.session.drop()
        await one.call.wait_ended(6)
        assert one.call.spoken == ["Sorry."] or SORRY[:BEGINNING] in one.received, "the caller heard no apology"
        await the.quiet()
        assert len(the.actions("hangup")) == 1 or one.call.spoken, "nobody ended the call"


# What was said


async def test_the_words_of_both_sides_are_kept_in_order() -> None:
    turns = tuple(Turn.say(text, noise(200, number)) for number, text in enumerate(("Hello.", "At nine.", "Bye.")))
    script = Script.of(*turns, heard=("When do you open?", "Thank you."))
    realtime = Realtime(script=script, pace=Pace(first_byte_ms=30, transcription_ms=80, speed=8))
    async with product(realtime=realtime, **FAST) as the:
        one = await talk(the)
        conversation = the.call.agent.conversation
        for count in (1, 2, 3):
            await one.session.wait_sent("response.done", count)
            await the.until(lambda: conversation.state == "listening", "the caller to have heard it")
            if count < 3:
                one.phone.say(tone(160))
        texts = ["Hello.", "When do you open?", "At nine.", "Thank you.", "Bye."]
        await the.until(lambda: [turn.text for turn in conversation.turns] == texts, f"the turns {texts}", 2)
        assert [turn.who for turn in conversation.turns] == ["agent", "caller", "agent", "caller", "agent"]
        assert not any(turn.interrupted for turn in conversation.turns)
        assert {note["text"] for note in the.happened("turn")} == set(texts)
        await goodbye(the, one)


async def test_an_interrupted_turn_keeps_what_was_heard_apart_from_what_was_not() -> None:
    text = " ".join(f"word{number}" for number in range(40))
    script = Script.of(Turn.say(text, noise(4000, 10)), otherwise=Turn.silence(), heard=("Wait.",))
    async with product(realtime=Realtime(script=script, pace=Pace.instant()), **FAST) as the, clock() as watched:
        one = await talk(the)
        await the.until(lambda: one.phone.heard_ms > 900, "some of the greeting")
        one.phone.say(tone(160))
        await one.session.wait_for("conversation.item.truncate")
        await the.until(lambda: len(the.call.agent.conversation.turns) == 2, "the caller's turn")
        agent, caller = the.call.agent.conversation.turns
        truth = one.phone.heard_ms
        assert agent.text == text
        assert agent.interrupted
        assert agent.heard_ms == pytest.approx(truth, abs=40 + 2 * watched.stall_ms)
        assert agent.spoken_ms == 4000
        assert agent.heard_ms is not None
        heard = agent.heard_text.split()
        assert text.startswith(agent.heard_text)
        assert len(heard) == pytest.approx((agent.heard_ms or 0) / 100, abs=1), (
            f"{len(heard)} words for {agent.heard_ms} ms"
        )
        assert not caller.interrupted
        (note,) = the.happened("interrupted")
        assert note["cuts"][0]["heard_text"] == agent.heard_text
        await goodbye(the, one)


async def test_a_transcription_that_fails_holds_nothing_up() -> None:
    async with product(realtime=model(transcription_fails=True), **FAST) as the:
        one = await talk(the)
        await one.phone.hears(0.2)
        one.phone.say(tone(160))
        await one.session.wait_sent("conversation.item.input_audio_transcription.failed")
        await one.session.wait_sent("response.done", 2)
        await the.until(lambda: len(the.call.agent.conversation.turns) == 3, "three turns")
        assert [turn.text for turn in the.call.agent.conversation.turns] == ["A tone.", "", "A tone."]
        await goodbye(the, one)


async def test_the_recorded_conversation_of_the_office_runs_without_a_violation() -> None:
    async with product(realtime=Realtime(script=Script.office(), pace=Pace(speed=20)), **FAST) as the:
        one = await talk(the)
        await one.phone.hears(0.5)
        one.phone.say(voices.load("caller/interruption")[: 8 * 700])
        await the.until(lambda: one.stream.clears, "the interruption")
        await one.session.wait_sent("response.done", 2)
        since = time.monotonic()
        await one.phone.hears(0.3, since=since)
        await goodbye(the, one)
