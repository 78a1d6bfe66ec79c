"""What is too old is deleted, now and every hour, and one failure does not end that."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from callflow.contracts.errors import StoreAway
from callflow.history import retention as module
from callflow.history.retention import Retention


NOW, DAY = 1_700_000_000.0, 86_400.0


def run(monkeypatch: pytest.MonkeyPatch, days: float, *results: int | Exception) -> tuple[list[float], list[float]]:
    """Up to which moments it deletes, and how long it waits between; it is cancelled after the last result."""
    asked, waits, left = list[float](), list[float](), list(results)

    async def expire(before: float) -> int:
        asked.append(before)
        found = left.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        if not left:
            raise asyncio.CancelledError

    monkeypatch.setattr(module, "asyncio", SimpleNamespace(sleep=sleep))

    async def main() -> None:
        if not results:
            await Retention(expire, days, lambda: NOW, what="calls").run()
            return
        with pytest.raises(asyncio.CancelledError):
            await Retention(expire, days, lambda: NOW, what="calls").run()

    asyncio.run(main())
    return asked, waits


def test_zero_days_keep_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, 0) == ([], [])


def test_what_is_older_goes_at_once_and_every_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, waits = run(monkeypatch, 1.5, 0, 7)
    assert asked == [NOW - 1.5 * DAY] * 2
    assert waits == [3600.0] * 2


def test_what_is_deleted_is_told_and_nothing_is_not(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    run(monkeypatch, 30, 0, 7)
    assert [each.getMessage() for each in caplog.records] == ["7 calls were older than 30 days, and are deleted"]


def test_a_failure_is_told_and_tried_again(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    asked, _ = run(monkeypatch, 30, StoreAway("no answer"), OSError("disk"), 1)
    assert len(asked) == 3
    assert [each.levelname for each in caplog.records][:2] == ["WARNING", "ERROR"]
