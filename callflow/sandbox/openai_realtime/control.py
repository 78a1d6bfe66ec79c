"""Faults and a log over HTTP, for an emulated OpenAI Realtime server that runs on its own.

- `GET /sandbox/faults`: all faults. `PUT`: sets those in the JSON body; an empty body sets none. `DELETE`: no faults.
- `GET /sandbox/log`: every session with its counts of events, its effective configuration and its violations.
- `POST /sandbox/drop`: resets the TCP connection of every open session.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, Self

from callflow.sandbox.common.http_server import in_url


if TYPE_CHECKING:
    from callflow.sandbox.openai_realtime import Realtime
    from callflow.sandbox.openai_realtime.session import Session

_PATIENCE_S: Final = 5.0
_MOST_BODY: Final = 64 * 1024


class Control:
    """One request per connection; enough for curl and tests."""

    def __init__(self, realtime: Realtime, host: str, port: int) -> None:
        self._realtime = realtime
        self._host = host
        self._port = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://{in_url(self._host)}:{self._port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accepted, self._host, self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                status, answer = await self._answer(reader)
                body = json.dumps(answer, indent=1).encode() + b"\n"
                head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
                writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            pass  # whoever asked is gone
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> tuple[str, Any]:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, path, _ = head[0].split(" ", 2)
            fields = {
                name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])
            }
            length = int(fields.get("content-length", "0"))
            if length > _MOST_BODY:
                return "413 Content Too Large", {"error": f"at most {_MOST_BODY} bytes"}
            body = json.loads(await reader.readexactly(length) or b"{}")
        except (ValueError, asyncio.LimitOverrunError) as error:
            return "400 Bad Request", {"error": str(error)}
        return self._act(method, path.partition("?")[0], body)

    def _act(self, method: str, path: str, body: Any) -> tuple[str, Any]:
        realtime = self._realtime
        match method, path:
            case ("GET", "/sandbox/faults"):
                pass
            case ("PUT", "/sandbox/faults"):
                try:
                    realtime.faults.set(body if isinstance(body, dict) else {str(body): None})
                except ValueError as error:
                    return "422 Unprocessable Content", {"error": str(error)}
            case ("DELETE", "/sandbox/faults"):
                realtime.faults.reset()
            case ("GET", "/sandbox/log"):
                sessions = [_summary(session) for session in realtime.sessions]
                return "200 OK", {"connections_attempted": realtime.connections_attempted, "sessions": sessions}
            case ("POST", "/sandbox/drop"):
                opened = [session for session in realtime.sessions if not session.closed]
                for session in opened:
                    session.drop()
                return "200 OK", {"dropped": len(opened)}
            case _:
                return "404 Not Found", {"error": f"no {method} {path}"}
        return "200 OK", realtime.faults.as_dict()


def _summary(session: Session) -> dict[str, Any]:
    return {
        "number": session.number,
        "id": session.id,
        "closed": session.closed,
        "close_code": session.close_code,
        "received": Counter(str(one.event.get("type")) for one in session.received),
        "sent": Counter(one.type for one in session.sent),
        "audio_ms": round(session.caller.clock_ms),
        "violations": session.violations,
        "responses": [
            {"id": one.id, "status": one.status, "audio_ms": round(one.audio_ms)} for one in session.responses
        ],
        "config": session.config,
    }
