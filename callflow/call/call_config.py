"""How one call is conducted: the settings for its number, sorted by the packages that use them.

`callflow.switchboard.call_configs` makes one for each profile. Nothing in here is specific to a carrier or an engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from callflow.agent.agent_config import AgentConfig
from callflow.media.clips import Clip
from callflow.media.media_config import MediaConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class CallConfig:
    """The config of one call."""

    agent: AgentConfig
    media: MediaConfig
    clips: Mapping[str, Clip]
    """Our own recorded sentences, by name, in the language of this call."""
    deadline_seconds: Mapping[str, float]
    """Seconds, by the names in `callflow.call.machine.DEADLINES`."""
    profile: str
    """The profile of the number that was dialled; "": it has none."""
    overrides: Mapping[str, Any]
    """Settings that operators had changed when the call began, by name. They hold for the whole call, also when another
    process goes on with it."""

    record: bool
    """The call is recorded, in stereo, from its first sound on."""
    record_after_opening: bool
    """The recording begins when the protected greeting, which announces it, was heard in full."""

    engine_tries: int
    """How many new sessions of the engine are tried after one was lost."""
    stream_tries: int
    """How many new media streams are tried after one was lost."""

    tool_timeout_seconds: float
    tool_filler_after_ms: int
    """Milliseconds after which the agent says that it is still busy with a tool."""

    dtmf_pause_seconds: float
    """Seconds after the last digit, before the digits go to the agent."""
    dtmf_end: str
    """The digit that ends an entry at once; "": none does."""
    dtmf_sensitive: bool
    """Digits are given to the agent, and written down nowhere."""
