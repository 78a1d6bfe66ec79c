"""How a session of OpenAI Realtime is configured: our settings in, a GA `session.update` out.

Only names of the GA interface are ever sent, and every value that decides how a phone line sounds is explicit: the
server's defaults (PCM at 24 kHz, a voice, how long a pause ends a turn) are not ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit


PCMU: Final = {"type": "audio/pcmu"}
"""8 kHz is implied: a `rate` is refused."""


@dataclass(frozen=True, slots=True)
class RealtimeConfig:
    api_key: str
    url: str = "wss://api.openai.com/v1/realtime"
    model: str = "gpt-realtime-2.1"
    voice: str = "marin"
    instructions: str = ""
    greeting: str = ""
    """What the agent is told for its first turn; empty: it waits for the caller."""
    transcription_model: str = ""
    """Empty: the caller's words are not transcribed."""
    noise_reduction: str = "none"
    """near_field, far_field or none."""
    vad_threshold: float = 0.5
    vad_prefix_padding_ms: int = 300
    vad_silence_ms: int = 500
    connect_seconds: float = 10.0
    write_seconds: float = 5.0
    buffer_seconds: float = 10.0
    """How much caller audio may wait for the engine before it counts as lost."""


def session_url(config: RealtimeConfig) -> str:
    """The URL with exactly one `model`: one that the setting brings along is kept, unless it is empty."""
    parts = urlsplit(config.url)
    query = parse_qsl(parts.query, keep_blank_values=True)
    models = [value for name, value in query if name == "model" and value]
    others = [(name, value) for name, value in query if name != "model"]
    return urlunsplit(parts._replace(query=urlencode([*others, ("model", (models or [config.model])[0])])))


def session(config: RealtimeConfig) -> dict[str, Any]:
    noise = None if config.noise_reduction == "none" else {"type": config.noise_reduction}
    transcription = {"model": config.transcription_model} if config.transcription_model else None
    minimal = minimal_session(config)
    minimal["audio"]["input"] |= {"noise_reduction": noise, "transcription": transcription}
    minimal["audio"]["output"]["voice"] = config.voice
    return {**minimal, "tools": [], "tool_choice": "auto"}


def minimal_session(config: RealtimeConfig) -> dict[str, Any]:
    """What a phone call cannot do without; the way out when the full session is refused (all or nothing)."""
    return {
        "type": "realtime",
        "output_modalities": ["audio"],
        "instructions": config.instructions,
        "audio": {
            "input": {
                "format": PCMU,
                "turn_detection": {
                    "type": "server_vad",
                    "threshold": config.vad_threshold,
                    "prefix_padding_ms": config.vad_prefix_padding_ms,
                    "silence_duration_ms": config.vad_silence_ms,
                    "create_response": True,
                    "interrupt_response": True,
                },
            },
            "output": {"format": PCMU},
        },
    }


def greeting(config: RealtimeConfig) -> dict[str, Any]:
    """A response's own instructions replace the session's, so the session's go with them."""
    return {"instructions": f"{config.instructions}\n\n{config.greeting}".strip()}
