"""Read changes to a call's session from a JSON object: settings by their names. Pure.

What a session does not have, or no longer, is left out with a warning. One value that cannot be used refuses all of the
changes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import UnionType
from typing import Any, Final, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from callflow.config import display, validators
from callflow.config.call_settings import CallSettings
from callflow.config.settings import Settings, suggestion
from callflow.contracts import secret_text
from callflow.contracts.errors import SessionRefused
from callflow.contracts.realtime_values import NO_NOISE, NO_VOICE, NOISES, UNSENT, is_voice


MOST_TEXT: Final = 40_000
"""Characters of one text: more than the 16,384 tokens that a session of the model accepts as instructions."""
MOST_NAMES: Final = 200
_MOST_GUESSES: Final = 20
_LONGEST_NAME: Final = 60
_LONGEST_SHOWN: Final = 40
_NOT_SENT: Final = {
    **UNSENT,
    "include_segments": "the interface has no such parameter any more",
    "model": "a session keeps the model that it began with",
    "engine_audio": "a session keeps the audio that it began with",
    "business": "a call keeps the business of its profile",
}


class Asked(NamedTuple):
    """What `read` returns."""

    taken: dict[str, Any]
    """The changes: values by setting, as the settings have checked them."""
    warnings: list[str]
    """A line for each change that is left out."""


def read(
    body: Mapping[str, Any], secrets: secret_text.Secrets = secret_text.NONE, *, keeps: frozenset[str] = frozenset()
) -> Asked:
    """Check changes and return those that can be made.

    `secrets`: those of the settings; a change that holds one is refused. `keeps`: names that are taken although a live
    session does not accept them.

    Raises SessionRefused with a line for each problem.
    """
    check_names(body)
    wanted: dict[str, Any] = {}
    warnings: list[str] = []
    problems: list[str] = []
    guesses = 0
    for name, value in body.items():
        if name in Settings.model_fields and name not in CallSettings.model_fields:
            problems.append(f"{name} holds for all calls, and cannot be changed in one")
        elif name not in CallSettings.model_fields and name not in _NOT_SENT:
            guesses += 1
            warnings.append(_unknown(name, guesses=guesses <= _MOST_GUESSES))
        elif name not in keeps and (left_out := _left_out(name, value)):
            warnings.append(left_out)
        elif wrong := _wrong(name, value, secrets):
            problems.append(wrong)
        else:
            wanted[name] = value
    taken: dict[str, Any] = {}
    try:
        chosen = Settings(**wanted)
        taken = {name: getattr(chosen, name) for name in wanted}
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_context=True):
            name = str(detail["loc"][0])
            custom = detail["ctx"]["error"] if detail["type"] == "value_error" else ""
            problems.append(f"{name} {custom or _must(name)}{_not(wanted[name])}")
    if problems:  # the warnings are told as well, so that one answer names everything
        raise SessionRefused([f"{problem}." for problem in (*problems, *warnings)])
    return Asked(taken, warnings)


def check_names(body: Mapping[str, Any]) -> None:
    """Check that a body has no more names than a session may have. Raises SessionRefused."""
    if len(body) > MOST_NAMES:
        raise SessionRefused([f"A session has no {MOST_NAMES} settings, and {len(body)} are named."])


def _unknown(name: str, *, guesses: bool) -> str:
    key = display.key(name)
    meant = suggestion(name) if guesses and len(name) <= _LONGEST_NAME else None
    hint = f" (did you mean {meant}?)" if meant in CallSettings.model_fields else ""
    return f"{key} is left out: it is no setting of a session{hint}"


def _left_out(name: str, value: Any) -> str:
    """Return the warning for a setting that is never sent, or for a value that sessions no longer accept; "": taken."""
    if name in _NOT_SENT:
        return f"{name} is left out: {_NOT_SENT[name]}"
    if name == "voice" and isinstance(value, str) and value.strip() and not is_voice(value.strip()):
        return f"voice{_shown(value, ' ')} is left out: {NO_VOICE}"
    if name == "noise_reduction" and _is_own_profile(value):
        return f"noise_reduction is left out: {NO_NOISE}"
    if name == "output_modalities" and value in ("text", ["text"], ["audio", "text"], ["text", "audio"]):
        return "output_modalities is left out: a caller can hear audio only"
    return ""


def _is_own_profile(value: Any) -> bool:
    if isinstance(value, str):
        return bool(value.strip()) and value.strip().lower() not in (*NOISES, "none")
    return isinstance(value, dict)


def _wrong(name: str, value: Any, secrets: secret_text.Secrets) -> str:
    """Return what is wrong before the setting's own rules are asked (type, length, secrets); "": nothing."""
    if not _fits(value, CallSettings.model_fields[name]):
        return f"{name} {_must(name)}{_not(value)}"
    if isinstance(value, str):
        if len(value) > MOST_TEXT:
            return f"{name} must have {MOST_TEXT} characters at most: it has {len(value)}"
        if "\x00" in value:
            return f"{name} must not hold a NUL (\\u0000)"
        if secret_text.is_key(value.strip()) or secrets.within(value):
            return f"{name} holds what looks like a secret key, and would be sent and written down: take it out"
    return ""


def _fits(value: Any, field: FieldInfo) -> bool:
    """Return whether a JSON value has the type of the setting: a number is not written as text."""
    is_union = get_origin(field.annotation) in (Union, UnionType)
    kinds = list(get_args(field.annotation)) if is_union else [field.annotation]
    for kind in kinds:
        if kind is str:
            fits = isinstance(value, str)
        elif get_origin(kind) is Literal:
            fits = isinstance(value, str) and value.strip().lower() in get_args(kind)
        elif kind is bool:
            fits = isinstance(value, bool)
        elif kind is int:
            fits = not isinstance(value, bool) and (isinstance(value, int) or _is_whole(value))
        else:
            fits = isinstance(value, int | float) and not isinstance(value, bool)
        if fits:
            return True
    return False


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


def _must(name: str) -> str:
    field = CallSettings.model_fields[name]
    special = {
        "max_output_tokens": 'must be a whole number from 1 to 4096, or "inf"',
        "truncation": 'must be a number from 0 to 1, "auto" or "disabled"',
    }
    if name in special:
        return special[name]
    wanted = validators.wanted(name, field).partition(", for example")[0]
    return f"must be {wanted.replace('text in quotes', 'a text')}"


def _not(value: Any) -> str:
    return _shown(value, ", not ")


def _shown(value: Any, before: str) -> str:
    """Return the given value with `before` in front of it; "": it is too long to show, or may be secret."""
    if isinstance(value, list | dict):
        return f"{before}{'a list' if isinstance(value, list) else 'an object'}"
    if isinstance(value, str) and (not value.isprintable() or secret_text.may_be_secret(value)):
        return ""
    text = json.dumps(value, ensure_ascii=False)
    return f"{before}{text}" if len(text) <= _LONGEST_SHOWN else ""
