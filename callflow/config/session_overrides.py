"""The settings that operators have changed and the database keeps: stronger than settings.toml, weaker than `.env`.

Only settings of calls can be kept, none of the server. The profiles of numbers are stronger than what is kept. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from callflow.config import display, session_changes, session_names
from callflow.config.call_settings import CallSettings
from callflow.config.setting_names import present
from callflow.config.settings import Settings
from callflow.contracts.errors import SessionRefused
from callflow.contracts.realtime_values import NEITHER, UNSENT


ORIGIN: Final = "kept in the database"
_STRONGER: Final = ("command line", "environment", ".env")
_KEEPS: Final = frozenset({*UNSENT, "model", "engine_audio", "business"})
"""Settings that a live session does not accept, and that can be kept for coming calls."""
_MOST_WARNINGS: Final = 50


class Wanted(NamedTuple):
    """What a PATCH of the session asks for."""

    values: dict[str, Any]
    """Values to keep, by setting, as the settings have checked them."""
    gone: list[str]
    """Settings that are not kept any more."""
    warnings: list[str]
    """A line for each value that is left out; it names the place in the body."""
    paths: dict[str, str]
    """By setting: the place in the body where it stands, such as `audio.output.voice`."""


def wanted(body: Mapping[str, Any], settings: Settings, overrides: Mapping[str, Any]) -> Wanted:
    """Check the body of a PATCH and return what it asks for.

    `settings`: those of the files. `overrides`: what the database keeps so far, by setting. Raises SessionRefused with
    a line for each problem.
    """
    asked = session_names.named(body)
    problems = [*asked.problems]
    values = {name: value for name, value in asked.values.items() if value is not None}
    gone = [name for name, value in asked.values.items() if value is None]
    _instructions(asked, values, gone, overrides, problems)
    return _taken(asked, values, gone, problems, settings)


def wanted_of_call(session: Mapping[str, Any], settings: Settings, overrides: Mapping[str, Any]) -> Wanted:
    """Check a session for one call, in the forms of `wanted`; null switches off what it switches off in the API. Raises
    SessionRefused."""
    return wanted(session_names.without_null(session), settings, overrides)


def wanted_of_profile(body: Mapping[str, Any], settings: Settings) -> Wanted:
    """Check the settings that are asked for a profile, in the forms of `wanted`. Raises SessionRefused."""
    asked = session_names.named(body)
    problems = [*asked.problems]
    values = {name: value for name, value in asked.values.items() if value is not None}
    if isinstance(values.get("instructions"), str) and not values["instructions"].strip():
        problems.append(f"{asked.paths['instructions']} must not be empty: null takes them back")
    gone = [name for name, value in asked.values.items() if value is None]
    return _taken(asked, values, gone, problems, settings)


def _taken(
    asked: session_names.Named, values: dict[str, Any], gone: list[str], problems: list[str], settings: Settings
) -> Wanted:
    """Check the values. Raises SessionRefused with these problems and those of the values."""
    taken: dict[str, Any] = {}
    told: list[str] = []
    try:
        taken, told = session_changes.read(values, display.secrets_of(settings), keeps=_KEEPS)
    except SessionRefused as refusal:
        problems += [asked.in_words_of(line).removesuffix(".") for line in refusal.problems]
    if problems:  # the warnings are told as well, so that one answer names everything
        lines = dict.fromkeys([*problems, *asked.warnings])
        raise SessionRefused([line if line == NEITHER else f"{line}." for line in lines])
    warnings = [*asked.warnings, *(asked.in_words_of(line) for line in told)]
    warnings += [f"{asked.paths[name]} is not sent: {UNSENT[name]}" for name in taken if name in UNSENT]
    return Wanted(taken, gone, warnings[:_MOST_WARNINGS], asked.paths)


def _instructions(
    asked: session_names.Named,
    values: dict[str, Any],
    gone: list[str],
    overrides: Mapping[str, Any],
    problems: list[str],
) -> None:
    """Refuse a session without instructions, unless it names a prompt; then the instructions of the files hold.

    (A prompt is accepted and not sent.)
    """
    given = values.get("instructions")
    is_blank = isinstance(given, str) and not given.strip()
    has_prompt = bool(str(values.get("prompt_id") or "").strip())
    if "prompt_id" not in asked.values:
        has_prompt = bool(overrides.get("prompt_id"))
    takes_nothing_away = "instructions" in gone and ("instructions" not in overrides or "prompt_id" in gone)
    if (is_blank or takes_nothing_away) and not has_prompt:
        problems.append(NEITHER)
    if is_blank:
        del values["instructions"]
        gone.append("instructions")
        if has_prompt:
            path = asked.paths["instructions"]
            asked.warnings.append(f"{path}: those of the settings hold, because no prompt is sent")


def effective(settings: Settings, overrides: Mapping[str, Any]) -> Settings:
    """Return the settings that hold: those of the files, with what is kept wherever no stronger layer has a value."""
    chosen = {name: value for name, value in overrides.items() if not _is_overridden(settings, name)}
    if not chosen:
        return settings
    result = settings.model_copy(update=chosen)
    result._origins = settings._origins | dict.fromkeys(chosen, ORIGIN)
    return result


def overridden(settings: Settings, overrides: Mapping[str, Any], paths: Mapping[str, str] | None = None) -> list[str]:
    """Return a line for each kept setting that does not hold, because a stronger layer has a value.

    `paths`: what a line calls each setting; None: by its name.
    """
    found = [(name, (paths or {}).get(name, name)) for name in overrides if _is_overridden(settings, name)]
    return [
        f"{path} is kept, and does not hold: {name.upper()} ({settings.origin(name)}) is stronger"
        for name, path in found
    ]


def _is_overridden(settings: Settings, name: str) -> bool:
    return settings.origin(name).startswith(_STRONGER)


def encode(value: Any) -> str:
    """Return a kept value as JSON, for the database."""
    return json.dumps(value, ensure_ascii=False)


def decode(rows: Mapping[str, str], settings: Settings) -> tuple[dict[str, Any], list[str]]:
    """Return what the database keeps, checked by the settings, and a line for each value that cannot be used now.

    `rows`: JSON by setting.
    """
    overrides: dict[str, Any] = {}
    warnings: list[str] = []
    secrets = display.secrets_of(settings)
    for name, text in present(rows).items():
        try:
            if name not in CallSettings.model_fields:
                raise SessionRefused(["it is no setting"])
            overrides |= session_changes.read({name: json.loads(text)}, secrets, keeps=_KEEPS).taken
        except (ValueError, RecursionError, SessionRefused) as error:
            why = error.problems[0].rstrip(".") if isinstance(error, SessionRefused) else "it cannot be read"
            warnings.append(f"{display.key(name)} is in the database, and is not used: {why}")
    return overrides, warnings
