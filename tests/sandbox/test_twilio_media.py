"""The emulated Twilio's media stream: handshake, frames, playout with marks and clear, and what it complains of."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
from twilio.request_validator import RequestValidator

from callflow.sandbox.common.phone import tone
from callflow.sandbox.twilio import Faults
from tests.sandbox.twilio_product import STREAM, product


AFTER = "<Say>Still here.</Say>"


def media(audio: bytes) -> dict[str, Any]:
    return {"event": "media", "streamSid": "$", "media": {"payload": base64.b64encode(audio).decode()}}


def mark(name: str) -> dict[str, Any]:
    return {"event": "mark", "streamSid": "$", "mark": {"name": name}}


async def test_the_frames_are_those_of_the_documentation() -> None:
    async with product(STREAM) as the:
        call = await the.twilio.ring()
        stream = await call.wait_streaming()
        call.phone.say(tone(100))
        await the.until(lambda: len(the.frames) > 6)
        await call.press("5")
        await the.until(lambda: any(frame["event"] == "dtmf" for frame in the.frames))
        await call.hang_up()
        await the.until(lambda: the.frames[-1]["event"] == "stop")
        connected, start, *rest = the.frames
        assert connected == {"event": "connected", "protocol": "Call", "version": "1.0.0"}
        ids = {"accountSid": the.twilio.account_sid, "callSid": call.sid}
        assert start == {
            "event": "start",
            "sequenceNumber": "1",
            "streamSid": stream.stream_id,
            "start": {
                **ids,
                "streamSid": stream.stream_id,
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": {"token": "t"},
            },
        }
        audio = [frame for frame in rest if frame["event"] == "media"]
        assert audio[0].keys() == {"event", "sequenceNumber", "streamSid", "media"}
        assert audio[0]["media"].keys() == {"track", "chunk", "timestamp", "payload"}
        assert [one["media"]["chunk"] for one in audio[:3]] == ["1", "2", "3"]
        assert [one["media"]["timestamp"] for one in audio[:3]] == ["5", "25", "45"]
        assert len(base64.b64decode(audio[0]["media"]["payload"])) == 160
        numbers = [int(frame["sequenceNumber"]) for frame in the.frames[1:]]
        assert numbers == list(range(1, len(numbers) + 1)), "every message counts"
        (digit,) = (frame for frame in rest if frame["event"] == "dtmf")
        assert digit["dtmf"] == {"track": "inbound_track", "digit": "5"}
        assert the.frames[-1]["stop"] == ids


async def test_the_handshake_is_signed_over_the_public_wss_address() -> None:
    async with product(STREAM) as the:
        await (await the.twilio.ring()).wait_streaming()
        await (await the.twilio.ring(faults=Faults(media_slash=True))).wait_streaming()
        await (await the.twilio.ring(faults=Faults(unsigned_media=True))).wait_streaming()
        plain, slash, unsigned = the.handshakes
        validator = RequestValidator(the.twilio.auth_token)
        url = "wss://phone.example/media"
        assert plain["host"] == "phone.example"
        assert validator.validate(url, {}, plain["x-twilio-signature"])
        assert validator.validate(f"{url}/", {}, slash["x-twilio-signature"])
        assert "x-twilio-signature" not in unsigned


async def test_a_mark_comes_back_when_what_is_before_it_was_heard() -> None:
    async with product(STREAM) as the:
        the.send_at_start = [mark("empty"), media(tone(200)), mark("full")]
        call = await the.twilio.ring()
        stream = await call.wait_streaming()
        await the.until(lambda: [one for one in the.frames if one["event"] == "mark"])
        assert stream.played_bytes < 1600
        await the.until(lambda: len([one for one in the.frames if one["event"] == "mark"]) == 2)
        assert stream.played_bytes == 1600
        assert [one["mark"]["name"] for one in the.frames if one["event"] == "mark"] == ["empty", "full"]
        assert call.phone.loud_ms() == 200


async def test_a_clear_brings_all_marks_back_at_once() -> None:
    async with product(STREAM) as the:
        clear = {"event": "clear", "streamSid": "$"}
        the.send_at_start = [media(tone(5000)), mark("a"), media(tone(5000)), mark("b"), clear]
        call = await the.twilio.ring()
        stream = await call.wait_streaming()
        await the.until(lambda: len([one for one in the.frames if one["event"] == "mark"]) == 2)
        assert stream.played_bytes < 8000
        assert stream.clear_log[0].received == 80000


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x00\x01", 31950),
        ("not JSON", 31951),
        ("[]", 31951),
        ({"event": "weather", "streamSid": "$"}, 31951),
        ({"event": "clear"}, 31951),
        ({"event": "clear", "streamSid": "MZ0"}, 31951),
        ({"event": "mark", "streamSid": "$"}, 31951),
        ({"event": "mark", "streamSid": "$", "mark": {}}, 31951),
        ({"event": "media", "streamSid": "$", "media": {"payload": "AA==", "track": "outbound"}}, 31951),
        ({"event": "clear", "streamSid": "$", "sequence": "1"}, 31951),
        ({"event": "media", "streamSid": "$", "media": {"payload": "no base64!"}}, 31931),
        (media(b"RIFF" + bytes(156)), 31931),
    ],
)
async def test_what_twilio_would_warn_of(frame: Any, code: int) -> None:
    async with product(STREAM) as the:
        the.send_at_start = [frame, mark("after")]
        stream = await (await the.twilio.ring()).wait_streaming()
        await the.until(lambda: any(one["event"] == "mark" for one in the.frames))
        assert [one for one, _ in stream.errors] == [code]


async def test_the_call_goes_on_behind_a_stream_that_the_product_closes() -> None:
    async with product(STREAM, AFTER) as the:
        the.close_at = "start"
        call = await the.twilio.ring()
        await call.wait_ended()
        assert call.spoken == ["Still here."]
        assert [code for code, _ in call.errors] == [31921]
        await the.until(lambda: len(the.of("/stream")) == 2)
        assert {one["StreamEvent"] for one in the.of("/stream")} == {"stream-started", "stream-stopped"}


async def test_the_call_goes_on_behind_a_connection_that_breaks() -> None:
    async with product(STREAM, AFTER) as the:
        call = await the.twilio.ring()
        (await call.wait_streaming()).drop()
        await call.wait_ended()
        assert call.spoken == ["Still here."]
        assert [code for code, _ in call.errors] == [31903]
        await the.until(lambda: len(the.of("/stream")) == 2)
        error = next(one for one in the.of("/stream") if one["StreamEvent"] == "stream-error")
        assert error["StreamError"].startswith("31903")


async def test_the_call_goes_on_behind_a_refused_handshake() -> None:
    async with product(STREAM, AFTER) as the:
        the.refuse = 403
        call = await the.twilio.ring()
        await call.wait_ended()
        assert (call.spoken, [code for code, _ in call.errors]) == (["Still here."], [31920])


async def test_a_muted_leg_sends_nothing_and_its_clock_goes_on() -> None:
    async with product(STREAM) as the:
        the.twilio.faults.skip_silence = True
        call = await the.twilio.ring()
        await call.wait_streaming()
        await asyncio.sleep(0.2)  # the time that passes in silence is what this is about
        assert not [one for one in the.frames if one["event"] == "media"]
        call.phone.say(tone(40))
        await the.until(lambda: any(one["event"] == "media" for one in the.frames))
        first = next(one for one in the.frames if one["event"] == "media")["media"]
        assert first["chunk"] == "1"
        assert int(first["timestamp"]) >= 100


async def test_faults_of_the_start_frame() -> None:
    async with product(STREAM) as the:
        faults = Faults(foreign_call_sid="CA0", foreign_account_sid="AC0")
        await (await the.twilio.ring(faults=faults)).wait_streaming()
        await the.until(lambda: len(the.frames) > 1)
        start = the.frames[1]["start"]
        assert (start["callSid"], start["accountSid"]) == ("CA0", "AC0")
