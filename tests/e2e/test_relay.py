"""The agent's audio on its way to the caller, and what happens when the caller breaks in."""

from __future__ import annotations

import asyncio
import random
import re
from typing import Any

import pytest

from callflow.media.g711 import FRAME_BYTES
from callflow.sandbox.common.phone import SILENT_FRAME, Phone, tone
from callflow.sandbox.openai_realtime import Faults as ModelFaults
from callflow.sandbox.openai_realtime import Pace, Realtime, Script, Turn
from tests.e2e.product import faults, product, run, together
from tests.e2e.talk import BYTES_PER_MS, FAST, Talk, clock, goodbye, noise, saying, talk


CARRIERS = ("telnyx", "twilio")


TOLERANCE_MS = 40
"""Between what the caller had heard and what the model was told: two frames, on a machine that keeps time."""


def padded(audio: bytes) -> bytes:
    """As the carrier must get one item: whole frames, silence behind its end."""
    return audio + b"\xff" * (-len(audio) % FRAME_BYTES)


# To the caller


MODELS: dict[str, tuple[dict[str, Any], Pace]] = {
    "at once": ({}, Pace.instant()),
    "deltas that are no frames": ({}, Pace.instant(delta_ms=[33, 1, 47, 120])),
    "deltas of an odd size": ({"odd_deltas": True}, Pace.instant()),
    "deltas of an odd size at the model's pace": ({"odd_deltas": True}, Pace.instant(speed=3)),
    "one delta for each item": ({"oversized_deltas": True}, Pace.instant()),
    "names of the beta": ({"beta_names": True}, Pace.instant()),
    "unknown events and fields": ({"unknown_events": True}, Pace.instant()),
    "text that is not JSON": ({"invalid_json": True}, Pace.instant()),
    "binary frames": ({"binary_frames": True}, Pace.instant()),
    "null fields": ({"null_fields": True}, Pace.instant()),
    "no response.created": ({"skip_response_created": -1}, Pace.instant()),
    "odd defaults": ({"odd_defaults": True}, Pace.instant()),
}


def test_what_the_model_says_arrives_complete_in_order_and_in_whole_frames() -> None:
    items = (noise(210, 1), noise(61.5, 2), noise(7, 3), noise(99.875, 4))

    async def scene(faults: dict[str, Any], pace: Pace) -> None:
        realtime = Realtime(script=Script.of(saying(*items)), pace=pace, faults=ModelFaults(**faults))
        async with product(realtime=realtime, **FAST) as the:
            one = await talk(the)
            wanted = b"".join(map(padded, items))
            await the.until(lambda: len(one.received) >= len(wanted), f"{len(wanted)} bytes at the carrier")
            assert bytes(one.received) == wanted, "the carrier got other audio than the model has said"
            assert one.stream.odd_frames == 0, "a media frame was no multiple of 20 ms"
            sizes = {frame.size % FRAME_BYTES for frame in one.stream.log_in if frame.event == "media"}
            assert sizes == {0}

            opening, *marks = [frame.name for frame in one.stream.log_in if frame.event == "mark"]
            assert opening == "opening"
            assert len(marks) == len(set(marks)), f"a mark's name was used twice: {marks}"
            assert all(re.fullmatch(r"item_\w+:0:\d+", mark) for mark in marks), marks
            assert list(dict.fromkeys(mark.split(":")[0] for mark in marks)) == one.agent_items()
            assert [int(mark.rsplit(":")[2]) for mark in marks] == list(range(1, len(marks) + 1))

            await the.until(lambda: the.call.agent.conversation.state == "listening", "the caller to have heard it all")
            assert one.truncates() == {}
            assert one.stream.clears == 0
            await goodbye(the, one)

    run(together({name: scene(*how) for name, how in MODELS.items()}))


