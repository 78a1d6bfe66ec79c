"""The secret that all nodes share: the first brings its own, and the database keeps it."""

from __future__ import annotations

import asyncio

from callflow.call.stream_tokens import StreamTokens
from callflow.history.database import Database, url_of
from callflow.switchboard.data_folder import share
from tests.in_loop import in_loop


CALL = "11111111-1111-4111-8111-111111111111"


@in_loop
async def test_of_nodes_that_start_together_one_brings_the_secret_of_all(database_url: str) -> None:
    databases = [Database(url_of(database_url, "")) for _ in range(3)]
    nodes = [StreamTokens(bytes([number]) * 32) for number in range(3)]
    early = [each.path_token(CALL, 1) for each in nodes]
    try:
        await databases[0].migrate()
        await asyncio.gather(*map(share, nodes, databases))
        tokens = {each.path_token(CALL, 1) for each in nodes}
        assert len(tokens) == 1
        assert tokens < set(early), "that of one of them, so that nobody there is logged out"
        for node, token in zip(nodes, early, strict=True):
            node.read(token)
        late = StreamTokens(b"z" * 32)
        await share(late, databases[0])
        assert {late.path_token(CALL, 1)} == tokens
    finally:
        for each in databases:
            await each.close()
