"""The budget of a server, made from its settings, and what is not known about prices."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from callflow.config.settings import Settings
from callflow.engines import model_catalog
from callflow.history.history import History
from callflow.switchboard import engine_choice
from callflow.switchboard.budget.make import make_budget, price_warnings


class Book:
    def now(self) -> float:
        return 1_700_000_000.0


def test_ceilings_and_the_zone_of_the_day_are_those_of_the_settings() -> None:
    async def main() -> None:
        settings = Settings(max_daily_minutes=90, max_daily_usd=12.5, budget_zone="Asia/Tokyo")
        budget = make_budget(settings, cast(History, Book()), list, node="w2")
        assert (budget._ceilings.minutes, budget._ceilings.usd) == (90, 12.5)
        assert (str(budget._zone), budget._node) == ("Asia/Tokyo", "w2")
        assert budget._dearest > 0

    asyncio.run(main())


@pytest.mark.parametrize("values", [{}, {"max_daily_minutes": 5}, {"profile_daily_minutes": 5}])
def test_without_a_limit_in_dollars_no_price_is_needed(values: Any) -> None:
    assert price_warnings({"": Settings(model="of-tomorrow", **values)}) == []
    assert price_warnings({}) == []


@pytest.mark.parametrize("values", [{"max_daily_usd": 5.0}, {"profile_daily_usd": 5.0}])
def test_a_model_without_a_price_counts_as_the_dearest_and_that_is_said(values: Any) -> None:
    (line,) = price_warnings({"": Settings(model="of-tomorrow", **values)})
    assert line.startswith("the price of of-tomorrow is not known: for limits in dollars its calls count $")
    assert line.endswith("set max_daily_minutes as well, which needs no price")
    (with_minutes,) = price_warnings({"": Settings(model="of-tomorrow", max_daily_minutes=9, **values)})
    assert "max_daily_minutes" not in with_minutes
    assert price_warnings({"": Settings(**values)}) == [], "that of the usual model is known"


def test_a_profile_is_named_only_where_it_says_something_new() -> None:
    one, other = (Settings(model=model, max_daily_usd=5) for model in ("of-tomorrow", "of-next-year"))
    lines = price_warnings({"": one, "sales": one, "care": other})
    assert [line[:32] for line in lines] == ["the price of of-tomorrow is not ", "profile care: the price of of-ne"]


def test_every_model_that_a_call_may_use_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_choice, "priced_models", lambda settings: ["a", "", "b", "a"])
    monkeypatch.setattr(model_catalog, "prices", lambda model, day: {} if model == "b" else None)
    (line,) = price_warnings({"": Settings(max_daily_usd=5)})
    assert "the price of a is" in line, "an empty list of prices is one, and a model is named once"
