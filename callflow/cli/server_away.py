"""Asks the running server again while it is away for a moment, as for a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, Final

from callflow.contracts.errors import ConsoleError


AWAY_SECONDS: Final = 30.0
"""How long a server that was there may be away."""
POLL_SECONDS: Final = 0.4

Answer = tuple[int, dict[str, Any]]


async def ask_until_back(ask: Callable[[], Awaitable[Answer]], say: Callable[[str], object]) -> Answer:
    """Ask until the server answers, or `AWAY_SECONDS` are over. `say`: told once that it is away. Raises
    ConsoleError."""
    until = monotonic() + AWAY_SECONDS
    is_away = False
    while True:
        try:
            status, told = await ask()
            if status != 503 or monotonic() > until:
                return status, told
        except ConsoleError as error:
            if not error.retry or monotonic() > until:
                raise
            if not is_away:
                say(f"{error} Waiting {AWAY_SECONDS:g} s for it.")
            is_away = True
        await asyncio.sleep(POLL_SECONDS)
