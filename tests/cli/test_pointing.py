"""`serve --point NUMBER`: the number's calls come here, and go back however the server stops."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy.exc import OperationalError

from callflow.cli.pointing import TemporaryPointing
from callflow.sandbox.openai_realtime import Realtime
from callflow.sandbox.telnyx import ApiFault, Telnyx
from callflow.sandbox.twilio import Twilio
from tests.cli.test_tunnel import NGROK, program
from tests.cli.test_tunnel import environment as with_ngrok
from tests.e2e.process import SERVER, Process, environment, python
from tests.e2e.product import PUBLIC, until
from tests.ports import free_port


pytestmark = pytest.mark.process

TUNNEL = "https://ab-12.ngrok.example"
OLD = "https://old.test/webhooks"
ELSEWHERE = "http://127.0.0.1:9/elsewhere"
NUMBER = "+15550100002"


class Stage:
    def __init__(self, folder: Path, telnyx: Telnyx, realtime: Realtime) -> None:
        self.folder, self.telnyx, self.realtime = folder, telnyx, realtime

    @asynccontextmanager
    async def server(self, *words: str, **env: object) -> AsyncIterator[Process]:
        given = {**environment(self.telnyx, self.realtime), **with_ngrok(self.folder), "DATA_DIR": self.folder / "data"}
        async with python(SERVER, *words, env={**given, **env}) as process:
            yield process


@asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[Stage]:
    program(folder, "ngrok", NGROK)
    async with Telnyx(webhook_url=OLD) as telnyx, Realtime() as realtime:
        yield Stage(folder, telnyx, realtime)


async def killed(process: Process, folder: Path) -> None:
    """Kill the server, and the tunnel's program, which it leaves behind."""
    process.process.kill()
    await process.process.wait()
    os.kill(int((folder / "ngrok.pid").read_text()), signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_number_leads_to_the_tunnel_until_the_stop(tmp_path: Path, number: signal.Signals) -> None:
    async with stage(tmp_path) as the, the.server("--public", "--point", NUMBER) as process:
        await process.says(f"{NUMBER} (telnyx) leads to {TUNNEL} until the stop.")
        assert the.telnyx.webhook_url == f"{TUNNEL}/webhooks"
        await process.stop(number)
        assert await process.ended() == 0
        assert f"{NUMBER} is put back: webhook_event_url is {OLD} again." in process.said()
        assert the.telnyx.webhook_url == OLD


async def test_it_is_put_back_when_the_stop_begins_and_not_after_the_last_call(tmp_path: Path) -> None:
    async with stage(tmp_path) as the, the.server("--public", "--point", NUMBER, DRAIN_SECONDS=30) as process:
        port = await process.public_port()
        the.telnyx.webhook_url = f"http://127.0.0.1:{port}/webhooks"  # the tunnel leads nowhere
        call = await the.telnyx.ring()
        the.telnyx.webhook_url = f"{TUNNEL}/webhooks"
        call.webhook_url = f"http://127.0.0.1:{port}/webhooks"
        await process.live(1)
        await process.stop()
        await until(lambda: the.telnyx.webhook_url == OLD, "the number to be put back")
        assert process.exit_code is None, "the call is not over"
        await process.stop()
        assert await process.ended() == 0


async def test_after_kill_9_the_next_start_says_so_and_the_undo_puts_it_back(tmp_path: Path) -> None:
    async with stage(tmp_path) as the:
        async with the.server("--public", "--point", NUMBER) as process:
            await process.says("until the stop")
            await killed(process, tmp_path)
        assert the.telnyx.webhook_url == f"{TUNNEL}/webhooks"
        async with the.server() as process:
            await process.public_port()
            await process.says(f"numbers undo {NUMBER}")
            await process.stop()
            assert await process.ended() == 0
        async with the.server("numbers", "undo", NUMBER, "--yes") as process:
            assert await process.ended() == 0, process.said()
        assert the.telnyx.webhook_url == OLD


async def test_after_kill_9_the_next_start_with_point_puts_back_what_was_there_first(tmp_path: Path) -> None:
    async with stage(tmp_path) as the:
        async with the.server("--public", "--point", NUMBER) as process:
            await process.says("until the stop")
            await killed(process, tmp_path)
        async with the.server("--point", NUMBER, PUBLIC_BASE_URL="https://other.test") as process:
            await process.says("until the stop")
            assert the.telnyx.webhook_url == "https://other.test/webhooks"
            await process.stop()
            assert await process.ended() == 0
        assert the.telnyx.webhook_url == OLD


async def test_a_start_that_fails_leaves_the_number_as_it_was(tmp_path: Path) -> None:
    async with stage(tmp_path) as the:
        the.telnyx.faults.api = [ApiFault("patch", status=422)]
        async with the.server("--public", "--point", NUMBER) as process:
            assert await process.ended() == 2
            assert "Cannot start: telnyx: Telnyx refused" in process.said()
        assert the.telnyx.webhook_url == OLD
        async with the.server("--public", "--point", "+15550199999") as process:
            assert await process.ended() == 2
            assert "has the number +15550199999" in process.said()


async def test_other_numbers_move_along_only_after_a_yes(tmp_path: Path) -> None:
    async with stage(tmp_path) as the:
        the.telnyx.number("+15550100003")
        async with the.server("--public", "--point", NUMBER) as process:
            assert await process.ended() == 2
            assert "1 other number (+15550100003)" in process.said()
            assert the.telnyx.webhook_url == OLD
        async with the.server("--public", "--point", NUMBER, "--yes") as process:
            await process.says("until the stop")
            await process.stop()
            assert await process.ended() == 0
        assert the.telnyx.webhook_url == OLD


async def test_a_carrier_that_is_away_at_the_stop_is_told_and_the_undo_is_kept(tmp_path: Path) -> None:
    async with stage(tmp_path) as the:
        async with the.server("--public", "--point", NUMBER, COMMAND_RETRIES=0) as process:
            await process.says("until the stop")
            the.telnyx.faults.api = [ApiFault("get", status=503) for _ in range(4)]
            await process.stop()
            assert await process.ended() == 0
            assert f"{NUMBER} IS NOT PUT BACK" in process.said()
        the.telnyx.faults.api = []
        async with the.server("numbers", "undo", NUMBER, "--yes") as process:
            assert await process.ended() == 0, process.said()
        assert the.telnyx.webhook_url == OLD


async def test_point_without_an_address_is_one_line(tmp_path: Path) -> None:
    async with stage(tmp_path) as the, the.server("--point", NUMBER) as process:
        assert await process.ended() == 2
        assert process.err == ["--point needs an address that carriers reach: add --public, or set PUBLIC_BASE_URL\n"]


@pytest.mark.parametrize("carrier", ["telnyx", "twilio"])
async def test_a_call_to_the_number_comes_here_and_no_call_after_it(tmp_path: Path, carrier: str) -> None:
    port = free_port()
    here = PUBLIC if carrier == "twilio" else f"http://127.0.0.1:{port}"
    env: dict[str, object] = {"PUBLIC_BASE_URL": here, "PORT": port}
    async with stage(tmp_path) as the, Twilio(PUBLIC, server=f"http://127.0.0.1:{port}", voice="", status="") as twilio:
        used: Telnyx | Twilio = the.telnyx
        if carrier == "twilio":
            used = twilio
            twilio.number().voice_application_sid = twilio.add_application(ELSEWHERE)
            settings = {name.upper(): value for name, value in twilio.settings().items()}
            env |= {**settings, "TELNYX_API_KEY": "", "TELNYX_PUBLIC_KEY": ""}
        async with the.server("--point", NUMBER, "--yes", **env) as process:
            await process.says("until the stop")
            call = await used.ring()
            await call.wait_streaming(8)
            await call.hang_up()
            await process.live(0)
            await process.stop()
            assert await process.ended() == 0
        assert not twilio.number().voice_url
        assert the.telnyx.webhook_url == OLD
        later = await used.ring()
        led = OLD if carrier == "telnyx" else ELSEWHERE
        await used.until(lambda: any(each.url == led for each in used.deliveries))
        assert later.state != "answered"


async def test_a_database_that_is_away_at_the_stop_is_told_in_its_own_words(capsys: pytest.CaptureFixture[str]) -> None:
    async def undo(number: str, *, temporary: bool) -> None:
        raise OperationalError("SELECT secret", {}, Exception("connection lost"))

    database = SimpleNamespace(trouble=lambda error: f"{type(error).__name__} in words")
    service = SimpleNamespace(undo=undo)
    application = SimpleNamespace(history=SimpleNamespace(database=database), number_service=service)
    pointing = TemporaryPointing(cast(Any, application), NUMBER, yes=True)
    pointing._is_pointed = True
    await cast(Any, pointing.put_back())
    assert f"{NUMBER} IS NOT PUT BACK (OperationalError in words)" in capsys.readouterr().err
