"""Turns our settings into the `session` of a `session.start`, and says what such a session cannot do. Pure.

Vendor: https://platform.openai.com/docs/guides/voice-websockets
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from callflow.contracts.engine import ContextItem, SessionContext
from callflow.contracts.tools import ToolCall


MOST_INSTRUCTIONS: Final = 40_000
"""Characters. The vendor takes 16,384 tokens, of which text in most languages has fewer than one for 2.5 characters."""
_VOICES: Final = frozenset(
    [
        "alloy",
        "ash",
        "ballad",
        "beacon",
        "bossa",
        "cedar",
        "cinder",
        "coral",
        "delta",
        "echo",
        "gleam",
        "marin",
        "meridian",
        "quartz",
        "ripple",
        "sage",
        "shida",
        "shimmer",
        "stone",
        "tempo",
        "verse",
        "vesper",
        "willow",
    ]
)
_NOT_TAKEN: Final[Mapping[str, str]] = {
    "speed": "the model speaks at its own speed",
    "turn_detection": "the model decides by itself who speaks",
    "vad_threshold": "the model decides by itself who speaks",
    "vad_prefix_padding_ms": "the model decides by itself who speaks",
    "vad_silence_ms": "the model decides by itself who speaks",
    "vad_idle_timeout_ms": "the model decides by itself who speaks",
    "vad_eagerness": "the model decides by itself who speaks",
    "vad_create_response": "the model decides by itself who speaks",
    "vad_interrupt_response": "the model decides by itself who speaks",
    "min_interruption_ms": "the model decides by itself when it stops",
    "engine_audio": "the telephone's own format is asked for",
    "transcription_model": "the model itself writes down what the caller says",
    "transcription_language": "the model itself writes down what the caller says",
    "transcription_prompt": "the model itself writes down what the caller says",
    "transcription_logprobs": "the model itself writes down what the caller says",
    "noise_reduction": "the model hears the line as it is",
    "max_output_tokens": "there are no single answers to bound",
    "reasoning_effort": "it belongs to the model of the tools, which keeps its own",
    "truncation": "the vendor decides what the model remembers",
    "tracing": "the vendor keeps no traces of these sessions",
    "model": "live_model is used",
    "mcp_approval": "its sessions call functions only, and tools of MCP servers are left out",
}
"""Settings of calls that these sessions do not take, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveConfig:
    """The configuration of one call's sessions. The fields have the names of settings; see docs/settings.md."""

    api_key: str = field(repr=False)
    url: str = field(repr=False)
    live_model: str
    delegation_model: str
    """Calls the tools; "": there are none."""
    voice: str
    instructions: str
    tool_choice: str
    parallel_tool_calls: str
    session_seconds: float
    rotation_seconds: float
    connect_seconds: float
    write_seconds: float
    buffer_seconds: float

    @property
    def model(self) -> str:
        """Return the model that speaks."""
        return self.live_model

    @property
    def address(self) -> str:
        """Return the address of the WebSocket; the model is named in `session.start`."""
        return self.url


def not_taken() -> dict[str, str]:
    """Return the settings of calls that these sessions do not take, each with the reason."""
    return dict(_NOT_TAKEN)


def warnings(config: LiveConfig, *, tools: bool = True) -> list[str]:
    """Return a line for each thing that such a session will not do."""
    found = ["engine openai_live: the model is not told how much of a cut-off sentence the caller has heard"]
    if tools and not config.delegation_model:
        found.append(
            "engine openai_live: tools are off, so the agent cannot end a call either; set delegation_model to a model"
            " that calls them"
        )
    if not spoken_voice(config):
        found.append(f'engine openai_live: it has no voice "{config.voice}", and takes its own')
    if len(config.instructions) > MOST_INSTRUCTIONS:
        found.append(f"engine openai_live: only the first {MOST_INSTRUCTIONS} characters of instructions are sent")
    return found


def tool_warnings(config: LiveConfig, tools: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for the tools of MCP servers, which are left out, and one if ours cannot be called."""
    labels = [str(tool.get("server_label")) for tool in tools if tool.get("type") == "mcp"]
    found = []
    if labels:
        found.append(
            f"engine openai_live: the tools of MCP servers ({', '.join(labels)}) are left out: its sessions call"
            " functions only; use openai_realtime for them"
        )
    names = [str(tool["name"]) for tool in functions(tools)]
    if names and not config.delegation_model:
        found.append(
            f"engine openai_live: none of the tools ({', '.join(names)}) can be called: set delegation_model to the"
            " model that calls them, one of OpenAI's Responses interface"
        )
    return found


def session(config: LiveConfig, context: SessionContext, told: Sequence[ContextItem | ToolCall] = ()) -> dict[str, Any]:
    """Return the `session` of a `session.start`. `told`: what was said before it began."""
    made: dict[str, Any] = {
        "model": config.live_model,
        "instructions": config.instructions[:MOST_INSTRUCTIONS],
        "audio": {"format": {"type": "audio/pcmu", "rate": 8000}},
        "delegation": _delegation(config, context),
    }
    if voice := _voice(config.voice):
        made["audio"]["output"] = {"voice": voice}
    if told:
        made["input"] = [_message(item) for item in told]
    return made


def functions(tools: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the tools that we run; those that the vendor would run are left out."""
    known = ("type", "name", "description", "parameters")
    return [{name: tool[name] for name in known if name in tool} for tool in tools if tool.get("type") == "function"]


def fact(item: ContextItem | ToolCall) -> str:
    """Return what is to be known, as a sentence."""
    if isinstance(item, ToolCall):
        return f"The tool {item.name} was called with {item.arguments}, and has not answered yet. Do not call it again."
    return {"caller": "The caller said: ", "agent": "You said: ", "system": ""}[item.who] + item.text


def spoken_voice(config: LiveConfig) -> str:
    """Return the voice that is asked for; "": the session's own, because it has none of that name."""
    return config.voice if _voice(config.voice) else ""


def _voice(voice: str) -> Any:
    if voice.startswith("voice_"):
        return {"id": voice}
    return voice if voice in _VOICES else ""


def _delegation(config: LiveConfig, context: SessionContext) -> dict[str, Any]:
    tools = functions(context.tools)
    if not config.delegation_model or not tools:
        return {"type": "client"}
    responses: dict[str, Any] = {
        "model": config.delegation_model, "instructions": config.instructions[:MOST_INSTRUCTIONS], "tools": tools,
    }  # fmt: skip
    if config.tool_choice in ("none", "required"):
        responses["tool_choice"] = config.tool_choice
    elif any(tool["name"] == config.tool_choice for tool in tools):
        responses["tool_choice"] = {"type": "function", "name": config.tool_choice}
    if config.parallel_tool_calls != "default":
        responses["parallel_tool_calls"] = config.parallel_tool_calls == "on"
    return {"type": "responses", "responses": responses}


def _message(item: ContextItem | ToolCall) -> dict[str, Any]:
    if isinstance(item, ToolCall) or item.who == "system":
        return {"role": "developer", "content": [{"type": "input_text", "text": fact(item)}]}
    if item.who == "agent":
        return {"role": "assistant", "content": [{"type": "output_text", "text": item.text}]}
    return {"role": "user", "content": [{"type": "input_text", "text": item.text}]}
