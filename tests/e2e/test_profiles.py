"""Profiles of the database: new calls follow a change, running ones do not, whatever becomes of their process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
import pytest

from callflow.config.loader import load
from tests.e2e.operator import line, session_of_next_call
from tests.e2e.process import SERVER, environment, serving
from tests.e2e.product import Product, until
from tests.e2e.scenes import conversing, exchange, model
from tests.e2e.test_survival import office


TOKEN = "a-console-token-of-32-characters"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
SALES, OTHER = "+15550100003", "+15550100004"


async def ask(port: int, method: str, path: str = "/sales", status: int = 200, **body: Any) -> dict[str, Any]:
    url = f"http://127.0.0.1:{port}/api/profiles{path}"
    async with httpx.AsyncClient(trust_env=False, timeout=20, verify=False) as client:
        answer = await client.request(method, url, headers=HEADERS, json=body or None)
    assert answer.status_code == status, answer.text
    told: dict[str, Any] = answer.json()
    return told


def voice(session: dict[str, Any]) -> str:
    found: str = session["audio"]["output"]["voice"]
    return found


async def test_the_next_call_follows_a_change_and_a_running_one_does_not() -> None:
    async with line(console_token=TOKEN) as (the, _):
        port = the.app.console_at[1]
        await ask(port, "PUT", numbers=[SALES], voice="cedar", instructions="You are in sales.")
        live = await the.telnyx.ring(to_number=SALES)
        await conversing(the, live)
        first = the.realtime.sessions[-1]
        assert (voice(first.config), first.config["instructions"]) == ("cedar", "You are in sales.")
        await ask(port, "PATCH", voice="verse")
        assert voice(await session_of_next_call(the, to_number=SALES, from_number="+15550100055")) == "verse"
        await ask(port, "DELETE")
        assert voice(await session_of_next_call(the, to_number=SALES, from_number="+15550100055")) == "marin"
        assert voice(first.config) == "cedar"
        (call,) = (call for call in the.app.switchboard.calls if call.config.profile_version == 1)
        began = next(entry.event for entry in the.app.journal.read(call.id) if entry.name == "began")
        assert (began["profile"], began["profile_version"]) == ("sales", 1)
        await live.hang_up()


@pytest.mark.one_node("it has two servers of its own")
async def test_another_process_with_the_same_database_follows(database_url: str) -> None:
    async with (
        line(console_token=TOKEN, database_url=database_url) as (one, _),
        line(console_token=TOKEN, database_url=database_url) as (other, operator),
    ):
        await ask(one.app.console_at[1], "PUT", numbers=[SALES], voice="cedar")

        def follows(the: Product, name: str, speed: float) -> bool:
            return the.app.configs.config(SALES).profile == name and the.app.effective.speed == speed

        await until(lambda: follows(other, "sales", 1.0), "the change of another process", 10)
        assert voice(await session_of_next_call(other, to_number=SALES)) == "cedar"
        assert (await operator.ask("PATCH", {"speed": 1.2}, headers=HEADERS)).status_code == 200
        await ask(other.app.console_at[1], "DELETE", version=1)
        await until(lambda: follows(one, "", 1.2), "the change of the other process, and of all numbers", 10)


async def test_a_call_that_is_recovered_goes_on_under_the_version_under_which_it_began() -> None:
    async with office(CONSOLE_TOKEN=TOKEN) as one:
        assert one.process is not None
        caller = await one.ring()
        number = caller.call.to_number
        await caller.call.hang_up()
        port = await one.process.console_port()
        await ask(port, "PUT", numbers=[number], voice="cedar", instructions="You are the first.")
        sessions = len(one.realtime.sessions)
        caller = await one.ring()
        await until(lambda: caller.heard_ms > 300, "the first words", 15)
        await ask(port, "PATCH", voice="ash", instructions="You are the second.")
        await one.stop()
        await one.start()
        await until(lambda: len(one.realtime.sessions) > sessions + 1, "the session after the crash", 15)
        after = one.realtime.sessions[-1]
        await until(lambda: voice(after.config) != "alloy", "its configuration", 10)
        assert (voice(after.config), after.config["instructions"][:18]) == ("cedar", "You are the first.")
        await one.ring(2)
        await until(lambda: len(one.realtime.sessions) > sessions + 2, "the session of another caller", 15)
        newest = one.realtime.sessions[-1]
        await until(lambda: voice(newest.config) == "ash", "what holds now", 10)


@pytest.mark.proof
async def test_start_check_and_the_command_tell_of_them_and_the_export_is_taken() -> None:
    with tempfile.TemporaryDirectory() as folder:
        telnyx, realtime = exchange(), model()
        data = {"DATA_DIR": folder, "CONSOLE_TOKEN": TOKEN}
        words = 'You are "Ada".\nBe brief: C:\\\n'
        async with serving(telnyx, realtime, **data) as server:
            port = await server.console_port()
            await ask(port, "PUT", numbers=[SALES, OTHER], instructions=words, record=True, speed=1.1)
            await ask(port, "PATCH", speed=1.2)

            async def said(*arguments: str, env: dict[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
                given = env or {"CONSOLE_PORT": port, "CONSOLE_TOKEN": TOKEN}
                return await asyncio.to_thread(_run, folder, given, arguments)

            listed = await said("profiles")
            assert (listed.returncode, listed.stderr) == (0, "")
            (row,) = [line.split() for line in listed.stdout.splitlines() if line.split()[:1] == ["sales"]]
            assert row[:5] == ["sales", "database", "2", f"{SALES},", OTHER]
            shown = await said("profiles", "show", "sales")
            assert any(line.split() == ["speed", "1.2", "profile", "sales,", "kept", "in", "the", "database"]
                       for line in shown.stdout.splitlines())  # fmt: skip
            versions = (await said("profiles", "versions", "sales")).stdout
            assert "speed" in versions
            back = await said("profiles", "restore", "sales", "1")
            assert (back.returncode, "version 3 now" in back.stdout) == (0, True), back.stderr
            assert (await said("profiles", "show", "nobody")).returncode == 1
            assert (await said("profiles", "restore", "sales", "77")).returncode == 1
            assert (await said("profiles", env={"CONSOLE_PORT": port})).returncode == 2
            exported = await said("profiles", "export")
            file = Path(folder) / "exported.toml"
            file.write_text(exported.stdout, encoding="utf-8")
            assert dict(load(toml=file, env_file=None).profiles["sales"]) == {
                "numbers": [SALES, OTHER], "instructions": words.strip(), "record": True, "speed": 1.1,
            }  # fmt: skip
        assert (await said("profiles")).returncode == 2, "no server is running"
        file.rename(Path(folder) / "settings.toml")
        wins = "settings.toml, profile sales is not used, because the database has a profile of that name, which wins"
        checked = await said("--check", env={**environment(telnyx, realtime), **data})
        assert (checked.returncode, wins in checked.stderr) == (0, True), checked.stderr


def _run(folder: str, env: dict[str, Any], arguments: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SERVER, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=60,
        env={"COLUMNS": "200", **{name: str(value) for name, value in env.items()}},
    )  # fmt: skip
