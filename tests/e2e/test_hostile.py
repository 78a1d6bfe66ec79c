"""What strangers, and peers that are let in, can do to the calls of others: nothing that anybody hears."""

from __future__ import annotations

import asyncio
import functools
import json
import struct
import tempfile
import time
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import pytest

from callflow.sandbox.openai_realtime import Call as ToolCall
from callflow.sandbox.openai_realtime import Pace, Realtime, Say, Script, Turn
from callflow.sandbox.openai_realtime.script import tone
from callflow.sandbox.telnyx import Call, Faults, Telnyx
from callflow.sandbox.telnyx.webhooks import envelope, timestamp
from tests.e2e.hostile import Battle, battle
from tests.e2e.process import SERVER, python, serving
from tests.e2e.product import until
from tests.sample import Sample


FORM: Final = "application/x-www-form-urlencoded"
TWILIO: Final = {"Content_Type": FORM, "X_Twilio_Signature": "A" * 27 + "="}
"""Has the form of a signature, and is none."""


def telnyx_headers() -> dict[str, str]:
    return {"telnyx_timestamp": str(int(time.time())), "telnyx_signature_ed25519": "A" * 86 + "=="}


async def at_once(work: Callable[[], Any], times: int = 8) -> list[bytes]:
    return list(await asyncio.gather(*(work() for _ in range(times))))


