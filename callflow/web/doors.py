"""What both listeners need of OpenAI's other doors: client secrets, the control endpoint. `callflow/app.py` makes it
once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from callflow.config.settings import Settings
from callflow.engines.openai_realtime.rest import VendorApi, socket_origin
from callflow.web.console.client_secrets import SecretDesk


@dataclass(frozen=True, slots=True)
class Doors:
    """The parts."""

    secrets: SecretDesk


def make_doors(settings: Settings, model: Callable[[], str]) -> Doors:
    """Make them. `model`: returns that of coming calls."""
    url = settings.openai_realtime_url
    return Doors(
        secrets=SecretDesk(
            VendorApi(url, settings.openai_api_key.get_secret_value()), url, socket_origin(url), model,
            settings.realtime_expires_seconds,
        ),
    )  # fmt: skip
