"""The process in which tools run when `tool_process` is set: `python -m callflow.tools.worker FILE [HOOK]`.

It reads one request a line from standard input, as JSON: `{"id", "tool", "arguments", "context", "seconds", "version"}`
runs a tool, `{"cancel": id}` says that nobody waits any more. It answers with lines `{"id", "output", "ok"}`, and with
`{"log": [level, text]}` for the server's log, not more than so many a second; `{"ready": true}` comes first. It ends
with its standard input, so also when the server is killed.

Limits, time limits and errors are those of `registry.py` and `runner.py`, which run here as they do in the server.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from callflow.contracts.errors import ToolsError
from callflow.contracts.rate_limit import RateLimit
from callflow.tools.loader import ToolLoader
from callflow.tools.registry import ToolContext


_MOST_LINE: Final = 8 << 20
"""Bytes of a request; arguments are far shorter."""
_LINES_A_SECOND: Final = 50.0
"""Lines of the log, in the long run; as many warnings beside them, which no chatter may hide."""
_LINES_AT_ONCE: Final = 200
_TELL_SECONDS: Final = 1.0
"""How often the log is told that there were more, at most, while a tool runs."""
_MOST_TEXT: Final = 8192
"""Characters of one line of the log."""


class _Out(logging.Handler):
    """Writes lines for the server; as a handler, those of the log."""

    def __init__(self, file: int) -> None:
        super().__init__()
        self._file = file
        self._limits = {warns: RateLimit(per_second=_LINES_A_SECOND, at_once=_LINES_AT_ONCE) for warns in (False, True)}
        self._left_out = 0
        self._told_at = 0.0

    def write(self, what: dict[str, Any]) -> None:
        """Write one line. Waits while the server reads nothing."""
        line = memoryview(msgspec.json.encode(what) + b"\n")
        with self.lock:  # type: ignore[union-attr]
            while line:
                line = line[os.write(self._file, line) :]

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a line of the log on to the server's, unless there are too many."""
        try:
            if self._limits[record.levelno >= logging.WARNING].take(time.monotonic()):
                if time.monotonic() >= self._told_at + _TELL_SECONDS:
                    self.tell_left_out()
                self.write({"log": [record.levelno, record.getMessage()[:_MOST_TEXT]]})
            else:
                self._left_out += 1
        except Exception:
            self.handleError(record)

    def tell_left_out(self) -> None:
        """Tell the server's log how many lines it was not given since this was told."""
        with self.lock:  # type: ignore[union-attr]
            count, self._left_out = self._left_out, 0
            if count:
                self._told_at = time.monotonic()
                text = f"{count} lines of the tools' log were left out: there are too many"
                self.write({"log": [logging.WARNING, text]})


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
        await asyncio.to_thread(self._tell, answer)  # a result may be long, and the server busy

    def _tell(self, answer: dict[str, Any]) -> None:
        self._out.tell_left_out()
        self._out.write(answer)


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
