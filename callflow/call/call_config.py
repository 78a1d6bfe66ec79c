"""How one call is conducted: what the settings of its number say, in the words of the rooms that act on them.

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
    agent: AgentConfig
    media: MediaConfig
    clips: Mapping[str, Clip]
    """Our own recorded sentences, by name, in the language of this call."""
    deadline_seconds: Mapping[str, float]
    """By the names in `callflow.call.machine.DEADLINES`."""
    profile: str
    """The profile of the number that was dialled; "": it has none."""
    kept: Mapping[str, Any]
    """What operators had changed when the call began, by names of settings: it goes on under it after a crash, too."""

    record: bool
    """The call is recorded, in stereo, from its first sound on."""
    record_after_opening: bool
    """Not before the protected sentence was heard in full: it says so."""

    engine_tries: int
    """New sessions of the engine that are tried after one broke."""
    stream_tries: int
    """New media streams that are tried after one was lost."""

    tool_timeout_seconds: float
    tool_filler_after_ms: int
    """After so long the agent says that it is still busy with a tool."""

    dtmf_pause_seconds: float
    """After the last digit, before the digits go to the agent."""
    dtmf_end: str
    """The digit that ends an entry at once; "": none does."""
    dtmf_sensitive: bool
    """Digits are given to the agent and written down nowhere."""
