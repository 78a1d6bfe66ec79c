"""A fuzzer at every door of a running server: signed webhooks of both carriers, media frames, events of the engine, the
operators' port. Nothing that comes in may end in a 5xx or a traceback, stay, or keep others off the record.

Ten seconds of it run in CI, ten minutes with `scripts/test --long`. The seed is printed; what has once been found lies
in `crashers/` and is said again every time.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import random
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, quote_from_bytes

import httpx
import psutil
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from callflow.sandbox.common.phone import Phone
from callflow.sandbox.openai_realtime import Call as ToolCall
from callflow.sandbox.openai_realtime import Pace, Realtime, Say, Script, Turn
from callflow.sandbox.openai_realtime.script import tone
from callflow.sandbox.telnyx import Faults, Telnyx
from callflow.sandbox.telnyx.webhooks import envelope, timestamp
from callflow.sandbox.twilio import Twilio
from tests.e2e.hostile import Battle
from tests.e2e.process import Process, serving
from tests.e2e.product import run
from tests.fuzz import grammar


CRASHERS: Final = Path(__file__).parent / "crashers"
SURFACES: Final = ("telnyx", "twilio", "media", "engine", "operators")
_DOORS: Final = (
    "/", "/incoming-call", "/twiml", "/api/twiml", "/twilio/voice", "/twilio/resume", "/twilio/fallback",
    "/twilio/status", "/twilio/stream", "/twilio/recording", "/twilio/amd",
)  # fmt: skip
_ROUTES: Final = (
    ("GET", "/health"), ("GET", "/tools"), ("GET", "/mcp"), ("POST", "/mcp"), ("GET", "/api/calls"),
    ("GET", "/api/calls/live"), ("GET", "/api/calls/{id}"), ("POST", "/api/calls/{id}/session"),
    ("GET", "/api/calls/{id}/recording"), ("GET", "/"), ("POST", "/api/calls/{text}/hangup"),
    ("GET", "/api/session"), ("PATCH", "/api/session"),
    ("GET", "/api/conversations"), ("GET", "/api/conversations/phone/{text}"), ("GET", "/api/conversations/export"),
    ("GET", "/api/conversations/phone-sid/{text}"), ("GET", "/api/conversations/stream/{id}"),
    ("POST", "/api/conversations/stream/{id}/items"), ("DELETE", "/api/conversations/stream/{text}"),
    ("DELETE", "/api/conversations"), ("HEAD", "/api/calls"), ("OPTIONS", "/api/conversations"), ("PUT", "/health"),
)  # fmt: skip
_PARAMETERS: Final = (
    "limit", "offset", "before", "live", "q", "text", "from", "to", "caller", "called", "number", "format", "part",
    "all", "phoneNumberSid",
)  # fmt: skip
_BODIES: Final = (
    {"items": [{"id": "a", "type": "message", "role": "user", "content": [{"type": "text", "text": "hi"}]}]},
    {"items": [{"id": "b", "type": "function_call", "name": "t", "arguments": "{}", "call_id": "c"}]},
    {"instructions": "Be brief.", "voice": "marin", "speed": 1.1},
    {"when": "goodbye"},
    {"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
    {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "list_conversations", "arguments": {}}},
)
TOOLS: Final = """
from callflow import tool

@tool
def echo(text: str = "") -> str:
    "Says it again."
    return text

@tool
def fails() -> str:
    "Fails."
    raise RuntimeError("as it should")
"""


@dataclass
class World:
    process: Process
    telnyx: Telnyx
    realtime: Realtime
    twilio: Twilio
    public: int
    console: int
    client: httpx.AsyncClient
    sent: dict[str, int] = field(default_factory=lambda: Counter())
    last: deque[str] = field(default_factory=lambda: deque(maxlen=40))
    """What was said most recently, as a crasher's file would hold it."""
    wrong: list[str] = field(default_factory=list)

    def say(self, surface: str, what: dict[str, Any]) -> None:
        self.sent[surface] += 1
        self.last.append(json.dumps({"surface": surface, **what})[:100_000])

    def answered(self, response: httpx.Response) -> None:
        if response.status_code >= 500:
            self.wrong.append(f"HTTP {response.status_code} {response.text[:200]!r} to {self.last[-1]}")


