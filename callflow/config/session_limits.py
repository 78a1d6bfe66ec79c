"""What the session of one call cannot change: what its profile may spend, how long its calls may be, whom they reach.

Whoever may make a call chooses how it is conducted; what it may cost and reach is said by who may configure. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from callflow.config.settings import Settings
from callflow.config.transfer_targets import read as read_targets


_OF_PROFILE: Final = ("business", "profile_daily_minutes", "profile_daily_usd", "over_budget")
_DOWN_ONLY: Final = ("max_call_seconds", "max_bridged_seconds")


def of_profile(session: Mapping[str, Any]) -> list[str]:
    """Return a line for each setting of a session (checked values, by name) that a call cannot have of its own."""
    found = (name for name in _OF_PROFILE if name in session)
    return [f"{name} belongs to a profile, and cannot be chosen for one call" for name in found]


def beyond(session: Mapping[str, Any], settings: Settings) -> list[str]:
    """Return a line for each setting of a session that goes beyond what the settings of the call's profile allow."""
    lines = of_profile(session)
    for name in _DOWN_ONLY:
        most = getattr(settings, name)
        if session.get(name, most) > most:
            lines.append(f"for one call {name} can only go down: its profile has {most:g}")
    if session.get("mcp_approval") == "approve" and settings.mcp_approval != "approve":
        lines.append(f"for one call mcp_approval cannot become approve: its profile has {settings.mcp_approval}")
    allowed, asked = tool_names(settings.agent_tools), tool_names(session.get("agent_tools", settings.agent_tools))
    if allowed and (not asked or not set(asked) <= set(allowed)):
        lines.append(f"for one call agent_tools can only be fewer: its profile has {', '.join(allowed)}")
    known = read_targets(settings.transfer_targets)
    if not read_targets(session.get("transfer_targets", "")).items() <= known.items():
        lines.append(f"for one call transfer_targets can only be fewer: its profile has {', '.join(known) or 'none'}")
    return lines


def tool_names(text: str) -> list[str]:
    """Return the names in the setting `agent_tools`."""
    return [name for part in text.split(",") if (name := part.strip())]
