"""The doctor as the server asks it, in a process of its own: settings come in by the standard input, findings go out as
lines of JSON. `switchboard/health/doctor.py` starts it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pickle
import sys
from dataclasses import asdict

from callflow.cli.doctor import consult


async def tell() -> None:
    """Run all checks, and write each finding as soon as it is there."""
    settings, warnings = pickle.loads(sys.stdin.buffer.read())  # of our own server, and of nobody else
    async for finding in consult(settings, warnings):
        print(json.dumps(asdict(finding)), flush=True)


if __name__ == "__main__":
    with contextlib.suppress(OSError):
        os.nice(10)  # audio comes first
    asyncio.run(tell())
