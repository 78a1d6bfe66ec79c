"""Two nodes that refuse what the other one signs, because their secrets or their clocks differ: callers are served."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.e2e import product
from tests.e2e.product import run
from tests.e2e.several_nodes import cluster


CARRIERS = ("telnyx", "twilio")
SAMPLED = True
pytestmark = pytest.mark.one_node("it has nodes of its own")


def test_who_calls_is_answered_where_the_call_came_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of all new calls were to go to the other node, and the carrier was given its refusal."""
    node = product._node
    monkeypatch.setattr(product, "_node", lambda name, made: replace(node(name, made), secret=name.encode() * 16))
    run(_refused())


async def _refused() -> None:
    async with cluster() as the:
        await the.begin_two()
        calls = [await the.carrier.ring() for _ in range(4)]
        await asyncio.gather(*(call.phone.hears(0.3, timeout=10) for call in calls))
        assert [node.switchboard.count for node in the.nodes] == [4, 0]
        await the.hang_up()
        assert await the.on_record() == 4
