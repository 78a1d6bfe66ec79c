"""A server of the drill: a process of its own, with settings of its own, which can be killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Final

import callflow
from callflow.contracts.errors import DrillFailed


_LISTENS_SECONDS: Final = 20.0
_ENDS_SECONDS: Final = 3.0
_POLL_SECONDS: Final = 0.02
_LAST_LINES: Final = 3
_PROGRAM: Final = (sys.executable, "-m", "callflow", "serve")


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class LineServer:
    """One server at a port that stays the same however often it is started."""

    def __init__(self, name: str, folder: Path, settings: Mapping[str, object], host: str = "") -> None:
        """`folder`: where it finds no settings, and writes its log. `settings`: by name. `host`: the name under which
        the carrier knows it; "": its own address."""
        self.port = free_port()
        self.local = f"http://127.0.0.1:{self.port}"
        self.address = f"https://{host}" if host else self.local
        self._name, self._folder, self._settings = name, folder, settings
        self._log = folder / f"{name}.log"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the server, and wait until it listens. Raises DrillFailed."""
        for name in (".env", "settings.toml"):  # else those of the user would be read
            (self._folder / name).touch()
        own = {"PORT": self.port, "PUBLIC_BASE_URL": self.address, **self._settings}
        variables = {name.upper(): str(value) for name, value in own.items()}
        root = str(Path(callflow.__file__).parents[1])
        kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "TMPDIR") if name in os.environ}
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *_PROGRAM, cwd=self._folder, env={**kept, "PYTHONPATH": root, **variables},
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        over = monotonic() + _LISTENS_SECONDS
        while not await self._listens():
            if self._process.returncode is not None:
                raise DrillFailed(f"the {self._name} has ended at its start: {self._last_words()}")
            if monotonic() > over:
                raise DrillFailed(f"the {self._name} does not listen in {_LISTENS_SECONDS:g} s: is the machine busy?")
            await asyncio.sleep(_POLL_SECONDS)

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            return " ".join(self._log.read_text("utf-8", "replace").strip().splitlines()[-_LAST_LINES:])
        return "it said nothing"

    async def kill(self) -> None:
        """End the server at once, as `kill -9` does; it can be started again."""
        await self._end(signal.SIGKILL)

    async def close(self) -> None:
        """End the server, at the end of the case."""
        await self._end(signal.SIGKILL)

    async def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
            async with asyncio.timeout(_ENDS_SECONDS):
                await process.wait()
