"""`python server.py bench`: which of the benchmarks is meant."""

from __future__ import annotations

import argparse
from typing import Any


def run(arguments: argparse.Namespace) -> Any:
    """Return the coroutine that runs it; its result is the exit code."""
    if arguments.what == "cluster":
        from callflow.cli.bench import cluster

        return cluster.run(arguments)
    if arguments.what == "simulation":
        from callflow.cli.bench.simulation import command

        return command.run(arguments)
    if arguments.what == "workers":
        from callflow.cli.bench import workers

        return workers.run(arguments)
    from callflow.cli.bench import relay

    return relay.run(arguments)
