"""What `python -m callflow.mcp` runs: the history of the calls as an MCP server on standard input and output.

Clients start it in any folder. In a folder with Callflow's settings or database, settings are read from there, as by a
server that is started there. In any other folder a `.env` belongs to another program: only the files beside
`server.py` are read.

The database is opened to be read only: nothing in it is changed and no file is made beside it, also when it is of an
earlier system or version.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from mcp.server.stdio import stdio_server
from sqlalchemy import URL

from callflow.config.display import secrets_of
from callflow.config.files import HOME
from callflow.config.loader import load
from callflow.config.profiles import country
from callflow.config.settings import Settings
from callflow.contracts.errors import McpToolError, SettingsError
from callflow.contracts.log_format import FORM, Formatter
from callflow.history.database import Database, DatabaseError, url_of
from callflow.history.store import Store
from callflow.mcp.last_answers import Incoming, Outgoing
from callflow.mcp.server import NAME, make_server
from callflow.runtime import interruptible


class Reader:
    """Opens the database when it is first needed, and checks it before each query: it may be made, or migrated by a
    server, while this process runs."""

    def __init__(self, url: URL, country: str) -> None:
        self._store = Store(Database(url, read_only=True), country=country)

    async def store(self) -> Store:
        """Return the store. Raises McpToolError when the database cannot be used."""
        try:
            await self._store.database.check()
        except DatabaseError as error:
            raise McpToolError(str(error)) from None
        return self._store

    async def close(self) -> None:
        """Close the database."""
        await self._store.database.close()


def home() -> Path:
    """Return the folder with Callflow's settings and database: the present one, or that of `server.py`."""
    here = Path.cwd()
    set_up = any((here / name).exists() for name in ("settings.toml", "data/callflow.db"))
    return here if set_up else HOME


def settings_of(folder: Path) -> Settings:
    """Read the settings as a server that is started in this folder. Raises SettingsError."""
    return load() if folder == Path.cwd() else load(toml=folder / "settings.toml", env_file=folder / ".env")


def history_url(folder: Path) -> URL:
    """Return the address of the database. Raises SettingsError, DatabaseError."""
    settings = settings_of(folder)
    url = url_of(settings.database_url, settings.data_dir)
    if url.get_backend_name() == "sqlite":
        file = url.database or ""
        url = url.set(
            database=str(next((each / file for each in (folder, HOME) if (each / file).exists()), folder / file))
        )
    return url


async def serve(url: URL, country: str) -> None:
    """Serve one client until its input ends and all of it is answered. `country`: of telephone numbers without a
    country code, as "DE"."""
    reader = Reader(url, country)
    server = make_server(reader.store)
    print(f"{NAME}: Callflow's history of calls, read only, for an MCP client on this standard input", file=sys.stderr)
    try:
        async with stdio_server() as (incoming, writing):
            outgoing = Outgoing(writing)
            await server.run(Incoming(incoming, outgoing), outgoing, server.create_initialization_options())
    finally:
        await reader.close()


def main() -> int:
    """Run the command. Returns its exit code: 2 when the settings or the database cannot be used."""
    handler = logging.StreamHandler(sys.stderr)
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    folder = home()
    try:
        url = history_url(folder)
        handler.setFormatter(Formatter(FORM, secrets_of(settings_of(folder)).lines))
    except SettingsError as error:
        print("\n".join(error.problems), file=sys.stderr)
        return 2
    except DatabaseError as error:
        print(error, file=sys.stderr)
        return 2
    with interruptible():
        return _run(serve(url, country(settings_of(folder))))


def _run(serving: Coroutine[Any, Any, None]) -> int:
    code = 0
    try:
        asyncio.run(serving)
    except* BrokenPipeError:
        pass  # the client is gone
    except* OSError as errors:
        print(f"{NAME}: the client cannot be answered: {errors.exceptions[0]}", file=sys.stderr)
        code = 1
    return code
