"""A network between carrier and server that now and then holds up everything from the carrier, pongs as well."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator


@contextlib.asynccontextmanager
async def network_spikes(port: int, *, spike_ms: float, seed: int) -> AsyncIterator[int]:
    """Pass connections on to that port of this machine, and yield the port to connect to. About once in a second and a
    half, what comes from the carrier waits for up to `spike_ms`, and then comes together."""
    dice = random.Random(seed)
    flows = asyncio.Event()
    flows.set()
    connections: set[asyncio.Task[None]] = set()

    async def spikes() -> None:
        while True:
            await asyncio.sleep(dice.uniform(0.5, 2.5))
            flows.clear()
            await asyncio.sleep(dice.uniform(0.5, 1.0) * spike_ms / 1000)
            flows.set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, waits: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(65536):
                if waits:
                    await flows.wait()
                writer.write(piece)
                await writer.drain()
            writer.write_eof()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        task.add_done_callback(connections.discard)
        inner_reader, inner = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.gather(carry(reader, inner, waits=True), carry(inner_reader, writer, waits=False))
        finally:
            for each in (inner, writer):
                each.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    storm = asyncio.create_task(spikes())
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        storm.cancel()
        flows.set()
        server.close()
        for each in list(connections):
            each.cancel()
        await asyncio.gather(storm, *connections, return_exceptions=True)
