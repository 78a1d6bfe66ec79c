"""The session of coming calls that operators keep: it holds from the next call on, and survives the process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from callflow.settings import Settings
from callflow.settings_loader import load
from tests.e2e import house as houses
from tests.e2e.house import House, run, until
from tests.e2e.process import SERVER, environment, serving
from tests.e2e.scenes import conversing, exchange, model, stage
from tests.e2e.test_survival import SENTENCE, office


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


class Operator:
    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/session"

    async def ask(self, method: str, body: Any = None, **options: Any) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False, timeout=20, verify=False) as client:
            return await client.request(method, self._url, **({"json": body} if body is not None else {}), **options)

    async def change(self, **body: Any) -> dict[str, Any]:
        answer = await self.ask("PATCH", body)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    async def told(self) -> dict[str, Any]:
        answer = await self.ask("GET")
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    async def refused(self, body: Any) -> dict[str, Any]:
        answer = await self.ask("PATCH", body)
        assert answer.status_code == 400, answer.text
        told: dict[str, Any] = answer.json()
        return told


@contextlib.asynccontextmanager
async def line(**settings: Any) -> AsyncIterator[tuple[House, Operator]]:
    async with stage(**settings) as the:
        yield the, Operator(the.line.console[1])


async def session_of_next_call(the: House, **ring: Any) -> dict[str, Any]:
    call = await the.telnyx.ring(**ring)
    await conversing(the, call)
    config: dict[str, Any] = the.realtime.sessions[-1].config
    await call.hang_up()
    await call.wait_ended()
    return config


def origins(told: dict[str, Any]) -> dict[str, str]:
    return {name: one["origin"] for name, one in told["settings"].items() if one["origin"] != "default"}


# What is kept holds


def test_what_is_kept_reaches_the_model_from_the_next_call_on_and_a_live_one_goes_on_as_it_was() -> None:
    async def main() -> None:
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

    run(main())


def test_names_of_the_beta_of_our_settings_and_of_the_api_say_the_same() -> None:
    ways: list[dict[str, Any]] = [
        {"voice": "ash", "vad_threshold": 0.4, "vad_silence_ms": 1000, "transcription_model": "whisper-1"},
        {
            "type": "session.update",
            "session": {
                "voice": "ash",
                "modalities": ["text", "audio"],
                "turn_detection": {"type": "server_vad", "threshold": 0.4, "silence_duration_ms": 1000},
                "input_audio_format": "g711_ulaw",
                "output_audio_format": "g711_ulaw",
                "input_audio_transcription": {"model": "whisper-1"},
            },
        },
        {
            "audio": {
                "input": {
                    "turn_detection": {"threshold": 0.4, "silence_duration_ms": 1000},
                    "transcription": {"model": "whisper-1"},
                },
                "output": {"voice": "ash"},
            }
        },
        {"turn_detection": {"threshold": 0.4, "silence_duration_ms": 1000}, "transcription": {"model": "whisper-1"},
         "audio": {"output": {"voice": "ash"}}},
    ]  # fmt: skip

    async def main() -> None:
        async with line() as (_, operator):
            seen = []
            for body in ways:
                assert (await operator.ask("DELETE")).json()["kept"] == {}
                seen.append((await operator.change(**body))["session"])
            assert all(one == seen[0] for one in seen)
            assert seen[0]["audio"]["output"]["voice"] == "ash"
            assert seen[0]["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 1000

    run(main())


def test_what_get_tells_can_be_sent_back_and_changes_nothing() -> None:
    async def main() -> None:
        async with line() as (_, operator):
            for body in (
                {},
                {"turn_detection": {"type": "none"}, "noise_reduction": {"type": "none"}},
                {"input_audio_transcription": {"enabled": False}, "voice": {"id": "voice_123"}, "speed": 0.8},
                {"turn_detection": {"type": "semantic_vad", "eagerness": "low"}, "input_audio_format": "pcm16"},
                {
                    "include": ["item.input_audio_transcription.logprobs"],
                    "parallel_tool_calls": False,
                    "tracing": "auto",
                },
            ):
                first = await operator.change(**body)
                again = await operator.change(**first["session"])
                assert again["session"] == first["session"], body
                assert again["settings"].keys() == first["settings"].keys()
                values = [{name: one["value"] for name, one in told["settings"].items()} for told in (first, again)]
                assert values[0] == values[1], body

    run(main())


def test_a_profile_of_numbers_lies_over_what_is_kept() -> None:
    sales = {"numbers": ["+15550100003"], "voice": "verse"}

    async def main() -> None:
        async with line(profiles={"sales": sales}) as (the, operator):
            await operator.change(voice="cedar", speed=1.1)
            usual = (await session_of_next_call(the))["audio"]["output"]
            own = (await session_of_next_call(the, to_number="+15550100003"))["audio"]["output"]
            assert (usual["voice"], usual["speed"]) == ("cedar", 1.1)
            assert (own["voice"], own["speed"]) == ("verse", 1.1)

    run(main())


# It can be taken away again


def test_null_takes_one_of_them_away_and_delete_takes_all() -> None:
    async def main() -> None:
        async with line() as (the, operator):
            await operator.change(
                voice="cedar", speed=1.2, turn_detection={"threshold": 0.7, "silence_duration_ms": 900}
            )
            told = await operator.change(voice=None, audio={"input": {"turn_detection": {"threshold": None}}})
            assert told["kept"] == {"speed": 1.2, "vad_silence_ms": 900}
            assert (await session_of_next_call(the))["audio"]["output"]["voice"] == "marin"
            told = await operator.change(turn_detection=None, truncation=None)
            assert told["kept"] == {"speed": 1.2}
            assert any("none" in one for one in told["warnings"]), "that null does not switch it off was not said"
            told = (await operator.ask("DELETE")).json()
            assert (told["kept"], origins(told)) == ({}, {})
            assert (await operator.ask("DELETE")).status_code == 200, "again"

    run(main())


def test_a_session_needs_instructions_or_a_prompt() -> None:
    async def main() -> None:
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

    run(main())


# What cannot be, or is not sent


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"temperature": 0.7}, "temperature is not sent"),
        ({"session": {"temperature": 0.7}}, "session.temperature is not sent"),
        ({"include_segments": True}, "include_segments is left out"),
        (
            {"input_audio_transcription": {"include_segments": True}},
            "input_audio_transcription.include_segments is left",
        ),
        ({"voice": "fable"}, 'voice "fable" is left out'),
        ({"audio": {"output": {"voice": "nova"}}}, 'audio.output.voice "nova" is left out'),
        ({"voice": "onyx"}, "marin"),
        ({"noise_reduction": "custom"}, "noise_reduction is left out"),
        ({"audio": {"input": {"noise_reduction": {"type": "studio"}}}}, "audio.input.noise_reduction.type is left out"),
        ({"prompt": {"id": "pmpt_1", "variables": {"a": "b"}}}, "prompt.variables is left out"),
        ({"prompt_id": "pmpt_1"}, "prompt_id is not sent"),
        ({"modalities": ["text"]}, "modalities is left out"),
        ({"tools": [{"type": "function", "name": "x"}]}, "TOOLS_FILE"),
        ({"input_audio_format": "g711_alaw"}, "input_audio_format is left out"),
        (
            {"audio": {"input": {"turn_detection": {"treshold": 0.6}}}},
            "did you mean audio.input.turn_detection.threshold?",
        ),
        ({"audio": {"outptu": {}}}, "did you mean audio.output?"),
        ({"temprature": 0.7}, "did you mean temperature?"),
        ({"vad_silence": 700}, "vad_silence is left out"),
        ({"audio": {"input": {"turn_detection": None}}}, "null takes away"),
        ({"id": "sess_1", "object": "realtime.session"}, "id is left out"),
    ],
)
def test_what_is_not_sent_is_taken_and_named(body: dict[str, Any], says: str) -> None:
    async def main() -> None:
        async with line() as (the, operator):
            told = await operator.change(**body)
            assert any(says in one for one in told["warnings"]), told["warnings"]
            await session_of_next_call(the)
            assert the.realtime.sessions[-1].violations == []

    run(main())


WRONG: list[tuple[Any, str]] = [
    ({"speed": 5}, "speed must be a number from 0.25 to 1.5"),
    ({"audio": {"output": {"speed": "fast"}}}, "audio.output.speed must be a number"),
    ({"turn_detection": {"threshold": 7}}, "turn_detection.threshold must be"),
    ({"turn_detection": {"idle_timeout_ms": 10}}, "turn_detection.idle_timeout_ms must be 0, or from 5000"),
    ({"turn_detection": "vad"}, "turn_detection must be"),
    ({"turn_detection": [1]}, "turn_detection must be"),
    ({"audio": "loud"}, "audio must be an object"),
    ({"max_output_tokens": 9000}, "max_output_tokens must be"),
    ({"max_response_output_tokens": True}, "max_response_output_tokens must be"),
    ({"reasoning": {"effort": "hgih"}}, "reasoning.effort must be"),
    ({"port": 1}, "port holds for the whole server"),
    ({"openai_api_key": "sk-1234567890123456789012"}, "openai_api_key holds for the whole server"),
    ({"type": "transcription"}, "realtime"),
    ({"input_audio_format": "pcm16", "output_audio_format": "g711_ulaw"}, "are one setting"),
    ({"instructions": "x" * 41_000}, "instructions must have 40000 characters at most"),
    ({"instructions": "sk-proj-12345678901234567890123456789012"}, "secret key"),
    ({"instructions": "a\0b"}, "NUL"),
    ([], "object"),
    ("voice", "object"),
]


@pytest.mark.parametrize(("body", "says"), WRONG, ids=[says for _, says in WRONG])
def test_what_cannot_be_is_refused_in_the_words_of_the_body_and_nothing_is_kept(body: Any, says: str) -> None:
    async def main() -> None:
        async with line() as (_, operator):
            both = {"greeting": "Say hello.", **body} if isinstance(body, dict) else body
            told = await operator.refused(both)
            assert says in told["error"], told
            assert "sk-" not in json.dumps(told)
            assert (await operator.told())["kept"] == {}

    run(main())


def test_all_that_is_wrong_is_told_at_once() -> None:
    async def main() -> None:
        async with line() as (_, operator):
            told = await operator.refused({"speed": 5, "audio": {"output": {"voice": 1}}, "voicee": "x"})
            assert len(told["problems"]) == 3, told
            assert all(
                any(one.startswith(path) for one in told["problems"]) for path in ("speed", "audio.output.voice")
            )

    run(main())


def test_a_language_without_clips_is_refused_before_it_is_kept() -> None:
    async def main() -> None:
        async with houses.house(carrier=exchange(), realtime=model()) as the:
            operator = Operator(the.line.console[1])
            told = await operator.refused({"clip_language": "tlh"})
            assert told["error"].startswith('clip_language="tlh"'), told
            assert (await operator.told())["kept"] == {}

    run(main())


def test_a_body_that_is_too_large_or_no_json_is_refused() -> None:
    async def main() -> None:
        async with line() as (_, operator):
            for content, kind, status in (
                (b'{"instructions": "' + b"x" * 600_000 + b'"}', "application/json", 413),
                (b"{", "application/json", 400),
                (b"", "application/json", 400),
                (b'{"voice": "cedar"}', "text/plain", 415),
                (b'{"voice": "cedar", "voice": "ash"}', "application/json", 400),
            ):
                answer = await operator.ask("PATCH", content=content, headers={"Content-Type": kind})
                assert answer.status_code == status, answer.text
                assert set(answer.json()) <= {"error", "problems"}
            assert (await operator.ask("POST", {"voice": "cedar"})).status_code == 405
            assert (await operator.told())["kept"] == {}

    run(main())


# What is stronger


def test_a_value_that_is_set_elsewhere_is_kept_and_said_not_to_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "settings.toml").write_text('voice = "verse"\nspeed = 0.9\n')
    (tmp_path / ".env").write_text("VAD_THRESHOLD=0.3\n")
    monkeypatch.setenv("REALTIME_DEFAULT_MODEL", "gpt-realtime-2")
    read = load({}, toml=tmp_path / "settings.toml", env_file=tmp_path / ".env")

    async def main() -> None:
        async with line() as (the, operator):
            the.line.settings._origins = read._origins  # as if this house had been started with these files
            assert read.origin("voice") == "settings.toml"
            told = await operator.change(
                audio={"input": {"turn_detection": {"threshold": 0.9}}, "output": {"voice": "cedar"}},
                model="gpt-realtime",
            )
            assert told["settings"]["voice"] == {"value": "cedar", "origin": "kept in the database"}
            assert told["settings"]["vad_threshold"]["value"] == the.line.settings.vad_threshold
            assert told["kept"]["vad_threshold"] == 0.9
            named = [one for one in told["warnings"] if "does not hold" in one]
            assert len(named) == 2, told["warnings"]
            assert any("audio.input.turn_detection.threshold" in one and ".env" in one for one in named)
            assert any(one.startswith("model ") and "REALTIME_DEFAULT_MODEL" in one for one in named)
            assert any("vad_threshold" in one for one in (await operator.told())["warnings"])

    run(main())


# Concurrency, and the database


def test_of_changes_at_once_none_is_lost(database_url: str) -> None:
    changes: list[dict[str, Any]] = [
        {"voice": "cedar"}, {"speed": 1.2}, {"turn_detection": {"threshold": 0.7}}, {"instructions": "Be brief."},
        {"no_input_asks": 5}, {"max_output_tokens": 500}, {"greeting": "Hi."},
        {"audio": {"input": {"format": {"type": "audio/pcm"}}}},
    ]  # fmt: skip

    async def main() -> None:
        async with line(database_url=database_url) as (_, operator):
            await asyncio.gather(*(operator.change(**one) for one in changes))
            assert (await operator.told())["kept"] == {
                "voice": "cedar", "speed": 1.2, "vad_threshold": 0.7, "instructions": "Be brief.", "no_input_asks": 5,
                "max_output_tokens": 500, "greeting": "Hi.", "engine_audio": "pcm24",
            }  # fmt: skip
        async with line(database_url=database_url) as (the, operator):
            assert len((await operator.told())["kept"]) == 8, "it is forgotten with the process"
            assert (await session_of_next_call(the))["audio"]["output"]["voice"] == "cedar"

    run(main())


def test_a_locked_database_is_told_and_nothing_has_changed(tmp_path: Path) -> None:
    async def main() -> None:
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

    run(main())


def test_without_a_database_the_files_hold_and_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "callflow.db").mkdir()

    async def main() -> None:
        async with line(data_dir=str(tmp_path), voice="verse") as (the, operator):
            assert any("kept in the database" in one for one in the.line.warnings), the.line.warnings
            told = await operator.told()
            assert any("not known" in one for one in told["warnings"])
            answer = await operator.ask("PATCH", {"voice": "ash"})
            assert (answer.status_code, answer.headers.get("retry-after")) == (503, "1")
            assert (await operator.ask("DELETE")).status_code == 503
            assert (await session_of_next_call(the))["audio"]["output"]["voice"] == "verse"

    run(main())


def test_what_this_version_cannot_use_is_passed_over_and_said(tmp_path: Path) -> None:
    async def main() -> None:
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
                assert any(name in one for one in the.line.warnings), name
            assert (await operator.ask("DELETE")).status_code == 200

    run(main())


def test_no_secret_is_told(tmp_path: Path) -> None:
    async def main() -> None:
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

    run(main())


# Processes


def test_it_survives_the_process_and_the_start_and_check_say_where_a_value_comes_from() -> None:
    async def main() -> None:
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

    run(main())


def test_check_makes_no_database(tmp_path: Path) -> None:
    env = {"OPENAI_API_KEY": "sk-test", "TELNYX_API_KEY": "KEY_1", "ALLOW_UNSIGNED_WEBHOOKS": "true"}
    checked = _check({**env, "DATA_DIR": str(tmp_path / "data")})
    assert checked.returncode == 0, checked.stderr
    assert not (tmp_path / "data").exists()


def test_a_call_that_is_taken_back_goes_on_under_what_it_began_with() -> None:
    async def main() -> None:
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
            assert SENTENCE
            other = await one.ring(2)
            await until(lambda: len(one.realtime.sessions) > 2, "the session of another caller", 15)
            newest = one.realtime.sessions[-1]
            await until(lambda: newest.config["audio"]["output"]["voice"] == "ash", "what is kept now", 10)
            assert other.is_up

    run(main())


def _check(env: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(
            [sys.executable, SERVER, "--check"], cwd=folder, capture_output=True, text=True, check=False, timeout=60,
            env={"COLUMNS": "200", **{name: str(value) for name, value in env.items()}},
        )  # fmt: skip


def _row(checked: subprocess.CompletedProcess[str], name: str) -> list[str]:
    rows = [line.split() for line in checked.stdout.splitlines()]
    return next((row[1:] for row in rows if row[:1] == [name]), [checked.stderr])
