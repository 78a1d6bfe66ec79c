"""What carriers do while this server is away: kept before it is changed, read back, and undone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, cast

import pytest

from callflow.config.profiles import Profiles
from callflow.config.settings import Settings
from callflow.contracts.carrier import Carrier
from callflow.contracts.errors import CarrierError, NumberRefused
from callflow.contracts.failover import Failover, FailoverPlan, Provision
from callflow.contracts.numbers import Part
from callflow.history.provisions import Provisions
from callflow.switchboard.failover_service import FailoverService, check_failover, failover_of


WANTED = Failover("https://calls.example", "https://second.example")
Fields = dict[str, str]


class Account:
    """A carrier's account: resources with their fields."""

    def __init__(self, **resources: Fields) -> None:
        self.name, self.resources = "telnyx", resources
        self.failover = self
        self.fails: Exception | None = None
        self.forgets = False
        self.log: list[str] = []

    def _check(self) -> None:
        if self.fails is not None:
            raise self.fails

    async def plan(self, wanted: Failover) -> FailoverPlan:
        self._check()
        return FailoverPlan(
            tuple(
                Provision(self.name, f"number {name}", Part(name, dict(held), {"url": wanted.url}))
                for name, held in self.resources.items()
            )
        )

    async def values(self, part: Part) -> Mapping[str, Any]:
        self._check()
        if part.resource not in self.resources:
            raise CarrierError("no such number", gone=True)
        return self.resources[part.resource]

    async def change(self, resource: str, values: Mapping[str, Any]) -> None:
        self._check()
        self.log.append(f"change {resource}")
        if not self.forgets:
            self.resources[resource] |= cast(Fields, dict(values))


class Book:
    """What is kept, oldest first."""

    def __init__(self, log: list[str]) -> None:
        self.rows: list[Provision] = []
        self.log = log

    async def all(self) -> list[Provision]:
        return list(self.rows)

    async def keep(self, one: Provision) -> None:
        self.log.append(f"keep {one.part.resource}")
        await self.forget(one)
        self.rows.append(one)

    async def forget(self, one: Provision) -> None:
        self.rows = [each for each in self.rows if each.part.resource != one.part.resource]


Service = Any


def run(main: Callable[[Account, Book, Service], Coroutine[Any, Any, None]], account: Account | None = None) -> None:
    async def begin() -> None:
        one = account or Account(n1={"url": "https://old.example"})
        book = Book(one.log)
        service = FailoverService([cast(Carrier, one)], cast(Provisions, book), now=lambda: 5.0)
        await main(one, book, service)

    asyncio.run(begin())


async def applied(service: Service, wanted: Failover = WANTED) -> None:
    for plan in await service.plan(wanted):
        for one in plan.provisions:
            await service.apply(one)


def test_what_was_there_is_kept_before_anything_is_changed() -> None:
    async def main(account: Account, book: Book, service: Service) -> None:
        await applied(service)
        assert account.log == ["keep n1", "change n1"]
        assert account.resources["n1"] == {"url": "https://second.example"}
        (kept,) = book.rows
        assert (dict(kept.part.before), kept.at) == ({"url": "https://old.example"}, 5.0)

    run(main)


def test_an_undo_goes_back_behind_all_changes_from_here() -> None:
    async def main(account: Account, book: Book, service: Service) -> None:
        await applied(service)
        await applied(service, Failover("", "https://third.example"))
        await applied(service, Failover("", "https://third.example"))
        (undo,) = await service.undos(book.rows)
        assert (dict(undo.values), undo.foreign, undo.is_gone) == ({"url": "https://old.example"}, (), False)
        await service.undo(undo)
        assert (account.resources["n1"], book.rows) == ({"url": "https://old.example"}, [])
        assert await service.undos(book.rows) == []

    run(main)


def test_what_somebody_else_has_changed_meanwhile_is_named() -> None:
    async def main(account: Account, book: Book, service: Service) -> None:
        await applied(service)
        account.resources["n1"]["url"] = "https://somebody.example"
        (undo,) = await service.undos(book.rows)
        assert undo.foreign == ("url",)
        await applied(service)
        (undo,) = await service.undos(book.rows)
        assert dict(undo.values) == {"url": "https://somebody.example"}, "theirs was there before our next change"

    run(main)


