"""What the tests of whole calls share beside the product: short times, short sentences, raw webhooks, and the count of
what a call has left behind."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Mapping
from time import monotonic
from typing import Any, Final
from unittest import mock

import httpx

from callflow.media.clips import Clip
from callflow.sandbox.common.phone import Phone, tone
from callflow.sandbox.openai_realtime import Pace, Realtime, Script
from callflow.sandbox.telnyx import ApiFault, Call, Faults, Telnyx, Timing
from callflow.sandbox.telnyx.webhooks import envelope, timestamp
from tests.e2e.product import Product, product, until


SOON: Final[dict[str, Any]] = {
    "answer_seconds": 2.0,
    "stream_seconds": 0.6,
    "start_frame_seconds": 0.3,
    "engine_seconds": 0.6,
}
"""Deadlines for what never comes. A busy machine may exceed them: only for tests that wait for one of them."""
SHORT: Final[dict[str, Any]] = {
    "answer_seconds": 9.0,
    "stream_seconds": 9.0,
    "start_frame_seconds": 9.0,
    "engine_seconds": 9.0,
    "stream_grace_seconds": 0.2,
    "farewell_seconds": 0.8,
    "command_seconds": 0.3,
    # How calls end is told here; how they go on in spite of everything, in test_recovery.py.
    "engine_tries": 0,
    "stream_tries": 0,
    "apology_text": "Sorry.",
    "goodbye_text": "Goodbye.",
    "busy_text": "Busy.",
    "unavailable_text": "Not now.",
}
CLIPS: Final = {
    name: Clip(name, f"The {name} clip.", tone(ms, hz))
    for name, ms, hz in (
        ("sorry", 200, 700.0),
        ("goodbye", 200, 900.0),
        ("one-moment", 100, 1100.0),
        ("busy", 200, 1300.0),
        ("unavailable", 200, 1500.0),
    )
}


def exchange(faults: Faults | None = None, *, api: list[ApiFault] | None = None, **timing: Any) -> Telnyx:
    """A carrier that takes no longer than it must."""
    times = Timing(answer_s=0.01, hangup_webhook_s=0.01, speak_s_per_char=0.02)
    for name, value in timing.items():
        setattr(times, name, value)
    faults = faults or Faults()
    faults.api += api or []
    return Telnyx(webhook_url="http://127.0.0.1:9/webhooks", faults=faults, timing=times)


def model(seconds: float = 0.2) -> Realtime:
    """Answers everything at once, with a tone."""
    return Realtime(script=Script.tone(seconds), pace=Pace.instant())


@contextlib.asynccontextmanager
async def stage(
    *, telnyx: Telnyx | None = None, realtime: Realtime | None = None, **settings: Any
) -> AsyncIterator[Product]:
    """A product that says goodbye shortly, and whose deadlines leave room for a busy machine. It must be left without
    an error of the sandbox."""
    telnyx = telnyx or exchange()
    with mock.patch("callflow.switchboard.call_configs.clips.load", return_value=CLIPS):
        async with product(carrier=telnyx, realtime=realtime or model(), **(SHORT | settings)) as the:
            yield the
            await until(lambda: not _webhooks_on_their_way(), "the last webhook to be answered", 8)
            assert telnyx.failures == [], "the emulated carrier itself failed"


def _webhooks_on_their_way() -> list[str]:
    names = [task.get_name().removeprefix("telnyx sandbox: ") for task in asyncio.all_tasks()]
    return [name for name in names if name.startswith(("webhook", "call.hangup"))]


# Webhooks by hand


def leg(**payload: Any) -> dict[str, Any]:
    """The payload of a call.initiated of a leg that the emulated carrier does not know, with a name of its own."""
    return {
        "call_control_id": f"v3:{uuid.uuid4().hex}",
        "call_leg_id": str(uuid.uuid4()),
        "call_session_id": str(uuid.uuid4()),
        "from": "+15550100001",
        "to": "+15550100002",
        "direction": "incoming",
        "state": "parked",
        **payload,
    }


def webhook(kind: str, payload: Mapping[str, Any], *, event_id: str = "") -> bytes:
    return envelope(kind, payload, event_id or str(uuid.uuid4()), 1, "http://sandbox.example/webhooks", timestamp())


async def post(
    the: Product,
    body: bytes | AsyncIterator[bytes],
    headers: Mapping[str, str] | None = None,
    *,
    path: str = "/webhooks",
    method: str = "POST",
) -> httpx.Response:
    """One request to the carriers' listener; signed as Telnyx does unless it is given headers."""
    if headers is None:
        headers = the.telnyx.sign(body) if isinstance(body, bytes) else {}
    url = f"http://127.0.0.1:{the.app.public_at[1]}{path}"
    async with httpx.AsyncClient(trust_env=False, timeout=10, verify=False) as client:
        sent = {"Content-Type": "application/json", **headers}
        return await client.request(method, url, content=body, headers=sent)


