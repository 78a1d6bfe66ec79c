"""`bench --watched`: what is asked of the server beside the calls."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os

import psutil
import pytest

from callflow.cli.bench import asker, viewers
from callflow.contracts.errors import BenchError
from tests.e2e.product import until


class Server:
    """Takes the items of a conversation, and answers with them as long as it `is_well`."""

    def __init__(self) -> None:
        self.is_well = True
        self.asked = 0
        self._items: list[object] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        body: object = {"error": "too busy"}
        if head.startswith("POST"):
            length = int(head.partition("Content-Length: ")[2].split()[0])
            self._items += json.loads(await reader.readexactly(length))["items"]
        elif "limit=1" in head:
            body = [{"stream_sid": "MZ1"}]
        elif self.is_well:
            self.asked += 1
            body = {"conversation": {"items": self._items}, "entries": ["what happened"] * 1000}
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + json.dumps(body).encode())
        await writer.drain()
        writer.close()


def those_who_ask() -> list[psutil.Process]:
    """Return the processes that ask; there may be others of this one."""
    found = []
    for each in psutil.Process().children():
        with contextlib.suppress(psutil.Error):  # it has ended
            if asker.__name__ in each.cmdline():
                found.append(each)
    return found


@pytest.mark.parametrize("is_well", [True, False])
async def test_questions_that_have_no_large_answers_are_no_load_and_end_the_bench(is_well: bool) -> None:
    """It went on, and told of a server that nothing disturbs."""
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]

    async def questions() -> None:
        async with viewers._askers(port):
            server.is_well = is_well
            await until(lambda: server.asked >= 2 or not those_who_ask(), "questions beside the calls", 10)

    async with listening:
        if is_well:
            await questions()
        else:
            with pytest.raises(BenchError, match="no large answer"):
                await questions()


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system does not let a program choose its core")
async def test_the_control_asks_nothing_of_the_server_and_leaves_nobody_behind() -> None:
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    async with listening:
        async with viewers._askers(listening.sockets[0].getsockname()[1], viewers._core(os.getpid())):
            (asking,) = those_who_ask()
            await until(lambda: asking.children(), "the other program", 10)
            (other,) = asking.children()
            await until(lambda: other.net_connections("tcp"), "its port", 10)
            used = other.cpu_times().user
            await until(lambda: other.cpu_times().user > used, "its answers", 10)
        await until(lambda: not other.is_running() or other.status() == psutil.STATUS_ZOMBIE, "its end", 10)
    assert server.asked == 1, "whether it has the items"
