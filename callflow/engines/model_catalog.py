"""Facts about the vendor's models (`models.toml`): capabilities, shutdown dates and prices.

Pure, except for reading that file once. A missing fact is unknown, which is not 0 and not "no".
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import cache
from importlib import resources
from typing import Any, Final


_KINDS: Final = ("audio", "text", "image")
_SNAPSHOT: Final = re.compile(r"(.+)-20\d{2}-\d{2}-\d{2}")
"""The name of a dated snapshot: its model, then the day."""
_TOKENS_IN: Final = 600
_TOKENS_OUT: Final = 1200
"""Audio tokens of a minute: one for each 100 ms of the caller, one for each 50 ms of the model (vendor: Managing
costs)."""
_ABOUT_PRICES: Final = ("since", "source")
"""Fields of a row of prices other than prices."""


@cache
def _known() -> Mapping[str, Mapping[str, Any]]:
    """Return the tables of all models by name: those that speak and those that transcribe."""
    document = tomllib.loads((resources.files(__package__) / "models.toml").read_text("utf-8"))
    return {**document["models"], **document["transcription"]}


def about(model: str) -> Mapping[str, Any]:
    """Return the facts about a model, by the names in `models.toml`; empty for an unknown model.

    A dated snapshot has the facts of its model; facts in its own table win.
    """
    own = _known().get(model, {})
    snapshot = _SNAPSHOT.fullmatch(model)
    if snapshot is None:
        return own
    return {**_known().get(snapshot[1], {}), **own}


def reasons(model: str) -> bool:
    """Return whether a model accepts `reasoning` and `parallel_tool_calls`; for an unknown model the name decides."""
    known = about(model).get("reasoning")
    return bool(known) if known is not None else model.startswith("gpt-realtime-2") and "-2025" not in model


def shutdown_warning(model: str, today: date) -> str | None:
    """Return a sentence for the start-up report when the vendor has switched this model off, or will; else None."""
    ends = about(model).get("ends")
    if not isinstance(ends, date):
        return None
    return ending(model, ends, today)


def ending(model: str, ends: date, today: date) -> str:
    """Return the sentence about a model that ends on a day."""
    how = "was switched off" if ends <= today else "will be switched off"
    return f"{model} {how} by its vendor on {ends.isoformat()}: choose another"


def prices(model: str, day: date) -> Mapping[str, float] | None:
    """Return the prices of a model on a day; None when they are unknown.

    US dollars for a million tokens (`audio_in`, `audio_cached`, `audio_out`, and the same for `text` and `image`), or
    for a `minute` of audio.
    """
    rows = [row for row in about(model).get("prices", ()) if row["since"] <= day]
    newest = max(rows, key=lambda row: row["since"], default=None)
    return None if newest is None else {name: float(newest[name]) for name in newest if name not in _ABOUT_PRICES}


def read_usage(usage: Any) -> dict[str, float]:
    """Read a `usage` object of the Realtime API, of a response or of a transcription.

    Returns tokens by kind (`audio_in`, `audio_cached`, `audio_out`, and the same for `text` and `image`) without those
    that are 0, or `{"seconds": …}` for a model that is paid by the minute; empty when `usage` says nothing. Cached
    tokens are counted in `…_in` as well. Vendor: `usage` in the events `response.done` and
    `conversation.item.input_audio_transcription.completed`.
    """
    if not isinstance(usage, Mapping):
        return {}
    if isinstance(usage.get("seconds"), (int, float)):
        return {"seconds": float(usage["seconds"])}
    came, went = _part(usage, "input_token_details"), _part(usage, "output_token_details")
    cached = _part(came, "cached_tokens_details")
    found: dict[str, float] = {}
    for kind in _KINDS:
        found[f"{kind}_in"] = _count(came, f"{kind}_tokens")
        found[f"{kind}_cached"] = _count(cached, f"{kind}_tokens")
        found[f"{kind}_out"] = _count(went, f"{kind}_tokens")
    # Tokens that the details leave out are text.
    for name, total in (("in", "input_tokens"), ("out", "output_tokens")):
        missing = _count(usage, total) - sum(found[f"{kind}_{name}"] for kind in _KINDS)
        found[f"text_{name}"] += max(missing, 0)
    return {name: count for name, count in found.items() if count}


def cost(model: str, used: Mapping[str, float], day: date | None = None) -> float | None:
    """Return the cost in US dollars of a usage from `read_usage`; None: the price of some part is unknown.

    `day`: when it was used; None: today (UTC).
    """
    price = prices(model, day or datetime.now(UTC).date())
    if price is None:
        return None
    if "seconds" in used:
        return used["seconds"] / 60 * price["minute"] if "minute" in price else None
    total = 0.0
    for name, count in used.items():
        kind, way = name.rsplit("_", 1)
        if way == "in":
            count -= min(used.get(f"{kind}_cached", 0), count)  # the cached ones are among them
        if not count:
            continue
        if name not in price:
            return None
        total += count * price[name] / 1e6
    return total


def minute(model: str, day: date) -> float | None:
    """Return what a minute costs in which both sides speak all the time, in US dollars; of a model that transcribes, a
    minute of audio. None: its price is unknown. What was said before, and comes in again with each answer, is not in
    it."""
    price = prices(model, day)
    if price is None:
        return None
    return price.get(
        "minute", (price.get("audio_in", 0.0) * _TOKENS_IN + price.get("audio_out", 0.0) * _TOKENS_OUT) / 1e6
    )


def dearest_minute(day: date) -> float:
    """Return what a minute costs in which both sides speak all the time, in US dollars, with the dearest model whose
    price is known. What is said before, and comes in again with each answer, is not in it."""
    each = [
        price.get("audio_in", 0.0) * _TOKENS_IN + price.get("audio_out", 0.0) * _TOKENS_OUT
        for model in _known()
        if (price := prices(model, day)) is not None
    ]
    return max(each, default=0.0) / 1e6


def _part(mapping: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = mapping.get(name)
    return part if isinstance(part, Mapping) else {}


def _count(mapping: Mapping[str, Any], name: str) -> float:
    value = mapping.get(name)
    return value if isinstance(value, (int, float)) and value > 0 else 0
