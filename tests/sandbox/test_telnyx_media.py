"""The media stream: frames, the playout clock, marks and clear, and a carrier that misbehaves."""

from __future__ import annotations

import base64
import json
import os
from collections import Counter
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from callflow.media.g711 import ulaw_to_alaw
from callflow.sandbox.common.phone import SILENT_FRAME, Phone, tone
from callflow.sandbox.telnyx.errors import FrameError
from callflow.sandbox.telnyx.frames import Mark, Media, StreamOptions, check_length, parse
from tests.sandbox.telnyx_product import EARLY_S, LATE_S, Socket, product, run


def _audio(socket: Socket) -> bytes:
    return b"".join(base64.b64decode(frame["media"]["payload"]) for frame in socket.of("media"))


def test_start_and_the_counters() -> None:
    async def body() -> None:
        async with product() as app:
            call, socket = await app.answered(client_state=base64.b64encode(b"x").decode())
            await socket.until(lambda: len(socket.of("media")) >= 5)
            connected, start = socket.frames[0][1], socket.frames[1][1]
            assert connected == {"event": "connected", "version": "1.0.0"}
            assert start["sequence_number"] == "1"
            assert start["stream_id"] == call.streams[0].stream_id
            assert start["start"].pop("user_id")
            assert start["start"] == {
                "call_control_id": call.control_id,
                "call_session_id": call.session_id,
                "from": call.from_number,
                "to": call.to_number,
                "tags": [],
                "client_state": base64.b64encode(b"x").decode(),
                "custom_parameters": {},
                "media_format": {"encoding": "PCMU", "sample_rate": 8000, "channels": 1},
            }
            media = socket.of("media")
            assert [frame["media"]["chunk"] for frame in media[:3]] == ["1", "2", "3"]
            assert [frame["sequence_number"] for frame in media[:3]] == ["2", "3", "4"]
            assert {frame["media"]["track"] for frame in media} == {"inbound"}
            assert base64.b64decode(media[0]["media"]["payload"]) == SILENT_FRAME
            assert socket.ws.subprotocol is None
            assert not socket.ws.protocol.extensions

    run(body)


def test_the_callers_words_arrive_whole_and_on_an_absolute_schedule() -> None:
    async def body() -> None:
        async with product() as app:
            phone = Phone()
            words = tone(400)
            phone.say(words)
            _, socket = await app.answered(phone=phone)
            await phone.spoken(timeout=2)
            await socket.until(lambda: len(socket.of("media")) >= 25)
            assert _audio(socket).startswith(words + SILENT_FRAME)
            [said] = phone.said
            assert said.audio == words
            times = socket.times("media")
            # Frame n leaves at begin + n * 20 ms: late now and then, never early, and lateness does not add up.
            late = [at - said.at - 0.02 * n for n, at in enumerate(times)]
            assert min(late) > -EARLY_S
            assert max(late) < LATE_S

    run(body)


@pytest.mark.parametrize(
    ("leg", "asked", "encoding"),
    [
        ("PCMU", "default", "PCMU"),
        ("PCMA", "default", "PCMA"),
        ("PCMA", "PCMU", "PCMU"),
        ("PCMU", "PCMA", "PCMA"),
        ("PCMU", "L16", "L16"),
    ],
)
def test_the_codec_is_that_of_the_leg_unless_another_is_asked_for(leg: str, asked: str, encoding: str) -> None:
    async def body() -> None:
        async with product() as app:
            phone = Phone()
            words = tone(20)
            phone.say(words)
            _, socket = await app.answered(phone=phone, codec=leg, stream_codec=asked)
            await socket.until(lambda: socket.of("media"))
            first = base64.b64decode(socket.of("media")[0]["media"]["payload"])
            assert socket.of("start")[0]["start"]["media_format"]["encoding"] == encoding
            assert len(first) == (640 if encoding == "L16" else 160)
            if encoding != "L16":
                assert first == (ulaw_to_alaw(words) if encoding == "PCMA" else words)

    run(body)


def test_streaming_start_has_a_token_and_parameters_of_its_own() -> None:
    async def body() -> None:
        async with product() as app:
            call = await app.telnyx.ring()
            await app.command(call, "answer")
            await call.wait_answered()
            more = {"stream_auth_token": "secret", "custom_parameters": [{"name": "a", "value": "b"}]}
            await app.command(call, "streaming_start", **app.streaming(**more))
            await call.wait_streaming()
            await app.sockets[0].until(lambda: app.sockets[0].of("start"))
            assert app.handshakes[0]["x-telnyx-streaming-auth-token"] == "secret"
            assert "sec-websocket-extensions" not in app.handshakes[0]
            assert app.sockets[0].of("connected")[0]["connected"] == {"x-telnyx-streaming-auth-token": "secret"}
            assert app.sockets[0].of("start")[0]["start"]["custom_parameters"] == {"a": "b"}

    run(body)


