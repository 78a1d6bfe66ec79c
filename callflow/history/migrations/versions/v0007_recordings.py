"""The recordings that carriers make: a row for each, with the carrier's id of it. Its sound stays at the carrier."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "recordings",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("conversation_id", sa.Integer, sa.ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
        sa.Column("carrier", sa.Text, nullable=False),
        sa.Column("recording_id", sa.Text, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("channels", sa.Integer),
        sa.Column("seconds", sa.Double),
        sa.Column("reason", sa.Text),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.UniqueConstraint("conversation_id", "recording_id"),
        if_not_exists=True,
    )
    op.create_index("idx_recordings_recording_id", "recordings", ["recording_id"], if_not_exists=True)
    op.create_index("idx_recordings_created_at", "recordings", ["created_at"], if_not_exists=True)
