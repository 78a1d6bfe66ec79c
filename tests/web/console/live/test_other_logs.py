"""Requests in `/logs` for a call of another node: sent there in the same words, and answered once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from websockets.exceptions import ConnectionClosedError

from callflow.cluster.forwarding import CONSOLE, Forwarding
from callflow.cluster.membership import Membership
from callflow.cluster.peers import Peer
from callflow.contracts.errors import PeerAway
from callflow.web.console.live import other_logs
from callflow.web.console.live.other_logs import OtherLogs


class Other:
    """A node, and its socket: what it says, one message after another."""

    def __init__(self, *says: str | bytes | Exception, hangs: bool = False) -> None:
        self.says, self.hangs = says, hangs
        self.sent: list[Any] = []
        self.opened: list[Any] = []
        self.is_closed = False

    def peer(self, name: str) -> Peer | None:
        return Peer(name, "http://b") if name == "b" else None

    async def connect(self, peer: Peer, app: str, target: str, headers: Any, subprotocols: Any) -> Other:
        self.opened.append((peer.name, app, target, list(headers), list(subprotocols)))
        return self

    async def __aenter__(self) -> Other:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.is_closed = True

    async def send(self, text: str) -> None:
        self.sent.append(json.loads(text))

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        for each in self.says:
            if isinstance(each, Exception):
                raise each
            yield each
        if self.hangs:
            await asyncio.Event().wait()


def ask(other: Other, node: str = "b", **request: Any) -> Any:
    logs = OtherLogs(cast(Membership, other), cast(Forwarding, other))
    return asyncio.run(logs.ask(node, "c", request, [("cookie", "k=v")]))


TAKEN = '{"type": "request.taken", "callId": "c"}'


def test_the_words_are_the_same_and_the_call_has_the_name_that_the_other_node_knows() -> None:
    other = Other('{"type": "speech", "callId": "c"}', TAKEN, '{"type": "error"}')
    assert ask(other, type="hangup", streamSid="MZ1", callId="other", when="now") == json.loads(TAKEN)
    assert other.sent == [{"type": "hangup", "callId": "c", "when": "now"}]
    assert other.opened == [("b", CONSOLE, "/logs", [("cookie", "k=v")], [])]
    assert other.is_closed


def test_an_error_of_a_call_is_news_and_one_of_the_request_is_its_answer() -> None:
    news, answer = '{"type": "error", "callId": "c", "error": "the model"}', b'{"type": "error", "error": "No."}'
    assert ask(Other(news, answer), type="x") == {"type": "error", "error": "No."}


@pytest.mark.parametrize(
    ("other", "sent"),
    [
        (Other(), True), (Other('{"type": "speech"}'), True), (Other(ConnectionClosedError(None, None)), True),
        (Other(OSError("gone")), True), (Other("no json"), True), (Other("[]"), True), (Other(b"\xff"), True),
        (Other('{"type": 5}'), True), (Other("null", TAKEN[:5]), True),
    ],
    ids=["nothing", "news alone", "closed", "gone", "no json", "a list", "no text", "a number", "null"],
)  # fmt: skip
def test_a_node_that_gives_no_answer_is_away(other: Other, sent: bool) -> None:
    with pytest.raises(PeerAway) as away:
        ask(other, type="hangup")
    assert away.value.sent == sent
    assert other.is_closed


def test_a_node_that_is_gone_is_not_asked() -> None:
    other = Other(TAKEN)
    with pytest.raises(PeerAway, match="node a is gone") as away:
        ask(other, "a", type="hangup")
    assert not away.value.sent
    assert other.opened == []


def test_a_node_that_says_nothing_is_away_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(other_logs, "_SECONDS", 0.0)
    other = Other(hangs=True)
    with pytest.raises(PeerAway, match="does not answer: TimeoutError"):
        ask(other, type="hangup")
