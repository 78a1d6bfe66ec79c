"""Requests from this node to others: what of them is signed and led on, and what an answer or its absence means.

Without sockets: each other node is a function here. See tests/web/test_between_nodes.py for two that talk.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from callflow.cluster import forwarding as module
from callflow.cluster import signing
from callflow.cluster.forwarding import CONSOLE, FROM, PUBLIC, Forwarding
from callflow.cluster.peers import Peer, Peers
from callflow.contracts.errors import PeerAway
from callflow.contracts.repeated_warnings import RepeatedWarnings
from tests.in_loop import in_loop


SECRET = b"0123456789abcdef0123456789abcdef"
Handler = Callable[[httpx.Request], httpx.Response]


class Cluster:
    """The other nodes, by name: what each answers, or raises."""

    def __init__(self, **nodes: Handler) -> None:
        self.me = "me"
        self.nodes = nodes
        self.suspected: list[str] = []
        self.forwarding = Forwarding("me", SECRET, cast(Peers, self))
        for name, handler in nodes.items():
            client = httpx.AsyncClient(transport=httpx.MockTransport(handler))
            self.forwarding._clients[f"http://{name}"] = client

    def peer(self, name: str) -> Peer:
        return Peer(name, f"http://{name}")

    def beside(self) -> list[Peer]:
        return []

    def living(self) -> list[Peer]:
        return [self.peer(name) for name in self.nodes]

    def suspect(self, name: str) -> None:
        self.suspected.append(name)


class Whole(httpx.AsyncByteStream):
    """A body that is still to be read."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> Any:
        yield self._content


def response(status: int = 200, body: Any = b"", **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.Response(status, stream=Whole(content), headers=headers)


def run(main: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(main)


def answers(status: int = 200, body: Any = None, **headers: str) -> Handler:
    return lambda request: response(status, body, **headers)


def raises(error: Exception) -> Handler:
    def handler(request: httpx.Request) -> httpx.Response:
        raise error

    return handler


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"ok": True, "carriers": ["twilio"]}, "NODE w2 HAS NOT THE SAME KEYS OF CARRIERS (telnyx)"),
        ({"ok": True, "carriers": ["telnyx", "twilio"]}, ""),
        ({"ok": True}, ""),
        (["carriers"], ""),
    ],
)
def test_nodes_that_have_not_the_same_carriers_are_told_of_when_one_joins(
    told: Any, says: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_warnings", RepeatedWarnings(module.log))
    asked: list[Any] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content))
        return response(body=told)

    async def main() -> None:
        forwarding = Cluster(w2=handler).forwarding
        forwarding.keys.mine = ["telnyx", "twilio"]
        await forwarding.announce()

    run(main())
    assert asked == [{"carriers": ["telnyx", "twilio"]}]
    assert says in caplog.text
    assert bool(says) == ("SAME KEYS" in caplog.text)


