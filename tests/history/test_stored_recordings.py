"""Recordings in an object store: a real server that speaks S3, over a real socket."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from callflow.cli import doctor
from callflow.cluster.membership import Membership
from callflow.config.settings import Settings
from callflow.contracts.errors import StoreAway
from callflow.history import recording_rows
from callflow.history.bucket import Bucket
from callflow.history.stored_recordings import StoredRecordings
from callflow.journal.notes import Began, Ended, Recording
from callflow.media.call_recorder import header, interleaved
from callflow.web.console.owner_forwarding import OwnerForwarder
from tests.e2e.process import SERVER, python
from tests.e2e.product import until
from tests.object_store import KEY, settings_for
from tests.ports import free_port
from tests.web.asgi import Answer, ask
from tests.web.console.stage import CALL, Stage, stage


pytestmark = pytest.mark.process
SOUND = header(20_000) + interleaved(bytes(20_000), b"\xff" * 20_000)
PATH = f"/api/calls/{CALL}/recording"
NAME = f"{CALL}.wav"


def settings(address: str, **more: Any) -> Settings:
    return Settings(**{**settings_for(address), **more})


@contextlib.asynccontextmanager
async def node(folder: Path, address: str, url: str = "") -> AsyncIterator[Stage]:
    """The operators' app of a node whose recordings go to the store."""
    async with stage(folder, url=url) as the:
        use(the, address)
        yield the


def use(the: Stage, address: str) -> StoredRecordings:
    async def finished(names: Any) -> set[str]:
        return await recording_rows.finished(the.history.database, names)

    bucket = Bucket(settings(address))
    made = StoredRecordings(the.history.recordings, bucket, finished, look_seconds=0.02, still_seconds=0.0)
    the.history.sounds = made
    return made


def of(the: Stage) -> StoredRecordings:
    return cast(StoredRecordings, the.history.sounds)


async def recorded(the: Stage, *, over: bool = True, sound: bytes = SOUND) -> Path:
    the.history.recordings.mkdir(parents=True, exist_ok=True)
    file = the.history.recordings / NAME
    file.write_bytes(sound)
    await the.write(Began(carrier="telnyx"), Recording(file=NAME, announced=False))
    if over:
        await the.write(Ended(cause="hangup"))
    return file


def files(the: Stage) -> list[str]:
    return sorted(path.name for path in the.history.recordings.iterdir())


async def delete(the: Stage) -> Answer:
    return await the.send("DELETE", f"/api/conversations/stream/{CALL}")


async def test_a_recording_is_put_there_when_its_call_is_over_and_answered_from_there(
    tmp_path: Path, address: str
) -> None:
    async with node(tmp_path, address) as the:
        await recorded(the, over=False)
        await of(the).sweep()
        assert files(the) == [NAME], "its call goes on"
        await the.write(Ended(cause="hangup"))
        await of(the).sweep()
        assert files(the) == []
        whole = await the.get(PATH)
        assert (whole.status, whole.body == SOUND, whole.headers["content-type"]) == (200, True, "audio/wav")
        for span, body in (("bytes=0-9", SOUND[:10]), ("bytes=70000-", SOUND[70000:]), ("bytes=-5", SOUND[-5:])):
            part = await the.get(PATH, range=span)
            assert (part.status, part.body == body) == (206, True), span
        assert (await the.get(PATH, range="bytes=999999-")).status == 416
        assert (await the.get(PATH, if_none_match=whole.headers["etag"])).status == 304
        told = (await the.get(f"{PATH}/peaks")).json()
        assert (told["seconds"], base64.b64decode(told["peaks"])) == (2.5, bytes([251, 0] * 50))
        (listed,) = (await the.get("/api/recordings")).json()
        assert (listed["duration"], listed["status"]) == (2.5, "ready")
        assert (await delete(the)).status == 200
        assert await of(the).find(NAME) is None
        assert await of(the)._bucket.head(f"{CALL}.peaks") is None


async def test_while_the_store_is_away_it_lies_here_and_is_played_and_goes_there_after_a_restart(
    tmp_path: Path, address: str
) -> None:
    async with node(tmp_path, f"http://127.0.0.1:{free_port()}") as the:
        await recorded(the)
        running = asyncio.create_task(of(the).run())
        await until(lambda: of(the).trouble, "the trouble to be told", 20)
        assert KEY not in of(the).trouble
        assert "s3://calls/of/today" in of(the).trouble
        assert (await the.get(PATH, range="bytes=0-9")).body == SOUND[:10]
        assert NAME in files(the)
        (the.history.recordings / NAME).rename(tmp_path / "aside")
        answer = await the.get(PATH)
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        assert (await the.get(f"{PATH}/peaks")).status == 503
        (listed,) = (await the.get("/api/recordings")).json()
        assert (listed["duration"], listed["status"]) == (None, "ready"), "nobody can tell how long it is"
        (tmp_path / "aside").rename(the.history.recordings / NAME)
        running.cancel()
    async with node(tmp_path, address) as the:
        running = asyncio.create_task(of(the).run())
        await until(lambda: files(the) == [], "it to be there", 20)
        running.cancel()
        assert (await the.get(PATH)).body == SOUND
        await of(the).delete([NAME])


