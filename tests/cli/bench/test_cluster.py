"""`bench cluster`: the real writer in processes of its own, on one database."""

from __future__ import annotations

from pathlib import Path

import pytest

from callflow.cli.bench import cluster
from tests.in_loop import in_loop


@pytest.mark.proof
@pytest.mark.process
@in_loop
async def test_writers_share_a_database_and_every_figure_is_there(tmp_path: Path) -> None:
    found = await cluster.measure(f"sqlite:///{tmp_path}/bench.db", 0.2, counts=(1, 2))
    kinds = {"step 1", "write 1", "begin 1", "renew 1", "take 1", "read 1", "step 2", "write 2", "begin 2"}
    assert set(found) == kinds
    for kind, figures in found.items():
        assert figures["per_second"] > 0, kind
        assert figures["wait_p99_ms"] >= figures["wait_p50_ms"] > 0, kind
    assert found["write 1"]["table_bytes_each"] > 0
