"""Names of earlier systems: each is translated to a setting, or a warning says why it is not used.

The settings' own names win over these in the same layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from callflow.config import display


Translate = Callable[[str], dict[str, Any]]
"""Turns a value into settings by name. Raises ValueError, with what the value must be, when it cannot."""
_ON: Final = ("1", "true", "yes", "on")
_OFF: Final = ("0", "false", "no", "off")
_CHUNK_MS: Final = 50
"""The length of one chunk in the system that counted in chunks."""
_LEVELS: Final = {"notset": "debug", "trace": "debug", "warn": "warning", "critical": "error", "fatal": "error"}
"""Levels of other systems, in terms of LOG_LEVEL."""


def _as(name: str) -> Translate:
    return lambda value: {name: value}


def _flag(value: str) -> bool:
    given = value.strip().lower()
    if given not in (*_ON, *_OFF):
        raise ValueError("true or false")
    return given in _ON


def _number(value: str) -> float:
    try:
        found = float(value)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise ValueError("a number")
    return found


def _whole(value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise ValueError("a whole number") from None


def _semantic(value: str) -> dict[str, Any]:
    return {"turn_detection": "semantic_vad"} if _flag(value) else {}


def _transcription(value: str) -> dict[str, Any]:
    return {} if _flag(value) else {"transcription_model": ""}


def _codec(value: str) -> dict[str, Any]:
    given = value.strip().lower()
    if given in ("pcm16", "pcm", "audio/pcm", "pcm24"):
        return {"engine_audio": "pcm24"}
    if given in ("g711_ulaw", "pcmu", "ulaw", "mulaw", "audio/pcmu"):
        return {"engine_audio": "pcmu"}
    raise ValueError("pcmu or pcm24")


def _modalities(value: str) -> dict[str, Any]:
    return {"output_modalities": "audio" if "audio" in value.lower() else value.strip()}


def _log_level(value: str) -> dict[str, Any]:
    given = value.strip().lower()
    return {"log_level": _LEVELS.get(given, given)}


def _api_base(value: str) -> dict[str, Any]:
    scheme, colon, rest = value.strip().partition("://")
    if scheme.lower() not in ("http", "https") or not colon or "?" in rest or "#" in rest:
        raise ValueError("https://HOST/v1")
    return {"openai_api_base": value}


_MEANT: Final[dict[str, Translate]] = {
    "REALTIME_DEFAULT_MODEL": _as("model"),
    "REALTIME_DEFAULT_VOICE": _as("voice"),
    "REALTIME_DEFAULT_INSTRUCTIONS": _as("instructions"),
    "REALTIME_DEFAULT_PROMPT_ID": _as("prompt_id"),
    "REALTIME_DEFAULT_PROMPT_VERSION": _as("prompt_version"),
    "REALTIME_PROMPT_VERSION": _as("prompt_version"),
    "REALTIME_DEFAULT_TOOL_CHOICE": _as("tool_choice"),
    "REALTIME_TOOL_CHOICE": _as("tool_choice"),
    "REALTIME_DEFAULT_MODALITIES": _modalities,
    "REALTIME_MODALITIES": _modalities,
    "REALTIME_DEFAULT_TEMPERATURE": _as("temperature"),
    "REALTIME_TEMPERATURE": _as("temperature"),
    "REALTIME_DEFAULT_MAX_OUTPUT_TOKENS": _as("max_output_tokens"),
    "REALTIME_MAX_OUTPUT_TOKENS": _as("max_output_tokens"),
    "REALTIME_TURN_DETECTION": _as("turn_detection"),
    "REALTIME_VAD_THRESHOLD": _as("vad_threshold"),
    "REALTIME_VAD_PREFIX_MS": _as("vad_prefix_padding_ms"),
    "REALTIME_VAD_SILENCE_MS": _as("vad_silence_ms"),
    "REALTIME_VAD_SEMANTIC": _semantic,
    "REALTIME_NOISE_REDUCTION": _as("noise_reduction"),
    "REALTIME_TRANSCRIPTION_MODEL": _as("transcription_model"),
    "REALTIME_TRANSCRIPTION_PROMPT": _as("transcription_prompt"),
    "REALTIME_TRANSCRIPTION_LANGUAGE": _as("transcription_language"),
    "REALTIME_TRANSCRIPTION_LOGPROBS": lambda value: {"transcription_logprobs": _flag(value)},
    "REALTIME_TRANSCRIPTION_ENABLED": _transcription,
    "REALTIME_TRANSCRIBE_INPUT": _transcription,
    "REALTIME_AUDIO_CODEC": _codec,
    "REALTIME_WS_TIMEOUT_MS": lambda value: {"engine_seconds": _number(value) / 1000},
    "TWILIO_STARTUP_BUFFER_CHUNKS": lambda value: {"warm_up_ms": _whole(value) * _CHUNK_MS},
    "TWILIO_STARTUP_DELAY_S": lambda value: {"twilio_pause_seconds": _number(value)},
    "CHUNK_LENGTH_S": lambda value: {"frame_batch_ms": round(_number(value) * 1000)},
    "OPENAI_BASE_URL": _api_base,
    "PRAISONAI_REALTIME_URL": _as("openai_realtime_url"),
    "PRAISONAI_REALTIME_MODEL": _as("model"),
    "PRAISONAI_REALTIME_API_KEY": _as("openai_api_key"),
    "MAX_CONCURRENT_CONNECTIONS": _as("max_concurrent_calls"),
    "TWILIO_PHONE_NUMBER": _as("twilio_from_number"),
    "LOGLEVEL": _log_level,
    "SYSTEM_MESSAGE": _as("instructions"),
}
"""How each is translated, in this order: a name that switches something off comes after one that chooses it."""

_FOLLOWS: Final = "the address follows from PUBLIC_BASE_URL"
_OWN_STATUS: Final = "each call names Callflow's own status callback"
_PAGES: Final = "there are no pages of another server; the address is PUBLIC_BASE_URL"
_RECORD: Final = "calls are kept in DATABASE_URL"
_OF_KEY: Final = "an OpenAI key belongs to one project; use that project's OPENAI_API_KEY"
_NOT_USED: Final[dict[str, str]] = {  # by name: why it is not used
    "REALTIME_INPUT_AUDIO_RATE": "a telephone line has 8000 Hz, and the interface takes no other rate for it",
    "SAMPLE_RATE": "a telephone line has 8000 Hz, and the interface takes no other rate for it",
    "REALTIME_TRANSCRIPTION_SEGMENTS": "the interface has no such parameter any more",
    "REALTIME_MODE": "calls come over media streams",
    "REALTIME_TOOLS": "tools are defined in TOOLS_FILE",
    "OPENAI_ORG_ID": _OF_KEY,
    "OPENAI_ORGANIZATION": _OF_KEY,
    "OPENAI_PROJECT": _OF_KEY,
    "TWILIO_WEBHOOK_URL": _FOLLOWS,
    "TWILIO_WEBSOCKET_URL": _FOLLOWS,
    "TWILIO_STATUS_CALLBACK_URL": _OWN_STATUS,
    "TWILIO_STATUS_CALLBACK_METHOD": _OWN_STATUS,
    "TWILIO_STATUS_CALLBACK_EVENTS": _OWN_STATUS,
    "TWILIO_STREAM_STATUS_CALLBACK_URL": "a stream's end is told on the stream itself",
    "TWILIO_STREAM_STATUS_CALLBACK_METHOD": "a stream's end is told on the stream itself",
    "NEXT_PUBLIC_WEBSOCKET_URL": _PAGES,
    "NEXT_PUBLIC_WEBSOCKET_SERVER_URL": _PAGES,
    "NEXT_PUBLIC_ALLOW_CLIENT_CREDS": _PAGES,
    "WS_HEARTBEAT_INTERVAL_MS": "connections are watched without it",
    "REDIS_URL": _RECORD,
    "KV_URL": _RECORD,
    "KV_REST_API_URL": _RECORD,
    "KV_REST_API_TOKEN": _RECORD,
    "KV_REST_API_READ_ONLY_TOKEN": _RECORD,
    "CALL_SERVER_TOKEN": "webhooks are known by their carrier's signature, and need no other token",
    "PRAISONAI_ALLOW_LOCAL_TOOLS": "the tools of TOOLS_FILE are used whenever that file is there",
    "PRAISONAI_CALL_LOAD_DOTENV": "a .env is read whenever it is there",
    "MAX_REQUESTS_PER_WINDOW": "it counted a whole carrier; MAX_CALLS_PER_CALLER_HOUR counts each caller",
}

NAMES: Final = frozenset(_MEANT) | frozenset(_NOT_USED)
"""All names of earlier systems, in capitals."""
_SETTINGS: Final = {
    "REALTIME_VAD_SEMANTIC": "turn_detection", "REALTIME_TRANSCRIPTION_LOGPROBS": "transcription_logprobs",
    "REALTIME_TRANSCRIPTION_ENABLED": "transcription_model", "REALTIME_TRANSCRIBE_INPUT": "transcription_model",
    "REALTIME_AUDIO_CODEC": "engine_audio", "REALTIME_WS_TIMEOUT_MS": "engine_seconds",
    "TWILIO_STARTUP_BUFFER_CHUNKS": "warm_up_ms", "TWILIO_STARTUP_DELAY_S": "twilio_pause_seconds",
    "CHUNK_LENGTH_S": "frame_batch_ms", "OPENAI_BASE_URL": "openai_api_base",
}  # fmt: skip
"""The setting of each name whose values are translated as well."""


def setting_of(name: str) -> str | None:
    """Return the setting for a name of an earlier system, in any case; None: there is none."""
    translate = _MEANT.get(name.upper())
    if translate is None:
        return None
    return _SETTINGS.get(name.upper()) or next(iter(translate("")), None)


def translated(given: Mapping[str, str], warnings: list[str], where: str = "") -> tuple[dict[str, Any], dict[str, str]]:
    """Translate variables: returns values by setting, and for each setting the name that it was written as.

    `given`: the variables of one layer by their names in capitals; none is blank. For each name that is not used a line
    is added to `warnings`; `where` says in it which layer it is.
    """
    found: dict[str, Any] = {}
    written_as: dict[str, str] = {}
    for name, translate in _MEANT.items():
        if name not in given:
            continue
        try:
            meant = translate(given[name])
        except ValueError as error:
            warnings.append(f"{name}{display.quoted(name, given[name])}{where} is not used: it must be {error}")
            continue
        found |= meant
        written_as |= dict.fromkeys(meant, name)
    warnings += [f"{name}{where} is not used: {why}" for name, why in _NOT_USED.items() if name in given]
    return found, written_as
