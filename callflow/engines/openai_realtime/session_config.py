"""Turns our settings into the `session` of a `session.update` (GA interface). Pure.

Every value that affects the sound of a call is sent explicitly, because the server's defaults (PCM at 24 kHz, a voice,
the pause that ends a turn) differ from ours. A setting that cannot be sent is left out, with a warning (`warnings`),
because the server would refuse the whole update.

Vendor: https://platform.openai.com/docs/api-reference/realtime-client-events/session/update
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from callflow.contracts.engine import SessionContext
from callflow.contracts.realtime_values import UNSENT, VOICES, is_voice
from callflow.engines import model_catalog as models


PCMU: Final = {"type": "audio/pcmu"}
"""µ-law at 8 kHz; the server refuses a `rate`."""
PCM24: Final = {"type": "audio/pcm", "rate": 24000}
FORMATS: Final = {"pcmu": PCMU, "pcm24": PCM24}

_VOICE: Final = "marin"
"""The voice that replaces a voice that no session accepts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RealtimeConfig:
    """The configuration of one call's sessions of the model.

    The fields have the names of settings, which docs/settings.md documents and which hold the defaults. The end of a
    name is its unit: seconds or ms.
    """

    api_key: str = field(repr=False)
    url: str = field(repr=False)
    """The WebSocket address, with or without a `?model=…`, which is `model` then."""
    model: str
    voice: str
    speed: float
    instructions: str
    output_modalities: str
    engine_audio: str
    transcription_model: str
    """ "": the caller's words are not transcribed."""
    transcription_language: str
    transcription_prompt: str
    transcription_logprobs: bool
    noise_reduction: str
    turn_detection: str
    vad_threshold: float
    vad_prefix_padding_ms: int
    vad_silence_ms: int
    vad_idle_timeout_ms: int
    vad_eagerness: str
    vad_create_response: bool
    vad_interrupt_response: bool
    min_interruption_ms: int
    max_output_tokens: int | str
    tool_choice: str
    parallel_tool_calls: str
    reasoning_effort: str
    truncation: float | str
    tracing: str
    prompt_id: str
    temperature: float | None
    """None: not set. The temperature is never sent; `warnings` has a line if one was set."""
    mcp_approval: str
    response_retries: int
    response_retry_seconds: float
    session_seconds: float
    rotation_seconds: float
    connect_seconds: float
    """The time limit for opening the WebSocket, all attempts together."""
    write_seconds: float
    buffer_seconds: float
    """How much caller audio may wait for the engine before the session counts as lost."""

    @property
    def address(self) -> str:
        """Return the address of the WebSocket: see `session_url`."""
        return session_url(self)

    @property
    def interrupts_itself(self) -> bool:
        """Return whether the server stops its own response when it hears the caller.

        It does not if the caller must speak for a minimum time first, because then we decide.
        """
        return self.turn_detection != "none" and self.vad_interrupt_response and not self.min_interruption_ms

    @property
    def answers_itself(self) -> bool:
        """Return whether the server begins a response when the caller has stopped."""
        return self.turn_detection != "none" and self.vad_create_response and not self.min_interruption_ms


def session_url(config: RealtimeConfig, remote: str = "") -> str:
    """Return the WebSocket address with exactly one `model`. `remote`: with the id of that call in its place, because
    the session has its model already."""
    parts = urlsplit(config.url)
    query = parse_qsl(parts.query, keep_blank_values=True)
    others = [(name, value) for name, value in query if name not in ("model", "call_id")]
    about = ("call_id", remote) if remote else ("model", config.model)
    return urlunsplit(parts._replace(query=urlencode([*others, about])))


def session(config: RealtimeConfig, context: SessionContext, *, explicit: bool = False) -> dict[str, Any]:
    """Return the whole session. `explicit`: including values equal to the server's defaults, to compare two
    sessions."""
    full = minimal_session(config, context)
    full["audio"]["input"] |= {"noise_reduction": _noise(config), "transcription": _transcription(config)}
    full["audio"]["output"]["voice"] = _voice(config)
    full["tool_choice"] = _tool_choice(config, context)
    if explicit:
        _be_explicit(full["audio"]["input"], config)
    if explicit or config.speed != 1.0:
        full["audio"]["output"]["speed"] = config.speed
    if explicit or config.max_output_tokens != "inf":
        full["max_output_tokens"] = config.max_output_tokens
    if explicit or config.truncation != "auto":
        full["truncation"] = _truncation(config)
    if config.tracing != "off":
        full["tracing"] = config.tracing
    if config.transcription_logprobs and config.transcription_model:
        full["include"] = ["item.input_audio_transcription.logprobs"]
    elif explicit:
        full["include"] = None
    if models.reasons(config.model):
        if config.reasoning_effort != "default":
            full["reasoning"] = {"effort": config.reasoning_effort}
        if config.parallel_tool_calls != "default":
            full["parallel_tool_calls"] = config.parallel_tool_calls == "on"
    return full


