"""What the server has found wrong with itself, until it is over."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("key", sa.String(100), nullable=False),
        sa.Column("severity", sa.String(10), nullable=False),
        sa.Column("about", sa.Text, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("remedy", sa.Text, nullable=False),
        sa.Column("opened_at", sa.Double, nullable=False),
        sa.Column("seen_at", sa.Double),
        sa.Column("seen_by", sa.Text, nullable=False),
        sa.Column("closed_at", sa.Double),
        sa.Column("closed_by", sa.Text, nullable=False),
        sa.Column("over_at", sa.Double),
        if_not_exists=True,
    )
    op.create_index("idx_alerts_opened_at", "alerts", ["opened_at"], unique=False, if_not_exists=True)
