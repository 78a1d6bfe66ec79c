"""What was asked for is done although whoever asked has gone, and before what it writes to is closed."""

from __future__ import annotations

import asyncio

from callflow.switchboard.shielded_changes import ShieldedChanges


async def test_a_change_whose_asker_has_gone_is_waited_for() -> None:
    done: list[str] = []

    async def change() -> None:
        await asyncio.sleep(0.02)
        done.append("changed")

    changes = ShieldedChanges()
    asking = asyncio.create_task(changes(change()))
    await asyncio.sleep(0)
    asking.cancel()
    await changes.close()
    assert done == ["changed"]
    await changes.close()
