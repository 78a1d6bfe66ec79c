"""The catalogue of models: what each can do, when it ends, what it costs, and what is unknown."""

from __future__ import annotations

import tomllib
from datetime import date
from importlib import resources
from typing import Any

import pytest

from callflow.agent.usage import UsageTotal
from callflow.contracts.engine import Usage
from callflow.engines import model_catalog


USAGE = {
    "total_tokens": 253, "input_tokens": 132, "output_tokens": 121,
    "input_token_details": {
        "text_tokens": 119, "audio_tokens": 13, "image_tokens": 0, "cached_tokens": 64,
        "cached_tokens_details": {"text_tokens": 64, "audio_tokens": 0, "image_tokens": 0},
    },
    "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
}  # fmt: skip
DAY = date(2026, 11, 24)


def test_the_references_example_costs_what_its_formula_says() -> None:
    used = model_catalog.read_usage(USAGE)
    assert used == {"text_in": 119, "audio_in": 13, "text_cached": 64, "text_out": 30, "audio_out": 91}
    by_hand = ((119 - 64) * 4 + 64 * 0.40 + 13 * 32 + 30 * 24 + 91 * 64) / 1e6
    assert model_catalog.cost("gpt-realtime-2.1", used, DAY) == pytest.approx(by_hand)


def test_cached_tokens_are_among_those_that_came_in_and_are_counted_once() -> None:
    assert model_catalog.cost("gpt-realtime", {"audio_in": 100, "audio_cached": 100}, DAY) == pytest.approx(
        100 * 0.40 / 1e6
    )


def test_what_has_no_price_is_unknown_and_not_nought() -> None:
    assert model_catalog.cost("gpt-of-next-year", {"text_in": 1}, DAY) is None
    assert model_catalog.cost("gpt-realtime-2.1", {"text_in": 1}, date(2020, 1, 1)) is None
    assert model_catalog.cost("gpt-4o-transcribe", {"seconds": 3.0}, DAY) is None
    assert model_catalog.cost("gpt-realtime-2.1-2026-05-01", {"text_in": 1_000_000}, DAY) == pytest.approx(4.0)


def test_transcription_is_paid_by_the_minute() -> None:
    assert model_catalog.cost(
        "gpt-transcribe", model_catalog.read_usage({"type": "duration", "seconds": 90}), DAY
    ) == pytest.approx(0.00675)


@pytest.mark.parametrize("odd", [None, [], "x", {"input_token_details": 5}, {"seconds": "x"}, {"input_tokens": -4}])
def test_odd_usage_is_no_usage(odd: object) -> None:
    assert model_catalog.read_usage(odd) == {}


# The file


def tables() -> dict[str, dict[str, Any]]:
    document = tomllib.loads((resources.files("callflow.engines") / "models.toml").read_text("utf-8"))
    return {**document["models"], **document["transcription"]}


BIG = {
    "audio_in": 32.0, "audio_cached": 0.40, "audio_out": 64.0, "text_in": 4.0, "text_cached": 0.40, "text_out": 24.0,
    "image_in": 5.0, "image_cached": 0.50,
}  # fmt: skip
MINI = {
    "audio_in": 10.0, "audio_cached": 0.30, "audio_out": 20.0, "text_in": 0.60, "text_cached": 0.06, "text_out": 2.40,
    "image_in": 0.80, "image_cached": 0.08,
}  # fmt: skip
PRICES = {
    "gpt-realtime-2.1": BIG,
    "gpt-realtime-2": BIG,
    "gpt-realtime-1.5": BIG | {"text_out": 16.0},
    "gpt-realtime": BIG | {"text_out": 16.0},
    "gpt-realtime-2.1-mini": MINI,
    "gpt-realtime-mini": MINI,
    "gpt-live-1": {"minute": 0.05},
    "gpt-live-1.1": {"minute": 0.05},
    "gpt-transcribe": {"minute": 0.0045},
    "gpt-live-transcribe": {"minute": 0.017},
    "gpt-realtime-whisper": {"minute": 0.017},
    "gpt-4o-transcribe": {"audio_in": 2.50, "text_in": 2.50, "text_out": 10.0},
}
"""As the vendor's model pages said on 2026-11-21."""


