"""Webhooks for calls of another node: led there, and what becomes of them when that node does not take them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from callflow.cluster.carrier_keys import CarrierKeys
from callflow.cluster.destination import MISLED
from callflow.cluster.forwarding import Answer, Forwarding
from callflow.cluster.node_paths import FORWARDED
from callflow.cluster.peers import Peer, Peers
from callflow.contracts.carrier import Carrier
from callflow.contracts.errors import CallElsewhere, PeerAway
from callflow.contracts.events import CallAnswered, CallHangup, CallInitiated, Event, LegIds, WebhookEvent
from callflow.contracts.repeated_warnings import RepeatedWarnings
from callflow.switchboard.switchboard import Switchboard
from callflow.web.public import routing as module
from callflow.web.public import webhooks
from callflow.web.public.app import create_public
from callflow.web.public.routing import WebhookRouting
from tests.web.asgi import Answer as Answered
from tests.web.asgi import ask
from tests.web.public.test_webhooks import FakeCarrier, FakeSwitchboard, Scene


class Answers(FakeCarrier):
    """Each line of a body is a call that was answered, or over."""

    event: Event = CallAnswered()
    call = ""

    def parse(self, request: Any) -> list[WebhookEvent]:
        event = self.event
        return [
            WebhookEvent(self.name, line, LegIds(line), event, call=self.call) for line in request.body.decode().split()
        ]


class RoutingSwitchboard(FakeSwitchboard):
    knew = False
    waits = 0.7
    lets_go = 0
    """So many times, it has let go of the call."""

    async def dispatch(self, carrier: Any, webhook_event: WebhookEvent) -> Any:
        if self.lets_go:
            self.lets_go -= 1
            raise CallElsewhere("call")
        return await super().dispatch(carrier, webhook_event)

    def is_live(self, call: str) -> bool:
        return False

    def knows(self, carrier: str, ids: LegIds) -> bool:
        return self.knew

    def reply_seconds(self, event: Event) -> float:
        return self.waits

    def has(self, webhook_event: WebhookEvent) -> bool:
        return False


class Cluster:
    """This node, "me", and another, "w2", which has the call of the webhook, or gets it because it is new."""

    me = "me"

    def __init__(self, *, has: bool, is_hung: bool = False) -> None:
        self.owner_is: str | None = "w2" if has else ""
        self.is_hung = is_hung
        self.owner_after: str | None = ""
        """Of a call that this node has let go of."""
        self.owners: dict[str, str] = {}
        """Of these calls, instead of `owner_is`."""
        self.let_go: set[str] = set()
        self.lives_at = ""
        """Where the call is, as the nodes say."""
        self.sent = 0
        self.status = 200
        """Of what the other one answers, if it takes the webhook."""
        self.lives = True
        self.takes: Callable[[], bool] = lambda: False
        self.keys = CarrierKeys(())

    def peer(self, name: str) -> Peer | None:
        return Peer("w2", "unix:/w2") if name == "w2" and self.lives else None

    def place(self, carrier: str = "", call: str = "") -> str:
        return "w2" if self.lives else "me"

    def beside(self) -> list[Peer]:
        return []

    def living(self) -> list[Peer]:
        return [Peer("w2", "unix:/w2")]

    async def owner(self, call: str) -> str | None:
        return self.owners.get(call, self.owner_is if call != "call" else self.owner_after)

    @property
    def claims(self) -> Any:
        return SimpleNamespace(has=lambda call: False, has_let_go=lambda call: call in self.let_go)

    async def who_has(self, call: str) -> str:
        return self.lives_at

    async def send(self, *given: Any, **more: Any) -> Answer:
        self.sent += 1
        if self.takes():
            return Answer(self.status, [], b"of w2")
        if not self.is_hung:  # it has refused the connection, and is known to be dead in a moment
            asyncio.get_running_loop().call_later(0.01, self.dies)
        raise PeerAway("node w2 does not take connections", sent=False)

    def dies(self) -> None:
        self.lives, self.owner_is = False, "me" if self.owner_is else ""


def asked(
    cluster: Cluster,
    *can: str,
    event: Event | None = None,
    knew: bool = False,
    lets_go: int = 0,
    waits: float = 0.7,
    forwarded: bool = False,
    call: str = "",
) -> tuple[Answered, list[str]]:
    async def main() -> tuple[Answered, list[str]]:
        carrier = Answers("fake", *can)
        carrier.event, carrier.call = event or carrier.event, call
        board, scene = RoutingSwitchboard(), Scene(carrier)
        board.knew, board.lets_go, board.waits = knew, lets_go, waits
        routing = WebhookRouting(cast(Peers, cluster), cast(Forwarding, cluster), lambda: cast(Switchboard, board))
        app: Any = create_public(
            [cast(Carrier, one) for one in scene.carriers], lambda: cast(Switchboard, board), scene.address,
            lambda: scene.webhook_hold, routing=lambda: routing,
        )  # fmt: skip

        async def led(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, FORWARDED: "w2"} if forwarded else scope, receive, send)

        return await ask(led, "POST", "/hook", body=b"d1", host="phone.example"), board.dispatched

    return asyncio.run(main())


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_GONE_SECONDS", 0.06)


def test_a_webhook_is_answered_by_the_node_that_has_the_call() -> None:
    cluster = Cluster(has=True)
    cluster.takes = lambda: True
    answer, here = asked(cluster)
    assert (answer.body, here) == (b"of w2", [])


@pytest.mark.parametrize("can", [(), ("answers_in_reply",)])
@pytest.mark.parametrize("has", [True, False])
def test_that_of_a_node_that_has_just_died_is_taken_as_soon_as_that_is_known(has: bool, can: tuple[str, ...]) -> None:
    cluster = Cluster(has=has)
    answer, here = asked(cluster, *can)
    assert (answer.body, here, cluster.sent) == (b"did d1", ["d1"], 1)


@pytest.mark.parametrize("takes", [True, False])
def test_a_hang_up_of_a_call_that_is_not_on_record_is_told_to_all(takes: bool) -> None:
    """Another node may have it, and ask about the caller first."""
    cluster = Cluster(has=False)
    cluster.takes = lambda: takes
    answer, here = asked(cluster, event=CallHangup())
    assert (answer.body, here, cluster.sent) == (b"did d1", ["d1"], 1)


def test_a_hang_up_of_a_leg_that_was_here_is_told_to_nobody() -> None:
    """It comes after the end of every call that we end."""
    cluster = Cluster(has=False)
    answer, here = asked(cluster, event=CallHangup(), knew=True)
    assert (answer.body, here, cluster.sent) == (b"did d1", ["d1"], 0)


def test_a_hang_up_of_a_call_on_record_is_for_its_node_alone() -> None:
    cluster = Cluster(has=True)
    cluster.takes = lambda: True
    answer, here = asked(cluster, event=CallHangup())
    assert (answer.body, here, cluster.sent) == (b"of w2", [], 1)


def test_a_new_call_begins_here_if_the_node_that_was_to_have_it_hangs() -> None:
    cluster = Cluster(has=False, is_hung=True)
    answer, here = asked(cluster)
    assert (answer.body, here) == (b"did d1", ["d1"])


@pytest.mark.parametrize("status", [400, 403, 404, 405])
def test_a_new_call_begins_here_if_the_node_that_was_to_have_it_has_not_the_carriers_keys(
    status: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The carrier was told 404, and the caller heard nobody."""
    monkeypatch.setattr(webhooks, "refusals", RepeatedWarnings(webhooks.log))
    cluster = Cluster(has=False)
    cluster.takes, cluster.status = lambda: True, status
    answer, here = asked(cluster)
    assert (answer.body, here, cluster.sent) == (b"did d1", ["d1"], 1)
    assert "NODE w2 HAS NOT THE SAME KEYS" in caplog.text


