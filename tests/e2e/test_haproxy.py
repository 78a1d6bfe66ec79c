"""The configuration that `server.py haproxy` prints, in a real HAProxy, before small servers: what belongs to a call
goes to the server that has it, and when one dies nobody waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from callflow.cli.haproxy import Server
from tests.e2e.haproxy import HAProxy, Node, Socket, haproxy, in_front_of, program
from tests.e2e.process import serving
from tests.e2e.product import until
from tests.e2e.scenes import exchange, model
from tests.ports import free_port


def told(what: str, seconds: float) -> None:
    """For docs/operations.md, with `pytest -s`."""
    print(f"\n{what}: {seconds * 1000:.0f} ms")


async def until_answered(the: HAProxy, target: str, wanted: Callable[[int, str], bool], within: float) -> float:
    """Ask again and again. Returns after how many seconds the answer was as wanted."""
    began = time.perf_counter()
    while not wanted(*await the.ask(target)):
        assert time.perf_counter() - began < within, f"{target} is not answered as it should be"
        await asyncio.sleep(0.01)
    return time.perf_counter() - began


async def test_what_names_a_server_gets_there_whole_also_while_it_drains_and_new_calls_go_elsewhere(
    tmp_path: Path,
) -> None:
    a, b = Node("a"), Node("b")
    async with haproxy(tmp_path, [a, b]) as the:
        assert [await the.ask(f"/nodes/{name}/webhooks?x=%2B1%201") for name in ("a", "b", "a-w1", "b-w12")] == [
            (200, "a"), (200, "b"), (200, "a"), (200, "b"),
        ]  # fmt: skip
        assert a.of_carriers() == ["POST /nodes/a/webhooks?x=%2B1%201", "POST /nodes/a-w1/webhooks?x=%2B1%201"]
        assert "host: phone.example\r\n" in a.heads[0].lower(), "a carrier has signed it"
        assert {(await the.ask("/webhooks"))[1] for _ in range(8)} == {"a", "b"}
        assert [(await the.ask(path, "GET"))[0] for path in ("/ready", "/nodes/a/ready", "/nodes/gone/x")] == [
            404, 404, 200,
        ]  # fmt: skip
        line = await the.socket("/nodes/b-w2/media-stream/token")
        assert line.node == "b"

        b.ready = False
        began, checked = time.perf_counter(), len(b.requests)
        await until(lambda: "GET /ready" in b.requests[checked:], "the next check")
        for _ in range(3):  # in turn, while both get new calls
            await until_answered(the, "/webhooks", lambda _, name: name == "a", 2)
        told("a full server gets no new call after", time.perf_counter() - began)
        assert {(await the.ask("/webhooks"))[1] for _ in range(8)} == {"a"}
        assert await the.ask("/nodes/b/webhooks") == (200, "b"), "its calls are still its own"
        again = await the.socket("/nodes/b/media-stream/token")
        assert again.node == "b"
        assert await line.echo(b"x" * 160)

        a.ready = False
        checked = len(a.requests)
        await until(lambda: a.requests[checked:].count("GET /ready") >= 2, "the next check")
        await asyncio.gather(*(the.ask("/webhooks") for _ in range(4)))
        assert (await the.ask("/webhooks"))[0] == 200, "where all are full, one of them says what the caller hears"


async def test_a_dead_server_is_passed_over_at_once_and_what_it_may_have_seen_is_not_sent_twice(tmp_path: Path) -> None:
    a, b = Node("a"), Node("b")
    async with haproxy(tmp_path, [a, b]) as the:
        of_a, of_b = await the.socket("/nodes/a/media-stream/t"), await the.socket("/nodes/b/media-stream/t")
        a.drops = True
        seen = len(b.of_carriers())
        assert (await the.ask("/nodes/a/webhooks"))[0] in (0, 502)
        assert len(b.of_carriers()) == seen, "a request that was read, and answered by nobody, was sent again"
        a.drops = False

        await a.die()
        waits, answers = [], []
        for _ in range(100):  # longer than the checks take to find out
            began = time.perf_counter()
            answers.append(await the.ask("/nodes/a/webhooks"))
            assert (await the.ask("/webhooks"))[1] == "b"
            waits.append(time.perf_counter() - began)
            await asyncio.sleep(0.01)
        told("longest wait of two requests beside a dead server", max(waits))
        # Whoever is on the way to it at the moment in which the checks find it dead waits for `timeout connect`, or is
        # sent away, and comes again.
        assert sorted(waits)[-2] < 0.4
        assert max(waits) < 0.5 + 0.4
        closed = [answer for answer in answers if answer != (200, "b")]
        assert len(closed) <= 1, closed
        assert {status for status, _ in closed} <= {0, 502, 503}
        assert (await the.socket("/nodes/a/media-stream/t")).node == "b"
        assert not await of_a.echo(b"x")
        assert await of_b.echo(b"x" * 160), "what the other server carries is not touched"

        await a.start()
        seconds = await until_answered(the, "/nodes/a/webhooks", lambda _, name: name == "a", 3)
        told("a server that is back has its name again after", seconds)


async def test_who_waits_for_a_frozen_server_is_told_and_its_media_sockets_are_left_open(tmp_path: Path) -> None:
    a, b = Node("a"), Node("b")
    async with haproxy(tmp_path, [a, b]) as the:
        line = await the.socket("/nodes/a/media-stream/t")
        a.hangs = True
        began = time.perf_counter()
        status, _ = await the.ask("/nodes/a/webhooks")
        told("a webhook at a frozen server is given up after", time.perf_counter() - began)
        assert status in (0, 502, 503)
        assert time.perf_counter() - began < 4
        assert await the.ask("/nodes/a/webhooks") == (200, "b")
        assert not b.of_carriers()[1:], "it was sent again"
        assert await line.echo(b"x" * 160), "a server that is only slow still carries its audio"


async def test_a_machine_that_answers_no_packet_costs_half_a_second_until_the_checks_have_found_out(
    tmp_path: Path,
) -> None:
    a, b = Node("a"), Node("b")
    async with haproxy(tmp_path, [a, b]) as the:
        await a.vanish()
        began, closed = time.perf_counter(), 0
        waits: list[float] = []
        while not waits or waits[-1] > 0.25:
            asked = time.perf_counter()
            answer = await the.ask("/nodes/a/webhooks")
            if answer[0] == 0:  # it waited when the checks found out: see `shutdown-sessions`
                closed += 1
                continue
            assert answer == (200, "b")
            waits.append(time.perf_counter() - asked)
            assert asked - began < 6, "it is still asked"
        told("longest wait for another server beside one that is off", max(waits))
        told("it is not asked any more after", time.perf_counter() - began)
        assert max(waits) < 1.2
        assert closed <= 1


async def test_a_reload_loses_no_request_and_cuts_no_media_socket(tmp_path: Path) -> None:
    a, b, c = Node("a"), Node("b"), Node("c")
    async with haproxy(tmp_path, [a, b]) as the, contextlib.AsyncExitStack() as stack:
        await c.start()
        stack.push_async_callback(c.die)
        lines = [await the.socket(f"/nodes/{name}/media-stream/t") for name in ("a", "b", "a", "b")]
        late: list[float] = []
        failed: list[int] = []
        over = False

        async def talk(line: Socket) -> None:
            while not over:
                began = time.perf_counter()
                assert await line.echo(os.urandom(160))
                late.append(time.perf_counter() - began)
                await asyncio.sleep(0.02)

        async def ask() -> None:
            while not over:
                status, _ = await the.ask("/nodes/a/webhooks")
                if status != 200:
                    failed.append(status)
                await asyncio.sleep(0.005)

        async with asyncio.TaskGroup() as tasks:
            for line in lines:
                tasks.create_task(talk(line))
            tasks.create_task(ask())
            await the.reload([a, b, c])
            await until_answered(the, "/nodes/c/webhooks", lambda _, name: name == "c", 5)
            sent = len(late)
            await until(lambda: len(late) > sent + 100, "the sockets of the process before")
            over = True
        assert failed == []
        late.sort()
        told("a frame there and back through HAProxy, p99", late[int(len(late) * 0.99)])


async def test_a_call_goes_through_it_and_is_served_on_while_the_server_drains(tmp_path: Path) -> None:
    program()
    port, telnyx, realtime = free_port(), exchange(), model()
    address = f"http://127.0.0.1:{port}"
    async with serving(telnyx, realtime, DATA_DIR=tmp_path, PUBLIC_BASE_URL=address, DRAIN_SECONDS=20) as server:
        here = f"127.0.0.1:{await server.public_port()}"
        async with in_front_of(tmp_path, [Server("a", here)], port):
            telnyx.webhook_url = f"{address}/webhooks"
            call = await telnyx.ring()
            await call.wait_streaming(8)
            session = await realtime.wait_session(1)
            await until(lambda: session.audio_in, "the caller's voice at the model")
            async with httpx.AsyncClient(trust_env=False, verify=False) as client:
                before = await client.get(f"http://{here}/ready")
                assert (before.status_code, before.text) == (200, "ready")
                await server.stop()
                while (told := await client.get(f"http://{here}/ready")).status_code == 200:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                assert (told.status_code, told.text, told.headers["retry-after"]) == (503, "draining", "30")
            heard = len(session.audio_in)
            await until(lambda: len(session.audio_in) - heard > 16000, "two seconds of the caller's voice, meanwhile")
            await call.hang_up()
            assert await server.ended() == 0
