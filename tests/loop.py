"""The event loop of the tests."""

from __future__ import annotations

import asyncio

import uvloop


class Loop(uvloop.Loop):
    """The product's loop. What was closed at the very end of a test has a few turns to be gone."""

    def close(self) -> None:
        if not self.is_closed():
            self.run_until_complete(_turns())
        super().close()


async def _turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0.004)
