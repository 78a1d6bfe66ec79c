"""How the session of coming calls may be written, and what is said of what cannot be."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e import product as products
from tests.e2e.operator import Operator, line, session_of_next_call
from tests.e2e.scenes import exchange, model


async def test_names_of_the_beta_of_our_settings_and_of_the_api_say_the_same() -> None:
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
    async with line() as (_, operator):
        seen = []
        for body in ways:
            assert (await operator.ask("DELETE")).json()["kept"] == {}
            seen.append((await operator.change(**body))["session"])
        assert all(one == seen[0] for one in seen)
        assert seen[0]["audio"]["output"]["voice"] == "ash"
        assert seen[0]["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 1000


async def test_what_get_tells_can_be_sent_back_and_changes_nothing() -> None:
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
        ({"VOICE": "cedar"}, "did you mean voice?"),
        ({"threshold": 0.6}, "did you mean turn_detection.threshold?"),
        ({"audio": {"voice": "cedar"}}, "did you mean audio.output.voice?"),
        ({"session": {"treshold": 0.6}}, "did you mean session.vad_threshold?"),
        ({"session": {}, "voice": "cedar"}, "voice is left out: it stands beside session"),
        ({"audio": {"input": {"turn_detection": None}}}, "null takes away"),
        ({"id": "sess_1", "object": "realtime.session"}, "id is left out"),
    ],
)
async def test_what_is_not_sent_is_taken_and_named(body: dict[str, Any], says: str) -> None:
    async with line() as (the, operator):
        told = await operator.change(**body)
        assert any(says in one for one in told["warnings"]), told["warnings"]
        await session_of_next_call(the)
        assert the.realtime.sessions[-1].violations == []


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
    ({"session": "cedar"}, "session must be an object"),
    ({"input_audio_format": "pcm16", "output_audio_format": "g711_ulaw"}, "are one setting"),
    ({"instructions": "x" * 41_000}, "instructions must have 40000 characters at most"),
    ({"instructions": "sk-proj-12345678901234567890123456789012"}, "secret key"),
    ({"instructions": "a\0b"}, "NUL"),
    ([], "object"),
    ("voice", "object"),
]


@pytest.mark.parametrize(("body", "says"), WRONG, ids=[says for _, says in WRONG])
async def test_what_cannot_be_is_refused_in_the_words_of_the_body_and_nothing_is_kept(body: Any, says: str) -> None:
    async with line() as (_, operator):
        both = {"greeting": "Say hello.", **body} if isinstance(body, dict) and "session" not in body else body
        told = await operator.refused(both)
        assert says in told["error"], told
        assert "sk-" not in json.dumps(told)
        assert (await operator.told())["kept"] == {}


async def test_all_that_is_wrong_is_told_at_once() -> None:
    async with line() as (_, operator):
        told = await operator.refused({"speed": 5, "audio": {"output": {"voice": 1}}, "voicee": "x"})
        assert len(told["problems"]) == 3, told
        assert all(any(one.startswith(path) for one in told["problems"]) for path in ("speed", "audio.output.voice"))


async def test_a_language_without_clips_is_refused_before_it_is_kept() -> None:
    async with products.product(carrier=exchange(), realtime=model()) as the:
        operator = Operator(the.app.console_at[1])
        told = await operator.refused({"clip_language": "tlh"})
        assert told["error"].startswith('clip_language="tlh"'), told
        assert (await operator.told())["kept"] == {}


async def test_a_body_that_is_too_large_or_no_json_is_refused() -> None:
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
