"""`python server.py serve` and `--check`: the settings are read and checked before the rest is imported."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Final

from callflow.config.display import secrets_of
from callflow.config.loader import load
from callflow.config.preflight import check_serve
from callflow.config.settings import Settings
from callflow.contracts.errors import NumberRefused, SettingsError, TunnelError
from callflow.runtime import allow_files, bind_both, load_httpx, log_to_stderr, run


if TYPE_CHECKING:
    from callflow.app import Application
    from callflow.config.kept_profiles import KeptProfile
    from callflow.runtime import Ports

log = logging.getLogger("callflow")

_NOT_KNOWN: Final = "What is kept in the database (PATCH /api/session, PUT /api/profiles/NAME) is not known"


def serve(overrides: Mapping[str, object], *, check: bool = False, point: str = "", yes: bool = False) -> int:
    """Serve until a signal, or only check. `overrides`: settings of the command line; None: not given. `point`, `yes`:
    see `callflow.cli.pointing`. Returns the exit code."""
    told: tuple[str, ...] = ()
    profiles: list[KeptProfile] = []
    try:
        settings = load(overrides)
        told = settings.warnings
        problems = check_serve(settings)
        if point and not (settings.public or settings.public_base_url):
            problems.append("--point needs an address that carriers reach: add --public, or set PUBLIC_BASE_URL")
        if settings.is_clustered and (point or settings.public):
            problems.append(
                "--point and --public are for one process: leave them away, or set WORKERS=1 and no CLUSTER_PORT"
            )
        if check:
            settings, of_kept, profiles = with_kept(settings)
            told = (*told, *of_kept)
            _show(settings)
        if problems:
            return refuse([*told, *_of_profiles(settings, profiles), *problems])
        return _check(settings, told, profiles) if check else _run(settings, overrides, point, yes)
    except SettingsError as error:
        return refuse([*told, *error.warnings, *error.problems])


def _of_profiles(settings: Settings, kept: Sequence[KeptProfile]) -> list[str]:
    """Return what is wrong with the profiles, so that all problems are shown at once."""
    if not settings.profiles and not kept:
        return []
    from callflow.config.profiles import Profiles

    try:
        return Profiles(settings, kept).warnings
    except SettingsError as error:
        return [*error.warnings, *error.problems]


def refuse(problems: Sequence[str]) -> int:
    """Print problems to standard error. Returns the exit code 2."""
    for problem in problems:
        print(problem, file=sys.stderr)
    return 2


def _show(settings: Settings) -> None:
    from callflow.cli.startup_report import check_table
    from callflow.cli.terminal import Screen

    Screen().print(check_table(settings))


def with_kept(settings: Settings) -> tuple[Settings, list[str], list[KeptProfile]]:
    """Return what `read_kept` does; where the database cannot be read, nothing is kept, and a warning says so."""
    from callflow.history.database import DatabaseError

    try:
        return read_kept(settings)
    except DatabaseError as error:
        return settings, [f"{_NOT_KNOWN}: {error}"], []


def read_kept(settings: Settings) -> tuple[Settings, list[str], list[KeptProfile]]:
    """Return the settings with the changes that operators have stored in the database, warnings about these, and the
    profiles of the database. Raises DatabaseError; no database is nothing kept."""
    from callflow.config import kept_profiles, session_overrides
    from callflow.history import kept_profiles as stored_profiles
    from callflow.history.database import url_of
    from callflow.history.session_overrides import look

    url = url_of(settings.database_url, settings.data_dir)
    rows, stored = look(url), stored_profiles.look(url)
    operator_overrides, warnings = session_overrides.decode(rows, settings)
    profiles = [
        kept_profiles.decode(name, of_it, settings, stored.version(name)) for name, of_it in stored.rows.items()
    ]
    overridden = session_overrides.overridden(settings, operator_overrides)
    return session_overrides.effective(settings, operator_overrides), [*warnings, *overridden], profiles


def _check(settings: Settings, told: Sequence[str], profiles: Sequence[KeptProfile]) -> int:
    from callflow.app import Application
    from callflow.contracts.errors import ToolsError

    try:
        application = Application(settings)
        application.configs.rules = application.configs.rules_under({}, profiles)
    except (OSError, ToolsError) as error:
        return _cannot_start(settings, error)
    for warning in [*told, *application.warnings]:
        print(warning, file=sys.stderr)
    if settings.recordings_url:
        from callflow.history.bucket import trouble_of

        if trouble := asyncio.run(trouble_of(settings)):
            return refuse([f"RECORDINGS_URL cannot be used: {trouble}"])
    return 0


def _run(settings: Settings, overrides: Mapping[str, object], point: str, yes: bool) -> int:
    allow_files()
    if settings.is_clustered:
        gc.enable()  # this process serves nobody
        from callflow.cli.workers import serve_with_workers

        return serve_with_workers(settings, overrides)
    with contextlib.ExitStack() as opened:
        try:
            # First of all, because the rest takes half a second: whoever connects meanwhile waits, and is not refused.
            ports = bind_both((settings.host, settings.port), (settings.console_host, settings.console_port))
            for each in filter(None, ports[:2]):
                opened.enter_context(each)
            settings = _asked(settings)
        except (OSError, TunnelError) as error:
            return _cannot_start(settings, error)
        gc.disable()  # as the command line does, see `callflow.__main__`
        opened.callback(gc.enable)
        return _load_and_run(settings, ports, point, yes)


def _load_and_run(settings: Settings, ports: Ports, point: str, yes: bool) -> int:
    load_httpx()
    from callflow.app import CANNOT_START
    from callflow.contracts.log_format import FORM, Formatter
    from callflow.switchboard import redactors

    log_to_stderr(settings.log_level, Formatter(FORM, redactors.for_the_log(settings)))
    from callflow.app import Application
    from callflow.cli.tunnel import choose
    from callflow.web.listeners import Inherited

    tunnel = choose(settings.ngrok_auth_token.get_secret_value(), settings.ngrok_download) if settings.public else None
    inherited = Inherited(*ports)
    try:
        return run(serve_until_signal(lambda: Application(settings, tunnel, inherited=inherited), point, yes))
    except (OSError, NumberRefused, *CANNOT_START) as error:
        return _cannot_start(settings, error)


async def serve_until_signal(
    make: Callable[[], Application],
    point: str = "",
    yes: bool = False,
    *,
    reports: bool = True,
    of_all: Mapping[str, object] | None = None,
    leaves: Callable[[Application], None] | None = None,
) -> int:
    """Serve until the first SIGTERM or SIGINT, then drain; a second one ends it at once. `make`: makes what serves.
    `reports`: print the start table. `of_all`: settings of which this process has its share. `leaves`: called when it
    begins to drain."""
    from callflow.cli.pointing import TemporaryPointing, left_over
    from callflow.switchboard.garbage_collection import GarbageCollection

    if reports:
        _load_report()
    loop = asyncio.get_running_loop()
    signals: asyncio.Queue[None] = asyncio.Queue()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, signals.put_nowait, None)
    application = make()
    async with (
        _with_phone(application),
        application,
        TemporaryPointing(application, point, yes=yes) as pointing,
    ):
        if reports:
            more = [*await left_over(application), *await _endings(application)]
            _report(application, more, of_all or {})
        switchboard = application.switchboard
        garbage = GarbageCollection(lambda: len(switchboard.calls) + switchboard.unwritten)
        switchboard.on_call_gone = garbage.call_gone
        garbage.begin()
        try:
            await signals.get()
            log.info("draining: no new calls, %d live", len(application.switchboard.calls))
            if leaves is not None:
                leaves(application)
            pointing.put_back()
            draining = asyncio.create_task(application.leave())
            again = asyncio.create_task(signals.get())
            await asyncio.wait({draining, again}, return_when=asyncio.FIRST_COMPLETED)
            for task in (draining, again):
                task.cancel()
            await asyncio.gather(draining, again, return_exceptions=True)
        finally:
            garbage.end()
    return 0


def _with_phone(application: Application) -> AbstractAsyncContextManager[None]:
    """Put a phone into the operators' page."""
    if not application.settings.console_phone:
        return contextlib.nullcontext()
    from callflow.cli.phone_line import phone_line

    return phone_line(application)


