"""The relay: what goes through it untouched, what is heard and what is cut off."""

from __future__ import annotations

import asyncio
import base64
import itertools
from typing import Any

import pytest

from callflow.contracts import events
from callflow.contracts.events import LegIds
from callflow.contracts.media import Cut, SpeechSegmentId
from callflow.journal import notes
from callflow.media import relay as relay_module
from callflow.media.relay_figures import summary
from tests.e2e.product import until
from tests.in_loop import in_loop, settle
from tests.media.offline import CLIPS, FRAME, PAYLOAD, A, B, Line, Socket, line


@in_loop
async def test_a_frame_of_the_caller_goes_on_untouched_and_at_once() -> None:
    async with line() as one:
        await one.receive({"media": PAYLOAD, "chunk": 1})
        (payload, frame) = one.listener.take()
        assert payload == ("payload", PAYLOAD)
        assert frame == ("frame", FRAME)
        assert one.relay.frames_in == 1


@in_loop
async def test_frames_that_are_joined_reach_the_engine_together_and_the_listener_one_by_one() -> None:
    async with line(frame_batch_ms=40) as one:
        await one.receive({"media": PAYLOAD})
        assert one.listener.take() == [("frame", FRAME)]
        await one.receive({"media": PAYLOAD})
        assert one.listener.take() == [
            ("payload", base64.b64encode(FRAME * 2).decode()),
            ("frame", FRAME),
        ]


@pytest.mark.parametrize("start", [{"call": ""}, {"call": "control_1"}, {"call": "other", "session": "session_1"}])
@in_loop
async def test_a_stream_belongs_to_the_call_by_either_of_its_ids(start: dict[str, Any]) -> None:
    async with line(start=False) as one:
        await one.receive({"start": start})
        assert one.relay.is_flowing


@pytest.mark.parametrize(("foreign", "is_let_in"), [(False, True), (True, False)])
@in_loop
async def test_a_stream_that_begins_before_its_leg_has_a_name_is_let_in(foreign: bool, is_let_in: bool) -> None:
    """A carrier may open the socket of a leg that we dial before it answers the dial."""
    async with line(start=False) as one:
        one.relay._ids = LegIds
        await one.receive({"start": {"call": "control_9", "session": "session_9", "is_foreign": foreign}})
        assert one.relay.is_flowing is is_let_in


@in_loop
async def test_speech_is_sent_with_marks_as_far_as_the_lead_goes() -> None:
    async with line() as one:
        assert one.say(A, 500)
        sent = await one.sent()
        audio = b"".join(each for each in sent if isinstance(each, bytes))
        assert len(audio) == 200 * 8, "no more than the lead"
        assert len([each for each in sent if isinstance(each, str)]) == 2
        assert one.listener.take() == [("sent", False)]
        assert one.relay.bytes_out == len(audio)
        one.now += 0.1
        one.relay.pump()
        audio = b"".join(each for each in await one.sent() if isinstance(each, bytes))
        assert len(audio) == 100 * 8


@in_loop
async def test_marks_tell_when_speech_begins_to_be_heard_and_when_it_has_ended() -> None:
    async with line() as one:
        one.say(A, 200)
        first, second = [each for each in await one.sent() if isinstance(each, str)]
        one.listener.take()
        one.now += 0.1
        await one.receive({"mark": first})
        assert one.listener.take() == [("began", "item_a"), ("hearing", Cut(A, 100, 200))]
        one.now += 0.1
        await one.receive({"mark": second})
        assert one.listener.take() == [("heard", A, 200), ("played_out",)]
        await one.receive({"mark": second})
        assert one.listener.take() == []
        assert summary(one.relay)["stale_marks"] == 1


@in_loop
async def test_how_far_the_caller_is_is_told_twice_a_second_at_most() -> None:
    async with line(playout_lead_ms=2000) as one:
        one.say(A, 2000)
        told = []
        for name in [each for each in await one.sent() if isinstance(each, str)]:
            one.now += 0.1
            await one.receive({"mark": name})
            told += one.listener.take("hearing")
        heard = [cut.heard_ms for _, cut in told]
        assert heard[0] == 100
        assert all(500 <= after - before <= 600 for before, after in itertools.pairwise(heard))


