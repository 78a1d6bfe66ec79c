"""The settings that operators have changed and the database keeps, between `.env` and settings.toml. Pure.

They say how coming calls are conducted, and nothing of the server itself: only names of `CallSettings`. Profiles of numbers
lie over them as they lie over settings.toml.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from callflow.config import display, session_changes, session_names
from callflow.config.call_settings import CallSettings
from callflow.config.settings import Settings
from callflow.contracts.errors import SessionRefused
from callflow.contracts.realtime_values import UNSENT


ORIGIN: Final = "kept in the database"
NEITHER: Final = "Provide either instructions or a prompt reference."
_STRONGER: Final = ("command line", "environment", ".env")
_KEEPS: Final = frozenset({*UNSENT, "model", "engine_audio"})
"""What a live session does not take, and the settings of coming calls have a place for."""
_MOST_WARNINGS: Final = 50


class Wanted(NamedTuple):
    values: dict[str, Any]
    """By names of settings, in their proper form."""
    gone: list[str]
    """What is not to be kept any more."""
    warnings: list[str]
    """In the words of the body."""
    paths: dict[str, str]
    """Where in it each setting stands."""


def wanted(body: Mapping[str, Any], settings: Settings, kept: Mapping[str, Any]) -> Wanted:
    """What a PATCH asks for. `settings`: those of the files. Raises Refusal, with all that is wrong."""
    asked = session_names.named(body)
    problems = [*asked.problems]
    values = {name: value for name, value in asked.values.items() if value is not None}
    gone = [name for name, value in asked.values.items() if value is None]
    _instructions(asked, values, gone, kept, problems)
    taken: dict[str, Any] = {}
    told: list[str] = []
    try:
        taken, told = session_changes.read(values, display.secrets_of(settings), keeps=_KEEPS)
    except SessionRefused as refusal:
        problems += [_in_words_of(line, asked.paths).removesuffix(".") for line in refusal.problems]
    if problems:  # then whatever else is wrong is told, too
        lines = dict.fromkeys([*problems, *asked.warnings])
        raise SessionRefused([line if line == NEITHER else f"{line}." for line in lines])
    warnings = [*asked.warnings, *(_in_words_of(line, asked.paths) for line in told)]
    warnings += [f"{asked.paths[name]} is not sent: {UNSENT[name]}" for name in taken if name in UNSENT]
    return Wanted(taken, gone, warnings[:_MOST_WARNINGS], asked.paths)


def _instructions(
    asked: session_names.Named, values: dict[str, Any], gone: list[str], kept: Mapping[str, Any], problems: list[str]
) -> None:
    """Without any a session would be nobody's. A prompt is in effect only in name: then those of the files hold."""
    given = values.get("instructions")
    is_blank = isinstance(given, str) and not given.strip()
    has_prompt = bool(str(values.get("prompt_id") or "").strip())
    if "prompt_id" not in asked.values:
        has_prompt = bool(kept.get("prompt_id"))
    takes_nothing_away = "instructions" in gone and ("instructions" not in kept or "prompt_id" in gone)
    if (is_blank or takes_nothing_away) and not has_prompt:
        problems.append(NEITHER)
    if is_blank:
        del values["instructions"]
        gone.append("instructions")
        if has_prompt:
            path = asked.paths["instructions"]
            asked.warnings.append(f"{path}: those of the settings hold, because no prompt is sent")


def _in_words_of(line: str, paths: Mapping[str, str]) -> str:
    """A line that begins with the name of a setting."""
    name, space, rest = line.partition(" ")
    return f"{paths.get(name, name)}{space}{rest}"


def effective(settings: Settings, kept: Mapping[str, Any]) -> Settings:
    """What holds: these settings, with what is kept wherever nothing stronger says otherwise."""
    chosen = {name: value for name, value in kept.items() if not _overrides(settings, name)}
    if not chosen:
        return settings
    result = settings.model_copy(update=chosen)
    result._origins = settings._origins | dict.fromkeys(chosen, ORIGIN)
    return result


def overridden(settings: Settings, kept: Mapping[str, Any], paths: Mapping[str, str] | None = None) -> list[str]:
    """A line for each that is kept and does not hold."""
    found = [(name, (paths or {}).get(name, name)) for name in kept if _overrides(settings, name)]
    return [
        f"{path} is kept, and does not hold: {name.upper()} ({settings.origin(name)}) is stronger"
        for name, path in found
    ]


def _overrides(settings: Settings, name: str) -> bool:
    return settings.origin(name).startswith(_STRONGER)


def encode(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def decode(rows: Mapping[str, str], settings: Settings) -> tuple[dict[str, Any], list[str]]:
    """What the database keeps, in its proper form; and a line for each that this version cannot use."""
    kept: dict[str, Any] = {}
    warnings: list[str] = []
    secrets = display.secrets_of(settings)
    for name, text in rows.items():
        try:
            if name not in CallSettings.model_fields:
                raise SessionRefused(["it is no setting"])
            kept |= session_changes.read({name: json.loads(text)}, secrets, keeps=_KEEPS).taken
        except (ValueError, RecursionError, SessionRefused) as error:
            why = error.problems[0].rstrip(".") if isinstance(error, SessionRefused) else "it cannot be read"
            warnings.append(f"{display.key(name)} is in the database, and is not used: {why}")
    return kept, warnings