async def test_ten_seconds_at_once_wait_here_and_not_at_the_carrier() -> None:
    said = noise(10_000, 5)
    realtime = Realtime(script=Script.of(saying(said)), pace=Pace.instant(), faults=ModelFaults(oversized_deltas=True))
    async with product(realtime=realtime, playout_lead_ms=300, **FAST) as the:
        one = await talk(the)
        await the.until(lambda: one.phone.heard_ms > 1600, "1.6 s of speech")
        assert one.stream.max_queued_ms <= 300 + 40, "the carrier was given more than it is meant to hold"
        assert one.stream.underruns == 0, f"the speech broke up {one.stream.underruns} times"
        assert said.startswith(bytes(one.received))
        await goodbye(the, one)


async def test_marks_come_at_the_distance_that_was_set() -> None:
    realtime = Realtime(script=Script.of(saying(noise(1000, 6))), pace=Pace.instant())
    async with product(realtime=realtime, mark_every_ms=100, **FAST) as the:
        one = await talk(the)
        await the.until(lambda: len(one.received) == 8000, "a second of speech")
        since = 0
        for frame in one.stream.log_in:
            since = 0 if frame.event == "mark" else since + frame.size
            assert since <= 100 * BYTES_PER_MS, f"{since} bytes without a mark"
        await goodbye(the, one)


async def test_a_model_slower_than_speech_is_not_padded_in_the_middle() -> None:
    said = noise(600, 7)
    realtime = Realtime(script=Script.of(saying(said)), pace=Pace.instant(delta_ms=[35], speed=0.9))
    async with product(realtime=realtime, **FAST) as the:
        one = await talk(the)
        await the.until(lambda: len(one.received) >= len(said), "all of it")
        assert bytes(one.received) == said
        await goodbye(the, one)


async def test_a_carrier_that_returns_no_marks_is_heard_all_the_same() -> None:
    items = (noise(300, 8), noise(300, 9))
    realtime = Realtime(script=Script.of(saying(*items)), pace=Pace.instant())
    async with product(realtime=realtime, **FAST) as the:
        one = await talk(the, faults=faults(no_marks=True))
        await the.until(lambda: len(one.received) == 4800, "both items")
        assert bytes(one.received) == b"".join(items)
        await one.call.hang_up()
        await the.quiet()


# The caller breaks in

WHEN = {
    "one item, generated long ago": ((noise(2500, 11),), Pace.instant(), 0),
    "one item, being generated": ((noise(2500, 12),), Pace.instant(speed=1.3), 0),
    "four items, generated long ago": (tuple(noise(500, 13 + n) for n in range(4)), Pace.instant(), 0),
    "four items, being generated": (tuple(noise(555, 17 + n) for n in range(4)), Pace(first_byte_ms=50, speed=2.0), 0),
    "a carrier 50 ms away": (tuple(noise(1500, 21 + n) for n in range(3)), Pace.instant(speed=4), 50),
}


def check_cut(one: Talk, items: tuple[bytes, ...], tolerance: float) -> None:
    """What the model was told to forget is what the caller had not heard when the carrier threw it away."""
    heard, starts, position = one.heard(), [], 0
    wanted = b"".join(map(padded, items))
    assert wanted.startswith(heard), "the caller heard other audio than was said"
    for audio in items:
        starts.append(position)
        position += len(padded(audio))
    truncates = one.truncates()
    assert all(len(ends) == 1 for ends in truncates.values()), f"an item was truncated twice: {truncates}"
    names = one.agent_items()
    assert set(truncates) <= set(names)
    for name, audio, start in zip(names, items, starts, strict=False):
        generated = one.generated_ms(name)
        truth = max(0, min(len(heard) - start, len(audio))) / BYTES_PER_MS
        told = truncates.get(name, [None])[0]
        story = f"item {names.index(name)}: {generated:g} ms generated, {truth:g} ms heard, model told {told}"
        if told is None:
            unheard = min(generated, len(audio) / BYTES_PER_MS) - truth
            assert unheard <= tolerance, f"{story}: the model believes that all of it was heard"
        else:
            assert told <= generated, f"{story}: more than there was"
            assert abs(told - truth) <= tolerance, f"{story}: not what the caller has heard"
            assert truth < len(audio) / BYTES_PER_MS or len(audio) / BYTES_PER_MS - told <= tolerance, (
                f"{story}: it was heard in full"
            )


