"""How a session is asked for: what it says, and that it says nothing of the retired beta."""

from __future__ import annotations

import json
from typing import Any

import pytest

from callflow.contracts.engine import SessionContext
from callflow.engines.openai_realtime import session_config
from callflow.engines.openai_realtime.session_config import RealtimeConfig, session_url
from callflow.sandbox.openai_realtime import Quirks
from callflow.sandbox.openai_realtime import config as emulated
from tests.configs import realtime_config


BRIEF = SessionContext("call")


def session(config: RealtimeConfig, brief: SessionContext = BRIEF) -> dict[str, Any]:
    return session_config.session(config, brief)


def minimal_session(config: RealtimeConfig) -> dict[str, Any]:
    return session_config.minimal_session(config, BRIEF)


def config(**changes: Any) -> RealtimeConfig:
    return realtime_config(**{"model": "m-1", "instructions": "Be brief.", **changes})


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("wss://api.openai.com/v1/realtime", "wss://api.openai.com/v1/realtime?model=m-1"),
        ("ws://127.0.0.1:9", "ws://127.0.0.1:9?model=m-1"),
        ("wss://host/v1/realtime?model=other", "wss://host/v1/realtime?model=m-1"),
        ("wss://host/v1/realtime?model=other&model=third", "wss://host/v1/realtime?model=m-1"),
        ("wss://host/v1/realtime?model=", "wss://host/v1/realtime?model=m-1"),
        ("wss://host/v1/realtime?", "wss://host/v1/realtime?model=m-1"),
        ("wss://host/v1/realtime?intent=x&empty=", "wss://host/v1/realtime?intent=x&empty=&model=m-1"),
        ("wss://host/v1/realtime?models=x", "wss://host/v1/realtime?models=x&model=m-1"),
    ],
)
def test_the_address_names_exactly_one_model(url: str, expected: str) -> None:
    assert session_url(config(url=url)) == expected
    assert session_url(config(url=expected)) == expected


def test_a_model_of_any_name_survives_the_address() -> None:
    assert session_url(config(model="a b&c=d", url="wss://h/r")) == "wss://h/r?model=a+b%26c%3Dd"


def test_every_value_that_a_phone_line_needs_is_explicit() -> None:
    wanted = session(
        config(
            voice="cedar",
            transcription_model="gpt-transcribe",
            noise_reduction="near_field",
            vad_threshold=0.7,
            vad_prefix_padding_ms=250,
            vad_silence_ms=600,
        )
    )
    assert wanted == {
        "type": "realtime",
        "output_modalities": ["audio"],
        "instructions": "Be brief.",
        "audio": {
            "input": {
                "format": {"type": "audio/pcmu"},
                "noise_reduction": {"type": "near_field"},
                "transcription": {"model": "gpt-transcribe"},
                "turn_detection": {
                    "type": "server_vad",
                    "threshold": 0.7,
                    "prefix_padding_ms": 250,
                    "silence_duration_ms": 600,
                    "create_response": True,
                    "interrupt_response": True,
                },
            },
            "output": {"format": {"type": "audio/pcmu"}, "voice": "cedar"},
        },
        "tools": [],
        "tool_choice": "auto",
    }


def test_what_is_off_is_null() -> None:
    wanted = session(config(transcription_model="", noise_reduction="none"))
    assert wanted["audio"]["input"]["transcription"] is None
    assert wanted["audio"]["input"]["noise_reduction"] is None


def test_the_minimal_session_is_what_a_call_cannot_do_without() -> None:
    one = config(transcription_model="t", noise_reduction="far_field", voice="v")
    full, minimal = session(one), minimal_session(one)
    assert minimal["audio"]["output"] == {"format": {"type": "audio/pcmu"}}
    assert set(minimal["audio"]["input"]) == {"format", "turn_detection"}
    assert set(minimal) == {"type", "output_modalities", "instructions", "audio", "tools"}
    for name in ("type", "output_modalities", "instructions"):
        assert minimal[name] == full[name]
    assert minimal["audio"]["input"]["turn_detection"] == full["audio"]["input"]["turn_detection"]


