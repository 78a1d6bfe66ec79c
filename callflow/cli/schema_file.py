"""Writes `history/schema.sql`, the schema of a new SQLite file, from the migrations.

A test compares the file with what this command would write, and a database that is made by it with one that was
migrated.
"""

from __future__ import annotations

import sys
from typing import Final

from sqlalchemy import create_engine

from callflow.cli.generated_file import bring_up_to_date
from callflow.history import migrations
from callflow.history.new_file import FILE


COMMAND: Final = "python -m callflow.cli.schema_file"
_INTRODUCTION: Final = f"""\
-- Written by `{COMMAND}` from the migrations: do not change it by hand.
"""


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
    return bring_up_to_date(FILE, render())


if __name__ == "__main__":
    sys.exit(main())
