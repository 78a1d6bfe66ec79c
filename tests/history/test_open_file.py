"""The file of a history that is removed while it is open."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from callflow.history.database import Database, url_of


def _rows(connection: Connection) -> int:
    return int(connection.execute(text("SELECT count(*) FROM claims")).scalar_one())


def _add(connection: Connection) -> None:
    connection.execute(text("INSERT INTO claims (call, node, epoch) VALUES (hex(randomblob(8)), 'a', 1)"))


@pytest.mark.parametrize("replaced", [False, True])
async def test_it_is_said_once_and_no_empty_one_is_made_in_its_place(
    replaced: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, aside = tmp_path / "callflow.db", tmp_path / "aside.db"
    database = Database(url_of("", str(tmp_path)))
    await database.migrate()
    await database.write(_add)
    said: list[str] = []
    with caplog.at_level(logging.WARNING):
        path.rename(aside)
        if replaced:
            path.touch()
        assert database._files is not None
        database._files.dispose()  # so that a reader opens it anew
        with pytest.raises(OSError, match="removed or replaced"):
            await database.read(_rows)
        assert path.exists() == replaced, "an empty file was made, and is taken for the history"
        for _ in range(3):
            await database.write(_add)
        said += [record.message for record in caplog.records if "REMOVED OR REPLACED" in record.message]
        aside.rename(path)
        await database.write(_add)
    assert len(said) == 1, said
    assert str(path) in said[0]
    assert caplog.records[-1].message == "the file of the history is back, and nothing is lost"
    assert await database.read(_rows) == 5
    await database.close()
