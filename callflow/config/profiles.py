"""The settings of one call: those of the files, then the profile of the number that was dialled, then changes for this
call alone. All are checked before a call begins, never during one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from callflow.config import display, phone_numbers, suggestions, unused_settings
from callflow.config.call_settings import CallSettings
from callflow.config.settings import ALIASES, Settings, problem_of, suggestion
from callflow.contracts.errors import SettingsError


_NUMBERS: Final = "numbers"


class Profiles:
    """The profiles of settings.toml, each with its settings, found by telephone number."""

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError, with a line for each problem, when a profile cannot be used."""
        self._settings = settings
        self._by_number: dict[str, tuple[str, Settings]] = {}
        self.warnings: list[str] = []
        problems: list[str] = []
        self.numbers = phone_numbers.Numbers(country(settings))
        """Brings numbers into the form in which they are compared."""
        if not phone_numbers.is_country(self.numbers.country):
            where = settings.origin("default_country")
            problems.append(f"DEFAULT_COUNTRY ({where}): no country has the code {self.numbers.country}")
        for name, table in settings.profiles.items():
            self._read(name, table, problems)
        if problems:
            raise SettingsError(problems, self.warnings)

    def for_call(self, to_number: str, override: Mapping[str, Any] | None = None) -> Settings:
        """Return the settings of a call to this number, with `override` (values by setting) on top.

        Raises SettingsError when `override` cannot be used.
        """
        _, settings = self._by_number.get(self.numbers.normal(to_number), ("", self._settings))
        if not override:
            return settings
        problems: list[str] = []
        chosen = _with(settings, dict(override), "this call", problems)
        if problems:
            raise SettingsError(problems)
        return chosen

    def all(self) -> dict[str, Settings]:
        """Return the settings of each profile by its name; "": those of all other numbers."""
        return {"": self._settings} | dict(self._by_number.values())

    def name_for(self, to_number: str) -> str:
        """Return the name of the number's profile; "": it has none."""
        return self._by_number.get(self.numbers.normal(to_number), ("", self._settings))[0]

    def _read(self, name: str, table: object, problems: list[str]) -> None:
        label = f"settings.toml, profile {display.key(name)[1:-1]}"
        if not name.strip():
            problems.append('settings.toml: a profile needs a name, and one has "": [profiles.sales]')
            return
        if not isinstance(table, Mapping):
            problems.append(_no_table(name, table))
            return
        wanted = {ALIASES.get(str(key), str(key)): value for key, value in table.items() if key != _NUMBERS}
        for key in [key for key in wanted if key not in Settings.model_fields]:
            meant = _NUMBERS if suggestions.is_near(key, _NUMBERS) else suggestion(key)
            hint = f' — did you mean "{meant}"?' if meant else ""
            if not meant and isinstance(wanted[key], Mapping):
                hint = " — a profile holds settings, and no further tables"
            self.warnings.append(f"{label}: unknown key {display.key(key)}{hint}")
            del wanted[key]
        settings = _with(self._settings, wanted, label, problems)
        self.warnings += [f"{label}: {line}" for line in unused_settings.of_conduct(settings, wanted)]
        for number in self._listed(label, table.get(_NUMBERS), problems):
            plain = self.numbers.normal(number)
            owner = self._by_number.get(plain, (name, settings))[0]
            if owner != name:
                problems.append(f"{label}: {number} belongs to profile {owner} already")
            self._by_number[plain] = (name, settings)

    def _listed(self, label: str, listed: object, problems: list[str]) -> list[str]:
        """Return the numbers of a profile, as they are written."""
        example = 'such as numbers = ["+15550100002"]'
        if not isinstance(listed, list) or not listed:
            problems.append(f"{label}: numbers must list the numbers that it is for, {example}")
            return []
        invalid = [each for each in listed if isinstance(each, bool) or not isinstance(each, str | int)]
        invalid += [each for each in listed if isinstance(each, str) and not self.numbers.normal(each)]
        if invalid:
            problems.append(f"{label}: numbers must list the numbers that it is for, each in quotes, {example}")
            return []
        found = [str(each) for each in listed]
        for number in found:
            self.warnings += self._about(label, number)
        return found

    def _about(self, label: str, number: str) -> list[str]:
        """Return a warning for a number that no call will match, or that may not be the one that was meant."""
        plain = self.numbers.normal(number)
        if not plain.startswith("+") or not plain[1:].isdigit():
            if phone_numbers.looks_like_number(number):
                what = f"{display.text(number)} is no telephone number that can be called, and no call will match it"
                return [f"{label}: {what}; write it with + and its country code, such as +15550100002"]
        elif not phone_numbers.is_possible(plain):
            what = f"{number} has too many or too few digits for a number of its country, and no call will match it"
            return [f"{label}: {what}; correct it"]
        elif not self._settings.default_country and phone_numbers.lacks_country(number, plain):
            return [
                f"{label}: {number} has no country code and is read as {plain}; write it so, or set default_country"
            ]
        return []


def _no_table(name: str, value: object) -> str:
    """Return what is wrong with a value that stands in the place of a profile's table."""
    if isinstance(value, list) and all(isinstance(each, Mapping) for each in value) and value:
        return f"settings.toml: a profile is a table [profiles.{name}] in single brackets, and stands there once"
    if name == _NUMBERS or name in Settings.model_fields:
        return f"settings.toml: {name} stands in [profiles], and a profile needs a name of its own: [profiles.sales]"
    return f"settings.toml, profile {display.key(name)[1:-1]}: must be a table [profiles.{name}] with settings in it"


def _with(settings: Settings, changes: dict[str, Any], label: str, problems: list[str]) -> Settings:
    """Return the settings with these changes; what cannot be used adds a line to `problems`."""
    for key in changes:
        if key not in CallSettings.model_fields:
            what = "is no setting" if key not in Settings.model_fields else "holds for all calls, and cannot differ"
            problems.append(f"{label}: {key} {what}")
    changes = {key: value for key, value in changes.items() if key in CallSettings.model_fields}
    try:
        chosen = Settings(**(settings.model_dump() | changes))
        problems += display.misplaced(chosen, label)
        return chosen
    except ValidationError as error:
        origins, known = dict.fromkeys(changes, label), display.secrets_of(settings)
        problems += [problem_of(detail, origins, known) for detail in error.errors(include_url=False)]
        return settings


def country(settings: Settings) -> str:
    """Return the country (two letters) of numbers that are written without a country code."""
    return settings.default_country or phone_numbers.country_of(_listed(settings)) or phone_numbers.USUAL_COUNTRY


def _listed(settings: Settings) -> list[str]:
    """Return the numbers of all profiles, as far as they can be read."""
    tables: list[object] = list(settings.profiles.values())
    found = [table.get(_NUMBERS) for table in tables if isinstance(table, Mapping)]
    return [str(number) for each in found if isinstance(each, list) for number in each]
