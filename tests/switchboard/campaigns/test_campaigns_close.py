"""What was asked of a campaign is written before its history is closed."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from callflow.history.campaign_store import CANCELLED
from callflow.switchboard.campaigns.campaigns import Campaigns


async def test_a_cancel_whose_asker_has_gone_is_waited_for() -> None:
    done: list[str] = []

    async def set_state(*_: Any, **__: Any) -> bool:
        return True

    async def cancel_rows(campaign: str, now: float) -> None:
        await asyncio.sleep(0.02)
        done.append(campaign)

    store = SimpleNamespace(set_state=set_state, cancel_rows=cancel_rows)
    history = cast(Any, SimpleNamespace(campaigns=store, now=lambda: 1.0))
    campaigns = Campaigns(history, cast(Any, None), check=lambda number: "", wake=lambda: None)
    asking = asyncio.create_task(campaigns.change("a", CANCELLED))
    await asyncio.sleep(0)
    asking.cancel()
    await campaigns.close()
    assert done == ["a"]
