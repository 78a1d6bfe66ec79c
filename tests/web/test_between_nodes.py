"""Requests between nodes, over a Unix socket: what is signed is served, streams and WebSockets pass through."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import httpx
import pytest

from callflow.cluster import forwarding as module
from callflow.cluster.forwarding import PUBLIC, Forwarding
from callflow.cluster.membership import Membership
from callflow.cluster.peers import Peer
from callflow.contracts.errors import PeerAway
from callflow.contracts.repeated_warnings import RepeatedWarnings
from callflow.web.console.live.other_nodes import LOST, OtherNodes
from tests.e2e.product import until
from tests.in_loop import in_loop
from tests.web.other_node import CALL, SECRET, Known, other_node


@in_loop
async def test_a_request_is_led_on_as_it_came(tmp_path: Path) -> None:
    async with other_node(tmp_path) as (known, forwarding):
        peer = known.peers["w2"]
        headers = [("Host", "calls.example.org"), ("Connection", "close"), ("X-Callflow-From", "forged")]
        answer = await forwarding.send(peer, PUBLIC, "POST", "/nodes/w2/webhooks?a=%20b", headers, b"{}", seconds=5)
        assert (answer.status, answer.body) == (202, b"/nodes/w2/webhooks?a=%20b {}")
        assert ("x-from", "w1") in answer.headers


@in_loop
async def test_nodes_tell_each_other_what_they_know_and_give(tmp_path: Path) -> None:
    given: list[str] = []
    async with other_node(tmp_path, given) as (known, forwarding):
        peer = known.peers["w2"]
        assert await forwarding.others_take_over()
        known.takes_over = known.lease_holds = False
        assert not await forwarding.others_take_over()
        await forwarding.announce()
        assert known.looked == 1, "a node that joins is seen at once"
        assert await forwarding.tell_given(peer, [CALL, "another"]) == [CALL]
        assert given == [CALL, "another"]
        assert await forwarding.tell_given(peer, ["another"]) is None, "it does not know"
        assert (await forwarding.who_has(CALL), await forwarding.who_has("another")) == ("w2", "")
        assert await forwarding.handover_input("w2", CALL) == (b"\x00\xff words", "1*#")
        assert await forwarding.handover_input("w2", "another") == (b"", "")
        await forwarding.close()
        assert await forwarding.who_has(CALL) == "", "this node is ending"
        assert await forwarding.handover_input("w2", CALL) == (b"", "")
        with pytest.raises(PeerAway):
            await forwarding.ask(peer, "POST", "/calls", {"calls": 1})
        with pytest.raises(PeerAway):
            await forwarding.ask(peer, "GET", "/nothing")


@in_loop
async def test_a_node_joins_whether_the_others_listen_or_not() -> None:
    forwarding = Forwarding("w1", SECRET, Known({"w3": Peer("w3", "http://127.0.0.1:9")}))
    await forwarding.announce()
    await forwarding.close()


@in_loop
async def test_what_is_not_signed_is_refused_and_a_refusal_is_no_answer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_warnings", RepeatedWarnings(module.log))  # another test may have just said it
    async with other_node(tmp_path) as (known, _):
        transport = httpx.AsyncHTTPTransport(uds=f"{tmp_path}/cluster/w2.sock")
        async with httpx.AsyncClient(transport=transport) as client:
            assert (await client.post("http://node/public/webhooks", content=b"{}")).status_code == 403
        stranger = Forwarding("w1", b"x" * 32, known)
        with pytest.raises(PeerAway, match="w2 refuses") as away:
            await stranger.send(known.peers["w2"], PUBLIC, "POST", "/webhooks", [], b"{}", seconds=5)
        assert not away.value.sent, "no app has seen it"
        assert known.suspects == []
        assert "CLUSTER_SECRET" in caplog.text
        await stranger.close()


@in_loop
async def test_a_process_that_is_gone_is_told_from_one_that_is_slow(tmp_path: Path) -> None:
    known = Known({"w2": Peer("w2", f"unix:{tmp_path}/w2.sock"), "w3": Peer("w3", "http://127.0.0.1:9")})
    forwarding = Forwarding("w1", SECRET, known)
    for name in ("w2", "w3"):
        with pytest.raises(PeerAway) as caught:
            await forwarding.send(known.peers[name], PUBLIC, "GET", "/", seconds=2)
        assert not caught.value.sent
    assert known.suspects == ["w2", "w3"]
    assert await forwarding.tell_given(known.peers["w2"], [CALL]) is None
    assert not await forwarding.others_take_over()
    await forwarding.close()


@in_loop
async def test_a_connection_to_another_machine_ends_when_the_network_is_cut() -> None:
    """The rows of a node that lives, and that this one does not reach any more, were shown for ever."""

    def timers() -> list[str]:
        lines = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
        return [line[5] for line in lines if line[2].endswith(f":{port:04X}") and line[3] == "01"]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nbegun")
        await reader.read()
        writer.close()
        await writer.wait_closed()
        left.set()

    left = asyncio.Event()
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        peer = Peer("w2", f"http://127.0.0.1:{port}")
        forwarding = Forwarding("w1", SECRET, Known({"w2": peer}))
        async with forwarding.stream(peer, PUBLIC, "GET", "/", seconds=5) as stream:
            assert stream.status == 200
            await until(lambda: [timer[:3] for timer in timers()] == ["02:"], "TCP to ask whether it is there", 5)
        await forwarding.close()
        await left.wait()


@in_loop
async def test_the_walls_of_other_nodes_are_listened_to_and_their_end_is_told(tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    async with other_node(tmp_path) as (known, forwarding):
        others = OtherNodes(cast(Membership, known), forwarding)
        others.open(lambda node, event, data: told.append((node, event)))
        await until(lambda: told, "the snapshot", 5)
        assert told == [("w2", "snapshot")]
        known.peers.clear()
        await until(lambda: (("w2", LOST)) in told, "the end", 5)
        others.close()