def test_a_webhook_of_a_call_that_such_a_node_has_is_to_be_sent_again() -> None:
    cluster = Cluster(has=True)
    cluster.takes, cluster.status = lambda: True, 404
    assert asked(cluster)[0].status == 503


def test_a_leg_that_rings_for_a_call_begins_none_where_it_was_forwarded_to() -> None:
    """The call had just been given to that node, and was not there yet: what the carrier said first of the person's leg
    was written down, and the call never had it."""
    coming = Cluster(has=True)
    coming.owners = {"person's": "w2"}
    rings = CallInitiated(direction="outgoing")
    assert asked(coming, event=rings, forwarded=True, call="person's")[0].status == MISLED
    assert asked(coming, event=rings, forwarded=True)[1] == ["d1"], "one that begins is for the node that was chosen"


@pytest.mark.parametrize(("method", "path"), [("GET", "/?CallSid=CA1"), ("POST", "/closed"), ("POST", "/nowhere")])
def test_a_node_says_that_it_cannot_take_what_another_one_has_forwarded(method: str, path: str) -> None:
    async def main() -> None:
        board, scene = RoutingSwitchboard(), Scene()
        app: Any = create_public(
            [], lambda: cast(Switchboard, board), scene.address, lambda: scene.webhook_hold,
            closed={"/closed": "a key is missing"},
        )  # fmt: skip

        async def led(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, FORWARDED: "w2"}, receive, send)

        assert (await ask(led, method, path)).status == 404

    asyncio.run(main())


