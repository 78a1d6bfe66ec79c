"""What operators watch live: the wall and single calls, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any
from unittest import mock

import httpx

from callflow.sandbox.common.phone import tone
from callflow.sandbox.openai_realtime import Pace, Realtime, Script, Turn
from callflow.web.console.live import sse
from callflow.web.console.live.entries import Encoder
from tests.e2e.product import Product, product, until
from tests.e2e.talk import FAST, Talk, noise, talk
from tests.e2e.viewer import Viewer, watching


CARRIERS = ("telnyx", "twilio")
SAMPLED = True

GREETING = "Good day, this is the bakery, and we have fresh bread."


@contextlib.asynccontextmanager
async def stage(**settings: Any) -> AsyncIterator[Product]:
    script = Script.of(
        Turn.say(GREETING, noise(900, 1)), otherwise=Turn.say("Yes, of course.", noise(400, 2)),
        heard=("Have you got rye bread?",),
    )  # fmt: skip
    async with product(realtime=Realtime(script=script, pace=Pace.instant()), **{**FAST, **settings}) as the:
        yield the


def port(the: Product) -> int:
    return the.app.console_at[1]


async def asked(the: Product, one: Talk) -> None:
    """The caller asks something when the greeting is over, and hears the answer."""
    await one.phone.hears_silence(300)
    one.phone.say(tone(500))
    await until(lambda: the.happened("latency"), "an answer to be heard")


async def test_the_wall_shows_a_call_from_its_beginning_to_its_end() -> None:
    async with stage() as the, watching(port(the), "/api/live") as viewer:
        first = await viewer.until("snapshot")
        assert (first["calls"], first["counters"]["live"]) == ([], 0)
        one = await talk(the)
        name = the.call.id
        row = await viewer.until("call", id=name, speaking="agent")
        assert (row["state"], row["direction"], row["business"]) == ("streaming", "inbound", "")
        assert row["answered"] >= row["began"]
        assert row["cost"]["dollars"] >= 0
        assert row["warnings"] == []
        await asked(the, one)
        await until(lambda: any(row["latency_ms"] is not None for row in viewer.of("call")), "the latency in a row")
        both = [levels[name] for levels in viewer.of("levels") if name in levels]
        assert max(agent for _, agent in both) > 0.3, "the agent was not seen speaking"
        assert max(caller for caller, _ in both) > 0.3, "the caller was not seen speaking"
        await one.call.hang_up()
        gone = await viewer.until("gone", id=name)
        assert gone["result"] == "success"
        counters = await viewer.until("counters", ended={"success": 1})
        assert (counters["live"], counters["today"], counters["latency_p50_ms"] is not None) == (0, 1, True)
        async with httpx.AsyncClient(trust_env=False) as client:
            hour = (await client.get(f"http://127.0.0.1:{port(the)}/api/live/hour")).json()
        assert (sum(hour["calls"]), hour["ended"]) == (1, {"success": 1})
        assert len({len(hour[each]) for each in ("at", "calls", "p50", "p95", "lag")}) == 1


async def test_nothing_is_tapped_or_looked_at_when_nobody_watches() -> None:
    async with stage() as the:
        await talk(the)
        relay = the.call.relay
        assert not relay.taps
        async with watching(port(the), "/api/live"):
            await until(lambda: relay.taps, "the levels")
        await until(lambda: not relay.taps, "the end of the levels")
        assert the.app.live_service.seats.taken == 0
        looks = the.app.live_service.wall.looks
        await asyncio.sleep(0.5)
        assert the.app.live_service.wall.looks == looks


async def test_late_and_returning_viewers_get_the_whole_story_once() -> None:
    async with stage() as the:
        one = await talk(the)
        name = the.call.id
        path = f"/api/live/{name}/events"
        async with contextlib.AsyncExitStack() as viewers:
            early = await viewers.enter_async_context(watching(port(the), path))
            await until(lambda: len(early.ids) > 4, "the beginning")
            async with watching(port(the), path) as leaves:
                await until(lambda: len(leaves.ids) > 3, "the beginning")
            await asked(the, one)
            back = await viewers.enter_async_context(watching(port(the), path, Last_Event_ID=leaves.ids[-1]))
            late = await viewers.enter_async_context(watching(port(the), path))
            by_carrier = the.call.ids.control
            named = await viewers.enter_async_context(watching(port(the), f"/api/live/{by_carrier}/events"))
            await one.call.hang_up()
            for viewer in (early, back, late, named):
                over = await viewer.until("over")
                assert over["result"] == "success"
                await viewer.ends()
        whole = [entry.name for entry in the.app.journal.read(name)]
        ended = whole.index("ended") + 1
        assert early.kinds == late.kinds == named.kinds == whole[:ended]
        assert leaves.ids + back.ids == early.ids == late.ids == sorted(early.ids), "something twice, or missing"
        async with watching(port(the), path) as after:
            await after.until("over")
        assert after.ids[:ended] == early.ids
        turns = {
            (entry["note"]["who"], entry["note"]["text"]) for entry in after.of("entry") if entry["kind"] == "turn"
        }
        assert ("agent", GREETING) in turns
        assert ("caller", "Have you got rye bread?") in turns
        words = {each["text"] for each in early.of("partial")}
        assert all(GREETING.startswith(text) for text in words if text.startswith("Good")), words


async def test_a_hundred_viewers_of_one_call_cost_one_serialisation() -> None:
    async with stage() as the, contextlib.AsyncExitStack() as viewers:
        one = await talk(the)
        name = the.call.id
        with mock.patch.object(Encoder, "encode", autospec=True, side_effect=Encoder.encode) as encoding:
            path = f"/api/live/{name}/events"
            crowd: list[Viewer] = [await viewers.enter_async_context(watching(port(the), path)) for _ in range(100)]
            await asked(the, one)
            await one.call.hang_up()
            for viewer in crowd:
                await viewer.until("over", 20)
        ended = len(crowd[0].ids)
        assert all(viewer.ids == crowd[0].ids for viewer in crowd)
        assert encoding.call_count == ended
        assert the.app.live_service.seats.taken <= 100


async def test_a_viewer_who_does_not_read_costs_nobody_else_anything() -> None:
    with mock.patch.object(sse, "_SEND_SECONDS", 1.0):
        async with stage() as the, watching(port(the), "/api/live") as viewer:
            with socket.socket() as deaf:
                deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                deaf.setblocking(False)
                loop = asyncio.get_running_loop()
                await loop.sock_connect(deaf, ("127.0.0.1", port(the)))
                await loop.sock_sendall(deaf, b"GET /api/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
                await until(lambda: the.app.live_service.seats.taken == 2, "both viewers")
                for number in range(6000):
                    the.app.live_service.wall._tell("call", {"id": "c", "number": number, "much": "x" * 2000}, "")
                    if number % 100 == 0:
                        (channel,) = the.app.live_service.wall._channels.values()
                        channel.signal.set()
                        await asyncio.sleep(0)
                        await viewer.until("call", id="c", number=number)
                assert len(channel.frames) <= 2000
                await until(lambda: the.app.live_service.seats.taken == 1, "the deaf one to be let go of")
            assert len(viewer.of("snapshot")) == 1, "the other one was never behind"


async def test_one_viewer_too_many_is_told_so() -> None:
    async with stage() as the:
        the.app.live_service.seats._most = 1
        async with watching(port(the), "/api/live"):
            await until(lambda: the.app.live_service.seats.taken == 1, "the first")
            async with httpx.AsyncClient(trust_env=False) as client:
                answer = await client.get(f"http://127.0.0.1:{port(the)}/api/live")
            assert (answer.status_code, "viewers" in answer.json()["error"]) == (503, True)
            assert answer.headers["retry-after"]


async def test_a_server_that_stops_does_not_wait_for_its_viewers() -> None:
    async with contextlib.AsyncExitStack() as viewers:
        async with stage() as the:
            await talk(the)
            wall = await viewers.enter_async_context(watching(port(the), "/api/live"))
            one = await viewers.enter_async_context(watching(port(the), f"/api/live/{the.call.id}/events"))
            await until(lambda: wall.seen and one.seen, "both")
        assert wall.is_over, wall.lost
        assert one.is_over, one.lost


BAKERY, TAXIS = "the-token-of-the-bakery-5678", "the-token-of-the-taxis-5678"


async def test_each_business_sees_its_own_calls_only() -> None:
    async with (
        stage(
            console_token="the-token-of-the-owner-5678",
            console_tokens=f"oven:view:bakery:{BAKERY},desk:view:taxis:{TAXIS}",
            profiles={"bread": {"numbers": ["+15550100002"], "business": "bakery"}},
        ) as the,
        contextlib.AsyncExitStack() as viewers,
    ):
        bakery, taxis = [
            await viewers.enter_async_context(watching(port(the), "/api/live", Authorization=f"Bearer {token}"))
            for token in (BAKERY, TAXIS)
        ]
        await talk(the)
        name = the.call.id
        row = await bakery.until("call", id=name)
        assert row["from"] == "+1555•••0001", "who may only view sees no numbers"
        await bakery.until("levels")
        await taxis.until("counters")
        assert not (taxis.of("call"))
        assert not (taxis.of("levels"))
        path = f"/api/live/{name}/events"
        own = await viewers.enter_async_context(watching(port(the), path, Authorization=f"Bearer {BAKERY}"))
        foreign = await viewers.enter_async_context(watching(port(the), path, Authorization=f"Bearer {TAXIS}"))
        assert (own.status, foreign.status) == (200, 404)
        await own.until("entry", kind="began")
        assert own.of("entry")[0]["note"]["from"] == "+1555•••0001"


async def test_the_older_mirror_of_one_call_has_its_lines() -> None:
    async with stage() as the:
        one = await talk(the)
        path = f"/api/live/{the.call.id}/sse"
        async with watching(port(the), path) as viewer:
            await asked(the, one)
            await one.call.hang_up()
            await until(lambda: viewer.is_over, "the end")
        lines = [(line["type"], line["text"]) for line in viewer.of("line")]
        assert lines[0] == ("assistant", GREETING)
        assert ("user", "Have you got rye bread?") in lines
        assert lines[-1][0] == "ended"
        last = viewer.seen[-1].id
        async with watching(port(the), path, Last_Event_ID=last) as viewer:
            assert viewer.status == 204, "a browser comes back for ever"
        assert the.app.live_service.stories._open == {}
