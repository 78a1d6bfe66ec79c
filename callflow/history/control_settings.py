"""The runtime settings of the control endpoint, as the database keeps them: at most one row."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, select

from callflow.history.database import Database
from callflow.history.tables import control_settings, iso


class StoredControl:
    """Every method raises what the driver raises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self) -> dict[str, Any] | None:
        """Return the settings as they were given to `write`; None: the defaults hold."""
        text = await self._database.read(lambda connection: connection.scalar(select(control_settings.c.settings)))
        found = json.loads(text) if text else None
        return found if isinstance(found, dict) else None

    async def write(self, settings: Mapping[str, Any] | None, by: str) -> None:
        """Keep these settings; None: the defaults hold again."""

        def work(connection: Connection) -> None:
            connection.execute(control_settings.delete())
            if settings is not None:
                now = iso(datetime.now(UTC).timestamp())
                text = json.dumps(settings, ensure_ascii=False)
                row = {"id": 1, "settings": text, "changed_at": now, "changed_by": by}
                connection.execute(control_settings.insert().values(row))

        await self._database.write(work)
