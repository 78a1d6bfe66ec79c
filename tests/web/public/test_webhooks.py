"""A webhook's way, without a socket: read, verified, parsed, and each event given to its call."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest
from quart import Quart

from callflow.contracts import events
from callflow.contracts.carrier import Carrier, CarrierRequest, Request, WebhookReply, WebhookRoute
from callflow.contracts.commands import Speak
from callflow.contracts.errors import Forged, Malformed, Overloaded
from callflow.contracts.events import Event, LegIds, WebhookEvent
from callflow.switchboard.switchboard import Switchboard
from callflow.web.public.address import PublicAddress
from callflow.web.public.app import create_public
from tests.web.asgi import Answer, ask


class FakeCarrier:
    """One event for each line of a body; `forged` is not signed, `malformed` cannot be read."""

    def __init__(self, name: str = "fake", *can: str, routes: Sequence[WebhookRoute] = ()) -> None:
        routes = routes or [WebhookRoute("/hook")]
        self.name, self.can, self.routes = name, frozenset(can), routes
        self.verified: list[Request] = []

    def verify(self, request: Request) -> None:
        if request.body == b"forged":
            raise Forged("the signature is not ours")
        self.verified.append(request)

    def parse(self, request: Request) -> list[WebhookEvent]:
        if request.body == b"malformed":
            raise Malformed("no JSON")
        lines = request.body.decode().split()
        return [WebhookEvent(self.name, line, LegIds(line), events.CarrierNotice(kind=line)) for line in lines]

    def reply(self, event: Event | None, orders: Sequence[CarrierRequest], *, over: bool = False) -> WebhookReply:
        said = [order.command for order in orders if isinstance(order.command, Speak)]
        return WebhookReply(f"apology {said[0].sentence}".encode() if said else b"nothing", "text/plain")


class FakeSwitchboard:
    def __init__(self, error: Exception | None = None) -> None:
        self.dispatched: list[str] = []
        self.error = error

    def name_of(self, webhook_event: WebhookEvent) -> str:
        return "c1"

    async def dispatch(self, carrier: Any, webhook_event: WebhookEvent) -> WebhookReply:
        self.dispatched.append(webhook_event.id)
        if self.error is not None:
            raise self.error
        return WebhookReply(f"did {webhook_event.id}".encode(), "text/plain", 202)


class NoHold:
    def __init__(self) -> None:
        self.held: list[str] = []

    async def begun(self, webhook_event: WebhookEvent | None) -> bool:
        return False

    async def hold(self, webhook_event: WebhookEvent, *, coming: str = "") -> bool:
        return False

    async def look_up(self, webhook_event: WebhookEvent) -> None:
        self.held.append(webhook_event.id)

    def lacks(self) -> str:
        return ""

    def has_room_beside(self) -> bool:
        return False


class Scene:
    def __init__(self, *carriers: FakeCarrier, error: Exception | None = None) -> None:
        self.carriers = carriers or (FakeCarrier(),)
        self.board, self.webhook_hold = FakeSwitchboard(error), NoHold()
        self.address = PublicAddress("", "http://fallback")

    def app(self) -> Quart:
        board = cast(Switchboard, self.board)
        carriers = [cast(Carrier, one) for one in self.carriers]
        return create_public(carriers, lambda: board, self.address, lambda: self.webhook_hold)

    def asked(self, body: bytes = b"d1", path: str = "/hook", method: str = "POST", **headers: str) -> Answer:
        async def main() -> Answer:
            return await ask(self.app(), method, path, body=body, **{"host": "phone.example", **headers})

        return asyncio.run(main())


def test_each_event_of_a_webhook_is_dispatched_in_order_and_the_last_reply_is_the_answer() -> None:
    the = Scene()
    answer = the.asked(b"d1 d2", "/hook?a=1")
    assert (answer.status, answer.body, answer.headers["content-type"]) == (202, b"did d2", "text/plain")
    assert (the.webhook_hold.held, the.board.dispatched) == (["d1", "d2"], ["d1", "d2"])
    (request,) = the.carriers[0].verified
    assert (request.method, request.body, request.query) == ("POST", b"d1 d2", "a=1")
    assert request.url == "https://phone.example/hook?a=1", "as the carrier sees it"


def test_a_webhook_without_an_event_is_answered_all_the_same() -> None:
    assert Scene().asked(b"").body == b"nothing"


@pytest.mark.parametrize(("body", "status"), [(b"forged", 403), (b"malformed", 400), (b"x" * ((64 << 10) + 1), 413)])
def test_what_is_not_the_carriers_reaches_no_call(body: bytes, status: int) -> None:
    the = Scene()
    answer = the.asked(body)
    assert (answer.status, answer.json()["success"]) == (status, False)
    assert (the.board.dispatched, the.address()) == ([], "http://fallback"), "nothing was learned from it either"


def test_a_verified_webhook_says_where_we_are_found_unless_that_is_known() -> None:
    the = Scene()
    the.asked(path="/hook?a=%20b")
    assert the.address() == "https://phone.example"
    the = Scene()
    the.address = PublicAddress("https://configured.example", "http://fallback")
    the.asked()
    assert the.address() == "https://configured.example"
    assert the.carriers[0].verified[0].url == "https://configured.example/hook"


@pytest.mark.parametrize("error", [Overloaded("too much"), ZeroDivisionError("ours")])
def test_a_carrier_is_told_to_come_again_and_the_rest_waits_for_that(error: Exception) -> None:
    the = Scene(error=error)
    answer = the.asked(b"d1 d2")
    assert (answer.status, answer.headers["retry-after"], the.board.dispatched) == (503, "1", ["d1"])
    assert "ours" not in answer.json()["error"].replace("an internal error", "")


@pytest.mark.parametrize("error", [Overloaded("too much"), ZeroDivisionError("ours")])
def test_a_carrier_that_would_play_an_error_says_an_apology(error: Exception) -> None:
    the = Scene(FakeCarrier("fake", "answers_in_reply"), error=error)
    answer = the.asked()
    assert (answer.status, answer.body) == (200, b"apology sorry")


def test_every_carrier_has_its_own_paths_and_methods() -> None:
    one = FakeCarrier("one", routes=[WebhookRoute("/one", ("GET", "POST"))])
    two = FakeCarrier("two", routes=[WebhookRoute("/two/", ("POST",))])
    the = Scene(one, two)
    assert the.asked(path="/one", method="GET").status == 202
    assert the.asked(path="/two/").status == 202
    answer = the.asked(path="/two/", method="PUT")
    assert (answer.status, "POST" in answer.headers["allow"]) == (405, True)
    assert the.asked(path="/one/").status == 404, "carriers do not follow redirects"


def test_a_page_that_a_carrier_uses_too_is_a_webhook_by_its_parameter() -> None:
    the = Scene(FakeCarrier(routes=[WebhookRoute("/", ("GET",), only_with="CallSid")]))
    assert the.asked(path="/", method="GET").json() == {"message": "Media Stream Server is running!"}
    assert the.asked(path="/?CallSid=CA1", method="GET").status == 202
