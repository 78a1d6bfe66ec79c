"""Makes the budget of a server from its settings, and says what is not known about prices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from callflow.call.call import Call
from callflow.config.settings import Settings
from callflow.engines import model_catalog
from callflow.history.history import History
from callflow.switchboard import engine_choice
from callflow.switchboard.budget.budget import Budget
from callflow.switchboard.budget.spent import Ceilings


def make_budget(settings: Settings, history: History, calls: Callable[[], Sequence[Call]], *, node: str = "") -> Budget:
    """Make the budget. Reads files. `calls`: returns the live calls. `node`: see `Budget`."""
    return Budget(
        history,
        calls,
        ceilings=Ceilings(settings.max_daily_minutes, settings.max_daily_usd),
        zone=ZoneInfo(settings.budget_zone),
        dearest_minute=model_catalog.dearest_minute(datetime.now(UTC).date()),
        node=node,
    )


def price_warnings(profiles: Mapping[str, Settings]) -> list[str]:
    """Return a line for each model whose price is not known, where a limit in dollars is set. `profiles`: the settings
    of each by its name; "": of numbers without one."""
    today = datetime.now(UTC).date()
    dearest = model_catalog.dearest_minute(today)
    found: dict[str, None] = {}
    for name, chosen in profiles.items():
        if not (chosen.max_daily_usd or chosen.profile_daily_usd):
            continue
        for model in filter(None, engine_choice.priced_models(chosen)):
            if model_catalog.prices(model, today) is not None:
                continue
            line = (
                f"the price of {model} is not known: for limits in dollars its calls count ${dearest:.3f} a minute, "
                "the dearest that is known"
            )
            if not (chosen.max_daily_minutes or chosen.profile_daily_minutes):
                line += "; set max_daily_minutes as well, which needs no price"
            found[f"profile {name}: {line}" if name and line not in found else line] = None
    return list(found)
