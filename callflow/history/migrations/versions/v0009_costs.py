"""What a call has cost at its carrier, and how long it was answered: what a day's calls may take is counted from it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_COLUMNS = {"answered_at": sa.Text, "answered_seconds": sa.Double, "carrier_usd": sa.Double}


def upgrade() -> None:
    there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("conversations")}
    for name, kind in _COLUMNS.items():
        if name not in there:
            op.add_column("conversations", sa.Column(name, kind))
