"""`provision` as a process of its own, against both emulated carriers: what it shows, sets, puts back, and leaves."""

from __future__ import annotations

import contextlib
import sqlite3
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from callflow.config.kept_profiles import KeptProfile, label_of
from callflow.config.session_overrides import encode
from callflow.history.database import Database, DatabaseError, url_of
from callflow.history.kept_profiles import ProfileStore
from callflow.history.session_overrides import StoredOverrides
from callflow.sandbox.telnyx import Telnyx
from callflow.sandbox.twilio import Twilio, twiml
from tests.e2e.process import SERVER, Process, python
from tests.history import postgres


pytestmark = pytest.mark.process
HERE = "https://phone.test"
BACKUP = "https://backup.test"
PERSON = "+15550100010"


class Stage:
    def __init__(self, folder: Path, telnyx: Telnyx, twilio: Twilio) -> None:
        self.folder, self.telnyx, self.twilio = folder, telnyx, twilio

    async def run(self, *words: str, ends: int = 0, toml: str = "", **env: object) -> Process:
        keys: dict[str, Any] = {**self.telnyx.settings(), **self.twilio.settings()}
        given = {name.upper(): value for name, value in keys.items()}
        given |= {"DATA_DIR": self.folder, "PUBLIC_BASE_URL": HERE, "COMMAND_RETRIES": 0, **env}
        files = {"settings.toml": toml}
        async with python(SERVER, "provision", *words, env=given, files=files) as process:
            assert await process.ended(30) == ends, process.said()
            return process

    def held(self) -> tuple[Any, ...]:
        """What decides it at the carriers."""
        mine, theirs = self.telnyx.number(), self.twilio.number()
        return (
            self.telnyx.account.webhook_event_failover_url, mine.forwards_to, mine.forwards("on-failure"),
            theirs.voice_fallback_url, theirs.voice_fallback_method,
        )  # fmt: skip

    def changes(self) -> int:
        both: list[Any] = [*self.telnyx.commands, *self.twilio.commands]
        return sum(one.method in ("PATCH", "POST") for one in both)


@asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[Stage]:
    async with Telnyx(webhook_url=f"{HERE}/webhooks") as telnyx, Twilio(HERE, voice="/") as twilio:
        twilio.number().voice_fallback_url = "https://older.test/fallback"
        yield Stage(folder, telnyx, twilio)


async def test_a_second_server_is_set_once_and_put_back(tmp_path: Path) -> None:
    async with stage(tmp_path) as the:
        before = the.held()
        refused = await the.run(FAILOVER_URL=BACKUP, ends=1)
        assert "say --yes" in refused.said()
        assert "https://older.test/fallback" in refused.said()
        assert (the.held(), the.changes()) == (before, 0)
        done = await the.run("--yes", FAILOVER_URL=BACKUP, FALLBACK_NUMBER=PERSON)
        assert done.said().count("set, and read back") == 3
        assert the.held() == (f"{BACKUP}/webhooks", PERSON, True, f"{BACKUP}/twilio/fallback", "POST")
        sent = the.changes()
        again = await the.run("--yes", FAILOVER_URL=BACKUP, FALLBACK_NUMBER=PERSON)
        assert "nothing to change" in again.said()
        assert the.changes() == sent
        # Set anew, and undone: behind all that was set from here.
        await the.run("--yes", "--carrier", "twilio", FAILOVER_URL="https://third.test")
        await the.run("--undo", "--yes")
        after = the.held()
        assert (after[0] or "", *after[1:]) == (before[0] or "", *before[1:])
        assert "nothing to put back" in (await the.run("--undo", "--yes")).said().lower()


async def test_what_somebody_else_has_changed_stays(tmp_path: Path) -> None:
    async with stage(tmp_path) as the:
        await the.run("--yes", FAILOVER_URL=BACKUP)
        the.twilio.number().voice_fallback_url = "https://theirs.test"
        told = await the.run("--undo", "--yes", ends=1)
        assert "somebody else has changed VoiceFallbackUrl" in told.said()
        assert the.twilio.number().voice_fallback_url == "https://theirs.test"
        assert not the.telnyx.account.webhook_event_failover_url


