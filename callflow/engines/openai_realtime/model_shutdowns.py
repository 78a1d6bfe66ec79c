"""When the vendor switches models off, as it says itself: `shutdown_date` in `GET /v1/models`.

`models.toml` has what its pages said on the day on which they were read; what is asked here may be newer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any

from callflow.engines import model_catalog
from callflow.engines.openai_realtime.rest import VendorApi


async def shutdown_dates(api: VendorApi, *, seconds: float) -> dict[str, date]:
    """Ask the vendor. Returns the day on which each model ends that has one. Raises VendorRefused."""
    return read_dates(await api.ask("GET", "/models", seconds=seconds))


def read_dates(told: Mapping[str, Any]) -> dict[str, date]:
    """Read the answer; what cannot be read is passed over."""
    models = told.get("data")
    found: dict[str, date] = {}
    for model in models if isinstance(models, list) else []:
        if isinstance(model, dict) and isinstance(model.get("id"), str):
            day = _day(model.get("shutdown_date"))
            found |= {model["id"]: day} if day is not None else {}
    return found


def _day(value: Any) -> date | None:
    """Return a day that is written as such, or as Unix time."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC).date()
        return date.fromisoformat(value[:10]) if isinstance(value, str) else None
    except (ValueError, OverflowError, OSError):
        return None


def shutdowns(dates: Mapping[str, date], models: Iterable[str], today: date) -> list[str]:
    """Return a sentence for each of these models that ends, or has ended."""
    known = [(model, dates[model]) for model in dict.fromkeys(models) if model in dates]
    return [model_catalog.ending(model, day, today) for model, day in known]
