"""The schema's versions, and Alembic, which leads from one to the next."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection


def upgrade(connection: Connection) -> None:
    """Bring a database up to date within the transaction of this connection, from nothing or from any version.

    Loads Alembic, which takes 0.1 s and stays in memory: 11 MB.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