def test_every_price_is_the_one_on_the_vendors_page_and_there_are_no_others() -> None:
    priced = {name for name, table in tables().items() if "prices" in table}
    assert {name: model_catalog.prices(name, DAY) for name in priced} == PRICES


def test_every_price_says_since_when_it_holds_and_which_page_says_so() -> None:
    for name, table in tables().items():
        for row in table.get("prices", ()):
            assert isinstance(row["since"], date)
            assert row["source"] == f"developers.openai.com/api/docs/models/{name}"
            assert all(value > 0 for kind, value in row.items() if kind not in ("since", "source")), "unknown is not 0"


def test_no_other_file_has_prices_or_days_of_models() -> None:
    folder = resources.files("callflow.engines")
    assert [each.name for each in folder.iterdir() if each.name.endswith(".toml")] == ["models.toml"]


def test_a_price_holds_from_its_day_on() -> None:
    assert model_catalog.prices("gpt-realtime-2.1", date(2026, 7, 8)) is None
    assert model_catalog.prices("gpt-realtime-2.1", date(2026, 7, 9)) == BIG
    assert model_catalog.prices("nobody knows", DAY) is None


def test_a_dated_snapshot_is_its_model_and_ends_with_it() -> None:
    for model in ("gpt-realtime-2.1", "gpt-realtime-mini", "gpt-4o-realtime-preview"):
        snapshot = f"{model}-2026-05-01"
        assert model_catalog.prices(snapshot, DAY) == PRICES.get(model)
        assert model_catalog.reasons(snapshot) == model_catalog.reasons(model)
        told = model_catalog.shutdown_warning(model, DAY)
        assert model_catalog.shutdown_warning(snapshot, DAY) == (told and told.replace(model, snapshot))
    for retired in ("gpt-4o-realtime-preview-2025-06-03", "gpt-4o-mini-realtime-preview-2024-12-17"):
        assert "was switched off" in (model_catalog.shutdown_warning(retired, DAY) or "")
    assert model_catalog.prices("gpt-realtime-2025-08-28", DAY) == PRICES["gpt-realtime"]
    assert not model_catalog.reasons("gpt-realtime-2025-08-28")
    assert model_catalog.about("gpt-realtime-of-next-year") == {}


def test_models_that_end_are_warned_of() -> None:
    assert model_catalog.shutdown_warning("gpt-realtime-2.1", DAY) is None
    assert "will be switched off" in (model_catalog.shutdown_warning("gpt-realtime", DAY) or "")
    assert "will be switched off" in (model_catalog.shutdown_warning("gpt-realtime-2025-08-28", DAY) or "")
    assert "was switched off" in (model_catalog.shutdown_warning("gpt-realtime", date(2027, 1, 20)) or "")
    assert "2027-02-26" in (model_catalog.shutdown_warning("whisper-1", DAY) or "")
    assert model_catalog.shutdown_warning("a model of next year", DAY) is None


# Usage


def test_one_unknown_price_makes_the_whole_unknown_and_usage_goes_on() -> None:
    ledger = UsageTotal()
    ledger.add(Usage("a", {"text_in": 10}, 0.5))
    ledger.add(Usage("a", {"text_in": 5, "text_out": 1}, 0.25))
    assert ledger.total() == {"models": {"a": {"text_in": 15, "text_out": 1}}, "usd": 0.75}
    ledger.add(Usage("b", {"seconds": 2.0}, None))
    ledger.add(Usage("a", {"text_in": 1}, 0.1))
    assert ledger.usd is None
    again = UsageTotal()
    again.restore(ledger.total())
    assert again.total() == ledger.total()
