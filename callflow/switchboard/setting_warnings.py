"""Names what the settings of calls ask for and the tools do not have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from callflow.contracts import remote_tools
from callflow.switchboard.budget.make import price_warnings
from callflow.switchboard.call_configs import CallConfigs, tool_names
from callflow.tools.builtin import BUILT_IN


def setting_warnings(
    configs: CallConfigs, tools: Sequence[Mapping[str, Any]], remote: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Return a line for each present setting that has no effect. `tools`: the definitions of all tools. `remote`: those
    of MCP servers among them."""
    profiles = configs.rules.profiles.all()
    found = [*configs.warnings, *price_warnings(profiles)]
    names = [one.get("name") for one in tools]
    for profile, chosen in profiles.items():
        about = remote_tools.leave(remote, chosen.mcp_approval)
        if chosen.tool_choice not in ("auto", "none", "required", *names):
            about.insert(0, f'tool_choice "{chosen.tool_choice}" is not used: there is no tool of that name')
        about += [
            f'agent_tools: there is no tool "{name}"'
            for name in tool_names(chosen.agent_tools)
            if name not in (*names, *BUILT_IN, *(each.get("server_label") for each in remote))
        ]
        found += [f"profile {profile}: {line}" if profile else line for line in about if line not in found]
    return found