def test_an_interruption_tells_the_model_what_was_heard() -> None:
    async def scene(name: str, items: tuple[bytes, ...], pace: Pace, link_ms: int) -> None:
        dice = random.Random(name)
        script = Script.of(saying(*items), otherwise=Turn.silence())
        async with (
            product(realtime=Realtime(script=script, pace=pace), **{**FAST, "greeting": ""}) as the,
            clock() as watched,
        ):
            talks = [await talk(the, faults=faults(link_ms=link_ms)) for _ in range(4)]

            async def break_in(one: Talk) -> None:
                await asyncio.sleep(dice.uniform(0, 0.8))
                one.session.respond({})
                await asyncio.sleep(dice.uniform(0, 1.5))
                one.phone.say(tone(160))
                await the.until(lambda: one.stream.clears, "the carrier to be told to clear")
                await the.until(one.truncates, "the model to be told")

            await asyncio.gather(*map(break_in, talks))
            for one in talks:
                await one.session.wait_sent("conversation.item.truncated", len(one.truncates()))
                assert one.stream.clears == 1, f"{one.stream.clears} clears for one interruption"
                check_cut(one, items, TOLERANCE_MS + 2 * watched.stall_ms)
            assert the.happened("interrupted"), "an interruption is not on record"
            await goodbye(the, *talks)

    run(together({name: scene(name, *how) for name, how in WHEN.items()}))


async def test_the_carrier_is_cleared_before_the_model_is_told() -> None:
    script = Script.of(saying(noise(3000, 31)), otherwise=Turn.silence())
    async with product(realtime=Realtime(script=script, pace=Pace.instant()), **FAST) as the:
        one = await talk(the)
        await one.phone.hears(0.3)
        order: list[str] = []
        relay = the.call.relay
        assert relay._stream is not None
        engine = the.call.agent.sessions.engine
        assert engine is not None
        put, truncate = relay._stream._put, engine.truncate

        def watched_put(text: str, weight: int = 0) -> None:
            order.append(text if "clear" in text else "audio")
            put(text, weight)

        def watched_truncate(item: str, content: int, heard_ms: int) -> None:
            order.append("truncate")
            truncate(item, content, heard_ms)

        relay._stream._put = watched_put
        engine.truncate = watched_truncate  # type: ignore[method-assign]
        one.phone.say(tone(160))
        await one.session.wait_for("conversation.item.truncate")
        assert ["clear" if "clear" in one else one for one in order[-2:]] == ["clear", "truncate"], order[-5:]
        await one.session.wait_sent("input_audio_buffer.speech_stopped")
        assert order[-1] == "truncate", "audio was sent after the clear"
        await goodbye(the, one)


async def test_items_heard_in_full_are_kept_and_queued_ones_are_forgotten() -> None:
    items = (noise(300, 41), noise(3000, 42), noise(500, 43), noise(500, 44))
    script = Script.of(saying(*items), otherwise=Turn.silence())
    async with product(realtime=Realtime(script=script, pace=Pace.instant()), **FAST) as the, clock() as watched:
        one = await talk(the)
        await the.until(lambda: one.phone.heard_ms > 700, "the first item and a part of the second")
        one.phone.say(tone(160))
        await one.session.wait_for("conversation.item.truncate", 3)
        cuts, names = one.truncates(), one.agent_items()
        assert names[0] not in cuts, "an item that was heard in full was truncated"
        assert list(cuts) == names[1:], "items were truncated out of order, or not all of them"
        assert cuts[names[2]] == cuts[names[3]] == [0], "what was never sent to the carrier was not forgotten whole"
        check_cut(one, items, TOLERANCE_MS + 2 * watched.stall_ms)
        await goodbye(the, one)


