"""Recordings that lie with another node: they are answered at this one, and deleted there with their calls."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from callflow.cluster import forwarding
from callflow.cluster.forwarding import Forwarding
from callflow.cluster.membership import Membership
from callflow.cluster.nodes import Node, View
from callflow.cluster.peers import Peer
from callflow.history.database import url_of
from callflow.history.history import History
from callflow.history.side_file import NAME, SideFile
from callflow.journal.journal import JournalEntry
from callflow.journal.notes import Began, Ended, Recording
from callflow.web.console.owner_forwarding import OwnerForwarder
from tests.e2e.product import until
from tests.in_loop import in_loop
from tests.web.asgi import ask
from tests.web.console.stage import CALL, Stage, stage
from tests.web.other_node import Known, other_node


SOUND = bytes(range(256)) * 4000
"""More than one piece."""
PATH = f"/api/calls/{CALL}/recording"


class Cluster:
    """This node, which has part 2 of a recording, and another, which has part 1."""

    def __init__(self, here: Stage, there: Stage, known: Known, to_others: Forwarding) -> None:
        self.here, self.there, self.known, self.forwarding = here, there, known, to_others
        cluster = cast(Membership, known)
        self.forwarder = OwnerForwarder(here.app.asgi_app, cluster, to_others, lambda: here.board, here.history)

    async def get(self, path: str, **headers: str) -> Any:
        return await ask(self.forwarder, "GET", path, body=b"", **headers)


@contextlib.asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[Cluster]:
    url = f"sqlite:///{folder}/callflow.db"
    async with stage(folder / "a", url=url) as here, stage(folder / "b", url=url) as there:
        for each, name, sound in ((there, f"{CALL}.wav", SOUND), (here, f"{CALL}-2.wav", b"second")):
            each.history.recordings.mkdir(parents=True)
            (each.history.recordings / name).write_bytes(sound)
        await here.write(
            Began(carrier="telnyx"), Recording(file=f"{CALL}.wav,{CALL}-2.wav", announced=False), Ended(cause="hangup")
        )
        console = there.app.asgi_app
        async with other_node(folder, console=console, history=there.history) as (known, to_others):
            yield Cluster(here, there, known, to_others)


def files(folder: Path) -> list[Path]:
    return list(folder.glob("*/recordings/*"))


@in_loop
async def test_a_recording_is_answered_by_the_node_that_has_it(tmp_path: Path) -> None:
    async with cluster(tmp_path) as the:
        whole = await the.get(PATH)
        assert (whole.status, whole.body == SOUND) == (200, True)
        assert whole.headers["content-length"] == str(len(SOUND))
        part = await the.get(PATH, range="bytes=1000-1009")
        assert (part.status, part.body) == (206, SOUND[1000:1010])
        assert part.headers["content-range"] == f"bytes 1000-1009/{len(SOUND)}"
        assert (await the.get(f"/api/recordings/{CALL}-1/audio", range="bytes=-3")).body == SOUND[-3:]
        assert (await the.get(f"{PATH}?part=2")).body == b"second", "which lies here"
        assert (await the.get(f"{PATH}?part=3")).status == 404
        assert (await ask(the.forwarder, "HEAD", PATH)).headers["content-length"] == str(len(SOUND))


@in_loop
async def test_a_recording_does_not_wait_for_a_node_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarding, "_TELL_SECONDS", 60.0)
    left = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        left.set()

    hangs = await asyncio.start_unix_server(hang, f"{tmp_path}/w3.sock")
    async with cluster(tmp_path) as the:
        the.known.peers = {"w3": Peer("w3", f"unix:{tmp_path}/w3.sock"), **the.known.peers}
        assert (await asyncio.wait_for(the.get(PATH), 5)).status == 200
        await left.wait()
    hangs.close()


@in_loop
async def test_a_node_that_may_have_it_and_is_away_is_named(tmp_path: Path) -> None:
    async with cluster(tmp_path) as the:
        the.known.peers["w3"] = Peer("w3", f"unix:{tmp_path}/nobody.sock")
        assert (await the.get(PATH)).status == 200, "another has it"
        del the.known.peers["w2"]
        answer = await the.get(PATH)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert "w3" in answer.json()["error"]
        del the.known.peers["w3"]
        assert (await the.get(PATH)).status == 404, "no node has it"
        of_machines = [Node(name="w1", epoch=1), Node(name="w9", epoch=2, state="dead")]
        the.known.view = View(tuple(of_machines))
        assert (await the.get(PATH)).status == 404, "the workers of a machine have the same folder"
        the.known.view = View((*of_machines, Node(name="b-w1", epoch=3, state="dead")))
        answer = await the.get(PATH)
        assert (answer.status, "b-w1" in answer.json()["error"]) == (503, True), "it may be started again"


@in_loop
async def test_it_is_deleted_there_when_its_call_is_deleted_here(tmp_path: Path) -> None:
    async with cluster(tmp_path) as the:
        the.here.history.on_deleted = the.forwarding.tell_deleted
        row = await the.here.history.store.conversation(CALL)
        assert row is not None
        assert len(files(tmp_path)) == 2
        await the.here.history.delete([row["id"]])
        assert not files(tmp_path)


@in_loop
async def test_what_another_node_could_not_write_is_deleted_there_with_its_call(tmp_path: Path) -> None:
    async with cluster(tmp_path) as the:
        the.here.history.on_deleted = the.forwarding.tell_deleted
        side = SideFile(tmp_path / "b" / NAME)
        for call in (CALL, "another"):
            side.add(JournalEntry(call, 0, 1.0, {"event": "turn", "text": "words"}), KeyError("who"))
        row = await the.here.history.store.conversation(CALL)
        assert row is not None
        await the.here.history.delete([row["id"]])
        kept = side.path.read_text()
        assert (CALL in kept, "another" in kept) == (False, True)
        await the.there.write(Began(carrier="telnyx"))
        assert await the.there.history.store.conversation(CALL) is None, "it writes about that call again"


@in_loop
async def test_each_node_keeps_its_side_file_as_long_as_it_keeps_calls(tmp_path: Path) -> None:
    """Only that of the node in charge became empty."""
    history = History(
        url_of("", str(tmp_path)), recordings=tmp_path / "recordings", retention_days=1, country="", now=lambda: 4e9
    )
    side = SideFile(tmp_path / NAME)
    side.add(JournalEntry(CALL, 0, 1.0, {"event": "turn", "text": "words"}), KeyError("who"))
    running = asyncio.create_task(history.own_retention.run())
    await until(lambda: not side.path.exists(), "it to be empty")
    running.cancel()


@in_loop
async def test_the_stream_of_a_call_is_led_to_its_owner_also_by_the_carriers_id(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/callflow.db"
    async with stage(tmp_path / "a", url=url) as here, other_node(tmp_path) as (known, forwarding):
        await here.write(Began(carrier="twilio", control="CA1", from_number="+15550100001"))
        forwarder = OwnerForwarder(
            here.app.asgi_app, cast(Membership, known), forwarding, lambda: here.board, here.history
        )
        answer = await ask(forwarder, "GET", "/api/live/CA1/sse")
        assert (answer.status, answer.headers["x-from"]) == (202, "w1"), "the other node's echo"
        await here.write(Ended(cause="hangup"))
        assert (await ask(forwarder, "GET", "/api/live/CA1/sse")).status == 404, "it is over: nobody has it"


@in_loop
async def test_a_call_that_is_not_on_record_is_led_to_the_node_that_has_it_live(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/callflow.db"
    async with stage(tmp_path / "a", url=url) as here, other_node(tmp_path) as (known, forwarding):
        known.owner_is, known.live = "", (CALL,)
        forwarder = OwnerForwarder(
            here.app.asgi_app, cast(Membership, known), forwarding, lambda: here.board, here.history
        )
        answer = await ask(forwarder, "GET", f"/api/calls/{CALL}")
        assert (answer.status, answer.headers["x-from"]) == (202, "w1"), "the other node's echo"
        known.owner_is = None
        answer = await ask(forwarder, "GET", f"/api/calls/{CALL}")
        assert (answer.status, answer.headers["x-from"]) == (202, "w1"), "the database does not say whose it is"
        known.owner_is = ""
        await here.write(Began(carrier="twilio", control="CA1"), Ended(cause="hangup"))
        assert (await ask(forwarder, "GET", f"/api/calls/{CALL}")).status == 200, (
            "it is on record here, and nobody is asked"
        )
