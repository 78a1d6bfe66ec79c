"""The journal, and what we know of a call beyond the earlier system; its times get their zone, its items their words.

The earlier system wrote UTC without saying so (`2025-12-01 23:00:00`), which readers took for local time.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from callflow.history.older_schemas import TIMES, words, zoned


revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_CALL: dict[str, Any] = {
    "call_id": sa.String(36),
    **dict.fromkeys(
        (
            "carrier", "carrier_call_id", "carrier_leg_id", "carrier_session_id", "direction", "profile", "state",
            "hangup_cause", "hangup_source",
        ),
        sa.Text,
    ),
    "interruptions": sa.Integer,
    "first_word_ms": sa.Integer,
    "usage": sa.Text,
    "cost_usd": sa.Double,
    "recording": sa.Text,
}  # fmt: skip
_ITEM: dict[str, Any] = {
    "text": sa.Text,
    "heard_text": sa.Text,
    "heard_ms": sa.Integer,
    "of_ms": sa.Integer,
    "latency": sa.Text,
}
_MANY = 500


def upgrade() -> None:
    bind = op.get_bind()
    for table, columns in (("conversations", _CALL), ("conversation_items", _ITEM)):
        there = {column["name"] for column in sa.inspect(bind).get_columns(table)}
        for name, kind in columns.items():
            if name not in there:
                op.add_column(table, sa.Column(name, kind))
    op.execute("CREATE UNIQUE INDEX IF NOT EXISTS idx_conversations_call_id ON conversations (call_id)")
    op.execute("CREATE INDEX IF NOT EXISTS idx_conversations_caller_number ON conversations (caller_number)")
    op.create_table(
        "steps",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
        sa.Column("call", sa.String(36), nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("before", sa.String(20), nullable=False),
        sa.Column("after", sa.String(20), nullable=False),
        sa.Column("taken", sa.Boolean, nullable=False),
        sa.Column("commands", sa.Text, nullable=False),
        if_not_exists=True,
    )
    op.create_index("idx_steps_call", "steps", ["call", "id"], if_not_exists=True)
    _child("streams", ("stream_sid", False), ("started_at", False), ("ended_at", True), ("reason", True))
    op.create_index("idx_streams_stream_sid", "streams", ["stream_sid"], if_not_exists=True)
    _child("transitions", ("at", False), ("event", False), ("before", False), ("after", False))
    for table, names in TIMES.items():
        for name in names:
            _with_zone(table, name)
    _words_of_items(bind)
    _search(bind)


def _child(table: str, *columns: tuple[str, bool]) -> None:
    op.create_table(
        table,
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("conversation_id", sa.Integer, sa.ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
        *(sa.Column(name, sa.Text, nullable=nullable) for name, nullable in columns),
        if_not_exists=True,
    )
    op.create_index(f"idx_{table}_conversation_id", table, ["conversation_id"], if_not_exists=True)


def _with_zone(table: str, name: str) -> None:
    is_other, ours = zoned(name)
    op.execute(f"UPDATE {table} SET {name} = {ours} WHERE {is_other}")


def _words_of_items(bind: sa.Connection) -> None:
    table = sa.table("conversation_items", *(sa.column(name) for name in ("id", "content", "text")))
    last = 0
    while True:
        rows = bind.execute(
            sa.select(table.c.id, table.c.content)
            .where(table.c.id > last, table.c.content.is_not(None), table.c.text.is_(None))
            .order_by(table.c.id)
            .limit(_MANY)
        ).all()
        if not rows:
            return
        last = rows[-1].id
        for row in rows:
            bind.execute(sa.update(table).where(table.c.id == row.id).values(text=words(row.content)))


def _search(bind: sa.Connection) -> None:
    if bind.dialect.name == "sqlite":
        op.execute("CREATE VIRTUAL TABLE IF NOT EXISTS conversation_search USING fts5(words)")
        op.execute("DELETE FROM conversation_search")  # a migration that was killed is run again from its beginning
        op.execute(
            "INSERT INTO conversation_search (rowid, words) SELECT conversation_id, group_concat(text, ' ') "
            "FROM conversation_items WHERE text <> '' GROUP BY conversation_id"
        )
        return
    op.execute(
        "CREATE TABLE IF NOT EXISTS conversation_search ("
        "id INTEGER PRIMARY KEY REFERENCES conversations (id) ON DELETE CASCADE, words TEXT NOT NULL)"
    )
    op.execute(
        "CREATE INDEX IF NOT EXISTS idx_conversation_search ON conversation_search "
        "USING gin (to_tsvector('simple', words))"
    )
    op.execute(
        "INSERT INTO conversation_search (id, words) SELECT conversation_id, string_agg(text, ' ' ORDER BY id) "
        "FROM conversation_items WHERE text <> '' GROUP BY conversation_id"
    )
