"""Whether a tool may run whose step was not written: what it does must not be done a second time by another node.

While the lease holds, a node whose database is away does not know whether it alone is cut off. If it is, another node
has its calls when the lease has run out, reads nothing of the tool in the journal, and lets the model call it again. So
a tool waits for its step, for as long as a lease: by then the step is written; or the lease is renewed, and what cannot
be written is not for want of a database; or it has run out, and the others have said whether they go on.
"""

from __future__ import annotations

import asyncio
import contextlib

from callflow.cluster.membership import Membership
from callflow.cluster.nodes import LEASE_SECONDS
from callflow.history.journal_writer import DurableJournal


async def may_run(node: Membership, journal: DurableJournal, call: str) -> bool:
    """Return whether a tool of this call may run, although its step was not written in time. Waits while that is not
    known. False: another node has the call."""
    if node.lease_holds and not node.claims.is_fresh(call):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEASE_SECONDS):
                await journal.flushed()
    return await node.may_act(call) and not node.claims.has_let_go(call)
