"""One process at a time looks after the calls of a history."""

from __future__ import annotations

import asyncio
import fcntl
import stat
import sys
import time
import uuid
from pathlib import Path

import asyncpg
import pytest

from callflow.cluster.ownership import Ownership
from callflow.history.database import Database, url_of
from tests.history import postgres


_OWNER = """
import asyncio, sys, time
from callflow.cluster.ownership import Ownership
from callflow.history.database import Database, url_of

async def main():
    ownership = Ownership(Database(url_of(sys.argv[1], "data")))
    print(await ownership.take(), flush=True)
    time.sleep(60)

asyncio.run(main())
"""


async def test_the_second_waits_until_the_first_lets_go(database_url: str) -> None:
    databases = [Database(url_of(database_url, "data")) for _ in range(2)]
    await databases[0].migrate()
    first, second = (Ownership(database) for database in databases)
    assert await first.take() is True
    assert await second.take() is False
    assert await second.take() is False
    await first.release()
    while not await second.take():  # noqa: ASYNC110 - a server's lock has to be free for a while
        await asyncio.sleep(0.02)
    assert await Ownership(databases[0]).take() is False
    await second.release()
    for database in databases:
        await database.close()


def postgresql_database(server: str) -> str:
    name = f"test_{uuid.uuid4().hex}"
    postgres.create(server, name)
    return server.format(name=name)


async def held_by(url: str) -> int:
    """The session that has the lock."""
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval("SELECT pid FROM pg_locks WHERE locktype = 'advisory'") or 0)
    finally:
        await connection.close()


async def end_session(url: str, session: int) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SELECT pg_terminate_backend($1)", session)
    finally:
        await connection.close()


async def test_a_session_that_is_ended_again_and_again_leaves_it_with_its_process(
    postgresql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callflow.cluster.ownership._LOOK_SECONDS", 60.0)  # it is told of the end
    url = postgresql_database(postgresql)
    first, second = (Ownership(Database(url_of(url, "data"))) for _ in range(2))
    assert await first.take() is True
    assert await second.take() is False
    keeping = asyncio.create_task(first.lost())
    for _ in range(3):
        session = await held_by(url)
        await end_session(url, session)
        while await held_by(url) in (0, session):
            assert await second.take() is False
    assert not keeping.done()
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    for each in (first, second):
        await each.release()
        await each._database.close()


async def test_a_process_whose_lock_another_one_has_learns_of_it(
    postgresql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could not reach the database for so long."""
    monkeypatch.setattr("callflow.cluster.ownership._FREE_SECONDS", 0.05)
    url = postgresql_database(postgresql)
    first, second = (Ownership(Database(url_of(url, "data"))) for _ in range(2))
    assert await first.take() is True
    assert await second.take() is False
    await end_session(url, await held_by(url))
    while not await second.take():  # noqa: ASYNC110 - it is its own loop that asks again
        await asyncio.sleep(0.02)
    async with asyncio.timeout(5):
        await first.lost()
    assert await first.take() is False
    for each in (first, second):
        await each.release()
        await each._database.close()


@pytest.mark.process
async def test_a_process_that_is_killed_lets_go_of_it(database_url: str) -> None:
    database = Database(url_of(database_url, "data"))
    await database.migrate()
    successor = Ownership(database)
    command = (sys.executable, "-c", _OWNER, database_url)
    owner = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert owner.stdout is not None
    assert await owner.stdout.readline() == b"True\n"
    assert await successor.take() is False
    owner.kill()
    await owner.wait()
    taken = False
    for _ in range(200):  # a database notices a moment later that its client is gone
        taken = taken or await successor.take()
        await asyncio.sleep(0 if taken else 0.02)
    assert taken, "nobody can take it any more"
    await successor.release()
    await database.close()


# The lock beside an SQLite database


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/callflow.db"


async def test_a_version_before_and_this_one_respect_each_others_lock(tmp_path: Path, sqlite_url: str) -> None:
    """It is a flock on the same file: an update takes over from a process that still runs."""
    ownership = Ownership(Database(url_of(sqlite_url, "data")))
    with (tmp_path / "callflow.db.lock").open("w") as before:
        fcntl.flock(before, fcntl.LOCK_EX)
        assert await ownership.take() is False
    assert await ownership.take() is True
    with (tmp_path / "callflow.db.lock").open("w") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    await ownership.release()


async def test_the_lock_file_is_its_owners_and_stays(tmp_path: Path, sqlite_url: str) -> None:
    ownership = Ownership(Database(url_of(sqlite_url, "data")))
    assert await ownership.take() is True
    path = tmp_path / "callflow.db.lock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    await ownership.release()
    await ownership.release()
    assert path.exists(), "others may be about to lock it"


async def test_a_refusal_does_not_hold_up_the_loop(sqlite_url: str) -> None:
    owner, other = (Ownership(Database(url_of(sqlite_url, "data"))) for _ in range(2))
    assert await owner.take() is True
    took = []
    for _ in range(50):
        began = time.perf_counter()
        assert await other.take() is False
        took.append(time.perf_counter() - began)
    assert sorted(took)[25] < 0.005, "seconds for one refusal, the median of 50"
    await owner.release()


async def test_a_lock_file_that_cannot_be_made_is_an_error_and_no_refusal(tmp_path: Path, sqlite_url: str) -> None:
    (tmp_path / "callflow.db.lock").mkdir()
    with pytest.raises(OSError, match=r"callflow\.db\.lock"):
        await Ownership(Database(url_of(sqlite_url, "data"))).take()
