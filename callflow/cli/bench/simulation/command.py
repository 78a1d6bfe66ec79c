"""`scripts/bench simulation`: 50 nodes, 10,000 calls and one database in virtual time, with deaths.

The decisions are those of `callflow/cluster/nodes.py`; what a transaction costs, `scripts/bench cluster` has measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from callflow.cli import output_file
from callflow.cli.bench.simulation.costs import Costs
from callflow.cli.bench.simulation.load import Load
from callflow.cli.bench.simulation.world import FAULTS, Fault, Result, World, percentile
from callflow.cli.terminal import Screen


SECONDS: Final = 300.0
_FIRST: Final = 10.0
_EVERY: Final = 15.0
"""Seconds from one fault to the next, in virtual time, on average."""


def run(arguments: argparse.Namespace) -> Any:
    """Return the coroutine that runs the simulation; its result is the exit code."""
    return _run(arguments.seed, arguments.seconds or SECONDS, arguments.json)


async def _run(seed: int, seconds: float, path: Path | None) -> int:
    problem = output_file.problem(path, "--json") if path is not None else None
    if problem is not None:
        print(problem, file=sys.stderr)
        return 2
    load = Load(seconds=seconds)
    screen = Screen(highlight=False)
    screen.print(f"{load.nodes} nodes, {load.calls} calls at once, {seconds:g} s in virtual time, seed {seed} …")
    result = await asyncio.to_thread(simulate, seed, load)
    screen.print(_takeovers(result))
    screen.print()
    screen.print(_counts(result))
    if path is not None:
        try:
            output_file.keep(f"{json.dumps(asdict(result), indent=2)}\n".encode(), path)
        except OSError as error:
            print(f"The figures could not be written to {path} ({error.strerror or error}).", file=sys.stderr)
            return 1
    return 1 if result.lost or result.double else 0


def schedule(seed: int, seconds: float, kinds: Sequence[Fault] = FAULTS) -> list[tuple[float, Fault]]:
    """Return faults at random moments (seconds from the beginning on), each kind in turn."""
    dice = random.Random(seed)
    count = max(1, int((seconds - _FIRST) / _EVERY))
    moments = sorted(dice.uniform(_FIRST, seconds) for _ in range(count))
    return [(at, kinds[number % len(kinds)]) for number, at in enumerate(moments)]


def simulate(seed: int, load: Load, costs: Costs | None = None) -> Result:
    """Run one course of the simulation, with faults at random moments that follow from `seed`."""
    return World(seed, load, costs or Costs()).run(schedule(seed, load.seconds))


def _takeovers(result: Result) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("fault", "times", "calls", "waited", "p50 s", "p95 s", "max s"):
        table.add_column(title, no_wrap=True)
    for fault in FAULTS:
        events = [event for event in result.events if event.fault == fault]
        gaps = [gap for event in events for gap in event.gaps]
        calls = sum(event.calls for event in events)
        told = [f"{percentile(gaps, share):.2f}" for share in (0.5, 0.95, 1.0)] if gaps else ["-"] * 3
        table.add_row(fault, str(len({(event.at) for event in events})), str(calls), str(len(gaps)), *told)
    return table


def _counts(result: Result) -> Table:
    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    rows: dict[str, object] = {
        "calls in all": result.calls,
        "calls lost": result.lost,
        "calls that were never written, and whose node died": result.never_written,
        "commands for a call of another node": result.double,
        "the same command again": result.repeated,
        "steps that whoever took over did not know": result.unknown_to_next,
        "callers who heard that all lines are busy": result.refused,
        "fullest node divided by the mean, p99": f"{result.most_over_mean:.2f}",
        "lag of the nodes' loops, p99": f"{1000 * result.lag_p99:.0f} ms",
        "database: transactions a second": _parts(result.transactions, "{:.1f}"),
        "database: cores at work": _parts(result.utilisation, "{:.2f}"),
        "database: longest wait for a core": f"{1000 * result.longest_wait:.0f} ms",
        "database: longest queue": result.longest_queue,
    }
    for name, value in rows.items():
        table.add_row(name, str(value))
    return table


def _parts(values: Any, form: str) -> str:
    parts = ", ".join(f"{name} {form.format(value)}" for name, value in values.items())
    return f"{form.format(sum(values.values()))} ({parts})"
