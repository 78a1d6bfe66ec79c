"""The routes about the nodes of a cluster: what is told of each, and which may drain or take calls again."""

from __future__ import annotations

from typing import Any, cast

import pytest

from callflow.cluster.membership import Membership
from callflow.cluster.nodes import Node, View
from callflow.web.console.nodes import add_nodes, describe
from tests.in_loop import in_loop
from tests.web.asgi import Answer
from tests.web.console.bare import bare_app, request


NOW = 1_700_000_000.0


def node(name: str, epoch: int, **more: Any) -> Node:
    return Node(name=name, epoch=epoch, started_at=NOW - 60, **{"lease_until": NOW + 2.96, **more})


class Cluster:
    """This node, "w1", and others. `goes`: nodes that are gone from the database, which the view does not know yet."""

    me, trouble = "w1", ""

    def __init__(self, *nodes: Node, goes: tuple[str, ...] = ()) -> None:
        self.view, self.goes = View(nodes, NOW), goes
        self.set: list[tuple[str, str]] = []
        self.unserved = {"twilio": 2}

    async def set_state(self, name: str, state: str) -> bool:
        self.set.append((name, state))
        return name not in self.goes


async def ask(cluster: Cluster | None, method: str, path: str) -> Answer:
    app = bare_app()
    add_nodes(app, cast(Membership | None, cluster))
    return await request(app, method, path)


@in_loop
async def test_each_node_is_listed_by_its_name_and_a_dead_one_has_no_lease() -> None:
    cluster = Cluster(node("w2", 2, calls=3, capacity=40, lag_ms=1.26), node("w1", 1), node("w0", 3, state="dead"))
    told = (await ask(cluster, "GET", "/api/nodes")).json()
    assert (told["me"], told["leader"], told["trouble"], told["waiting"]) == ("w1", "w1", "", {"twilio": 2})
    assert [(each["name"], each["state"], each["leaseSeconds"]) for each in told["nodes"]] == [
        ("w0", "dead", 0), ("w1", "up", 3.0), ("w2", "up", 3.0),
    ]  # fmt: skip
    assert told["nodes"][2] == {
        "name": "w2", "state": "up", "calls": 3, "capacity": 40, "lagMs": 1.3, "epoch": 2,
        "startedAt": "2023-11-14T22:12:20.000Z", "leaseSeconds": 3.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("others", "way", "warned"),
    [
        ([node("w2", 2)], "drain", False),
        ([], "drain", True),
        ([node("w2", 2, state="draining"), node("w3", 3, state="dead")], "drain", True),
        ([], "resume", False),
    ],
    ids=["another one", "alone", "the others take nothing", "resume"],
)
@in_loop
async def test_a_node_drains_and_it_is_told_if_nobody_takes_its_calls(
    others: list[Node], way: str, warned: bool
) -> None:
    cluster = Cluster(node("w1", 1, calls=2), *others)
    answer = await ask(cluster, "POST", f"/api/nodes/w1/{way}")
    state = "draining" if way == "drain" else "up"
    assert (answer.status, answer.json()["node"]["state"], cluster.set) == (200, state, [("w1", state)])
    assert bool(answer.json()["warnings"]) is warned


@pytest.mark.parametrize("name", ["w9", "w0", "W1", "w%201", "w7"])
@in_loop
async def test_a_node_that_is_not_alive_is_not_there(name: str) -> None:
    cluster = Cluster(node("w1", 1), node("w0", 3, state="dead"), node("w7", 7), goes=("w7",))
    for way in ("drain", "resume"):
        answer = await ask(cluster, "POST", f"/api/nodes/{name}/{way}")
        assert answer.status == 404
        assert "GET /api/nodes lists them" in answer.json()["error"]
    assert all(each == "w7" for each, _ in cluster.set), "only what is believed to live is written"


@in_loop
async def test_a_server_alone_has_no_nodes_to_drain() -> None:
    assert (await ask(None, "GET", "/api/nodes")).json() == describe(None)
    assert describe(None) == {"me": "", "leader": "", "trouble": "", "nodes": [], "waiting": {}}
    assert (await ask(None, "POST", "/api/nodes/w1/drain")).status == 409
    assert (await ask(None, "GET", "/api/nodes?x=1")).status == 400