def refused() -> Handler:
    def handler(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no") from ConnectionRefusedError()

    return handler


def sent_by(headers: list[tuple[str, str]], body: bytes = b"", target: str = "/x?a=%41") -> httpx.Request:
    seen: list[httpx.Request] = []

    def node(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return response()

    cluster = Cluster(a=node)
    run(cluster.forwarding.send(cluster.peer("a"), PUBLIC, "POST", target, headers, body, seconds=5))
    (request,) = seen
    return request


def test_a_request_is_signed_with_its_app_and_comes_as_it_was() -> None:
    request = sent_by([("X-A", "1"), ("Content-Type", "application/json")], b"{}")
    assert (request.method, request.url.raw_path, request.content) == ("POST", b"/public/x?a=%41", b"{}")
    signature = request.headers[signing.HEADER]
    signing.verify(SECRET, signature, time.time(), "POST", "/public/x?a=%41").check(b"{}")
    assert (request.headers[FROM], request.headers["x-a"]) == ("me", "1")


def test_headers_of_one_connection_and_those_that_only_a_node_may_set_are_not_led_on() -> None:
    forged = [(FROM, "boss"), (signing.HEADER.upper(), "forged"), ("Transfer-Encoding", "chunked"), ("Expect", "100-x")]
    request = sent_by([*forged, ("Content-Length", "999"), ("Upgrade", "websocket"), ("Connection", "close")], b"abc")
    assert request.headers.get_list(FROM) == ["me"]
    assert "forged" not in request.headers.get_list(signing.HEADER)
    assert request.headers["content-length"] == "3"
    assert not {"transfer-encoding", "expect", "upgrade"} & set(request.headers)


@pytest.mark.parametrize("value", ["caf\xe9", "\xff\x80", "name=\xc3\xa9; callflow_console=x"])
def test_a_header_that_is_not_ascii_comes_as_it_was(value: str) -> None:
    """A browser sends such cookies, and carriers names of people."""
    raw = dict(sent_by([("X-Odd", value)]).headers.raw)
    assert raw[b"X-Odd"] == value.encode("latin-1")


def test_an_answer_comes_without_the_headers_of_its_connection() -> None:
    node = answers(201, b"hello", connection="close", x_callflow_from="boss", x_a="1")
    cluster = Cluster(a=node)
    answer = run(cluster.forwarding.send(cluster.peer("a"), CONSOLE, "GET", "/x", seconds=5))
    assert (answer.status, answer.body) == (201, b"hello")
    names = {name.lower() for name, _ in answer.headers}
    assert "x_a" in names
    odd = Cluster(a=lambda _: httpx.Response(200, stream=Whole(b""), headers=[(b"x-name", "Zoë ✓".encode())]))
    answer = run(odd.forwarding.send(odd.peer("a"), CONSOLE, "GET", "/x", seconds=5))
    assert dict(answer.headers)["x-name"].encode("latin-1") == "Zoë ✓".encode()
    assert not {"connection", "content-length"} & names


@pytest.mark.parametrize(
    ("node", "sent", "is_refused"),
    [
        (refused(), False, True), (raises(httpx.ConnectError("no route")), False, False),
        (raises(httpx.ConnectTimeout("late")), True, False), (raises(httpx.ReadError("cut")), True, False),
        (raises(httpx.RemoteProtocolError("odd")), True, False), (raises(TimeoutError()), True, False),
    ],
    ids=["refused", "unreachable", "connect late", "cut", "odd", "late"],
)  # fmt: skip
def test_a_node_that_refuses_connections_is_gone_and_one_that_cannot_be_reached_may_live(
    node: Handler, sent: bool, is_refused: bool
) -> None:
    cluster = Cluster(a=node)
    with pytest.raises(PeerAway) as away:
        run(cluster.forwarding.send(cluster.peer("a"), PUBLIC, "GET", "/x", seconds=5))
    assert (away.value.sent, away.value.refused) == (sent, is_refused)
    assert cluster.suspected == (["a"] if is_refused else [])


def test_a_node_that_does_not_answer_or_does_not_end_is_away_in_time() -> None:
    class Endless(httpx.AsyncByteStream):
        async def __aiter__(self) -> Any:
            yield b"x"
            await asyncio.Event().wait()

    async def silent(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    for node, why in ((silent, "does not answer"), (lambda _: httpx.Response(200, stream=Endless()), "does not end")):
        cluster = Cluster(a=cast(Handler, node))
        with pytest.raises(PeerAway, match=why) as away:
            run(cluster.forwarding.send(cluster.peer("a"), PUBLIC, "GET", "/x", seconds=0.001))
        assert away.value.sent


def test_a_stream_that_breaks_off_is_told_while_it_is_read() -> None:
    class Broken(httpx.AsyncByteStream):
        async def __aiter__(self) -> Any:
            yield b"x"
            raise httpx.ReadError("cut")

    async def main() -> None:
        cluster = Cluster(a=lambda _: httpx.Response(200, stream=Broken()))
        got: list[bytes] = []

        async def read() -> None:
            async with cluster.forwarding.stream(cluster.peer("a"), PUBLIC, "GET", "/x", seconds=5) as stream:
                got.extend([piece async for piece in stream.pieces])

        with pytest.raises(PeerAway, match="broke off"):
            await read()

    run(main())


def test_a_node_that_ends_sends_nothing_more() -> None:
    async def main() -> None:
        cluster = Cluster(a=answers())
        await cluster.forwarding.close()
        with pytest.raises(PeerAway, match="this node is ending") as away:
            await cluster.forwarding.send(cluster.peer("a"), PUBLIC, "GET", "/x", seconds=5)
        assert not away.value.sent

    run(main())


# What nodes tell each other


ODD = {
    "away": refused(), "refuses": answers(503, {}), "no json": answers(200, b"<html>"),
    "no text": answers(200, b'"\xff"'),
    "list": answers(200, []), "null": answers(200, None), "empty": answers(200, {}), "nothing": answers(200, b""),
    "number": answers(200, {"taken": 5}),
}  # fmt: skip


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_answer_of_one_node_is_no_answer_and_no_fault(odd: str) -> None:
    cluster = Cluster(a=ODD[odd])
    forwarding = cluster.forwarding
    assert run(forwarding.tell_given(cluster.peer("a"), ["c"])) is None
    assert run(forwarding.who_has("c")) == ""
    run(forwarding.announce())
    assert run(forwarding.handover_input("nobody", "c")) == (b"", "")
    run(forwarding.tell_deleted(["f.wav"], ["c"]))
    assert run(forwarding.others_take_over()) in (True, False)


def test_a_node_says_which_of_the_calls_it_has_taken() -> None:
    asked: list[Any] = []

    def node(request: httpx.Request) -> httpx.Response:
        asked.append((request.method, request.url.path, json.loads(request.content)))
        return response(200, {"taken": ["c"]})

    cluster = Cluster(a=node)
    assert run(cluster.forwarding.tell_given(cluster.peer("a"), ("c", "d"))) == ["c"]
    assert asked == [("POST", "/cluster/calls", {"calls": ["c", "d"]})]


def test_of_a_node_that_is_gone_there_are_no_last_words(caplog: pytest.LogCaptureFixture) -> None:
    assert run(Cluster(a=refused()).forwarding.handover_input("a", "c")) == (b"", "")
    assert run(Cluster(a=answers(404, {})).forwarding.handover_input("a", "c")) == (b"", "")
    assert [each.levelname for each in caplog.records] == ["WARNING"]


def test_who_has_a_call_is_known_as_soon_as_one_says_so() -> None:
    async def silent(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    has, has_not = answers(200, {"live": True}), answers(200, {"live": False})
    assert run(Cluster(a=has_not, b=has, c=cast(Handler, silent)).forwarding.who_has("c")) == "b"
    assert run(Cluster(a=has_not, b=refused()).forwarding.who_has("c")) == ""
    assert run(Cluster().forwarding.who_has("c")) == ""


def test_recordings_that_may_still_lie_somewhere_are_told_loudly(caplog: pytest.LogCaptureFixture) -> None:
    run(Cluster(a=answers(200, {}), b=answers(500, {})).forwarding.tell_deleted(["f.wav"], []))
    (told,) = caplog.records
    assert (told.levelname, "AT NODE b" in told.getMessage()) == ("ERROR", True)
    caplog.clear()
    run(Cluster(b=answers(500, {})).forwarding.tell_deleted([], ["c"]))
    assert [each.levelname for each in caplog.records] == ["WARNING"]


ELSEWHERE = [
    ("unix:/var/lib/callflow/cluster/b-w1.sock", "http://10.0.0.11:6010"),
    ("unix:/var/lib/callflow/cluster/b-w1.sock", "unix:/var/lib/callflow/cluster/a-w1.sock"),
    ("http://127.0.0.1:9", "http://10.0.0.11:6010"),
]


@pytest.mark.parametrize(("address", "mine"), ELSEWHERE)
@in_loop
async def test_an_address_that_leads_nowhere_from_here_is_no_evidence_of_a_death(address: str, mine: str) -> None:
    """A machine without CLUSTER_PORT, or with its default host, was declared dead whenever a call was placed there."""
    the = Cluster()
    forwarding = Forwarding("a-w1", SECRET, cast(Peers, the), address=mine)
    with pytest.raises(PeerAway) as error:
        await forwarding.send(Peer("b-w1", address), PUBLIC, "POST", "/webhooks", seconds=1)
    assert (error.value.sent, error.value.refused, the.suspected) == (False, False, [])
    assert "CLUSTER_PORT" in forwarding.apart["b-w1"]
    with pytest.raises(ConnectionError):
        await forwarding.connect(Peer("b-w1", address), CONSOLE, "/logs", (), ())
    await forwarding.close()


@in_loop
async def test_a_socket_of_this_machine_that_is_gone_is_evidence(tmp_path: Path) -> None:
    the = Cluster()
    forwarding = Forwarding("a-w1", SECRET, cast(Peers, the), address="unix:/nowhere/a-w1.sock")
    with pytest.raises(PeerAway) as error:
        await forwarding.send(Peer("a-w2", f"unix:{tmp_path}/a-w2.sock"), PUBLIC, "GET", "/", seconds=1)
    assert (error.value.refused, the.suspected) == (True, ["a-w2"])
    await forwarding.close()


@in_loop
async def test_nodes_that_cannot_be_reached_from_here_do_not_tell_that_this_one_is_cut_off() -> None:
    """Two other machines that do not answer would mean that this one is; these two never do."""
    the = Cluster()
    the.living = lambda: [Peer(f"{name}-w1", f"unix:/x/{name}.sock") for name in "bc"]  # type: ignore[method-assign]
    the.me = "a-w1"
    assert not await Forwarding("a-w1", SECRET, cast(Peers, the)).others_take_over()


def test_who_refuses_this_nodes_signature_is_known_until_it_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_warnings", RepeatedWarnings(module.log))
    refuses = [True]

    def handler(request: httpx.Request) -> httpx.Response:
        return response(401, **{signing.REFUSED: "1"}) if refuses else response(body={})

    async def main() -> None:
        forwarding = Cluster(w2=handler).forwarding
        await forwarding.announce()
        assert "CLUSTER_SECRET" in forwarding.apart["w2"]
        refuses.clear()
        await forwarding.announce()
        assert forwarding.apart == {}

    run(main())
