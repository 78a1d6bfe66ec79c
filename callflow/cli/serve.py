"""`python server.py serve` and `--check`: the settings are read, and complained of, before the program is loaded."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from callflow.cli.process import bind, log_to_stderr, run
from callflow.settings import Settings, SettingsError, check_serve
from callflow.settings_loader import load
from callflow.settings_shown import secrets_of


def serve(overrides: Mapping[str, object], *, check: bool = False) -> int:
    """Blocks until it is told to stop. `overrides`: what the command line said; None: not given. The exit code."""
    told: tuple[str, ...] = ()
    try:
        settings = load(overrides)
        told = settings.warnings
        problems = check_serve(settings)
        if check:
            _show(settings)
        if problems:
            return refuse([*told, *_of_profiles(settings), *problems])
        return _check(settings) if check else _run(settings)
    except SettingsError as error:
        return refuse([*told, *error.warnings, *error.problems])


def _of_profiles(settings: Settings) -> list[str]:
    """What is wrong with them as well: whoever has corrected one thing should not find another."""
    if not settings.profiles:
        return []
    from callflow.profiles import Profiles

    try:
        return Profiles(settings).warnings
    except SettingsError as error:
        return [*error.warnings, *error.problems]


def refuse(problems: Sequence[str]) -> int:
    for problem in problems:
        print(problem, file=sys.stderr)
    return 2


def _show(settings: Settings) -> None:
    from callflow.cli.start_table import check_table
    from callflow.cli.terminal import Screen

    Screen().print(check_table(settings))


def _check(settings: Settings) -> int:
    from callflow.engines.tools import ToolsError
    from callflow.house import House

    try:
        warnings = House(settings).warnings
    except (OSError, ToolsError) as error:
        return _cannot_start(settings, error)
    for warning in [*settings.warnings, *warnings]:
        print(warning, file=sys.stderr)
    return 0


def _run(settings: Settings) -> int:
    try:
        # Tried before the rest is loaded, which takes a second.
        bind(settings.host, settings.port).close()
    except OSError as error:
        return _cannot_start(settings, error)
    from callflow import app, house

    log_to_stderr(settings.log_level, house.for_the_log(settings))
    try:
        return run(app.serve_until_signal(settings))
    except (OSError, *app.CANNOT_START) as error:
        return _cannot_start(settings, error)


def _cannot_start(settings: Settings, error: Exception) -> int:
    print(f"Cannot start: {secrets_of(settings).told(str(error))}", file=sys.stderr)
    return 2
