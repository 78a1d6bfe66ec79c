"""Variables of earlier systems: each is translated to a setting, or it is said why it is not used."""

from __future__ import annotations

import base64
import re

import pytest

from callflow.config import legacy_names
from callflow.config.loader import load
from callflow.config.settings import Settings
from tests.config.test_settings import Here, here


__all__ = ["here"]  # a fixture


def words(text: str) -> list[str]:
    return re.findall(r"\S+", text)


REFERENCE = words("""
    OPENAI_API_KEY PORT NGROK_AUTH_TOKEN PUBLIC PRAISONAI_REALTIME_URL PRAISONAI_REALTIME_MODEL
    PRAISONAI_REALTIME_API_KEY PRAISONAI_ALLOW_LOCAL_TOOLS PRAISONAI_CALL_LOAD_DOTENV LOGLEVEL
    CALL_SERVER_TOKEN MAX_CONCURRENT_CONNECTIONS MAX_REQUESTS_PER_WINDOW SYSTEM_MESSAGE
    TWILIO_STARTUP_BUFFER_CHUNKS TWILIO_STARTUP_DELAY_S CHUNK_LENGTH_S SAMPLE_RATE OPENAI_WEBHOOK_SECRET
    PUBLIC_URL TWILIO_ACCOUNT_SID TWILIO_AUTH_TOKEN TWILIO_WEBHOOK_URL NEXT_PUBLIC_WEBSOCKET_URL
    NEXT_PUBLIC_WEBSOCKET_SERVER_URL TELNYX_API_KEY TELNYX_PUBLIC_KEY VOICE TWILIO_FROM_NUMBER PUBLIC_BASE_URL
    ALLOW_CLIENT_CREDS NEXT_PUBLIC_ALLOW_CLIENT_CREDS REALTIME_CONTROL_SECRET REALTIME_CONTROL_SIGNING_SECRET
    REALTIME_CONTROL_TOLERANCE_SECONDS REALTIME_CONTROL_ADMIN_SECRET REALTIME_DEFAULT_VOICE
    REALTIME_DEFAULT_TOOL_CHOICE REALTIME_DEFAULT_MODALITIES REALTIME_DEFAULT_TEMPERATURE
    REALTIME_DEFAULT_MAX_OUTPUT_TOKENS REALTIME_TOOL_CHOICE REALTIME_MODALITIES REALTIME_TEMPERATURE
    REALTIME_MAX_OUTPUT_TOKENS REALTIME_TURN_DETECTION REALTIME_VAD_THRESHOLD REALTIME_VAD_PREFIX_MS
    REALTIME_VAD_SILENCE_MS REALTIME_VAD_SEMANTIC REALTIME_NOISE_REDUCTION REALTIME_INPUT_AUDIO_RATE
    REALTIME_TRANSCRIPTION_ENABLED REALTIME_TRANSCRIPTION_MODEL REALTIME_TRANSCRIPTION_PROMPT
    REALTIME_TRANSCRIPTION_LANGUAGE REALTIME_TRANSCRIPTION_LOGPROBS REALTIME_TRANSCRIPTION_SEGMENTS
    REALTIME_DEFAULT_MODEL REALTIME_DEFAULT_INSTRUCTIONS REALTIME_DEFAULT_PROMPT_ID
    REALTIME_DEFAULT_PROMPT_VERSION REALTIME_PROMPT_VERSION REALTIME_EXPIRES_SECONDS REALTIME_MODE
    REALTIME_AUDIO_CODEC TWIML_DEFAULT_MODE TWILIO_WEBSOCKET_URL TWILIO_STREAM_STATUS_CALLBACK_URL
    TWILIO_STREAM_STATUS_CALLBACK_METHOD TWILIO_STATUS_CALLBACK_URL TWILIO_STATUS_CALLBACK_METHOD
    TWILIO_STATUS_CALLBACK_EVENTS OPENAI_ORG_ID OPENAI_PROJECT_ID REALTIME_WS_TIMEOUT_MS
    WS_HEARTBEAT_INTERVAL_MS REALTIME_TRANSCRIBE_INPUT REALTIME_TOOLS REDIS_URL KV_URL KV_REST_API_URL
    KV_REST_API_TOKEN KV_REST_API_READ_ONLY_TOKEN TELNYX_API_BASE TWILIO_API_BASE OPENAI_API_BASE
    OPENAI_REALTIME_URL TELNYX_BASE_URL MAX_CONCURRENT_CALLS CONSOLE_PORT
""")
"""Every variable of the earlier systems, every constant that people changed in their source, and what a test bench
sets."""