def minimal_session(config: RealtimeConfig, context: SessionContext) -> dict[str, Any]:
    """Return only what a phone call needs, for when the server refuses the whole session."""
    # SIP agrees on the format by itself.
    audio: dict[str, Any] = {} if context.remote else {"format": FORMATS[config.engine_audio]}
    return {
        "type": "realtime",
        "output_modalities": ["audio"],
        "instructions": config.instructions,
        "audio": {
            "input": {**audio, "turn_detection": _turn_detection(config, context.turn_detection)},
            "output": dict(audio),
        },
        "tools": [dict(tool) for tool in context.tools],
    }


def turns(config: RealtimeConfig, on: bool) -> dict[str, Any]:
    """Return the part of a session with the turn detection. `on` False: the server neither interrupts nor answers."""
    return {"type": "realtime", "audio": {"input": {"turn_detection": _turn_detection(config, on)}}}


def formats(audio: str) -> dict[str, Any]:
    """Return the part of a session with the audio formats, both ways. `audio`: "pcmu" or "pcm24"."""
    both = {"format": FORMATS[audio]}
    return {"type": "realtime", "audio": {"input": both, "output": both}}


OF_REASONING: Final[Mapping[str, Any]] = {"reasoning": {"effort": "low"}, "parallel_tool_calls": True}
"""Fields that only models that reason take, and what holds in a session that says nothing of them."""
_LOCKED: Final = ("model", "api_key", "url", "engine_audio")
"""Settings that a session keeps from its beginning to its end."""


def changed(
    config: RealtimeConfig, context: SessionContext, changes: Mapping[str, Any], *, spoken: bool, begun: bool = True
) -> tuple[dict[str, Any], RealtimeConfig, list[str]]:
    """Change a configuration in the middle of a call, by names of settings.

    Returns the part of the session that differs, the new configuration, and a line for each change that is left out.
    The voice is not changed once the session has `spoken`, nor tracing once it is on in a session that was `begun`,
    because the server would refuse the whole update.
    """
    names = {field.name for field in fields(RealtimeConfig)}
    left_out = [f"{name} is left out: it is decided when a call begins" for name in changes if name not in names]
    left_out += [f"{name} cannot be changed in a call" for name in changes if name in _LOCKED]
    wanted = {name: value for name, value in changes.items() if name in names and name not in _LOCKED}
    if spoken and wanted.get("voice", config.voice) != config.voice:
        left_out.append("voice cannot be changed once the agent has spoken")
        del wanted["voice"]
    if begun and config.tracing != "off" and wanted.get("tracing", config.tracing) != config.tracing:
        left_out.append("tracing cannot be changed once it is on")
        del wanted["tracing"]
    new = replace(config, **wanted)
    old = warnings(config)
    left_out += [line for line in warnings(new) if line not in old or line.partition(" ")[0] in wanted]
    return difference(config, new, context), new, left_out


def difference(config: RealtimeConfig, new: RealtimeConfig, context: SessionContext) -> dict[str, Any]:
    """Return the part of the session that differs between two configurations."""
    before, after = (session(one, context, explicit=True) for one in (config, new))
    return _difference(before, after)


