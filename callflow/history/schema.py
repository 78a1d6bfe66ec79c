"""The schema of a new SQLite file, as the migrations make it: `schema.sql`, written by this module as a command.

A new file is made by it at once, without Alembic, whose modules would take 0.1 s of the first start and stay in memory
(11 MB). Files of earlier versions, and PostgreSQL, are brought up to date by the migrations. A test compares the file
with what this module would write, and a database that it makes with one that was migrated.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, create_engine

from callflow.history import migrations


FILE: Final = Path(__file__).with_name("schema.sql")
COMMAND: Final = "python -m callflow.history.schema"
_INTRODUCTION: Final = f"""\
-- Written by `{COMMAND}` from the migrations: do not change it by hand.
"""


def is_new(connection: Connection) -> bool:
    """Return whether nothing at all is in this SQLite database yet."""
    return connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar() == 0


def create(connection: Connection) -> None:
    """Make the tables and indexes of this version in an SQLite database that is new."""
    for statement in _statements(FILE.read_text(encoding="utf-8")):
        connection.exec_driver_sql(statement)


def _statements(script: str) -> Iterator[str]:
    """Yield each statement of a script."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def render() -> str:
    """Return the whole script: what is in a database after all migrations, in the order in which it was made."""
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        migrations.upgrade(connection)
        made = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE sql <> '' ORDER BY rowid").all()
        version = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    engine.dispose()
    virtual = [name for name, statement in made if statement.startswith("CREATE VIRTUAL")]
    by_sqlite = ("sqlite_", *(f"{name}_" for name in virtual))  # a virtual table makes tables of its own
    statements = [_tidy(statement) for name, statement in made if not name.startswith(by_sqlite)]
    statements.append(f"INSERT INTO alembic_version (version_num) VALUES ('{version}')")
    return "\n".join([_INTRODUCTION, *(f"{statement};\n" for statement in statements)])


def _tidy(statement: str) -> str:
    return "\n".join(line.rstrip() for line in statement.replace("\t", "    ").splitlines())


def main() -> int:
    """Write the script, unless it is up to date. Returns 0."""
    script = render()
    if FILE.exists() and FILE.read_text(encoding="utf-8") == script:
        print(f"{FILE.name} is up to date")
    else:
        FILE.write_text(script, encoding="utf-8")
        print(f"{FILE.name} has been brought up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
