"""The desk that keeps the alerts, without a server."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from callflow.switchboard.health.desk import HealthDesk
from callflow.switchboard.health.life_cycle import Alert
from tests.call.offline import until


async def test_a_process_that_is_in_charge_again_does_not_write_what_it_had_found_before_others_were() -> None:
    """They have judged since: an alert of that time would be open for ever, because nobody looks whether it is over."""
    desk = HealthDesk(lambda: cast(Any, None), cast(Any, None))
    old = Alert("alert_1", "disk", "wrong", "disk", "it is full", "make room", 1.0)
    desk._unsaved, desk._new = {old.id: old}, {old.id}
    keeping = asyncio.create_task(desk.keep_alerts())
    await until(lambda: desk._is_in_charge)
    assert (desk.in_memory, desk._new) == ([], set())
    keeping.cancel()
    await asyncio.wait([keeping])
