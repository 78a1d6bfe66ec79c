"""Whether a tool may run whose step was not written: what it does must not be done a second time by another node.

While the lease holds, a node whose database is away does not know whether it alone is cut off. If it is, another node
has its calls when the lease has run out, reads nothing of the tool in the journal, and lets the model call it again. So
a tool waits for its step, for as long as a lease. By then one of three is true: the step is written; the lease is
renewed, and what cannot be written is not for want of a database; or it has run out, and the others have said whether
they go on. A journal that is known to fail is looked at more closely: if the lease can be renewed at this moment, a
tool waits for hardly longer than a moment's trouble lasts.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from callflow.cluster.membership import Membership
from callflow.cluster.nodes import LEASE_SECONDS
from callflow.history.journal_writer import DurableJournal


_FAILING_SECONDS: Final = 0.3
"""How long a tool waits for its step where the journal fails and the database does not."""


async def may_run(node: Membership, journal: DurableJournal, call: str) -> bool:
    """Return whether a tool of this call may run, although its step was not written in time. Waits while that is not
    known. False: another node has the call."""
    if node.lease_holds and not node.claims.is_fresh(call):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FAILING_SECONDS if await _fails_alone(journal, node) else LEASE_SECONDS):
                await journal.flushed()
    return await node.may_act(call) and not node.claims.has_let_go(call)


async def _fails_alone(journal: DurableJournal, node: Membership) -> bool:
    """Return whether the journal is known to fail, and the database renews the lease at this moment: it is there."""
    if not journal.trouble:
        return False
    seen = node.view
    await node.look_again()
    return node.view is not seen
