"""Read the settings: merge the layers, from the weakest to the strongest, and warn of names that are not used.

The layers are `settings.toml`, `.env`, the environment and the command line. Every name in them is used, or a warning
says that it is not, and why.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from callflow.config import display, legacy_names, openai_addresses, paths, suggestions, unused_settings
from callflow.config import files as settings_files
from callflow.config.setting_names import ALIASES
from callflow.config.settings import SECRETS, Settings, problem_of, suggestion
from callflow.contracts import secret_text
from callflow.contracts.errors import SettingsError
from callflow.contracts.sip_addresses import of_other_region


def load(
    argv_overrides: Mapping[str, object] | None = None,
    *,
    toml: str | Path | None = "settings.toml",
    env_file: str | Path | None = ".env",
) -> Settings:
    """Read all settings.

    A relative path is looked for in the current folder, then beside `server.py`; a file that does not exist is skipped.
    `argv_overrides`: values of the command line by setting name; None means not given. An empty value counts as not
    given in the environment and in `.env`, but as empty on the command line and in `settings.toml`.

    Raises SettingsError with one line for each problem.
    """
    problems: list[str] = []
    warnings: list[str] = []
    files: list[Path] = []
    in_toml = _toml_layer(toml, files, problems, warnings)
    profiles = in_toml.values.pop("profiles", {})
    # From the weakest to the strongest.
    layers = [
        in_toml,
        _env_layer(env_file, files, problems, warnings),
        _environment_layer(warnings),
        Layer("command line", _overrides(argv_overrides or {})),
    ]
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for layer in layers:
        merged |= layer.values
        origins |= {name: layer.origin(name) for name in layer.values}
    socket = openai_addresses.socket_beside(str(merged.get("openai_api_base", "")))
    if socket is not None and "openai_realtime_url" not in merged:
        merged["openai_realtime_url"] = socket
        origins["openai_realtime_url"] = f"{origins['openai_api_base'].partition(',')[0]}, as OPENAI_API_BASE"
    try:
        settings = Settings(**merged)
        settings._origins = origins
        problems += display.misplaced(settings)
    except ValidationError as error:
        known = secret_text.Secrets(str(merged[name]) for name in SECRETS & merged.keys())
        problems += [problem_of(detail, origins, known) for detail in error.errors(include_url=False)]
    if problems:
        raise SettingsError(problems, warnings)
    settings._profiles = profiles
    settings._files = tuple(files)
    settings._warnings = (
        *warnings, *unused_settings.lines(settings), *paths.warnings(settings), *_other_region(settings),
    )  # fmt: skip
    return settings


_QUOTED: Final = re.compile("(?s)\"[^\"]*\"|'[^']*'")


@dataclass(frozen=True)
class Layer:
    """The values of one source, by the settings' own names."""

    name: str
    values: dict[str, Any]
    written_as: Mapping[str, str] = field(default_factory=dict)
    """By setting: the other name under which it stands there."""

    def origin(self, name: str) -> str:
        """Return where a value of this layer came from: `.env`, or `.env, as PUBLIC_URL`."""
        other = self.written_as.get(name)
        return f"{self.name}, as {other}" if other else self.name


def _other_region(settings: Settings) -> list[str]:
    if not settings.openai_sip_on or not settings.openai_sip_uri:
        return []
    wrong = of_other_region(settings.openai_sip_host, openai_addresses.rest_root(settings))
    named = "OPENAI_API_BASE" if settings.openai_api_base else "OPENAI_REALTIME_URL"
    return [f"OPENAI_SIP_HOST and {named}: {wrong}"] if wrong else []


def _named(name: str, variables: Mapping[str, str | None], warnings: list[str]) -> Layer:
    """Return the settings among variables, whose names may be in any case; empty values are dropped.

    Of several names for one setting its own name wins, then an alias, then a name of an earlier system.
    """
    given = {key.upper(): value for key, value in variables.items() if value is not None and value.strip()}
    values, written_as = legacy_names.translated(given, warnings, f" ({name})")
    candidates = [(alias, of) for alias, of in ALIASES.items()] + [(of, of) for of in Settings.model_fields]
    for key, setting in candidates:
        if (value := given.get(key.upper())) is None:
            continue
        if setting in values and str(values[setting]) != value:
            warnings.append(f"{name}: {written_as[setting]} is not used, because {key.upper()} is there, too")
        values[setting] = value
        written_as[setting] = key.upper()
    return Layer(name, values, {of: key for of, key in written_as.items() if key != of.upper()})


