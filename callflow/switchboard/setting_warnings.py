"""What of the present settings has no effect, or is worth a look."""

from __future__ import annotations

from callflow.switchboard.budget.make import price_warnings
from callflow.switchboard.call_configs import CallConfigs
from callflow.switchboard.tool_service import ToolService


def setting_warnings(configs: CallConfigs, tools: ToolService) -> list[str]:
    """Return a line for each such setting, of all profiles."""
    profiles = configs.rules.profiles.all()
    return [*configs.warnings, *price_warnings(profiles), *tools.warnings_of(profiles)]
