"""Where a webhook goes while something changes: the routing with the real gate behind it, one answer for both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from callflow.cluster.claims import Claims
from callflow.cluster.forwarding import Answer, Forwarding
from callflow.cluster.node_paths import FORWARDED
from callflow.cluster.peers import Peer, Peers
from callflow.contracts.carrier import Carrier
from callflow.contracts.events import CallAnswered, CallHangup, CallInitiated, CallResumed, CarrierNotice, Event
from callflow.journal import notes
from callflow.journal.journal import JournalEntry
from callflow.switchboard.switchboard import Switchboard
from callflow.switchboard.webhook_gate import WebhookGate
from callflow.web.public.app import create_public
from callflow.web.public.routing import WebhookRouting
from tests.switchboard.test_webhook_gate import Opening
from tests.web.asgi import Answer as Answered
from tests.web.asgi import ask
from tests.web.public.test_routing import Answers, RoutingSwitchboard
from tests.web.public.test_webhooks import Scene


class Board(RoutingSwitchboard):
    """Of this node, "me": it has the call "c1" or not."""

    def __init__(self) -> None:
        super().__init__()
        self.admission = SimpleNamespace(callers=SimpleNamespace(are_set=False))
        self.lives = False

    def has(self, webhook_event: Any) -> bool:
        return self.lives

    def is_live(self, call: str) -> bool:
        return self.lives

    def live(self, call: str) -> Any:
        return SimpleNamespace(is_handed_over=False, mailbox=SimpleNamespace(is_held=False)) if self.lives else None

    async def dispatch(self, carrier: Any, webhook_event: Any) -> Any:
        self.was_live = self.lives
        return await super().dispatch(carrier, webhook_event)


class Node:
    """This node, and what the database says; the other one, "w2", takes what is sent there."""

    me = "me"

    def __init__(self) -> None:
        self.claims, self.owner_is, self.asked, self.sent = Claims(), cast(str | None, ""), 0, 0
        self.is_known, self.opening, self.board = asyncio.Event(), Opening(), Board()
        self.is_known.set()
        self.opening.opened.set()
        self.knows_w2 = True
        self.on_asked: Callable[[], None] = lambda: None

    async def known(self) -> bool:
        waits = not self.is_known.is_set()
        await self.is_known.wait()
        return waits

    def peer(self, name: str) -> Peer | None:
        return Peer("w2", "unix:/w2") if name == "w2" and self.knows_w2 else None

    def beside(self) -> list[Peer]:
        return []

    def living(self) -> list[Peer]:
        return [Peer("w2", "unix:/w2")] if self.knows_w2 else []

    def place(self, carrier: str = "", call: str = "") -> str:
        return self.me

    async def owner(self, call: str) -> str | None:
        self.asked += 1
        found = self.owner_is
        self.on_asked()
        return found

    async def who_has(self, call: str) -> str:
        return ""

    async def send(self, *given: Any, **more: Any) -> Answer:
        self.sent += 1
        return Answer(200, [], b"of w2")

    async def tell(self, event: Event, forwarded: str = "") -> Answered:
        carrier = Answers("fake")
        carrier.event = event
        board, history = cast(Switchboard, self.board), cast(Any, SimpleNamespace(is_readable=False))
        gate = WebhookGate(self.opening, history, cast(Any, self), board, {})
        routing = WebhookRouting(cast(Peers, self), cast(Forwarding, self), lambda: board)
        scene = Scene(carrier)
        carriers = [cast(Carrier, carrier)]
        app: Any = create_public(
            carriers, lambda: board, scene.address, lambda: cast(Any, gate), routing=lambda: routing
        )

        async def led(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, FORWARDED: forwarded} if forwarded else scope, receive, send)

        return await ask(led, "POST", "/hook", body=b"d1", host="phone.example")


LATER, NOTICE = 0.02, CarrierNotice(kind="any")


@pytest.mark.parametrize("begins", ["the process", "its membership"])
@pytest.mark.parametrize("owner", [None, "w2"])
@pytest.mark.parametrize("has_met", [True, False])
@pytest.mark.parametrize("event", [CallHangup(), NOTICE])
async def test_a_webhook_that_waits_for_the_start_goes_where_its_call_is_afterwards(
    event: Event, has_met: bool, owner: str | None, begins: str
) -> None:
    """Before the database was open nobody knew whose it was: the hang-up was taken here, and the call lived on. Before
    the other nodes were known, the webhook was refused."""
    node = Node()
    node.owner_is, node.knows_w2 = owner, has_met
    waited = node.opening.opened if begins == "the process" else node.is_known
    waited.clear()

    def opens() -> None:
        node.owner_is, node.knows_w2 = "w2", True
        waited.set()

    asyncio.get_running_loop().call_later(LATER, opens)
    answer = await node.tell(event)
    assert (answer.body, node.board.dispatched, node.sent) == (b"of w2", [], 1)


@pytest.mark.parametrize("event", [CallInitiated(), CallAnswered(), CallHangup()])
async def test_a_webhook_of_a_call_that_was_just_given_to_this_node_waits_until_it_is_here(event: Event) -> None:
    """The call was opened a second time by a repeated report that it rings."""
    node = Node()
    node.owner_is = "me"

    def arrives() -> None:
        node.board.lives = True

    asyncio.get_running_loop().call_later(LATER, arrives)
    answer = await node.tell(event)
    assert (answer.body, node.board.was_live, node.asked) == (b"did d1", True, 1)


@pytest.mark.parametrize("forwarded", ["", "w2"])
async def test_a_webhook_that_has_waited_for_a_call_which_goes_on_to_another_node_follows_it(forwarded: str) -> None:
    """It was taken here, and the hang-up lost."""
    node = Node()
    node.claims.key, node.owner_is = ("me", 1), "me"
    node.claims.hold(["c1"], ("me", 1))

    def goes_on() -> None:
        node.owner_is = "w2"
        node.claims.drop(["c1"])

    asyncio.get_running_loop().call_later(LATER, goes_on)
    answer = await node.tell(CallHangup(), forwarded)
    assert (answer.status, node.board.dispatched, node.sent) == ((421, [], 0) if forwarded else (200, [], 1))


@pytest.mark.parametrize("forwarded", ["", "w2"])
@pytest.mark.parametrize("event", [CallInitiated(), CallAnswered(), CallResumed(), CallHangup(), NOTICE])
async def test_whose_a_call_is_is_asked_for_once(event: Event, forwarded: str) -> None:
    """Two questions may have two answers."""
    node = Node()
    assert (await node.tell(event, forwarded)).body == b"did d1"
    assert node.asked == (0 if forwarded and isinstance(event, CallInitiated) else 1)


async def test_what_another_node_has_sent_here_is_not_taken_where_a_third_one_has_the_call() -> None:
    """This node has begun again since the sender was told its name: a key that the caller pressed was lost."""
    node = Node()
    node.owner_is = "w3"
    answer = await node.tell(NOTICE, "w2")
    assert (answer.status, node.board.dispatched) == (421, [])


async def test_a_call_whose_end_is_being_written_here_is_not_waited_for() -> None:
    """Its claim is in the database still, and it does not come."""
    node = Node()
    node.claims.key, node.owner_is = ("me", 1), "me"
    node.claims.hold(["c1"], ("me", 1))
    node.claims.arrived("c1")

    def is_written() -> None:
        node.owner_is = ""
        node.claims.written([JournalEntry.of(notes.Ended(cause="caller"), call="c1", at=0.0)])

    node.on_asked = is_written
    async with asyncio.timeout(1):
        assert (await node.tell(CallHangup())).body == b"did d1"
