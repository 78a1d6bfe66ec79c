"""`python server.py bench`: what the server adds to a call, measured from outside over real sockets.

The server runs as a process of its own, on one core; the emulated Telnyx and the emulated model run in this one, on
another, and answer every frame of the caller with a frame of the agent. Every frame carries its number, so that
latency, order and loss are seen frame by frame. What is measured includes the emulators' own time.
"""

from __future__ import annotations

import argparse
import asyncio
import binascii
import contextlib
import json
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from callflow.cli import output_file
from callflow.cli.bench import journal
from callflow.cli.terminal import Screen
from callflow.config import legacy_names
from callflow.config.settings import ALIASES, Settings
from callflow.contracts.errors import BenchError
from callflow.media.g711 import FRAME_BYTES
from callflow.sandbox.common.phone import Phone
from callflow.sandbox.openai_realtime import Realtime, Script
from callflow.sandbox.telnyx import Telnyx


ROOT: Final = Path(__file__).parents[3]
_SETTLE_SECONDS: Final = 1.5
"""Left out at the start of every call, while sockets open."""
_START_SECONDS: Final = 30.0
_ANSWER_SECONDS: Final = 20.0
_FILES_A_CALL: Final = 4
_OTHER_FILES: Final = 200


def run(arguments: argparse.Namespace) -> Any:
    """Return the coroutine that runs the benchmark; its result is the exit code."""
    return _checked(arguments.calls, arguments.seconds, arguments.recorded, arguments.json)


@dataclass
class Probe:
    """A caller who numbers each frame, and when each frame was sent, reached the model and came back (seconds)."""

    call: int
    sent: dict[int, float] = field(default_factory=dict)
    reached: dict[int, float] = field(default_factory=dict)
    returned: dict[int, float] = field(default_factory=dict)
    disordered: int = 0
    _last: int = 0

    def frame(self, chunk: int) -> bytes:
        """Return the next frame to send: 160 bytes."""
        self.sent[chunk] = time.monotonic()
        return self.call.to_bytes(2) + chunk.to_bytes(4) + b"\x55" * (FRAME_BYTES - 6)

    def on_echo(self, audio: bytes, at: float) -> None:
        """Note a frame that has reached the model."""
        self.reached[int.from_bytes(audio[2:6])] = at

    def on_media(self, at: float, audio: bytes) -> None:
        """Note frames that came back to the caller."""
        for start in range(0, len(audio), FRAME_BYTES):
            frame = audio[start : start + FRAME_BYTES]
            if int.from_bytes(frame[:2]) != self.call or frame[6:8] != b"\x55\x55":
                continue
            chunk = int.from_bytes(frame[2:6])
            self.disordered += chunk <= self._last
            self._last = max(self._last, chunk)
            self.returned[chunk] = at


async def _checked(calls: int, seconds: float, recorded: int, path: Path | None) -> int:
    problem = _too_many(calls) or (output_file.problem(path, "--json") if path is not None else None)
    if problem is not None:
        print(problem, file=sys.stderr)
        return 2
    try:
        return await _bench(calls, seconds, recorded, path)
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    except asyncio.CancelledError:
        print("Stopped: there are no figures.", file=sys.stderr)
        raise