# What each surface is told. Every one of these is a crasher's file once it has found something.


async def tell_telnyx(the: World, body: bytes) -> None:
    the.say("telnyx", {"body": base64.b64encode(body).decode()})
    headers = {"Content-Type": "application/json", **the.telnyx.sign(body)}
    the.answered(await the.client.post(f"http://127.0.0.1:{the.public}/webhooks", content=body, headers=headers))


async def tell_twilio(the: World, path: str, pairs: list[tuple[bytes, bytes]], *, get: bool) -> None:
    shown = [[base64.b64encode(part).decode() for part in pair] for pair in pairs]
    the.say("twilio", {"path": path, "pairs": shown, "get": get})
    body = "&".join(f"{quote_from_bytes(name)}={quote_from_bytes(value)}" for name, value in pairs)
    url = f"http://127.0.0.1:{the.public}{path}"
    signed = (f"{url}?{body}" if get and body else url).encode()
    if not get:
        found: dict[bytes, set[bytes]] = {}
        for name, value in pairs:
            found.setdefault(name, set()).add(value)
        signed += b"".join(name + value for name in sorted(found) for value in sorted(found[name]))
    digest = hmac.new(the.twilio.auth_token.encode(), signed, hashlib.sha1).digest()
    headers = {"X-Twilio-Signature": base64.b64encode(digest).decode()}
    if get:
        if len(body) < 15_000:
            the.answered(await the.client.get(f"{url}?{body}" if body else url, headers=headers))
        return
    headers["Content-Type"] = "application/x-www-form-urlencoded"
    the.answered(await the.client.post(url, content=body.encode(), headers=headers))


async def tell_media(the: World, socket: ClientConnection, frame: bytes, *, text: bool) -> None:
    the.say("media", {"frame": base64.b64encode(frame).decode(), "text": text})
    await socket.send(frame.decode("utf-8", "replace") if text else frame)
    await asyncio.sleep(0)  # the other fuzzers' turn


def tell_engine(the: World, frame: bytes) -> None:
    """As every session that is open."""
    the.say("engine", {"frame": base64.b64encode(frame).decode()})
    for session in the.realtime.sessions[-20:]:
        if not session.closed:
            session.send_frame(frame.decode("utf-8", "replace"))


async def tell_operators(the: World, method: str, target: str, body: bytes | None) -> None:
    the.say("operators", {"method": method, "target": target, "body": base64.b64encode(body or b"").decode()})
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    url = f"http://127.0.0.1:{the.console}{target}"
    the.answered(await the.client.request(method, url, content=body, headers=headers))


# The fuzzers


async def fuzz_telnyx(the: World, rng: random.Random) -> None:
    samples = _telnyx_samples(the)
    while True:
        await tell_telnyx(the, grammar.message(samples, rng))


def _telnyx_samples(the: World) -> list[Any]:
    told = [
        json.loads(envelope(one.event_type, one.payload, one.event_id, 1, one.url, timestamp()))
        for one in the.telnyx.deliveries[:40]
    ]
    base = next(one for one in told if one["data"]["event_type"] == "call.initiated")
    others = ("call.dtmf.received", "streaming.failed", "call.speak.ended", "call.bridged", "call.cost", "number.order")
    for kind in others:
        other = json.loads(json.dumps(base))
        other["data"]["event_type"] = kind
        other["data"]["payload"] |= {"digit": "1", "status": "completed", "failure_reason": "x", "stream_params": {}}
        told.append(other)
    return told


async def fuzz_twilio(the: World, rng: random.Random) -> None:
    while True:
        pairs = grammar.form(_TWILIO_SAMPLES, rng)
        if rng.random() < 0.5:  # a call that nobody knows
            sid = f"CA{rng.randrange(1 << 128):032x}".encode()
            pairs = [(name, sid if name == b"CallSid" else value) for name, value in pairs]
        await tell_twilio(the, rng.choice(_DOORS), pairs, get=rng.random() < 0.2)


