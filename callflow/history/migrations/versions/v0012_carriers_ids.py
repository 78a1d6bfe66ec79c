"""Calls are found by the carrier's id of them without a look at all."""

from __future__ import annotations

from alembic import op


revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "idx_conversations_carrier_call_id", "conversations", ["carrier_call_id"], unique=False, if_not_exists=True
    )
