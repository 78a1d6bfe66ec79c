"""What the server finds wrong with itself reaches EVENTS_URL, and so does that it is over."""

from __future__ import annotations

from typing import Any

import pytest

from callflow.switchboard.health import alert_life_cycle, service
from tests.e2e.product import product
from tests.history.delivery.receiver import SECRET, receiver


async def test_an_alert_is_told_when_it_opens_and_when_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "EVERY_SECONDS", 0.1)
    monkeypatch.setitem(alert_life_cycle.OPEN_AFTER, "wrong", 0.3)
    monkeypatch.setattr(alert_life_cycle, "CLOSE_AFTER", 0.3)
    async with receiver() as there, product(events_url=there.url, events_secret=SECRET) as the:

        def told() -> list[dict[str, Any]]:
            """Return what was told of it: a busy machine may have others."""
            return [one.payload for one in there.taken if one.payload["about"] == "journal"]

        the.app.journal.trouble = "no room on the disk"
        await the.until(lambda: len(told()) == 1, "the alert")
        the.app.journal.trouble = ""
        await the.until(lambda: len(told()) == 2, "its end")
        opened, closed = told()
        assert (opened["type"], opened["about"], opened["closed_at"]) == ("alert.opened", "journal", None)
        assert (closed["type"], closed["alert"], closed["closed_by"]) == ("alert.closed", opened["alert"], "")
        assert closed["closed_at"] > opened["opened_at"]
        assert there.unsigned == 0
