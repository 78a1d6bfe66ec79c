"""The runtime settings of the control endpoint: kept in the database, and told to those who ask the endpoint.

They hold for the sessions of those who ask. Our own calls ask it if REALTIME_CONTROL_URL says so.
"""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from callflow.config import control_changes, display
from callflow.config.session_changes import Asked
from callflow.config.settings import Settings
from callflow.contracts.control import Checks
from callflow.contracts.engine import SessionContext
from callflow.contracts.errors import SessionRefused
from callflow.engines import model_catalog
from callflow.engines.openai_realtime import session_config
from callflow.history.control_settings import StoredControl
from callflow.switchboard.engine_choice import realtime_config


log = logging.getLogger(__name__)

_NONE: Final = Asked({}, [])


def checks_of(settings: Settings) -> Checks:
    """Return what a request to the endpoint must have."""
    return Checks(
        secret=settings.realtime_control_secret.get_secret_value(),
        signing=settings.realtime_control_signing_secret.get_secret_value(),
        tolerance=settings.realtime_control_tolerance_seconds,
        untimed=settings.realtime_control_untimed,
    )


class ControlService:
    """The runtime settings, and the session that follows from them."""

    def __init__(self, settings: Settings, effective: Callable[[], Settings]) -> None:
        """`effective`: returns the settings of new calls to numbers without a profile, the defaults of the endpoint."""
        self.checks = checks_of(settings)
        self.admin = settings.realtime_control_admin_secret.get_secret_value()
        """The secret that changes need; "": nobody makes any."""
        self._effective, self._secrets = effective, display.secrets_of(settings)
        self._changing = asyncio.Lock()
        self._store: StoredControl | None = None
        self._given: dict[str, Any] | None = None
        self._asked = _NONE
        self._told: set[str] = set()
        """Fields of models that reason that a session was ever told."""

    async def load(self, store: StoredControl) -> None:
        """Read the database. Raises the driver's exceptions."""
        async with self._changing:
            self._store = store
            given = await store.read()
            if given != self._given:
                self._adopt(given)

    async def change(self, given: Mapping[str, Any] | None, by: str) -> list[str]:
        """Keep other settings; None: the defaults. Returns a line for each value that is left out.

        Raises SessionRefused, OSError while the history is not open, or the driver's exceptions; then nothing has
        changed.
        """
        async with self._changing:
            asked = _NONE
            if given is not None:
                asked = await asyncio.to_thread(control_changes.of_settings, given, self._secrets)
            if self._store is None:
                raise OSError("the history is not open yet")
            await self._store.write(given, by)
            self._given, self._asked = None if given is None else dict(given), asked
            return list(asked.warnings)

    def _adopt(self, given: dict[str, Any] | None) -> None:
        self._given, self._asked = given, _NONE
        try:
            if given is not None:
                self._asked = control_changes.of_settings(given, self._secrets)
        except SessionRefused as refusal:
            log.warning("the kept settings of the control endpoint are not used: %s", " ".join(refusal.problems))

    @property
    def given(self) -> dict[str, Any] | None:
        """The settings as they were given to `change`; None: the defaults hold."""
        return copy.deepcopy(self._given)

    @property
    def changes(self) -> dict[str, Any]:
        """What they change for our own calls, by names of settings."""
        return dict(self._asked.taken)

    @property
    def warnings(self) -> list[str]:
        """A line for each of them that is left out."""
        return list(self._asked.warnings)

    def update(self) -> dict[str, Any]:
        """Return the session that those who ask should have, as `session.update` takes it.

        Without tools and audio formats, which belong to whoever carries the call. A field that only models that reason
        take is in it while it is set, and afterwards as what holds without it: who asks may have another model.
        """
        settings = self._effective().model_copy(update=self._asked.taken)
        # What we decide ourselves in our own calls is the vendor's here.
        config = replace(realtime_config(settings), min_interruption_ms=0)
        chosen = [{"name": settings.tool_choice}]
        session = session_config.session(config, SessionContext("", tools=chosen), explicit=True)
        del session["tools"], session["audio"]["input"]["format"], session["audio"]["output"]["format"]
        self._told |= session_config.OF_REASONING.keys() & session.keys()
        ended = sorted(self._told) if model_catalog.reasons(config.model) else []
        return {name: session_config.OF_REASONING[name] for name in ended} | session
