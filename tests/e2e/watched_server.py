"""`python -P watched_server.py REPORT`: the server, and a report of what it did that could have held up its event loop.

The report is written at the end, one JSON array a line: [when, on the loop's thread?, kind, what], `when` in seconds of
`time.monotonic`, which all processes share. Kinds: `import`, `open`, `dns`, `process`, `certificates`, `collection`
(milliseconds of processor time of a garbage collection) and `callback` (of a callback of the loop: milliseconds of
processor time, and its name).

With CALLBACKS=1 in the environment the standard loop is used instead of uvloop's, whose callbacks cannot be timed.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import json
import os
import runpy
import ssl
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final


ROOT: Final = Path(__file__).parents[2]
_KINDS: Final = {
    "import": "import",
    "open": "open",
    "os.listdir": "open",
    "os.scandir": "open",
    "socket.getaddrinfo": "dns",
    "socket.gethostbyname": "dns",
    "socket.gethostbyaddr": "dns",
    "subprocess.Popen": "process",
}
_LEAST: Final = 0.0005
"""Seconds; shorter callbacks are not noted, nor collections of a tenth of that."""

found: list[tuple[float, bool, str, str]] = []


def note(kind: str, what: str) -> None:
    found.append((time.monotonic(), threading.current_thread() is threading.main_thread(), kind, what))


def audit(event: str, arguments: tuple[Any, ...]) -> None:
    kind = _KINDS.get(event)
    if kind is None or (event == "open" and isinstance(arguments[0], int)):  # an open file gets another object only
        return
    if event != "import" or arguments[0] not in sys.modules:
        note(kind, str(arguments[0]))


def time_callbacks() -> None:
    handle: Any = asyncio.events.Handle
    run = handle._run

    def timed(self: Any) -> None:
        callback = self._callback
        begun = time.thread_time()
        run(self)
        seconds = time.thread_time() - begun
        if seconds >= _LEAST:
            task = getattr(callback, "__self__", None)
            name = getattr(task.get_coro(), "__qualname__", "?") if isinstance(task, asyncio.Task) else repr(callback)
            note("callback", f"{seconds * 1000:.2f} {name[:200]}")

    handle._run = timed
    sys.modules["uvloop"] = None  # type: ignore[assignment]


def time_collections() -> None:
    begun = 0.0

    def timed(phase: str, _: Any) -> None:
        nonlocal begun
        if phase == "start":
            begun = time.thread_time()
        elif (seconds := time.thread_time() - begun) >= _LEAST / 10:
            note("collection", f"{seconds * 1000:.2f}")

    gc.callbacks.append(timed)


def tell_of_certificates() -> None:
    make: Any = ssl.create_default_context

    def made(*arguments: Any, **more: Any) -> Any:
        note("certificates", "")
        return make(*arguments, **more)

    ssl.create_default_context = made


def main(report: Path) -> None:
    atexit.register(lambda: report.write_text("".join(f"{json.dumps(each)}\n" for each in found), encoding="utf-8"))
    if os.environ.get("CALLBACKS"):
        time_callbacks()
    time_collections()
    tell_of_certificates()
    sys.addaudithook(audit)
    sys.path.insert(0, str(ROOT))
    sys.argv = [str(ROOT / "server.py")]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
