"""The usage of models in one call so far, and its cost. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from callflow.contracts.engine import Usage
from callflow.journal import notes


class UsageTotal:
    """The sum over all sessions of one call."""

    def __init__(self) -> None:
        self.models: dict[str, dict[str, float]] = {}
        """Tokens (or seconds) by kind, for each model."""
        self.usd: float | None = 0.0
        """US dollars; None: a part of the usage has no known price."""

    def restore(self, total: Mapping[str, Any]) -> None:
        """Continue from the result of `total` in an earlier process; empty: it has used nothing."""
        if not total:
            return
        self.models = {model: dict(used) for model, used in total.get("models", {}).items()}
        self.usd = total.get("usd")

    def add(self, bill: Usage) -> None:
        """Add one usage report of the engine."""
        used = self.models.setdefault(bill.model, {})
        for name, count in bill.usage.items():
            used[name] = used.get(name, 0) + count
        self.usd = None if self.usd is None or bill.usd is None else self.usd + bill.usd

    def added(self, bill: Usage) -> notes.Usage:
        """Add one usage report of the engine, and return the note about it."""
        self.add(bill)
        total = self.total()
        return notes.Usage(model=bill.model, used=dict(bill.usage), total=total, usd=total["usd"])

    def total(self) -> dict[str, Any]:
        """Return `{"models": {MODEL: {KIND: count}}, "usd": dollars or None}`."""
        usd = None if self.usd is None else round(self.usd, 6)
        return {"models": {model: dict(used) for model, used in self.models.items()}, "usd": usd}
