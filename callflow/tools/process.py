"""Runs the tools of `tools.py` in a process of their own, whose interpreter nothing else needs (`tool_process`).

The server's loop puts requests into a queue and waits for futures; all that may block (starting the process, writing,
reading, and the lines for the log) is done by two threads. A process that has ended is started again; what was running
in it gets an error.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from callflow.contracts.repeated_warnings import RepeatedWarnings
from callflow.tools.registry import ToolContext, ToolResult, error_result


log = logging.getLogger(__name__)

_GRACE_SECONDS: Final = 2.0
"""How much later than a tool's time limit the process may tell that the limit has passed; then it is started anew."""
_PAUSES: Final = (0.0, 0.5, 2.0, 10.0)
"""Seconds before a process is started again, the longer the more in a row have ended soon after their start."""
_SOON_SECONDS: Final = 30.0
_MOST_RUNS: Final = 1000
"""Tools that run or wait at the same time; the process itself has limits for each call and each tool."""


class ToolProcess:
    """The process, and what is asked of it. Methods are called on the server's event loop."""

    def __init__(self, path: Path, hook: str = "") -> None:
        """`path`: of the file with the tools. `hook`: as for `ToolLoader`. Nothing is started yet."""
        self._path, self._hook = path, hook
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[ToolResult]] = {}
        """The runs whose result is awaited, those that wait for the process to be ready included."""
        self._begun: set[int] = set()
        """Those of them that the present process was asked for."""
        self._requests: queue.SimpleQueue[bytes | None] | None = None
        """What goes to the present process; None: there is none that is ready."""
        self._ready = asyncio.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._closing = threading.Event()
        self._repeats = RepeatedWarnings(log)

    def start(self) -> None:
        """Start the process, and keep one until `close`."""
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._keep, name="tool-process", daemon=True).start()

    def close(self) -> None:
        """End the process at once."""
        self._closing.set()
        self._kill()

    async def run(self, name: str, arguments: str, context: ToolContext, *, seconds: float, version: str) -> ToolResult:
        """Run a tool within its time limit, as `Tools.run` does. `version`: of the file that defines the tool."""
        if len(self._waiting) >= _MOST_RUNS:
            return error_result(f"{name} could not begin: too many tools have not ended yet")
        number = next(self._ids)
        future: asyncio.Future[ToolResult] = asyncio.get_running_loop().create_future()
        request = {
            "id": number, "tool": name, "arguments": arguments, "context": asdict(context), "seconds": seconds,
            "version": version,
        }  # fmt: skip
        requests: queue.SimpleQueue[bytes | None] | None = None
        self._waiting[number] = future
        try:
            async with asyncio.timeout(seconds + _GRACE_SECONDS):
                await self._ready.wait()
                requests = self._requests
                assert requests is not None
                self._begun.add(number)
                requests.put(_line(request))
                return await future
        except TimeoutError:
            if requests is None:
                return error_result(f"{name} could not begin within {seconds:g} seconds: its process is being started")
            log.error("call %s: tool %s: the tools' process does not answer, and is started anew", context.call, name)
            self._kill()
            return error_result(f"{name} did not answer within {seconds:g} seconds")
        finally:
            self._waiting.pop(number, None)
            self._begun.discard(number)
            if requests is not None and not future.done():
                requests.put(_line({"cancel": number}))

    # On the loop

    def _take(self, answer: Mapping[str, Any], requests: queue.SimpleQueue[bytes | None]) -> None:
        if "ready" in answer:
            self._requests = requests
            self._ready.set()
        else:
            future = self._waiting.get(answer["id"])
            if future is not None and not future.done():
                future.set_result(ToolResult(answer["output"], answer["ok"]))

    def _gone(self, code: int) -> None:
        self._requests = None
        self._ready.clear()
        if not self._closing.is_set():
            self._repeats.say(str(code), "the tools' process has ended with %d; it is started again", code)
        for number in self._begun:
            if not self._waiting[number].done():
                self._waiting[number].set_result(error_result("the tools' process ended before there was a result"))

    def _kill(self) -> None:
        self._requests = None  # who comes now waits for the next one
        self._ready.clear()
        process = self._process
        if process is not None:
            with contextlib.suppress(OSError):
                process.kill()

    # In threads

    def _keep(self) -> None:
        failures = 0
        while not self._closing.is_set():
            began = time.monotonic()
            self._serve_one()
            failures = failures + 1 if time.monotonic() - began < _SOON_SECONDS else 0
            self._closing.wait(_PAUSES[min(failures, len(_PAUSES) - 1)])

    def _serve_one(self) -> None:
        """Start a process, and pass on its answers until it has ended."""
        requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        code = -1
        try:
            process = self._process = subprocess.Popen(
                [sys.executable, "-m", "callflow.tools.worker", str(self._path), self._hook],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for the server, whose calls have tools until they have ended
            )  # fmt: skip
            if self._closing.is_set():
                process.kill()
            assert process.stdin is not None
            assert process.stdout is not None
            threading.Thread(target=_write, args=(process.stdin, requests), name="tool-requests", daemon=True).start()
            with process.stdout:
                for line in process.stdout:
                    answer = msgspec.json.decode(line)
                    if "log" in answer:
                        level, text = answer["log"]
                        log.log(level, "%s", text)
                    else:
                        self._call(self._take, answer, requests)
            code = process.wait()
        except (OSError, msgspec.DecodeError) as error:
            log.error("the tools' process cannot be used: %s", error)
            self._call(self._kill)
        finally:
            requests.put(None)
            self._call(self._gone, code)

    def _call(self, function: Any, *arguments: Any) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the server has ended meanwhile
            self._loop.call_soon_threadsafe(function, *arguments)


def _write(stdin: IO[bytes], requests: queue.SimpleQueue[bytes | None]) -> None:
    with contextlib.suppress(OSError), stdin:  # the process is gone: its reader tells
        while (line := requests.get()) is not None:
            stdin.write(line)
            stdin.flush()


def _line(request: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(request) + b"\n"
