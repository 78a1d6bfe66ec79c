"""Paths that name a node."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callflow.cluster import node_paths


@pytest.mark.parametrize(
    ("path", "name", "rest"),
    [
        ("/nodes/w1/webhooks", "w1", "/webhooks"),
        ("/nodes/a-w12/media-stream/x.1.y", "a-w12", "/media-stream/x.1.y"),
        ("/nodes/w1/", "w1", "/"),
        ("/nodes/w1", "", "/nodes/w1"),
        ("/nodes//webhooks", "", "/nodes//webhooks"),
        ("/nodes/W1/webhooks", "", "/nodes/W1/webhooks"),
        ("/nodes/../webhooks", "", "/nodes/../webhooks"),
        ("/webhooks", "", "/webhooks"),
    ],
)
def test_a_path_may_name_a_node(path: str, name: str, rest: str) -> None:
    assert node_paths.split(path) == (name, rest)


@given(st.text(st.sampled_from("/.nodesA1-%2f\\?é\n"), max_size=30))
def test_a_path_is_split_into_a_name_and_what_gives_the_whole_again(rest: str) -> None:
    for path in (rest, f"{node_paths.PREFIX}{rest}"):
        name, inside = node_paths.split(path)
        assert f"{node_paths.route(name)}{inside}" == path
        assert not name or (node_paths.NAME.fullmatch(name) and inside.startswith("/"))


@pytest.mark.parametrize("name", ["a" * 33, "a\n", "ä", "a.b", "a_b", "%61", "..", "A"])
def test_what_is_no_name_of_a_node_is_part_of_the_path(name: str) -> None:
    assert node_paths.split(f"/nodes/{name}/x") == ("", f"/nodes/{name}/x")


def test_a_name_is_taken_out_of_a_path_once() -> None:
    assert node_paths.split("/nodes/a/nodes/b/x") == ("a", "/nodes/b/x")
    assert node_paths.route("") == ""


def test_a_scope_without_the_name_keeps_the_path_that_was_signed() -> None:
    asked = {"type": "http", "path": "/nodes/w1/x", "raw_path": b"/nodes/w1/x", node_paths.NODE: "forged"}
    inside = node_paths.without_node(asked)
    assert inside == {**asked, "path": "/x", node_paths.NODE: "w1"}
    assert asked["path"] == "/nodes/w1/x", "whoever gave it keeps it"
    lifespan = {"type": "lifespan"}
    assert node_paths.without_node(lifespan) is lifespan