@pytest.mark.alone
async def test_strangers_cost_the_calls_of_others_nothing(some: Sample) -> None:
    """At every door, before it is known who asks: eight at a time."""
    async with battle() as the:
        attacks: dict[str, tuple[Callable[[], Any], set[bytes]]] = {
            "a form of percent escapes that are no UTF-8": (
                lambda: the.post("/", b"%41\xff" * 16_000, **TWILIO), {b"403"}
            ),
            "the same, sixteen times as long": (
                lambda: the.post("/incoming-call", b"%41\xff" * 260_000, **TWILIO), {b"413"}
            ),
            "a form of many parameters": (
                lambda: the.post("/twilio/status", b"&".join(b"a%d=%%41" % n for n in range(999)), **TWILIO),
                {b"403"},
            ),
            "a form of nothing but separators": (lambda: the.post("/twiml", b"&" * 65_000, **TWILIO), {b"400"}),
            "no signature at all": (lambda: the.post("/", b"a=%41\xff&" * 7_000, Content_Type=FORM), {b"403"}),
            "what is no signature": (
                lambda: the.post("/", b"a=%41\xff&" * 7_000, Content_Type=FORM, X_Twilio_Signature="x"), {b"403"}
            ),
            "a long query": (
                lambda: the.raw(
                    b"GET /?CallSid=1&" + b"%41%ff&" * 1_000 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                        b"X-Twilio-Signature: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"
                ),
                {b"403"},
            ),
            "JSON that is nested": (lambda: the.post("/webhooks", b"[" * 250_000, **telnyx_headers()), {b"403"}),
            "JSON of a megabyte": (lambda: the.post("/webhooks/", b"[" * 1_000_000, **telnyx_headers()), {b"403"}),
            "JSON of two": (lambda: the.post("/webhooks/", b"[" * 2_000_000, **telnyx_headers()), {b"413"}),
            "a body hash of odd characters": (
                lambda: the.post("/?bodySHA256=%C3%A9", b"{}", X_Twilio_Signature="A" * 27 + "="), {b"403"}
            ),
            "a body in chunks of a byte": (
                lambda: the.raw(
                    b"POST /webhooks HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
                    + b"1\r\na\r\n" * 10_000 + b"0\r\n\r\n"
                ),
                {b"403"},
            ),
            "two thousand headers": (
                lambda: the.raw(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a:b\r\n" * 2_000 + b"\r\n"), {b"431"}
            ),
        }  # fmt: skip
        for what, (attack, expected) in some(attacks.items(), 2):
            answers = await the.unharmed(what, functools.partial(at_once, attack))
            statuses = {answer.split(b" ")[1] for answer in answers if answer}
            assert statuses == expected, f"{what}: {answers[0][:200]!r}"
        refused = [line for line in the.process.err if "webhook refused" in line]
        assert len(refused) < 20, f"refusals fill the log: {len(refused)} lines"


TWO_ENDS: Final = {
    "length and chunks": (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"
    ),
    "chunks and length": (
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", b"400"
    ),
    "two lengths": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", b"400"),
    "another coding": (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", b"501"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0", b"505"),
}  # fmt: skip


async def test_a_request_whose_end_can_be_read_in_two_ways_ends_its_connection() -> None:
    async with battle() as the:
        smuggled = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
        for what, (request, status) in TWO_ENDS.items():
            reader, writer = await asyncio.open_connection("127.0.0.1", the.port)
            writer.write(request + smuggled)
            answer = await asyncio.wait_for(reader.read(), 5)
            writer.close()
            assert answer.split(b" ")[1] == status, f"{what}: {answer!r}"
            assert answer.count(b"HTTP/1.1 ") == 1, f"{what}: what was smuggled behind it was answered: {answer!r}"


async def test_no_upgrade_to_http2() -> None:
    async with battle() as the:
        answer = await the.raw(
            b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\n"
            b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
        )
        assert answer.startswith(b"HTTP/1.1 200"), answer


# Peers that were let in


def message(payload: bytes, *, compressed: bool = False, opcode: int = 1) -> bytes:
    """One WebSocket frame of a client."""
    length = len(payload)
    if length < 126:
        size = bytes([0x80 | length])
    elif length < 1 << 16:
        size = bytes([0x80 | 126]) + struct.pack(">H", length)
    else:
        size = bytes([0x80 | 127]) + struct.pack(">Q", length)
    return bytes([0x80 | opcode | (0x40 if compressed else 0)]) + size + b"\0\0\0\0" + payload


@lru_cache
def bomb() -> bytes:
    """200 MB of zeros, compressed."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = b"\0" * 1_000_000
    return b"".join(deflate.compress(zeros) for _ in range(200)) + deflate.flush(zlib.Z_SYNC_FLUSH)


async def let_in(the: Battle) -> tuple[Call, str]:
    """A call whose media socket the test opens itself, and that socket's address."""
    call = await the.telnyx.ring(faults=Faults(never_connect=True))
    await call.wait_answered()
    answers = [one for one in the.telnyx.commands if one.action == "answer" and one.call_control_id == call.control_id]
    return call, answers[0].body["stream_url"]


async def open_media(url: str, *headers: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    lines = [
        f"GET {parts.path} HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: Upgrade",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13", *headers,
    ]  # fmt: skip
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    return reader, writer, await reader.readuntil(b"\r\n\r\n")


def start_of(call: Call) -> bytes:
    form = {"encoding": "PCMU", "sample_rate": 8000, "channels": 1}
    start = {"call_control_id": call.control_id, "media_format": form}
    return message(json.dumps({"event": "start", "stream_id": "s", "start": start}).encode())


async def send(the: Battle, messages: list[bytes], *, started: bool = True, headers: tuple[str, ...] = ()) -> bytes:
    """All of them on one media socket. Returns the handshake's answer, once the call has ended."""
    call, url = await let_in(the)
    _, writer, handshake = await open_media(url, *headers)
    try:
        if started:
            writer.write(start_of(call))
        for one in messages:
            writer.write(one)
            await writer.drain()
            await asyncio.sleep(0)
    except ConnectionError:
        pass  # the server has closed it, and may
    asked = time.monotonic()
    await call.hang_up()
    while (await the.process.health())["calls"] > 1:
        assert time.monotonic() - asked < 5, "the call lives on after its hang-up"
        await asyncio.sleep(0.02)
    writer.close()
    return handshake


@pytest.mark.alone
async def test_a_carrier_s_socket_that_sends_what_no_carrier_sends_harms_no_other_call(some: Sample) -> None:
    def media(size: int) -> bytes:
        return b'{"event":"media","media":{"chunk":"1","payload":"' + b"/" * size + b'"}}'

    attacks = {
        "frames of 4 MB": [message(media(4 << 20))] * 10,
        "frames just below the bound": [message(media(500 << 10))] * 10,
        "audio of half a minute in one frame": [message(media(300 << 10))] * 20,
        "nested frames": [message(b"[" * 500_000)] * 5,
        "frames of bytes": [message(b"\0" * 500_000, opcode=2)] * 5,
        "a long name of a stream": [message(b'{"event":"start","stream_id":"' + b"x" * 400_000 + b'","start":{}}')],
        "garbage": [message(b"}") * 75] * 100,
        "keys": [message(b'{"event":"dtmf","dtmf":{"digit":"1"}}') * 75] * 200,
        "keys that are none": [message(b'{"event":"dtmf","dtmf":{"digit":"x"}}') * 75] * 200,
        "marks that nobody sent": [message(b'{"event":"mark","mark":{"name":"x"}}') * 75] * 100,
        "frames of one byte": [message(b'{"event":"media","media":{"payload":"/w=="}}') * 75] * 50,
        "pings": [message(b"x", opcode=9) * 75] * 100,
    }
    complaints = [message(b'{"event":"error","payload":{"code":"1","title":"a\\nb"}}') * 75] * 100
    async with battle() as the:
        for what, messages in [*some(attacks.items(), 2), ("complaints", complaints)]:
            await the.unharmed(what, functools.partial(send, the, messages))
        said = the.process.said()
        assert 1 <= said.count("complains about our media") <= 4, "once a call"
        assert "a\\nb" in said, "a line break of the carrier's is shown as an escape"


async def test_media_sockets_are_not_compressed() -> None:
    zeros = bomb()
    async with battle() as the:
        offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
        attack = functools.partial(send, the, [message(zeros, compressed=True)], headers=(offer,))
        handshake = await the.unharmed("200 MB of zeros in 200 kB", attack)
        assert b" 101 " in handshake
        assert b"deflate" not in handshake.lower()


async def test_a_flood_of_keys_neither_holds_up_a_hang_up_nor_hides_what_was_typed() -> None:
    async with battle() as the:
        call, url = await let_in(the)
        _, writer, _ = await open_media(url)
        writer.write(start_of(call))
        key = message(b'{"event":"dtmf","dtmf":{"digit":"7"}}')
        flooding = True

        async def flood() -> None:
            while flooding:
                writer.write(key * 75)
                await writer.drain()
                await asyncio.sleep(0.01)

        task = asyncio.create_task(flood())
        await until(lambda: "keys come faster" in the.process.said(), "the flood to be noticed", 5)
        asked = time.monotonic()
        await call.hang_up()
        hangup = [one for one in the.telnyx.deliveries if one.event_type == "call.hangup"]
        await until(lambda: [one for one in the.telnyx.deliveries if one.event_type == "call.hangup"], "it", 5)
        await the.process.live(1)
        assert time.monotonic() - asked < 2
        assert all(one.status == 200 for one in hangup), "the hang-up was refused"
        flooding = False
        await asyncio.gather(task, return_exceptions=True)
        writer.close()


# What is shown of it


HOSTILE: Final = "\x1b]0;owned\x07\x9b2J\r\n2026-01-01 00:00:00,000 ERROR   callflow: forged\u202e\u2028"
CONTROLS: Final = {chr(code) for code in (*range(0x20), *range(0x7F, 0xA0), 0x202E, 0x2028)} - {"\n"}


async def test_what_comes_from_outside_runs_in_no_terminal_and_writes_no_line_of_the_log() -> None:
    """A caller's number, a cause, a transcript, a tool's output, a header, an error; printed, logged, exported."""
    lines = (
        f"import json\ndef hostile(text: str = '') -> str:\n    'Says it.'\n    return {HOSTILE!r}\ntools = [hostile]\n"
    )
    answer = Turn((Say(f"It is {HOSTILE}", tone(0.2)), ToolCall("hostile", {"text": HOSTILE})))
    with tempfile.TemporaryDirectory() as folder:
        tools = Path(folder) / "tools.py"
        tools.write_text(lines, encoding="utf-8")
        telnyx = Telnyx(webhook_url="http://127.0.0.1:9/webhooks")
        realtime = Realtime(script=Script.of(answer, heard=[HOSTILE]), pace=Pace.instant())
        async with serving(telnyx, realtime, TOOLS_FILE=tools, LOG_LEVEL="debug", DATA_DIR=folder) as process:
            port, console = await process.public_port(), await process.console_port()
            call = await telnyx.ring(from_number="+15550100001")
            await call.wait_streaming()
            await call.phone.hears(0.1)
            realtime.sessions[0].emit("error", error={"code": HOSTILE, "message": HOSTILE})
            async with httpx.AsyncClient(trust_env=False, verify=False) as client:
                base = f"http://127.0.0.1:{port}"
                ids = {"call_control_id": "v3:odd", "call_leg_id": "odd", "call_session_id": "odd"}
                about = {**ids, "from": HOSTILE, "to": HOSTILE, "direction": "incoming"}
                for kind, more in (
                    ("call.initiated", {}), (HOSTILE, {}), ("call.hangup", {"hangup_cause": HOSTILE}),
                ):  # fmt: skip
                    body = envelope(kind, about | more, HOSTILE + kind, 1, base, timestamp())
                    headers = {"Content-Type": "application/json", **telnyx.sign(body)}
                    assert (await client.post(f"{base}/webhooks", content=body, headers=headers)).status_code == 200
                odd = {b"telnyx-signature-ed25519": b"x\x9b31mforged", b"telnyx-timestamp": b"1\x85"}
                await client.post(f"{base}/webhooks", content=b"{}", headers=odd)
                await call.hang_up()
                await process.live(0)
                operators = f"http://127.0.0.1:{console}"
                shown: dict[str, str] = {}
                recorded = (await client.get(f"{operators}/api/calls/live")).json()["recorded"]
                for path in (
                    "/api/calls", "/api/calls/live", "/api/conversations", "/api/conversations/export", "/tools",
                    "/api/conversations/export?format=csv", *(f"/api/calls/{name}" for name in recorded),
                ):  # fmt: skip
                    answered = await client.get(f"{operators}{path}")
                    assert answered.status_code == 200, path
                    shown[path] = answered.text.replace("\r\n", "\n") if "csv" in path else answered.text
            for words in ([], *([name] for name in recorded), *([name, "--save", "x.jsonl"] for name in recorded)):
                async with python(SERVER, "calls", *words, env={"DATA_DIR": folder}) as command:
                    assert await command.ended(30) == 0, command.said()
                    shown[f"calls {' '.join(words)}"] = command.said()
                    if "--save" in words:
                        shown["the saved file"] = (command.folder / "x.jsonl").read_text()
            await process.stop()
            await process.ended()
            shown["the log"] = "".join(process.err)
    raw = {what: sorted(found) for what, text in shown.items() if (found := CONTROLS & set(text))}
    assert not raw, f"control characters came out raw: {raw}"
    assert any("owned" in text for what, text in shown.items() if what.startswith("calls ")), "the test shows nothing"
    log = shown["the log"].splitlines()
    forged = [line for line in log if "forged" in line and line.startswith("2026-01-01")]
    assert not forged, forged


# The engine


@pytest.mark.alone
async def test_an_engine_that_floods_one_call_harms_no_other(some: Sample) -> None:
    """Ten thousand events at a time."""
    floods: dict[str, Any] = {
        "unknown events": {"type": "x"},
        "errors": {"type": "error", "error": {"code": "odd", "message": "odd"}},
        "starts of speech": {"type": "input_audio_buffer.speech_started", "audio_start_ms": 1, "item_id": "i"},
        "words": {"type": "response.output_audio_transcript.delta", "item_id": "a", "response_id": "r", "delta": "so "},
        "bills": {
            "type": "response.done",
            "response": {"id": "r", "status": "completed", "usage": {"total_tokens": 1}},
        },
        "beginnings": {"type": "response.created", "response": {"id": "r"}},
        "empty audio": {"type": "response.output_audio.delta", "item_id": "a", "response_id": "r", "delta": "/w=="},
    }

    async def flood(the: Battle, event: str) -> None:
        other = await the.telnyx.ring()
        await other.wait_streaming()
        session = await the.realtime.wait_session(len(the.realtime.sessions))
        for _ in range(100):
            for _ in range(100):
                session.send_frame(event)
            await asyncio.sleep(0)
        await asyncio.sleep(1)
        await other.hang_up()

    async with battle() as the:
        for what, event in some(floods.items(), 3):
            await the.unharmed(what, functools.partial(flood, the, json.dumps(event)))


@pytest.mark.alone
async def test_long_texts_of_one_call_harm_no_other(some: Sample) -> None:
    """What is said, handed to a tool and answered by one is looked through for cards on its way to the record."""
    counted = " ".join(map(str, range(1, 4_000)))
    cards = "4111 1111 1111 1111 and " * 800
    tools = """
def numbers() -> list:
    "Seven thousand of them."
    return [number * 7919 % 10**9 for number in range(7_000)]

def nested() -> str:
    "Text of a web page."
    return "[" * 5_000

def halves() -> str:
    "Half a character."
    return "\\ud800" * 5_000

def large() -> str:
    "Three million characters."
    return "x" * 3_000_000

tools = [numbers, nested, halves, large]
"""

    def spoken(item: str, text: str) -> dict[str, Any]:
        return {
            "type": "response.output_audio_transcript.done",
            "item_id": item,
            "response_id": "r",
            "transcript": text,
        }

    def called(name: str, arguments: str = "{}") -> dict[str, Any]:
        call = {"type": "function_call", "id": f"i{name}", "call_id": f"c{name}", "name": name, "arguments": arguments}
        response = {"id": f"r{name}", "status": "completed", "output": [call | {"status": "completed"}]}
        return {"type": "response.done", "response": response}

    said: dict[str, dict[str, Any]] = {
        "counting to four thousand": spoken("a", counted),
        "one long number": spoken("b", "1" * 20_000),
        "many cards": spoken("c", cards),
        "digits that end in a letter": spoken("d", "1 2 3 4 5 6 7 8 9 0 1 2a " * 800),
        "a tool with seven thousand numbers": called("numbers"),
        "a tool with a nest": called("nested"),
        "a tool with halves of characters": called("halves"),
        "a tool with three million characters": called("large"),
        "600 kB of arguments": called("none", '{"a": "' + "1 2 " * 150_000 + '"}'),
        "nested arguments": called("nobody", '{"a": ' + "[" * 50_000),
    }

    async def say(the: Battle, what: str, event: dict[str, Any]) -> None:
        other = await the.telnyx.ring()
        await other.wait_streaming()
        session = await the.realtime.wait_session(len(the.realtime.sessions))
        session.send_frame(json.dumps(event))
        if event["type"] == "response.done":
            call = event["response"]["output"][0]["call_id"]

            def answers() -> int:
                made = [one.event.get("item", {}) for one in session.received]
                return sum(item.get("call_id") == call for item in made if "output" in item)

            await until(answers, f"the answer of {what}", 10)
            assert answers() == 1, f"{what}: {answers()} answers"
        await asyncio.sleep(0.5)
        await other.hang_up()

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tools.py"
        file.write_text(tools, encoding="utf-8")
        async with battle(TOOLS_FILE=file, REDACT_PATTERNS=r"(\d+\s?)+X") as the:
            for what, event in some(said.items(), 2):
                await the.unharmed(what, functools.partial(say, the, what, event))
