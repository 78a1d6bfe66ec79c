"""What a call has cost so far. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from callflow.contracts.engine import Usage


class UsageTotal:
    def __init__(self) -> None:
        self.models: dict[str, dict[str, float]] = {}
        """What was used of each model."""
        self.usd: float | None = 0.0
        """None: some of it has no known price."""

    def restore(self, total: Mapping[str, Any]) -> None:
        """What `total` gave in an earlier process."""
        self.models = {model: dict(used) for model, used in total.get("models", {}).items()}
        self.usd = total.get("usd")

    def add(self, bill: Usage) -> None:
        used = self.models.setdefault(bill.model, {})
        for name, count in bill.usage.items():
            used[name] = used.get(name, 0) + count
        self.usd = None if self.usd is None or bill.usd is None else self.usd + bill.usd

    def total(self) -> dict[str, Any]:
        usd = None if self.usd is None else round(self.usd, 6)
        return {"models": {model: dict(used) for model, used in self.models.items()}, "usd": usd}
