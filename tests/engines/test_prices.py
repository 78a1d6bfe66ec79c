"""What a call costs: by a dated table, and unknown where the table is silent."""

from __future__ import annotations

from datetime import date

import pytest

from callflow.agent.usage import UsageTotal
from callflow.contracts.engine import Usage
from callflow.engines import prices


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
    used = prices.read(USAGE)
    assert used == {"text_in": 119, "audio_in": 13, "text_cached": 64, "text_out": 30, "audio_out": 91}
    by_hand = ((119 - 64) * 4 + 64 * 0.40 + 13 * 32 + 30 * 24 + 91 * 64) / 1e6
    assert prices.cost("gpt-realtime-2.1", used, DAY) == pytest.approx(by_hand)


def test_cached_tokens_are_among_those_that_came_in_and_are_counted_once() -> None:
    assert prices.cost("gpt-realtime", {"audio_in": 100, "audio_cached": 100}, DAY) == pytest.approx(100 * 0.40 / 1e6)


def test_what_has_no_price_is_unknown_and_not_nought() -> None:
    assert prices.cost("gpt-of-next-year", {"text_in": 1}, DAY) is None
    assert prices.cost("gpt-realtime-2.1", {"text_in": 1}, date(2020, 1, 1)) is None
    assert prices.cost("gpt-4o-transcribe", {"seconds": 3.0}, DAY) is None
    assert prices.cost("gpt-realtime-2.1-2026-05-01", {"text_in": 1_000_000}, DAY) == pytest.approx(4.0)


def test_transcription_is_paid_by_the_minute() -> None:
    assert prices.cost("gpt-transcribe", prices.read({"type": "duration", "seconds": 90}), DAY) == pytest.approx(
        0.00675
    )


@pytest.mark.parametrize("odd", [None, [], "x", {"input_token_details": 5}, {"seconds": "x"}, {"input_tokens": -4}])
def test_odd_usage_is_no_usage(odd: object) -> None:
    assert prices.read(odd) == {}


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
