"""The words of calls that are over are found by what the callers heard, and no more by what was never heard.

Calls that go on keep their rows: whoever writes them down would have to wait. They are written anew as they are spoken.
"""

from __future__ import annotations

from alembic import op


revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

_SIGNS = "[!-/:-@[-`{-~]+"
_CUT_SHORT = (
    "SELECT items.conversation_id FROM conversation_items AS items "
    "JOIN conversations ON conversations.id = items.conversation_id "
    "WHERE items.heard_text IS NOT NULL AND items.heard_text <> items.text AND conversations.ended_at IS NOT NULL"
)
_HEARD = f"FROM conversation_items WHERE text <> '' AND conversation_id IN ({_CUT_SHORT}) GROUP BY conversation_id"


def upgrade() -> None:
    bind = op.get_bind()
    if bind.dialect.name == "sqlite":
        bind.exec_driver_sql(f"DELETE FROM conversation_search WHERE rowid IN ({_CUT_SHORT})")
        bind.exec_driver_sql(
            "INSERT INTO conversation_search (rowid, words) "
            f"SELECT conversation_id, group_concat(coalesce(heard_text, text), ' ') {_HEARD}"
        )
        return
    bind.exec_driver_sql(
        f"UPDATE conversation_search SET words = regexp_replace(found.words, '{_SIGNS}', ' ', 'g') "
        f"FROM (SELECT conversation_id, string_agg(coalesce(heard_text, text), ' ' ORDER BY id) AS words {_HEARD}) "
        "AS found WHERE conversation_search.id = found.conversation_id"
    )
