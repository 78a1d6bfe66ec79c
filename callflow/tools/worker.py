"""The process in which tools run when `tool_process` is set: `python -m callflow.tools.worker FILE [HOOK]`.

It reads one request a line from standard input, as JSON: `{"id", "tool", "arguments", "context", "seconds", "version"}`
runs a tool, `{"cancel": id}` says that nobody waits any more. It answers with lines `{"id", "output", "ok"}`, and with
`{"log": [level, text]}` for the server's log; `{"ready": true}` comes first. It ends with its standard input, so also
when the server is killed.

Limits, time limits and errors are those of `registry.py` and `runner.py`, which run here as they do in the server.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from callflow.contracts.errors import ToolsError
from callflow.tools.loader import ToolLoader
from callflow.tools.registry import ToolContext


_MOST_LINE: Final = 8 << 20
"""Bytes of a request; arguments are far shorter."""


class _Out(logging.Handler):
    """Writes lines for the server; as a handler, those of the log."""

    def __init__(self, file: int) -> None:
        super().__init__()
        self._file = file

    def write(self, what: dict[str, Any]) -> None:
        """Write one line. Waits while the server reads nothing."""
        line = memoryview(msgspec.json.encode(what) + b"\n")
        with self.lock:  # type: ignore[union-attr]
            while line:
                line = line[os.write(self._file, line) :]

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a line of the log on to the server's."""
        try:
            self.write({"log": [record.levelno, record.getMessage()]})
        except Exception:
            self.handleError(record)


class _Worker:
    def __init__(self, path: Path, hook: str, out: _Out) -> None:
        self._loader = ToolLoader(path, hook=hook)
        self._out = out
        self._runs: dict[int, asyncio.Task[None]] = {}
        self._refreshing = asyncio.Lock()

    async def serve(self, file: BinaryIO) -> None:
        """Run tools until the requests, which this file brings, end."""
        requests = asyncio.StreamReader(limit=_MOST_LINE)
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(requests), file)
        self._out.write({"ready": True})
        while line := await requests.readline():
            request = msgspec.json.decode(line)
            if "cancel" in request:
                run = self._runs.get(request["cancel"])
                if run is not None:
                    run.cancel()
            else:
                run = asyncio.create_task(self._run(request))
                self._runs[request["id"]] = run
                run.add_done_callback(lambda _, number=request["id"]: self._runs.pop(number, None))  # type: ignore[misc]

    async def _run(self, request: dict[str, Any]) -> None:
        async with self._refreshing:
            if self._loader.version != request["version"]:
                await asyncio.to_thread(self._loader.refresh)
        tools, context = self._loader.current(), ToolContext(**request["context"])
        name, seconds = request["tool"], request["seconds"]
        result = await tools.run(name, request["arguments"], context, seconds=seconds, hook=True)
        answer = {"id": request["id"], "output": result.output, "ok": result.ok}
        await asyncio.to_thread(self._out.write, answer)  # a result may be long, and the server busy


def main(path: str, hook: str = "") -> int:
    """Serve until standard input ends. Returns 3 if the file cannot be loaded."""
    out = _Out(os.dup(1))
    os.dup2(2, 1)  # what tools print is no answer
    requests = os.fdopen(os.dup(0), "rb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)  # neither tools nor the programs that they start read requests
    os.close(nothing)
    logging.basicConfig(level=logging.INFO, handlers=[out])
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    try:
        worker = _Worker(Path(path), hook, out)
    except ToolsError as error:
        out.write({"log": [logging.ERROR, str(error)]})
        return 3
    asyncio.run(worker.serve(requests))
    return 0


if __name__ == "__main__":
    code = main(*sys.argv[1:3])
    os._exit(code)  # a tool that hangs keeps its thread
