"""The way of a node to its PostgreSQL server, which can be cut, and can hang.

`python -m tests.e2e.database_link SOCKET BEHIND` is one that only passes bytes on, in a process of its own: for proofs
under load, where a link on the loop of the emulators would make every transaction wait for their audio. It is cut by
its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit


class DatabaseLink:
    """Bytes go both ways, until `cut` or while `hang`."""

    def __init__(self) -> None:
        self.is_cut = False
        self._flows = asyncio.Event()
        self._flows.set()
        self._open: set[asyncio.StreamWriter] = set()

    def cut(self) -> None:
        """Reset all connections; until `is_cut` is False again, there are no new ones."""
        self.is_cut = True
        for one in list(self._open):
            one.transport.abort()

    def hang(self) -> None:
        """Take connections and bytes, and pass nothing on, as a server does whose machine is stopped."""
        self._flows.clear()

    def go_on(self) -> None:
        """Pass on what has come meanwhile, and what comes."""
        self._flows.set()

    @contextlib.asynccontextmanager
    async def to(self, database: str) -> AsyncIterator[str]:
        """Listen, and yield the address of the database over this link."""
        behind = f"{parse_qs(urlsplit(database).query)['host'][0]}/.s.PGSQL.5432"
        connections: set[asyncio.Task[None]] = set()

        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while piece := await reader.read(65536):
                    await self._flows.wait()
                    writer.write(piece)
                    await writer.drain()
            writer.close()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if self.is_cut:
                writer.transport.abort()
                return
            task = asyncio.current_task()
            assert task is not None
            connections.add(task)
            task.add_done_callback(connections.discard)
            both = {writer}
            self._open.add(writer)  # at once: one that comes while the link hangs is cut, too
            try:
                await self._flows.wait()
                inner_reader, inner = await asyncio.open_unix_connection(behind)
                both.add(inner)
                self._open.add(inner)
                await asyncio.gather(carry(reader, inner), carry(inner_reader, writer))
            finally:
                self._open -= both
                for one in both:
                    if not one.is_closing():
                        one.transport.abort()

        with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as folder:
            server = await asyncio.start_unix_server(serve, f"{folder}/.s.PGSQL.5432")
            try:
                yield database.replace(str(Path(behind).parent), folder)
            finally:
                self.cut()
                server.close()
                for task in list(connections):
                    task.cancel()
                await asyncio.gather(*connections, return_exceptions=True)


async def _pass_on(path: str, behind: str) -> None:
    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(65536):
                writer.write(piece)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner = await asyncio.open_unix_connection(behind)
        await asyncio.gather(carry(reader, inner), carry(inner_reader, writer))

    async with await asyncio.start_unix_server(serve, path) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_pass_on(*sys.argv[1:]))
