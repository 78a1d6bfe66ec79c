"""One process at a time looks after the calls of a record."""

from __future__ import annotations

import asyncio
import os

from callflow.cluster.ownership import Ownership
from callflow.history.database import Database, url_of


def test_the_second_waits_until_the_first_lets_go(database_url: str) -> None:
    async def main() -> None:
        databases = [Database(url_of(database_url, "data")) for _ in range(2)]
        await databases[0].migrate()
        first, second = (Ownership(database) for database in databases)
        assert await first.take() is True
        assert await second.take() is False
        assert await second.take() is False
        await first.release()
        assert await second.take() is True
        assert await Ownership(databases[0]).take() is False
        await second.release()
        for database in databases:
            await database.close()

    asyncio.run(main())


def test_a_process_that_dies_lets_go_of_it(database_url: str) -> None:
    """Closing without a release is what the system does for a process that was killed."""

    async def main() -> None:
        dead, next_one = (Database(url_of(database_url, "data")) for _ in range(2))
        await dead.migrate()
        lock = Ownership(dead)
        assert await lock.take() is True
        if lock._file is not None:
            os.close(lock._file)
        elif lock._connection is not None:
            raw = await lock._connection.get_raw_connection()
            assert raw.driver_connection is not None
            raw.driver_connection.terminate()
        successor = Ownership(next_one)
        taken = False
        for _ in range(100):
            taken = taken or await successor.take()
            await asyncio.sleep(0 if taken else 0.02)
        assert taken, "nobody can take it any more"
        await successor.release()
        if lock._connection is not None:
            await lock.release()
        await next_one.close()
        await dead.close()

    asyncio.run(main())
