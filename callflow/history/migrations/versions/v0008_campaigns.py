"""Lists of calls, and whom they call."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "campaigns",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("asked", sa.Text, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("start_at", sa.Double, nullable=False),
        sa.Column("finished_at", sa.Double),
        sa.Column("error", sa.Text, nullable=False),
        if_not_exists=True,
    )
    op.create_index("idx_campaigns_seq", "campaigns", ["seq"], if_not_exists=True)
    op.create_table(
        "campaign_rows",
        sa.Column("campaign", sa.String(36), primary_key=True),
        sa.Column("row", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("line", sa.Integer, nullable=False),
        sa.Column("number", sa.String(16), nullable=False),
        sa.Column("zones", sa.Text, nullable=False),
        sa.Column("variables", sa.Text, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("next_at", sa.Double, nullable=False),
        sa.Column("changed_at", sa.Double, nullable=False),
        sa.Column("outcome", sa.String(20), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        if_not_exists=True,
    )
    due = ["campaign", "state", "next_at", "row", "zones"]
    op.create_index("idx_campaign_rows_due", "campaign_rows", due, if_not_exists=True)