@pytest.mark.parametrize(
    ("method", "path", "status", "is_sent"),
    [
        ("POST", "/twilio/voice", 200, 1),
        ("POST", "/closed", 200, 1),
        ("POST", "/", 403, 1),
        ("POST", "/nowhere", 404, 1),
        ("POST", "/twilio/status", 421, 1),
        ("POST", "/media-stream/x", 404, 0),
    ],
)
def test_a_webhook_of_a_carrier_whose_keys_only_another_node_has_goes_there(
    method: str, path: str, status: int, is_sent: int
) -> None:
    """It was answered 404: the carrier played an error to the caller, although the other node would have answered."""

    async def main() -> None:
        cluster, board, scene = Cluster(has=False), RoutingSwitchboard(), Scene()
        cluster.status, cluster.takes = status, lambda: True
        cluster.keys.told("w2", ["fake"])
        routing = WebhookRouting(cast(Peers, cluster), cast(Forwarding, cluster), lambda: cast(Switchboard, board))
        app: Any = create_public(
            [], lambda: cast(Switchboard, board), scene.address, lambda: scene.webhook_hold,
            closed={"/closed": "a key is missing"}, routing=lambda: routing,
        )  # fmt: skip
        answer = await ask(app, method, path)
        assert (answer.status, cluster.sent) == (503 if status == 421 else status, is_sent)
        cluster.keys.told("w2", [])
        cluster.sent = 0
        assert (await ask(app, method, path)).status in (404, 405, 503)
        assert not cluster.sent, "it has no keys that this one lacks"

    asyncio.run(main())


def test_a_carrier_that_sends_again_is_told_that_a_node_hangs() -> None:
    cluster = Cluster(has=True, is_hung=True)
    answer, here = asked(cluster)
    assert (answer.status, here, cluster.sent) == (503, [], 1)


def test_for_a_carrier_that_does_not_it_is_sent_until_the_node_takes_it_or_has_lost_its_calls() -> None:
    cluster = Cluster(has=True, is_hung=True)
    cluster.takes = lambda: cluster.sent == 3
    assert asked(cluster, "answers_in_reply")[0].body == b"of w2"
    assert asked(Cluster(has=True, is_hung=True), "answers_in_reply")[0].status == 503


@pytest.mark.parametrize(
    ("owner", "times", "told"),
    [
        ("w2", 1, (200, b"of w2", [])),
        ("", 1, (202, b"did d1", ["d1"])),  # this node was declared dead for a moment
        ("", 2, (503, b"another node has this call", [])),
        (None, 1, (503, b"another node has this call", [])),  # the database is out of reach, maybe for this node alone
        ("me", 1, (202, b"did d1", ["d1"])),  # it has come back
        ("me", 2, (503, b"another node has this call", [])),
    ],
)
def test_the_webhook_of_a_call_that_was_let_go_goes_after_it(
    owner: str | None, times: int, told: tuple[int, bytes, list[str]]
) -> None:
    cluster = Cluster(has=False)
    cluster.place = lambda carrier="", call="": "me"  # type: ignore[method-assign]
    cluster.owner_after, cluster.takes = owner, lambda: True
    answer, here = asked(cluster, lets_go=times)
    assert (answer.status, told[1] in answer.body, here) == (told[0], True, told[2]), answer.body


