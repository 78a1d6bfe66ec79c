"""The control endpoint keeps its runtime settings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0019"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "control_settings",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("changed_at", sa.Text, nullable=False),
        sa.Column("changed_by", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        if_not_exists=True,
    )