def test_marks_come_back_when_their_audio_has_been_played() -> None:
    async def body() -> None:
        async with product() as app:
            call, socket = await app.answered()
            await socket.mark("nothing queued")
            await socket.until(lambda: len(socket.of("mark")) == 1)
            for name, ms in (("a", 100), ("b", 60)):
                await socket.play(tone(ms))
                await socket.mark(name)
            await socket.until(lambda: len(socket.of("mark")) == 3)
            stream = call.streams[0]
            [segment] = stream.playout.segments
            echoed = {frame.name: frame.at for frame in stream.log_out if frame.event == "mark"}
            assert list(echoed) == ["nothing queued", "a", "b"]
            for name, due in (("a", segment.at + 0.1), ("b", segment.at + 0.16)):
                assert -EARLY_S < echoed[name] - due < LATE_S, name
            assert call.phone.heard_ms == 160
            assert (stream.received_bytes, stream.played_bytes, stream.underruns) == (1280, 1280, 0)
            assert 100 < stream.max_queued_ms <= 160

    run(body)


def test_clear_flushes_and_returns_all_marks_at_once() -> None:
    async def body() -> None:
        async with product() as app:
            call, socket = await app.answered()
            for name in "abc":
                await socket.play(tone(10_000))
                await socket.mark(name)
            await call.phone.hears(0.1)
            await socket.send(event="clear")
            await socket.until(lambda: len(socket.of("mark")) == 3)
            stream = call.streams[0]
            assert [frame["mark"]["name"] for frame in socket.of("mark")] == ["a", "b", "c"]
            [segment] = stream.playout.segments
            clear = next(frame for frame in stream.log_in if frame.event == "clear")
            assert stream.played_bytes == pytest.approx((clear.at - segment.at) * 8000, abs=1)
            assert stream.played_bytes + stream.cleared_bytes == stream.received_bytes == 240_000
            assert stream.clears == 1
            assert call.phone.heard_bytes == stream.played_bytes
            await call.phone.hears_silence(20)

    run(body)


@pytest.mark.parametrize(
    "more",
    [
        {"stream_bidirectional_mode": None},
        {"stream_bidirectional_mode": "mp3"},
        {"stream_bidirectional_target_legs": None},
        {"stream_bidirectional_target_legs": "opposite"},
    ],
)
def test_one_way_audio_is_not_heard_and_not_complained_about(more: dict[str, Any]) -> None:
    async def body() -> None:
        async with product() as app:
            call, socket = await app.answered(**more)
            await socket.play(tone(100))
            await socket.mark("at once")
            await socket.until(lambda: socket.of("mark"))
            assert call.phone.heard_bytes == 0
            assert call.streams[0].ignored_bytes == 800
            assert socket.of("error") == []

    run(body)


def test_pcma_towards_the_caller() -> None:
    async def body() -> None:
        async with product() as app:
            call, socket = await app.answered(stream_bidirectional_codec="PCMA")
            await socket.play(ulaw_to_alaw(tone(20)))
            await socket.mark("end")
            await socket.until(lambda: socket.of("mark"))
            [heard] = call.phone.heard
            assert ulaw_to_alaw(bytes(heard.audio)) == ulaw_to_alaw(tone(20))

    run(body)


BAD_FRAMES: list[tuple[str | bytes, int]] = [
    ("{", 100003),
    ("[]", 100003),
    ("7", 100003),
    ('{"event":"dance"}', 100003),
    ('{"media":{}}', 100003),
    ('{"event":"media"}', 100003),
    ('{"event":"media","media":{"payload":5}}', 100003),
    ('{"event":"mark","mark":{}}', 100003),
    (b"\xff" * 160, 100003),
    ('{"event":"media","media":{"payload":"*"}}', 100004),
    ('{"event":"media","media":{"payload":"/w"}}', 100004),
    ('{"event":"media","media":{"payload":""}}', 100004),
]


