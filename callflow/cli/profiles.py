"""`server.py profiles`: the profiles of the running server, their versions, and their text for settings.toml.

Exit codes: 0, it is done; 1, there is no such profile, or the server has refused; 2, the words or the settings cannot
be used, or no server is running.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any, Final
from urllib.parse import quote

from callflow.cli.operators_port import OperatorsPort, read_settings, says_why
from callflow.cli.terminal import print_table
from callflow.config.kept_profiles import NUMBERS, to_toml
from callflow.contracts import printable
from callflow.contracts.errors import ProfileRefused


_SECONDS: Final = 20.0
_CHANGES_SHOWN: Final = 8


@says_why
def run(arguments: argparse.Namespace) -> int:
    """Run one of the commands behind `profiles`. Returns the exit code."""
    port = OperatorsPort(read_settings())
    try:
        return _ACTS[arguments.act or "list"](port, arguments)
    except ProfileRefused as refused:
        print(*refused.reasons, sep="\n", file=sys.stderr)
        return 1


def _ask(port: OperatorsPort, method: str, path: str) -> dict[str, Any]:
    """Raises ConsoleError, or ProfileRefused with what the server says."""
    status, told = port.ask(method, path, seconds=_SECONDS)
    if status >= 400:
        raise ProfileRefused(status, *(printable.line(str(line)) for line in told.get("problems", [told["error"]])))
    return told


def _path(name: str) -> str:
    return f"/api/profiles/{quote(name, safe='')}"


def _list(port: OperatorsPort, _: argparse.Namespace) -> int:
    told = _ask(port, "GET", "/api/profiles")
    rows = [
        (
            one["name"], _place(one), str(one["version"] or "–"), ", ".join(one[NUMBERS]), one["changed"] or "",
            one["by"] or "",
        )
        for one in told["profiles"]
    ]  # fmt: skip
    if rows:
        print_table(("profile", "in", "version", "numbers", "changed", "by"), rows)
    else:
        print("There are no profiles: all numbers have the same settings.")
    _warn([*told["warnings"], *(line for one in told["profiles"] for line in one["warnings"])])
    return 0


def _place(one: dict[str, Any]) -> str:
    places = {"file": "settings.toml", "database": "database", "both": "database, and settings.toml"}
    return places.get(one["origin"], str(one["origin"]))


def _profile(port: OperatorsPort, arguments: argparse.Namespace) -> int:
    told = _ask(port, "GET", _path(arguments.name))
    print(f"{printable.line(told['name'])} ({_place(told)}), version {told['version']}: {', '.join(told[NUMBERS])}")
    rows = [
        (name, str(one["value"]).lower() if isinstance(one["value"], bool) else str(one["value"]), one["origin"])
        for name, one in told["settings"].items()
    ]
    print_table(("setting", "value", "from"), rows)
    _warn(told["warnings"])
    return 0


def _versions(port: OperatorsPort, arguments: argparse.Namespace) -> int:
    told = _ask(port, "GET", f"{_path(arguments.name)}/versions")
    if not told["versions"]:
        print("This profile stands in settings.toml only, which has no versions.")
        return 0
    rows = [(str(one["version"]), one["changed"], one["by"], _changes(one)) for one in told["versions"]]
    print_table(("version", "changed", "by", "what"), rows)
    return 0


def _changes(one: dict[str, Any]) -> str:
    if one["gone"]:
        return "deleted"
    names = one["changes"]
    if names is None:
        return "the version before is kept no more"
    more = f" and {len(names) - _CHANGES_SHOWN} more" if len(names) > _CHANGES_SHOWN else ""
    return (", ".join(names[:_CHANGES_SHOWN]) or "nothing") + more


def _restore(port: OperatorsPort, arguments: argparse.Namespace) -> int:
    told = _ask(port, "POST", f"{_path(arguments.name)}/versions/{arguments.version}/restore")
    print(f"Profile {printable.line(told['name'])} is as it was in version {arguments.version}, from the next call on.")
    print(f"That is version {told['version']} now.")
    _warn(told["warnings"])
    return 0


def _export(port: OperatorsPort, arguments: argparse.Namespace) -> int:
    names = [arguments.name] if arguments.name else [
        one["name"] for one in _ask(port, "GET", "/api/profiles")["profiles"] if one["origin"] != "file"
    ]  # fmt: skip
    texts = []
    for name in names:
        told = _ask(port, "GET", _path(name))
        if told["origin"] == "file":
            raise ProfileRefused(404, f"Profile {printable.line(name)} stands in settings.toml only.")
        texts.append(to_toml(told["name"], told[NUMBERS], told["kept"]))
    if not texts:
        print("The database has no profiles.", file=sys.stderr)
    sys.stdout.write("\n".join(texts))
    return 0


def _warn(lines: list[str]) -> None:
    for line in dict.fromkeys(lines):
        print(printable.line(line), file=sys.stderr)


_ACTS: Final = {"list": _list, "show": _profile, "versions": _versions, "restore": _restore, "export": _export}