async def tell(the: Product, kind: str, payload: Mapping[str, Any], *, event_id: str = "") -> None:
    """A webhook by hand that must be taken."""
    answer = await post(the, webhook(kind, payload, event_id=event_id))
    taken(answer, kind)


def taken(answer: httpx.Response, what: str) -> None:
    assert (answer.status_code, answer.content) == (200, b'{"success":true}'), (
        f"{what}: HTTP {answer.status_code} {answer.text[:200]}"
    )


# Ends


def posted(the: Product, call: Call | None = None) -> list[str]:
    """The actions asked of the carrier, in order; of one call, or of all. What it was only asked about is none."""
    return [
        command.action
        for command in the.telnyx.commands
        if command.action != "get" and (call is None or command.call_control_id == call.control_id)
    ]


def cause(the: Product, call: str | None = None) -> str:
    """Why the only call on record ended (or that of one call)."""
    (ended,) = the.happened("ended", call)
    return str(ended.get("cause", ""))


def heard_clip(phone: Phone, name: str) -> bool:
    """Whether every byte of one of our clips has come out of the ear, without a gap in what was played."""
    return CLIPS[name].audio in phone.heard_between(0.0, monotonic())


def heard(call: Call, name: str, sentence: str) -> str:
    """How the caller heard the last sentence: "clip", "carrier", or "" for not at all."""
    if heard_clip(call.phone, name):
        return "clip"
    line = call.phone.lines.get("carrier")
    return "carrier" if sentence in call.spoken and line is not None and line.played_bytes else ""


async def over(the: Product, call: Call, timeout: float = 10.0) -> None:
    """Until the call has ended at the carrier, and the server has let go of it."""
    await call.wait_ended(timeout)
    await the.quiet()


async def conversing(the: Product, call: Call) -> None:
    """Until the caller hears the agent."""
    await call.wait_streaming()
    await call.phone.hears(0.05)


_CONNECTION: Final = ("SplitListener._serve", "TCPServer._idle_timeout", "EventWrapper.wait")
"""The tasks of one idle HTTP connection in Hypercorn. A media socket has the first, and not the second."""
_OTHERS: Final = (
    "raise_shutdown", "Lifespan.handle_lifespan",  # the listeners
    "Server.conn_handler", "serve.<locals>.protocol_handler", "Connection.write",  # the emulated model
)  # fmt: skip


def tasks() -> dict[asyncio.Task[Any], str]:
    """Every task but this one, the emulated carrier's and model's own, the listeners', and idle connections'."""
    mine = asyncio.current_task()
    found = {task: getattr(task.get_coro(), "__qualname__", "?") for task in asyncio.all_tasks() if task is not mine}
    names = list(found.values())
    idle = names.count(_CONNECTION[0]) == names.count(_CONNECTION[1])
    return {
        task: f"{task.get_name()}: {name}"
        for task, name in found.items()
        if not task.get_name().startswith("telnyx sandbox")
        and name not in _OTHERS
        and not (idle and name in _CONNECTION)
    }


async def no_more_tasks(before: Mapping[asyncio.Task[Any], str]) -> None:
    """Within 1 s no task is left that was not there before."""

    def new() -> list[str]:
        return [about for task, about in tasks().items() if task not in before]

    try:
        await until(lambda: not new(), "", 1)
    except AssertionError:
        raise AssertionError(f"tasks left behind: {new()}") from None


async def nothing_left(the: Product, before: Mapping[asyncio.Task[Any], str], call: Call) -> None:
    """Within 1 s of the step into `hangup` everything that the call owned is gone."""
    (name,) = the.app.journal.calls()
    await the.until(lambda: the.happened("ended", name), "the call to be let go of", 8)
    records = the.app.journal.read(name)
    hangup = next(record.at for record in records if record.after == "hangup")
    ended = next(record.at for record in records if record.event["event"] == "ended")
    assert ended - hangup < 1.0, f"letting go took {ended - hangup:.2f} s"
    await until(lambda: not the.app.switchboard.calls, "the call to leave the switchboard", 1)
    await until(lambda: all(one.closed for one in the.realtime.sessions), "the engine's socket to close", 1)
    await until(lambda: all(one.ended for one in call.streams), "the media socket to close", 1)

    await no_more_tasks(before)
    assert name not in {task.get_name() for task in asyncio.all_tasks()}
    commands = [one.action for one in the.telnyx.commands if one.at > call.ended_at] if call.ended_at else []
    # `get` asks whether the call is still there, after an answer that never came: it commands nothing.
    assert set(commands) <= {"hangup", "get"}, f"commands after the end: {commands}"
