"""The media stream of a carrier that misbehaves."""

from __future__ import annotations

import asyncio
from time import monotonic

import pytest

from callflow.sandbox.telnyx import Faults, MediaStream, Timing
from tests.sandbox.telnyx_product import EARLY_S, LATE_S, Product, Socket, product, run


def test_no_socket_to_connect_to() -> None:
    async def body() -> None:
        async with product() as app:
            call = await app.telnyx.ring()
            await app.command(call, "answer", **app.streaming(stream_url="ws://127.0.0.1:9/nobody"))
            await app.told("streaming.failed")
            failed = app.payload("streaming.failed")
            assert failed["failure_reason"] == "connection_failed"
            assert failed["stream_type"] == "websocket"
            assert failed["stream_id"] == call.streams[0].stream_id
            with pytest.raises(TimeoutError, match="media socket failed: ConnectionRefusedError"):
                await call.wait_streaming(timeout=0.01)

    run(body)


async def _first_media(app: Product, faults: Faults, count: int = 12) -> tuple[MediaStream, Socket, list[int]]:
    call, socket = await app.answered(faults=faults)
    await socket.until(lambda: len(socket.of("media")) >= count)
    return call.streams[0], socket, [int(frame["media"]["chunk"]) for frame in socket.of("media")[:count]]


def test_frames_can_be_shuffled_duplicated_lost_and_delayed() -> None:
    async def body() -> None:
        async with product() as app:
            _, _, chunks = await _first_media(app, Faults(media_duplicate_every=3))
            assert chunks == [1, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9, 9]
            _, _, chunks = await _first_media(app, Faults(media_lose_every=4))
            assert chunks == [1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15]
            _, _, chunks = await _first_media(app, Faults(media_shuffle=6))
            assert [sorted(chunks[:6]), sorted(chunks[6:])] == [[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12]]
            _, _, chunks = await _first_media(app, Faults(media_jitter_ms=40))
            assert chunks == list(range(1, 13))

    run(body)


def test_the_link_delays_both_directions() -> None:
    async def body() -> None:
        async with product(faults=Faults(link_ms=40)) as app:
            _, socket = await app.answered()
            await socket.until(lambda: socket.of("start"))
            sent = monotonic()
            await socket.mark("there and back")
            await socket.until(lambda: socket.of("mark"))
            assert 0.08 - EARLY_S < monotonic() - sent < 0.08 + LATE_S

    run(body)


def test_the_start_can_be_wrong_or_missing() -> None:
    async def body() -> None:
        async with product() as app:
            _, socket, _ = await _first_media(app, Faults(media_format="G722", foreign_call_control_id="v3:other"), 1)
            start = socket.of("start")[0]["start"]
            assert start["media_format"]["encoding"] == "G722"
            assert start["call_control_id"] == "v3:other"
            call, socket = await app.answered(start=False, faults=Faults(no_start=True))
            await app.telnyx.until(lambda: len(app.sockets) == 2)
            socket = app.sockets[1]
            await socket.until(lambda: socket.frames)
            await call.hang_up()
            await socket.closed.wait()
            assert [frame["event"] for _, frame in socket.frames] == ["connected"]

    run(body)


def test_the_socket_can_stay_away() -> None:
    async def body() -> None:
        async with product() as app:
            for faults, told in ((Faults(never_connect=True), False), (Faults(connect_fails=True), True)):
                app.webhooks.clear()
                call = await app.telnyx.ring(faults=faults)
                await app.command(call, "answer", **app.streaming())
                await call.wait_answered()
                if told:
                    await app.told("streaming.failed")
                await call.hang_up()
                await app.told("call.hangup")
                assert ("streaming.failed" in app.events()) is told
            assert app.sockets == []

    run(body)


def test_a_dropped_socket_comes_back_with_a_new_stream() -> None:
    async def body() -> None:
        async with product(faults=Faults(drop_socket_after_s=0.05, reconnect_after_s=0.02)) as app:
            call, socket = await app.answered()
            await socket.closed.wait()
            assert socket.ws.close_code == 1006
            await app.told("streaming.failed")
            await app.telnyx.until(lambda: len(app.sockets) >= 2)
            assert call.state == "answered"
            assert len({stream.stream_id for stream in call.streams}) == len(call.streams)

    run(body)


def test_garbage_is_sent_and_marks_and_stop_can_stay_away() -> None:
    async def body() -> None:
        faults = Faults(
            garbage=["text", "json", "unknown", "binary"], garbage_after_s=0.04, no_marks=True, no_stop=True
        )
        async with product(faults=faults) as app:
            call, socket = await app.answered()
            await socket.mark("never")
            await socket.until(lambda: any(isinstance(each, bytes) for each in socket.raw))
            assert "this is not JSON" in socket.raw
            await call.hang_up()
            await socket.closed.wait()
            assert not socket.of("mark")
            assert not socket.of("stop")

    run(body)


def test_a_carrier_that_stops_reading_holds_the_product_up() -> None:
    async def body() -> None:
        async with product(faults=Faults(stop_reading_after_s=0.0)) as app:
            call, socket = await app.answered()

            async def play_for_ever() -> None:
                while True:
                    await socket.play(bytes(200_000))

            with pytest.raises(TimeoutError):
                await asyncio.wait_for(play_for_ever(), 0.3)
            assert len(call.streams[0].log_in) <= 1

    run(body)


def test_a_product_that_stops_reading_does_not_hold_up_the_others() -> None:
    async def body() -> None:
        async with product(timing=Timing(answer_s=0.01, hangup_webhook_s=0.01)) as app:
            app.reading = False
            call, _ = await app.answered()
            for _ in range(60):  # more than the buffers on the way hold
                call.streams[0].send_raw("x" * 500_000)
            app.reading = True
            other = await app.telnyx.ring()
            await app.command(other, "answer", **app.streaming())
            await other.wait_streaming()
            await app.telnyx.until(lambda: len(app.sockets) == 2)
            socket = app.sockets[1]
            await socket.until(lambda: len(socket.of("media")) >= 5)
            assert call.streams[0].log_out[-1].event == "raw"
            await call.hang_up()
            await app.telnyx.until(lambda: call.streams[0].ended)

    run(body)