def test_making_one_session_leaves_no_trace_in_the_next() -> None:
    session(config(transcription_model="t", voice="v"))
    assert "voice" not in minimal_session(config())["audio"]["output"]
    assert "transcription" not in minimal_session(config())["audio"]["input"]


def strict(wanted: dict[str, Any], model: str = "gpt-realtime-2.1") -> dict[str, Any]:
    """The session as the emulator, which refuses what the real server refuses, has it after this update."""
    session: dict[str, Any] = emulated.updated(
        emulated.defaults("sess_1", model, 0, Quirks(), transcription=False), wanted, Quirks(), voice_locked=False
    )
    return session


NON_DEFAULT: dict[str, Any] = {
    "voice": "cedar", "speed": 1.25, "transcription_model": "gpt-transcribe", "transcription_language": "de",
    "transcription_prompt": "Names of streets.", "transcription_logprobs": True, "noise_reduction": "far_field",
    "turn_detection": "semantic_vad", "vad_eagerness": "low", "max_output_tokens": 500, "tool_choice": "required",
    "parallel_tool_calls": "off", "reasoning_effort": "low", "truncation": 0.8, "tracing": "auto",
    "engine_audio": "pcm24", "vad_create_response": False, "vad_interrupt_response": False,
}  # fmt: skip


def test_every_setting_reaches_the_session_and_is_taken() -> None:
    wanted = session(config(model="gpt-realtime-2.1", **NON_DEFAULT))
    taken = strict(wanted)
    audio = taken["audio"]
    assert audio["output"] == {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "cedar", "speed": 1.25}
    assert audio["input"]["format"] == {"type": "audio/pcm", "rate": 24000}
    assert audio["input"]["transcription"] == {
        "model": "gpt-transcribe", "language": "de", "prompt": "Names of streets.",
    }  # fmt: skip
    assert audio["input"]["noise_reduction"] == {"type": "far_field"}
    assert audio["input"]["turn_detection"] == {
        "type": "semantic_vad", "eagerness": "low", "create_response": False, "interrupt_response": False,
    }  # fmt: skip
    assert (taken["max_output_tokens"], taken["tool_choice"], taken["tracing"]) == (500, "required", "auto")
    assert (taken["parallel_tool_calls"], taken["reasoning"]) == (False, {"effort": "low"})
    assert taken["truncation"] == {"type": "retention_ratio", "retention_ratio": 0.8}
    assert taken["include"] == ["item.input_audio_transcription.logprobs"]
    assert session_config.warnings(config(model="gpt-realtime-2.1", **NON_DEFAULT)) == []


def test_the_servers_own_timer_and_a_custom_voice() -> None:
    taken = strict(session(config(model="gpt-realtime-2.1", vad_idle_timeout_ms=6000, voice="voice_123")))
    assert taken["audio"]["input"]["turn_detection"]["idle_timeout_ms"] == 6000
    assert taken["audio"]["output"]["voice"] == {"id": "voice_123"}


def test_the_servers_own_timer_is_ended_by_null() -> None:
    """A key that is left out stays as it is."""
    with_timer, without = (config(model="gpt-realtime-2.1", vad_idle_timeout_ms=ms) for ms in (6000, 0))
    told = session_config.difference(with_timer, without, SessionContext("call"))
    assert told["audio"]["input"]["turn_detection"]["idle_timeout_ms"] is None
    assert "idle_timeout_ms" not in session(without)["audio"]["input"]["turn_detection"]


