"""Profiles that the database keeps: their form, what a change of one asks for, and its text as TOML. Pure.

A profile is the telephone numbers that it is for, and settings of calls. It is stronger than a profile of the same name
in settings.toml, whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from callflow.config import display, session_overrides
from callflow.config.settings import Settings
from callflow.contracts.errors import SessionRefused
from callflow.contracts.printable import quoted


NUMBERS: Final = "numbers"
VERSION: Final = "version"
RESERVED: Final = "default"
"""The name under which the database keeps what holds for all numbers."""
MOST_PROFILES: Final = 200
MOST_BYTES: Final = 64 << 10
"""Of one profile, as JSON."""
MOST_NUMBERS: Final = 1000
_MOST_NUMBER: Final = 64
"""Characters."""
_LONGEST_NAME: Final = 64
_NUMBERS_MUST: Final = 'numbers must list the numbers that the profile is for, such as ["+15550100002"].'
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class KeptProfile:
    """One profile, in one of its versions."""

    name: str
    numbers: tuple[str, ...]
    """As they were given."""
    values: Mapping[str, Any]
    """Settings of calls by name, as the settings have checked them."""
    version: int = 0
    problems: tuple[str, ...] = field(default=(), compare=False)
    """A line for each value in the database that cannot be used now."""

    def encoded(self) -> dict[str, str]:
        """Return its rows in the database: JSON by name."""
        whole = {NUMBERS: list(self.numbers), **self.values}
        return {name: session_overrides.encode(value) for name, value in whole.items()}


class Asked(NamedTuple):
    """What the body of a change asks for."""

    numbers: tuple[str, ...] | None
    """None: it says nothing about them."""
    values: dict[str, Any]
    gone: list[str]
    """Settings that the profile leaves to the others again."""
    version: int | None
    """The version that whoever asks has seen; None: they do not say."""
    warnings: list[str]


def name_problem(name: str) -> str:
    """Return why a profile cannot have this name, in a sentence; "": it can."""
    if not name.strip() or name != name.strip():
        return "A profile needs a name, without spaces at its ends."
    if len(name) > _LONGEST_NAME or not name.isprintable() or "/" in name or name in (".", ".."):
        return f"The name of a profile has {_LONGEST_NAME} printable characters at most, and no slash."
    if name == RESERVED:
        return f'No profile can be named "{RESERVED}": these are the settings of all numbers, at /api/session.'
    return ""


def read(body: Mapping[str, Any], settings: Settings) -> Asked:
    """Check the body of a change. `settings`: those of the files. Raises SessionRefused with a sentence for each
    problem."""
    rest = {name: value for name, value in body.items() if name not in (NUMBERS, VERSION)}
    problems: list[str] = []
    numbers = _numbers(body[NUMBERS], problems) if NUMBERS in body else None
    version = body.get(VERSION)
    if version is not None and (not isinstance(version, int) or isinstance(version, bool) or version < 0):
        problems.append("version must be the number of the version that you have seen, 0 if there is none.")
        version = None
    try:
        wanted = session_overrides.wanted_of_profile(rest, settings)
    except SessionRefused as refusal:
        raise SessionRefused([*problems, *refusal.problems]) from None
    if problems:
        raise SessionRefused(problems)
    return Asked(numbers, wanted.values, wanted.gone, version, wanted.warnings)


def _numbers(given: object, problems: list[str]) -> tuple[str, ...]:
    if not isinstance(given, list) or not given or not all(_is_number(each) for each in given):
        problems.append(_NUMBERS_MUST)
        return ()
    if len(given) > MOST_NUMBERS:
        problems.append(f"A profile has {MOST_NUMBERS} numbers at most.")
    return tuple(dict.fromkeys(each.strip() for each in given))


def _is_number(given: object) -> bool:
    return isinstance(given, str) and bool(given.strip()) and len(given) <= _MOST_NUMBER and given.isprintable()


def bounds(one: KeptProfile, others: Iterable[KeptProfile]) -> list[str]:
    """Return a sentence for each bound that a profile breaks. `others`: all other profiles of the database."""
    problems = [] if one.numbers else [_NUMBERS_MUST]
    size = sum(len(value.encode("utf-8", "surrogatepass")) for value in one.encoded().values())
    if size > MOST_BYTES:
        problems.append(f"A profile has {MOST_BYTES >> 10} kB at most, and this one {(size + 1023) >> 10} kB.")
    if sum(1 for _ in others) >= MOST_PROFILES:
        problems.append(f"The database keeps {MOST_PROFILES} profiles at most: delete one that is not needed.")
    return problems


def decode(name: str, rows: Mapping[str, str], settings: Settings, version: int) -> KeptProfile:
    """Return a profile as the database keeps it. Values that cannot be used now are left out, and told in `problems`.

    `rows`: JSON by name.
    """
    problems: list[str] = []
    try:
        numbers = _numbers(json.loads(rows.get(NUMBERS, "null")), problems)
    except (ValueError, RecursionError):
        numbers = ()
        problems.append(_NUMBERS_MUST)
    values, lines = session_overrides.decode({key: text for key, text in rows.items() if key != NUMBERS}, settings)
    label = label_of(name)
    return KeptProfile(name, numbers, values, version, tuple(f"{label}: {line}" for line in (*problems, *lines)))


def label_of(name: str) -> str:
    """Return what messages call a profile of the database."""
    return f"profile {display.key(name)[1:-1]} of the database"


def to_toml(name: str, numbers: Iterable[str], values: Mapping[str, Any]) -> str:
    """Return a profile as settings.toml takes it. Raises ValueError for a value of another kind than settings have."""
    lines = [f"[profiles.{_key(name)}]", f"{NUMBERS} = [{', '.join(_text(each) for each in numbers)}]"]
    lines += [f"{_key(setting)} = {_value(value)}" for setting, value in values.items()]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _text(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, str):
        return _lines(value) if "\n" in value else _text(value)
    raise ValueError(f"{quoted(str(type(value).__name__))} cannot stand in settings.toml")


def _text(text: str) -> str:
    return f'"{_escaped(text)}"'


def _lines(text: str) -> str:
    """Return a text of several lines as they are read. The first line break belongs to the form."""
    return '"""\n' + "\n".join(_escaped(line) for line in text.split("\n")) + '"""'


def _escaped(text: str) -> str:
    """Escape what must not stand in a basic string of TOML (https://toml.io/en/v1.0.0#string)."""
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return "".join(char if char.isprintable() and not 0xD800 <= ord(char) <= 0xDFFF else _code(char) for char in text)


def _code(char: str) -> str:
    if 0xD800 <= ord(char) <= 0xDFFF:  # half a character, which no file can hold
        return "\\uFFFD"
    return f"\\u{ord(char):04X}" if ord(char) <= 0xFFFF else f"\\U{ord(char):08X}"
