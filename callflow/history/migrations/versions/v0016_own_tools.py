"""Tools that operators define on the page, every version of each."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "own_tools",
        sa.Column("seq", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("changed_at", sa.Text, nullable=False),
        sa.Column("changed_by", sa.Text, nullable=False),
        sa.Column("definition", sa.Text),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("name", "version"),
        if_not_exists=True,
    )
