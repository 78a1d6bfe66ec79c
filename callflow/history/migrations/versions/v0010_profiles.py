"""Versions of the profiles that the database keeps, and whose calls and campaigns are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "profile_versions",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("profile", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("changed_at", sa.Text, nullable=False),
        sa.Column("changed_by", sa.Text, nullable=False),
        sa.Column("settings", sa.Text),
        sa.UniqueConstraint("profile", "version"),
        if_not_exists=True,
    )
    _add("conversations", sa.Column("business", sa.Text))
    _add("campaigns", sa.Column("business", sa.Text, nullable=False, server_default=""))


def _add(table: str, column: sa.Column[str]) -> None:
    if column.name not in {each["name"] for each in sa.inspect(op.get_bind()).get_columns(table)}:
        op.add_column(table, column)
