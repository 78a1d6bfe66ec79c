"""The relay without sockets of the system: a media socket, a protocol and a listener that only take notes."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import random
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from callflow.contracts import events
from callflow.contracts.events import LegIds
from callflow.contracts.media import (
    CallerAudio,
    Cut,
    DtmfFrame,
    Frame,
    IgnoredFrame,
    MarkReceived,
    MediaError,
    SpeechSegmentId,
    StreamConnected,
    StreamStarted,
    StreamStopped,
)
from callflow.journal import notes
from callflow.media import relay as relay_module
from callflow.media.clips import Clip
from callflow.media.media_config import MediaConfig
from callflow.media.relay import Relay
from callflow.media.relay_figures import summary
from tests.in_loop import in_loop, settle


FRAME = bytes([0x55]) * 160
PAYLOAD = base64.b64encode(FRAME).decode()
A, B = SpeechSegmentId("item_a"), SpeechSegmentId("item_b")
CLIPS = {
    "sorry": Clip("sorry", "I am sorry.", bytes([0x41]) * 320),
    "one-moment": Clip("one-moment", "One moment.", bytes([0x42]) * 320),
}


class Socket:
    """A media socket: what the carrier sends is put into `incoming`, and what it is sent stands in `sent`."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[str | None] = asyncio.Queue()
        self.sent: list[dict[str, Any]] = []
        self.closed: list[tuple[int, str]] = []

    def start(
        self, message: Callable[[str | bytes], None], ended: Callable[[str], None], *, write_seconds: float
    ) -> None:
        async def read() -> None:
            while (text := await self.incoming.get()) is not None:
                message(text)
            ended("the carrier closed the media socket")

        self.reading = asyncio.create_task(read())

    def put(self, text: str, weight: int = 0) -> None:
        self.sent.append(json.loads(text))

    async def close(self, code: int, reason: str) -> None:
        self.reading.cancel()
        self.closed.append((code, reason))


class Protocol:
    """Messages are JSON: `{"KIND": value}`."""

    def decode(self, text: str | bytes) -> Frame:
        message: dict[str, Any] = json.loads(text)
        match message:
            case {"start": dict(start)}:
                return StreamStarted(**{
                    "stream": "stream_1", "call": "control_1", "session": "", "encoding": "PCMU",
                    "sample_rate": 8000, "channels": 1, **start,
                })  # fmt: skip
            case {"media": payload}:
                return CallerAudio(message.get("chunk", 0), payload)
            case {"mark": name}:
                return MarkReceived(name)
            case {"dtmf": digit}:
                return DtmfFrame(digit)
            case {"error": code}:
                return MediaError(code, "a title")
            case {"stop": reason}:
                return StreamStopped(reason)
            case {"connected": secret}:
                return StreamConnected(secret)
        return IgnoredFrame("other")

    def audio(self, payload: str) -> str:
        return json.dumps({"media": payload})

    def mark(self, name: str) -> str:
        return json.dumps({"mark": name})

    def clear(self) -> str:
        return json.dumps({"clear": True})