_CALL: Final = {
    "AccountSid": "AC" + "1" * 32, "ApiVersion": "2010-04-01", "CallSid": "CA" + "2" * 32, "CallStatus": "ringing",
    "Called": "+15550100002", "Caller": "+15550100001", "Direction": "inbound", "From": "+15550100001",
    "To": "+15550100002", "FromCountry": "US", "CalledNumberSid": "PN" + "3" * 32,
}  # fmt: skip
_TWILIO_SAMPLES: Final = (
    _CALL,
    _CALL | {"CallStatus": "in-progress"},
    _CALL | {"CallStatus": "completed", "CallDuration": "7", "SequenceNumber": "3", "SipResponseCode": "200"},
    _CALL | {"StreamEvent": "stream-error", "StreamError": "x", "StreamName": "stream-1", "StreamSid": "MZ" + "4" * 32},
    _CALL | {"StreamEvent": "stream-started", "StreamSid": "MZ" + "4" * 32, "Timestamp": "2026-01-01T00:00:00Z"},
    _CALL | {"RecordingStatus": "completed", "RecordingSid": "RE" + "5" * 32, "RecordingUrl": "https://x.example/r"},
    _CALL | {"AnsweredBy": "human", "MachineDetectionDuration": "3000"},
)


async def fuzz_media(the: World, rng: random.Random) -> None:
    while True:
        call = await the.telnyx.ring(faults=Faults(never_connect=True))
        with contextlib.suppress(OSError, WebSocketException, TimeoutError, IndexError):
            await call.wait_answered()
            mine = [one for one in the.telnyx.commands if one.call_control_id == call.control_id]
            url = next(one for one in mine if one.action == "answer").body["stream_url"]
            async with connect(url, compression=None, proxy=None, ping_interval=None, close_timeout=0.2) as socket:
                await _fuzz_one_socket(the, socket, call.control_id, rng)
        await call.hang_up()


async def _fuzz_one_socket(the: World, socket: ClientConnection, call: str, rng: random.Random) -> None:
    form = {"encoding": "PCMU", "sample_rate": 8000, "channels": 1}
    start = {"event": "start", "stream_id": "s", "start": {"call_control_id": call, "media_format": form}}
    payload = base64.b64encode(b"\xff" * 160).decode()
    samples: list[Any] = [
        {"event": "media", "stream_id": "s", "media": {"track": "inbound", "chunk": "1", "payload": payload}},
        {"event": "dtmf", "stream_id": "s", "dtmf": {"digit": "1"}},
        {"event": "mark", "mark": {"name": "1"}},
        {"event": "error", "payload": {"code": 100002, "title": "x", "detail": "y"}},
        {"event": "connected", "version": "1.0.0"},
        start,
    ]
    if rng.random() < 0.9:
        await socket.send(json.dumps(start))
    for _ in range(rng.choice((20, 300))):
        await tell_media(the, socket, grammar.message(samples, rng), text=rng.random() < 0.97)
        if rng.random() < 0.1:
            await asyncio.sleep(0.005)
    if rng.random() < 0.5:
        await socket.send('{"event":"stop"}')


async def fuzz_engine(the: World, rng: random.Random) -> None:
    calls: list[Any] = []
    while True:
        calls = [call for call in calls if call.state != "ended"]
        while len(calls) < 3:
            calls.append(await the.telnyx.ring(phone=Phone()))
        by_type: dict[str, list[Any]] = {}
        for one in [one for session in the.realtime.sessions[:2] for one in session.sent][:2000]:
            by_type.setdefault(one.type, []).append(one.event)
        for _ in range(200):
            if by_type:
                tell_engine(the, grammar.message(by_type[rng.choice(list(by_type))], rng))
            await asyncio.sleep(0.002)
        for call in calls:
            if rng.random() < 0.3:
                await call.hang_up()


