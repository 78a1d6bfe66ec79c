"""Check at start that the files and folders which settings name exist and can be used."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Final

from callflow.config import display, files
from callflow.config.settings import Settings


_RECORD: Final = "callflow.db"
_SQLITE: Final = re.compile(r"sqlite:///(.+?)(\?.*)?")


def problems(settings: Settings) -> list[str]:
    """Return a line for each file or folder that cannot be used, with the setting and what to do."""
    found = [*_tools(settings), *_data(settings)]
    if file := _SQLITE.fullmatch(settings.database_url):
        found += _database(settings, Path(file[1]))
    return found


def warnings(settings: Settings) -> list[str]:
    """Return a line when a new database would be started although there is one beside `server.py`; else nothing."""
    here, home = Path.cwd(), files.HOME
    folder = Path(settings.data_dir)
    if here == home or folder.is_absolute() or settings.database_url:
        return []
    if (here / folder / _RECORD).exists() or not (home / folder / _RECORD).exists():
        return []
    what = (
        f"DATA_DIR: A NEW RECORD OF THE CALLS BEGINS IN {here / folder}; the one in {home / folder} is not used."
        f" To go on with that, start in {home}, or set DATA_DIR={home / folder}"
    )
    return [what]


def tools_file(settings: Settings) -> Path:
    """Return the path of the tools' file: in the current folder, else beside `server.py`."""
    return files.find(settings.tools_file)


def cannot_use(settings: Settings, error: OSError) -> str:
    """Return the message for a data folder that turned out to be unusable."""
    what = f"{error.strerror}): {_ANOTHER}" if error.strerror else f"{error})"
    return f"{_named(settings, 'data_dir')} cannot be used ({what}"


_ANOTHER: Final = "name a folder that this user may write to"


def _tools(settings: Settings) -> list[str]:
    if settings.origin("tools_file") == "default":
        return []
    path = tools_file(settings)
    name = _named(settings, "tools_file")
    if of_shell := _of_shell(settings.tools_file):
        return [f"{name} {of_shell}"]
    if path.is_dir():
        return [f"{name} is a folder: name a Python file in it"]
    if path.exists() and path.suffix != ".py":
        return [f"{name} is no Python file: its name must end in .py"]
    if path.exists() and not os.access(path, os.R_OK):
        return [f"{name} cannot be read: let this user read it"]
    if path.exists():
        return []
    places = {Path.cwd(), files.HOME} if not path.is_absolute() else {path.parent}
    where = " or ".join(sorted(str(place) for place in places))
    return [f"{name} is not there (in {where}): correct the name, or leave it out to have no tools"]


def _data(settings: Settings) -> list[str]:
    folder = Path(settings.data_dir)
    name = _named(settings, "data_dir")
    if "://" in settings.data_dir:
        return [f"{name} is a folder, and no address: for a database server set DATABASE_URL"]
    if of_shell := _of_shell(settings.data_dir):
        return [f"{name} {of_shell}"]
    if trouble := _trouble(folder):
        return [f"{name} cannot be used ({trouble}): {_ANOTHER}"]
    return []


def _database(settings: Settings, file: Path) -> list[str]:
    name = f"DATABASE_URL ({settings.origin('database_url')})"
    if of_shell := _of_shell(str(file)):
        return [f"{name} {of_shell}"]
    if file.is_dir():
        return [f"{name} cannot be used ({file} is a folder): name a file in it, such as sqlite:///{file}/{_RECORD}"]
    if file.exists() and not os.access(file, os.W_OK):
        return [f"{name} cannot be used ({file} may not be written): let this user write it"]
    if trouble := _trouble(file.parent):
        return [f"{name} cannot be used ({trouble}): name a file in a folder that this user may write to"]
    return []


def _of_shell(path: str) -> str:
    """Return what is wrong with a path that holds `~` or a variable, which only a shell replaces; "": nothing."""
    return "holds ~ or $, which only a shell knows: write the whole path" if re.match(r"~|.*\$\w", path) else ""


def _trouble(folder: Path) -> str:
    """Return why this folder cannot be written to, or be made; "": it can."""
    try:
        there = next(each for each in (folder, *folder.absolute().parents) if os.path.lexists(each))
        if not there.is_dir():
            return f"{there} is {'a link to nothing' if there.is_symlink() and not there.exists() else 'a file'}"
    except OSError as error:
        return str(error.strerror or error)
    try:
        # A real try, because permissions say nothing to root. The file is deleted at once.
        with tempfile.TemporaryFile(dir=there):
            return ""
    except OSError:
        return f"{there} may not be written to"


def _named(settings: Settings, name: str) -> str:
    value = display.value(name, str(getattr(settings, name)), display.secrets_of(settings))
    return f'{name.upper()}="{value}" ({settings.origin(name)})'
