"""The `REALTIME_*` and `TWILIO_STARTUP_*` names of earlier systems: each is understood, and what cannot be honoured any
more is said.

Our own names win over these in the same layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from callflow import settings_shown as shown


Translate = Callable[[str], dict[str, Any]]
_ON: Final = ("1", "true", "yes", "on")


_CHUNK_MS: Final = 50
"""What one of its chunks was."""


def _as(name: str) -> Translate:
    return lambda value: {name: value}


def _flag(value: str) -> bool:
    return value.strip().lower() in _ON


def _semantic(value: str) -> dict[str, Any]:
    return {"turn_detection": "semantic_vad"} if _flag(value) else {}


def _transcription(value: str) -> dict[str, Any]:
    return {} if _flag(value) else {"transcription_model": ""}


def _codec(value: str) -> dict[str, Any]:
    pcm = value.strip().lower() in ("pcm16", "pcm", "audio/pcm", "pcm24")
    return {"engine_audio": "pcm24" if pcm else "pcmu"}


def _modalities(value: str) -> dict[str, Any]:
    return {"output_modalities": "audio" if "audio" in value.lower() else value.strip()}


_MEANT: Final[dict[str, Translate]] = {
    "REALTIME_DEFAULT_MODEL": _as("model"),
    "REALTIME_DEFAULT_VOICE": _as("voice"),
    "REALTIME_DEFAULT_INSTRUCTIONS": _as("instructions"),
    "REALTIME_DEFAULT_PROMPT_ID": _as("prompt_id"),
    "REALTIME_DEFAULT_PROMPT_VERSION": _as("prompt_version"),
    "REALTIME_PROMPT_VERSION": _as("prompt_version"),
    "REALTIME_TOOL_CHOICE": _as("tool_choice"),
    "REALTIME_DEFAULT_TOOL_CHOICE": _as("tool_choice"),
    "REALTIME_MODALITIES": _modalities,
    "REALTIME_DEFAULT_MODALITIES": _modalities,
    "REALTIME_TEMPERATURE": _as("temperature"),
    "REALTIME_DEFAULT_TEMPERATURE": _as("temperature"),
    "REALTIME_MAX_OUTPUT_TOKENS": _as("max_output_tokens"),
    "REALTIME_DEFAULT_MAX_OUTPUT_TOKENS": _as("max_output_tokens"),
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
    "TWILIO_STARTUP_BUFFER_CHUNKS": lambda value: {"warm_up_ms": int(value) * _CHUNK_MS},
    "TWILIO_STARTUP_DELAY_S": lambda value: {"twilio_pause_seconds": float(value)},
    "REALTIME_WS_TIMEOUT_MS": lambda value: {"engine_seconds": float(value) / 1000},
}
"""In this order, so that what switches something off comes after what chooses it."""

_LATER: Final = "belongs to a part of Callflow that is not there yet"
_NOT_SENT: Final[dict[str, str]] = {
    "REALTIME_INPUT_AUDIO_RATE": "a telephone line has 8000 Hz, and the interface takes no other rate for it",
    "REALTIME_TRANSCRIPTION_SEGMENTS": "the interface has no such parameter any more",
    "REALTIME_EXPIRES_SECONDS": _LATER,
    "REALTIME_MODE": "calls come over media streams",
    "REALTIME_TOOLS": "tools are defined in TOOLS_FILE",
    "REALTIME_CONTROL_SECRET": _LATER,
    "REALTIME_CONTROL_SIGNING_SECRET": _LATER,
    "REALTIME_CONTROL_TOLERANCE_SECONDS": _LATER,
    "REALTIME_CONTROL_ADMIN_SECRET": _LATER,
}

NAMES: Final = frozenset(_MEANT) | frozenset(_NOT_SENT)


def translated(layer: Mapping[str, str | None], warnings: list[str]) -> dict[str, Any]:
    """What these names in one layer (in any case) say, in our own settings. An empty value counts as not given."""
    given = {name.upper(): value for name, value in layer.items() if value is not None and value.strip()}
    found: dict[str, Any] = {}
    for name, translate in _MEANT.items():
        if name in given:
            try:
                found |= translate(given[name])
            except ValueError:
                warnings.append(f"{name}{shown.quoted(name, given[name])} is not used: it is not a number")
    warnings += [f"{name} is not used: {why}" for name, why in _NOT_SENT.items() if name in given]
    return found
