"""A node without the keys of a carrier beside one that has them: what comes in there goes to the other one, and what
the other one has stays there."""

from __future__ import annotations

import pytest

from tests.e2e.product import run, until
from tests.e2e.several_nodes import cluster, member


CARRIERS = ("telnyx", "twilio")
pytestmark = pytest.mark.one_node("it has nodes of its own")


def test_a_call_of_a_carrier_comes_to_the_node_that_has_its_keys_and_stays_there(carrier: str) -> None:
    """Its webhooks were answered 404, and a node that took it over closed it as interrupted."""

    async def main() -> None:
        async with cluster() as the:
            whole = the.settings
            the.settings = {name: value for name, value in whole.items() if not name.startswith(carrier)}
            await the.begin()
            the.settings = whole
            await the.begin()
            await the.meet()
            without, beside = the.nodes
            await the.answered()
            assert [node.switchboard.count for node in the.nodes] == [0, 1]
            await member(beside).set_state("w2", "draining")
            await until(lambda: member(beside).draining.is_set(), "the order to drain")
            assert beside.moving is not None
            assert beside.moving._target(carrier) is None, "nobody else could serve it"
            assert carrier not in (member(without).keys.mine or ()), "it would take the call over, and lose it"
            await the.hang_up()
            assert await the.on_record() == 1

    run(main())
