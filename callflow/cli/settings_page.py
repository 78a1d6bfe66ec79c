"""`python -m callflow.cli.settings_page`: writes docs/settings.md from the settings themselves.

The text of each setting is its docstring in `callflow.config`, its heading the comment above a group of settings there;
default and range come from the field. A test compares the page with what this module would write.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from types import UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from callflow.cli.generated_file import bring_up_to_date
from callflow.config import legacy_names, validators
from callflow.config.call_settings import CallSettings
from callflow.config.cluster_settings import ClusterSettings
from callflow.config.documentation import Documented, documented
from callflow.config.recording_settings import RecordingSettings
from callflow.config.setting_names import ALIASES
from callflow.config.settings import Settings


ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "settings.md"
COMMAND: Final = "python -m callflow.cli.settings_page"
_LONGEST_DEFAULT: Final = 40
"""Characters of a text; a longer one is in settings.toml, where it can be read."""

_INTRODUCTION: Final = f"""\
# Settings

<!-- Written by `{COMMAND}` from `callflow/config/settings.py` and `callflow/config/call_settings.py`. -->

Behaviour is in `settings.toml`, which is committed; keys, addresses and limits are in `.env`, which is not. Both are
looked for in the folder where the server is started, then beside `server.py`. Each setting has one name, in small
letters in `settings.toml` and in capitals in `.env` and in the environment: `voice` is `VOICE`. The names in capitals
below are meant for `.env`.

A value is taken from the first of these that has it: command line, environment, `.env`, what operators have changed
(`PATCH /api/session`), `settings.toml`, default. `python server.py --check` shows each value and where it came from.

Times are in seconds where a name ends in `_seconds` (fractions are fine), in milliseconds where it ends in `_ms`."""
_OF_A_CALL: Final = """\
## How a call is conducted

These may differ from number to number: a table `[profiles.NAME]` in `settings.toml` lists its `numbers` and what
differs for them. Operators may change these, and no others, for coming calls and in a live call."""
_OF_THE_SERVER: Final = """\
## The server

These hold for all calls."""


def render() -> str:
    """Return the whole page as Markdown."""
    in_toml = tomllib.loads((ROOT / "settings.toml").read_text(encoding="utf-8"))
    blocks = [_INTRODUCTION]
    of_the_server = ((Settings, _OF_THE_SERVER), (ClusterSettings, ""), (RecordingSettings, ""))
    for settings, introduction in ((CallSettings, _OF_A_CALL), *of_the_server):
        blocks += [introduction] if introduction else []
        for heading, group in groupby(documented(settings), key=lambda each: each.heading):
            rows = [_row(each, settings.model_fields[each.name], in_toml) for each in group]
            blocks += [f"### {heading}", _table(("setting", "default", "value", "meaning"), rows)]
    return "\n\n".join([*blocks, *_other_names()]) + "\n"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _row(each: Documented, field: FieldInfo, in_toml: Mapping[str, Any]) -> tuple[str, ...]:
    name = each.name if each.name in in_toml else each.name.upper()
    return f"`{name}`", _default(field), _value(each.name, field), each.text


def _default(field: FieldInfo) -> str:
    default = field.default
    if isinstance(default, SecretStr) or default == "":
        return "none" if isinstance(default, SecretStr) else '`""`'
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, str):
        return f"`{default}`" if len(default) <= _LONGEST_DEFAULT else "a text, see `settings.toml`"
    return f"`{default:g}`"


def _value(name: str, field: FieldInfo) -> str:
    if field.annotation is SecretStr:
        return "secret"
    if get_origin(field.annotation) in (Union, UnionType):  # a number, or one of some words
        words = [f"`{word}`" for kind in get_args(field.annotation) for word in get_args(kind)]
        return " or ".join(["a whole number" if int in get_args(field.annotation) else "a number", *words])
    wanted = validators.wanted(name, field).partition(", for example")[0].replace("text in quotes", "text")
    return re.sub(r"\"(\w+)\"", r"`\1`", wanted) if get_origin(field.annotation) is Literal else wanted


def _other_names() -> Iterator[str]:
    yield "## Other names"
    yield "Accepted in place of the setting's own name, which wins where both are there."
    yield _table(("name", "setting"), [(f"`{name.upper()}`", f"`{setting}`") for name, setting in ALIASES.items()])
    yield "Names of earlier systems, in `.env` and in the environment. Their values are translated where they differ."
    names = {name: legacy_names.setting_of(name) for name in sorted(legacy_names.NAMES)}
    yield _table(("name", "setting"), [(f"`{name}`", f"`{setting}`") for name, setting in names.items() if setting])
    yield "Recognised and not used; `--check` says why:"
    yield ", ".join(f"`{name}`" for name, setting in names.items() if not setting) + "."


def main() -> int:
    """Write the page, unless it is up to date. Returns 0."""
    return bring_up_to_date(PAGE, render())


if __name__ == "__main__":
    sys.exit(main())
