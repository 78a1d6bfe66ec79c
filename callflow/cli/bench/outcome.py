"""What becomes of a bench: its figures in a file, or a sentence that says why there are none."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from callflow.cli import output_file
from callflow.contracts.errors import BenchError


async def outcome_of(measure: Callable[[], Awaitable[Mapping[str, Any]]], path: Path | None) -> int:
    """Measure, and write the figures to `path` as JSON. Returns the exit code: 0: there are figures; 1: there are
    none; 2: the file cannot be written."""
    problem = output_file.problem(path, "--json") if path is not None else None
    if problem is not None:
        print(problem, file=sys.stderr)
        return 2
    try:
        figures = await measure()
        if path is not None:
            try:
                output_file.keep(f"{json.dumps(figures, indent=2)}\n".encode(), path)
            except OSError as error:
                raise BenchError(f"The figures could not be written to {path} ({error.strerror or error}).") from None
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    except asyncio.CancelledError:
        print("Stopped: there are no figures.", file=sys.stderr)
        raise
    return 0
