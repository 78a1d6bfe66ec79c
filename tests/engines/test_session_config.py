"""How a session is asked for: what it says, and that it says nothing of the retired beta."""

from __future__ import annotations

import json
from typing import Any

import pytest

from callflow.contracts import Brief
from callflow.engines import session_config
from callflow.engines.session_config import RealtimeConfig, session_url


BRIEF = Brief("call")


def session(config: RealtimeConfig, brief: Brief = BRIEF) -> dict[str, Any]:
    return session_config.session(config, brief)


def minimal_session(config: RealtimeConfig) -> dict[str, Any]:
    return session_config.minimal_session(config, BRIEF)


def config(**changes: Any) -> RealtimeConfig:
    return RealtimeConfig(**{"api_key": "sk-test", "model": "m-1", "instructions": "Be brief.", **changes})


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("wss://api.openai.com/v1/realtime", "wss://api.openai.com/v1/realtime?model=m-1"),
        ("ws://127.0.0.1:9", "ws://127.0.0.1:9?model=m-1"),
        ("wss://host/v1/realtime?model=other", "wss://host/v1/realtime?model=other"),
        ("wss://host/v1/realtime?model=other&model=third", "wss://host/v1/realtime?model=other"),
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
