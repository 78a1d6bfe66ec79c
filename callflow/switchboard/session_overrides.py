"""The session of coming calls as operators keep it: read from the database at start, changed one change at a time.

What is changed holds from the next call on; a call that has begun goes on under what it began with.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from callflow.config import display, session_names, session_overrides
from callflow.config.call_settings import CallSettings
from callflow.contracts.errors import SessionRefused, SettingsError
from callflow.history.session_overrides import DEFAULT, StoredOverrides
from callflow.switchboard.call_configs import CallConfigs, Rules


log = logging.getLogger(__name__)

_NOT_SHOWN: Final = "set (not shown: it holds a secret)"
NOT_KNOWN: Final = "What is kept in the database is not known, because it cannot be read: it does not hold."


class SessionOverrides:
    def __init__(self, configs: CallConfigs, store: StoredOverrides, told: Callable[[], list[str]]) -> None:
        """`told`: what the settings ask for and will not get, under what is kept just now."""
        self._configs, self._store, self._told = configs, store, told
        self._one_at_a_time = asyncio.Lock()
        self.is_known = False
        """It was read."""
        self._odd: list[str] = []
        self._secrets = display.secrets_of(configs.settings)

    async def load(self) -> None:
        """Raises what the driver raises."""
        async with self._one_at_a_time:
            before = self._configs.rules.kept
            await self._adopt(await self._store.read())
        if (kept := self._configs.rules.kept) and kept != before:
            log.info("kept in the database for coming calls (GET /api/session): %s", ", ".join(kept))

    async def change(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer. Raises Refusal, or what the driver raises; then nothing has changed."""
        async with self._one_at_a_time:
            now = self._configs.rules.kept
            asked = await asyncio.to_thread(session_overrides.wanted, body, self._configs.settings, now)
            await self._try(asked, now)
            if asked.values or asked.gone:
                encoded = {name: session_overrides.encode(value) for name, value in asked.values.items()}
                await self._adopt(await self._store.change(encoded, asked.gone))
        settings = self._configs.settings
        new = session_overrides.overridden(settings, asked.values, asked.paths)
        return await self.describe([*asked.warnings, *new], said=asked.values)

    async def forget(self) -> dict[str, Any]:
        """Back to the files. Raises what the driver raises."""
        async with self._one_at_a_time:
            await self._store.clear()
            await self._adopt({})
        return await self.describe()

    async def describe(
        self, warnings: list[str] | None = None, said: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """All that holds for coming calls, and where it comes from. `said`: what the warnings are about already."""
        return await asyncio.to_thread(self._described, warnings or [], said or {})

    def _described(self, warnings: list[str], said: Mapping[str, Any]) -> dict[str, Any]:
        rules = self._configs.rules
        shown = {name: self._shown(getattr(rules.settings, name)) for name in CallSettings.model_fields}
        others = {name: value for name, value in rules.kept.items() if name not in said}
        told = [*warnings, *session_overrides.overridden(self._configs.settings, others), *self.warnings]
        if not self.is_known:
            told.append(NOT_KNOWN)
        return {
            "profile": DEFAULT,
            "session": self._seen(session_names.session(rules.settings)),
            "settings": {
                name: {"value": value, "origin": rules.settings.origin(name)} for name, value in shown.items()
            },
            "kept": {name: self._shown(value) for name, value in rules.kept.items()},
            "warnings": list(dict.fromkeys(told)),
        }

    @property
    def warnings(self) -> list[str]:
        """What is kept and cannot be used, or is not sent."""
        return [*self._odd, *self._told()]

    @property
    def overridden(self) -> list[str]:
        return session_overrides.overridden(self._configs.settings, self._configs.rules.kept)

    async def _try(self, asked: session_overrides.Wanted, now: Mapping[str, Any]) -> None:
        """Whether calls can be conducted under it. Raises Refusal."""
        after = {name: value for name, value in now.items() if name not in asked.gone} | asked.values
        try:
            await asyncio.to_thread(self._configs.rules_under, after)
        except SettingsError as error:
            raise SessionRefused([f"{_in_words_of(asked, line).rstrip('.')}." for line in error.problems]) from None

    async def _adopt(self, rows: Mapping[str, str]) -> None:
        rules, self._odd = await asyncio.to_thread(self._read, rows)
        self._configs.rules = rules
        self.is_known = True

    def _read(self, rows: Mapping[str, str]) -> tuple[Rules, list[str]]:
        kept, odd = session_overrides.decode(rows, self._configs.settings)
        try:
            return self._configs.rules_under(kept), odd
        except SettingsError as error:
            return self._configs.rules_under({}), [*odd, "Nothing of what is kept is used:", *error.problems]

    def _shown(self, value: Any) -> Any:
        return _NOT_SHOWN if isinstance(value, str) and self._secrets.within(value) else value

    def _seen(self, session: Any) -> Any:
        return _each(session, self._shown)


def _in_words_of(asked: session_overrides.Wanted, line: str) -> str:
    """Of a line that begins with a setting's name in capitals."""
    name, equals, rest = line.partition("=")
    path = asked.paths.get(name.lower())
    return f"{path}{equals}{rest}".replace(f" ({session_overrides.ORIGIN})", "") if path else line


def _each(value: Any, shown: Callable[[Any], Any]) -> Any:
    if isinstance(value, dict):
        return {name: _each(each, shown) for name, each in value.items()}
    return [_each(each, shown) for each in value] if isinstance(value, list) else shown(value)
