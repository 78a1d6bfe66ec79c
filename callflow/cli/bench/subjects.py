"""What `scripts/bench` measures: a program that relays calls, alone on one core, its emulated carrier and engine."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from callflow.cli.bench.viewers import get
from callflow.cli.drill.line_server import free_port
from callflow.config import legacy_names
from callflow.config.setting_names import ALIASES
from callflow.config.settings import Settings
from callflow.contracts.errors import BenchError
from callflow.sandbox.openai_realtime import Realtime, Script
from callflow.sandbox.telnyx import Telnyx
from callflow.sandbox.twilio import Twilio


ROOT: Final = Path(__file__).parents[3]
_START_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Subject:
    """A program that relays calls."""

    name: str
    what: str
    module: str = ""
    """Its module; "": the server itself."""
    needs: tuple[str, ...] = ()
    """Packages that it needs beside those of the server."""
    python: str = sys.executable
    """The Python that runs it."""
    coded_at: int = 0
    """Samples a second of its audio for the model, if its frames are to be coded (see `coded_frames`); 0: they pass it
    unchanged."""
    workers: int = 0
    """Processes of the server that share the calls; 0: it is one process."""
    media_server: str = "picows"
    """The server's setting."""
    carrier: str = "telnyx"
    """By way of which it is called: telnyx or twilio."""

    @property
    def is_ours(self) -> bool:
        """Whether it is this server, in whatever form."""
        return not self.module

    @property
    def command(self) -> list[str]:
        """The arguments for Python."""
        shared = ["--workers", str(self.workers)] if self.workers else []
        return ["-m", self.module] if self.module else [str(ROOT / "server.py"), "serve", *shared]

    @property
    def lacks(self) -> str:
        """The first package that is not installed; "": none."""
        return next((name for name in self.needs if find_spec(name) is None), "")


CALLFLOW: Final = Subject("callflow", "the server, with its default settings")
WORKERS: Final = Subject("workers", "the server as two processes, both on that core", workers=2)
WEBSOCKETS: Final = Subject("websockets", "the server with `media_server = websockets`", media_server="websockets")
NAIVE: Final = Subject(
    "naive",
    "a relay as tutorials show it: Starlette, uvicorn, websockets, json",
    "callflow.cli.bench.naive",
    ("starlette", "uvicorn"),
)
SPLICE: Final = Subject(
    "splice", "the limit: two sockets joined, nothing parsed or kept", "callflow.cli.bench.splice", ("picows",)
)
TWILIO: Final = Subject("twilio", "the server, called by way of Twilio", carrier="twilio")
SUBJECTS: Final = {each.name: each for each in (CALLFLOW, WORKERS, TWILIO, WEBSOCKETS, NAIVE, SPLICE)}
USUAL: Final = [each.name for each in (CALLFLOW, NAIVE, SPLICE)]


@dataclass(frozen=True)
class World:
    """A subject at work."""

    carrier: Telnyx | Twilio
    server: asyncio.subprocess.Process
    started_ms: float
    """From the start of its process to its address."""
    console: int
    """The port of the operators' listener, of the server itself."""


