"""The control endpoint's settings: what of the environment reaches those who ask, and what runtime settings change."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from callflow.config import control_changes, control_values
from callflow.config.loader import load
from callflow.config.settings import Settings
from callflow.contracts.errors import SessionRefused
from callflow.sandbox.openai_realtime import config
from callflow.sandbox.openai_realtime.faults import Quirks
from callflow.switchboard.control.service import ControlService


CHANGED: dict[str, tuple[str, str, Any]] = {
    "REALTIME_DEFAULT_VOICE": ("cedar", "audio.output.voice", "cedar"),
    "REALTIME_DEFAULT_INSTRUCTIONS": ("Be kind.", "instructions", "Be kind."),
    "REALTIME_DEFAULT_TOOL_CHOICE": ("required", "tool_choice", "required"),
    "REALTIME_TOOL_CHOICE": ("none", "tool_choice", "none"),
    "REALTIME_DEFAULT_MAX_OUTPUT_TOKENS": ("900", "max_output_tokens", 900),
    "REALTIME_TURN_DETECTION": ("none", "audio.input.turn_detection", None),
    "REALTIME_VAD_THRESHOLD": ("0.31", "audio.input.turn_detection.threshold", 0.31),
    "REALTIME_VAD_PREFIX_MS": ("123", "audio.input.turn_detection.prefix_padding_ms", 123),
    "REALTIME_VAD_SILENCE_MS": ("321", "audio.input.turn_detection.silence_duration_ms", 321),
    "REALTIME_VAD_SEMANTIC": ("true", "audio.input.turn_detection.type", "semantic_vad"),
    "REALTIME_NOISE_REDUCTION": ("far_field", "audio.input.noise_reduction", {"type": "far_field"}),
    "REALTIME_TRANSCRIPTION_ENABLED": ("false", "audio.input.transcription", None),
    "REALTIME_TRANSCRIPTION_MODEL": ("gpt-4o-transcribe", "audio.input.transcription.model", "gpt-4o-transcribe"),
    "REALTIME_TRANSCRIPTION_PROMPT": ("names", "audio.input.transcription.prompt", "names"),
    "REALTIME_TRANSCRIPTION_LANGUAGE": ("de", "audio.input.transcription.language", "de"),
    "REALTIME_TRANSCRIPTION_LOGPROBS": ("true", "include", ["item.input_audio_transcription.logprobs"]),
}
"""By name: a value, and what of the session it changes."""
TOLD = {
    "REALTIME_DEFAULT_TEMPERATURE": "1.1", "REALTIME_INPUT_AUDIO_RATE": "16000",
    "REALTIME_TRANSCRIPTION_SEGMENTS": "true", "REALTIME_DEFAULT_MODALITIES": "text",
    "REALTIME_DEFAULT_PROMPT_ID": "pmpt_1",
}  # fmt: skip
"""Those that a session does not have, or no longer."""


def service_of(settings: Settings) -> ControlService:
    return ControlService(settings, lambda: settings)


def at(session: Any, path: str) -> Any:
    for name in path.split("."):
        session = session[name]
    return session


@pytest.mark.parametrize("name", CHANGED)
def test_each_variable_of_the_earlier_system_reaches_those_who_ask(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    value, path, expected = CHANGED[name]
    if name.endswith(("PROMPT", "LANGUAGE", "LOGPROBS")):
        monkeypatch.setenv("REALTIME_TRANSCRIPTION_MODEL", "gpt-4o-transcribe")
    before = service_of(load({}, toml=None, env_file=None)).update()
    monkeypatch.setenv(name, value)
    session = service_of(load({}, toml=None, env_file=None)).update()
    assert session != before
    assert at(session, path) == expected
    usual = config.defaults("sess_1", "gpt-realtime-2.1", 1, Quirks(), transcription=False)
    config.updated(usual, session, Quirks(), voice_locked=False)  # the vendor would take it


@pytest.mark.parametrize("name", TOLD)
def test_those_that_a_session_does_not_have_are_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, TOLD[name])
    settings = load({}, toml=None, env_file=None)
    assert service_of(settings).update() == service_of(Settings()).update()
    used = [each for each in Settings.model_fields if settings.origin(each) != "default"]
    assert used or any(line.startswith(name) for line in settings.warnings)


FULL: dict[str, Any] = {
    "voice": "ash", "tool_choice": "none", "modalities": ["audio"], "temperature": 0.7, "max_output_tokens": None,
    "turn_detection": {
        "type": "server_vad", "threshold": 0.4, "prefix_padding_ms": 100, "silence_duration_ms": 200,
        "create_response": False, "interrupt_response": True, "semantic": False,
    },
    "input_audio_format": {"type": "audio/pcm", "rate": 24000}, "noise_reduction": None,
    "transcription": {"enabled": True, "model": "whisper-1", "language": "en", "include_segments": True},
}  # fmt: skip


def test_runtime_settings_are_taken_in_the_form_of_the_earlier_system() -> None:
    taken, warnings = control_changes.of_settings(FULL)
    assert taken == {
        "voice": "ash", "tool_choice": "none", "output_modalities": "audio", "max_output_tokens": "inf",
        "turn_detection": "server_vad", "vad_threshold": 0.4, "vad_prefix_padding_ms": 100, "vad_silence_ms": 200,
        "vad_create_response": False, "vad_interrupt_response": True, "noise_reduction": "none",
        "transcription_model": "whisper-1", "transcription_language": "en",
    }  # fmt: skip
    assert {line.split()[0] for line in warnings} == {
        "temperature", "input_audio_format", "transcription.include_segments",
    }  # fmt: skip
    with pytest.raises(SessionRefused):
        control_changes.of_settings({"voice": "ash", "vad_threshold": 3})


def test_null_in_a_session_switches_off_and_what_is_decided_at_the_begin_is_left_out() -> None:
    of_input = {"turn_detection": None, "transcription": None, "format": {"type": "audio/pcmu"}}
    taken, warnings = control_changes.of_session({"model": "x", "audio": {"input": of_input}, "instructions": None})
    assert taken == {"turn_detection": "none", "transcription_model": ""}
    assert warnings == [
        "audio.input.format is left out: it is decided when a call begins",
        "model is left out: it is decided when a call begins",
    ]


def test_null_ends_what_a_transcription_had() -> None:
    of_input = {"transcription": {"model": "gpt-transcribe", "language": None, "prompt": None}}
    taken, _ = control_changes.of_session({"audio": {"input": of_input}, "include": None})
    assert taken == {
        "transcription_model": "gpt-transcribe", "transcription_language": "", "transcription_prompt": "",
        "transcription_logprobs": False,
    }  # fmt: skip


async def test_what_is_not_set_any_more_is_named_to_those_who_were_told_of_it() -> None:
    """A session keeps what an update does not name, so each answer is to end what an earlier one began."""
    given: dict[str, Any] = {
        "reasoning": {"effort": "high"}, "parallel_tool_calls": False,
        "include": ["item.input_audio_transcription.logprobs"],
        "transcription": {"model": "gpt-transcribe", "language": "de", "prompt": "Names."},
    }  # fmt: skip
    effective = Settings()
    service = ControlService(Settings(), lambda: effective)
    held = config.defaults("s", "gpt-realtime-2.1", 1, Quirks(), transcription=False)
    assert not service.update().keys() & {"reasoning", "parallel_tool_calls"}, "the asker's model may take neither"
    effective = Settings(**control_changes.of_settings(given).taken)
    held = config.updated(held, service.update(), Quirks(), voice_locked=False)
    assert (held["reasoning"], held["parallel_tool_calls"]) == ({"effort": "high"}, False)
    effective = Settings(transcription_model="gpt-transcribe")
    held = config.updated(held, service.update(), Quirks(), voice_locked=False)
    assert (held["reasoning"], held["parallel_tool_calls"], held["include"]) == ({"effort": "low"}, True, None)
    assert held["audio"]["input"]["transcription"] == {"model": "gpt-transcribe"}


@pytest.mark.parametrize(
    ("secrets", "wrong"),
    [
        ({"realtime_control_admin_secret": "x" * 31}, "has 31 characters"),
        ({"realtime_control_admin_secret": "ab" * 16}, "hardly has two"),
        ({"realtime_control_admin_secret": "0123456789abcdef" * 2, "console_token": "0123456789abcdef" * 2}, "another"),
        ({"realtime_control_secret": "s" * 20, "realtime_control_signing_secret": "s" * 20}, "cannot sign"),
        ({"realtime_control_admin_secret": "0123456789abcdef" * 2}, ""),
        ({}, ""),
    ],
)
def test_weak_secrets_keep_the_server_from_starting(secrets: dict[str, str], wrong: str) -> None:
    given: dict[str, Any] = {name: SecretStr(value) for name, value in secrets.items()}
    found = control_values.problems(Settings(**given))
    assert (len(found), wrong in "".join(found)) == (1 if wrong else 0, True)
    assert not any(value in line for value in secrets.values() for line in found)


@pytest.mark.parametrize(
    "given", ["a b", "turn; drop", "session.updated", "session_changed", ",".join("abcdefghijklmnopqrstu")]
)
def test_what_is_no_list_of_events_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="must"):
        control_values.events(given)
    assert control_values.events(" session.created , turn,turn") == "session.created, turn"
