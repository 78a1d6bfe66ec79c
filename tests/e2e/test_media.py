"""The media socket, and the caller's audio on its way to the model."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import struct
import time
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pytest

from callflow.call.stream_tokens import StreamTokens
from callflow.media import g711
from callflow.sandbox.common.phone import SILENT_FRAME, Phone, tone
from callflow.sandbox.openai_realtime import Faults as ModelFaults
from callflow.sandbox.openai_realtime import Pace, Realtime, Script, Session
from callflow.sandbox.telnyx import ApiFault, Faults, Telnyx, Timing
from tests.e2e.media_socket import MediaSocket, media_socket, refusal, ring_by_hand
from tests.e2e.outbound import dial, dialling
from tests.e2e.product import Product, product, until
from tests.e2e.talk import FAST


MEDIA_SERVERS = ("picows", "websockets", "hypercorn")
QUIET: dict[str, Any] = {**FAST, "greeting": ""}
"""No audio but the caller's."""
IMPATIENT: dict[str, Any] = {**QUIET, "start_frame_seconds": 0.3}


def quiet_model(**faults: Any) -> Realtime:
    return Realtime(script=Script.silent(), pace=Pace.instant(), faults=ModelFaults(**faults))


def exchange(**timing: Any) -> Telnyx:
    return Telnyx(webhook_url="http://127.0.0.1:9/webhooks", timing=Timing(**timing))


def frames(count: int, first: int = 0) -> list[bytes]:
    """Frames of 20 ms, no two alike; as µ-law each is near silence, so that nobody hears a caller speak in them."""
    return [struct.pack(">I", number).replace(b"\x00", b"\xff") + number.to_bytes(2, "big").hex().encode().translate(
        bytes.maketrans(b"0123456789abcdef", bytes(range(0xF0, 0x100)))
    ) + SILENT_FRAME[8:] for number in range(first, first + count)]  # fmt: skip


