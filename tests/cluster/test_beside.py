"""Workers that begin together, and of which the database says nothing."""

from __future__ import annotations

from pathlib import Path

from callflow.cluster.beside import Beside
from callflow.cluster.node_lock import NodeLock
from callflow.cluster.nodes import Node, View
from callflow.cluster.peers import NodeConfig, Peer
from tests.in_loop import in_loop


@in_loop
async def test_they_are_known_while_they_live_until_the_database_says_what_they_are(tmp_path: Path) -> None:
    where = {"w1": "unix:/w1", "w2": "unix:/w2", "w3": "unix:/w3", "w4": ""}

    def beside(name: str) -> Beside:
        config = NodeConfig(name=name, address="", folder=tmp_path, capacity=1, secret=b"s" * 32, beside=where)
        return Beside(config, NodeLock(tmp_path, name))

    mine, theirs, nowhere = beside("w1"), beside("w2"), beside("w4")
    assert not mine.unseen(View()), "none of them has begun"
    for each in (mine, theirs, nowhere):
        await each.appear()
    assert mine.unseen(View()) == [Peer("w2", "unix:/w2")], "w3 has not begun, and where w4 is nobody knows"
    assert mine.peer("w2", View()) == Peer("w2", "unix:/w2")
    assert mine.peer("w3", View()) is None
    dead = Node(name="w2", epoch=2, state="dead")
    assert not mine.unseen(View((dead,))), "the database says that it is dead"
    theirs.vanish()
    assert not mine.unseen(View()), "its process has ended"
    for each in (mine, nowhere):
        each.vanish()
