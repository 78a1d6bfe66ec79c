"""Outbound calls: what of a request is refused before anything is dialled, and one call for each key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any, cast

import pytest

from callflow.call.legs import NOT_WRITTEN
from callflow.contracts.carrier import CarrierAccount
from callflow.contracts.errors import CarrierError, DialRefused, Overloaded, SettingsError
from callflow.contracts.event import LegIds
from callflow.history.idempotency_keys import call_of
from callflow.switchboard import dialer as module
from callflow.switchboard.dialer import Dialer, Dialled, DialRequest


OURS, THEIRS = "+15550100002", "+12025550100"
WISH = DialRequest(to_number=THEIRS)


class Config(SimpleNamespace):
    """Of a call."""

    def recorded_by_carrier(self) -> Config:
        return self


class Leg:
    """The leg of a call that was dialled: the carrier has named it, or has not made it."""

    def __init__(self, ids: LegIds | None, error: CarrierError | None) -> None:
        self.ids, self.error = ids, error
        self.is_settled = ids is not None or error is not None

    async def wait(self, seconds: float) -> LegIds | None:
        await asyncio.sleep(0)
        return self.ids


class World:
    """Two carriers, a switchboard and a history, of which each answers what a test wants."""

    def __init__(self, *, per_minute: int = 60) -> None:
        self.is_readable, self.store = True, self
        self.config = Config(business="", left_out=(), route="", dial_seconds=30.4, record_announcement="", machines="")
        self.why = self.full = ""
        self.refuses: Exception | None = None
        self.ids: LegIds | None = LegIds("leg-1")
        self.error: CarrierError | None = None
        self.live_calls: dict[str, Any] = {}
        self.rows: dict[str, Any] = {}
        self.dialled: list[Any] = []
        self.asked: list[Any] = []
        self.owner = ("", "")
        self.accounts: list[Any] = []
        self.carriers: dict[str, Any] = {
            "telnyx": SimpleNamespace(name="telnyx", can={"dials"}, from_number=""),
            "twilio": SimpleNamespace(
                name="twilio", can={"dials"}, from_number=OURS, use_account=lambda *given: self.accounts.append(given),
                forget_account=print,
            ),
            "openai_sip": SimpleNamespace(name="openai_sip", can=set(), from_number=""),
        }  # fmt: skip
        self.dialer = Dialer(
            cast(Any, self), cast(Any, self), cast(Any, self), self.carriers, may_dial=self._may_dial,
            per_minute=per_minute,
        )  # fmt: skip

    async def _may_dial(self, number: str, business: str) -> str:
        self.asked.append((number, business))
        return self.why

    # Configs

    def business_of(self, number: str, profile: str = "") -> tuple[str, str]:
        return self.owner

    def outbound(self, own: str, profile: str, session: Any, *, variables: Any) -> Any:
        if self.refuses is not None:
            raise self.refuses
        return self.config

    # Switchboard

    def dial_refusal(self, config: Any) -> str:
        return self.full

    def live(self, call: str) -> Any:
        return self.live_calls.get(call)

    def dial(self, call: str, carrier: Any, order: Any) -> Any:
        if self.full:
            raise Overloaded(self.full)
        self.dialled.append((call, carrier.name, order))
        opened = SimpleNamespace(
            legs=SimpleNamespace(caller=Leg(self.ids, self.error)), is_handed_over=False, carrier=carrier,
            model=SimpleNamespace(state="dialling"), ids=self.ids or LegIds(), order=order,
        )  # fmt: skip
        self.live_calls[call] = opened
        return opened

    # History

    async def conversation(self, call: str, *, hidden: bool) -> Any:
        return self.rows.get(call)

    async def journal(self, call: str, *, hidden: bool) -> Any:
        return []


def run(main: Callable[[World], Coroutine[Any, Any, Any]], **options: Any) -> World:
    async def begin() -> World:
        world = World(**options)
        await main(world)
        return world

    return asyncio.run(begin())


def refusal(wish: DialRequest = WISH, **changes: Any) -> tuple[int, str]:
    """With which a request is refused. `changes`: of the world."""
    found: list[tuple[int, str]] = []

    async def main(world: World) -> None:
        for name, value in changes.items():
            setattr(world, name, value)
        with pytest.raises(DialRefused) as refused:
            await world.dialer.dial(wish)
        found.append((refused.value.status, " ".join(refused.value.reasons)))
        assert world.dialled == [], "nothing is dialled"

    run(main)
    return found[0]


def wish(**more: Any) -> DialRequest:
    return DialRequest(**{"to_number": THEIRS, **more})


def test_a_call_is_dialled_from_the_first_carrier_that_has_a_number_of_ours() -> None:
    async def main(world: World) -> None:
        made = await world.dialer.dial(wish(by="desk"))
        ((call, carrier, order),) = world.dialled
        assert made == Dialled(call, "twilio", "leg-1", "dialling", is_new=True)
        assert (carrier, order.from_number, order.to_number, order.by, order.ring_seconds) == (
            "twilio", OURS, THEIRS, "desk", 30,
        )  # fmt: skip
        assert world.asked == [(THEIRS, "")]
        other = await world.dialer.dial(wish(from_number="+15550100009"))
        assert (other.carrier, other.call != call) == ("telnyx", True), "without a key each is a call of its own"

    run(main)


@pytest.mark.parametrize(
    ("asked", "status", "word"),
    [
        (wish(to_number=""), 400, "toNumber"), (wish(to_number="12025550100"), 400, "toNumber"),
        (wish(to_number="+0202"), 400, "toNumber"), (wish(to_number="+" + "1" * 16), 400, "toNumber"),
        (wish(to_number=f"{THEIRS}\n"), 400, "toNumber"), (wish(to_number="+1202555010\u0660"), 400, "toNumber"),
        (wish(to_number="sip:a@b"), 400, "toNumber"), (wish(to_number=OURS), 400, "our own number"),
        (wish(from_number="5550100002"), 400, "from"), (wish(carrier="telnyx"), 400, "TELNYX_FROM_NUMBER"),
        (wish(carrier="openai_sip"), 400, "carrier must be"), (wish(carrier="x\x1b"), 400, "carrier must be"),
        (wish(key="k" * 256), 400, "Idempotency-Key"), (wish(key="k\n"), 400, "Idempotency-Key"),
        (wish(key="\ud800"), 400, "Idempotency-Key"), (wish(business="taxis"), 404, "no such profile"),
    ],
)  # fmt: skip
def test_a_request_that_makes_no_sense_dials_nobody(asked: DialRequest, status: int, word: str) -> None:
    found, sentence = refusal(asked)
    assert (found, word in sentence, sentence.isprintable()) == (status, True, True), sentence


@pytest.mark.parametrize(
    ("changes", "status", "word"),
    [
        ({"why": "It is on the list."}, 403, "on the list"), ({"full": "10 calls are live"}, 503, "10 calls are live"),
        ({"refuses": SettingsError(["speed is too high", "odd voice"])}, 400, "Speed is too high. Odd voice."),
        ({"config": Config(business="", route="sip", record_announcement="We record.")}, 0, ""),
    ],
)  # fmt: skip
def test_what_is_not_allowed_is_said_in_sentences(changes: dict[str, Any], status: int, word: str) -> None:
    if status:
        found, sentence = refusal(**changes)
        assert (found, word in sentence) == (status, True), sentence
    else:
        assert "record" in refusal(wish(record=True), **changes)[1]
        assert "voicemailMessage" in refusal(wish(session={"voicemail_message": "Hi."}), **changes)[1]


def test_only_so_many_calls_are_asked_for_in_a_minute() -> None:
    async def main(world: World) -> None:
        for _ in range(2):
            await world.dialer.dial(WISH)
        with pytest.raises(DialRefused, match="DIALS_PER_MINUTE") as refused:
            await world.dialer.dial(WISH)
        assert (refused.value.status, refused.value.wait) == (429, 5)

    run(main, per_minute=2)


def test_a_key_makes_one_call_however_often_and_at_once_it_is_sent() -> None:
    async def main(world: World) -> None:
        made = await asyncio.gather(*(world.dialer.dial(wish(key="k")) for _ in range(5)))
        assert {each.call for each in made} == {call_of("k")}
        assert [each.is_new for each in made].count(True) == len(world.dialled) == 1
        assert (await world.dialer.dial(wish(key="k", keys_of="taxis"))).is_new, "keys of each business are its own"
        for other in (wish(key="k", record=True), wish(key="k", to_number="+12025550101"), wish(key="k", profile="x")):
            with pytest.raises(DialRefused, match="belongs to another call") as refused:
                await world.dialer.dial(other)
            assert refused.value.status == 422
        assert len(world.dialled) == 2

    run(main)


def test_a_key_of_before_a_restart_is_looked_up_and_not_dialled_while_that_cannot_be() -> None:
    async def main(world: World) -> None:
        call = call_of("k")
        world.rows[call] = {"carrier": "twilio", "carrier_call_id": "CA1", "state": None}
        assert await world.dialer.dial(wish(key="k")) == Dialled(call, "twilio", "CA1", "", is_new=False)
        world.is_readable = False
        with pytest.raises(DialRefused, match="not open") as refused:
            await world.dialer.dial(wish(key="k"))
        assert (refused.value.status, refused.value.wait) == (503, 1)
        assert world.dialled == []
        assert (await world.dialer.dial(WISH)).is_new, "without a key nothing has to be known"

    run(main)


def test_requests_at_work_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_AT_WORK", 0)
    assert refusal(wish(key="k"))[0] == 503


# The carrier


def test_what_the_carrier_refuses_is_raised_as_it_said_it() -> None:
    async def main(world: World) -> None:
        world.ids, world.error = None, CarrierError("number is not verified")
        with pytest.raises(CarrierError, match="number is not verified"):
            await world.dialer.dial(WISH)
        world.error = CarrierError(NOT_WRITTEN)
        with pytest.raises(DialRefused, match="with a new key") as refused:
            await world.dialer.dial(WISH)
        assert refused.value.status == 503

    run(main)


def test_a_carrier_that_does_not_answer_leaves_a_call_without_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ANSWER_SECONDS", -1.0)

    async def main(world: World) -> None:
        world.ids = None
        made = await world.dialer.dial(WISH)
        assert (made.carrier_id, made.is_new) == ("", True)

    run(main)


def test_an_account_of_the_request_goes_to_a_carrier_that_takes_one() -> None:
    account = CarrierAccount("AC1", "token")

    async def main(world: World) -> None:
        made = await world.dialer.dial(wish(account=account))
        assert made.carrier == "twilio"
        assert world.accounts == [(made.call, account)]

    run(main)
    assert "not one of the carrier" in refusal(wish(account=account, carrier="telnyx"))[1]


# Elsewhere, and previews


def test_a_request_with_a_key_of_its_own_is_told_to_no_other_node() -> None:
    async def main(world: World) -> None:
        told: list[DialRequest] = []
        there = Dialled("c9", "twilio", "x", "dialling", is_new=True)

        async def elsewhere(request: DialRequest) -> Dialled:
            told.append(request)
            return there

        world.dialer.elsewhere = elsewhere
        assert await world.dialer.dial(wish(by="other")) == there
        assert world.dialled == []
        for secret in (wish(account=CarrierAccount("AC1", "t")), wish(api_key="sk-1", key="k")):
            assert "sk-1" not in repr(secret)
        await world.dialer.dial(wish(account=CarrierAccount("AC1", "t")))
        assert [each.by for each in told] == ["other"]
        assert told[0].carrier == "twilio", "another node, with other keys, would choose another carrier"
        with pytest.raises(DialRefused):
            await world.dialer.dial(wish(to_number="", by="other"))
        assert len(told) == 1, "what makes no sense is not even told"

    run(main)


def test_a_preview_says_what_would_happen_and_dials_nobody() -> None:
    async def main(world: World) -> None:
        found = await world.dialer.preview(WISH)
        assert (found.carrier, found.from_number, found.why) == ("twilio", OURS, "")
        world.full = "10 calls are live"
        assert (await world.dialer.preview(WISH)).why == "10 calls are live."
        world.why = "It is on the list."
        assert (await world.dialer.preview(WISH)).why == "It is on the list."
        assert (await world.dialer.outline(wish(to_number=""))).why == ""
        world.config.left_out = ("name",)
        assert await world.dialer.check(wish(to_number="")) == ("twilio", ("name",), "")
        assert world.dialer.own_number(wish(from_number="+15550100009")) == "+15550100009"
        assert world.dialled == []

    run(main)


def test_without_a_carrier_that_dials_nobody_is_dialled() -> None:
    none: dict[str, Any] = {"openai_sip": SimpleNamespace(name="openai_sip", can=set(), from_number="")}

    async def main(world: World) -> None:
        world.dialer._carriers = none
        with pytest.raises(DialRefused) as refused:
            await world.dialer.dial(WISH)
        assert refused.value.status == 503

    run(main)
