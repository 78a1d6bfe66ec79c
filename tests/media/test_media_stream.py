"""One media socket: which streams are served, the order of their frames, and what of them cannot be read."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.contracts import events
from callflow.media import g711
from tests.in_loop import in_loop, settle
from tests.media.offline import FRAME, PAYLOAD, A, Line, Socket, line


@in_loop
async def test_a_stream_starts_once_and_both_sides_are_told() -> None:
    async with line(start=False) as one:
        assert (one.relay.has_socket, one.relay.is_flowing) == (True, False)
        await one.receive({"connected": "secret"}, {"start": {}}, {"start": {}})
        assert one.relay.is_flowing
        assert one.events == [events.MediaStarted(stream="stream_1", encoding="PCMU")]
        assert one.listener.take() == [("started",)]
        assert one.relay.answered_at == 100.0


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
async def test_complaints_that_are_far_apart_do_not_cost_the_caller_another_stream() -> None:
    """They counted for the whole call: its first real row of them ended the call in place of its stream."""
    async with line() as one:
        for _ in range(15):
            one.relay.send_at_once(FRAME * 101, one.now)
            await one.receive({"error": "100005"})
        await one.receive(*[{"error": "100004"}] * 9)
        assert isinstance(one.events[-1], events.MediaLost)
        assert not any(isinstance(each, events.MediaRefused) for each in one.events)


@pytest.mark.parametrize("end", [{"stop": "hung up"}, None], ids=["stop", "the socket ends"])
@in_loop
async def test_what_waits_for_a_missing_frame_is_heard_when_the_carrier_ends_the_stream(end: Any) -> None:
    async with line(reorder_frames=3) as one:
        one.listener.take()
        await one.receive({"media": PAYLOAD, "chunk": 1}, {"media": PAYLOAD, "chunk": 3})
        assert payloads(one) == [FRAME]
        one.socket.incoming.put_nowait(json.dumps(end) if end else None)
        await settle()
        assert isinstance(one.events[-1], events.MediaLost)
        assert payloads(one) == [FRAME], "the caller's last words"


@in_loop
async def test_frames_before_the_start_of_the_stream_are_dropped() -> None:
    async with line(start=False) as one:
        await one.receive({"media": PAYLOAD})
        assert one.listener.take() == []


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


@in_loop
async def test_a_wrong_secret_closes_the_socket() -> None:
    async with line(start=False) as one:
        await one.receive({"connected": "guessed"})
        assert isinstance(one.events[-1], events.MediaLost)
        assert one.socket.closed


@in_loop
async def test_without_a_start_frame_an_answered_call_loses_the_socket() -> None:
    async with line(start=False, start_frame_seconds=0.0) as one:
        await settle()
        assert one.relay.has_socket, "the call is not answered: the carrier may take its time"
        one.relay.answered()
        await settle()
        assert isinstance(one.events[-1], events.MediaLost)


def payloads(one: Line) -> list[bytes]:
    return [base64.b64decode(payload) for _, payload in one.listener.take("payload")]


@in_loop
async def test_audio_that_was_taken_without_a_complaint_ends_a_row_of_complaints() -> None:
    """What is counted is what is sent: a stream was ended by ten complaints in all, however far apart they were."""
    async with line() as one:
        for number in range(30):
            one.relay.send_at_once(FRAME * 101, one.now)
            await one.receive({"error": "100005"})
            assert one.relay.has_socket, f"after {number + 1} complaints, each after two seconds of audio"


@in_loop
async def test_complaints_while_a_little_is_sent_are_a_row() -> None:
    async with line() as one:
        for _ in range(9):
            one.relay.send_at_once(FRAME * 10, one.now)
            await one.receive({"error": "100004"})
        assert not any(isinstance(event, events.MediaLost) for event in one.events)
        one.relay.send_at_once(FRAME * 10, one.now)
        await one.receive({"error": "100004"})
        assert isinstance(one.events[-1], events.MediaLost)
        assert one.relay.counts["carrier_complaints"] == 10


@pytest.mark.parametrize(
    "sent",
    [PAYLOAD.rstrip("="), PAYLOAD[:20] + "\n" + PAYLOAD[20:], PAYLOAD.replace("+", "-").replace("/", "_")],
    ids=["no padding", "in lines", "of URLs"],
)
@in_loop
async def test_audio_in_base64_of_another_kind_is_read_and_handed_on_as_plain_base64(sent: str) -> None:
    async with line() as one:
        await one.receive({"media": sent, "chunk": 1})
        assert one.listener.take("payload") == [("payload", PAYLOAD)]
        assert "malformed_frames" not in one.relay.counts


@in_loop
async def test_what_is_no_base64_is_counted_logged_once_and_harms_no_other_frame(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with line() as one:
        for chunk, sent in enumerate(("A", "\u00e9\u00e9\u00e9\u00e9", PAYLOAD, "*secret*"), 1):
            await one.receive({"media": sent, "chunk": chunk})
        assert payloads(one) == [FRAME]
        assert one.relay.counts["malformed_frames"] == 3
        assert one.relay.frames_in == 1
        assert len([record for record in caplog.records if "cannot be read" in record.message]) == 1
        assert "secret" not in caplog.text


@in_loop
async def test_an_empty_frame_is_counted_and_reaches_nobody() -> None:
    async with line() as one:
        await one.receive({"media": "", "chunk": 1}, {"media": PAYLOAD, "chunk": 2})
        assert payloads(one) == [FRAME]


@in_loop
async def test_a_law_becomes_mu_law_for_all() -> None:
    async with line(start=False) as one:
        await one.receive({"start": {"encoding": "PCMA"}})
        audio = bytes(range(160))
        one.listener.take()
        await one.receive({"media": base64.b64encode(audio).decode(), "chunk": 1})
        ulaw = g711.alaw_to_ulaw(audio)
        assert one.listener.take() == [("payload", base64.b64encode(ulaw).decode()), ("frame", ulaw)]


@in_loop
async def test_a_missing_frame_is_waited_for_and_then_done_without() -> None:
    async with line(reorder_frames=1) as one:
        await one.receive({"media": PAYLOAD, "chunk": 1}, {"media": PAYLOAD, "chunk": 3})
        assert len(payloads(one)) == 1
        one.relay._stream._stop_holding()  # type: ignore[union-attr] # as its timer would
        assert len(payloads(one)) == 1
        await one.receive({"media": PAYLOAD, "chunk": 2})
        assert payloads(one) == [], "it is too late"


@in_loop
async def test_what_the_order_of_the_frames_was_is_counted_once_when_the_stream_ends() -> None:
    async with line(reorder_frames=1) as one:
        await one.receive(*({"media": PAYLOAD, "chunk": chunk} for chunk in (1, 3, 2, 2, 1, 4)))
        assert "late_frames" not in one.relay.counts
        stream = one.relay._stream
        await one.receive({"stop": "hung up"})
        assert stream is not None
        stream._end("again")
        assert (one.relay.counts["late_frames"], one.relay.counts["reordered_frames"]) == (2, 1)


@in_loop
async def test_nothing_of_a_stream_counts_after_its_end() -> None:
    async with line() as one:
        stream = one.relay._stream
        assert stream is not None
        await one.receive({"stop": "hung up"})
        one.events.clear()
        for message in ('{"media": "AAAA", "chunk": 9}', '{"dtmf": "1"}', "no JSON", '{"start": {}}'):
            stream._message(message)
        assert one.listener.take("payload") == []
        assert one.events == []
        assert "malformed_frames" not in one.relay.counts


@in_loop
async def test_a_reader_that_fails_ends_its_stream_and_tells_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with line() as one:
        stream = one.relay._stream
        assert stream is not None
        stream._message("no JSON at all")  # of this protocol nothing is Malformed
        await settle()
        assert [event for event in one.events if isinstance(event, events.MediaLost)] == [
            events.MediaLost(reason="the media reader failed: JSONDecodeError")
        ]
        assert "the media reader failed" in caplog.text


@in_loop
async def test_a_stream_without_a_secret_or_with_the_right_one_is_let_in() -> None:
    async with line(start=False) as one:
        await one.receive({"connected": ""}, {"connected": "secret"}, {"start": {}})
        assert one.relay.is_flowing


@pytest.mark.parametrize("secret", ["secre", "secret ", "SECRET", "\u00e9", "x" * 100_000])
@in_loop
async def test_any_other_secret_closes_the_socket(secret: str) -> None:
    async with line(start=False) as one:
        await one.receive({"connected": secret}, {"start": {}})
        assert not one.relay.has_socket


@in_loop
async def test_before_the_stream_has_started_there_is_nothing_to_clear() -> None:
    async with line(start=False) as one:
        one.relay.interrupt(one.now)
        assert await one.sent() == []
        await one.receive({"start": {}})
        one.relay.interrupt(one.now)
        assert await one.sent() == ["clear"]


@in_loop
async def test_who_watches_sees_the_events_of_a_stream_and_neither_audio_nor_secrets() -> None:
    seen: list[tuple[str, str, Any]] = []

    class Watcher:
        def event(self, way: str, name: str, fields: Any, redact: Any) -> None:
            seen.append((way, name, fields))

    async with line(start=False) as one:
        one.relay.tap.watcher = Watcher()
        await one.receive({"connected": "secret"}, {"start": {}}, {"media": PAYLOAD}, {"dtmf": "5"}, {"error": "7"})
        one.relay._stream.send_mark("m")  # type: ignore[union-attr]
        one.relay.interrupt(one.now)
        await one.receive({"mark": "m"}, {"stop": "bye"})
    assert [(way, name) for way, name, _ in seen] == [
        ("from_media", "connected"), ("from_media", "start"), ("to_media", "mark"), ("from_media", "dtmf"),
        ("from_media", "error"), ("to_media", "mark"), ("to_media", "clear"), ("from_media", "mark"),
        ("from_media", "stop"),
    ]  # fmt: skip
    assert "secret" not in str(seen)
    assert PAYLOAD not in str(seen)


@in_loop
async def test_what_is_sent_is_counted_in_bytes_of_audio() -> None:
    async with line() as one:
        one.relay.send_at_once(FRAME * 3, one.now)
        assert await one.sent() == [FRAME * 3]
        assert one.relay.bytes_out == 480


def test_frames_in_any_order_are_handed_on_once_each_and_in_order() -> None:
    asyncio.run(_in_any_order())


async def _in_any_order() -> None:
    one = Line(reorder_frames=8)
    await one.serve_socket()
    stream = one.relay._stream
    assert stream is not None
    base = 0

    @given(st.permutations(range(8)), st.lists(st.integers(0, 7), max_size=3))
    def check(order: list[int], twice: list[int]) -> None:
        nonlocal base
        one.listener.take()
        for at in [*order, *twice]:
            sound = base64.b64encode(bytes([at]) * 160).decode()
            stream._message(f'{{"media": "{sound}", "chunk": {base + at + 1}}}')
        assert [sound[0] for sound in payloads(one)] == list(range(8))
        base += 8

    check()
    await one.relay.close()