@pytest.mark.parametrize(
    ("changes", "about"),
    [
        ({"voice": "nova"}, "voice"),
        ({"voice": "nobody"}, "voice"),
        ({"temperature": 0.2}, "temperature"),
        ({"prompt_id": "pmpt_1"}, "prompt_id"),
        ({"output_modalities": "text"}, "output_modalities"),
        ({"turn_detection": "none"}, "turn_detection"),
        ({"turn_detection": "semantic_vad", "vad_idle_timeout_ms": 6000}, "vad_idle_timeout_ms"),
        ({"model": "gpt-realtime-1.5", "reasoning_effort": "high"}, "reasoning_effort"),
        ({"model": "gpt-realtime", "parallel_tool_calls": "on"}, "parallel_tool_calls"),
        ({"transcription_model": "gpt-realtime-whisper"}, "transcription_model"),
    ],
)
def test_what_cannot_be_sent_is_left_out_and_said(changes: dict[str, Any], about: str) -> None:
    one = config(**{"model": "gpt-realtime-2.1", **changes})
    (said,) = session_config.warnings(one)
    assert said.startswith(about)
    strict(session(one), one.model)


def test_tools_and_mcp_servers_go_along_and_a_choice_of_one_that_is_not_there_does_not() -> None:
    tools = (
        {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}},
        {"type": "mcp", "server_label": "shop", "server_url": "https://mcp.example.org"},
    )
    brief = SessionContext("call", tools=tools)
    taken = strict(session(config(model="gpt-realtime-2.1", tool_choice="look"), brief))
    assert taken["tools"] == list(tools)
    assert taken["tool_choice"] == {"type": "function", "name": "look"}
    assert session(config(tool_choice="other"), brief)["tool_choice"] == "auto"


def test_turn_taking_is_switched_off_and_on_as_configured() -> None:
    one = config(model="gpt-realtime-2.1", vad_silence_ms=321)
    protected = session(one, SessionContext("call", turn_detection=False))["audio"]["input"]["turn_detection"]
    assert (protected["create_response"], protected["interrupt_response"]) == (False, False)
    assert session_config.turns(one, True)["audio"]["input"]["turn_detection"] == {
        **protected, "create_response": True, "interrupt_response": True,
    }  # fmt: skip
    strict(session_config.turns(one, False))
    guarded = config(min_interruption_ms=300)
    assert not guarded.interrupts_itself
    assert not guarded.answers_itself


def test_a_change_sends_what_is_different_and_never_another_voice_once_it_has_spoken() -> None:
    one = config(model="gpt-realtime-2.1", speed=1.5)
    wanted = {"speed": 1.0, "voice": "cedar", "model": "other", "nonsense": 1, "instructions": "New."}
    partial, new, left_out = session_config.changed(one, BRIEF, wanted, spoken=True)
    assert partial == {"type": "realtime", "instructions": "New.", "audio": {"output": {"speed": 1.0}}}
    assert (new.voice, new.model, new.speed) == (one.voice, one.model, 1.0)
    assert {line.split()[0] for line in left_out} == {"voice", "model", "nonsense"}
    partial, new, left_out = session_config.changed(one, BRIEF, {"voice": "cedar"}, spoken=False)
    assert partial["audio"]["output"] == {"voice": "cedar"}
    assert left_out == []
    assert session_config.changed(one, BRIEF, {}, spoken=True)[0] == {"type": "realtime"}


def _keys(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*(_keys(inner) for inner in value.values()))
    return set().union(*(_keys(inner) for inner in value)) if isinstance(value, list) else set()


BETA_NAMES = {
    "modalities",
    "voice_id",
    "speed",
    "temperature",
    "input_audio_format",
    "output_audio_format",
    "input_audio_transcription",
    "input_audio_noise_reduction",
    "max_response_output_tokens",
    "rate",
}


def test_no_name_of_the_beta_is_sent() -> None:
    one = config(transcription_model="t", noise_reduction="near_field")
    for sent in (session(one), minimal_session(one)):
        assert not _keys(sent) & BETA_NAMES
        text = json.dumps(sent)
        assert "g711" not in text
        assert "pcm16" not in text
    assert "turn_detection" not in session(one), "in GA it lies under audio.input"
    assert "voice" not in session(one), "in GA it lies under audio.output"
