"""What an ended call leaves: no object of ours that only the garbage collector would free, however the call ended."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from callflow.sandbox.common.phone import tone
from callflow.sandbox.openai_realtime import Call, Faults, Pace, Realtime, Say, Script, Turn
from tests.e2e.product import Product, product, until
from tests.e2e.talk import FAST, Talk, noise, saying, talk


CARRIERS = ("telnyx", "twilio")
SAMPLED = True
_OF_CALLS: Final = (
    "callflow.agent.", "callflow.call.", "callflow.engines.", "callflow.media.", "callflow.timers", "callflow.tools.",
    "carriers.",
)  # fmt: skip
_KEPT: Final = ("callflow.engines.breaker.Pace",)
"""For a while, whatever becomes of the call: how often it has connected."""
_CALLS: Final = 2
_TOOLS: Final = '''
import asyncio


async def hangs() -> str:
    """Never answers."""
    await asyncio.sleep(3600)
'''


@pytest.fixture(autouse=True)
def _without_collections() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def alive() -> Counter[str]:
    """The objects that belong to calls, by type."""
    types = [type(one) for one in gc.get_objects()]
    found = [f"{one.__module__}.{one.__qualname__}" for one in types if str(one.__module__).startswith(_OF_CALLS)]
    return Counter(name for name in found if name not in _KEPT)


async def freed(the: Product, scene: Callable[[Product], Awaitable[None]]) -> None:
    """Play the scene some times; nothing of ours may be there after it that was not there before."""
    await scene(the)  # what is made once, and stays
    await the.quiet()
    before = alive()
    for _ in range(_CALLS):
        await scene(the)
        await the.quiet()
    try:
        await until(lambda: not alive() - before, "everything to be freed", 4)
    except AssertionError:
        raise AssertionError(f"of {_CALLS} calls are left: {dict(alive() - before)}") from None


async def caller_hangs_up(the: Product) -> None:
    one = await talk(the)
    await one.phone.hears(0.2)
    one.phone.say(tone(160))
    await until(lambda: len(one.session.responses) > 1, "an answer")
    await one.call.hang_up()


async def breaks_in(the: Product) -> Talk:
    one = await talk(the)
    await one.phone.hears(0.1)
    one.phone.say(tone(600))
    await until(one.truncates, "the interruption")
    return one


async def interrupted(the: Product) -> None:
    await (await breaks_in(the)).call.hang_up()


async def loses_the_model(the: Product) -> None:
    one = await breaks_in(the)
    sessions = len(the.realtime.sessions)
    one.session.drop()
    await the.realtime.wait_session(sessions + 1)
    await one.call.hang_up()


async def loses_the_stream(the: Product) -> None:
    one = await breaks_in(the)
    one.stream.drop()
    await one.call.hang_up()


async def is_apologised_to(the: Product) -> None:
    call = await the.carrier.ring()
    await call.wait_ended(5)


async def hangs_up_while_a_tool_runs(the: Product) -> None:
    one = await talk(the)
    await until(lambda: the.app.switchboard.calls[0].agent.tool_calls.runs, "the tool")
    await one.call.hang_up()


async def is_said_goodbye_to(the: Product) -> None:
    one = await talk(the)
    await one.phone.hears(0.1)
    assert the.call.hang_up("goodbye", "a test")
    await one.call.wait_ended(5)


def long() -> Realtime:
    script = Script.of(saying(noise(4000, 1)), otherwise=saying(noise(300, 2)))
    return Realtime(script=script, pace=Pace(first_byte_ms=1))


SCENES: dict[str, tuple[Callable[[Product], Awaitable[None]], Callable[[], Realtime], dict[str, Any]]] = {
    "the caller hangs up": (caller_hangs_up, lambda: Realtime(script=Script.tone(0.2), pace=Pace.instant()), {}),
    "an interruption": (interrupted, long, {}),
    "no words are awaited": (interrupted, long, {"transcript_seconds": 0}),
    "on the sockets of websockets": (interrupted, long, {"media_server": "websockets"}),
    "on the ASGI server's sockets": (interrupted, long, {"media_server": "hypercorn"}),
    "a recording": (interrupted, long, {"record": True, "frame_batch_ms": 40}),
    "another session of the model": (loses_the_model, long, {"engine_tries": 2}),
    "no stream any more": (loses_the_stream, long, {"stream_tries": 1}),
    "the model refuses": (is_apologised_to, lambda: Realtime(faults=Faults(refuse_next=-1, refuse_status=403)), {}),
    "a tool that hangs": (
        hangs_up_while_a_tool_runs,
        lambda: Realtime(script=Script(otherwise=Turn((Say("A moment.", tone(100)), Call("hangs", {}))))),
        {},
    ),
    "a goodbye": (is_said_goodbye_to, long, {"goodbye_text": "Goodbye."}),
    "a connection that was opened ahead": (is_said_goodbye_to, long, {"engine_spare": 1}),
}


@pytest.mark.parametrize("scene", SCENES)
async def test_an_ended_call_is_freed_without_a_garbage_collection(scene: str, tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text(_TOOLS, encoding="utf-8")
    play, model, settings = SCENES[scene]
    chosen = FAST | {"tools_file": str(tmp_path / "tools.py")} | settings
    async with product(realtime=model(), **chosen) as the:
        await freed(the, play)


async def over_sip(the: Product) -> None:
    call = await the.realtime.sip.ring()
    session = await call.wait_answered()
    await session.wait_sent("output_audio_buffer.started")
    call.phone.say(tone(300))
    await until(lambda: len(session.responses) > 1, "an answer")
    await call.hang_up()


async def test_nothing_is_left_of_a_call_whose_audio_never_came_here() -> None:
    realtime = Realtime(script=Script.of(saying(noise(800, 1))), pace=Pace.instant())
    settings: dict[str, Any] = {**FAST, **realtime.sip.settings(), "greeting": "Say hello."}
    async with product(realtime=realtime, **settings) as the:
        realtime.sip.webhook_url = f"http://127.0.0.1:{the.app.public_at[1]}/openai/webhook"
        await freed(the, over_sip)
