"""The settings of one call: those of the files, then the profile of the number that was dialled, then changes for this
call alone. All are checked before a call begins, never during one.

A profile stands in settings.toml or in the database, and the database's wins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from callflow.config import display, opening_hours, phone_numbers, suggestions, unused_settings
from callflow.config.call_settings import CallSettings
from callflow.config.kept_profiles import NUMBERS as _NUMBERS
from callflow.config.kept_profiles import KeptProfile, label_of
from callflow.config.setting_names import ALIASES, present
from callflow.config.settings import Settings, problem_of, suggestion
from callflow.contracts.errors import SettingsError


class Profiles:
    """All profiles, each with its settings, found by telephone number."""

    def __init__(self, settings: Settings, kept: Iterable[KeptProfile] = (), before: Profiles | None = None) -> None:
        """`kept`: those of the database; of two that have one number the first has it. `before`: the present profiles,
        of which those that have not changed are taken over, because checking hundreds takes half a second.

        Raises SettingsError, with a line for each problem, when a profile of settings.toml cannot be used.
        """
        self._settings = settings
        self._by_number: dict[str, tuple[str, Settings]] = {}
        self._by_name: dict[str, Settings] = {}
        self.warnings: list[str] = []
        self.kept: dict[str, KeptProfile] = {}
        """Those of the database that hold, by name."""
        self.refused: dict[str, list[str]] = {}
        """A line for each problem of a profile of the database that cannot be used, by its name."""
        self.claims: dict[str, list[str]] = {}
        """A line for each number of a profile of the database that belongs to another profile, too, by its name."""
        self.in_file: dict[str, dict[str, Any]] = {}
        """What the profiles of settings.toml say, by name and setting, with their `numbers`."""
        problems: list[str] = []
        self.numbers = phone_numbers.Numbers(country(settings))
        """Brings numbers into the form in which they are compared."""
        if not phone_numbers.is_country(self.numbers.country):
            where = settings.origin("default_country")
            problems.append(f"DEFAULT_COUNTRY ({where}): no country has the code {self.numbers.country}")
        earlier = before if before is not None and before._settings == settings else None
        for one in kept:
            self._take(one, earlier)
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
        return {"": self._settings, **self._by_name}

    def name_for(self, to_number: str) -> str:
        """Return the name of the number's profile; "": it has none."""
        return self._by_number.get(self.numbers.normal(to_number), ("", self._settings))[0]

    def numbers_of(self, name: str) -> list[str]:
        """Return the numbers that lead to a profile, in the form in which they are compared."""
        return [number for number, (owner, _) in self._by_number.items() if owner == name]

    def _take(self, one: KeptProfile, earlier: Profiles | None) -> None:
        """Take a profile of the database. What cannot be used of it stops nothing, but is told."""
        label = label_of(one.name)
        lines: list[str] = []
        known = earlier.kept.get(one.name) if earlier is not None else None
        if earlier is not None and known is not None and known.values == one.values:
            settings = earlier._by_name[one.name]
        else:
            settings = _with(self._settings, dict(one.values), label, lines)
        lines += [
            f"{label}: {display.text(each)} is no number" for each in one.numbers if not self.numbers.normal(each)
        ]
        self.warnings += [*one.problems, *lines]
        if lines or not one.numbers:
            self.refused[one.name] = lines or [f"{label}: it has no numbers"]
            self.warnings.append(f"{label} is not used")
            return
        self.kept[one.name] = one
        self._by_name[one.name] = settings
        self.warnings += [f"{label}: {line}" for line in unused_settings.of_conduct(settings, one.values, str)]
        for number in one.numbers:
            self.warnings += self._about(label, number)
            owner = self._by_number.setdefault(self.numbers.normal(number), (one.name, settings))[0]
            if owner != one.name:
                self._claim(one.name, label, number, owner)

    def _claim(self, name: str, label: str, number: str, owner: str) -> None:
        line = f"{label}: {number} belongs to profile {owner} already"
        self.claims.setdefault(name, []).append(line)
        self.warnings.append(line)

    def _read(self, name: str, table: object, problems: list[str]) -> None:
        label = f"settings.toml, profile {display.key(name)[1:-1]}"
        if not name.strip():
            problems.append('settings.toml: a profile needs a name, and one has "": [profiles.sales]')
            return
        if not isinstance(table, Mapping):
            problems.append(_no_table(name, table))
            return
        self.warnings += [
            f"{label}: {key} is not used, because {ALIASES[key]} is there, too"
            for key in table
            if ALIASES.get(key) in table
        ]
        wanted = present({key: value for key, value in table.items() if key != _NUMBERS})
        for key in [key for key in wanted if key not in Settings.model_fields]:
            meant = _NUMBERS if suggestions.is_near(key, _NUMBERS) else suggestion(key)
            hint = f' — did you mean "{meant}"?' if meant else ""
            if not meant and isinstance(wanted[key], Mapping):
                hint = " — a profile holds settings, and no further tables"
            self.warnings.append(f"{label}: unknown key {display.key(key)}{hint}")
            del wanted[key]
        settings = _with(self._settings, wanted, label, problems)
        numbers = self._listed(label, table.get(_NUMBERS), problems)
        self.in_file[name] = {_NUMBERS: numbers, **wanted}
        if name in self.kept:
            self.warnings.append(f"{label} is not used, because the database has a profile of that name, which wins")
            return
        self._by_name[name] = settings
        self.warnings += [f"{label}: {line}" for line in unused_settings.of_conduct(settings, wanted)]
        for number in numbers:
            self.warnings += self._about(label, number)
            plain = self.numbers.normal(number)
            owner = self._by_number.get(plain, (name, settings))[0]
            if owner in self.kept:
                self._claim(owner, label_of(owner), number, name)
                continue
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
        return [str(each) for each in listed]

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
    if opening_hours.is_never(settings.hours):
        changes.pop("hours", None)  # who closes the line for all numbers means all of them
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
