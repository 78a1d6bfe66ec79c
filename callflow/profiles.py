"""What holds for one call: the settings, then the profile of the number that was dialled, then what was asked of this
call alone. Checked before a call begins, never in one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from callflow import numbers
from callflow import settings_shown as shown
from callflow.settings import ALIASES, Settings, SettingsError, problem_of, suggestion
from callflow.settings_conduct import Conduct


_NUMBERS: Final = "numbers"


class Profiles:
    """Raises SettingsError, with a line for each problem, when a profile cannot be used."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._by_number: dict[str, tuple[str, Settings]] = {}
        self.warnings: list[str] = []
        problems: list[str] = []
        self.numbers = numbers.Numbers(country(settings))
        """How numbers are told apart."""
        if not numbers.is_country(self.numbers.country):
            problems.append(f"DEFAULT_COUNTRY: no country has the code {self.numbers.country}")
        for name, table in settings.profiles.items():
            self._read(name, table, problems)
        if problems:
            raise SettingsError(problems, self.warnings)

    def for_call(self, to_number: str, override: Mapping[str, Any] | None = None) -> Settings:
        """The settings of a call to this number. Raises SettingsError when `override` cannot be used."""
        _, settings = self._by_number.get(self.numbers.plain(to_number), ("", self._settings))
        if not override:
            return settings
        problems: list[str] = []
        chosen = _with(settings, dict(override), "this call", problems)
        if problems:
            raise SettingsError(problems)
        return chosen

    def checked(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """These settings of a call in their proper form. Raises SettingsError."""
        chosen = self.for_call("", changes)
        return {name: getattr(chosen, name) for name in changes}

    def all(self) -> dict[str, Settings]:
        """By name; "": those of all other numbers."""
        return {"": self._settings} | dict(self._by_number.values())

    def name_for(self, to_number: str) -> str:
        """ "": the number has no profile of its own."""
        return self._by_number.get(self.numbers.plain(to_number), ("", self._settings))[0]

    def _read(self, name: str, table: object, problems: list[str]) -> None:
        label = f"settings.toml, profile {name}"
        if not isinstance(table, Mapping):
            problems.append(f"{label}: must be a table [profiles.{name}] with settings in it")
            return
        wanted = {ALIASES.get(str(key), str(key)): value for key, value in table.items() if key != _NUMBERS}
        for key in [key for key in wanted if key not in Settings.model_fields]:
            meant = suggestion(key)
            self.warnings.append(
                f"{label}: unknown key {shown.key(key)}" + (f' — did you mean "{meant}"?' if meant else "")
            )
            del wanted[key]
        listed = table.get(_NUMBERS)
        if not isinstance(listed, list) or not listed or not all(self.numbers.plain(str(each)) for each in listed):
            problems.append(f'{label}: numbers must list the numbers that it is for, such as ["+15550100002"]')
            return
        settings = _with(self._settings, wanted, label, problems)
        for number in listed:
            plain = self.numbers.plain(str(number))
            if plain in self._by_number:
                problems.append(f"{label}: {number} belongs to profile {self._by_number[plain][0]} already")
            self._by_number[plain] = (name, settings)


def _with(settings: Settings, changes: dict[str, Any], label: str, problems: list[str]) -> Settings:
    """The settings with these changes, checked like any others."""
    for key in changes:
        if key not in Conduct.model_fields:
            what = "is no setting" if key not in Settings.model_fields else "holds for all calls, and cannot differ"
            problems.append(f"{label}: {key} {what}")
    changes = {key: value for key, value in changes.items() if key in Conduct.model_fields}
    try:
        chosen = Settings(**(settings.model_dump() | changes))
        problems += shown.misplaced(chosen, label)
        return chosen
    except ValidationError as error:
        origins, known = dict.fromkeys(changes, label), shown.secrets_of(settings)
        problems += [problem_of(detail, origins, known) for detail in error.errors(include_url=False)]
        return settings


def country(settings: Settings) -> str:
    """Of numbers that are written without a country code."""
    return settings.default_country or numbers.country_of(_listed(settings)) or numbers.USUAL_COUNTRY


def _listed(settings: Settings) -> list[str]:
    """The numbers of all profiles, as far as they can be read."""
    tables: list[object] = list(settings.profiles.values())
    found = [table.get(_NUMBERS) for table in tables if isinstance(table, Mapping)]
    return [str(number) for each in found if isinstance(each, list) for number in each]