async def fuzz_operators(the: World, rng: random.Random) -> None:
    names: list[str] = []
    while True:
        method, route = rng.choice(_ROUTES)
        if not names or rng.random() < 0.05:
            names = [one for one in (await _names(the)) if one] or ["x"]
        text = rng.choice(grammar.TEXTS)[:500]
        path = route.replace("{id}", quote(rng.choice([*names, text]), safe="", errors="replace"))
        path = path.replace("{text}", quote(text.encode("utf-8", "surrogatepass"), safe=""))
        if rng.random() < 0.6:
            pairs = [
                f"{rng.choice(_PARAMETERS)}={quote(rng.choice(grammar.TEXTS)[:800].encode('utf-8', 'surrogatepass'))}"
                for _ in range(rng.choice((1, 1, 2, 5)))
            ]
            path += "?" + "&".join(pairs)
        if method == "DELETE" and "all=true" in path:
            continue  # the record is looked at afterwards
        body = grammar.message(_BODIES, rng) if method in ("POST", "PUT", "DELETE") else None
        await tell_operators(the, method, path, body)


async def _names(the: World) -> list[str]:
    told = (await the.client.get(f"http://127.0.0.1:{the.console}/api/calls/live")).json()
    return [*(one["id"] for one in told["live"]), *told["recorded"][-5:]]


FUZZERS: Final[dict[str, Callable[[World, random.Random], Coroutine[Any, Any, None]]]] = {
    "telnyx": fuzz_telnyx, "twilio": fuzz_twilio, "media": fuzz_media, "engine": fuzz_engine,
    "operators": fuzz_operators,
}  # fmt: skip


# The world, and what must be left of it


@contextlib.asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    (folder / "tools.py").write_text(TOOLS, encoding="utf-8")
    telnyx = Telnyx(webhook_url="http://127.0.0.1:9/webhooks", api_key="KEY_sandbox")
    answer = Say("Yes, until four.", tone(0.3))
    turns = Turn((answer, ToolCall("echo", {"text": "a"}))), Turn((answer,)), Turn((ToolCall("fails"), answer))
    realtime = Realtime(script=Script(turns, otherwise=turns[0]), pace=Pace.instant(), keep_audio=False)
    twilio = Twilio("https://phone.example")  # its API only: it knows none of the calls that it is said to have
    env: dict[str, Any] = {
        "TOOLS_FILE": folder / "tools.py", "MAX_CONCURRENT_CALLS": 200, "ANSWER_SECONDS": 1, "STREAM_SECONDS": 1,
        "START_FRAME_SECONDS": 1, "STREAM_TRIES": 0, "ENGINE_TRIES": 1, "FAREWELL_SECONDS": 1, "GOODBYE_SECONDS": 2,
        "MAX_CALL_SECONDS": 20, "MAX_CALL_WARNING_SECONDS": 2, "RECONCILE_SECONDS": 2, "LOG_LEVEL": "info",
    }  # fmt: skip
    async with twilio:
        env |= {name.upper(): value for name, value in twilio.settings().items() if name != "public_base_url"}
        async with (
            serving(telnyx, realtime, **env) as process,
            httpx.AsyncClient(trust_env=False, verify=False, timeout=10) as client,
        ):
            public, console = await process.public_port(), await process.console_port()
            the = World(process, telnyx, realtime, twilio, public, console, client)
            call = await telnyx.ring()  # what is really said
            await call.wait_streaming()
            await call.phone.hears(0.05)
            await call.hang_up()
            await process.live(0)
            yield the


async def unharmed(the: World) -> None:
    """Nothing is left, and what comes next is served and recorded as ever."""
    for call in list(the.telnyx.calls.values()):
        if call.state != "ended":
            await call.hang_up()
    async with asyncio.timeout(60):
        while (await the.process.health())["calls"]:  # noqa: ASYNC110 - another process has no event for us
            await asyncio.sleep(0.1)
    assert "Traceback" not in the.process.said(), _story(the, "a traceback")
    assert not the.wrong, _story(the, f"{len(the.wrong)} answers of 5xx: {the.wrong[0][:2000]}")
    health = await the.process.health()
    assert health["journal"]["ok"], health
    lost = {name: health["journal"].get(name, 0) for name in ("lost", "unwritable", "failures")}
    assert not any(lost.values()), _story(the, f"records are not written: {lost}")
    the.telnyx.exchange.faults = Faults()
    the.realtime.script = Script.tone(0.2)
    await Battle(the.process, the.telnyx, the.realtime, None, None, the.public).three_calls()  # type: ignore[arg-type]