async def until_heard(session: Session, audio: bytes, timeout: float = 6.0) -> None:
    """Until the model has that much audio; then it must be that audio, byte for byte."""
    try:
        await until(lambda: len(session.audio_in) >= len(audio), "", timeout)
    except AssertionError:
        raise AssertionError(f"the model heard {len(session.audio_in)} of {len(audio)} bytes") from None
    got = bytes(session.audio_in)
    if got != audio:
        wrong = next((i // 160 for i in range(len(audio)) if got[i] != audio[i]), "behind the last")
        raise AssertionError(f"the model heard other audio from frame {wrong} on ({len(got)} of {len(audio)} bytes)")


def ended(the: Product) -> dict[str, Any]:
    """What the record says of the only call that has ended."""
    (summary,) = the.happened("ended")
    return summary


# Who gets in


async def test_a_socket_without_a_valid_token_is_refused_and_reaches_no_model() -> None:
    async with product(realtime=quiet_model(), **QUIET) as the:
        call, url = await ring_by_hand(the)
        door, token = url.rsplit("/", 1)
        name, _, mac = token.split(".")
        own = StreamTokens.in_folder(Path(the.app.settings.data_dir))
        bad = {
            "no token": f"{door}/",
            "no door": door.rsplit("/", 1)[0] + "/",
            "another door": door.replace("media-stream", "media") + f"/{token}",
            "the token in the query": f"{door}/?token={token}",
            "an invented token": f"{door}/let-me-in",
            "a wrong code": f"{door}/{name}.1.{mac[:-2]}xx",
            "no code": f"{door}/{name}.1.",
            "another spelling": f"{door}/{name.upper()}.1.{mac}",
            "something behind it": f"{door}/{token}/more",
            "another server's secret": f"{door}/{StreamTokens(b'x' * 32).path_token(the.call.id, 1)}",
            "a stream that is not open": f"{door}/{own.path_token(the.call.id, 2)}",
            "a call that never was": f"{door}/{own.path_token('11111111-1111-4111-8111-111111111111', 1)}",
            "not text": f"{door}/%00%ff%fe..",
            "very long": f"{door}/{'a' * 5000}",
        }
        answers = {what: await refusal(url) for what, url in bad.items()}
        let_in = {what: status for what, status in answers.items() if status == 0 or status >= 500}
        assert not let_in, f"media sockets that were not refused at the handshake: {let_in}"
        assert the.realtime.connections_attempted == 1, "a media socket made the server connect to the model"
        async with media_socket(url, call.control_id) as wire:
            await wire.start()
            await wire.audio(*frames(3))
            await until_heard(await the.realtime.wait_session(), b"".join(frames(3)))


async def test_a_target_in_the_absolute_form_is_routed_and_judged_as_in_the_origin_form() -> None:
    async def status(method: str, target: str, *lines: str) -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", the.app.public_at[1])
        with contextlib.closing(writer):
            writer.write("\r\n".join([f"{method} {target} HTTP/1.1", "Host: a.example", *lines, "", ""]).encode())
            async with asyncio.timeout(5):
                return (await reader.readline()).decode().split(" ")[1]

    upgrade = (
        "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
    )  # fmt: skip
    async with product(realtime=quiet_model(), **QUIET) as the:
        _, url = await ring_by_hand(the)
        path = urlsplit(url).path
        for start in ("", "http://b.example", "HTTPS://b.example:443"):
            assert await status("GET", f"{start}/api/version", "Connection: close") == "200"
            assert await status("POST", f"{start}/webhooks", "Content-Length: 2", "", "{}") == "403", "it is not signed"
            assert await status("GET", f"{start}{path}x", *upgrade) == "403", "the token is wrong"
        assert await status("GET", f"http://b.example{path}", *upgrade) == "101"


async def test_the_token_of_an_ended_call_is_refused() -> None:
    async with product(realtime=quiet_model(), **QUIET) as the:
        call, url = await ring_by_hand(the)
        await call.wait_answered()
        await call.hang_up()
        await the.quiet()
        assert await refusal(url) == 403, "the token of an ended call opened a media socket"
        assert the.realtime.connections_attempted == 1


async def test_no_socket_is_let_in_while_the_carrier_speaks_the_last_sentence() -> None:
    async with product(realtime=quiet_model(), carrier=exchange(speak_s_per_char=1), **QUIET) as the:
        call, url = await ring_by_hand(the)
        async with media_socket(url, call.control_id) as wire:
            await wire.start(call_control_id="v3:somebody-else", call_session_id="other")
            await wire.closed()
        await the.until(lambda: call.spoken, "the carrier to apologise")
        assert await refusal(url) == 403, "a media socket was let in although the call's stream is over"


async def test_a_second_socket_is_refused_while_the_first_is_open() -> None:
    async with product(realtime=quiet_model(), **QUIET) as the:
        call, url = await ring_by_hand(the)
        session = await the.realtime.wait_session()
        async with media_socket(url, call.control_id) as wire:
            assert await refusal(url) == 403, "a second socket was let in before the first had said start"
            await wire.start()
            await wire.audio(*frames(2))
            assert await refusal(url) == 403, "a second socket was let in beside the first"
            await wire.audio(*frames(2, 2))
            await until_heard(session, b"".join(frames(4)))
        assert the.realtime.connections_attempted == 1


async def test_of_many_sockets_at_once_one_is_let_in() -> None:
    async with product(realtime=quiet_model(), **QUIET) as the:
        call, url = await ring_by_hand(the)
        await call.wait_answered()
        gate = asyncio.Event()

        async def knock() -> int:
            status = 0
            try:
                async with media_socket(url, call.control_id):
                    await gate.wait()
            except Exception as error:
                status = getattr(getattr(error, "response", None), "status_code", 500)
            return status

        knocking = [asyncio.create_task(knock()) for _ in range(8)]
        await the.until(lambda: sum(task.done() for task in knocking) == 7, "seven sockets to be refused")
        gate.set()
        assert sorted(await asyncio.gather(*knocking)) == [0, *[403] * 7]


async def test_a_conversation_resumes_once_when_its_socket_comes_back_within_the_grace() -> None:
    realtime = Realtime(script=Script.tone(0.1), pace=Pace.instant())
    async with product(realtime=realtime, **{**FAST, "stream_grace_seconds": 2}) as the:
        call, url = await ring_by_hand(the)
        session = await the.realtime.wait_session()
        async with media_socket(url, call.control_id) as wire:
            await wire.start(stream="one")
            await the.until(lambda: len(wire.heard) == 800, "the greeting")
            await wire.audio(*frames(5))
            await until_heard(session, b"".join(frames(5)))
            await wire.hang()
        await the.until(lambda: the.happened("media_lost"), "the loss of the stream")
        async with media_socket(url, call.control_id) as wire:
            await wire.start(stream="two")
            await wire.audio(*frames(5, 5))  # counted from 1 again
            await until_heard(session, b"".join(frames(10)))
            session.respond({})
            await the.until(lambda: len(wire.heard) == 800, "speech on the second socket")
            await wire.hang()
        await the.until(lambda: len(the.happened("media_lost")) == 2, "the loss of the second stream")
        assert await refusal(url) == 403, "the token was good a third time"
        assert len(the.realtime.sessions) == 1, "the second socket made a second session"
        greetings = [one for one in session.received if one.event["type"] == "response.create"]
        assert len(greetings) == 1, f"the caller was greeted {len(greetings)} times"
        assert session.violations == []
        await call.wait_ended()
        await the.quiet()
        assert ended(the)["cause"] == "stream_lost"


async def test_a_socket_that_goes_before_its_start_leaves_room_for_another() -> None:
    async with product(realtime=quiet_model(), **QUIET) as the:
        call, url = await ring_by_hand(the)
        async with media_socket(url, call.control_id) as wire:
            await wire.hang()
        await the.until(lambda: not the.call.relay.has_socket, "the server to notice")
        async with media_socket(url, call.control_id) as wire:
            await wire.start()
            await wire.audio(*frames(2))
            await until_heard(await the.realtime.wait_session(), b"".join(frames(2)))


async def test_a_carrier_whose_socket_breaks_connects_again_and_the_agent_is_heard_again() -> None:
    realtime = Realtime(script=Script.tone(0.3), pace=Pace.instant())
    async with product(realtime=realtime, **{**FAST, "stream_grace_seconds": 2}) as the:
        call = await the.telnyx.ring(faults=Faults(reconnect_after_s=0.1))
        await call.wait_streaming()
        await call.phone.hears(0.3)
        call.streams[0].drop()
        await the.until(lambda: len(call.streams) == 2 and call.streams[1].started, "the second stream")
        # events are taken in order: then the new stream's beginning has been, with all that follows from it
        await the.until(lambda: len(the.happened("stream_announced")) == 2, "the webhook about it")
        session = the.realtime.sessions[0]
        since = time.monotonic()
        session.respond({})
        await call.phone.hears(0.3, since=since)
        assert session.violations == []
        assert len([one for one in session.received if one.event["type"] == "response.create"]) == 1
        await call.hang_up()
        await the.quiet()


async def test_a_stream_that_begins_before_its_leg_has_a_name_is_let_in() -> None:
    async with dialling(command_seconds=5.0) as the:
        the.carrier.exchange.timing.ring_s = 0.0
        the.carrier.faults.webhook_drop = ["call.initiated", "call.answered"]
        the.carrier.faults.api.append(ApiFault("dial", lose_response=True))
        asked = asyncio.create_task(dial(the))
        await until(lambda: the.carrier.calls, "the leg")
        call = the.carrier_call()
        await call.phone.hears(0.2)
        assert not the.happened("media_lost")
        await call.hang_up()
        await the.quiet()
        await asked


# What it must say first


async def test_a_stream_that_names_another_call_is_closed_and_its_audio_reaches_no_model() -> None:
    async with product(realtime=quiet_model(), **QUIET) as the:
        call, url = await ring_by_hand(the)
        async with media_socket(url, call.control_id) as wire:
            await wire.start(call_control_id="v3:somebody-else", call_session_id="not-ours")
            await wire.audio(*frames(3))
            await wire.closed()
        await call.wait_ended()
        await the.quiet()
        assert call.spoken == ["Sorry."], "the caller heard no apology"
        assert not the.realtime.sessions[0].audio_in, "audio of another call reached the model"
        (lost, *_) = the.happened("media_lost")
        assert "another call" in lost["reason"]


async def test_a_wrong_secret_in_the_handshake_is_refused() -> None:
    async with product(realtime=quiet_model(), **QUIET) as the:
        call, url = await ring_by_hand(the)
        token = StreamTokens.in_folder(Path(the.app.settings.data_dir)).header_token(the.call.id, 1)
        for guess in ("a-guess", token[:-1], token.upper()):
            headers = {"x-telnyx-streaming-auth-token": guess}
            assert await refusal(url, additional_headers=headers) == 403
        right = {"x-telnyx-streaming-auth-token": token}
        async with media_socket(url, call.control_id, additional_headers=right) as wire:
            await wire.start()
            await wire.audio(*frames(3))
            await until_heard(await the.realtime.wait_session(), b"".join(frames(3)))


async def test_a_wrong_secret_in_connected_closes_the_stream() -> None:
    async with product(realtime=quiet_model(), **QUIET) as the:
        call, url = await ring_by_hand(the)
        async with media_socket(url, call.control_id) as wire:
            await wire.send({"event": "connected", "connected": {"x-telnyx-streaming-auth-token": "a-guess"}})
            await wire.closed(1)
        await the.until(lambda: the.happened("media_lost"), "the loss on record")
        assert [one["reason"] for one in the.happened("media_lost")] == ["the stream's secret is wrong"]


async def test_a_socket_without_start_is_closed_in_time_and_the_caller_hears_an_apology() -> None:
    async with product(realtime=quiet_model(), **IMPATIENT) as the:
        call, url = await ring_by_hand(the)
        await call.wait_answered()
        async with media_socket(url, call.control_id) as wire:
            opened = time.monotonic()
            await wire.closed(2)
            waited = time.monotonic() - opened
        assert 0.25 < waited < 0.8, f"closed {waited:.2f} s after it was opened, with 0.3 s allowed"
        await call.wait_ended()
        assert call.spoken == ["Sorry."]
        await the.quiet()


async def test_the_time_for_start_counts_from_the_answer_when_the_socket_is_earlier() -> None:
    async with product(realtime=quiet_model(), carrier=exchange(answer_s=0.5), **IMPATIENT) as the:
        call, url = await ring_by_hand(the, answered=False)
        async with media_socket(url, call.control_id) as wire:
            await call.wait_answered()
            assert wire.is_open, "the socket was closed before the call was even answered"
            answered = time.monotonic()
            await wire.closed(2)
            waited = time.monotonic() - answered
        assert 0.2 < waited < 0.8, f"closed {waited:.2f} s after the answer, with 0.3 s allowed"


async def test_a_carrier_that_never_sends_start_gets_its_call_ended() -> None:
    async with product(realtime=quiet_model(), **IMPATIENT) as the:
        call = await the.telnyx.ring(faults=Faults(no_start=True))
        await call.wait_ended()
        await the.quiet()
        assert call.spoken == ["Sorry."]
        assert len(the.actions("hangup")) == 1


# What it may say


def deeply_nested() -> str:
    return '{"event":"media","media":' + "[" * 100_000 + "]" * 100_000 + "}"


HOSTILE: dict[str, Any] = {
    "no JSON": "this is not JSON",
    "nothing": "",
    "null": "null",
    "a list": '["media"]',
    "a number": "1e999",
    "half of a frame": '{"event":"media","media":{"payload":"AA',
    "binary": b"\x00\xff" * 500,
    "binary JSON": b'{"event":"clear"}',
    "lone surrogates": '{"event":"\\ud800"}',
    "half a megabyte": '{"event":"media","media":{"payload":"' + "A" * (500 << 10) + '"}}',
    "half a megabyte of another event": json.dumps({"event": "weather" * 70_000}),
    "deeply nested": deeply_nested(),
    "deeply nested in an unknown field": '{"event":"mark","mark":' + '{"name":' * 5000 + "1" + "}" * 5001,
    "no event": '{"media":{"payload":"AAAA"}}',
    "event of a wrong type": '{"event":5}',
    "media of a wrong type": '{"event":"media","media":"AAAA"}',
    "media without payload": '{"event":"media","media":{}}',
    "payload of a wrong type": '{"event":"media","media":{"payload":5}}',
    "payload null": '{"event":"media","media":{"payload":null}}',
    "payload not base64": '{"event":"media","media":{"payload":"%%%%"}}',
    "payload with a quote": '{"event":"media","media":{"payload":"\\",\\"x\\":\\""}}',
    "payload badly padded": '{"event":"media","media":{"payload":"AAAAA"}}',
    "payload not ASCII": '{"event":"media","media":{"payload":"ÄÖÜß"}}',
    "payload empty": '{"event":"media","media":{"payload":""}}',
    "mark of a wrong type": '{"event":"mark","mark":7}',
    "mark nobody set": '{"event":"mark","mark":{"name":"nobody"}}',
    "mark without a name": '{"event":"mark"}',
    "dtmf of a wrong type": '{"event":"dtmf","dtmf":[1]}',
    "error of a wrong type": '{"event":"error","payload":{"code":{"a":1},"title":[]}}',
    "an unknown event": '{"event":"weather","weather":{"sky":"clear"}}',
    "a second start": '{"event":"start","start":{"call_control_id":"v3:somebody-else"}}',
    "a second start without body": '{"event":"start"}',
    "a second connected": '{"event":"connected","version":"9"}',
    "our own clear": '{"event":"clear"}',
}


async def test_hostile_frames_end_no_call_and_change_no_audio() -> None:
    async with product(realtime=quiet_model(), **QUIET) as the:
        other = await the.telnyx.ring(phone=Phone(source=lambda chunk: frames(1, chunk)[0]))
        await other.wait_streaming()
        bystander = the.realtime.sessions[0]
        call, url = await ring_by_hand(the)
        session = await the.realtime.wait_session(2)
        async with media_socket(url, call.control_id) as wire:
            for before_start in HOSTILE.values():
                if "start" not in str(before_start):
                    await wire.send(before_start)
            await wire.audio(*frames(3), chunks=[1, 2, 3])
            await wire.start()
            said = []
            for number, (what, frame) in enumerate(HOSTILE.items()):
                await wire.send(frame)
                await wire.audio(frames(1, number)[0], chunks=[number + 1])
                said.append(frames(1, number)[0])
                assert wire.is_open, f"the call was ended by: {what}"
            await until_heard(session, b"".join(said))
            assert call.state == "answered", "hostile frames ended the call"
        assert other.state == "answered", "another call was ended"
        heard = len(bystander.audio_in) // 160
        assert heard > 3
        assert bytes(bystander.audio_in) == b"".join(frames(heard, 1)), "another call's audio was changed"
        assert session.violations == bystander.violations == []
        assert other.streams[0].errors == []


async def test_a_message_too_large_to_take_ends_its_own_call_only() -> None:
    async with product(realtime=quiet_model(), **QUIET) as the:
        other, other_url = await ring_by_hand(the)
        call, url = await ring_by_hand(the)
        async with (
            media_socket(other_url, other.control_id) as bystander,
            media_socket(url, call.control_id) as wire,
        ):
            await bystander.start()
            await wire.start()
            await wire.audio(*frames(1))
            await wire.send("A" * (5 << 20))
            await the.until(lambda: wire.close_code_received == 1009, "close code 1009, message too big")
            await wire.hang()  # as any client does once it was told; the server waits for that
            await call.wait_ended()
            await bystander.audio(*frames(4))
            await until_heard(the.realtime.sessions[0], b"".join(frames(4)))
            assert other.state == "answered"
            await other.hang_up()
            await bystander.closed()
            await the.quiet()


async def test_frames_on_the_wrong_track_or_before_start_are_not_the_callers() -> None:
    async with product(realtime=quiet_model(), **QUIET) as the:
        call, url = await ring_by_hand(the)
        async with media_socket(url, call.control_id) as wire:
            await wire.audio(tone(20), chunks=[1])
            await wire.start()
            for track in ("outbound", "outbound_track", "both", "INBOUND"):
                await wire.audio(tone(20), chunks=[1], track=track)
            await wire.audio(*frames(2), chunks=[1, 2], track="inbound_track")
            await wire.audio(*frames(2, 2), chunks=[3, 4], track="")
            await until_heard(await the.realtime.wait_session(), b"".join(frames(4)))


async def test_the_carriers_complaints_are_counted_and_end_nothing() -> None:
    async with product(realtime=quiet_model(), **QUIET) as the:
        call, url = await ring_by_hand(the)
        async with media_socket(url, call.control_id) as wire:
            await wire.start()
            for code in (100002, 100003, 100004, 100005, 100005):
                await wire.send({"event": "error", "stream_id": "stream", "payload": {"code": code, "title": "x"}})
            await wire.audio(*frames(2))
            await until_heard(await the.realtime.wait_session(), b"".join(frames(2)))
            assert call.state == "answered"
        await call.wait_ended()
        await the.quiet()
        assert ended(the)["carrier_complaints"] == 5


async def test_a_pressed_digit_is_on_record() -> None:
    async with product(realtime=quiet_model(), **QUIET) as the:
        call, url = await ring_by_hand(the)
        async with media_socket(url, call.control_id) as wire:
            await wire.start()
            for digit in "5#*":
                await wire.send({"event": "dtmf", "stream_id": "stream", "dtmf": {"digit": digit}})
            await the.until(lambda: len(the.happened("dtmf")) == 3, "three digits on record")
            assert [event["digit"] for event in the.happened("dtmf")] == ["5", "#", "*"]
            assert call.state == "answered"


# Codecs


async def test_an_a_law_leg_is_transcoded_exactly() -> None:
    async with product(realtime=quiet_model(), **QUIET) as the:
        call, url = await ring_by_hand(the)
        every_code = [bytes(range(160)), bytes(range(96, 256)), bytes(range(255, 95, -1))]
        async with media_socket(url, call.control_id) as wire:
            await wire.start(encoding="pcma")
            await wire.audio(*every_code)
            wanted = b"".join(map(g711.alaw_to_ulaw, every_code))
            await until_heard(await the.realtime.wait_session(), wanted)


async def test_a_carrier_that_streams_a_law_is_understood_and_heard() -> None:
    realtime = Realtime(script=Script.tone(0.3), pace=Pace.instant())
    async with product(realtime=realtime, **FAST) as the:
        call = await the.telnyx.ring(codec="PCMA", faults=Faults(media_format="PCMA"))
        await call.wait_streaming()
        await call.phone.hears(0.3)
        call.phone.say(tone(200))
        session = the.realtime.sessions[0]
        await session.wait_sent("input_audio_buffer.speech_stopped")
        assert session.violations == []
        await call.hang_up()
        await the.quiet()


UNREADABLE: dict[str, dict[str, Any]] = {
    "G722": {"encoding": "G722", "rate": 8000},
    "L16": {"encoding": "L16", "rate": 16000},
    "wide-band PCMU": {"encoding": "PCMU", "rate": 16000},
    "stereo": {"media_format": {"encoding": "PCMU", "sample_rate": 8000, "channels": 2}},
}


async def test_a_stream_that_cannot_be_read_is_refused_and_the_carrier_apologises() -> None:
    async with product(realtime=quiet_model(), **QUIET) as the:

        async def one(start: dict[str, Any]) -> None:
            call, url = await ring_by_hand(the)
            async with media_socket(url, call.control_id) as wire:
                await wire.start(**start)
                await wire.audio(*frames(3))
                await wire.closed()
            await call.wait_ended()
            assert call.spoken == ["Sorry."], f"no apology for a stream that cannot be read: {start}"
            assert call.ended_by == "product"

        await asyncio.gather(*map(one, UNREADABLE.values()))
        await the.quiet()
        assert [event["cause"] for event in the.happened("ended")] == ["codec_refused"] * 4
        reasons = [event["reason"] for event in the.happened("media_refused")]
        assert len(reasons) == 4
        assert all("cannot read" in reason for reason in reasons), reasons
        assert not any(session.audio_in for session in the.realtime.sessions)


async def test_a_carrier_that_streams_wide_band_is_refused_and_apologises() -> None:
    async with product(realtime=quiet_model(), **QUIET) as the:
        call = await the.telnyx.ring(faults=Faults(media_format="L16"))
        await call.wait_ended()
        await the.quiet()
        assert call.spoken == ["Sorry."]
        assert ended(the)["cause"] == "codec_refused"


# A peer that does not read


def open_media_sockets() -> int:
    """How many media sockets the server still serves."""
    return sum("Call.serve_socket" in waiting_in(task) for task in asyncio.all_tasks())


def waiting_in(task: asyncio.Task[Any]) -> set[str]:
    """The names of the coroutines that a task waits in."""
    names, inner = set[str](), cast(Any, task.get_coro())
    while inner is not None:
        names.add(getattr(inner, "__qualname__", ""))
        inner = getattr(inner, "cr_await", None)
    return names


async def talk_on(wire: MediaSocket) -> None:
    while True:
        await wire.audio(SILENT_FRAME)
        await asyncio.sleep(0.01)


async def test_a_carrier_that_stops_reading_loses_its_own_call_only() -> None:
    realtime = Realtime(script=Script.tone(30), pace=Pace.instant())
    settings = {
        **FAST,
        "write_seconds": 0.5,
        "playout_lead_ms": 30000,
        "mark_every_ms": 30000,
        "greeting": "Hello.",
    }
    async with product(realtime=realtime, **settings) as the:
        other, other_url = await ring_by_hand(the)
        call, url = await ring_by_hand(the)
        small = socket.socket()
        small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        small.setblocking(False)
        host, port = the.app.public_at
        await asyncio.get_running_loop().sock_connect(small, (host, port))
        async with media_socket(other_url, other.control_id) as bystander:
            await bystander.start()
            async with media_socket(url, call.control_id, sock=small) as wire:
                wire.connection.transport.pause_reading()
                await wire.start()
                talking = asyncio.create_task(talk_on(wire))
                session = the.realtime.sessions[1]
                with contextlib.suppress(ConnectionError):  # the call is over, and its session with it
                    for count in range(1, 200):
                        await session.wait_sent("response.done", count)
                        session.emit("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_x")
                        session.respond({})
                # the session stays for a moment, for what the caller said last
                await the.until(lambda: session.closed, "the end: 60 MB go to a carrier that does not read", 4)
                await call.wait_ended(2)
                await asyncio.sleep(0.4)  # it goes on talking, to nobody
                talking.cancel()
                await wire.hang()
            # one is the bystander's
            await the.until(lambda: open_media_sockets() == 1, "the dead connection to be let go", 2)
            assert other.state == "answered", "another call was ended"
            await bystander.audio(*frames(4))
            await until_heard(the.realtime.sessions[0], b"".join(frames(4)))
        lost = [event["reason"] for event in the.happened("media_lost")]
        assert any("took longer" in reason or "does not read" in reason for reason in lost), lost


# The caller's audio


async def test_early_and_live_audio_reaches_the_model_in_order_and_complete() -> None:
    async with product(realtime=quiet_model(no_session_updated=True), **QUIET) as the:
        call, url = await ring_by_hand(the)
        session = await the.realtime.wait_session()
        async with media_socket(url, call.control_id) as wire:
            await wire.start()
            early, live = frames(50), frames(50, 50)
            await wire.audio(*early)
            await the.until(lambda: the.call.relay.frames_in == 50, "50 early frames to arrive")
            assert not session.audio_in, "audio was sent before session.updated"
            session.emit("session.updated", session=session.config)
            await wire.audio(*live)
            await until_heard(session, b"".join(early + live))
            kinds = [one.event["type"] for one in session.received]
            assert kinds[0] == "session.update"
            assert set(kinds[1:]) == {"input_audio_buffer.append"}


async def test_a_model_that_is_slow_to_take_the_connection_loses_nothing() -> None:
    async with product(realtime=quiet_model(refuse_next=1, refuse_status=500), **QUIET) as the:
        call, url = await ring_by_hand(the)
        async with media_socket(url, call.control_id) as wire:
            await wire.start()
            said = frames(60)
            for frame in said:
                await wire.audio(frame)
                await asyncio.sleep(0.005)
            await until_heard(await the.realtime.wait_session(), b"".join(said))


async def test_more_audio_than_may_wait_for_the_model_counts_as_its_loss() -> None:
    async with product(realtime=quiet_model(no_session_updated=True), engine_buffer_seconds=0.5, **QUIET) as the:
        call, url = await ring_by_hand(the)
        session = await the.realtime.wait_session()
        async with media_socket(url, call.control_id) as wire:
            await wire.start()
            await wire.audio(*frames(25))
            await the.until(lambda: the.call.relay.frames_in == 25, "half a second of audio")
            assert not the.happened("engine_lost"), "the model counts as lost within the bound"
            await wire.audio(*frames(1, 25))
            await the.until(lambda: the.happened("engine_lost"), "the model to count as lost")
            await the.until(lambda: wire.heard, "an apology")
        await call.wait_ended()
        assert not session.audio_in


async def test_frames_out_of_order_are_put_into_order() -> None:
    async with product(realtime=quiet_model(), **QUIET) as the:
        call, url = await ring_by_hand(the)
        dice = random.Random(4)
        async with media_socket(url, call.control_id) as wire:
            await wire.start()
            said = frames(120)
            for first in range(0, 120, 4):
                block = list(range(first, first + 4))
                dice.shuffle(block)
                await wire.audio(*(said[place] for place in block), chunks=[place + 1 for place in block])
            await until_heard(await the.realtime.wait_session(), b"".join(said))


async def test_each_missing_frame_is_given_its_own_time_to_come() -> None:
    """Neighbours swapped for a while: the wait for one of them must not end the wait for the next."""
    async with product(realtime=quiet_model(), **QUIET) as the:
        call, url = await ring_by_hand(the)
        said = frames(40)
        async with media_socket(url, call.control_id) as wire:
            await wire.start()
            for first in range(0, 40, 2):
                for place in (first + 1, first):
                    await wire.audio(said[place], chunks=[place + 1])
                    await asyncio.sleep(0.014)  # the pace of the frames, not a wait for anything
            await until_heard(await the.realtime.wait_session(), b"".join(said))


async def test_a_carrier_that_shuffles_its_frames_is_heard_in_order() -> None:
    async with product(realtime=quiet_model(), **QUIET) as the:
        calls = [
            await the.telnyx.ring(phone=Phone(source=lambda chunk: frames(1, chunk)[0]), faults=Faults(media_shuffle=3))
            for _ in range(4)
        ]
        for call in calls:
            await call.wait_streaming()
        for number, _ in enumerate(calls, 1):
            session = await the.realtime.wait_session(number)
            await the.until(lambda one=session: len(one.audio_in) >= 160 * 60, "60 shuffled frames")  # type: ignore[misc]
            assert bytes(session.audio_in[: 160 * 60]) == b"".join(frames(60, 1)), "frames were lost or reordered"


@pytest.mark.parametrize(
    ("settings", "first", "most"),
    [({}, 160, 160), ({"warm_up_ms": 150}, 1280, 160), ({"frame_batch_ms": 60}, 480, 480)],
    ids=["as they come", "a firm start", "joined"],
)
async def test_frames_go_to_the_model_as_the_settings_say_and_none_is_lost(
    settings: dict[str, Any], first: int, most: int
) -> None:
    async with product(realtime=quiet_model(), **QUIET, **settings) as the:
        call, url = await ring_by_hand(the)
        session = await the.realtime.wait_session()
        await session.wait_sent("session.updated")
        async with media_socket(url, call.control_id) as wire:
            await wire.start()
            said = frames(31)
            await wire.audio(*said)
            await until_heard(session, b"".join(said))
        sizes = [one.bytes for one in session.received if one.event["type"] == "input_audio_buffer.append"]
        assert sizes[0] == first
        assert max(sizes[1:]) == most


async def test_repeated_frames_are_dropped() -> None:
    async with product(realtime=quiet_model(), **QUIET) as the:
        call, url = await ring_by_hand(the)
        async with media_socket(url, call.control_id) as wire:
            await wire.start()
            said = frames(8)
            for place in (0, 0, 1, 1, 2, 0, 1, 3, 5, 5, 4, 4, 5, 6, 7, 7, 3):
                await wire.audio(said[place], chunks=[place + 1])
            await until_heard(await the.realtime.wait_session(), b"".join(said))


async def test_a_missing_frame_holds_the_rest_up_for_a_moment_only() -> None:
    async with product(realtime=quiet_model(), **QUIET) as the:
        call, url = await ring_by_hand(the)
        session = await the.realtime.wait_session()
        said = frames(20)
        async with media_socket(url, call.control_id) as wire:
            await wire.start()
            await wire.audio(said[0], said[1], chunks=[1, 2])
            await until_heard(session, b"".join(said[:2]))
            sent = time.monotonic()
            await wire.audio(said[3], chunks=[4])  # the third never comes, and for now nothing else does
            await until_heard(session, b"".join(said[:2] + said[3:4]))
            waited = (time.monotonic() - sent) * 1000
            assert waited < 150, f"a frame waited {waited:.0f} ms for one that was lost; 60 ms are meant"
            await wire.audio(said[2], chunks=[3])  # too late
            await wire.audio(*said[5:], chunks=list(range(6, 21)))  # the fifth is lost within a stream of others
            await until_heard(session, b"".join(said[:2] + said[3:4] + said[5:]))


async def test_every_tenth_frame_lost_leaves_the_others_in_order() -> None:
    async with product(realtime=quiet_model(), **QUIET) as the:
        call = await the.telnyx.ring(
            phone=Phone(source=lambda chunk: frames(1, chunk)[0]),
            faults=Faults(media_lose_every=10, media_duplicate_every=7, media_jitter_ms=15),
        )
        await call.wait_streaming()
        session = the.realtime.sessions[0]
        wanted = b"".join(frames(1, chunk)[0] for chunk in range(1, 45) if chunk % 10)
        await the.until(lambda: len(session.audio_in) > len(wanted), "44 frames")
        assert bytes(session.audio_in[: len(wanted)]) == wanted


async def test_a_frame_with_an_absurd_number_does_not_deafen_the_model() -> None:
    async with product(realtime=quiet_model(), **QUIET) as the:
        call, url = await ring_by_hand(the)
        session = await the.realtime.wait_session()
        async with media_socket(url, call.control_id) as wire:
            await wire.start()
            await wire.audio(*frames(3))
            await wire.audio(frames(1, 3)[0], chunks=[999_999_999])
            await the.until(lambda: len(session.audio_in) == 160 * 4, "the frame from the future")
            wire.chunk = 3
            await wire.audio(*frames(100, 4))
            last = frames(1, 103)[0]
            await the.until(lambda: session.audio_in.endswith(last), "the frames after it to be heard again")


async def test_frames_of_any_length_and_without_numbers_pass_unchanged() -> None:
    async with product(realtime=quiet_model(), **QUIET) as the:
        call, url = await ring_by_hand(the)
        said = [b"\xfe" * 80, b"\xfd" * 240, b"\xfc", b"\xfb" * 1600, b"", b"\xfa" * 7]
        async with media_socket(url, call.control_id) as wire:
            await wire.start()
            await wire.audio(*said, chunks=[0] * len(said))
            await until_heard(await the.realtime.wait_session(), b"".join(said))


async def test_a_carrier_that_sends_garbage_keeps_its_call() -> None:
    async with product(realtime=quiet_model(), **QUIET) as the:
        call = await the.telnyx.ring(faults=Faults(garbage=["text", "json", "unknown", "binary"], garbage_after_s=0.05))
        await call.wait_streaming()
        session = the.realtime.sessions[0]
        await the.until(lambda: len(session.audio_in) > 160 * 15, "audio behind the garbage")
        assert call.state == "answered"
        await call.hang_up()
        await the.quiet()
        assert ended(the)["malformed_frames"] == 3