async def test_late_audio_of_an_interrupted_answer_is_never_heard() -> None:
    greeting, answer = noise(2000, 51), noise(400, 52)
    script = Script.of(saying(greeting), saying(answer), otherwise=Turn.silence())
    realtime = Realtime(script=script, pace=Pace.instant(speed=1.5, delta_ms=[100]), faults=ModelFaults(late_deltas=5))
    async with product(realtime=realtime, **FAST) as the:
        one = await talk(the)
        await the.until(lambda: one.phone.heard_ms > 300, "the beginning of the greeting")
        one.phone.say(tone(160))
        await the.until(lambda: one.stream.clears, "the interruption")
        before = len(one.received)
        await the.until(lambda: len(one.received) - before >= len(answer), "the answer")
        assert bytes(one.received[before:]) == answer, "audio of the interrupted answer was played after it"
        assert the.call.relay.playout.late_bytes >= 800, "the emulated model sent nothing late"
        told = one.truncates()[one.agent_items()[0]]
        assert told[0] <= one.generated_ms(one.agent_items()[0])
        await goodbye(the, one)


async def test_marks_that_a_clear_returns_are_no_proof_of_hearing() -> None:
    """All pending marks come back with the clear; taken for true they would make the next cut too long."""
    first, second = noise(2000, 61), noise(2000, 62)
    script = Script.of(saying(first), saying(second), otherwise=Turn.silence())
    async with product(realtime=Realtime(script=script, pace=Pace.instant()), **FAST) as the, clock() as watched:
        one = await talk(the)
        await the.until(lambda: one.phone.heard_ms > 300, "the beginning of the greeting")
        one.phone.say(tone(160))
        await the.until(lambda: one.stream.clears == 1, "the first interruption")
        heard_first = one.phone.heard_ms
        await the.until(lambda: one.phone.heard_ms > heard_first + 250, "the beginning of the answer")
        relay = the.call.relay
        assert relay.playout.stale_marks > 0, "the carrier returned no marks"
        one.phone.say(tone(160))
        await the.until(lambda: one.stream.clears == 2, "the second interruption")
        truth = one.phone.heard_ms - heard_first
        await one.session.wait_for("conversation.item.truncate", 2)
        told = one.truncates()[one.agent_items()[1]][0]
        assert abs(told - truth) <= TOLERANCE_MS + 2 * watched.stall_ms, (
            f"{truth:g} ms were heard, the model was told {told}"
        )
        await goodbye(the, one)


async def test_an_interruption_after_everything_was_heard_changes_nothing() -> None:
    script = Script.of(saying(noise(310, 71), noise(250, 72)), otherwise=Turn.silence())
    async with product(realtime=Realtime(script=script, pace=Pace.instant()), **FAST) as the:
        one = await talk(the)
        relay = the.call.relay
        await the.until(lambda: one.phone.heard_ms >= 580, "all of the greeting to be heard")
        await the.until(lambda: not relay.playout.is_unplayed(relay._clock()), "the server to know that", 1)
        one.phone.say(tone(160))
        await one.session.wait_sent("input_audio_buffer.speech_stopped")
        assert one.stream.clears == 0, "the carrier was told to clear although nothing was playing"
        assert one.truncates() == {}, "an item was truncated although it was heard in full"
        assert the.call.agent.conversation.interruptions == 0
        await goodbye(the, one)


async def test_a_caller_who_speaks_while_nothing_plays_interrupts_nothing() -> None:
    async with product(realtime=Realtime(script=Script.silent(), pace=Pace.instant()), **FAST) as the:
        one = await talk(the)
        await one.session.wait_for("response.create")  # else the caller would be first, and not be greeted
        for count in (1, 2):
            one.phone.say(tone(160))
            await one.session.wait_sent("input_audio_buffer.speech_stopped", count)
        sent = [frame for frame in one.stream.log_in if frame.name != "opening"]
        assert sent == [], f"the carrier was sent {sent}"
        kinds = {one.event["type"] for one in one.session.received}
        assert kinds == {"session.update", "response.create", "input_audio_buffer.append"}
        assert the.happened("interrupted") == []
        await goodbye(the, one)