def _difference(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that differ; of `audio`, `input`, `output` and `transcription` only the fields in them that do.

    The server keeps what an update does not name, so what disappears is named, with null or what held without it.
    Vendor: https://platform.openai.com/docs/api-reference/realtime-client-events/session/update
    """
    found: dict[str, Any] = {"type": "realtime"}
    for name, value in {**{name: OF_REASONING.get(name) for name in old}, **new}.items():
        before = old.get(name)
        if value == before:
            continue
        nested = name in _MERGED and isinstance(value, dict) and isinstance(before, dict)
        found[name] = _difference(before or {}, value) if nested else value
        if nested:
            del found[name]["type"]
        if nested and name == "transcription":
            found[name]["model"] = value["model"]
    return found


_MERGED: Final = ("audio", "input", "output", "transcription")
"""Objects of which an update changes only the fields that it names."""


def warnings(config: RealtimeConfig) -> list[str]:
    """Return a line for each setting that cannot be sent to the server as it is."""
    found = []
    if not is_voice(config.voice):
        found.append(f'voice "{config.voice}" is none of the model\'s: {_voice(config)} is used')
    if config.temperature is not None:
        found.append(f"temperature is not sent: {UNSENT['temperature']}")
    if config.prompt_id:
        found.append(f"prompt_id is not sent: {UNSENT['prompt_id']}")
    if config.output_modalities != "audio":
        found.append(f'output_modalities "{config.output_modalities}" is not sent: a caller can hear audio only')
    if config.turn_detection == "none":
        found.append('turn_detection "none": the model will not notice when a caller has finished speaking')
    if config.vad_idle_timeout_ms and config.turn_detection != "server_vad":
        found.append("vad_idle_timeout_ms is not sent: only server_vad has it")
    found += [
        f"{name} is not sent: {config.model} does not take it"
        for name in ("reasoning_effort", "parallel_tool_calls")
        if getattr(config, name) != "default" and not models.reasons(config.model)
    ]
    about = models.about(config.transcription_model)
    if config.transcription_model and about.get("vad") is False:
        found.append(f"transcription_model {config.transcription_model} is not used: it works without turns only")
    elif config.transcription_prompt and about.get("prompt") is False:
        found.append(f"transcription_prompt is not sent: {config.transcription_model} does not take it")
    return found


def not_taken(config: RealtimeConfig) -> dict[str, str]:
    """Return why settings do nothing in sessions of this config, by name, whatever their values."""
    found = dict(UNSENT) | {"output_modalities": "a caller can hear audio only"}
    if not models.reasons(config.model):
        found |= dict.fromkeys(("reasoning_effort", "parallel_tool_calls"), f"{config.model} does not take it")
    by_silence = ("vad_threshold", "vad_prefix_padding_ms", "vad_silence_ms", "vad_idle_timeout_ms")
    if config.turn_detection != "server_vad":
        found |= dict.fromkeys(by_silence, "only server_vad has it")
    if config.turn_detection != "semantic_vad":
        found["vad_eagerness"] = "only semantic_vad has it"
    if config.turn_detection == "none":
        found |= dict.fromkeys(("vad_create_response", "vad_interrupt_response"), "there is no turn detection")
    if not config.transcription_model:
        names = ("transcription_language", "transcription_prompt", "transcription_logprobs")
        found |= dict.fromkeys(names, "nothing is transcribed")
    elif models.about(config.transcription_model).get("prompt") is False:
        found["transcription_prompt"] = f"{config.transcription_model} does not take it"
    return found


def may_change(name: str) -> bool:
    """Return whether a live session takes a change of this setting."""
    return name in {each.name for each in fields(RealtimeConfig)} and name not in (*_LOCKED, *UNSENT)


def _voice(config: RealtimeConfig) -> Any:
    if config.voice.startswith("voice_"):
        return {"id": config.voice}
    return config.voice if config.voice in VOICES else _VOICE


def _noise(config: RealtimeConfig) -> dict[str, Any] | None:
    return None if config.noise_reduction == "none" else {"type": config.noise_reduction}


def _transcription(config: RealtimeConfig) -> dict[str, Any] | None:
    about = models.about(config.transcription_model)
    if not config.transcription_model or about.get("vad") is False:
        return None
    wanted: dict[str, Any] = {"model": config.transcription_model}
    if config.transcription_language:
        wanted["language"] = config.transcription_language
    if config.transcription_prompt and about.get("prompt") is not False:
        wanted["prompt"] = config.transcription_prompt
    return wanted


def _turn_detection(config: RealtimeConfig, on: bool) -> dict[str, Any] | None:
    if config.turn_detection == "none":
        return None
    takes = {
        "create_response": on and config.answers_itself,
        "interrupt_response": on and config.interrupts_itself,
    }
    if config.turn_detection == "semantic_vad":
        return {"type": "semantic_vad", "eagerness": config.vad_eagerness, **takes}
    return {
        "type": "server_vad",
        "threshold": config.vad_threshold,
        "prefix_padding_ms": config.vad_prefix_padding_ms,
        "silence_duration_ms": config.vad_silence_ms,
        **({"idle_timeout_ms": config.vad_idle_timeout_ms} if config.vad_idle_timeout_ms else {}),
        **takes,
    }


def _be_explicit(of_input: dict[str, Any], config: RealtimeConfig) -> None:
    """Name what is not set, too: null ends what was set before."""
    turns, transcription = of_input["turn_detection"], of_input["transcription"]
    if turns is not None and turns["type"] == "server_vad":
        turns.setdefault("idle_timeout_ms", None)
    if transcription is not None:
        transcription.setdefault("language", None)
        if models.about(config.transcription_model).get("prompt") is not False:
            transcription.setdefault("prompt", None)


def _tool_choice(config: RealtimeConfig, context: SessionContext) -> Any:
    if config.tool_choice in ("auto", "none", "required"):
        return config.tool_choice
    known = any(tool.get("name") == config.tool_choice for tool in context.tools)
    return {"type": "function", "name": config.tool_choice} if known else "auto"


def _truncation(config: RealtimeConfig) -> Any:
    if isinstance(config.truncation, str):
        return config.truncation
    return {"type": "retention_ratio", "retention_ratio": config.truncation}
