"""Numbers that were pointed at this server, with what their carriers held before."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pointed_numbers",
        sa.Column("carrier", sa.String(20), primary_key=True),
        sa.Column("number", sa.String(32), primary_key=True),
        sa.Column("temporary", sa.Boolean, primary_key=True),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("parts", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        if_not_exists=True,
    )