def test_what_holds_its_old_value_already_or_is_gone_is_forgotten_without_a_change() -> None:
    async def main(account: Account, book: Book, service: Service) -> None:
        await applied(service)
        account.resources["n1"]["url"] = "https://old.example"
        (undo,) = await service.undos(book.rows)
        assert dict(undo.values) == {}
        del account.resources["n1"]
        (undo,) = await service.undos(book.rows)
        assert (undo.is_gone, dict(undo.values)) == (True, {})
        account.log.clear()
        await service.undo(undo)
        assert (account.log, book.rows) == ([], [])

    run(main)


def test_the_newest_change_is_undone_first_and_that_of_a_carrier_that_is_off_stays() -> None:
    async def main(account: Account, book: Book, service: Service) -> None:
        await applied(service)
        book.rows.append(Provision("twilio", "number n9", Part("n9", {}, {})))
        assert [each.kept.part.resource for each in await service.undos(book.rows)] == ["n2", "n1"]
        assert len(book.rows) == 3

    run(main, Account(n1={"url": "a"}, n2={"url": "b"}))


def test_a_change_that_does_not_hold_is_refused_and_can_be_undone() -> None:
    async def main(account: Account, book: Book, service: Service) -> None:
        account.forgets = True
        with pytest.raises(NumberRefused, match="url does not hold it") as refused:
            await applied(service)
        assert (refused.value.status, len(book.rows)) == (502, 1)

    run(main)


@pytest.mark.parametrize(
    ("error", "status", "word"), [(CarrierError("HTTP 401"), 502, "telnyx: HTTP 401"), (TimeoutError(), 504, "in time")]
)
def test_a_carrier_that_refuses_or_does_not_answer_is_named(error: Exception, status: int, word: str) -> None:
    async def main(account: Account, book: Book, service: Service) -> None:
        await applied(service)
        (undo,) = await service.undos(book.rows)
        account.fails = error
        for work in (service.plan(WANTED), service.apply(book.rows[0]), service.undos(book.rows), service.undo(undo)):
            with pytest.raises(NumberRefused, match=word) as refused:
                await work
            assert refused.value.status == status
        assert len(book.rows) == 1, "it is kept until it is undone"

    run(main)


# What is wanted, and whether carriers know it


def wanted_of(**values: Any) -> Failover | None:
    settings = Settings(**values)
    profiles: Any = type("P", (), {"all": lambda self: {"": settings}, "name_for": lambda self, own: ""})()
    return failover_of(settings, cast(Profiles, profiles), "https://calls.example")


def test_without_a_second_server_or_a_number_nothing_is_wanted() -> None:
    assert wanted_of() is None
    server = wanted_of(failover_url="https://second.example")
    assert server is not None
    assert (server.address, server.url, server.number("+15550100002")) == (
        "https://calls.example",
        "https://second.example",
        "",
    )
    number = wanted_of(fallback_number="+12025550100")
    assert number is not None
    assert (number.url, number.number("+15550100002")) == ("", "+12025550100")


def found(account: Account, wanted: Failover = WANTED) -> list[str]:
    told = asyncio.run(check_failover([cast(Carrier, account)], wanted))
    return [f"{one.state} {one.what}" for one in told]


def test_carriers_that_were_not_told_are_named_some_of_them() -> None:
    assert found(Account()) == [], "there is nothing to tell"
    (well,) = found(Account(n1={"url": "https://second.example"}))
    assert well.startswith("ok")
    many = Account(**{f"n{number}": {"url": ""} for number in range(9)})
    (wrong,) = found(many)
    assert wrong.startswith("wrong")
    assert (wrong.count("telnyx, number"), wrong.endswith(" …")) == (5, True)
    many.fails = CarrierError("HTTP 401")
    assert found(many) == [], "of one that cannot be asked nothing is said"


def test_the_second_server_does_not_point_at_itself() -> None:
    itself = Failover("https://second.example", "https://second.example")
    assert found(Account(n1={"url": ""}), itself)[0].startswith("ok")