async def test_many_interruptions_in_a_row_leave_the_conversation_true() -> None:
    turns = [saying(noise(1500, 100 + n), noise(500, 200 + n)) for n in range(6)]
    script = Script.of(*turns, otherwise=Turn.silence())
    realtime = Realtime(script=script, pace=Pace.instant(speed=5), faults=ModelFaults(late_deltas=2))
    async with product(realtime=realtime, **{**FAST, "vad_silence_ms": 40}) as the:
        one = await talk(the)
        for count in range(1, 6):
            before = one.phone.heard_ms
            await the.until(lambda start=before: one.phone.heard_ms > start + 120, f"answer {count}")  # type: ignore[misc]
            one.phone.say(tone(120))
            await the.until(lambda wanted=count: one.stream.clears == wanted, f"interruption {count}")  # type: ignore[misc]
        assert len(the.happened("interrupted")) == 5
        for item, ends in one.truncates().items():
            assert len(ends) == 1
            assert 0 <= ends[0] <= one.generated_ms(item)
        cut = {turn.item for turn in the.call.agent.conversation.turns if turn.interrupted}
        await the.until(lambda: cut <= set(one.truncates()), "the model to be told of every cut")
        assert cut == set(one.truncates())
        await goodbye(the, one)


# Many calls

CALLS, FRAMES = 40, 100


class Speaker:
    """A mouth that is silent until it begins, then says frames of which no two of anybody are alike, then is silent."""

    def __init__(self, seed: int) -> None:
        self.said = [noise(20, seed * 1000 + chunk) for chunk in range(FRAMES)]
        self.begun = False
        self._left = list(reversed(self.said))

    def __call__(self, chunk: int) -> bytes:
        return self._left.pop() if self.begun and self._left else SILENT_FRAME

    @property
    def is_done(self) -> bool:
        return not self._left


@pytest.mark.proof
@pytest.mark.alone
async def test_forty_calls_at_once_lose_and_mix_nothing() -> None:
    """Two seconds of each caller come back as an echo. Counted, not timed: a slow machine takes longer."""
    async with product(realtime=Realtime(script=Script.echoing()), greeting="") as the:
        speakers = [Speaker(seed) for seed in range(CALLS)]
        received = [bytearray() for _ in range(CALLS)]
        calls = [
            await the.carrier.ring(
                phone=Phone(source=speaker, on_media=lambda at, audio, into=into: into.extend(audio))  # type: ignore[misc]
            )
            for speaker, into in zip(speakers, received, strict=True)
        ]
        for call in calls:
            await call.wait_streaming(20)
        await the.until(lambda: len(the.realtime.sessions) == CALLS, "a session for each call", 20)
        for speaker in speakers:
            speaker.begun = True
        await the.until(lambda: all(speaker.is_done for speaker in speakers), "everybody to have spoken", 60)
        the.pacer.close()  # a slow machine would never catch up with forty callers who go on
        for number, speaker in enumerate(speakers):
            said, last = b"".join(speaker.said), speaker.said[-1]
            await the.until(lambda into=received[number], end=last: end in into, f"the echo of call {number}", 30)  # type: ignore[misc]
            assert said in received[number], f"call {number}: frames were lost or mixed on the way out"
            hearing = [session for session in the.realtime.sessions if said in session.audio_in]
            assert len(hearing) == 1, f"call {number}: {len(hearing)} sessions heard all of it, in order"
            assert calls[number].streams[0].lost_frames == 0
        for call in calls:
            await call.hang_up()
        await the.quiet(10)
        assert [session.violations for session in the.realtime.sessions] == [[]] * CALLS
        assert [call.streams[0].errors for call in calls] == [[]] * CALLS
