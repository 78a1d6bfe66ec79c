"""At which moments a call is moved to another node."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from callflow.cluster.peers import Peer
from callflow.switchboard.moving import Moving, QuietMoments, at_once
from tests.in_loop import in_loop


def looks(moments: QuietMoments, quiet: str, began: float = 0.0) -> list[float]:
    """When a call may be moved, looked at every 0.1 s: `.` quiet, `x` somebody speaks, `b` two people talk."""
    states = {".": True, "x": False, "b": "bridged"}
    return [
        round(began + 0.1 * step, 1)
        for step, state in enumerate(quiet)
        if moments.ready({"c": states[state]}, began + 0.1 * step)  # type: ignore[dict-item]
    ]


def test_who_has_said_nothing_for_a_while_is_moved() -> None:
    assert looks(QuietMoments(0.0, 30.0), "xxx" + "." * 25)[0] == 2.3
    assert looks(QuietMoments(0.0, 30.0), "." * 25)[0] == 2.0


def test_pauses_in_a_conversation_are_not_taken_at_first() -> None:
    assert looks(QuietMoments(0.0, 30.0), "xxxxxxxx......xxxxxxxxxx......xxxx") == []


def test_later_a_pause_is_taken_at_its_very_beginning_only() -> None:
    """Within some tenths of a second the other one answers."""
    assert looks(QuietMoments(0.0, 10.0), "x" * 25 + "......" + "xxxx" + ".....") == [2.5, 3.5]


def test_of_a_pause_whose_beginning_nobody_has_seen_it_is_not_known_how_long_it_has_been() -> None:
    assert looks(QuietMoments(-5.0, 10.0), "....") == []


def test_when_two_people_talk_any_moment_will_do() -> None:
    assert looks(QuietMoments(0.0, 30.0), "xbb") == [0.1, 0.2]


def test_when_the_time_is_up_any_moment_will_do() -> None:
    assert looks(QuietMoments(0.0, 0.5), "xxxxxxx") == [0.5, 0.6]
    assert looks(QuietMoments(0.0, 0.0), "x") == [0.0]


def test_few_calls_are_between_the_nodes_at_the_same_moment_while_there_is_time() -> None:
    assert [at_once(40, seconds) for seconds in (30.0, 10.0, 5.0, 1.0, 0.0, -1.0)] == [2, 2, 4, 20, 40, 40]
    assert at_once(300, 20.0) == 8
    assert at_once(0, 30.0) == 2


@in_loop
async def test_a_node_that_is_to_take_calls_again_moves_none_any_more() -> None:
    draining = asyncio.Event()
    draining.set()
    membership = SimpleNamespace(
        is_leaving=False, draining=draining, place_elsewhere=lambda: "w2", peer=lambda name: Peer(name, "unix:/w2")
    )  # fmt: skip
    talks = SimpleNamespace(id="c", is_handed_over=False, is_quiet=False, model=SimpleNamespace(state="streaming"))
    given = (membership, SimpleNamespace(calls=[talks]), SimpleNamespace(trouble=""))
    moving = asyncio.create_task(Moving(*cast(Any, given)).move_all(60.0))
    done, _ = await asyncio.wait([moving], timeout=0.1)
    assert not done, "it waits for a quiet moment"
    draining.clear()
    await asyncio.wait_for(moving, 5)
