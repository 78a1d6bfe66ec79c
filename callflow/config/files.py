"""The two files that settings are in: where they are found, and what stands in them.

Which names are settings, this file does not know.
"""

from __future__ import annotations

import io
import os
import re
import tomllib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Final

from dotenv import dotenv_values
from dotenv.parser import Binding, parse_stream

from callflow.config import toml_errors
from callflow.contracts import secret_text


HOME: Final = Path(__file__).resolve().parents[2]
"""Where Callflow lies: settings that are not in the current folder are looked for there."""
_QUOTES: Final = "“”„‟«»‘’‚"  # noqa: RUF001 - these are meant
_NAME: Final = re.compile(r"[A-Za-z_][\w.-]*")


def find(name: str | Path) -> Path:
    """The first that is there: in the current folder, beside `server.py`. None is: that in the current folder.

    An absolute path is only itself.
    """
    here = Path(name)
    there = HOME / name
    return here if os.path.lexists(here) or not os.path.lexists(there) else there


def label(path: Path) -> str:
    """How a file is called in what is said about it: by its name, unless it was not found where somebody would look."""
    return str(path) if path.is_absolute() and path.parent == HOME != Path.cwd() else path.name


def read(path: Path, problems: list[str]) -> str | None:
    """None: it is not there, or cannot be read, which is a problem."""
    name = label(path)
    try:
        # utf-8-sig: editors on Windows put a byte order mark first.
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        if path.is_symlink():
            problems.append(f"{name} is a link to a file that is not there: {path.readlink()}")
        return None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        problems.append(f"{name}, line {line}: not UTF-8 text; save the file as UTF-8")
        return None
    except IsADirectoryError:
        problems.append(
            f"{name} cannot be read: Is a directory; put a file in its place, or give the folder another name"
        )
        return None
    except OSError as error:
        problems.append(f"{path} cannot be read: {error.strerror or error}")
        return None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        problems.append(f"{name}, line {line}: not UTF-8 text; save the file as UTF-8")
        return None
    return text


def toml(text: str, name: str, problems: list[str]) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line, what = toml_errors.told(text, error)
        problems.append(f"{name}, line {line}: {what}")
        return {}


def env(text: str, name: str, warnings: list[str]) -> dict[str, str | None]:
    """The variables of a `.env` file, the last one of each name in any case; what is not of that form is a warning."""
    kept: list[str] = []
    lines: dict[str, tuple[str, int]] = {}
    for binding, line in _bindings(text):
        key, value = binding.key or "", binding.value
        about = f"{name}, line {line}: "
        if binding.error or (key and value is None):
            warnings.append(f"{about}ignored, because {_why_not(binding.original.string)}")
        elif key and not _NAME.fullmatch(key):
            warnings.append(f"{about}ignored, because what stands before its = is no name")
        else:
            kept.append(binding.original.string)
            if not key:
                continue
            if key.upper() in lines:
                warnings.append(
                    f"{about}{_shown(key)} stands in line {lines[key.upper()][1]} already; this one is used"
                )
            warnings += [about + odd for odd in _oddities(key, value or "", {each for each, _ in lines.values()})]
            lines[key.upper()] = key, line
    found = dotenv_values(stream=io.StringIO("".join(kept)))
    return {key: found[key] for key, _ in lines.values()}


def _bindings(text: str) -> Iterator[tuple[Binding, int]]:
    """Each statement and its line. One that is wrong is its first line alone: the parser would take what follows a
    quote that is not closed for a part of it."""
    at = 0
    while at < len(text):
        for binding in parse_stream(io.StringIO(text[at:])):
            string = binding.original.string
            blank = len(string) - len(string.lstrip())
            line = text.count("\n", 0, at + blank) + 1
            if binding.error and "\n" in string.strip():
                first = string[: string.index("\n", blank) + 1]
                yield Binding(None, None, binding.original._replace(string=first), True), line
                at += len(first)
                break
            yield binding, line
            at += len(string)


def _why_not(statement: str) -> str:
    line = statement.strip()
    key = re.match(r"(?:export\s+)?([A-Za-z_]\w*)\s*=\s*([\"'])", line)
    if key:
        quote = key[2]
        inner = line[key.end() :]
        if quote not in inner:
            return f"the quote of {_shown(key[1])} is not closed: {quote} is missing at its end"
        return f"something stands behind the closing quote of {_shown(key[1])}; a comment begins with #"
    if word := re.match(r"(set|setx|let|var|const|export)\s", line, re.IGNORECASE):
        return f'it begins with "{word[1]}"; a line is NAME=value'
    if re.match(r"[A-Za-z_]\w*\s*:", line):
        return "between a name and its value stands =, not a colon"
    return "it is not of the form NAME=value"


def _oddities(key: str, value: str, known: Collection[str]) -> Iterator[str]:
    if value[:1] in _QUOTES and value:
        yield f'the quotes of {_shown(key)} are typographic ones, and part of its value; use plain ones: "'
    inner = [re.match(r"\s*([A-Z][A-Z0-9_]+)=", each) for each in value.split("\n")[1:]]
    if swallowed := [each[1] for each in inner if each]:
        yield (
            f"the value of {_shown(key)} goes on for {len(inner) + 1} lines, and {_shown(swallowed[0])} is a part of"
            " it; close its quote in its own line"
        )
    for name in re.findall(r"\$\{(\w+)\}", value):
        if name not in known and name not in os.environ:
            yield f"{_shown(key)} names ${{{_shown(name)}}}, and there is no such variable; nothing stands in its place"


def _shown(name: str) -> str:
    return name if len(name) <= 60 and not secret_text.may_be_secret(name) else "a name that may be a secret"