VALUES = {
    "OPENAI_BASE_URL": "https://a.example/v1",
    "TWILIO_FROM_NUMBER": "+15550100002",
    "PORT": "0", "CONSOLE_PORT": "0", "PUBLIC": "true", "TELNYX_PUBLIC_KEY": base64.b64encode(bytes(32)).decode(),
    "TWILIO_ACCOUNT_SID": "AC" + "1" * 32, "PUBLIC_URL": "https://a.example", "PUBLIC_BASE_URL": "https://a.example",
    "OPENAI_API_BASE": "https://a.example/v1", "OPENAI_REALTIME_URL": "wss://a.example/v1/realtime",
    "PRAISONAI_REALTIME_URL": "wss://a.example/v1/realtime", "TELNYX_API_BASE": "https://a.example/v2",
    "TELNYX_BASE_URL": "https://a.example/v2", "TWILIO_API_BASE": "https://a.example", "LOGLEVEL": "WARN",
    "REALTIME_TURN_DETECTION": "none", "REALTIME_NOISE_REDUCTION": "none", "REALTIME_AUDIO_CODEC": "pcm16",
    "REALTIME_MODALITIES": "audio", "REALTIME_DEFAULT_MODALITIES": "audio", "REALTIME_TRANSCRIPTION_LANGUAGE": "de",
    "REALTIME_VAD_SEMANTIC": "true", "REALTIME_TRANSCRIPTION_ENABLED": "false", "REALTIME_TRANSCRIBE_INPUT": "false",
    "OPENAI_WEBHOOK_SECRET": "whsec_MDEyMzQ1Njc4OWFiY2RlZg==", "OPENAI_PROJECT_ID": "proj_1",
    "TWIML_DEFAULT_MODE": "sip",
    "REALTIME_TRANSCRIPTION_LOGPROBS": "true", "REALTIME_EXPIRES_SECONDS": "60", "CHUNK_LENGTH_S": "0.05",
}  # fmt: skip


@pytest.mark.parametrize("name", REFERENCE)
def test_every_variable_of_an_earlier_system_is_used_or_its_neglect_is_said(
    name: str, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = VALUES.get(name, "1")
    monkeypatch.setenv(name, value)
    settings = load()
    told = [line for line in settings.warnings if line.startswith(f"{name} (environment) is not used: ")]
    used = [each for each in Settings.model_fields if settings.origin(each) != "default"]
    if name == "OPENAI_API_BASE":
        used.remove("openai_realtime_url")  # which is beside it
    assert (len(told), len(used)) in ((1, 0), (0, 1)), (settings.warnings, used)
    assert all(value == "1" or value not in line for line in told)


def test_none_of_them_is_forgotten() -> None:
    assert set(legacy_names.NAMES) - set(REFERENCE) == {
        "OPENAI_BASE_URL", "OPENAI_ORGANIZATION", "OPENAI_PROJECT", "TWILIO_PHONE_NUMBER"
    }, "names that nobody's reference has"  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "setting", "meant"),
    [
        ("LOGLEVEL", "WARN", "log_level", "warning"),
        ("LOGLEVEL", "CRITICAL", "log_level", "error"),
        ("LOGLEVEL", "Debug", "log_level", "debug"),
        ("OPENAI_BASE_URL", "http://127.0.0.1:9/v1", "openai_api_base", "http://127.0.0.1:9/v1"),
        ("PRAISONAI_REALTIME_MODEL", "gpt-realtime", "model", "gpt-realtime"),
        ("MAX_CONCURRENT_CONNECTIONS", "5", "max_concurrent_calls", 5),
        ("CHUNK_LENGTH_S", "0.05", "frame_batch_ms", 50),
        ("SYSTEM_MESSAGE", "Be kind.", "instructions", "Be kind."),
        ("REALTIME_VAD_SEMANTIC", "on", "turn_detection", "semantic_vad"),
    ],
)
def test_what_a_name_of_an_earlier_system_says_is_translated(
    name: str, value: str, setting: str, meant: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    settings = load()
    assert getattr(settings, setting) == meant
    assert settings.origin(setting) == f"environment, as {name}"
    assert settings.warnings == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REALTIME_TRANSCRIPTION_ENABLED", "maybe"), ("REALTIME_VAD_SEMANTIC", "2"), ("REALTIME_AUDIO_CODEC", "opus"),
        ("TWILIO_STARTUP_BUFFER_CHUNKS", "3.5"), ("REALTIME_WS_TIMEOUT_MS", "15s"), ("OPENAI_BASE_URL", "a.example"),
        ("CHUNK_LENGTH_S", "x"), ("CHUNK_LENGTH_S", "inf"), ("CHUNK_LENGTH_S", "nan"),
        ("REALTIME_WS_TIMEOUT_MS", "1e400"), ("TWILIO_STARTUP_DELAY_S", "-inf"),
    ],
)  # fmt: skip
def test_a_value_of_theirs_that_cannot_be_translated_is_told(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    (said,) = load().warnings
    assert said.startswith(f'{name}="{value}" (environment) is not used: it must be ')
    assert re.search("must be (a number|a whole number|true or false|pcmu or pcm24|https://HOST/v1)$", said)


@pytest.mark.parametrize("name", sorted(legacy_names.NAMES))
def test_each_name_stands_for_a_setting_or_for_none_in_any_case(name: str) -> None:
    setting = legacy_names.setting_of(name.lower())
    assert setting is None or setting in Settings.model_fields
    told: list[str] = []
    found, written_as = legacy_names.translated({name: VALUES.get(name, "1")}, told, " (here)")
    assert (set(found), bool(told)) == ({setting} - {None}, setting is None)
    assert written_as == dict.fromkeys(found, name)


def test_of_two_names_for_one_setting_the_one_that_switches_off_wins() -> None:
    told: list[str] = []
    given = {"REALTIME_TRANSCRIBE_INPUT": "no", "REALTIME_TRANSCRIPTION_MODEL": "x", "REALTIME_VAD_SEMANTIC": "0"}
    found, written_as = legacy_names.translated(given, told)
    assert found == {"transcription_model": ""}
    assert (written_as, told) == ({"transcription_model": "REALTIME_TRANSCRIBE_INPUT"}, [])
