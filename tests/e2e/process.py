"""The server as a process of its own: `python server.py …` in a folder with empty settings, and nothing in its
environment. Unless a test asks for a new Python, it is forked by one that has loaded Callflow: see `forkserver`."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import re
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from callflow.sandbox.openai_realtime import Realtime
from callflow.sandbox.telnyx import Telnyx
from tests.e2e import forkserver
from tests.e2e.product import until


ROOT: Final = Path(__file__).parents[2]
SERVER: Final = str(ROOT / "server.py")
SETTINGS: Final = frozenset({".env", "settings.toml"})
_ADDRESS: Final = re.compile(r"http://\S+?:(\d+)")


class Forked:
    """A process of the fork server, with what asyncio's own processes offer."""

    def __init__(
        self, pid: int, streams: Sequence[asyncio.StreamReader], pipes: Sequence[asyncio.ReadTransport]
    ) -> None:
        self.pid = pid
        self.stdout, self.stderr, told = streams
        self._pipes = pipes
        self.returncode: int | None = None
        self._end = asyncio.create_task(self._ends(told))

    async def _ends(self, told: asyncio.StreamReader) -> int:
        self.returncode = int(await told.readline())
        return self.returncode

    async def wait(self) -> int:
        return await asyncio.shield(self._end)

    def send_signal(self, number: signal.Signals) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        for pipe in self._pipes:
            pipe.close()


async def _fork(arguments: Sequence[str], folder: Path, variables: Mapping[str, str]) -> Forked:
    loop = asyncio.get_running_loop()
    streams, pipes, theirs = list[asyncio.StreamReader](), list[asyncio.ReadTransport](), list[int]()
    for _ in range(3):
        read, write = os.pipe()
        theirs.append(write)
        streams.append(asyncio.StreamReader(1 << 20))
        protocol = functools.partial(asyncio.StreamReaderProtocol, streams[-1])
        pipe, _ = await loop.connect_read_pipe(protocol, os.fdopen(read, "rb", 0))
        pipes.append(pipe)
    out, err, told = theirs
    forkserver.ask(arguments, folder, variables, (out, err, told))
    for file in theirs:
        os.close(file)
    return Forked(int(await streams[2].readline()), streams, pipes)


@dataclass
class Process:
    process: asyncio.subprocess.Process | Forked
    folder: Path
    out: list[str] = field(default_factory=list)
    err: list[str] = field(default_factory=list)
    _reading: list[asyncio.Task[None]] = field(default_factory=list)

    def said(self) -> str:
        return "".join([*self.out, *self.err])

    @property
    def exit_code(self) -> int | None:
        return self.process.returncode

    async def ended(self, timeout: float = 10.0, *, noisy: bool = False) -> int:
        """The exit code, once the process has ended and all it said has been read: no traceback, unless noisy."""
        try:
            async with asyncio.timeout(timeout):
                code = await self.process.wait()
                await asyncio.gather(*self._reading)
        except TimeoutError:
            raise AssertionError(f"the process did not end within {timeout:g} s; it said:\n{self.said()}") from None
        assert noisy or "Traceback" not in self.said(), self.said()
        return code

    async def says(self, text: str, timeout: float = 10.0) -> None:
        def found() -> bool:
            return text in self.said() or self.exit_code is not None

        try:
            await until(found, text, timeout)
            assert text in self.said()
        except AssertionError:
            raise AssertionError(f"the process never said {text!r}, but:\n{self.said()}") from None

    async def _read(self, stream: asyncio.StreamReader, lines: list[str]) -> None:
        while line := await stream.readline():
            lines.append(line.decode())

    def listen(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        both = ((self.process.stdout, self.out), (self.process.stderr, self.err))
        self._reading = [asyncio.create_task(self._read(stream, lines)) for stream, lines in both]

    # What a server tells

    async def _port(self, row: str) -> int:
        def found() -> re.Match[str] | None:
            rows = [line for line in self.out if line.startswith((f" {row} ", f"{row} "))]
            return _ADDRESS.search(rows[0]) if rows else None

        await until(lambda: found() or self.exit_code is not None, f"the row {row!r} of the start table", 10)
        match = found()
        assert match is not None, f"no row {row!r} in:\n{self.said()}"
        return int(match[1])

    async def public_port(self) -> int:
        return await self._port("Callflow")

    async def console_port(self) -> int:
        return await self._port("console")

    async def health(self) -> dict[str, Any]:
        """What the operators' listener tells."""
        async with httpx.AsyncClient(trust_env=False, verify=False) as client:
            answer = await client.get(f"http://127.0.0.1:{await self.console_port()}/health")
        health: dict[str, Any] = answer.json()
        return health

    async def live(self, calls: int) -> None:
        """Until so many calls are live."""
        async with asyncio.timeout(5):
            while (await self.health())["calls"] != calls:  # noqa: ASYNC110 - another process has no event for us
                await asyncio.sleep(0.02)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        await self.public_port()  # from its table on it listens to signals
        self.process.send_signal(number)


@contextlib.asynccontextmanager
async def python(
    *arguments: str,
    files: Mapping[str, str] | None = None,
    env: Mapping[str, object] | None = None,
    anew: bool = False,
) -> AsyncIterator[Process]:
    """Python with these arguments; killed at the end of the block if it still runs.

    `anew`: not forked, whatever the program is.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Without them those beside server.py would be read.
        for file, text in (dict.fromkeys(SETTINGS, "") | dict(files or {})).items():
            (folder / file).write_text(text, encoding="utf-8")
        variables = {"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}
        own = {key: str(value) for key, value in (env or {}).items()}
        process: asyncio.subprocess.Process | Forked
        if anew or arguments[:1] != (SERVER,) or any(key.startswith(("PYTHON", "SSL_")) for key in own):
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                cwd=folder,
                env=variables | own,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        else:
            process = await _fork(arguments, folder, variables | own)
        watched = Process(process, folder)
        watched.listen()
        try:
            yield watched
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            if not isinstance(process, Forked):  # what it started and left behind would hold its output open
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            # What it started and left behind may hold its output open.
            await asyncio.wait(watched._reading, timeout=2)
            if isinstance(process, Forked):
                process.close()


def environment(telnyx: Telnyx, realtime: Realtime) -> dict[str, object]:
    """What a server needs to know of the sandbox, and short deadlines."""
    return {
        "OPENAI_API_KEY": realtime.api_key,
        "OPENAI_REALTIME_URL": realtime.url,
        "TELNYX_API_KEY": telnyx.api_key,
        "TELNYX_PUBLIC_KEY": telnyx.public_key,
        "TELNYX_API_BASE": telnyx.base_url,
        "PORT": 0,
        "CONSOLE_PORT": 0,
        "DRAIN_SECONDS": 0.2,
        "STREAM_GRACE_SECONDS": 0.2,
        "FAREWELL_SECONDS": 4,
        "ADMISSION_LAG_MS": 0,  # other tests run beside this one
    }


@contextlib.asynccontextmanager
async def serving(
    telnyx: Telnyx, realtime: Realtime, *, arguments: Sequence[str] = (SERVER,), **env: object
) -> AsyncIterator[Process]:
    """`python server.py`, up and known to the sandbox."""
    async with telnyx, realtime, python(*arguments, env=environment(telnyx, realtime) | env) as process:
        telnyx.webhook_url = f"http://127.0.0.1:{await process.public_port()}/webhooks"
        yield process