@pytest.mark.parametrize("by_hand", [False, True], ids=["something to put back", "put back by hand already"])
async def test_an_undo_that_nobody_agrees_to_leaves_the_database_as_it_was(tmp_path: Path, by_hand: bool) -> None:
    """It brought the schema up to date before it asked, upon which no server of the version before starts."""
    async with stage(tmp_path) as the:
        await the.run("--yes", FAILOVER_URL=BACKUP)
        if by_hand:
            the.telnyx.account.webhook_event_failover_url = ""
            the.twilio.number().voice_fallback_url = "https://older.test/fallback"
        file = url_of("", str(tmp_path)).database or ""
        with contextlib.closing(sqlite3.connect(file)) as database:
            (now,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
            database.execute("UPDATE alembic_version SET version_num = '0024'")
            database.commit()
            assert "say --yes" in (await the.run("--undo", ends=1)).said()
            assert database.execute("SELECT version_num FROM alembic_version").fetchone() == ("0024",) != (now,)


async def test_a_document_is_for_twilio_and_a_number_for_telnyx(tmp_path: Path) -> None:
    page = "https://pages.test/down.xml"
    async with stage(tmp_path) as the:
        told = await the.run("--yes", FAILOVER_URL=page)
        assert "Telnyx cannot play a document" in told.said()
        assert the.held()[3:] == (page, "GET")
        assert not the.telnyx.account.webhook_event_failover_url
        the.telnyx.number().forwards_to, the.telnyx.number().forwarding_type = "+15550100099", "always"
        told = await the.run("--yes", FALLBACK_NUMBER=PERSON, ends=1)
        assert "is always forwarded to +15550100099" in told.said()
        assert "provision --twiml" in told.said()


async def test_each_number_is_forwarded_as_its_profile_says_and_no_server_stands_in_for_itself(tmp_path: Path) -> None:
    profile = '[profiles.sales]\nnumbers = ["+15550100003"]\nfallback_number = "+15550100020"\n'
    async with stage(tmp_path) as the:
        other = the.telnyx.number("+15550100003")
        await the.run("--yes", "--carrier", "telnyx", toml=profile, FALLBACK_NUMBER=PERSON)
        assert (the.telnyx.number().forwards_to, other.forwards_to) == (PERSON, "+15550100020")
        told = await the.run("--yes", FAILOVER_URL=HERE, ends=1)
        assert "leads to this server itself" in told.said()


async def test_without_a_setting_it_says_which_to_make_and_the_document_can_be_played(tmp_path: Path) -> None:
    async with stage(tmp_path) as the:
        told = await the.run(ends=2)
        assert "failover_url" in told.said()
        assert "fallback_number" in told.said()
        printed = await the.run("--twiml", FALLBACK_NUMBER=PERSON)
        verbs = list(twiml.parse("".join(printed.out), lambda _: None))
        assert [verb.tag for verb in verbs] == ["Say", "Dial", "Say", "Hangup"]
        assert the.changes() == 0


@pytest.mark.process
async def test_a_database_server_that_nobody_has_used_yet_keeps_nothing(tmp_path: Path, postgresql: str) -> None:
    name = f"test_{uuid.uuid4().hex}"
    postgres.create(postgresql, name, empty=True)
    async with stage(tmp_path) as the:
        url = postgresql.format(name=name)
        await the.run("--carrier", "telnyx", FALLBACK_NUMBER=PERSON, DATABASE_URL=url, ends=1)
        database = Database(url_of(url, ""))
        with pytest.raises(DatabaseError, match="no history"):  # nobody has agreed to anything
            await database.check()
        await database.close()
        await the.run("--yes", "--carrier", "telnyx", FALLBACK_NUMBER=PERSON, DATABASE_URL=url)
        assert the.telnyx.number().forwards_to == PERSON
        connection = await asyncpg.connect(url)
        try:
            await connection.execute("UPDATE alembic_version SET version_num = '0024'")
            told = await the.run("--undo", "--carrier", "telnyx", DATABASE_URL=url, ends=1)
            assert "say --yes" in told.said(), "an undo is possible before a server of this version was started"
            assert await connection.fetchval("SELECT version_num FROM alembic_version") == "0024"
        finally:
            await connection.close()


async def test_numbers_are_forwarded_by_the_settings_and_profiles_that_the_database_keeps(tmp_path: Path) -> None:
    database = Database(url_of("", str(tmp_path)))
    await database.migrate()
    kept = KeptProfile("bakery", ("+15550100003",), {"fallback_number": "+15550100020"})
    await ProfileStore(database).put("bakery", kept.encoded(), by="ana", seen=0)
    lost = KeptProfile("lost", (), {})
    await ProfileStore(database).put("lost", lost.encoded(), by="ana", seen=1)
    await StoredOverrides(database).change({"fallback_number": encode("+15550100030")}, [], by="ana")
    await database.close()
    async with stage(tmp_path) as the:
        other = the.telnyx.number("+15550100003")
        told = await the.run("--yes", "--carrier", "telnyx", toml=f'fallback_number = "{PERSON}"\n')
        assert (the.telnyx.number().forwards_to, other.forwards_to) == ("+15550100030", "+15550100020")
        assert f"{label_of(lost.name)} is not used" in told.said()
        printed = await the.run("--twiml", toml=f'fallback_number = "{PERSON}"\n')
        assert "+15550100030" in "".join(printed.out)
        # Whom they are forwarded to is not known: nothing is changed, but there is a document.
        sent = the.changes()
        (tmp_path / "callflow.db").write_text("no database")
        told = await the.run("--yes", FALLBACK_NUMBER=PERSON, ends=2)
        assert "is not known" in told.said()
        assert the.changes() == sent
        printed = await the.run("--twiml", FALLBACK_NUMBER=PERSON)
        assert PERSON in "".join(printed.out)
        assert "not known" in printed.said()