@in_loop
async def test_what_was_played_is_told_by_the_clock_where_no_marks_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(relay_module, "MARK_SECONDS", 0.01)
    async with line() as one:
        one.now = asyncio.get_running_loop().time()
        one.relay._clock = asyncio.get_running_loop().time
        one.say(A, 20)
        one.listener.take()
        await asyncio.sleep(0.1)
        assert one.listener.take() == [("played_out",)], "heard in full it is only by a mark"


@in_loop
async def test_what_was_played_is_told_also_if_the_carrier_returns_no_marks_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It seems to stand still for a while, and then the clock tells."""
    monkeypatch.setattr(relay_module, "MARK_SECONDS", 0.01)
    async with line() as one:
        for number in range(4):
            one.say(SpeechSegmentId(f"item_{number}"), 100)
            for name in [each for each in await one.sent() if isinstance(each, str)]:
                one.now += 0.1
                await one.receive({"mark": name})
        one.say(A, 500)
        one.now += 0.2
        one.relay.pump()
        one.now += 0.2
        one.relay.pump()
        one.listener.take()
        one.now += 1.0
        one.relay._stop_pacer()
        one.relay._heard_out.stop()
        one.relay._hear_out()
        assert not one.listener.take("played_out"), "the carrier stands still"
        one.now += 3.0
        await until(lambda: bool(one.listener.take("played_out")), "the end of the wait", 2)


@in_loop
async def test_an_interruption_stops_and_clears_within_one_call_and_returns_what_was_cut() -> None:
    async with line() as one:
        one.say(A, 500, whole=False)
        await one.sent()
        one.listener.take()
        one.now += 0.15
        assert one.relay.interrupt(one.now) == [Cut(A, 150, 500)]
        assert await one.sent() == ["probe:3", "clear"]
        assert not one.say(A, 100), "what still comes of it is dropped"
        assert await one.sent() == []
        assert one.listener.take() == [], "it asked for it, and need not be told"
        assert summary(one.relay)["late_bytes"] == 800
        assert one.say(B, 100, response="resp_2")
        assert any(isinstance(each, bytes) for each in await one.sent())


@in_loop
async def test_marks_that_a_clear_returns_do_not_count() -> None:
    async with line() as one:
        one.say(A, 200)
        marks = [each for each in await one.sent() if isinstance(each, str)]
        one.relay.interrupt(one.now)
        one.listener.take()
        await one.receive(*({"mark": name} for name in marks))
        assert one.listener.take() == []
        assert summary(one.relay)["stale_marks"] == 2


@in_loop
async def test_a_stretch_that_begins_after_its_response_was_interrupted_is_discarded_once() -> None:
    async with line() as one:
        assert one.relay.discard(A)
        assert not one.relay.discard(A)
        assert not one.say(A, 100)


@in_loop
async def test_a_lost_stream_cuts_off_what_it_held_and_another_takes_its_place() -> None:
    async with line() as one:
        one.say(A, 500, whole=False)
        one.listener.take()
        one.now += 0.1
        await one.receive({"stop": "moved"})
        assert one.listener.take() == [("paused",), ("cut_off", [Cut(A, 100, 500)])]
        assert one.events[-1] == events.MediaLost(reason="moved")
        assert not one.relay.has_socket
        one.socket.sent.clear()
        one.say(B, 100, response="resp_2")
        assert await one.sent() == [], "nobody would hear it yet"
        await one.serve_socket()
        assert one.listener.take() == [("sent", False), ("started",)]
        assert any(isinstance(each, bytes) for each in await one.sent())


@in_loop
async def test_a_second_stream_takes_the_place_of_the_first() -> None:
    async with line() as one:
        first, one.socket = one.socket, Socket()
        first_task = one.serving
        await one.serve_socket()
        await settle()
        assert first_task is not None
        assert first_task.done()
        assert first.closed
        assert one.events[1:] == [
            events.MediaLost(reason="another stream took its place"),
            events.MediaStarted(stream="stream_1", encoding="PCMU"),
        ]
        assert one.relay.is_flowing


@in_loop
async def test_a_stream_that_was_lost_in_silence_cuts_nothing_off() -> None:
    async with line() as one:
        await one.receive({"stop": ""})
        assert one.listener.take() == [("paused",)]


@in_loop
async def test_the_last_clip_silences_the_agent_and_is_an_event_when_it_was_heard() -> None:
    async with line() as one:
        one.say(A, 500, whole=False)
        await one.sent()
        one.listener.take()
        one.now += 0.1
        one.relay.play_clip("sorry")
        assert one.listener.take() == [("silenced",), ("cut_off", [Cut(A, 100, 500)]), ("sent", True)]
        sent = await one.sent()
        assert sent[:2] == ["clear", CLIPS["sorry"].audio]
        assert not one.say(B, 100, response="resp_2"), "the agent has had its last word"
        assert not one.relay.discard(B)
        assert not one.relay.interject("one-moment")
        one.now += 0.1
        await one.receive({"mark": sent[2]})
        assert one.events[-1] == events.ClipPlayed(clip="sorry")
        assert one.listener.take() == [("played_out",)], "a clip is no speech of the agent's"


@in_loop
async def test_a_last_clip_that_there_is_not_counts_as_played() -> None:
    async with line() as one:
        one.relay.play_clip("unknown")
        assert one.events[-1] == events.ClipPlayed(clip="unknown")


@in_loop
async def test_a_last_clip_ends_by_the_clock_where_no_marks_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "MARK_SECONDS", 0.01)
    async with line() as one:
        one.relay.play_clip("sorry")
        await asyncio.sleep(0.1)
        assert one.events[-1] == events.ClipPlayed(clip="sorry")


@in_loop
async def test_without_a_stream_a_last_clip_is_left_to_the_machine() -> None:
    one = Line()
    one.relay.play_clip("sorry")
    assert one.events == []
    await one.relay.close()


@in_loop
async def test_a_filler_is_played_behind_the_agent_and_noted() -> None:
    async with line() as one:
        one.say(A, 40)
        one.listener.take()
        assert one.relay.interject("unknown", "one-moment")
        assert one.notes == [notes.Filler(clip="one-moment")]
        sent = await one.sent()
        assert [each for each in sent if isinstance(each, bytes)] == [bytes([0x33]) * 320, CLIPS["one-moment"].audio]
        assert one.listener.take() == [("sent", True)]
        assert not one.relay.interject("unknown")
        one.now += 0.08
        for name in [each for each in sent if isinstance(each, str)]:
            await one.receive({"mark": name})
        assert one.listener.take("heard", "played_out") == [("heard", A, 40), ("played_out",)]


@in_loop
async def test_no_filler_is_played_to_nobody() -> None:
    one = Line()
    assert not one.relay.interject("one-moment")
    assert one.notes == []
    await one.relay.close()


@in_loop
async def test_a_response_that_ends_completes_its_stretches() -> None:
    async with line() as one:
        one.say(A, 30, whole=False)
        assert len(b"".join(each for each in await one.sent() if isinstance(each, bytes))) == 160
        one.relay.finish_response("resp_1")
        sent = await one.sent()
        assert sent[0] == bytes([0x33]) * 80 + bytes([0xFF]) * 80, "the last frame is padded with silence"


@in_loop
async def test_closing_silences_the_agent_and_closes_the_socket() -> None:
    async with line() as one:
        one.say(A, 500)
        one.listener.take()
        await one.relay.close()
        await settle()
        assert one.listener.take()[0] == ("silenced",)
        assert one.socket.closed[0] == (1000, "the call is over")


@pytest.mark.parametrize("had_stream", [False, True])
@in_loop
async def test_speech_that_no_stream_took_is_cut_off_at_the_end(had_stream: bool) -> None:
    async with line(start=had_stream) as one:
        if had_stream:
            await one.receive({"stop": ""})
            await settle()
        one.say(A, 500)
        one.listener.take()
        await one.relay.close()
        assert one.listener.take("cut_off") == [("cut_off", [Cut(A, 0, 500)])]
        await one.relay.close()
        assert one.listener.take("cut_off") == [], "it was cut off once"


@in_loop
async def test_python_needs_no_hash_table_for_a_relay_of_which_each_call_has_one() -> None:
    async with line() as one:
        assert len(vars(one.relay)) <= 29, "with more attributes than these Python 3.11 keeps a dict of 1.5 kB"
