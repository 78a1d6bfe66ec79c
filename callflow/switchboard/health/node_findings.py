"""What a node finds when it looks at the cluster: a line each, in words, with what to do next. Nothing here waits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from callflow.cluster.nodes import View, out_of_reach
from callflow.contracts.diagnostics import Finding


NODES: Final = "nodes"
"""Which there are; all of them see the same."""
CLUSTER: Final = "cluster"
"""This node's own way to the others."""


def of_nodes(
    view: View, trouble: str, apart: Mapping[str, str], unserved: Mapping[str, int] | None = None
) -> Iterator[Finding]:
    """Judge the nodes. `trouble`: why this one cannot renew its lease; "": it can. `apart`: why this one and another
    one do not understand each other, by the name of that one. `unserved`: see `Membership`."""
    gone = out_of_reach(view)
    if unserved:
        calls = ", ".join(f"{count} of {carrier}" for carrier, count in unserved.items())
        what = f"calls of nodes that are gone wait, their callers in silence: {calls}"
        yield Finding(NODES, "wrong", what, "start a node that has the keys of that carrier")
    elif gone:
        what = f"{', '.join(gone)} died, and nobody serves on that machine"
        yield Finding(NODES, "note", what, "start it again; of a machine that was taken away, close the alert")
    else:
        count = len(view.alive())
        yield Finding(NODES, "ok", f"{count} serve together" if count != 1 else "one serves, and others may join it")
    living = {node.name for node in view.alive()}
    strangers = [f"{name}: {why}" for name, why in sorted(apart.items()) if name in living]
    if trouble:
        remedy = "calls that are here go on; others may take them over, and none is moved here"
        yield Finding(CLUSTER, "wrong", f"this node cannot renew its lease: {trouble}", remedy)
    elif strangers:
        remedy = "webhooks for their calls are lost here, and operators see no call of theirs until that is put right"
        yield Finding(CLUSTER, "wrong", "; ".join(strangers), remedy)
    else:
        yield Finding(CLUSTER, "ok", "this node and the others reach each other, as far as they have asked")
