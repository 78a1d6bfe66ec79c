"""The pictures of calls that were recovered: shown to the model again, and never in the way of a call."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from callflow.agent.engine_sessions import MOST_IMAGES
from callflow.contracts.engine import ContextImage
from callflow.switchboard import restored_images
from tests.in_loop import in_loop


DATABASE = cast(Any, "the database")


class Kept:
    """What the database has: pictures by call. It answers after so many seconds, or fails."""

    def __init__(self, pictures: dict[str, list[tuple[str, bytes]]], seconds: float = 0.0) -> None:
        self.pictures, self.seconds = pictures, seconds
        self.asked: list[Any] = []

    async def calls_with(self, database: object, calls: list[str]) -> set[str]:
        self.asked.append(calls)
        await asyncio.sleep(self.seconds)
        return {call for call in calls if call in self.pictures}

    async def newest(self, database: object, call: str, most: int) -> list[tuple[str, bytes]]:
        self.asked.append((call, most))
        return self.pictures[call]


class OneCall:
    """A call that was recovered, and what its agent remembers."""

    def __init__(self, name: str) -> None:
        self.id, self.remembered = name, list[Any]()
        self.agent = SimpleNamespace(sessions=SimpleNamespace(remember=self.remembered.extend))


async def show(kept: Kept, monkeypatch: pytest.MonkeyPatch, *calls: OneCall) -> None:
    monkeypatch.setattr(restored_images, "image_rows", kept)
    await restored_images.show_again(DATABASE, cast(Any, calls))


@in_loop
async def test_a_call_has_its_own_pictures_again_and_another_one_none(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, one, other = Kept({"a": [("image/png", b"\x00\x01"), ("image/jpeg", b"")]}), OneCall("a"), OneCall("b")
    await show(kept, monkeypatch, one, other)
    assert one.remembered == [ContextImage("data:image/png;base64,AAE="), ContextImage("data:image/jpeg;base64,")]
    assert other.remembered == []
    assert kept.asked == [["a", "b"], ("a", MOST_IMAGES)]


@in_loop
async def test_where_no_call_was_recovered_the_database_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept({})
    await show(kept, monkeypatch)
    assert kept.asked == []


@in_loop
async def test_a_database_that_is_slow_or_fails_keeps_no_caller_waiting(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(restored_images, "_SECONDS", 0.0)
    one = OneCall("a")
    await show(Kept({"a": []}, seconds=60.0), monkeypatch, one)
    monkeypatch.setattr(restored_images, "_SECONDS", 1.0)
    await show(cast(Any, SimpleNamespace()), monkeypatch, one)
    assert one.remembered == []
    assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == ["TimeoutError", "AttributeError"]
