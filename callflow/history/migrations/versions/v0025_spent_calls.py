"""What deleted calls have taken of a day's budget."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "spent_calls",
        sa.Column("call", sa.String(36), nullable=False),
        sa.Column("started_at", sa.Text, nullable=False),
        sa.Column("profile", sa.Text, nullable=False),
        sa.Column("calls", sa.Integer, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("engine_usd", sa.Double, nullable=False),
        sa.Column("carrier_usd", sa.Double, nullable=False),
        sa.Column("unpriced_seconds", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("call"),
        if_not_exists=True,
    )
