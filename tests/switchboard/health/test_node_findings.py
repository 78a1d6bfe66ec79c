"""What a node finds when it looks at the cluster."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from callflow.cluster.nodes import Node, State, View
from callflow.contracts.diagnostics import Finding
from callflow.switchboard.health.node_findings import CLUSTER, NODES, of_nodes
from callflow.switchboard.health.service import is_alarming


def view(**states: State) -> View:
    names = {name.replace("_", "-"): state for name, state in states.items()}
    return View(tuple(Node(name=name, epoch=at, state=state) for at, (name, state) in enumerate(names.items(), 1)), 9.0)


def found(view: View, trouble: str = "", apart: Mapping[str, str] | None = None) -> dict[str, Finding]:
    return {one.about: one for one in of_nodes(view, trouble, apart or {})}


def test_nodes_that_serve_and_understand_each_other_are_well() -> None:
    told = found(view(a_w1="up", b_w1="draining"))
    assert [one.state for one in told.values()] == ["ok", "ok"]
    assert told[NODES].what == "2 serve together"


@pytest.mark.parametrize(
    ("others", "says"),
    [
        ({"b_w1": "dead", "b_w2": "dead"}, "b-w1, b-w2 died, and nobody serves on that machine"),
        ({"b_w1": "dead", "b_w2": "up"}, ""),
    ],
)
def test_a_machine_that_died_is_worth_an_alert_until_it_is_back(others: dict[str, State], says: str) -> None:
    """One worker of a machine is replaced by its main process, perhaps under another name."""
    told = found(view(a_w1="up", **others))[NODES]
    assert is_alarming(told) is bool(says)
    assert says in told.what


def test_a_node_that_does_not_understand_another_one_says_so_while_that_one_lives() -> None:
    apart = {"b-w1": "it refuses what this node signs"}
    told = found(view(a_w1="up", b_w1="up"), apart=apart)[CLUSTER]
    assert (told.what, is_alarming(told)) == ("b-w1: it refuses what this node signs", True)
    assert found(view(a_w1="up", b_w1="dead"), apart=apart)[CLUSTER].state == "ok"
    assert found(view(a_w1="up"), apart=apart)[CLUSTER].state == "ok"


def test_calls_that_no_living_node_can_serve_are_an_alert() -> None:
    """They waited for a node with the keys of their carrier, and nobody was told."""
    (one, _) = of_nodes(view(a_w1="dead", b_w1="up"), "", {}, {"twilio": 2})
    assert (one.about, is_alarming(one), "2 of twilio" in one.what) == (NODES, True, True)


def test_why_the_lease_cannot_be_renewed_goes_first() -> None:
    told = found(view(a_w1="up", b_w1="up"), "another machine has a node a-w1", {"b-w1": "x"})[CLUSTER]
    assert (told.state, told.what) == ("wrong", "this node cannot renew its lease: another machine has a node a-w1")
