"""Calls on their way between two nodes: whoever asks waits until one has arrived, and not longer than they want."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from callflow.cluster.membership import Membership
from callflow.switchboard import calls_in_transit
from callflow.switchboard.calls_in_transit import CallsInTransit
from callflow.switchboard.switchboard import Switchboard


class World:
    """One node and one call; after so many looks, what is going on is over."""

    def __init__(
        self, *, going: bool = False, coming: bool = False, has: bool = False, owner: str | None = "", looks: int = 0,
        live: bool | None = None, held: bool = False, handed_over: bool = False,
    ) -> None:  # fmt: skip
        self.me, self.claims, self.asked, self.looks = "me", self, 0, looks
        self._going, self._coming, self._has, self._owner = going, coming, has, owner
        self._live, self._held, self._handed_over = live, held, handed_over

    def _is_on(self) -> bool:
        self.looks -= 1
        return self.looks >= 0

    async def owner(self, call: str) -> str | None:
        self.asked += 1
        return self._owner

    def has(self, call: str) -> bool:
        return self._has

    def is_going(self, call: str) -> bool:
        return self._going and self._is_on()

    def is_coming(self, call: str) -> bool:
        return self._coming and self._is_on()

    def is_live(self, call: str) -> bool:
        return (self._live is True) if self._owner != "me" else not self._is_on()

    def live(self, call: str) -> Any:
        if not self._live:
            return None
        mailbox = SimpleNamespace(is_held=self._held and self._is_on())
        return SimpleNamespace(is_handed_over=self._handed_over, mailbox=mailbox)


def settled(world: World, seconds: float = 5.0, *, comes: bool = False) -> bool:
    one = CallsInTransit(cast(Membership, world), cast(Switchboard, world))
    return asyncio.run(one.settled("c", seconds, comes=comes))


def owner(world: World, seconds: float = 5.0) -> str | None:
    return asyncio.run(CallsInTransit(cast(Membership, world), cast(Switchboard, world)).owner("c", seconds))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls_in_transit, "_LOOK_SECONDS", 0.0)


@pytest.mark.parametrize("whose", ["", "other", None])
def test_a_call_that_nobody_moves_is_where_it_is(whose: str | None) -> None:
    world = World(owner=whose)
    assert (settled(world), world.asked) == (True, 0)
    assert (owner(world), world.asked) == (whose, 1)


def test_the_database_is_not_asked_about_what_this_node_knows() -> None:
    world = World(live=True)
    assert (owner(world), world.asked) == ("me", 0)
    for world in (World(has=True), World(going=True, looks=2), World(coming=True, looks=2)):
        assert (owner(world), world.asked) == ("", 1), "where it is after the wait"


@pytest.mark.parametrize("way", ["going", "coming"])
def test_whoever_asks_waits_until_the_call_has_gone_or_come(way: str) -> None:
    world = World(going=way == "going", coming=way == "coming", looks=5)
    assert settled(world)
    assert world.looks < 0
    assert not settled(World(going=way == "going", coming=way == "coming", looks=10**6), 0.0)


def test_a_live_call_whose_events_are_held_is_under_way_and_one_that_was_handed_over_is_not_ours() -> None:
    assert settled(World(live=True, held=True, looks=5))
    assert not settled(World(live=True, held=True, looks=10**6), 0.0)
    assert settled(World(live=True, held=True, handed_over=True, looks=10**6), 0.0)


def test_a_call_that_was_given_to_this_node_is_waited_for() -> None:
    assert settled(World(owner="me", looks=4), comes=True)
    assert not settled(World(owner="me", looks=10**6), 0.0, comes=True)
    with pytest.raises(TimeoutError):
        owner(World(owner="me", looks=10**6), 0.0)
