"""The routes about the nodes of a cluster: who serves, who has how many calls, and letting one drain."""

from __future__ import annotations

from typing import Any, Literal

from quart import Quart, Response

from callflow.cluster.membership import Membership
from callflow.cluster.nodes import Node, leader
from callflow.contracts.printable import quoted
from callflow.history.tables import iso
from callflow.web.responses import error_response, json_response, query_parameters


_ALONE = "This server serves alone: there is no cluster. See WORKERS and CLUSTER_PORT."


def add_nodes(app: Quart, cluster: Membership | None) -> None:
    """Add the routes to the app. `cluster`: this node's; None: it serves alone."""

    @app.get("/api/nodes")
    @query_parameters()
    async def nodes() -> Response:
        """List the nodes, those that are dead too until they begin again."""
        return json_response(describe(cluster))

    @app.post("/api/nodes/<node>/drain")
    async def drain_node(node: str) -> Response:
        """Let a node hand its calls over to the others, each at a quiet moment, and take no new ones."""
        return await _set(node, "draining")

    @app.post("/api/nodes/<node>/resume")
    async def resume_node(node: str) -> Response:
        """Let a draining node take calls again."""
        return await _set(node, "up")

    async def _set(node: str, state: Literal["up", "draining"]) -> Response:
        if cluster is None:
            return error_response(409, _ALONE)
        known = cluster.view.named(node)
        if known is None or not await cluster.set_state(node, state):
            return error_response(404, f"No node {quoted(node)} is alive; GET /api/nodes lists them.")
        others = [each for each in cluster.view.alive() if each.name != node and each.state == "up"]
        warnings = (
            ["No other node takes calls, so its calls stay where they are."] if state != "up" and not others else []
        )
        return json_response({"node": _node(known, cluster) | {"state": state}, "warnings": warnings})


def describe(cluster: Membership | None) -> dict[str, Any]:
    """Return the nodes as JSON: `{"me", "leader", "trouble", "nodes": […], "waiting": {…}}`; without a cluster, all
    empty. `waiting`: by carrier, how many calls of dead nodes no living node has the keys for."""
    if cluster is None:
        return {"me": "", "leader": "", "trouble": "", "nodes": [], "waiting": {}}
    rows = sorted(cluster.view.nodes, key=lambda node: node.name)
    return {
        "me": cluster.me,
        "leader": leader(cluster.view),
        "trouble": cluster.trouble,
        "nodes": [_node(node, cluster) for node in rows],
        "waiting": cluster.unserved,
    }


def _node(node: Node, cluster: Membership) -> dict[str, Any]:
    return {
        "name": node.name,
        "state": node.state,
        "calls": node.calls,
        "capacity": node.capacity,
        "lagMs": round(node.lag_ms, 1),
        "epoch": node.epoch,
        "startedAt": iso(node.started_at),
        "leaseSeconds": round(node.lease_until - cluster.view.now, 1) if node.state != "dead" else 0,
    }
