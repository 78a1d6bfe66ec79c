"""`python server.py bench`: what the server adds to a call, measured from outside over real sockets.

The server runs as a process of its own, on one core; the emulated Telnyx and the emulated model run in this one, on
another, and answer every frame of the caller with a frame of the agent. Every frame carries its number, so that
latency, order and loss are seen frame by frame. What is measured includes the emulators' own time.

Two other relays are measured in the same way and in the same run, to compare with: see `subjects.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import binascii
import contextlib
import functools
import json
import platform
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from rich.table import Table

from callflow import runtime
from callflow.cli import output_file
from callflow.cli.bench import coded_frames, journal, viewers
from callflow.cli.bench.peers.install import PEERS, default_folder, prepare
from callflow.cli.bench.subjects import CALLFLOW, SUBJECTS, USUAL, Subject, processes, world
from callflow.cli.terminal import Screen
from callflow.contracts.errors import BenchError
from callflow.media.g711 import FRAME_BYTES, ulaw_to_pcm16
from callflow.sandbox import telnyx, twilio
from callflow.sandbox.common.phone import Phone


Carrier: TypeAlias = telnyx.Telnyx | twilio.Twilio
Leg: TypeAlias = telnyx.Call | twilio.Call
SECONDS: Final = 10.0
_SETTLE_SECONDS: Final = 1.5
"""Left out at the start of every call, while sockets open."""
_ANSWER_SECONDS: Final = 20.0
_SHORT_SECONDS: Final = 0.2
_SHORT_CALLS: Final = 30
_STORM_RATE: Final = 10
"""Short calls a second, beside the talking ones."""
_MOST_P99_MS: Final = 10.0
"""Beyond this delay, either way, so many calls are not served well, and calls per core say nothing."""
_WAYS: Final = ("caller_to_model_ms", "model_to_caller_ms")
_FILES_A_CALL: Final = 4
_OTHER_FILES: Final = 200


def run(arguments: argparse.Namespace) -> Any:
    """Return the coroutine that runs the benchmark; its result is the exit code."""
    peers = default_folder() if arguments.peers is True else arguments.peers
    return _checked(
        arguments.calls, arguments.seconds or SECONDS, arguments.recorded, arguments.json, arguments.only, peers,
        watched=arguments.watched,
    )  # fmt: skip


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


class CodedProbe(Probe):
    """A caller for a program that does not leave the audio as it is: its frames are coded."""

    newest = 0

    def frame(self, chunk: int) -> bytes:
        """Return the next frame to send; only the codes are counted."""
        self.newest = chunk
        if chunk % coded_frames.EVERY == 0:
            self.sent[chunk] = time.monotonic()
        return coded_frames.frame(self.call, chunk)

    def on_code(self, number: int, at: float) -> None:
        """Note a code that has reached the model; `at`: seconds, of `time.monotonic`."""
        self.reached[coded_frames.chunk_of(number, self.newest)] = at

    def on_media(self, at: float, audio: bytes) -> None:
        """Note codes that came back to the caller; `at`: seconds, of `time.monotonic`."""
        for call, number, came in self._back.feed(ulaw_to_pcm16(audio), at):
            if call == self.call:
                chunk = coded_frames.chunk_of(number, self.newest)
                self.disordered += chunk <= self._last
                self._last = max(self._last, chunk)
                self.returned[chunk] = came

    @functools.cached_property
    def _back(self) -> coded_frames.Reader:
        return coded_frames.Reader(8000)


async def _checked(
    calls: int,
    seconds: float,
    recorded: int,
    path: Path | None,
    names: Sequence[str] | None,
    peers: Path | None,
    *,
    watched: str | None,
) -> int:
    problem = _too_many(calls) or (output_file.problem(path, "--json") if path is not None else None)
    if problem is not None:
        print(problem, file=sys.stderr)
        return 2
    try:
        return await _bench(calls, seconds, recorded, path, names or USUAL, peers, watched=watched)
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
    runtime.allow_files()
    needed, allowed = _OTHER_FILES + _FILES_A_CALL * calls, resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if allowed == resource.RLIM_INFINITY or allowed >= needed:
        return None
    room = max(0, (allowed - _OTHER_FILES) // _FILES_A_CALL)
    advice = f"choose at most {room} with --calls, or allow more" if room else "allow more"
    return f"{calls} calls need {needed} open files, and a process may have {allowed} here: {advice} with `ulimit -n`."


async def _bench(
    calls: int,
    seconds: float,
    recorded: int,
    path: Path | None,
    names: Sequence[str],
    peers: Path | None,
    *,
    watched: str | None,
) -> int:
    console = Screen(highlight=False)
    console.print(f"{calls} calls, {seconds:g} s, 50 frames a second each way; each program alone on one core …")
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        subject = SUBJECTS[name]
        if subject.lacks:
            console.print(f"{name}: left out, because the package {subject.lacks} is not installed")
            continue
        console.print(f"{name}: {subject.what} …")
        found[name] = await measure(subject, calls, seconds, watched=watched if subject is CALLFLOW else None)
    left_out = await _peers(found, console, peers, calls, seconds) if peers is not None else {}
    if not found:
        raise BenchError("There is nothing to measure.")
    console.print(_side_by_side(found, left_out))
    for name, why in left_out.items():
        console.print(f"{name}: {why}")
    is_ours = any(SUBJECTS[name].is_ours for name in found if name in SUBJECTS)
    figures = {**found.pop(CALLFLOW.name, {}), "python": platform.python_version()}
    if beside := {name: value for name, value in figures.items() if "watched" in name or "ratio_" in name}:
        console.print(f"\nthe same calls, with and without {viewers.BESIDE[watched or '']}:")
        console.print(_table(beside))
    figures |= {"others": found, "ratios": _ratios(figures, found)}
    if peers is not None:
        figures |= {"peers": {peer.name: peer.version for peer in PEERS}, "not_measured": left_out}
    if recorded and is_ours:
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


async def _peers(
    found: dict[str, dict[str, Any]], console: Screen, folder: Path, calls: int, seconds: float
) -> dict[str, str]:
    """Install and measure the peers, and add their figures to `found`. Returns why others have none, by name."""
    left_out: dict[str, str] = {}
    for peer in PEERS:
        try:
            if calls > coded_frames.MOST_CALLS:
                raise BenchError(f"more than {coded_frames.MOST_CALLS} calls cannot be told apart")
            python = await prepare(peer, folder, console.print)
            console.print(f"{peer.name} {peer.version}: {peer.what} …")
            subject = Subject(peer.name, peer.what, peer.module, python=str(python), coded_at=peer.engine_rate)
            found[peer.name] = await measure(subject, calls, seconds)
        except BenchError as error:
            left_out[peer.name] = str(error)
    return left_out


async def measure(subject: Subject, calls: int, seconds: float, *, watched: str | None = None) -> dict[str, Any]:
    """Return the figures of one subject: see `_COLUMNS`. `watched`: see `viewers`. Raises BenchError."""
    coded = [CodedProbe(number + 1) for number in range(calls)] if subject.coded_at else []
    probes: list[Probe] = [*coded] or [Probe(number + 1) for number in range(calls)]

    def on_echo(base64: str) -> None:
        start = binascii.a2b_base64(base64[:8])
        number = int.from_bytes(start[:2])
        if 0 < number <= calls:
            probes[number - 1].on_echo(start, time.monotonic())

    sessions: dict[object, coded_frames.Reader] = {}

    def on_coded_echo(base64: str) -> None:
        audio = binascii.a2b_base64(base64)
        session = asyncio.current_task()  # the emulated model has one for each session
        reader = sessions.get(session) or sessions.setdefault(session, coded_frames.Reader(subject.coded_at))
        pcm = audio if subject.coded_at > 8000 else ulaw_to_pcm16(audio)
        for call, code, at in reader.feed(pcm, time.monotonic()):
            if 0 < call <= calls:
                coded[call - 1].on_code(code, at)

    async with world(subject, on_coded_echo if coded else on_echo) as the:
        process = processes(the.server.pid)
        cost = await _set_up_cost(the.carrier, process)
        before = _memory(process)
        legs = await ring_all(the.carrier, probes)
        await asyncio.sleep(_SETTLE_SECONDS)
        cpu, began = _cpu(process), time.monotonic()
        await asyncio.sleep(seconds)
        used, ended = _cpu(process) - cpu, time.monotonic()
        memory = _memory(process) - before
        storm = await _storm(the.carrier, probes, min(seconds, 5.0))
        await asyncio.sleep(1.0)
        for leg in legs:
            await leg.hang_up()
        first, beside = [*probes], dict[str, Any]()
        if watched is not None:
            beside = await viewers.compare(
                the.console, the.server.pid, watched, seconds, functools.partial(_new_calls, the.carrier, probes),
                functools.partial(_figures, probes, above_least=True), functools.partial(_cpu, process),
            )  # fmt: skip
            probes[:] = first
    figures = _figures(probes, began, ended)
    if figures["frames"] == figures["frames_lost"]:
        raise BenchError("No audio came back from the server: choose fewer calls with --calls.")
    return figures | {
        "calls": calls,
        "cpu_percent": round(100 * used / (ended - began), 1),
        "cpu_percent_per_call": round(100 * used / (ended - began) / calls, 2),
        "calls_per_core": round(calls * (ended - began) / used) if used else None,
        "p99_within_10_ms": all(figures[way]["p99"] <= _MOST_P99_MS for way in _WAYS),
        "cpu_ms_per_short_call": cost,
        "memory_kb_per_call": round(memory / 1000 / calls),
        "memory_mb_before": round(before / 1e6),
        "start_up_ms": round(the.started_ms),
        **storm,
        **beside,
    }


@contextlib.asynccontextmanager
async def _new_calls(carrier: Carrier, probes: list[Probe]) -> AsyncIterator[None]:
    """Have as many calls anew."""
    probes[:] = [Probe(probe.call) for probe in probes]
    legs = await ring_all(carrier, probes)
    await asyncio.sleep(_SETTLE_SECONDS)
    yield
    for leg in legs:
        await leg.hang_up()


async def ring_all(carrier: Carrier, probes: Sequence[Probe]) -> list[Leg]:
    """Have a call of each, with its audio. Raises BenchError."""
    legs = [await _ring(carrier, probe) for probe in probes]
    try:
        for leg in legs:
            await leg.wait_streaming(_ANSWER_SECONDS)
    except TimeoutError:
        raise BenchError(
            f"Not all of the {len(probes)} calls were answered within {_ANSWER_SECONDS:g} s: choose fewer with --calls."
        ) from None
    return legs


async def _ring(carrier: Carrier, probe: Probe) -> Leg:
    leg = await carrier.ring(phone=Phone(source=probe.frame, on_media=probe.on_media))
    await asyncio.sleep(0.02)
    return leg


def _cpu(process: Sequence[Any]) -> float:
    return float(sum(sum(each.cpu_times()[:2]) for each in process))


def _memory(process: Sequence[Any]) -> int:
    return sum(each.memory_info().rss for each in process)


async def _short_call(carrier: Carrier) -> None:
    """Ring, be answered, hear a moment and hang up."""
    leg = await carrier.ring()
    await leg.wait_streaming(_ANSWER_SECONDS)
    await asyncio.sleep(_SHORT_SECONDS)
    await leg.hang_up()


async def _set_up_cost(carrier: Carrier, process: Sequence[Any]) -> float:
    """Return the processor time in ms to set up and end a call of 0.2 s, after some that are not counted."""
    for counted in (False, True):
        began = _cpu(process)
        for _ in range(_SHORT_CALLS if counted else 5):
            await _short_call(carrier)
    await asyncio.sleep(_SETTLE_SECONDS)  # what is left of these calls ends
    return round((_cpu(process) - began) * 1000 / _SHORT_CALLS, 1)


async def _storm(carrier: Carrier, probes: list[Probe], seconds: float) -> dict[str, Any]:
    """Measure the talking calls while others come and go, ten a second. Those that a program which has too much to do
    does not answer are counted."""
    began = time.monotonic()
    unanswered = 0

    async def short_call() -> None:
        nonlocal unanswered
        try:
            await _short_call(carrier)
        except TimeoutError:
            unanswered += 1

    async with asyncio.TaskGroup() as short:
        for number in range(int(seconds * _STORM_RATE)):
            await asyncio.sleep(max(0.0, began + number / _STORM_RATE - time.monotonic()))
            short.create_task(short_call())
    await asyncio.sleep(0.5)
    found = _figures(probes, began, began + seconds)
    figures = {f"storm_{name}": found[name] for name in ("caller_to_model_ms", "model_to_caller_ms")}
    return {**figures, "storm_unanswered": unanswered}


def _figures(probes: list[Probe], began: float, ended: float, *, above_least: bool = False) -> dict[str, Any]:
    """Return the delays of frames that were sent between two moments. `above_least`: to the caller, what they took
    longer than the quickest of their call, which leaves out what waits to be played since the machine stood still."""
    there, back_again = [], []
    lost = sent = 0
    for probe in probes:
        own: list[float] = []
        for chunk, at in probe.sent.items():
            if began <= at < ended:
                sent += 1
                reached, returned = probe.reached.get(chunk), probe.returned.get(chunk)
                if reached is None or returned is None:
                    lost += 1
                else:
                    there.append((reached - at) * 1000)
                    own.append((returned - reached) * 1000)
        least = min(own, default=0.0) if above_least else 0.0
        back_again += [each - least for each in own]
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


_COLUMNS: Final = (
    "frames", "frames_lost", "frames_out_of_order", "caller_to_model_ms", "model_to_caller_ms", "cpu_percent_per_call",
    "calls_per_core", "p99_within_10_ms", "cpu_ms_per_short_call", "memory_kb_per_call", "memory_mb_before",
    "start_up_ms",
    "storm_caller_to_model_ms", "storm_model_to_caller_ms", "storm_unanswered",
)  # fmt: skip


def _side_by_side(found: dict[str, dict[str, Any]], left_out: Mapping[str, str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("")
    for name in (*found, *left_out):
        table.add_column(name)
    none = ["not measured"] * len(left_out)
    for column in _COLUMNS:
        values = [figures[column] for figures in found.values()]
        name = column.replace("_", " ")
        if isinstance(values[0], dict):
            for part in values[0]:
                table.add_row(f"{name}, {part}", *(str(value[part]) for value in values), *none)
        else:
            table.add_row(name, *map(_shown, values), *none)
    return table


def _ratios(ours: dict[str, Any], others: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Our calls per core divided by the others'."""
    own = ours.get("calls_per_core")
    pairs = {name: figures["calls_per_core"] for name, figures in others.items()}
    return {f"calls_per_core_to_{name}": round(own / theirs, 2) for name, theirs in pairs.items() if own and theirs}


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "NO"
    return "  ".join(f"{key} {one}" for key, one in value.items()) if isinstance(value, dict) else str(value)


def _table(figures: dict[str, Any]) -> Table:
    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name, value in figures.items():
        table.add_row(name.replace("_", " "), _shown(value))
    return table
