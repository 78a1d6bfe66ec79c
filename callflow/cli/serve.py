"""`python server.py serve` and `--check`: the settings are read, and complained of, before the program is loaded."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from callflow.cli.process import bind, log_to_stderr, run
from callflow.errors import TunnelError
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
            settings, of_kept = _with_kept(settings)
            told = (*told, *of_kept)
            _show(settings)
        if problems:
            return refuse([*told, *_of_profiles(settings), *problems])
        return _check(settings, told) if check else _run(settings)
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


def _with_kept(settings: Settings) -> tuple[Settings, list[str]]:
    """These settings with what operators keep in the database, which is only read; and what there is to say of that."""
    from callflow import kept_settings
    from callflow.history.database import DatabaseError, url_of
    from callflow.history.kept import look

    try:
        rows = look(url_of(settings.database_url, settings.data_dir))
    except DatabaseError as error:
        return settings, [f"What is kept in the database (PATCH /api/session) is not known: {error}"]
    kept, odd = kept_settings.decode(rows, settings)
    return kept_settings.effective(settings, kept), [*odd, *kept_settings.overridden(settings, kept)]


def _check(settings: Settings, told: Sequence[str]) -> int:
    from callflow.engines.tools import ToolsError
    from callflow.house import House

    try:
        warnings = House(settings).warnings
    except (OSError, ToolsError) as error:
        return _cannot_start(settings, error)
    for warning in [*told, *warnings]:
        print(warning, file=sys.stderr)
    return 0


def _run(settings: Settings) -> int:
    try:
        # Tried before the rest is loaded, which takes a second.
        bind(settings.host, settings.port).close()
        settings = _asked(settings)
    except (OSError, TunnelError) as error:
        return _cannot_start(settings, error)
    from callflow import app, house

    log_to_stderr(settings.log_level, house.for_the_log(settings))
    try:
        return run(app.serve_until_signal(settings))
    except (OSError, *app.CANNOT_START) as error:
        return _cannot_start(settings, error)


def _asked(settings: Settings) -> Settings:
    """A tunnel may need a program that is not installed: nothing is downloaded without a yes."""
    if not settings.public or settings.public_base_url or settings.ngrok_download:
        return settings
    from callflow.cli import tunnel

    if not tunnel.must_ask(settings.ngrok_auth_token.get_secret_value()):
        return settings
    return settings.model_copy(update={"ngrok_download": tunnel.ask()})


def _cannot_start(settings: Settings, error: Exception) -> int:
    print(f"Cannot start: {secrets_of(settings).told(str(error))}", file=sys.stderr)
    return 2
