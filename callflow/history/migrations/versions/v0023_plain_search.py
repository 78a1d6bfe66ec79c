"""PostgreSQL finds the parts of an e-mail address, a price and a hyphenated number, as SQLite does.

Calls that go on keep their rows: whoever writes them down would have to wait. They are written anew as they are spoken.
"""

from __future__ import annotations

from alembic import op


revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_SIGNS = "[!-/:-@[-`{-~]+"


def upgrade() -> None:
    if op.get_bind().dialect.name != "sqlite":
        op.get_bind().exec_driver_sql(
            f"UPDATE conversation_search SET words = regexp_replace(words, '{_SIGNS}', ' ', 'g') FROM conversations "
            f"WHERE conversations.id = conversation_search.id AND ended_at IS NOT NULL AND words ~ '{_SIGNS}'"
        )