def _overrides(given: Mapping[str, object]) -> dict[str, Any]:
    if unknown := given.keys() - Settings.model_fields.keys():
        raise TypeError(f"not a setting: {', '.join(sorted(unknown))}")
    return {name: value for name, value in given.items() if value is not None}


def _environment_layer(warnings: list[str]) -> Layer:
    warnings += [f"environment: {line}" for line in _unknown(os.environ, among_others=True)[0]]
    layer = _named("environment", os.environ, warnings)
    warnings += [
        f"{name.upper()} ({layer.origin(name)}) is in quotes, and here they count as part of the value; remove them"
        for name, value in layer.values.items()
        if name not in SECRETS and isinstance(value, str) and _QUOTED.fullmatch(value.strip())
    ]
    return layer


def _env_layer(path: str | Path | None, files: list[Path], problems: list[str], warnings: list[str]) -> Layer:
    text, label = _read(path, files, problems)
    variables = settings_files.env(text, label, warnings)
    lines, foreign = _unknown(variables)
    warnings += [f"{label}: {line}" for line in lines]
    if foreign:
        names = ", ".join(display.key(each) for each in foreign)
        warnings.append(f"{label}: not used, because these are no settings of Callflow: {names}")
    return _named(".env", variables, warnings)


def _unknown(variables: Mapping[str, str | None], *, among_others: bool = False) -> tuple[list[str], list[str]]:
    """Return a line for each unknown name that was probably meant for Callflow, and the other unknown names.

    `among_others`: most of the names are not for Callflow.
    """
    lines: list[str] = []
    foreign: list[str] = []
    for key, value in variables.items():
        known = key.lower() in Settings.model_fields or key.lower() in ALIASES or key.upper() in legacy_names.NAMES
        if known or not (value or "").strip():
            continue
        if other := suggestion(key, among_others=among_others):
            lines.append(f'unknown name {display.key(key)} — did you mean "{other.upper()}"?')
        elif suggestions.is_for_us(key):
            lines.append(f"unknown name {display.key(key)}; it is not used")
        else:
            foreign.append(key)
    return lines, foreign


def _toml_layer(path: str | Path | None, files: list[Path], problems: list[str], warnings: list[str]) -> Layer:
    text, label = _read(path, files, problems)
    table = settings_files.toml(text, label, problems)
    found: dict[str, Any] = {}
    written_as: dict[str, str] = {}
    for key, value in table.items():
        name = ALIASES.get(key, key)
        if key == "profiles":
            if isinstance(value, dict):
                found[key] = value
            else:
                problems.append(f"{label}: profiles are tables of their own, each with a name: [profiles.sales]")
            continue
        if name not in Settings.model_fields:
            warnings.append(f"{label}: unknown key {display.key(key)}{_hint(key, value)}")
            continue
        if name in SECRETS and value:
            warnings.append(f"{label}: {key} is a secret, and this file is meant to be committed; move it to .env")
        if name == key or name not in table:
            found[name] = value
            written_as |= {name: key} if name != key else {}
        else:
            warnings.append(f"{label}: {key} is not used, because {name} is there, too")
    return Layer("settings.toml", found, written_as)


def _hint(key: str, value: object) -> str:
    """Return what was probably meant by an unknown key of settings.toml; "": nothing that is known."""
    if suggestions.is_near(key, "profiles") and isinstance(value, dict | list):
        return ' — did you mean "profiles"?'
    if key == "numbers":
        return " — numbers stand in the table of their profile: [profiles.sales]"
    if meant := suggestion(key):
        return f' — did you mean "{meant}"?'
    if isinstance(value, dict | list):
        table = value if isinstance(value, dict) else {}
        if "numbers" in table:
            return f" — the settings of some numbers are a table [profiles.{display.key(key)[1:-1]}]"
        if set(table) & Settings.model_fields.keys():
            return " — settings stand in no table: move them above the first line in [brackets]"
        return " — there are no tables but [profiles.NAME]"
    return ""


def _read(path: str | Path | None, files: list[Path], problems: list[str]) -> tuple[str, str]:
    """Return the text of a file ("" if there is none) and what messages call it."""
    if path is None:
        return "", ""
    found = settings_files.find(path)
    text = settings_files.read(found, problems)
    if text is not None:
        files.append(found.absolute())
    return text or "", settings_files.label(found)
