"""`scripts/bench cluster`: what a database carries that several nodes share.

Writer processes, each with the real journal and its fence, on SQLite and on a PostgreSQL server of its own, which keeps
its promises on the disk (`fsync`). Measured are entries and beginning calls in a second, how long a step waits, and
the processor time that the database takes for each, from which follows how far one goes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final

from rich.table import Table
from sqlalchemy import Connection, text

from callflow.cli.bench import postgres
from callflow.cli.bench.outcome import outcome_of
from callflow.cli.bench.subjects import ROOT
from callflow.cli.terminal import Screen
from callflow.contracts.errors import BenchError
from callflow.history.database import Database, url_of


SECONDS: Final = 1.5
_WRITERS: Final = (1, 2, 4)
_READY_SECONDS: Final = 30.0
_MODULE: Final = "callflow.cli.bench.cluster_writer"
_Cpu = Callable[[], float]


def run(arguments: argparse.Namespace) -> Any:
    """Return the coroutine that runs the benchmark; its result is the exit code."""
    return outcome_of(lambda: _measure(arguments.seconds or SECONDS, Screen(highlight=False)), arguments.json)


async def _measure(seconds: float, screen: Screen) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="callflow-bench-") as folder:
        screen.print(f"SQLite, {seconds:g} s for each figure …")
        found["sqlite"] = await measure(f"sqlite:///{folder}/bench.db", seconds)
    screen.print(_table(found["sqlite"], has_cpu=False))
    try:
        server = await asyncio.to_thread(postgres.start)
    except FileNotFoundError as error:
        screen.print(f"\nPostgreSQL: left out, because {error}")
        return found
    except subprocess.CalledProcessError as error:
        raise BenchError(f"PostgreSQL does not start: {error.stderr.decode(errors='replace').strip()}") from None
    try:
        screen.print(f"\nPostgreSQL, {seconds:g} s for each figure …")
        url, process = postgres.address(server).format(name="postgres"), postgres.process(server)
        found["postgresql"] = await measure(url, seconds, lambda: _cpu_of(process))
    finally:
        await asyncio.to_thread(postgres.stop, server)
    screen.print(_table(found["postgresql"], has_cpu=True))
    return found


async def measure(
    address: str, seconds: float, cpu: _Cpu = lambda: 0.0, counts: Sequence[int] = _WRITERS
) -> dict[str, Any]:
    """Measure one database, with so many writers at a time. `cpu`: returns the processor time that it has taken, in
    seconds.

    Returns figures by what was measured, such as `"begin 4"`: what the writers did, and how many they were. Raises
    BenchError; DatabaseError for an address that cannot be used.
    """
    url = url_of(address, "")
    database = Database(url)
    await database.migrate()
    shown = url.render_as_string(hide_password=False)
    found: dict[str, Any] = {}
    for count in counts:
        async with _writers(shown, count) as writers:
            before = await database.read(_sizes)
            for kind in ("step", "write", "begin", *(("renew", "kill", "take", "read") if count == 1 else ())):
                figures = await _together(writers, kind, seconds, cpu)
                if kind != "kill":
                    found[f"{kind} {count}"] = figures
                if kind == "write":
                    after, entries = await database.read(_sizes), figures["per_second"] * figures["seconds"]
                    figures["log_bytes_each"] = round((after[0] - before[0]) / entries)
                    figures["table_bytes_each"] = round((after[1] - before[1]) / entries)
                before = await database.read(_sizes)
    await database.close()
    return found


def _sizes(connection: Connection) -> tuple[int, int]:
    """Return how much the database has written to its log, and how large it is, in bytes."""
    if connection.dialect.name == "sqlite":
        pages, size = (connection.exec_driver_sql(f"PRAGMA page_{what}").scalar_one() for what in ("count", "size"))
        return 0, int(pages) * int(size)
    log, size = "pg_current_wal_lsn() - '0/0'::pg_lsn", "pg_database_size(current_database())"
    row = connection.execute(text(f"SELECT {log}, {size}")).one()
    return int(row[0]), int(row[1])


@contextlib.asynccontextmanager
async def _writers(url: str, count: int) -> AsyncIterator[list[asyncio.subprocess.Process]]:
    """Start writer processes; they are killed at the end."""
    started: list[asyncio.subprocess.Process] = []
    try:
        for number in range(count):
            started += [await _writer(url, f"w{number + 1}")]
        async with asyncio.timeout(_READY_SECONDS):
            for writer in started:
                await _answer(writer)
        yield started
    except TimeoutError:
        raise BenchError(f"The writers were not ready within {_READY_SECONDS:g} s: try again.") from None
    finally:
        for writer in started:
            with contextlib.suppress(ProcessLookupError):
                writer.kill()
            await writer.wait()


async def _writer(url: str, name: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", _MODULE, url, name),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )


async def _together(
    writers: Sequence[asyncio.subprocess.Process], kind: str, seconds: float, cpu: _Cpu
) -> dict[str, float]:
    """Let all writers do the same at the same time. Returns their figures, added up."""
    before = cpu()
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(f"{kind} {seconds}\n".encode())
        await writer.stdin.drain()
    answers = [await _answer(writer) for writer in writers]
    used = cpu() - before
    took = max(answer["seconds"] for answer in answers)
    batches = sum(answer["batches"] for answer in answers)
    units = sum(answer.get("calls") or answer.get("entries") or answer["batches"] for answer in answers)
    if any(answer.get("unwritable", 0) for answer in answers):
        raise BenchError("The database refused entries: see above.")
    waits = sorted(wait for answer in answers for wait in answer["waits_ms"])
    return {
        "seconds": round(took, 3),
        "per_second": round(units / took, 1),
        "transactions_per_second": round(batches / took, 1),
        "wait_p50_ms": waits[len(waits) // 2] if waits else 0.0,
        "wait_p99_ms": waits[int(len(waits) * 0.99)] if waits else 0.0,
        "steps_gone_on": sum(answer["gone_on"] for answer in answers),
        "database_us_each": round(1e6 * used / units, 1) if units else 0.0,
        "database_us_per_transaction": round(1e6 * used / batches, 1) if batches else 0.0,
        "writer_us_each": round(1e6 * sum(answer["cpu"] for answer in answers) / units, 1) if units else 0.0,
    }


async def _answer(writer: asyncio.subprocess.Process) -> Any:
    assert writer.stdout is not None
    line = await writer.stdout.readline()
    if not line:
        raise BenchError("A writer ended before it was done, for the reason above.")
    return json.loads(line)


def _cpu_of(process: int) -> float:
    """Return the processor time of a PostgreSQL server with all its processes, in seconds."""
    import psutil

    server = psutil.Process(process)
    total = sum(server.cpu_times()[:4])
    for child in server.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += sum(child.cpu_times()[:2])
    return float(total)


_WHAT: Final = {
    "step": "single steps",
    "write": "entries",
    "begin": "calls begun",
    "renew": "leases",
    "take": "taken over",
    "read": "journals read",
}


def _table(found: Mapping[str, Mapping[str, float]], *, has_cpu: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    titles = [
        "",
        "writers",
        "per s",
        "commits/s",
        "p50 ms",
        "p99 ms",
        "gone on",
        *(["database µs"] if has_cpu else []),
        "writer µs",
    ]
    for title in titles:
        table.add_column(title, no_wrap=True)
    for name, figures in found.items():
        kind, writers = name.split()
        keys = ("per_second", "transactions_per_second", "wait_p50_ms", "wait_p99_ms", "steps_gone_on")
        cpu = ("database_us_each", "writer_us_each") if has_cpu else ("writer_us_each",)
        table.add_row(_WHAT[kind], writers, *(f"{figures[key]:g}" for key in (*keys, *cpu)))
    return table
