"""The session of coming calls that operators keep: it holds from the next call on, and survives the process."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from callflow.config.loader import load
from callflow.config.settings import Settings
from tests.e2e.operator import Operator, line, session_of_next_call
from tests.e2e.process import ROOT, SERVER, environment, python, serving
from tests.e2e.product import until
from tests.e2e.scenes import conversing, exchange, model
from tests.e2e.test_survival import office
from tests.ports import free_port


NEITHER = "Provide either instructions or a prompt reference."
API = {
    "type": "realtime",
    "instructions": "You are the harbour master.",
    "output_modalities": ["audio"],
    "audio": {
        "input": {
            "turn_detection": {
                "type": "server_vad", "threshold": 0.7, "prefix_padding_ms": 250, "silence_duration_ms": 650,
            },
            "transcription": {"model": "gpt-transcribe", "language": "en"},
            "noise_reduction": {"type": "far_field"},
        },
        "output": {"voice": "cedar", "speed": 1.2},
    },
    "tool_choice": "none",
    "max_output_tokens": 900,
    "truncation": {"type": "retention_ratio", "retention_ratio": 0.8},
    "reasoning": {"effort": "low"},
}  # fmt: skip


def origins(told: dict[str, Any]) -> dict[str, str]:
    return {name: one["origin"] for name, one in told["settings"].items() if one["origin"] != "default"}


# What is kept holds


async def test_what_is_kept_reaches_the_model_from_the_next_call_on_and_a_live_one_goes_on_as_it_was() -> None:
    async with line() as (the, operator):
        live = await the.telnyx.ring(from_number="+15550100055")
        await conversing(the, live)
        told = (await operator.ask("PATCH", API)).json()
        assert told["warnings"] == []
        assert the.realtime.sessions[0].config["audio"]["output"]["voice"] == "marin"
        got = await session_of_next_call(the)
        listens, speaks = got["audio"]["input"], got["audio"]["output"]
        turns = {key: listens["turn_detection"][key] for key in API["audio"]["input"]["turn_detection"]}  # type: ignore[index]
        assert turns == API["audio"]["input"]["turn_detection"]  # type: ignore[index]
        assert listens["noise_reduction"]["type"] == "far_field"
        assert listens["transcription"]["model"] == "gpt-transcribe"
        assert (speaks["voice"], speaks["speed"]) == ("cedar", 1.2)
        assert (got["tool_choice"], got["max_output_tokens"]) == ("none", 900)
        assert got["instructions"] == "You are the harbour master."
        assert got["truncation"] == API["truncation"]
        assert got["reasoning"] == {"effort": "low"}
        assert all(one.violations == [] for one in the.realtime.sessions)
        await live.hang_up()


async def test_a_profile_of_numbers_lies_over_what_is_kept() -> None:
    sales = {"numbers": ["+15550100003"], "voice": "verse"}
    async with line(profiles={"sales": sales}) as (the, operator):
        await operator.change(voice="cedar", speed=1.1)
        usual = (await session_of_next_call(the))["audio"]["output"]
        own = (await session_of_next_call(the, to_number="+15550100003"))["audio"]["output"]
        assert (usual["voice"], usual["speed"]) == ("cedar", 1.1)
        assert (own["voice"], own["speed"]) == ("verse", 1.1)


# It can be taken away again


async def test_null_takes_one_of_them_away_and_delete_takes_all() -> None:
    async with line() as (the, operator):
        await operator.change(voice="cedar", speed=1.2, turn_detection={"threshold": 0.7, "silence_duration_ms": 900})
        told = await operator.change(voice=None, audio={"input": {"turn_detection": {"threshold": None}}})
        assert told["kept"] == {"speed": 1.2, "vad_silence_ms": 900}
        assert (await session_of_next_call(the))["audio"]["output"]["voice"] == "marin"
        told = await operator.change(turn_detection=None, truncation=None)
        assert told["kept"] == {"speed": 1.2}
        assert any("none" in one for one in told["warnings"]), "that null does not switch it off was not said"
        told = (await operator.ask("DELETE")).json()
        assert (told["kept"], origins(told)) == ({}, {})
        assert (await operator.ask("DELETE")).status_code == 200, "again"


async def test_a_session_needs_instructions_or_a_prompt() -> None:
    async with line() as (_, operator):
        for body in (
            {"instructions": ""},
            {"instructions": " \n\t"},
            {"instructions": None},
            {"instructions": None, "prompt": None},
            {"instructions": "", "prompt": {"id": ""}},
            {"session": {"instructions": ""}},
        ):
            assert await operator.refused(body) == {"error": NEITHER}, body
        told = await operator.change(instructions="", prompt={"id": "pmpt_1", "version": "2"})
        assert any(one.startswith("prompt.id is not sent") for one in told["warnings"])
        await operator.change(prompt=None)
        await operator.change(instructions="Be brief.")
        assert (await operator.told())["session"]["instructions"] == "Be brief."
        told = await operator.change(instructions=None)
        assert told["kept"] == {}
        assert told["session"]["instructions"] == Settings().instructions


# What is stronger


async def test_a_value_that_is_set_elsewhere_is_kept_and_said_not_to_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "settings.toml").write_text('voice = "verse"\nspeed = 0.9\n')
    (tmp_path / ".env").write_text("VAD_THRESHOLD=0.3\n")
    monkeypatch.setenv("REALTIME_DEFAULT_MODEL", "gpt-realtime-2")
    read = load({}, toml=tmp_path / "settings.toml", env_file=tmp_path / ".env")
    async with line() as (the, operator):
        the.app.settings._origins = read._origins  # as if this process had been started with these files
        assert read.origin("voice") == "settings.toml"
        told = await operator.change(
            audio={"input": {"turn_detection": {"threshold": 0.9}}, "output": {"voice": "cedar"}},
            model="gpt-realtime",
        )
        assert told["settings"]["voice"] == {"value": "cedar", "origin": "kept in the database"}
        assert told["settings"]["vad_threshold"]["value"] == the.app.settings.vad_threshold
        assert told["kept"]["vad_threshold"] == 0.9
        named = [one for one in told["warnings"] if "does not hold" in one]
        assert len(named) == 2, told["warnings"]
        assert any("audio.input.turn_detection.threshold" in one and ".env" in one for one in named)
        assert any(one.startswith("model ") and "REALTIME_DEFAULT_MODEL" in one for one in named)
        assert any("vad_threshold" in one for one in (await operator.told())["warnings"])


# Concurrency, and the database


async def test_of_changes_at_once_none_is_lost(database_url: str) -> None:
    changes: list[dict[str, Any]] = [
        {"voice": "cedar"}, {"speed": 1.2}, {"turn_detection": {"threshold": 0.7}}, {"instructions": "Be brief."},
        {"no_input_asks": 5}, {"max_output_tokens": 500}, {"greeting": "Hi."},
        {"audio": {"input": {"format": {"type": "audio/pcm"}}}},
    ]  # fmt: skip
    async with line(database_url=database_url) as (_, operator):
        await asyncio.gather(*(operator.change(**one) for one in changes))
        assert (await operator.told())["kept"] == {
            "voice": "cedar", "speed": 1.2, "vad_threshold": 0.7, "instructions": "Be brief.", "no_input_asks": 5,
            "max_output_tokens": 500, "greeting": "Hi.", "engine_audio": "pcm24",
        }  # fmt: skip
    async with line(database_url=database_url) as (the, operator):
        assert len((await operator.told())["kept"]) == 8, "it is forgotten with the process"
        assert (await session_of_next_call(the))["audio"]["output"]["voice"] == "cedar"


async def test_a_locked_database_is_told_and_nothing_has_changed(tmp_path: Path) -> None:
    async with line(data_dir=str(tmp_path)) as (the, operator):
        await operator.change(voice="cedar")
        other = sqlite3.connect(tmp_path / "callflow.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        for method, body in (("PATCH", {"voice": "ash"}), ("DELETE", None)):
            answer = await operator.ask(method, body)
            assert (answer.status_code, "retry-after" in answer.headers) == (503, True), answer.text
        assert (await operator.told())["kept"] == {"voice": "cedar"}
        other.execute("ROLLBACK")
        other.close()
        assert (await session_of_next_call(the))["audio"]["output"]["voice"] == "cedar"
        await operator.change(voice="ash")


@pytest.mark.one_node("nodes meet in the database")
async def test_without_a_database_the_files_hold_and_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "callflow.db").mkdir()
    async with line(data_dir=str(tmp_path), voice="verse") as (the, operator):
        assert any("kept in the database" in one for one in the.app.warnings), the.app.warnings
        told = await operator.told()
        assert any("not known" in one for one in told["warnings"])
        answer = await operator.ask("PATCH", {"voice": "ash"})
        assert (answer.status_code, answer.headers.get("retry-after")) == (503, "1")
        assert (await operator.ask("DELETE")).status_code == 503
        assert (await session_of_next_call(the))["audio"]["output"]["voice"] == "verse"


async def test_what_this_version_cannot_use_is_passed_over_and_said(tmp_path: Path) -> None:
    async with line(data_dir=str(tmp_path)) as (_, operator):
        await operator.change(voice="cedar")
    with contextlib.closing(sqlite3.connect(tmp_path / "callflow.db")) as database, database:
        rows = [("speed", "99"), ("of_next_year", "1"), ("vad_threshold", "{"), ("console_token", '"x"')]
        database.executemany("INSERT INTO kept_settings VALUES ('default', ?, ?, '')", rows)
    async with line(data_dir=str(tmp_path)) as (the, operator):
        told = await operator.told()
        assert told["kept"] == {"voice": "cedar"}
        for name, _ in rows:
            assert any(name in one for one in told["warnings"]), name
            assert any(name in one for one in the.app.warnings), name
        assert (await operator.ask("DELETE")).status_code == 200


async def test_no_secret_is_told(tmp_path: Path) -> None:
    token = "a-console-token-of-32-characters"
    async with line(console_token=token) as (the, operator):
        allowed = {"Authorization": f"Bearer {token}"}
        assert (await operator.ask("GET")).status_code == 401
        assert (await operator.ask("PATCH", {"voice": "ash"})).status_code == 401
        answer = await operator.ask("GET", headers=allowed)
        for secret in (token, the.realtime.api_key, the.telnyx.api_key):
            assert secret not in answer.text
        answer = await operator.ask("PATCH", {"instructions": f"The token is {token}."}, headers=allowed)
        assert (answer.status_code, token in answer.text) == (400, False)


# Processes


@pytest.mark.proof
async def test_it_survives_the_process_and_the_start_and_check_say_where_a_value_comes_from() -> None:
    with tempfile.TemporaryDirectory() as folder:
        env: dict[str, Any] = {"DATA_DIR": folder, "VAD_SILENCE_MS": 700}
        telnyx, realtime = exchange(), model()
        async with serving(telnyx, realtime, **env) as server:
            operator = Operator(await server.console_port())
            told = await operator.change(voice="cedar", turn_detection={"silence_duration_ms": 900})
            assert any(one.startswith("turn_detection.silence_duration_ms") for one in told["warnings"])
            checked = await asyncio.to_thread(_check, {**environment(telnyx, realtime), **env})
            assert _row(checked, "VOICE") == ["cedar", "kept", "in", "the", "database"], "while the server runs"
            server.process.kill()
            await server.process.wait()
        checked = await asyncio.to_thread(_check, {**environment(telnyx, realtime), **env})
        assert _row(checked, "VOICE") == ["cedar", "kept", "in", "the", "database"]
        assert _row(checked, "VAD_SILENCE_MS") == ["700", "environment"]
        assert "vad_silence_ms is kept, and does not hold" in checked.stderr
        telnyx, realtime = exchange(), model()
        async with serving(telnyx, realtime, **env) as server:
            kept = (await Operator(await server.console_port()).told())["kept"]
            assert kept == {"voice": "cedar", "vad_silence_ms": 900}
            assert "voice cedar" in server.said()
            assert "(in the database: GET /api/session)" in server.said()
            call = await telnyx.ring()
            await call.wait_streaming()
            await until(
                lambda: realtime.sessions and realtime.sessions[0].config["audio"]["output"]["voice"] == "cedar",
                "the voice",
            )
            await call.hang_up()


@pytest.mark.proof
async def test_it_holds_under_a_server_of_somebody_elses_and_so_do_the_limits_of_a_caller(tmp_path: Path) -> None:
    async with line(data_dir=str(tmp_path)) as (_, operator):
        await operator.change(voice="cedar")
    telnyx, realtime, port = exchange(), model(), free_port()
    async with telnyx, realtime:
        env = environment(telnyx, realtime) | {"PYTHONPATH": ROOT, "DATA_DIR": tmp_path, "MAX_CALLS_PER_CALLER": 1}
        asgi = ("-m", "hypercorn", "--graceful-timeout", "0", "--bind", f"127.0.0.1:{port}", "server:create_app()")
        async with python(*asgi, env=env) as server:
            await server.says("Running on")
            telnyx.webhook_url = f"http://127.0.0.1:{port}/webhooks"
            call = await telnyx.ring()
            await call.wait_streaming()
            await call.phone.hears(0.05)
            assert realtime.sessions[0].config["audio"]["output"]["voice"] == "cedar"
            again = await telnyx.ring()
            await again.wait_ended()
            assert again.hangup_cause == "user_busy"
            await call.hang_up()
            server.process.terminate()  # it has a process of its own, which outlives one that is killed
            assert await server.ended(noisy=True) == 0


def test_check_makes_no_database(tmp_path: Path) -> None:
    env = {"OPENAI_API_KEY": "sk-test", "TELNYX_API_KEY": "KEY_1", "ALLOW_UNSIGNED_WEBHOOKS": "true"}
    checked = _check({**env, "DATA_DIR": str(tmp_path / "data")})
    assert checked.returncode == 0, checked.stderr
    assert not (tmp_path / "data").exists()


async def test_a_call_that_is_recovered_goes_on_under_what_it_began_with() -> None:
    async with office() as one:
        assert one.process is not None
        operator = Operator(await one.process.console_port())
        await operator.change(voice="cedar", instructions="You are the first.")
        caller = await one.ring()
        await until(lambda: caller.heard_ms > 300, "the first words", 15)
        await operator.change(voice="ash", instructions="You are the second.")
        await one.stop()
        await one.start()
        await until(lambda: len(one.realtime.sessions) > 1, "the session after the crash", 15)
        after = one.realtime.sessions[-1]
        await until(lambda: after.config["audio"]["output"]["voice"] != "alloy", "its configuration", 10)
        assert after.config["audio"]["output"]["voice"] == "cedar"
        assert after.config["instructions"].startswith("You are the first.")
        other = await one.ring(2)
        await until(lambda: len(one.realtime.sessions) > 2, "the session of another caller", 15)
        newest = one.realtime.sessions[-1]
        await until(lambda: newest.config["audio"]["output"]["voice"] == "ash", "what is kept now", 10)
        assert other.is_up


def _check(env: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(
            [sys.executable, SERVER, "--check"], cwd=folder, capture_output=True, text=True, check=False, timeout=60,
            env={"COLUMNS": "200", **{name: str(value) for name, value in env.items()}},
        )  # fmt: skip


def _row(checked: subprocess.CompletedProcess[str], name: str) -> list[str]:
    rows = [line.split() for line in checked.stdout.splitlines()]
    return next((row[1:] for row in rows if row[:1] == [name]), [checked.stderr])
