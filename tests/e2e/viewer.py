"""Somebody who watches: reads a stream of events as a browser does."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.e2e.product import until


@dataclass
class Seen:
    event: str
    data: Any
    id: str = ""


@dataclass
class Viewer:
    """What came so far."""

    status: int = 0
    seen: list[Seen] = field(default_factory=list)
    comments: int = 0
    is_over: bool = False
    """The server has ended the stream."""
    lost: str = ""
    """Why the stream broke."""

    def of(self, event: str) -> list[Any]:
        """The data of all events of one kind."""
        return [one.data for one in self.seen if one.event == event]

    @property
    def ids(self) -> list[str]:
        """The ids of the journal's entries, as they came."""
        return [one.id for one in self.seen if one.event == "entry"]

    @property
    def kinds(self) -> list[str]:
        return [one["kind"] for one in self.of("entry")]

    async def until(self, event: str, timeout: float = 10.0, **fields: Any) -> Any:
        """The first event of that kind with these fields."""

        def found() -> list[Any]:
            return [data for data in self.of(event) if fields.items() <= data.items()]

        await until(found, f"{event} {fields}", timeout)
        return found()[0]

    async def ends(self) -> None:
        """Until the server has ended the stream."""
        await until(lambda: self.is_over, "the end of the stream")

    async def read(self, response: httpx.Response) -> None:
        self.status = response.status_code
        event, data, number = "", "", ""
        async for line in response.aiter_lines():
            name, _, value = line.partition(": ")
            if name == "event":
                event = value
            elif name == "data":
                data = value
            elif name == "id":
                number = value
            elif line.startswith(":"):
                self.comments += 1
            elif not line and event:
                self.seen.append(Seen(event, json.loads(data), number))
                event, data, number = "", "", ""
        self.is_over = True


@contextlib.asynccontextmanager
async def watching(port: int, path: str, **headers: str) -> AsyncIterator[Viewer]:
    """Watch until it is left. `headers`: by their names, with `_` for `-`."""
    viewer = Viewer()

    async def watch() -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            try:
                async with client.stream("GET", f"http://127.0.0.1:{port}{path}", headers=given) as response:
                    await viewer.read(response)
            except httpx.HTTPError as error:
                viewer.lost = type(error).__name__

    task = asyncio.create_task(watch(), name="telnyx sandbox viewer")
    try:
        await until(lambda: viewer.status or viewer.lost, "the stream to begin")
        yield viewer
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
