"""The events that are sent to EVENTS_URL: a row for each, from its making until some days after its delivery."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "events_out",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(40), nullable=False, unique=True),
        sa.Column("call", sa.String(36), nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("since", sa.Double, nullable=False),
        sa.Column("next_at", sa.Double, nullable=False),
        sa.Column("settled_at", sa.Double),
        sa.Column("error", sa.Text),
        if_not_exists=True,
    )
    op.create_index("idx_events_out_state", "events_out", ["state", "next_at"], if_not_exists=True)
    op.create_index("idx_events_out_call", "events_out", ["call", "state", "seq"], if_not_exists=True)
