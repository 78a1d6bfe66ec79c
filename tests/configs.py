"""Configs for tests: the defaults of the settings, except for what a test names."""

from __future__ import annotations

import dataclasses
from typing import Any

from callflow.config.settings import Settings
from callflow.engines.openai_realtime.session_config import RealtimeConfig
from callflow.switchboard import call_configs
from carriers import registry
from carriers.telnyx.carrier import TelnyxConfig
from carriers.twilio.carrier import TwilioConfig


_REALTIME = dataclasses.replace(call_configs.realtime_config(Settings()), api_key="sk-test")
_TELNYX = registry.telnyx_config(Settings(), lambda: "https://app.test")
_TWILIO = registry.twilio_config(Settings(), lambda: "https://app.test")


def realtime_config(**changes: Any) -> RealtimeConfig:
    """Make the engine's config. Raises TypeError for a field that it does not have."""
    return dataclasses.replace(_REALTIME, **changes)


def telnyx_config(**changes: Any) -> TelnyxConfig:
    """Make Telnyx's config. Raises TypeError for a field that it does not have."""
    return dataclasses.replace(_TELNYX, **changes)


def twilio_config(**changes: Any) -> TwilioConfig:
    """Make Twilio's config. Raises TypeError for a field that it does not have."""
    return dataclasses.replace(_TWILIO, **changes)
