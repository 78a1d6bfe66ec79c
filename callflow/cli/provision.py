"""`server.py provision`: tells the carriers what to do when this server does not answer.

It speaks with the carriers itself, whether or not a server runs, and asks before it changes anything.

Exit codes: 0, it is done, or there is nothing to do; 1, it is not; 2, the words or the settings cannot be used.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from sqlalchemy.exc import SQLAlchemyError

from callflow.cli import doctor
from callflow.cli.numbers import NO_ADDRESS, agreed
from callflow.cli.serve import read_kept, refuse, with_kept
from callflow.cli.terminal import print_table
from callflow.config.kept_profiles import KeptProfile
from callflow.config.loader import load
from callflow.config.profiles import Profiles
from callflow.config.settings import Settings
from callflow.contracts import addresses
from callflow.contracts.errors import NumberRefused, SettingsError
from callflow.contracts.failover import Failover, FailoverPlan, Provision
from callflow.history import provisions
from callflow.history.database import Database, DatabaseError, url_of
from callflow.history.provisions import Provisions
from callflow.switchboard.failover_service import FailoverService, Undo, failover_of
from callflow.switchboard.number_service import shown
from callflow.web.public.address import PublicAddress
from carriers.registry import make_carriers, page_without_server


_NOTHING_SET: Final = (
    "Nothing says what a carrier is to do when this server does not answer. Set one of these in settings.toml:\n"
    '  failover_url = "https://backup.example.org"  # a second Callflow, which the carriers ask then\n'
    '  fallback_number = "+15550100010"             # whom callers are connected with (Telnyx rings it by itself; for\n'
    "                                               # Twilio, see `python server.py provision --twiml`)"
)
_ANYWAY: Final = "anyway"


async def run_provision(arguments: argparse.Namespace) -> int:
    """Run the command. Returns the exit code."""
    warnings: list[str] = []
    kept: list[KeptProfile] = []
    # A document is printed by what is known, so that there is one while the database is away. An undo asks for nobody's
    # settings, but for what was there before.
    read = with_kept if arguments.twiml else read_kept
    try:
        settings = load()
        warnings += settings.warnings
        if not arguments.undo:
            settings, of_kept, kept = await asyncio.to_thread(read, settings)
            warnings += of_kept
        profiles = Profiles(settings, kept)
    except SettingsError as error:
        return refuse([*warnings, *error.warnings, *error.problems])
    except (DatabaseError, SQLAlchemyError, OSError) as error:
        said = str(error) if isinstance(error, DatabaseError) else type(error).__name__
        return refuse([*warnings, f"Whom callers are to be connected with is not known: {said}"])
    for warning in (*warnings, *profiles.warnings):
        print(warning, file=sys.stderr)
    if arguments.twiml:
        return _print_twiml(settings)
    wanted = [name for name in ("telnyx", "twilio") if getattr(settings, f"{name}_on")]
    if arguments.carrier:
        wanted = [name for name in wanted if name == arguments.carrier]
    if not wanted:
        whose = f"{arguments.carrier.capitalize()} is not" if arguments.carrier else "No carrier is"
        return refuse([f"{whose} set up: `python server.py doctor` says what is missing."])
    failover = failover_of(settings, profiles)
    if failover is None and not arguments.undo:
        return refuse([_NOTHING_SET])
    try:
        async with _open_service(settings, wanted) as (service, database):
            if failover is None or arguments.undo:
                return await _undo(service, database, arguments)
            return await _provision(settings, service, database, arguments, failover)
    except NumberRefused as refused:
        for reason in refused.reasons:
            print(reason, file=sys.stderr)
        return 1
    except (DatabaseError, SQLAlchemyError, OSError) as error:
        said = str(error) if isinstance(error, DatabaseError) else type(error).__name__
        return refuse([f"What the carriers hold now cannot be kept for an undo: {said}"])


@asynccontextmanager
async def _open_service(settings: Settings, names: list[str]) -> AsyncIterator[tuple[FailoverService, Database]]:
    """Open what speaks with the carriers, and the database for what it keeps, which is as it was: bring it up to date
    before anything is kept."""
    database = Database(url_of(settings.database_url, settings.data_dir))
    made = make_carriers(settings, PublicAddress(settings.public_base_url, ""))
    try:
        if database.server is None:
            await asyncio.to_thread(Path(settings.data_dir).mkdir, parents=True, exist_ok=True)
        yield FailoverService([one for one in made if one.name in names], Provisions(database)), database
    finally:
        for carrier in made:
            await carrier.close()
        await database.close()


async def _provision(
    settings: Settings,
    service: FailoverService,
    database: Database,
    arguments: argparse.Namespace,
    wanted: Failover,
) -> int:
    """`wanted`: without our address."""
    address = await doctor.address_of(settings)
    if not address:
        raise NumberRefused(409, NO_ADDRESS)
    if urlsplit(settings.failover_url).netloc == urlsplit(address).netloc:
        raise NumberRefused(409, "FAILOVER_URL leads to this server itself, which does not answer when it is down.")
    print("Looking up what the carriers do now …", flush=True)
    plans = await service.plan(replace(wanted, address=address))
    found = [one for plan in plans for one in plan.provisions]
    _show(found, plans)
    todo = [one for one in found if one.part.changes]
    if not todo:
        print("There is nothing to change." if found else "Nothing can be set.")
        return 0 if found else 1
    if not agreed(arguments, "Change this?"):
        return 1
    await database.migrate()
    for place, one in enumerate(todo, start=1):
        await service.apply(one)
        print(f"{place} of {len(todo)}: {one.carrier}, {one.about}: set, and read back.", flush=True)
    print("Done. `python server.py provision --undo` puts it back, `python server.py drill` shows what callers hear.")
    return 0


def _show(found: list[Provision], plans: list[FailoverPlan]) -> None:
    rows = [
        (one.carrier, one.about, name, shown(one.part.before.get(name, "")), shown(value))
        for one in found
        for name, value in one.part.after.items()
    ]
    if rows:
        print_table(("carrier", "what", "field", "now", "then"), [(*row[:4], _then(row[3], row[4])) for row in rows])
    for note in dict.fromkeys(note for plan in plans for note in plan.notes):
        print(note)


def _then(now: str, then: str) -> str:
    return "as it is" if now == then else then


async def _undo(service: FailoverService, database: Database, arguments: argparse.Namespace) -> int:
    print("Looking up what the carriers do now …", flush=True)
    undos = await service.undos(await asyncio.to_thread(provisions.look, database.url))
    if not undos:
        print("There is nothing to put back: nothing was set from here.")
        return 0
    rows = [
        (one.kept.carrier, one.kept.about, name, shown(one.kept.part.after.get(name, "")), shown(value))
        for one in undos
        for name, value in one.values.items()
    ]
    if rows:
        print_table(("carrier", "what", "field", "set from here", "before"), rows)
    if not agreed(arguments, "Put this back?" if rows else "All is as it was before. Remember it no more?"):
        return 1
    await database.migrate()
    left = 0
    for number, one in enumerate(undos, start=1):
        about = f"{number} of {len(undos)}: {one.kept.carrier}, {one.kept.about}"
        if one.foreign and not _typed_anyway(about, one):
            left += 1
            continue
        await service.undo(one)
        done = "is not there any more" if one.is_gone else "put back" if one.values else "is as it was already"
        print(f"{about}: {done}.", flush=True)
    return 1 if left else 0


def _typed_anyway(about: str, one: Undo) -> bool:
    """Ask about what somebody else has changed meanwhile. Without a terminal it stays as it is."""
    print(f"{about}: somebody else has changed {', '.join(one.foreign)} since.", file=sys.stderr)
    if sys.stdin.isatty():
        print(f"Type {_ANYWAY} to put it back all the same: ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip() == _ANYWAY:
            return True
    print("It stays as it is.", file=sys.stderr)
    return False


def _print_twiml(settings: Settings) -> int:
    """Print a document that Twilio can play without a server."""
    print(page_without_server(settings))
    is_page = settings.failover_url and not Failover("", settings.failover_url).is_server
    where = addresses.shown(settings.failover_url) if is_page else "an address of yours"
    print(
        f"Serve this as text/xml by GET from {where}, which must not be on this server, and set FAILOVER_URL to it.",
        file=sys.stderr,
    )
    return 0