@contextlib.asynccontextmanager
async def world(subject: Subject, on_echo: Callable[[str], None], **more: str) -> AsyncIterator[World]:
    """Start a subject, known to the carrier; its process is killed at the end. `on_echo`: see `Script.echoing`; `more`:
    settings that are not the defaults.

    Raises BenchError if it does not start.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    with tempfile.TemporaryDirectory(prefix="callflow-bench-") as folder:
        async with (
            _carrier(subject.carrier) as carrier,
            Realtime(script=Script.echoing(on_echo), keep_audio=False) as realtime,
        ):
            console = free_port()
            # Only this machine is measured: the settings are the defaults, and nothing of one's own is touched.
            for name in (".env", "settings.toml"):
                (Path(folder) / name).touch()
            environment = {
                **{name: value for name, value in os.environ.items() if name.upper() not in _settings()},
                "OPENAI_API_KEY": realtime.api_key,
                "OPENAI_REALTIME_URL": realtime.url,
                **{name.upper(): value for name, value in carrier.settings().items()},
                "PORT": "0",
                "CONSOLE_PORT": str(console),
                "DATA_DIR": folder,
                "MAX_CONCURRENT_CALLS": "10000",
                "MEDIA_SERVER": subject.media_server,
                "LOG_LEVEL": "error",
                "COLUMNS": "100",
                "PYTHONPATH": str(ROOT),
                **more,
            }
            _end_like_ctrl_c()
            began = time.monotonic()
            with _on(cores[:1] if len(cores) > 1 else cores):  # it inherits that, for all of its threads and processes
                server = await asyncio.create_subprocess_exec(
                    subject.python,
                    *subject.command,
                    cwd=folder,
                    env=environment,
                    stdout=asyncio.subprocess.PIPE,
                    start_new_session=True,  # Ctrl-C is for this process, which ends that one
                )
            try:
                port = await asyncio.wait_for(_port(server), _START_SECONDS)
                started = (time.monotonic() - began) * 1000
                await asyncio.wait_for(_all_there(subject.workers, console), _START_SECONDS)
                carrier.set_server(f"http://127.0.0.1:{port}")
                with _on(cores[1:]), without_collections():
                    yield World(carrier, server, started, console)
            except TimeoutError:
                raise BenchError(f"The server was not ready within {_START_SECONDS:g} s: try again.") from None
            finally:
                for process in processes(server.pid):  # what they have written goes with the folder
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process.pid, signal.SIGKILL)
                await server.wait()


@contextlib.contextmanager
def _on(cores: Sequence[int]) -> Iterator[None]:
    """Have this thread, and what it starts, on these cores meanwhile; none: wherever it was."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def without_collections() -> Iterator[None]:
    """Have Python's garbage collector off meanwhile.

    The emulators of 80 calls have a million objects, and a full collection of them takes 0.15 s, in which they neither
    send nor note anything: that was nearly all of what the slowest hundredth of the frames seemed to take in a server.
    """
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _carrier(name: str) -> Telnyx | Twilio:
    if name == "twilio":
        return Twilio("https://callflow.test")
    return Telnyx(webhook_url="http://127.0.0.1:9/webhooks", api_key="KEY_of_the_bench")


def processes(pid: int) -> list[Any]:
    """Return the process of this id and its children."""
    import psutil

    try:
        first = psutil.Process(pid)
        return [first, *first.children()]
    except psutil.NoSuchProcess:
        return []


async def _all_there(workers: int, console: int) -> None:
    """Wait until all workers take calls. Raises BenchError."""
    while workers and len((await get(console, "/api/nodes"))["nodes"]) < workers:  # noqa: ASYNC110 - they tell nobody
        await asyncio.sleep(0.1)


def _end_like_ctrl_c() -> None:
    """Also when it is told to end or its terminal is closed, the server must not stay behind."""
    loop = asyncio.get_running_loop()
    for name in ("SIGTERM", "SIGHUP"):
        with contextlib.suppress(AttributeError, NotImplementedError):  # Windows
            loop.add_signal_handler(getattr(signal, name), signal.raise_signal, signal.SIGINT)


def _settings() -> frozenset[str]:
    """Every variable that the server reads."""
    names = {*Settings.model_fields, *ALIASES, *legacy_names.NAMES}
    return frozenset(name.upper() for name in names)


async def _port(server: asyncio.subprocess.Process) -> int:
    """From the table that the server prints when it is ready."""
    assert server.stdout is not None
    async for line in server.stdout:
        words = line.decode().split()
        if words[:1] == ["Callflow"]:
            return int(words[1].rsplit(":", 1)[1])
    raise BenchError("The server ended before it was ready, for the reason above.")