def _too_many(calls: int) -> str | None:
    """Every call needs sockets, and the system allows a process only so many."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    needed = _OTHER_FILES + _FILES_A_CALL * calls
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return None
    if hard == resource.RLIM_INFINITY or hard >= needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
        return None
    room = max(0, (hard - _OTHER_FILES) // _FILES_A_CALL)
    advice = f"choose at most {room} with --calls, or allow more" if room else "allow more"
    return f"{calls} calls need {needed} open files, and a process may have {hard} here: {advice} with `ulimit -n`."


async def _bench(calls: int, seconds: float, recorded: int, path: Path | None) -> int:
    import psutil

    console = Screen(highlight=False)
    console.print(f"{calls} calls, {seconds:g} s, 50 frames a second each way; the server alone on one core …")
    probes = [Probe(number + 1) for number in range(calls)]

    def on_echo(base64: str) -> None:
        start = binascii.a2b_base64(base64[:8])
        number = int.from_bytes(start[:2])
        if 0 < number <= calls:
            probes[number - 1].on_echo(start, time.monotonic())

    async with _world(on_echo) as (telnyx, server, started_ms):
        process = psutil.Process(server.pid)
        before = process.memory_info().rss
        legs = []
        for probe in probes:
            legs.append(await telnyx.ring(phone=Phone(source=probe.frame, on_media=probe.on_media)))
            await asyncio.sleep(0.02)
        try:
            for leg in legs:
                await leg.wait_streaming(_ANSWER_SECONDS)
        except TimeoutError:
            raise BenchError(
                f"Not all of the {calls} calls were answered within {_ANSWER_SECONDS:g} s: choose fewer with --calls."
            ) from None
        await asyncio.sleep(_SETTLE_SECONDS)
        cpu, began = sum(process.cpu_times()[:2]), time.monotonic()
        await asyncio.sleep(seconds)
        used, ended = sum(process.cpu_times()[:2]) - cpu, time.monotonic()
        memory = process.memory_info().rss - before
        await asyncio.sleep(1.0)
        for leg in legs:
            await leg.hang_up()
    figures = _figures(probes, began, ended)
    if figures["frames"] == figures["frames_lost"]:
        raise BenchError("No audio came back from the server: choose fewer calls with --calls.")
    figures |= {
        "calls": calls,
        "cpu_percent": round(100 * used / (ended - began), 1),
        "cpu_percent_per_call": round(100 * used / (ended - began) / calls, 2),
        "memory_kb_per_call": round(memory / 1000 / calls),
        "start_up_ms": round(started_ms),
        "python": platform.python_version(),
    }
    console.print(_table(figures))
    if recorded:
        console.print(f"\nthe history: 100 calls in this process, then a search in {recorded} made-up calls …")
        record = await journal.measure(min(seconds, 5.0), recorded)
        console.print(_table(record))
        figures |= record
    if path:
        try:
            output_file.keep(f"{json.dumps(figures, indent=2)}\n".encode(), path)
        except OSError as error:
            raise BenchError(f"The figures could not be written to {path} ({error.strerror or error}).") from None
    return 0


@contextlib.asynccontextmanager
async def _world(
    on_echo: Callable[[str], None],
) -> AsyncIterator[tuple[Telnyx, asyncio.subprocess.Process, float]]:
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    with tempfile.TemporaryDirectory(prefix="callflow-bench-") as folder:
        async with (
            Telnyx(webhook_url="http://127.0.0.1:9/webhooks", api_key="KEY_of_the_bench") as telnyx,
            Realtime(script=Script.echoing(on_echo), keep_audio=False) as realtime,
        ):
            # Only this machine is measured: the settings are the defaults, and nothing of one's own is touched.
            for name in (".env", "settings.toml"):
                (Path(folder) / name).touch()
            environment = {
                **{name: value for name, value in os.environ.items() if name.upper() not in _settings()},
                "OPENAI_API_KEY": realtime.api_key,
                "OPENAI_REALTIME_URL": realtime.url,
                **{name.upper(): value for name, value in telnyx.settings().items()},
                "PORT": "0",
                "CONSOLE_PORT": "0",
                "DATA_DIR": folder,
                "MAX_CONCURRENT_CALLS": "10000",
                "LOG_LEVEL": "error",
                "COLUMNS": "100",
            }
            _end_like_ctrl_c()
            began = time.monotonic()
            server = await asyncio.create_subprocess_exec(
                sys.executable,
                str(ROOT / "server.py"),
                "serve",
                cwd=folder,
                env=environment,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for this process, which ends that one
            )
            try:
                port = await asyncio.wait_for(_port(server), _START_SECONDS)
                started = (time.monotonic() - began) * 1000
                if len(cores) > 1:
                    os.sched_setaffinity(server.pid, {cores[0]})
                    os.sched_setaffinity(0, set(cores[1:]))
                telnyx.set_server(f"http://127.0.0.1:{port}")
                yield telnyx, server, started
            except TimeoutError:
                raise BenchError(f"The server was not ready within {_START_SECONDS:g} s: try again.") from None
            finally:
                with contextlib.suppress(ProcessLookupError):
                    server.kill()  # what it has written goes with the folder
                await server.wait()


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


def _figures(probes: list[Probe], began: float, ended: float) -> dict[str, Any]:
    there, back_again = [], []
    lost = sent = 0
    for probe in probes:
        for chunk, at in probe.sent.items():
            if began <= at < ended:
                sent += 1
                reached, returned = probe.reached.get(chunk), probe.returned.get(chunk)
                if reached is None or returned is None:
                    lost += 1
                else:
                    there.append((reached - at) * 1000)
                    back_again.append((returned - reached) * 1000)
    return {
        "frames": sent,
        "frames_lost": lost,
        "frames_out_of_order": sum(probe.disordered for probe in probes),
        "caller_to_model_ms": _percentiles(there),
        "model_to_caller_ms": _percentiles(back_again),
    }


def _percentiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values) or [float("nan")]
    return {
        name: round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 2)
        for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
    }


def _table(figures: dict[str, Any]) -> Table:
    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name, value in figures.items():
        shown = "  ".join(f"{key} {one}" for key, one in value.items()) if isinstance(value, dict) else str(value)
        table.add_row(name.replace("_", " "), shown)
    return table