def test_no_carrier_is_told_that_a_call_has_gone_on_to_a_third_node() -> None:
    """It takes that for an answer to which it does not send the webhook again."""
    cluster = Cluster(has=False)
    cluster.place = lambda carrier="", call="": "me"  # type: ignore[method-assign]
    cluster.owner_after, cluster.takes, cluster.status = "w2", lambda: True, MISLED
    assert asked(cluster, lets_go=1)[0].status == 503


@pytest.mark.parametrize(("owner", "begins"), [("", True), ("me", True), (None, False)])
def test_a_call_that_was_let_go_does_not_begin_here_where_it_may_be_anothers(owner: str | None, begins: bool) -> None:
    """A node that is cut off from the database does not learn that another one serves the caller."""
    cluster = Cluster(has=False)
    cluster.let_go.add("c1")
    cluster.place = lambda carrier="", call="": "me"  # type: ignore[method-assign]
    cluster.owner_is = owner
    answer, here = asked(cluster)
    assert (answer.status, here) == ((202, ["d1"]) if begins else (503, [])), answer.body


@pytest.mark.parametrize(
    ("owner", "waits", "where"),
    [
        (None, 0.7, "w2"),  # the database does not say whose it is: the nodes do
        ("", 3.0, "w2"),  # somebody is asked about the caller for so long that the carrier sends it again meanwhile
        ("", 0.7, "me"),
    ],
)
def test_where_the_database_does_not_know_of_a_call_yet_the_nodes_are_asked(
    owner: str | None, waits: float, where: str
) -> None:
    cluster = Cluster(has=False)
    cluster.place = lambda carrier="", call="": "me"  # type: ignore[method-assign]
    cluster.owner_is, cluster.lives_at, cluster.takes = owner, "w2", lambda: True
    answer, here = asked(cluster, waits=waits)
    assert (answer.body, here) == ((b"of w2", []) if where == "w2" else (b"did d1", ["d1"]))


@pytest.mark.parametrize("of_the_call_itself", [True, False])
def test_the_other_side_of_a_call_that_was_dialled_goes_to_the_node_that_has_that_call(
    of_the_call_itself: bool,
) -> None:
    """It went to the one with the most room, as a stranger's call: another agent talked with whom we had dialled."""
    cluster = Cluster(has=False)
    cluster.place = lambda carrier="", call="": "me"  # type: ignore[method-assign]
    cluster.takes, cluster.owners = lambda: True, {"dialled": "w2"}
    if of_the_call_itself:  # it goes on elsewhere meanwhile, and this webhook comes once more
        cluster.owners = {"dialled": "me", "c1": "w2"}
    answer, here = asked(cluster, event=CallInitiated(linked="call:dialled"))
    assert (answer.body, here) == (b"of w2", [])
    cluster.owners, cluster.let_go = {}, {"dialled"}
    cluster.owner_is = "w2"
    assert asked(cluster, event=CallInitiated(linked="call:dialled"), forwarded=True)[0].status == MISLED
    cluster.let_go, cluster.owner_is = set(), ""
    for linked in ("call:dialled", "twilio:CA0", ""):
        assert asked(cluster, event=CallInitiated(linked=linked))[1] == ["d1"], "nobody has that call"


