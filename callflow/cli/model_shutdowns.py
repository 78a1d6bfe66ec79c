"""Asks the vendor, for the table at start, which of the models that calls use it switches off."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from callflow.config.openai_addresses import rest_root
from callflow.config.settings import Settings
from callflow.contracts.errors import VendorRefused
from callflow.engines.openai_realtime.model_shutdowns import shutdown_dates, shutdowns
from callflow.engines.openai_realtime.rest import VendorApi
from callflow.switchboard.call_configs import CallConfigs
from callflow.switchboard.engine_choice import priced_models


SECONDS: Final = 2.0
"""How long the table waits; calls are answered meanwhile."""


async def model_shutdowns(settings: Settings, configs: CallConfigs, said: Sequence[str]) -> list[str]:
    """Return a sentence for each model that ends, but for those that are `said` already. Without a key, or when the
    vendor does not answer, there are none."""
    if not settings.openai_api_key:
        return []
    try:
        async with asyncio.timeout(SECONDS + 0.5):
            told = await asyncio.to_thread(_asked, settings, models_in_use(configs))  # not among the audio of calls
    except TimeoutError:
        return []
    return [line for line in told if not any(line in each for each in said)]


def models_in_use(configs: CallConfigs) -> list[str]:
    """Return the models that speak, transcribe and call tools under all profiles, with those of second engines."""
    chosen = configs.rules.profiles.all().values()
    return list(dict.fromkeys(name for one in chosen for name in priced_models(one) if name))


def _asked(settings: Settings, models: Sequence[str]) -> list[str]:
    api = VendorApi(rest_root(settings), settings.openai_api_key.get_secret_value())
    try:
        dates = asyncio.run(shutdown_dates(api, seconds=SECONDS))
    except VendorRefused:
        return []
    return shutdowns(dates, models, datetime.now().astimezone().date())
