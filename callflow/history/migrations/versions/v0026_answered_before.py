"""Calls of before 0009 are told when they were answered and for how long, as their transitions have it: the figures of
the history took them for calls that nobody answered, and the budget for calls without a minute."""

from __future__ import annotations

from alembic import op


revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

_ANSWERED = (
    "SELECT min(transitions.at) FROM transitions WHERE transitions.conversation_id = conversations.id "
    "AND transitions.before = 'ringing' AND transitions.after NOT IN ('ringing', 'hangup')"
)
_SECONDS = {
    "sqlite": "round((julianday(ended_at) - julianday(answered_at)) * 86400, 3)",
    "postgresql": "extract(epoch FROM ended_at::timestamptz - answered_at::timestamptz)",
}


def upgrade() -> None:
    bind = op.get_bind()
    bind.exec_driver_sql(
        f"UPDATE conversations SET answered_at = ({_ANSWERED}) WHERE call_id IS NOT NULL AND answered_at IS NULL"
    )
    bind.exec_driver_sql(
        f"UPDATE conversations SET answered_seconds = {_SECONDS[bind.dialect.name]} "
        "WHERE answered_at IS NOT NULL AND ended_at IS NOT NULL AND answered_seconds IS NULL"
    )