def _story(the: World, what: str) -> str:
    said = the.process.said()
    place = said.find("Traceback")
    log = said[max(place - 1500, 0) : place + 4000] if place >= 0 else said[-3000:]
    return f"{what}\n--- the server's log\n{log}\n--- said last\n" + "\n".join(list(the.last)[-8:])[:8000]


@pytest.mark.proof
@pytest.mark.timeout(900)
def test_nothing_that_comes_in_breaks_anything(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    seed = pytestconfig.getoption("--fuzz-seed") or random.SystemRandom().randrange(1 << 32)
    seconds = 600.0 if pytestconfig.getoption("--long") else 10.0
    chosen = pytestconfig.getoption("--fuzz-surface") or SURFACES
    print(f"fuzzing for {seconds:g} s: --fuzz-seed={seed}")

    async def main() -> None:
        async with world(tmp_path) as the:
            memory = psutil.Process(the.process.process.pid).memory_info
            fuzzers = {name: FUZZERS[name](the, random.Random(f"{seed}/{name}")) for name in chosen}
            tasks = {asyncio.create_task(work, name=name) for name, work in fuzzers.items()}
            ends = time.monotonic() + seconds
            early = 0
            while time.monotonic() < ends and "Traceback" not in the.process.said() and not the.wrong:
                done, _ = await asyncio.wait(tasks, timeout=0.5, return_when=asyncio.FIRST_COMPLETED)
                if done:
                    break
                if not early and time.monotonic() > ends - seconds / 2:
                    early = memory().rss
            for task in tasks:
                task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, Exception):
                    raise AssertionError(_story(the, f"a fuzzer ended: {result!r}")) from result
            await unharmed(the)
            grown = (memory().rss - early) / 1e6
            print(f"said {dict(the.sent)}; {grown:+.1f} MB in the second half")
            assert grown < 60, f"memory grew by {grown:.0f} MB in the second half"

    try:
        run(main())
    except AssertionError as error:
        raise AssertionError(f"--fuzz-seed={seed}: {error}") from error


async def test_what_once_broke_something_does_not_any_more(tmp_path: Path) -> None:
    async with world(tmp_path) as the:
        for file in sorted(CRASHERS.glob("*.json")):
            call = await the.telnyx.ring()
            await call.wait_streaming()
            for line in file.read_text(encoding="utf-8").splitlines():
                await _say_again(the, json.loads(line))
            try:
                await unharmed(the)
            except AssertionError as error:
                raise AssertionError(f"{file.name}: {error}") from error


async def _say_again(the: World, one: dict[str, Any]) -> None:
    match one["surface"]:
        case "telnyx":
            await tell_telnyx(the, base64.b64decode(one["body"]))
        case "twilio":
            pairs = [(base64.b64decode(name), base64.b64decode(value)) for name, value in one["pairs"]]
            await tell_twilio(the, one["path"], pairs, get=one["get"])
        case "engine":
            tell_engine(the, base64.b64decode(one["frame"]))
            await asyncio.sleep(0.05)
        case "operators":
            await tell_operators(the, one["method"], one["target"], base64.b64decode(one["body"]))
        case "media":
            call = await the.telnyx.ring(faults=Faults(never_connect=True))
            await call.wait_answered()
            mine = [each for each in the.telnyx.commands if each.call_control_id == call.control_id]
            url = next(each for each in mine if each.action == "answer").body["stream_url"]
            async with connect(url, compression=None, proxy=None, ping_interval=None) as socket:
                form = {"encoding": "PCMU", "sample_rate": 8000, "channels": 1}
                start = {"call_control_id": call.control_id, "media_format": form}
                await socket.send(json.dumps({"event": "start", "stream_id": "s", "start": start}))
                await tell_media(the, socket, base64.b64decode(one["frame"]), text=one["text"])
                await asyncio.sleep(0.05)
            await call.hang_up()
