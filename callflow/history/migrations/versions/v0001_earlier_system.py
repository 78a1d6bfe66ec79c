"""The two tables of the earlier system, as it made them: they may be there already, with calls in them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    there = set(sa.inspect(op.get_bind()).get_table_names())
    if "conversations" not in there:
        op.create_table(
            "conversations",
            sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
            sa.Column("stream_sid", sa.Text, nullable=False, unique=True),
            sa.Column("phone_number", sa.Text, nullable=False),
            sa.Column("phone_number_sid", sa.Text),
            sa.Column("caller_number", sa.Text),
            sa.Column("started_at", sa.Text, nullable=False),
            sa.Column("ended_at", sa.Text),
            sa.Column("duration_seconds", sa.Integer),
            sa.Column("message_count", sa.Integer, server_default=sa.text("0")),
            sa.Column("created_at", sa.Text, server_default=sa.text("CURRENT_TIMESTAMP")),
            sqlite_autoincrement=True,
        )
    if "conversation_items" not in there:
        op.create_table(
            "conversation_items",
            sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
            sa.Column(
                "conversation_id", sa.Integer, sa.ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False
            ),
            sa.Column("item_id", sa.Text, nullable=False),
            sa.Column("item_type", sa.Text, nullable=False),
            sa.Column("role", sa.Text),
            sa.Column("content", sa.Text),
            sa.Column("status", sa.Text),
            sa.Column("timestamp", sa.Text),
            sa.Column("call_id", sa.Text),
            sa.Column("function_name", sa.Text),
            sa.Column("function_params", sa.Text),
            sa.Column("function_output", sa.Text),
            sa.Column("created_at", sa.Text, server_default=sa.text("CURRENT_TIMESTAMP")),
            sa.UniqueConstraint("conversation_id", "item_id"),
            sqlite_autoincrement=True,
        )
    for index, table, column in (
        ("idx_conversations_phone_number", "conversations", "phone_number"),
        ("idx_conversations_started_at", "conversations", "started_at DESC"),
        ("idx_items_conversation_id", "conversation_items", "conversation_id"),
    ):
        op.execute(f"CREATE INDEX IF NOT EXISTS {index} ON {table} ({column})")