class Several:
    """Nodes a, b and c, of which b has the call; webhooks go from one to the other as they do over the cluster's
    listeners."""

    def __init__(self, *, database: bool = True) -> None:
        self.owner_is: str | None = "b" if database else None
        self.owners_before: list[str] = []
        """What the database says at first, before `owner_is`."""
        self.let_go: set[str] = set()
        """Nodes that have given the call away."""
        self.boards = {name: RoutingSwitchboard() for name in "abc"}
        self.boards["b"].has = lambda webhook_event: True  # type: ignore[method-assign]
        self.carriers = {name: Answers("fake") for name in "abc"}
        self.asked: list[str] = []
        """Which nodes have asked for the owner."""
        self.apps = {name: self._app(name) for name in "abc"}

    def _app(self, me: str) -> Any:
        async def owner(call: str) -> str | None:
            self.asked.append(me)
            return self.owners_before.pop(0) if self.owners_before else self.owner_is

        async def who_has(call: str) -> str:
            return "b"

        async def send(peer: Peer, app: str, method: str, target: str, *given: Any, **more: Any) -> Answer:
            async def forwarded(scope: Any, receive: Any, send: Any) -> None:
                await self.apps[peer.name]({**scope, FORWARDED: me}, receive, send)

            answer = await ask(forwarded, method, target, body=given[1], host="phone.example")
            return Answer(answer.status, [], answer.body)

        claims = SimpleNamespace(has=lambda call: False, has_let_go=lambda call: me in self.let_go)
        peers: Any = SimpleNamespace(
            me=me, owner=owner, place=lambda: me, claims=claims, living=list,
            peer=lambda name: Peer(name, f"unix:/{name}") if name in self.boards and name != me else None,
        )  # fmt: skip
        board, scene = cast(Switchboard, self.boards[me]), Scene(self.carriers[me])
        routing = WebhookRouting(peers, cast(Any, SimpleNamespace(send=send, who_has=who_has)), lambda: board)
        carriers = [cast(Carrier, one) for one in scene.carriers]
        hold = scene.webhook_hold
        return create_public(carriers, lambda: board, scene.address, lambda: hold, routing=lambda: routing)

    def tell(self, to: str, path: str) -> Answered:
        return asyncio.run(ask(self.apps[to], "POST", path, body=b"d1", host="phone.example"))

    def took(self) -> str:
        return "".join(name for name, board in self.boards.items() if board.dispatched)


@pytest.mark.parametrize("database", [True, False])
@pytest.mark.parametrize("event", [CallHangup(), CallAnswered()])
@pytest.mark.parametrize("first", ["a", "c"])
def test_a_webhook_with_the_name_of_a_node_that_began_again_goes_to_the_node_that_has_the_call(
    first: str, event: Event, database: bool
) -> None:
    """The new process under the old name took it for its own, and answered that all was well: a hang-up was lost."""
    the = Several(database=database)
    for carrier in the.carriers.values():
        carrier.event = event
    answer = the.tell(first, "/nodes/a/hook")
    assert (answer.status, answer.body, the.took()) == (202, b"did d1", "b")


@pytest.mark.parametrize("event", [CallHangup(), CallAnswered()])
def test_a_webhook_that_comes_to_a_node_just_after_that_has_given_the_call_away_goes_after_it(event: Event) -> None:
    """The database had said that it was there; a carrier that does not send a webhook again lost it."""
    the = Several()
    the.owners_before, the.let_go = ["a"], {"a"}
    for carrier in the.carriers.values():
        carrier.event = event
    answer = the.tell("c", "/hook")
    assert (answer.status, answer.body, the.took(), the.asked) == (202, b"did d1", "b", ["c", "a", "c"])


def test_a_webhook_that_comes_to_a_node_which_winds_up_a_call_that_it_has_given_away_goes_after_it() -> None:
    """Its address names that node. Led there by a third one it was answered 503, and had to be sent again."""
    the = Several()
    the.boards["a"].has = lambda webhook_event: True  # type: ignore[method-assign]
    the.boards["a"].lets_go = 1
    answer = the.tell("c", "/nodes/a/hook")
    assert (answer.status, answer.body, the.took(), the.asked) == (202, b"did d1", "b", ["a", "c"])


def test_a_webhook_that_its_address_leads_to_the_node_that_has_the_call_asks_no_database() -> None:
    the = Several()
    assert the.tell("c", "/nodes/b/hook").body == b"did d1"
    assert (the.took(), the.asked) == ("b", [])


@pytest.mark.parametrize("knew", [True, False])
def test_what_is_left_of_a_call_that_is_over_stays_with_the_node_that_had_it(knew: bool) -> None:
    """It alone knows what it had: legs that it dialled, callers that it led away. Nobody else is asked if it knows."""
    the = Several()
    the.boards["b"].has = lambda webhook_event: False  # type: ignore[method-assign]
    the.owner_is, the.boards["a"].knew = "", knew
    the.carriers["a"].event = the.carriers["c"].event = CallHangup()
    assert the.tell("c", "/nodes/a/hook").body == b"did d1"
    assert (the.took(), the.asked) == ("a", [] if knew else ["a"])