class Listener:
    """A `MediaListener` that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.is_caller_speaking = False

    def caller_payload(self, payload: str, audio: bytes) -> None:
        self.told.append(("payload", payload))

    def caller_frame(self, audio: bytes) -> None:
        self.told.append(("frame", audio))

    def stream_started(self, now: float) -> None:
        self.told.append(("started",))

    def stream_paused(self) -> None:
        self.told.append(("paused",))

    def agent_silenced(self) -> None:
        self.told.append(("silenced",))

    def audio_sent(self, now: float, until: float, *, is_clip: bool) -> None:
        assert until > now
        self.told.append(("sent", is_clip))

    def began_to_be_heard(self, item: str, at: float) -> None:
        self.told.append(("began", item))

    def hearing(self, cut: Cut) -> None:
        self.told.append(("hearing", cut))

    def heard(self, key: SpeechSegmentId, ms: int) -> None:
        self.told.append(("heard", key, ms))

    def played_out(self) -> None:
        self.told.append(("played_out",))

    def cut_off(self, cuts: Sequence[Cut]) -> None:
        self.told.append(("cut_off", list(cuts)))

    def take(self, *names: str) -> list[tuple[Any, ...]]:
        """Return what was told so far, of these kinds only if any are given, and forget all of it."""
        told, self.told = self.told, []
        return [each for each in told if not names or each[0] in names]


class Line:
    """A relay, all that it talks to, and a clock that only moves when it is told to."""

    def __init__(self, **config: Any) -> None:
        self.events: list[events.Event] = []
        self.notes: list[notes.Note] = []
        self.socket, self.listener = Socket(), Listener()
        chosen: dict[str, Any] = {
            "playout_lead_ms": 200, "mark_every_ms": 100, "reorder_frames": 2, "frame_batch_ms": 0, "warm_up_ms": 0,
            "start_frame_seconds": 5.0, "write_seconds": 5.0, **config,
        }  # fmt: skip
        self.relay = Relay(
            call="call_1",
            ids=lambda: LegIds(control="control_1", session="session_1"),
            config=MediaConfig(**chosen),
            clips=CLIPS,
            post=self.events.append,
            note=self.notes.append,
        )
        self.relay.listener = self.listener
        self.now = 100.0
        self.relay._clock = lambda: self.now
        self.serving: asyncio.Task[None] | None = None

    async def serve_socket(self, *, start: bool = True) -> None:
        """Connect a media socket, and let its stream start."""
        self.serving = asyncio.create_task(self.relay.serve_socket(self.socket, Protocol(), "secret"))
        await settle()
        if start:
            await self.receive({"start": {}})

    async def receive(self, *messages: dict[str, Any]) -> None:
        """Let the carrier send these messages."""
        for message in messages:
            self.socket.incoming.put_nowait(json.dumps(message))
        await settle()

    async def sent(self) -> list[Any]:
        """Return what the carrier was sent since the last time: bytes of audio, names of marks, "clear"."""
        await settle()
        sent, self.socket.sent[:] = list(self.socket.sent), []
        return [base64.b64decode(each["media"]) if "media" in each else each.get("mark") or "clear" for each in sent]

    def say(self, key: SpeechSegmentId, ms: int, *, response: str = "resp_1", whole: bool = True) -> bool:
        """Let the engine say something of that length. Returns whether it is played."""
        added = self.relay.queue_speech(key, response, bytes([0x33]) * (8 * ms))
        self.relay.pump()
        if whole:
            self.relay.finish(key)
        return added


@contextlib.asynccontextmanager
async def line(*, start: bool = True, **config: Any) -> AsyncIterator[Line]:
    one = Line(**config)
    await one.serve_socket(start=start)
    one.listener.take("") if start else None
    try:
        yield one
    finally:
        await one.relay.close()
        if one.serving is not None:
            await one.serving


@in_loop
async def test_a_stream_starts_once_and_both_sides_are_told() -> None:
    async with line(start=False) as one:
        assert (one.relay.has_socket, one.relay.is_flowing) == (True, False)
        await one.receive({"connected": "secret"}, {"start": {}}, {"start": {}})
        assert one.relay.is_flowing
        assert one.events == [events.MediaStarted(stream="stream_1", encoding="PCMU")]
        assert one.listener.take() == [("started",)]
        assert one.relay.answered_at == 100.0


@in_loop
async def test_a_frame_of_the_caller_goes_on_untouched_and_at_once() -> None:
    async with line() as one:
        await one.receive({"media": PAYLOAD, "chunk": 1})
        (payload, frame) = one.listener.take()
        assert payload == ("payload", PAYLOAD)
        assert frame == ("frame", FRAME)
        assert one.relay.frames_in == 1


SHUFFLED = random.Random(3)
ORDERS = {
    "blocks of 8, backwards": [place + 7 - at for place in range(1, 49, 8) for at in range(8)],
    "blocks of 10, shuffled": [one for at in range(1, 60, 10) for one in SHUFFLED.sample(range(at, at + 10), 10)],
    "the fifth first": [5, 1, 2, 3, 4, *range(6, 20)],
}


@pytest.mark.parametrize("order", ORDERS)
@in_loop
async def test_frames_of_a_burst_that_are_far_out_of_order_are_not_lost(order: str) -> None:
    """Those more than three places behind were dropped, though they came within a moment."""
    async with line(reorder_frames=3) as one:
        sounds = {chunk: base64.b64encode(bytes([chunk]) * 160).decode() for chunk in ORDERS[order]}
        await one.receive(*({"media": sounds[chunk], "chunk": chunk} for chunk in ORDERS[order]))
        heard = [payload for kind, payload in one.listener.take() if kind == "payload"]
        assert heard == [sounds[chunk] for chunk in sorted(sounds)]
        assert "late_frames" not in one.relay.counts


@in_loop
async def test_a_carrier_that_rejects_all_that_is_sent_has_lost_the_stream_and_then_refuses_the_next() -> None:
    """The socket stays open, marks come back at once, and the caller hears nothing."""
    complaint: list[dict[str, Any]] = [{"error": "100004"}, {"mark": "m"}]
    async with line() as one:
        one.say(A, 2000)
        await one.receive(*complaint * 9)
        assert not any(isinstance(each, events.MediaLost) for each in one.events)
        await one.receive(*complaint)
        assert isinstance(one.events[-1], events.MediaLost)
        one.socket = Socket()
        await one.serve_socket()
        await one.receive(*complaint * 10)
        assert any(isinstance(each, events.MediaRefused) for each in one.events)


@in_loop
async def test_a_carrier_that_complains_now_and_then_keeps_the_stream() -> None:
    async with line() as one:
        for _ in range(30):
            one.relay.counts["bytes_out"] += 16_001
            await one.receive({"error": "100005"})
        assert one.relay.has_socket


@in_loop
async def test_frames_before_the_start_of_the_stream_are_dropped() -> None:
    async with line(start=False) as one:
        await one.receive({"media": PAYLOAD})
        assert one.listener.take() == []


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


@in_loop
async def test_keys_of_the_caller_are_events() -> None:
    async with line() as one:
        await one.receive({"dtmf": "5"})
        assert one.events[-1] == events.Dtmf(digit="5", source="stream")


@pytest.mark.parametrize(
    ("start", "refused"),
    [
        pytest.param({"call": "somebody_elses"}, False, id="another call"),
        pytest.param({"encoding": "OPUS"}, True, id="another codec"),
        pytest.param({"sample_rate": 16000}, True, id="another rate"),
        pytest.param({"channels": 2}, True, id="two channels"),
    ],
)
@in_loop
async def test_a_stream_that_cannot_be_used_is_closed(start: dict[str, Any], *, refused: bool) -> None:
    async with line(start=False) as one:
        await one.receive({"start": start})
        assert [type(event) for event in one.events] == [events.MediaRefused] * refused + [events.MediaLost]
        assert not one.relay.has_socket
        assert one.socket.closed


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
async def test_a_wrong_secret_closes_the_socket() -> None:
    async with line(start=False) as one:
        await one.receive({"connected": "guessed"})
        assert isinstance(one.events[-1], events.MediaLost)
        assert one.socket.closed


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
async def test_an_interruption_stops_and_clears_within_one_call_and_returns_what_was_cut() -> None:
    async with line() as one:
        one.say(A, 500, whole=False)
        await one.sent()
        one.listener.take()
        one.now += 0.15
        assert one.relay.interrupt(one.now) == [Cut(A, 150, 500)]
        assert await one.sent() == ["clear"]
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
async def test_without_a_start_frame_an_answered_call_loses_the_socket() -> None:
    async with line(start=False, start_frame_seconds=0.01) as one:
        await asyncio.sleep(0.05)
        assert one.relay.has_socket, "the call is not answered: the carrier may take its time"
        one.relay.answered()
        await asyncio.sleep(0.05)
        assert isinstance(one.events[-1], events.MediaLost)


@in_loop
async def test_closing_silences_the_agent_and_closes_the_socket() -> None:
    async with line() as one:
        one.say(A, 500)
        one.listener.take()
        await one.relay.close()
        await settle()
        assert one.listener.take()[0] == ("silenced",)
        assert one.socket.closed[0] == (1000, "the call is over")
