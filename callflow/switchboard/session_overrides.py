"""The operators' changes of settings for coming calls: read from the database at start, changed one at a time.

A change holds from the next call on; calls that have begun keep their settings.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from callflow.config import display, session_names, session_overrides, setting_names
from callflow.config.call_settings import CallSettings
from callflow.contracts.errors import ProfileRefused, SessionRefused, SettingsError
from callflow.history.session_overrides import DEFAULT, StoredOverrides
from callflow.switchboard import engine_choice
from callflow.switchboard.call_configs import CallConfigs, Rules
from callflow.switchboard.setting_versions import compared, entry


log = logging.getLogger(__name__)

NOT_KNOWN: Final = "What is kept in the database is not known, because it cannot be read: it does not hold."


class SessionOverrides:
    """The operators' changes of settings for coming calls."""

    def __init__(self, configs: CallConfigs, store: StoredOverrides, told: Callable[[], list[str]]) -> None:
        """`told`: returns a warning line for each present setting that has no effect."""
        self._configs, self._store, self._told = configs, store, told
        self.is_known = False
        """The database has been read."""
        self._rows: dict[str, str] = {}
        """As the database has them."""
        self._problems: list[str] = []
        self._secrets = display.secrets_of(configs.settings)

    async def load(self) -> None:
        """Read the database. Raises the driver's exceptions."""
        async with self._configs.changing:
            before = self._configs.rules.overrides
            await self._adopt(await self._store.read())
        if (overrides := self._configs.rules.overrides) and overrides != before:
            log.info("kept in the database for coming calls (GET /api/session): %s", ", ".join(overrides))

    async def change(self, body: Mapping[str, Any], *, by: str = "", seen: int | None = None) -> dict[str, Any]:
        """Make a change. `body`: a session of the Realtime API, or names of settings; null takes a change back. `by`:
        who asked for it. `seen`: the newest version that they have seen, 0 for none; None: they do not say.

        Returns the result of `describe`. Raises SessionRefused, ProfileRefused or the driver's exceptions; then nothing
        has changed.
        """
        async with self._configs.changing:
            now = self._configs.rules.overrides
            asked = await asyncio.to_thread(session_overrides.wanted, body, self._configs.settings, now)
            await self._try(asked, now)
            if asked.values or asked.gone:
                encoded = {name: session_overrides.encode(value) for name, value in asked.values.items()}
                # A row under a former name would come back when the present one is taken away.
                gone = [*asked.gone, *setting_names.others([*asked.gone, *asked.values])]
                await self._adopt(await self._store.change(encoded, gone, by=by, seen=seen))
        settings = self._configs.settings
        new = session_overrides.overridden(settings, asked.values, asked.paths)
        return await self.describe([*asked.warnings, *new], said=asked.values)

    async def forget(self, *, by: str = "", seen: int | None = None) -> dict[str, Any]:
        """Return to the settings of the files. `seen`: see `restore`. Raises ProfileRefused or the driver's
        exceptions."""
        async with self._configs.changing:
            await self._store.clear(by=by, seen=seen)
            await self._adopt({})
        return await self.describe()

    # Versions

    async def versions(self) -> list[dict[str, Any]]:
        """Return the versions, the newest first: see `setting_versions.compared`. Raises the driver's exceptions."""
        return await asyncio.to_thread(compared, await self._store.versions())

    async def version(self, version: int) -> dict[str, Any]:
        """Return one version: its entry, and its `settings`. Raises ProfileRefused or the driver's exceptions."""
        row, settings = await self._version(version)
        return {
            "profile": DEFAULT,
            **entry(row),
            "settings": {name: self._shown(one) for name, one in settings.items()},
        }

    async def restore(self, version: int, *, by: str, seen: int | None = None) -> dict[str, Any]:
        """Make an earlier version the newest. `seen`: the newest version that whoever asks has seen; None: they do not
        say. Returns the result of `describe`. Raises ProfileRefused, SessionRefused or the driver's exceptions."""
        _, then = await self._version(version)
        gone = dict.fromkeys(name for name in self._configs.rules.overrides if name not in then)
        return await self.change({**gone, **then}, by=by, seen=seen)

    async def _version(self, version: int) -> tuple[dict[str, Any], dict[str, Any]]:
        row = next((each for each in await self._store.versions() if each["version"] == version), None)
        if row is None:
            raise ProfileRefused(404, "There is no such version of these settings, or it is kept no more.")
        return row, setting_names.present(await asyncio.to_thread(json.loads, row["settings"] or "{}"))

    async def describe(
        self, warnings: list[str] | None = None, said: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the settings for coming calls and their origins: `profile`, `engine` (see
        `engine_choice.describe_engines`), `session` (as in the Realtime API), `settings` (value and origin, by name),
        `kept` (the operators' changes) and `warnings`.

        `warnings`: the warnings of the change just made. `said`: the settings that these warnings concern.
        """
        return await asyncio.to_thread(self._described, warnings or [], said or {})

    def _described(self, warnings: list[str], said: Mapping[str, Any]) -> dict[str, Any]:
        rules = self._configs.rules
        shown = {name: self._shown(getattr(rules.settings, name)) for name in CallSettings.model_fields}
        others = {name: value for name, value in rules.overrides.items() if name not in said}
        told = [*warnings, *session_overrides.overridden(self._configs.settings, others), *self.warnings]
        if not self.is_known:
            told.append(NOT_KNOWN)
        return {
            "profile": DEFAULT,
            "engine": engine_choice.describe_engines(rules.settings),
            "session": self._shown(session_names.session(rules.settings)),
            "settings": {
                name: {"value": value, "origin": rules.settings.origin(name)} for name, value in shown.items()
            },
            "kept": {name: self._shown(value) for name, value in rules.overrides.items()},
            "warnings": list(dict.fromkeys(told)),
        }

    @property
    def warnings(self) -> list[str]:
        """A line for each operators' change that cannot be used or is not sent to the engine."""
        return [*self._problems, *self._told()]

    @property
    def overridden(self) -> list[str]:
        """A line for each operators' change that does not hold, because a stronger layer has a value."""
        return session_overrides.overridden(self._configs.settings, self._configs.rules.overrides)

    async def _try(self, asked: session_overrides.Wanted, now: Mapping[str, Any]) -> None:
        """Check that configs can be made under the change. Raises SessionRefused."""
        after = {name: value for name, value in now.items() if name not in asked.gone} | asked.values
        try:
            await asyncio.to_thread(self._configs.rules_under, after)
        except SettingsError as error:
            raise SessionRefused([f"{_in_words_of(asked, line).rstrip('.')}." for line in error.problems]) from None

    async def _adopt(self, rows: Mapping[str, str]) -> None:
        if rows != self._rows:
            rules, self._problems = await asyncio.to_thread(self._read, rows)
            self._configs.rules = rules
        self._rows, self.is_known = dict(rows), True

    def _read(self, rows: Mapping[str, str]) -> tuple[Rules, list[str]]:
        overrides, problems = session_overrides.decode(rows, self._configs.settings)
        try:
            return self._configs.rules_under(overrides), problems
        except SettingsError as error:
            return self._configs.rules_under({}), [*problems, "Nothing of what is kept is used:", *error.problems]

    def _shown(self, value: Any) -> Any:
        return display.without_secrets(value, self._secrets)


def _in_words_of(asked: session_overrides.Wanted, line: str) -> str:
    """Replace the setting's name, at the beginning of a problem line, by the name used in the request."""
    name, equals, rest = line.partition("=")
    path = asked.paths.get(name.lower())
    return f"{path}{equals}{rest}".replace(f" ({session_overrides.ORIGIN})", "") if path else line
