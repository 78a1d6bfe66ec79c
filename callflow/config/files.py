"""The two files that hold settings, `settings.toml` and `.env`: where they are found, and how they are read.

Nothing here depends on which names are settings.
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
"""The folder of `server.py`: a file that is not in the current folder is looked for there."""
_QUOTES: Final = "“”„‟«»‘’‚"  # noqa: RUF001 - these are meant
_NAME: Final = re.compile(r"[A-Za-z_][\w.-]*")


def find(name: str | Path) -> Path:
    """Return the path in the current folder, or the one beside `server.py` if only that one exists.

    An absolute path is returned as it is.
    """
    here = Path(name)
    there = HOME / name
    return here if os.path.lexists(here) or not os.path.lexists(there) else there


def label(path: Path) -> str:
    """Return what a message calls this file: its name, or its whole path when it is not in the current folder."""
    return str(path) if path.is_absolute() and path.parent == HOME != Path.cwd() else path.name


def read(path: Path, problems: list[str]) -> str | None:
    """Return the text of a file, or None when there is no such file or it cannot be read.

    A file that cannot be read adds a line to `problems`.
    """
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
    """Parse TOML; an error adds a line to `problems`, and the result is empty. `name`: the file's, for the line."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line, what = toml_errors.explain(text, error)
        problems.append(f"{name}, line {line}: {what}")
        return {}


def env(text: str, name: str, warnings: list[str]) -> dict[str, str | None]:
    """Parse the text of a `.env` file into its variables: the last one of each name, whatever its case.

    Each line that is no `NAME=value`, and each value that looks like a slip, adds a line to `warnings`. `name`: the
    file's, for those lines.
    """
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
            warnings += [
                about + problem for problem in _problems(key, value or "", {each for each, _ in lines.values()})
            ]
            lines[key.upper()] = key, line
    found = dotenv_values(stream=io.StringIO("".join(kept)))
    return {key: found[key] for key, _ in lines.values()}


def _bindings(text: str) -> Iterator[tuple[Binding, int]]:
    """Yield each statement and the number of its line.

    A quote that is not closed would swallow the lines after it. So only the first line of such a statement is yielded,
    as an error, and parsing goes on behind that line.
    """
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


def _problems(key: str, value: str, known: Collection[str]) -> Iterator[str]:
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
