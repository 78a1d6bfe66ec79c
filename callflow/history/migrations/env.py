"""Alembic's entry: migrates over the connection that it is given, within the transaction of whoever gives it."""

from __future__ import annotations

from alembic import context

from callflow.history.tables import metadata


context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
