"""The Realtime client against a real WebSocket: what it sends and when, and how it ends."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import Any

import pytest

from callflow.contracts.engine import (
    AudioDelta,
    ContextItem,
    ErrorReported,
    ResponseStarted,
    SessionLost,
    SessionReady,
    SpeechStarted,
)
from callflow.engines import breaker
from callflow.engines.openai_realtime.adapter import OpenAIRealtime
from callflow.engines.openai_realtime.session_config import minimal_session, session
from tests.configs import realtime_config
from tests.engines.realtime_server import BRIEF, Peer, client, confirm, ignore, run


PAYLOADS = [base64.b64encode(bytes([number % 256]) * (1 + number % 200)).decode() for number in range(300)]


@pytest.fixture(autouse=True)
def _no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker.Pace, "PAUSES", (0.01,))


def appended(peer: Peer) -> list[str]:
    return [event["audio"] for event in peer.of("input_audio_buffer.append")]


# Connecting


def test_the_handshake() -> None:
    async def work() -> None:
        async with client(model="gpt-of-the-test") as one:
            one.start()
            await one.until(lambda: one.of(SessionReady))
            (request,) = one.server.handshakes
            assert request.path == "/v1/realtime?model=gpt-of-the-test"
            assert request.headers["Authorization"] == "Bearer sk-test"
            assert "OpenAI-Beta" not in request.headers
            assert "Sec-WebSocket-Extensions" not in request.headers, "compression costs more than it saves"

    run(work)


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refusal_that_will_not_pass_ends_it_at_once(status: int) -> None:
    async def work() -> None:
        async with client(refusals=[(status, {})] * 5) as one:
            one.start()
            assert str(status) in await one.lost()
            assert len(one.server.handshakes) == 1

    run(work)


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_refusal_that_may_pass_is_tried_again(status: int) -> None:
    async def work() -> None:
        async with client(refusals=[(status, {})] * 3) as one:
            one.start()
            await one.until(lambda: one.of(SessionReady))
            assert len(one.server.handshakes) == 4
            assert one.of(SessionLost) == []

    run(work)


@pytest.mark.e2e
@pytest.mark.parametrize("after", [("Retry-After", "0.3"), ("retry-after-ms", "300")])
def test_a_wait_that_was_asked_for_is_kept(after: tuple[str, str]) -> None:
    async def work() -> None:
        async with client(refusals=[(429, dict([after]))]) as one:
            began = time.monotonic()
            one.start()
            await one.until(lambda: one.of(SessionReady))
            assert 0.29 < time.monotonic() - began < 2

    run(work)


def test_a_message_of_no_size_that_a_server_sends_is_not_read() -> None:
    async def work() -> None:
        async with client() as one:
            one.start()
            await one.until(lambda: one.of(SessionReady))
            peer = await one.peer()
            await peer.send("session.created", padding="x" * (3 << 20))
            await peer.send("session.created", padding="x" * (5 << 20))
            assert "1009" in await one.lost()

    run(work)


def test_refusals_without_end_are_asked_five_times_and_the_end_names_the_reason() -> None:
    async def work() -> None:
        async with client(refusals=[(503, {})] * 10_000) as one:
            began = time.monotonic()
            one.start()
            assert "503" in await one.lost()
            assert time.monotonic() - began < 2, "nobody waits for a try that would come too late"
            assert len(one.server.handshakes) == 5

    run(work)


def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    async def work() -> None:
        async with client(refusals=[(503, {"Retry-After": "5"})], connect_seconds=2) as one:
            began = time.monotonic()
            one.start()
            assert "503" in await one.lost()
            assert time.monotonic() - began < 1, "nobody waits for a try that would come too late"

    run(work)


@pytest.mark.e2e
@pytest.mark.parametrize("refusals", [[], [(503, {})]], ids=["at once", "after a refusal"])
def test_a_handshake_that_hangs_ends_with_the_deadline_over_all_tries(refusals: list[tuple[int, Any]]) -> None:
    async def work() -> None:
        async with client(refusals=list(refusals), connect_seconds=0.5) as one:
            one.server.hang = True
            began = time.monotonic()
            one.start()
            reason = await one.lost()
            assert "0.5 s" in reason
            assert ("503" in reason) == bool(refusals)
            assert 0.45 < time.monotonic() - began < 0.95
            assert len(one.server.handshakes) == 1 + len(refusals)

    run(work)


def test_a_server_that_is_not_there() -> None:
    async def work() -> None:
        async with client(url="ws://127.0.0.1:1/v1/realtime", connect_seconds=0.1) as one:
            one.start()
            assert "cannot be reached" in await one.lost()

    run(work)


@pytest.mark.parametrize("url", ["https://api.openai.com/v1/realtime", "nonsense", "ws://"])
def test_an_address_that_is_none_is_told_at_once(url: str) -> None:
    async def work() -> None:
        async with client(url=url) as one:
            began = time.monotonic()
            one.start()
            assert "cannot be reached" in await one.lost()
            assert time.monotonic() - began < 1

    run(work)


def test_a_server_that_does_not_speak_http() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-babble\r\n\r\n")
        writer.close()

    async def work() -> None:
        async with await asyncio.start_server(babble, "127.0.0.1", 0) as babbling:
            url = f"ws://127.0.0.1:{babbling.sockets[0].getsockname()[1]}"
            async with client(url=url, connect_seconds=0.1) as one:
                one.start()
                assert one.running is not None
                await one.running
                (lost,) = one.of(SessionLost)
                assert "cannot be reached" in lost.reason

    run(work)


# Configuring


def test_the_session_is_asked_for_first() -> None:
    async def work() -> None:
        async with client() as one:
            one.engine.append(PAYLOADS[0])
            one.start()
            await one.until(lambda: one.of(SessionReady))
            peer = await one.peer()
            assert peer.events[0]["type"] == "session.update"
            assert peer.events[0]["session"] == session(one.config, BRIEF)
            assert len(peer.of("session.update")) == 1

    run(work)


def test_caller_audio_is_held_until_the_session_is_confirmed_and_then_in_order() -> None:
    confirmed = asyncio.Event()

    async def later(peer: Peer, event: dict[str, Any]) -> None:
        await confirmed.wait()
        await confirm(peer, event)

    async def work() -> None:
        async with client(later) as one:
            waiting = iter(PAYLOADS)
            for _ in range(100):  # before there is a connection
                one.engine.append(next(waiting))
            one.start()
            peer = await one.peer()
            await one.until(lambda: peer.messages)
            for _ in range(100):  # before the session is confirmed
                one.engine.append(next(waiting))
            await peer.send("input_audio_buffer.speech_started")
            await one.until(lambda: one.of(SpeechStarted))  # what was sent before this has been dealt with
            assert len(peer.messages) == 1, "not a byte of audio may go before session.updated"
            confirmed.set()
            await one.until(lambda: one.of(SessionReady))
            for payload in waiting:
                one.engine.append(payload)
            await one.until(lambda: len(peer.messages) == 301)
            assert appended(peer) == PAYLOADS
            frame = f'{{"type":"input_audio_buffer.append","audio":"{PAYLOADS[7]}"}}'
            assert peer.messages[8] == frame

    run(work)


def test_a_second_confirmation_changes_nothing() -> None:
    async def twice(peer: Peer, event: dict[str, Any]) -> None:
        await confirm(peer, event)
        await confirm(peer, event)
        await peer.send("input_audio_buffer.speech_started")

    async def work() -> None:
        async with client(twice) as one:
            one.engine.append(PAYLOADS[0])
            one.start()
            await one.until(lambda: one.of(SpeechStarted))
            assert len(one.of(SessionReady)) == 1
            one.engine.append(PAYLOADS[1])
            peer = await one.peer()
            await one.until(lambda: len(peer.messages) == 3)
            assert appended(peer) == PAYLOADS[:2]

    run(work)


@pytest.mark.parametrize("about", [None, "session-full"], ids=["without an id", "by id"])
def test_a_refused_session_is_asked_for_again_with_less(about: str | None) -> None:
    async def refuse_first(peer: Peer, event: dict[str, Any]) -> None:
        if len(peer.of("session.update")) == 1:
            await peer.refuse(about=about, message="Unknown parameter: 'noise'.")
        else:
            await confirm(peer, event)

    async def work() -> None:
        async with client(refuse_first, transcription_model="gpt-transcribe") as one:
            one.engine.append(PAYLOADS[0])
            one.start()
            await one.until(lambda: one.of(SessionReady))
            peer = await one.peer()
            full, minimal = peer.of("session.update")
            assert full["session"] == session(one.config, BRIEF)
            assert minimal["session"] == minimal_session(one.config, BRIEF)
            assert full["event_id"] != minimal["event_id"]
            (complaint,) = one.of(ErrorReported)
            assert complaint.code == "unknown_parameter"
            assert "'noise'" in complaint.message
            await one.until(lambda: appended(peer))
            assert appended(peer) == PAYLOADS[:1]
            assert one.of(SessionLost) == []

    run(work)


def test_a_session_refused_twice_is_lost() -> None:
    async def refuse(peer: Peer, event: dict[str, Any]) -> None:
        await peer.refuse(about=event["event_id"], message="No.")

    async def work() -> None:
        async with client(refuse) as one:
            one.start()
            assert "refused the session" in await one.lost()
            assert len((await one.peer()).of("session.update")) == 2
            assert one.of(SessionReady) == []

    run(work)


def test_a_second_complaint_about_the_first_session_is_not_a_second_refusal() -> None:
    async def complain_twice(peer: Peer, event: dict[str, Any]) -> None:
        if event["event_id"] == "session-full":
            await peer.refuse(about="session-full")
            await peer.refuse("invalid_value", about="session-full")
        else:
            await confirm(peer, event)

    async def work() -> None:
        async with client(complain_twice) as one:
            one.start()
            await one.until(lambda: one.of(SessionReady))
            assert [complaint.code for complaint in one.of(ErrorReported)] == ["unknown_parameter", "invalid_value"]
            assert len((await one.peer()).of("session.update")) == 2

    run(work)


@pytest.mark.parametrize("code", ["insufficient_quota", "invalid_api_key", "beta_api_shape_disabled"])
def test_a_session_refused_for_good_is_not_asked_for_again(code: str) -> None:
    async def refuse(peer: Peer, event: dict[str, Any]) -> None:
        await peer.refuse(code)

    async def work() -> None:
        async with client(refuse) as one:
            one.start()
            assert code in await one.lost()
            assert len((await one.peer()).of("session.update")) == 1

    run(work)


def test_audio_that_waits_too_long_means_that_the_engine_is_lost() -> None:
    async def work() -> None:
        async with client(ignore, buffer_seconds=0.5) as one:
            one.start()
            peer = await one.peer()
            await one.until(lambda: peer.messages)
            payload = base64.b64encode(bytes(400)).decode()
            for _ in range(9):
                one.engine.append(payload)
            assert one.of(SessionLost) == []
            for _ in range(5):
                one.engine.append(payload)
            assert "0.5 s" in await one.lost()

    run(work)


def test_audio_that_waits_too_long_for_the_connection_itself() -> None:
    async def work() -> None:
        async with client(buffer_seconds=0.5, connect_seconds=5) as one:
            one.server.hang = True
            one.start()
            await one.until(lambda: one.server.handshakes)
            for payload in PAYLOADS:
                one.engine.append(payload)
            assert "0.5 s" in await one.lost()

    run(work)


def test_audio_that_has_waited_for_another_session_does_not_count_as_a_wait_for_this_one() -> None:
    """A session that came with the audio of one that was never ready would have been lost with the next frame."""

    async def work() -> None:
        async with client(buffer_seconds=0.5) as one:
            for payload in PAYLOADS:
                one.engine.append(payload)
            one.start()
            await one.until(lambda: one.server.handshakes)
            one.engine.append(PAYLOADS[0])
            peer = await one.peer()
            await one.until(lambda: len(peer.of("input_audio_buffer.append")) == len(PAYLOADS) + 1)
            assert not one.of(SessionLost)

    run(work)


# Conversing


def test_what_is_said_reaches_the_server() -> None:
    async def work() -> None:
        async with client() as one:
            one.start()
            await one.until(lambda: one.of(SessionReady))
            one.engine.request_response("Say hello.")
            one.engine.truncate("item_1", 2, 1500)
            one.engine.cancel("resp_1")
            one.engine.cancel("resp_1")  # it is told once
            peer = await one.peer()
            await one.until(lambda: len(peer.messages) == 4)
            assert peer.events[1:] == [
                {
                    "type": "response.create",
                    "event_id": "create-1",
                    "response": {"instructions": "Be brief.\n\nSay hello."},
                },
                {"type": "conversation.item.truncate", "item_id": "item_1", "content_index": 2, "audio_end_ms": 1500},
                {"type": "response.cancel", "response_id": "resp_1"},
            ]

    run(work)


def test_it_speaks_once_however_often_it_was_asked_before_it_could() -> None:
    async def work() -> None:
        async with client() as one:
            for _ in range(3):
                one.engine.request_response("Say hello.")
            one.start()
            await one.until(lambda: one.of(SessionReady))
            one.engine.cancel("the last message")
            peer = await one.peer()
            await one.until(lambda: peer.of("response.cancel"))
            assert len(peer.of("response.create")) == 1

    run(work)


def test_what_the_server_says_is_heard_in_order() -> None:
    async def work() -> None:
        async with client() as one:
            one.start()
            await one.until(lambda: one.of(SessionReady))
            peer = await one.peer()
            await peer.send("response.created", response={"id": "r"})
            await peer.send("response.output_audio.delta", response_id="r", item_id="i", content_index=0, delta="//8=")
            await peer.send("response.audio.delta", response_id="r", item_id="i", content_index=0, delta="/////w==")
            await peer.send("input_audio_buffer.speech_started")
            await one.until(lambda: one.of(SpeechStarted))
            assert one.heard == [
                SessionReady(),
                ResponseStarted("r"),
                AudioDelta("r", "i", 0, b"\xff" * 2),
                AudioDelta("r", "i", 0, b"\xff" * 4),
                SpeechStarted(),
            ]

    run(work)


GARBAGE: list[str | bytes] = [
    "",
    "not JSON",
    b"\x00\xff\xfe",
    "[]",
    "null",
    '{"type":5}',
    '{"no":"type"}',
    "[" * 100_000,
    '{"type":"response.output_audio.delta","item_id":"i","delta":"!"}',
    '{"type":["response.output_audio.delta"],"item_id":"i"}',
]


def test_garbage_ends_nothing_and_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        async with client() as one:
            one.start()
            await one.until(lambda: one.of(SessionReady))
            peer = await one.peer()
            for message in GARBAGE:
                await peer.ws.send(message)
            await peer.send("of.next.year", shape=[1, 2, {"a": None}])
            await peer.send("input_audio_buffer.speech_started", of_next_year={})
            await one.until(lambda: one.of(SpeechStarted))
            assert one.heard == [SessionReady(), SpeechStarted()]

    run(work)
    assert caplog.text.count("an event cannot be read") == 1, caplog.text


def test_an_error_that_ends_nothing_is_a_complaint() -> None:
    async def work() -> None:
        async with client() as one:
            one.start()
            await one.until(lambda: one.of(SessionReady))
            peer = await one.peer()
            await peer.refuse("unknown_parameter", message="What?")
            await one.until(lambda: one.of(ErrorReported))
            assert one.of(ErrorReported) == [ErrorReported("unknown_parameter", "What?")]
            one.engine.append(PAYLOADS[0])
            await one.until(lambda: appended(peer))

    run(work)


BENIGN = [
    ("conversation_already_has_active_response", "Wait."),
    ("response_cancel_not_active", "Cancellation failed: no active response found"),
    ("item_truncate_invalid_item_id", "Item with item_id not found: item_1"),
    ("invalid_value", "Audio content of 9800ms is already shorter than 11579ms"),
]


def test_what_two_who_speak_at_once_cannot_avoid_is_counted_and_ends_nothing() -> None:
    async def work() -> None:
        async with client() as one:
            one.start()
            await one.until(lambda: one.of(SessionReady))
            peer = await one.peer()
            for code, message in BENIGN:
                await peer.refuse(code, message=message)
            await peer.send("input_audio_buffer.speech_started")
            await one.until(lambda: one.of(SpeechStarted))
            assert one.heard == [SessionReady(), *(ErrorReported(*each) for each in BENIGN), SpeechStarted()]

    run(work)


# The end


def test_a_session_that_expires_is_lost() -> None:
    async def work() -> None:
        async with client() as one:
            one.start()
            await one.until(lambda: one.of(SessionReady))
            await (await one.peer()).refuse("session_expired", message="60 minutes.")
            assert await one.lost() == "session_expired: 60 minutes."

    run(work)


@pytest.mark.parametrize("how", ["dropped", "closed", "expired", "closed while configuring"])
def test_a_connection_that_ends_is_lost_once(how: str) -> None:
    async def work() -> None:
        async with client(ignore if how.endswith("configuring") else confirm) as one:
            one.start()
            peer = await one.peer()
            await one.until(lambda: peer.messages if how.endswith("configuring") else one.of(SessionReady))
            if how == "dropped":
                peer.drop()
            elif how == "expired":
                await peer.ws.close(1001, "Your session hit the maximum duration of 60 minutes.")
            else:
                await peer.ws.close()
            reason = await one.lost()
            assert "closed" in reason
            assert how != "expired" or "60 minutes" in reason
            one.engine.append(PAYLOADS[0])  # what comes too late harms nothing
            one.engine.request_response("Say hello.")
            await one.engine.close()
            assert len(one.of(SessionLost)) == 1

    run(work)


def test_closing_is_no_loss_and_the_server_sees_it() -> None:
    async def work() -> None:
        async with client() as one:
            one.start()
            await one.until(lambda: one.of(SessionReady))
            peer = await one.peer()
            await one.engine.close()
            await one.ended()
            assert one.heard == [SessionReady()]
            await peer.ws.wait_closed()
            assert peer.ws.close_code == 1000
            await one.engine.close()
            one.engine.append(PAYLOADS[0])
            assert one.heard == [SessionReady()]

    run(work)


@pytest.mark.e2e
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "in the middle of a write"])
def test_closing_takes_half_a_second_at_most_whatever_the_peer_does(busy: bool) -> None:
    async def work() -> None:
        async with client(buffer_seconds=3600, write_seconds=30) as one:
            one.start()
            await one.until(lambda: one.of(SessionReady))
            peer = await one.peer()
            peer.stop_reading()
            if busy:
                one.engine.append("A" * (16 << 20))
                socket = one.engine._channel.socket
                assert socket is not None
                assert socket.paused, "much is still to be written"
            began = time.monotonic()
            await one.engine.close()
            await one.ended()
            assert time.monotonic() - began < 0.6
            assert one.of(SessionLost) == []

    run(work)


def test_closing_ends_a_handshake_that_hangs() -> None:
    async def work() -> None:
        async with client(connect_seconds=30) as one:
            one.server.hang = True
            one.start()
            await one.until(lambda: one.server.handshakes)
            began = time.monotonic()
            await one.engine.close()
            await one.ended()
            assert time.monotonic() - began < 0.6
            assert one.heard == []

    run(work)


def test_closing_ends_the_waiting_for_another_try() -> None:
    async def work() -> None:
        async with client(refusals=[(503, {"Retry-After": "5"})], connect_seconds=30) as one:
            one.start()
            await one.until(lambda: one.server.handshakes)
            began = time.monotonic()
            await one.engine.close()
            await one.ended()
            assert time.monotonic() - began < 0.6
            assert len(one.server.handshakes) == 1
            assert one.heard == []

    run(work)


def test_closing_before_it_runs_means_that_it_never_connects() -> None:
    async def work() -> None:
        async with client() as one:
            await one.engine.close()
            one.start()
            await one.ended()
            assert one.server.handshakes == []
            assert one.heard == []

    run(work)


@pytest.mark.parametrize("when", ["connecting", "configuring", "ready"])
def test_cancelling_leaves_nothing_behind(when: str) -> None:
    async def work() -> None:
        async with client(confirm if when == "ready" else ignore) as one:
            one.server.hang = when == "connecting"
            one.start()
            await one.until(
                lambda: {
                    "connecting": one.server.handshakes,
                    "configuring": one.server.peers and one.server.peers[0].messages,
                    "ready": one.of(SessionReady),
                }[when]
            )
            assert one.running is not None
            one.running.cancel()
            await asyncio.wait([one.running])
            assert one.running.cancelled()
            await one.nothing_left()
            assert one.of(SessionLost) == []
            for peer in one.server.peers:
                await peer.ws.wait_closed()

    run(work)


@pytest.mark.e2e
def test_a_peer_that_stops_reading_is_lost_within_the_deadline_of_a_write() -> None:
    async def work() -> None:
        async with client(buffer_seconds=3600, write_seconds=0.2) as one:
            one.start()
            await one.until(lambda: one.of(SessionReady))
            (await one.peer()).stop_reading()
            began = time.monotonic()
            one.engine.append("A" * (16 << 20))
            assert "longer than 0.2 s" in await one.lost()
            assert time.monotonic() - began < 1

    run(work)


@pytest.mark.e2e
def test_a_peer_that_stops_reading_is_lost_when_too_much_waits_for_it() -> None:
    async def work() -> None:
        async with client(buffer_seconds=10, write_seconds=30) as one:
            one.start()
            await one.until(lambda: one.of(SessionReady))
            (await one.peer()).stop_reading()
            payload = base64.b64encode(bytes(8000)).decode()
            slowest = 0.0
            while not one.running or not one.running.done():
                began = time.monotonic()
                one.engine.append(payload)
                slowest = max(slowest, time.monotonic() - began)
                await asyncio.sleep(0)
            assert "does not read" in await one.lost()
            assert slowest < 0.1

    run(work)


@pytest.mark.e2e
def test_the_conversation_of_the_session_before_may_be_long() -> None:
    """It goes out at once, and the kernel of a machine on the internet takes only tens of kilobytes at a time."""

    async def work() -> None:
        async with client(buffer_seconds=10, write_seconds=30) as one:
            one.start()
            await one.until(lambda: one.of(SessionReady))
            peer = await one.peer()
            peer.stop_reading()
            one.engine.add_context([ContextItem("system", "資" * 20_000) for _ in range(400)])
            for _ in range(300):  # six seconds of the caller
                one.engine.append("A" * 216)
            assert one.running is not None
            await asyncio.wait([one.running], timeout=0.1)
            assert not one.running.done(), "our own limit has ended a healthy session"

    run(work)


def test_a_fault_of_the_listener_is_no_silence() -> None:
    async def work() -> None:
        async with client() as one:
            one.start()
            await one.until(lambda: one.of(SessionReady))
            one.fault = ZeroDivisionError("our own bug")
            await (await one.peer()).send("input_audio_buffer.speech_started")
            assert "our own bug" in await one.lost()

    run(work)


def test_it_can_do_what_the_relay_counts_on() -> None:
    engine = OpenAIRealtime(realtime_config(), BRIEF, lambda event: None)
    assert engine.can == {
        "truncates", "cancels", "interrupts_itself", "answers_itself", "calls_tools", "updates", "sees_images",
    }  # fmt: skip
    engine.request_response()  # before there is a connection: nothing to say it to, and no reason to fail
    engine.truncate("i", 0, 1)
    engine.cancel("r")
    assert json.dumps(session(realtime_config(), BRIEF)).find("sk-") == -1
