"""Installs the peers that `scripts/bench --peers` compares with, each into an environment of its own.

They come from the package index that pip is set up with, and never into the environment of the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from callflow.contracts.errors import BenchError


_STAMP: Final = "callflow-installed"
_DEADLINE_SECONDS: Final = 1200.0
_SAY_SECONDS: Final = 10.0
_MISLEADING: Final = ("PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_CONSTRAINT", "PIP_USER")
"""Variables that would send the packages elsewhere."""


@dataclass(frozen=True)
class Peer:
    """A library for telephone agents, and how its line is measured."""

    name: str
    what: str
    module: str
    """The program that serves calls with it."""
    packages: tuple[str, ...]
    """What is installed, with exact versions; the first is the peer itself."""
    engine_rate: int
    """Samples a second of the audio that it sends to the model: 8000 (µ-law) or 24000 (PCM)."""

    @property
    def version(self) -> str:
        """The version of the first package."""
        return self.packages[0].partition("==")[2]


_SERVER: Final = ("httpx==0.28.1", "uvicorn==0.54.0", "fastapi==0.165.0")
PEERS: Final = (
    Peer(
        "openai-agents",
        "RealtimeRunner of openai-agents, as its Twilio example uses it",
        "callflow.cli.bench.peers.openai_agents_server",
        ("openai-agents==0.24.0", "openai==3.57.0", "websockets==16.1.1", *_SERVER),
        8000,
    ),
    Peer(
        "pipecat",
        "pipecat: its Telnyx serializer, FastAPI transport and OpenAI Realtime service",
        "callflow.cli.bench.peers.pipecat_server",
        ("pipecat-ai[openai,websocket]==1.14.0", "openai==3.57.0", *_SERVER),
        24000,
    ),
)


def default_folder() -> Path:
    """Return where peers are installed: in the user's folder for caches."""
    caches = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(caches) if Path(caches).is_absolute() else Path.home() / ".cache") / "callflow" / "peers"


async def prepare(peer: Peer, folder: Path, say: Callable[[str], None]) -> Path:
    """Install a peer unless it is there already. `say`: shows progress, a line each. Returns its Python.

    Raises BenchError with the reason if it cannot be installed.
    """
    place = folder / peer.name
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp, wanted = place / _STAMP, "\n".join(peer.packages)
    try:
        if python.exists() and stamp.read_text(encoding="utf-8") == wanted:
            return python
    except OSError:
        pass
    try:
        place.mkdir(parents=True, exist_ok=True)
        stamp.unlink(missing_ok=True)
        await _run(
            say, f"{peer.name}: making an environment in {place}", sys.executable, "-m", "venv", "--clear", str(place)
        )
        pip = (str(python), "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet")
        await _run(say, f"{peer.name}: installing {peer.packages[0]}, which takes minutes", *pip, *peer.packages)
        stamp.write_text(wanted, encoding="utf-8")
    except OSError as error:
        raise BenchError(f"could not be installed: {error.strerror or error}") from None
    return python


async def _run(say: Callable[[str], None], what: str, *command: str) -> None:
    """Run a command to its end. Raises BenchError with the last line that it said."""
    say(f"{what} …")
    began = time.monotonic()
    environment = {name: value for name, value in os.environ.items() if name not in _MISLEADING}
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    told = asyncio.create_task(process.communicate())
    try:
        while not told.done():
            await asyncio.wait({told}, timeout=_SAY_SECONDS)
            took = time.monotonic() - began
            if not told.done() and took > _DEADLINE_SECONDS:
                raise BenchError(f"could not be installed: not done within {_DEADLINE_SECONDS:g} s")
            if not told.done():
                say(f"  {took:.0f} s")
    finally:
        if not told.done():
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await asyncio.wait({told}, timeout=5)
    if process.returncode:
        lines = [line for line in told.result()[0].decode(errors="replace").splitlines() if line.strip()]
        errors = [line for line in lines if "error" in line.lower()] or lines or [f"exit code {process.returncode}"]
        raise BenchError(f"could not be installed: {errors[-1].strip()[:300]}")
