"""Recorded calls of a server whose recordings go to an object store."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from callflow.history import stored_recordings
from tests.e2e.product import product, until
from tests.e2e.talk import talk
from tests.e2e.test_recording import MODEL, folder, model
from tests.object_store import object_store, settings_for
from tests.ports import free_port


CARRIERS = ("telnyx",)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a store."""
    with object_store() as found:
        yield found


async def test_a_call_is_recorded_here_and_played_from_there(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_recordings, "_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(stored_recordings, "_STILL_SECONDS", 0.0)
    async with product(realtime=model(600), record=True, **settings_for(address), **MODEL) as the:
        one = await talk(the)
        await one.phone.hears(0.5)
        assert the.app.warnings == []
        await until(lambda: list(folder(the).glob("*.wav")), "the file to be there while the call goes on")
        (file,) = folder(the).glob("*.wav")
        await one.call.hang_up()
        await the.quiet()
        await until(lambda: not list(folder(the).iterdir()), "it to be in the store", 20)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{the.app.console_at[1]}", trust_env=False) as client:
            (row,) = (await client.get("/api/conversations")).json()
            answer = await client.get(f"/api/calls/{row['stream_sid']}/recording", headers={"Range": "bytes=0-43"})
            assert (answer.status_code, answer.content[:4]) == (206, b"RIFF")
            (listed,) = (await client.get("/api/recordings")).json()
            assert (listed["status"], listed["duration"] > 0.3) == ("ready", True)
            assert (await client.get(f"/api/calls/{row['stream_sid']}/recording/peaks")).json()["seconds"] > 0.3
            await client.delete(f"/api/conversations/stream/{row['stream_sid']}")
        assert await the.app.history.sounds.find(file.name) is None


async def test_a_store_that_is_away_at_the_start_is_told_and_calls_go_on(address: str) -> None:
    away = settings_for(f"http://127.0.0.1:{free_port()}")
    async with product(realtime=model(300), record=True, **away, **MODEL) as the:
        await until(lambda: the.app.warnings, "the trouble to be told", 20)
        (warning,) = the.app.warnings
        assert warning.startswith("RECORDINGS STAY ON THIS MACHINE, because s3://calls/of/today cannot be used")
        one = await talk(the)
        await one.phone.hears(0.2)
        await one.call.hang_up()
        await the.quiet()
        assert list(folder(the).glob("*.wav"))
