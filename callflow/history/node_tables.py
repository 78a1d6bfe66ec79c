"""The tables of a cluster: its nodes, which of them has which call, and the secret that they share."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Double, Index, Integer, String, Table, Text

from callflow.history.tables import metadata


nodes: Final = Table(
    "nodes",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("address", Text, nullable=False),
    Column("capacity", Integer, nullable=False),
    Column("calls", Integer, nullable=False),
    Column("lag_ms", Double, nullable=False),
    Column("state", String(10), nullable=False),
    Column("lease_until", Double, nullable=False),
    Column("started_at", Double, nullable=False),
)
"""The processes that serve calls with this history, where there are several. `epoch`: one counter for all, so that a
process that begins again under its name has another. `address`: where the others reach it. `state`: `up`, `draining` or
`dead`. `lease_until`: Unix time in seconds, by the database's clock."""

claims: Final = Table(
    "claims",
    metadata,
    Column("call", String(36), primary_key=True),
    Column("node", String(32), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Index("idx_claims_node", "node", "epoch"),
)
"""Which process has a live call, where there are several: the one whose row in `nodes` has this name and epoch."""

secrets: Final = Table(
    "secrets",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", Text, nullable=False),
    Column("created_at", Double, nullable=False),
)
"""What all who serve with this history sign with: random bytes, in hex. Whoever comes first brings it."""
