"""What is known of the vendor's models (`models.toml`): when they end, what they cost, what they can do."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib import resources
from typing import Any


@cache
def _known() -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
    return tomllib.loads((resources.files(__package__) / "models.toml").read_text("utf-8"))


def about(model: str) -> Mapping[str, Any]:
    """What is known of a voice model or a model that transcribes; empty for an unknown one."""
    return _known()["models"].get(model) or _known()["transcription"].get(model) or {}


def reasons(model: str) -> bool:
    """Whether it takes `reasoning` and `parallel_tool_calls`. Of a model that is not known its name must tell."""
    known = about(model).get("reasoning")
    return bool(known) if known is not None else model.startswith("gpt-realtime-2") and "-2025" not in model


def shutdown_warning(model: str, today: date) -> str | None:
    """For the start: the model is switched off, or will be."""
    ends = about(model).get("ends")
    if not isinstance(ends, date):
        return None
    how = "was switched off" if ends <= today else "will be switched off"
    return f"{model} {how} by its vendor on {ends.isoformat()}: choose another"


def price(model: str, on: date) -> Mapping[str, float] | None:
    """US dollars for a million tokens of each kind (or for a minute) on that day; None: unknown, which is not 0."""
    prices = [each for each in about(model).get("prices", ()) if each["since"] <= on]
    newest = max(prices, key=lambda each: each["since"], default=None)
    return None if newest is None else {name: value for name, value in newest.items() if name != "since"}