async def test_a_deletion_that_does_not_reach_the_store_is_tried_again(tmp_path: Path, address: str) -> None:
    async with node(tmp_path, address) as the:
        await recorded(the)
        await of(the).sweep()
        use(the, f"http://127.0.0.1:{free_port()}")
        assert (await delete(the)).status == 200
        assert (await the.get(PATH)).status == 404, "nobody finds it any more"
        with pytest.raises(StoreAway):
            await the.history.deletions.run_once()
        stored = use(the, address)
        assert await stored.find(NAME) is not None
        await the.history.deletions.run_once()
        assert await stored.find(NAME) is None
        assert await the.history.store.conversation(CALL, hidden=True) is None


async def test_what_is_too_old_is_deleted_there(tmp_path: Path, address: str) -> None:
    async with node(tmp_path, address) as the:
        await recorded(the)
        await of(the).sweep()
        use(the, f"http://127.0.0.1:{free_port()}")
        with pytest.raises(StoreAway):
            await the.history.expire(4e9)
        assert await the.history.store.conversation(CALL) is not None, "it is tried again"
        stored = use(the, address)
        assert files(the) == []
        assert await stored.find(NAME) is not None
        assert (await the.history.expire(4e9), await stored.find(NAME)) == (1, None)


async def test_what_another_node_deletes_before_it_is_sent_is_not_left_there(tmp_path: Path, address: str) -> None:
    """This one could not be told of it."""
    url = f"sqlite:///{tmp_path}/callflow.db"
    async with node(tmp_path / "a", address, url) as here, node(tmp_path / "b", address, url) as there:
        await recorded(here)
        ask_history, asked = of(here)._finished, 0

        async def finished(names: Any) -> Any:
            nonlocal asked
            found = await ask_history(names)
            asked += 1
            if asked == 1:
                assert (await delete(there)).status == 200
            return found

        of(here)._finished = finished
        await of(here).sweep()
        assert (asked, await of(here)._bucket.head(NAME), await of(here)._bucket.head(f"{CALL}.peaks")) == (
            2,
            None,
            None,
        )
        assert NAME in files(here)


async def test_what_is_deleted_while_it_is_sent_is_nowhere(tmp_path: Path, address: str) -> None:
    async with node(tmp_path, address) as the:
        await recorded(the)
        begun, put = asyncio.Event(), of(the)._bucket.put

        async def slowly(name: str, *given: Any) -> None:
            await put(name, *given)
            if name == NAME:
                begun.set()
                await asyncio.Event().wait()

        of(the)._bucket.put = slowly  # type: ignore[method-assign,assignment]
        async with asyncio.timeout(20):
            sweep = asyncio.create_task(of(the).sweep())
            await begun.wait()
            assert (await delete(the)).status == 200
            await sweep
        assert (await of(the)._bucket.head(NAME), files(the)) == (None, [])


async def test_every_node_answers_it_and_asks_no_other(tmp_path: Path, address: str) -> None:
    url = f"sqlite:///{tmp_path}/callflow.db"
    async with node(tmp_path / "a", address, url) as here, node(tmp_path / "b", address, url) as there:
        await recorded(there)
        await of(there).sweep()

        class Nobody:
            def __getattr__(self, name: str) -> Any:
                raise AssertionError(name)

        class Alone:
            me = "w1"

            def peer(self, name: str) -> None:
                assert name == self.me

            def __getattr__(self, name: str) -> Any:
                raise AssertionError(name)

        forwarder = OwnerForwarder(
            here.app.asgi_app, cast(Membership, Alone()), cast(Any, Nobody()), lambda: here.board, here.history
        )
        answer = await ask(forwarder, "GET", PATH, body=b"", range="bytes=100-199")
        assert (answer.status, answer.body) == (206, SOUND[100:200])
        await of(here).delete([NAME])


async def test_the_doctor_and_check_find_it(address: str) -> None:
    assert (await doctor._recordings(settings(address))).state == "ok"
    found = await doctor._recordings(settings(address, recordings_url="s3://nobodys"))
    assert (found.state, found.what) == ("wrong", "s3://nobodys: there is no such bucket")
    given = {name.upper(): value for name, value in settings_for(f"http://127.0.0.1:{free_port()}").items()}
    keys = {"OPENAI_API_KEY": "sk-x", "TWILIO_ACCOUNT_SID": f"AC{'0' * 32}", "TWILIO_AUTH_TOKEN": "0" * 32}
    async with python(SERVER, "--check", env={**keys, **given}) as process:
        assert await process.ended(60) == 2, process.said()
    assert "RECORDINGS_URL cannot be used: s3://calls/of/today: it does not answer" in process.said()
    assert KEY not in process.said()
