"""What `serve` has loaded once it listens: nothing that only other commands, migrations, PostgreSQL or the
phone of the operators' page need, and no carrier that is off."""

from __future__ import annotations

import base64
from typing import Final

import pytest

from tests.e2e.process import SERVER, python


pytestmark = pytest.mark.process
_OTHERS: Final = (
    "aiosqlite", "alembic", "asyncpg", "callflow.cli.doctor", "callflow.cli.terminal", "callflow.sandbox",
    "callflow.mcp", "callflow.web.console.app", "callflow.web.console.calls", "callflow.web.console.policy",
    "callflow.history.posted_items", "callflow.history.stored_recordings", "callflow.telemetry.traces",
    "callflow.tools.json_schema", "carriers.twilio", "greenlet", "httpx._main", "jsonschema", "mako", "mcp",
    "numpy", "obstore", "opentelemetry", "prometheus_client", "pygments", "pyngrok", "referencing", "rich",
    "soundfile", "soxr", "sqlalchemy.dialects.postgresql", "sqlalchemy.ext.asyncio", "sqlalchemy.orm", "xml.etree",
)  # fmt: skip
_PROGRAM: Final = f"""
import os, runpy, signal, sys
sys.path.insert(0, {SERVER.removesuffix("server.py")!r})
from callflow.switchboard.garbage_collection import GarbageCollection

def begin(self):  # it listens now
    print("loaded", [name for name in {_OTHERS!r} if name in sys.modules], "quart" in sys.modules, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)

GarbageCollection.begin = begin
sys.argv = ["server.py"]
runpy.run_path({SERVER!r}, run_name="__main__")
"""


@pytest.mark.proof
async def test_neither_a_first_nor_a_later_start_loads_what_only_others_need() -> None:
    """The first one makes the database."""
    env = {
        "OPENAI_API_KEY": "sk-x", "TELNYX_API_KEY": "KEYx", "TELNYX_PUBLIC_KEY": base64.b64encode(bytes(32)).decode(),
        "PORT": 0, "CONSOLE_PORT": 0,
    }  # fmt: skip
    async with python("-c", _PROGRAM, env=env) as first:
        assert await first.ended(30) == 0, first.said()
        assert "loaded [] True" in first.said(), first.said()
        async with python("-c", _PROGRAM, env=env | {"DATA_DIR": first.folder / "data"}) as second:
            assert await second.ended(30) == 0, second.said()
    assert "loaded [] True" in second.said(), second.said()


async def test_one_carrier_is_served_without_what_the_other_needs() -> None:
    env = {
        "OPENAI_API_KEY": "sk-x", "TWILIO_ACCOUNT_SID": f"AC{'0' * 32}", "TWILIO_AUTH_TOKEN": "0" * 32,
        "PORT": 0, "CONSOLE_PORT": 0,
    }  # fmt: skip
    program = _PROGRAM.replace(repr(_OTHERS), repr(("carriers.telnyx", "cryptography", "rich")))
    async with python("-c", program, env=env) as process:
        assert await process.ended(30) == 0, process.said()
    assert "loaded [] True" in process.said(), process.said()
