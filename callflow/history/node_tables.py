"""The tables of a cluster: its nodes, and which of them has which call."""

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
