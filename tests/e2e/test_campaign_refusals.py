"""Lists of calls on an account that the carrier refuses: nobody loses an attempt whose telephone has never rung."""

from __future__ import annotations

from typing import Any

import pytest

from callflow.sandbox.common.callee import Callee
from callflow.switchboard.campaigns import outcomes, pace
from tests.e2e import product as products
from tests.e2e.campaigns import NUMBERS, SHORT, called, make, progress, reaches
from tests.e2e.outbound import ask, dialling
from tests.e2e.product import Product


CARRIERS = ("telnyx", "twilio")


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "_FIRST_WAIT_SECONDS", 0.1)
    monkeypatch.setattr(pace, "_REST_SECONDS", 0.1)
    monkeypatch.setattr(pace, "_DOUBLES_SECONDS", 1.0)


async def rows_of(the: Product, campaign: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await ask(the, "GET", f"{campaign['url']}/rows")).json()
    return found


@pytest.mark.parametrize("way", ["refused", "hangs_up"])
async def test_who_is_one_too_many_for_the_account_is_called_when_there_is_room(way: Any) -> None:
    async with dialling(command_retries=0) as the:
        if products.usual == "twilio":
            the.twilio.exchange.account.calls_at_once = 1
        else:
            the.telnyx.exchange.application.channel_limit = 1
            the.telnyx.exchange.application.over_limit = way
        the.carrier.exchange.callee = Callee("answers", hangs_up_after_s=0.6)
        made = await make(the, *NUMBERS[:4], attempts=1)
        told = await reaches(the, made)
        assert (told["by_state"], told["by_outcome"]) == ({"done": 4}, {"answered": 4}), await rows_of(the, told)
        assert max(row["calls"] for row in await rows_of(the, told)) > 1, "the carrier refused nothing"
        assert told["error"] is None
        await the.quiet()


@pytest.mark.carrier("telnyx")
async def test_without_money_a_list_is_paused_and_goes_on_when_there_is_some() -> None:
    async with dialling() as the:
        the.carrier.exchange.callee = SHORT
        account = the.telnyx.exchange.application
        account.has_funds = False
        told = await reaches(the, await make(the, *NUMBERS[:3], attempts=1), "paused")
        assert "20100 Insufficient Funds" in told["error"]
        while told["by_state"] != {"waiting": 3}:
            told = await progress(the, told)
        assert called(the) == []
        assert "Insufficient Funds" in (await rows_of(the, told))[0]["reason"]
        account.has_funds = True
        await ask(the, "POST", f"{told['url']}/resume")
        told = await reaches(the, told)
        assert (told["by_state"], told["error"]) == ({"done": 3}, None)
        await the.quiet()


@pytest.mark.carrier("telnyx")
async def test_what_is_refused_for_ever_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes, "MOST_REFUSED", 2)
    async with dialling() as the:
        the.telnyx.exchange.application.channel_limit = 0
        the.telnyx.exchange.application.over_limit = "refused"
        told = await reaches(the, await make(the, NUMBERS[0], attempts=2))
        (row,) = await rows_of(the, told)
        assert (row["state"], row["outcome"], row["calls"]) == ("given_up", "failed", 2 + 2)
        assert "90043" in row["reason"]
        assert (await progress(the, told))["by_outcome"] == {"failed": 1}
        await the.quiet()
