"""What `serve` has loaded once it listens: nothing that only other commands need."""

from __future__ import annotations

import base64
from typing import Final

import pytest

from tests.e2e.process import SERVER, python


pytestmark = pytest.mark.process
_OTHERS: Final = (
    "asyncpg", "callflow.cli.doctor", "callflow.sandbox", "callflow.telemetry.traces", "httpx._main", "mcp", "numpy",
    "opentelemetry", "prometheus_client", "pyngrok", "rich.markdown", "soundfile", "soxr",
)  # fmt: skip
_PROGRAM: Final = f"""
import os, runpy, signal, sys
sys.path.insert(0, {SERVER.removesuffix("server.py")!r})
from callflow.switchboard.garbage import GarbageCollection

def begin(self):  # it listens now
    print("loaded", [name for name in {_OTHERS!r} if name in sys.modules], "quart" in sys.modules, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)

GarbageCollection.begin = begin
sys.argv = ["server.py"]
runpy.run_path({SERVER!r}, run_name="__main__")
"""


async def test_a_server_that_listens_has_loaded_nothing_that_only_others_need() -> None:
    env = {
        "OPENAI_API_KEY": "sk-x", "TELNYX_API_KEY": "KEYx", "TELNYX_PUBLIC_KEY": base64.b64encode(bytes(32)).decode(),
        "PORT": 0, "CONSOLE_PORT": 0,
    }  # fmt: skip
    async with python("-c", _PROGRAM, env=env) as process:
        assert await process.ended(30) == 0, process.said()
    assert "loaded [] True" in process.said(), process.said()
