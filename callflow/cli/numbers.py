"""`server.py numbers`: the numbers of the carriers' accounts, and where their calls go.

It speaks with the carriers itself, whether or not a server runs, and asks before it changes anything.

Exit codes: 0, it is done; 1, it is not; 2, the words or the settings cannot be used.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from callflow.cli import doctor
from callflow.cli.serve import refuse
from callflow.cli.terminal import new_table, print_wide
from callflow.config.loader import load
from callflow.config.phone_numbers import Numbers
from callflow.config.profiles import country
from callflow.config.settings import Settings
from callflow.contracts import addresses, printable
from callflow.contracts.errors import NumberRefused, SettingsError
from callflow.contracts.numbers import OwnNumber, Pointed, PointingPlan
from callflow.history.database import Database, DatabaseError, url_of
from callflow.history.pointed_numbers import PointedNumbers
from callflow.switchboard.number_service import NumberService, previous, shown
from callflow.switchboard.shielded_changes import ShieldedChanges
from callflow.web.public.address import PublicAddress
from carriers.registry import make_carriers


NO_ADDRESS: Final = (
    "The public address is not known: set PUBLIC_BASE_URL, or start the server with --public (and --point NUMBER)."
)


async def run_numbers(arguments: argparse.Namespace) -> int:
    """Run one of the commands behind `numbers`. Returns the exit code."""
    try:
        settings = load()
    except SettingsError as error:
        return refuse([*error.warnings, *error.problems])
    if not (settings.telnyx_on or settings.twilio_on):
        return refuse(["No carrier is set up: `python server.py doctor` says what is missing."])
    act = arguments.act or "list"
    try:
        async with _open_service(settings, writes=act != "list") as service:
            return await _ACTS[act](settings, service, arguments)
    except NumberRefused as refused:
        for reason in refused.reasons:
            print(reason, file=sys.stderr)
        return 1
    except BrokenPipeError:  # an `OutputError`, too: see `safe_output`
        raise
    except DatabaseError as error:
        return refuse([f"What a number leads to cannot be kept for an undo: {error}"])
    except (SQLAlchemyError, OSError) as error:
        return refuse([f"What a number leads to cannot be kept for an undo: {type(error).__name__}"])


@asynccontextmanager
async def _open_service(settings: Settings, *, writes: bool) -> AsyncIterator[NumberService]:
    """Open what is kept of earlier changes; for a list nothing is made and nothing is changed. Raises DatabaseError."""
    url = url_of(settings.database_url, settings.data_dir)
    is_there = url.get_backend_name() != "sqlite" or await asyncio.to_thread(Path(url.database or "").is_file)
    database = Database(url, read_only=not writes) if writes or is_there else None
    carriers, shielded = make_carriers(settings, PublicAddress(settings.public_base_url, "")), ShieldedChanges()
    try:
        if writes and database is not None:
            await database.migrate()
        normal = Numbers(country(settings)).e164_or_same
        kept, may_release = PointedNumbers(database), settings.allow_number_release
        yield NumberService(carriers, kept, normal, shielded=shielded, may_release=may_release)
    finally:
        await shielded.close()
        for carrier in carriers:
            await carrier.close()
        if database is not None:
            await database.close()


async def _list(settings: Settings, service: NumberService, _: argparse.Namespace) -> int:
    address = await doctor.address_of(settings)
    found = await service.listed(address)
    titles = ("number", "carrier", "name", "here", "its calls go to", "what to know")
    table = new_table(titles, texts=("name", "its calls go to", "what to know"))
    for one, kept in found.numbers:
        here = "yes" if one.is_here else "no" if address else "–"
        cells = (one.number, one.carrier, one.name, here, _leads_to(one), _notes(one, kept))
        table.add_row(*(Text(printable.line(cell)) for cell in cells))
    if found.numbers:
        print_wide(table)
    elif not found.problems:
        print("The accounts have no numbers.")
    for problem in (*found.problems, *([] if address else [NO_ADDRESS])):
        print(problem, file=sys.stderr)
    return 1 if found.problems else 0


def _leads_to(one: OwnNumber) -> str:
    return (addresses.shown(one.leads_to) if "://" in one.leads_to else one.leads_to) or "nowhere"


def _notes(one: OwnNumber, kept: Pointed | None) -> str:
    notes = [*one.overrides, *one.lacks]
    if kept is not None and (before := previous(kept)):
        led = ", ".join(f"{name} {value}" for name, value in before.items())
        notes.append(f"pointed here{' until the stop' if kept.temporary else ''}; undo: {led}")
    return "; ".join(notes)


async def _point(settings: Settings, service: NumberService, arguments: argparse.Namespace) -> int:
    address = await doctor.address_of(settings)
    if not address:
        raise NumberRefused(409, NO_ADDRESS)
    plan = await service.plan(arguments.number, address, arguments.carrier or "")
    number = plan.number.number
    print(f"{number} ({plan.number.carrier}) leads to {_leads_to(plan.number)}.")
    _show_plan(plan)
    if any(part.changes for part in plan.parts) and not agreed(arguments, "Change this?"):
        return 1
    await service.point(plan)
    print(f"Its calls come to {addresses.shown(address)}. `python server.py numbers undo {number}` puts it back.")
    return 0


def _show_plan(plan: PointingPlan) -> None:
    """Print what a plan changes, and what that does besides."""
    for part in plan.parts:
        for name, value in part.changes.items():
            print(f"  {name}: {shown(part.before[name])} → {shown(value)}")
    for each in plan.consequences:
        print(f"Besides, {each}.")


async def _undo(_: Settings, service: NumberService, arguments: argparse.Namespace) -> int:
    number = arguments.number
    if not agreed(arguments, f"Put back where {number} led before it was pointed here?"):
        return 1
    for line in await service.undo(number, arguments.carrier or "", yes=arguments.yes) or ["It leads there already."]:
        print(line)
    return 0


async def _release(settings: Settings, service: NumberService, arguments: argparse.Namespace) -> int:
    number, confirm = arguments.number, arguments.confirm
    if not settings.allow_number_release:
        raise NumberRefused(403, "Numbers are not released from here: set ALLOW_NUMBER_RELEASE=true.")
    if confirm is None:
        if not sys.stdin.isatty():
            raise NumberRefused(400, "Nothing was released: say --confirm with the number once more.")
        print(f"{number} is given back for ever. Type the number again: ", end="", file=sys.stderr, flush=True)
        confirm = sys.stdin.readline()
    released = await service.release(number, confirm, arguments.carrier or "")
    print(f"{released} is given back to its carrier.")
    return 0


def agreed(arguments: argparse.Namespace, question: str) -> bool:
    """Ask, unless --yes was said; without a terminal there is nobody to ask."""
    if arguments.yes:
        return True
    if not sys.stdin.isatty():
        print("Nothing was changed: say --yes where nobody can be asked.", file=sys.stderr)
        return False
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    print("Nothing was changed.", file=sys.stderr)
    return False


_ACTS: Final = {"list": _list, "point": _point, "undo": _undo, "release": _release}
