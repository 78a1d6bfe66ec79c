"""What a model's work costs, from the dated table beside this file. What is not there is unknown, not nought."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final


_KINDS: Final = ("audio", "text", "image")


@cache
def _table() -> Mapping[str, list[tuple[date, Mapping[str, float]]]]:
    rows: dict[str, list[tuple[date, Mapping[str, float]]]] = {}
    document = tomllib.loads((Path(__file__).parent / "prices.toml").read_text(encoding="utf-8"))
    for row in (*document["tokens"], *document["minutes"]):
        numbers = {name: float(value) for name, value in row.items() if isinstance(value, float)}
        for model in row["models"]:
            rows.setdefault(model, []).append((row["from"], numbers))
    for dated in rows.values():
        dated.sort(key=lambda each: each[0])
    return rows


def read(usage: Any) -> dict[str, float]:
    """Tokens by kind, or seconds, from a `usage` of the Realtime interface; empty for one that says nothing."""
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
    # Whatever the details leave out is text.
    for name, total in (("in", "input_tokens"), ("out", "output_tokens")):
        missing = _count(usage, total) - sum(found[f"{kind}_{name}"] for kind in _KINDS)
        found[f"text_{name}"] += max(missing, 0)
    return {name: count for name, count in found.items() if count}


def cost(model: str, used: Mapping[str, float], day: date | None = None) -> float | None:
    """US dollars of what `read` found; None: there is no price for some of it."""
    price = _price(model, day or datetime.now(UTC).date())
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


def _price(model: str, day: date) -> Mapping[str, float] | None:
    rows = _table().get(model) or next(
        (rows for name, rows in _table().items() if model.startswith(f"{name}-20")),
        [],  # a dated snapshot of it
    )
    return next((numbers for since, numbers in reversed(rows) if since <= day), None)


def _part(mapping: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = mapping.get(name)
    return part if isinstance(part, Mapping) else {}


def _count(mapping: Mapping[str, Any], name: str) -> float:
    value = mapping.get(name)
    return value if isinstance(value, (int, float)) and value > 0 else 0