def _load_report() -> None:
    """Load what the start table needs: once callers are served, nothing is loaded on their loop."""
    from callflow.cli import model_shutdowns, plain_table, startup_report  # noqa: F401
    from callflow.config import setup_checks  # noqa: F401


async def _endings(application: Application) -> list[str]:
    from callflow.cli.model_shutdowns import model_shutdowns

    return await model_shutdowns(application.settings, application.configs, application.warnings)


def _report(application: Application, more: Sequence[str], of_all: Mapping[str, object]) -> None:
    from callflow.cli.plain_table import show
    from callflow.cli.startup_report import start_table
    from callflow.config.setup_checks import webhooks

    known = application.address.known
    table = start_table(
        application.effective.model_copy(update=of_all),
        public=application.public_at,
        console=application.console_at,
        address=known,
        warnings=[*application.settings.warnings, *application.warnings, *more],
        profiles=application.profiles.summary(),
    )
    with contextlib.suppress(BrokenPipeError):  # the reader of this table is gone; callers are not
        show(table)
        for name, url in webhooks(application.settings, known).items() if known else ():
            print(f"{name}: {url}", flush=True)


def _asked(settings: Settings) -> Settings:
    """Ask whether ngrok may be downloaded, if a tunnel needs it. Returns the settings with the answer."""
    if not settings.public or settings.public_base_url or settings.ngrok_download:
        return settings
    from callflow.cli import tunnel

    if not tunnel.must_ask(settings.ngrok_auth_token.get_secret_value()):
        return settings
    return settings.model_copy(update={"ngrok_download": tunnel.ask()})


def _cannot_start(settings: Settings, error: Exception) -> int:
    print(f"Cannot start: {secrets_of(settings).safe_text(str(error))}", file=sys.stderr)
    return 2