def test_bad_frames_are_answered_with_error_frames_and_the_stream_goes_on() -> None:
    async def body() -> None:
        async with product() as app:
            call, socket = await app.answered()
            for frame, _ in BAD_FRAMES:
                await socket.ws.send(frame)
            await socket.play(bytes(159))
            await socket.play(bytes(240_001))
            await socket.play(tone(30))
            await socket.play(bytes(240_000))
            await socket.send(event="clear")
            await socket.until(lambda: len(socket.of("error")) == len(BAD_FRAMES) + 2)
            codes = [frame["payload"]["code"] for frame in socket.of("error")]
            assert codes == [code for _, code in BAD_FRAMES] + [100004, 100004]
            assert socket.of("error")[0]["payload"]["title"] == "malformed_frame"
            stream = call.streams[0]
            await app.telnyx.until(lambda: stream.log_in[-1].event == "clear")
            assert stream.odd_frames == 1
            assert stream.received_bytes == 240_240

    run(body)


def test_frames_are_parsed_without_a_socket() -> None:
    assert parse('{"event":"media","stream_id":"x","media":{"payload":"AAAA"}}') == Media(bytes(3))
    assert parse('{"event":"mark","mark":{"name":""}}') == Mark("")
    l16 = StreamOptions("ws://x", bidirectional_codec="L16", sampling_rate=16000)
    assert check_length(bytes(640), l16)
    with pytest.raises(FrameError):
        check_length(bytes(638), l16)


def test_the_end_of_a_call_is_stop_and_a_close() -> None:
    async def body() -> None:
        async with product() as app:
            call, socket = await app.answered()
            await socket.play(tone(10_000))
            await call.phone.hears(0.02)
            await call.hang_up()
            await socket.closed.wait()
            last = socket.frames[-1][1]
            assert last["event"] == "stop"
            assert last["stop"]["call_control_id"] == call.control_id
            assert socket.ws.close_code == 1000
            heard = call.phone.heard_bytes
            await app.told("streaming.stopped", "call.hangup")
            assert call.phone.heard_bytes == heard < 80_000

    run(body)


def test_closing_the_socket_does_not_end_the_call() -> None:
    async def body() -> None:
        async with product() as app:
            call, socket = await app.answered()
            await socket.ws.close()
            await app.told("streaming.stopped")
            assert call.state == "answered"
            assert (await app.command(call, "streaming_start", **app.streaming())).status_code == 200
            await app.telnyx.until(lambda: len(app.sockets) == 2)

    run(body)


def test_digits_come_as_frames_too() -> None:
    async def body() -> None:
        async with product() as app:
            call, socket = await app.answered()
            await call.press("#")
            await socket.until(lambda: socket.of("dtmf"))
            assert socket.of("dtmf")[0]["dtmf"] == {"digit": "#"}
            assert isinstance(socket.of("dtmf")[0]["occurred_at"], str)

    run(body)


def test_all_frames_fit_the_published_description() -> None:
    folder = os.environ.get("CALLFLOW_SCHEMAS")
    if not folder:
        pytest.skip("CALLFLOW_SCHEMAS does not name the folder of the official schemas")
    schema = json.loads((Path(folder) / "telnyx" / "media-stream-frames.schema.json").read_text())
    frames: list[dict[str, Any]] = []

    async def body() -> None:
        async with product() as app:
            call, socket = await app.answered(stream_track="both_tracks")
            await call.press("1")
            await socket.mark("a")
            await socket.ws.send("{")
            await socket.until(lambda: len(socket.of("media")) >= 6 and socket.of("error") and socket.of("mark"))
            await call.hang_up()
            await socket.closed.wait()
            frames.extend(frame for _, frame in socket.frames)

    run(body)
    validator = Draft202012Validator({**schema, "$ref": "#/$defs/fromTelnyx"})
    for frame in frames:
        validator.validate(frame)
    kinds = {"connected", "start", "media", "dtmf", "mark", "error", "stop"}
    assert set(Counter(frame["event"] for frame in frames)) == kinds
    assert {frame["media"]["track"] for frame in frames if frame["event"] == "media"} == {"inbound", "outbound"}


def test_a_source_and_a_listener_for_measurements() -> None:
    async def body() -> None:
        heard: list[tuple[float, bytes]] = []
        phone = Phone(
            source=lambda chunk: bytes([chunk & 0x7F]) * 160, on_media=lambda at, ulaw: heard.append((at, ulaw))
        )
        async with product() as app:
            _, socket = await app.answered(phone=phone)
            await socket.until(lambda: len(socket.of("media")) >= 5)
            assert _audio(socket)[::160][:5] == bytes([1, 2, 3, 4, 5])
            before = monotonic()
            await socket.play(tone(20))
            await socket.mark("x")
            await socket.until(lambda: socket.of("mark"))
            [(at, ulaw)] = heard
            assert ulaw == tone(20)
            assert before < at < monotonic()

    run(body)
