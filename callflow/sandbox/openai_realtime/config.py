"""The `session` object: its defaults, and the rules of `session.update`.

Vendor: https://platform.openai.com/docs/api-reference/realtime-client-events/session/update
"""

from __future__ import annotations

import copy
from datetime import UTC, date, datetime
from typing import Any, Final

from callflow.sandbox.openai_realtime import validation as check
from callflow.sandbox.openai_realtime.errors import Refusal
from callflow.sandbox.openai_realtime.faults import Quirks


INSTRUCTIONS: Final = (
    "Your knowledge cutoff is 2023-10. You are a helpful, witty, and friendly AI. Act like a human, but remember that "
    "you aren't a human and that you can't do human things in the real world."
)
"""The default instructions in `session.created`; the real ones are longer."""

TRANSCRIBERS: Final = (
    "gpt-transcribe",
    "gpt-live-transcribe",
    "gpt-realtime-whisper",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-4o-mini-transcribe-2025-12-15",
    "gpt-4o-transcribe-diarize",
    "whisper-1",
)
"""The models that can transcribe the caller."""
_LAST_PROMPTS: Final = date(2026, 11, 30)
_ANY_TEXT: Final = check.text()
_ANY_DETECTION: Final[dict[str, check.Check]] = {
    "type": check.anything,
    "create_response": check.flag,
    "interrupt_response": check.flag,
}
_TURN_DETECTION: Final = check.by_type(
    {
        "server_vad": check.object_of(
            {
                **_ANY_DETECTION,
                "threshold": check.number(0, 1),
                "prefix_padding_ms": check.number(0, integer=True),
                "silence_duration_ms": check.number(0, integer=True),
                "idle_timeout_ms": check.nullable(check.number(5000, 30000, integer=True)),
            }
        ),
        "semantic_vad": check.object_of({**_ANY_DETECTION, "eagerness": check.one_of("low", "medium", "high", "auto")}),
    }
)
_INPUT: Final = check.object_of(
    {
        "format": check.FORMAT,
        "noise_reduction": check.nullable(
            check.object_of(
                {"type": check.one_of("near_field", "far_field"), "strength": check.number()}, required=("type",)
            )
        ),
        "transcription": check.nullable(
            check.object_of(
                {
                    "model": check.one_of(*TRANSCRIBERS),
                    "language": check.nullable(_ANY_TEXT),
                    "prompt": check.nullable(_ANY_TEXT),
                    "languages": check.nullable(check.array_of(_ANY_TEXT)),
                    "keywords": check.nullable(check.array_of(_ANY_TEXT)),
                    "delay": check.nullable(_ANY_TEXT),
                }
            )
        ),
        "turn_detection": check.nullable(_TURN_DETECTION),
    }
)
_OUTPUT: Final = check.object_of({"format": check.FORMAT, "voice": check.VOICE, "speed": check.number(0.25, 1.5)})
_INCLUDE: Final = check.nullable(check.array_of(check.one_of("item.input_audio_transcription.logprobs")))
_TYPE: Final = check.one_of("realtime", "transcription")
_SESSION: Final = {
    "realtime": check.object_of(
        {
            "type": _TYPE,
            "model": _ANY_TEXT,
            "instructions": _ANY_TEXT,
            "output_modalities": check.modalities,
            "audio": check.object_of({"input": _INPUT, "output": _OUTPUT}),
            "tools": check.TOOLS,
            "tool_choice": check.TOOL_CHOICE,
            "parallel_tool_calls": check.flag,
            "reasoning": check.REASONING,
            "max_output_tokens": check.TOKENS,
            "truncation": check.string_or(
                ("auto", "disabled"),
                check.by_type(
                    {
                        "retention_ratio": check.object_of(
                            {
                                "type": check.anything,
                                "retention_ratio": check.number(0, 1),
                                "token_limits": check.object_of({"post_instructions": check.number(0, integer=True)}),
                            },
                            required=("retention_ratio",),
                        )
                    }
                ),
            ),
            "tracing": check.nullable(
                check.string_or(
                    ("auto",),
                    check.object_of(
                        {"workflow_name": _ANY_TEXT, "group_id": _ANY_TEXT, "metadata": check.plain_object},
                    ),
                )
            ),
            "include": _INCLUDE,
            "prompt": check.nullable(
                check.object_of(
                    {"id": _ANY_TEXT, "version": check.nullable(_ANY_TEXT), "variables": check.plain_object},
                    required=("id",),
                )
            ),
        }
    ),
    "transcription": check.object_of(
        {"type": _TYPE, "audio": check.object_of({"input": _INPUT}), "include": _INCLUDE},
    ),
}


def server_vad(quirks: Quirks) -> dict[str, Any]:
    """Return the default turn detection, as `audio.input.turn_detection` of a session."""
    return {
        "type": "server_vad",
        "threshold": 0.5,
        "prefix_padding_ms": 300,
        "silence_duration_ms": quirks.default_silence_ms,
        "idle_timeout_ms": None,
        "create_response": True,
        "interrupt_response": True,
    }


def defaults(session_id: str, model: str, expires_at: int, quirks: Quirks, *, transcription: bool) -> dict[str, Any]:
    """Return the session object as `session.created` shows it. `expires_at` is in Unix seconds."""
    pcm = {"type": "audio/pcm", "rate": 24000}
    audio_in = {
        "format": dict(pcm),
        "transcription": None,
        "noise_reduction": None,
        "turn_detection": server_vad(quirks),
    }
    if transcription:
        return {
            "type": "transcription",
            "object": "realtime.transcription_session",
            "id": session_id,
            "expires_at": expires_at,
            "audio": {"input": audio_in},
            "include": None,
        }
    return {
        "type": "realtime",
        "object": "realtime.session",
        "id": session_id,
        "model": model,
        "output_modalities": ["audio"],
        "instructions": INSTRUCTIONS,
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "tracing": None,
        "truncation": "auto",
        "prompt": None,
        "expires_at": expires_at,
        "audio": {"input": audio_in, "output": {"format": dict(pcm), "voice": quirks.default_voice, "speed": 1.0}},
        "include": None,
    }


def updated(session: dict[str, Any], update: Any, quirks: Quirks, *, voice_locked: bool) -> dict[str, Any]:
    """Return the session object after a `session.update`; `session` itself is not changed. Raises Refusal."""
    if not isinstance(update, dict):
        raise check.wrong_type("session", "an object", update)
    if "type" not in update:
        raise check.missing("session.type")
    _TYPE(update["type"], "session.type")
    if update["type"] != session["type"]:
        raise Refusal(
            f"Passing a {update['type']} session update event to a {session['type']} session is not allowed.",
            "invalid_session_type",
            "session.type",
        )
    _SESSION[session["type"]](update, "session")
    if update.get("model", session.get("model")) != session.get("model"):
        raise Refusal("Cannot update a session's model.", "cannot_update_model", "session.model")
    if "reasoning" in update or "parallel_tool_calls" in update:
        needs_reasoning_model(session["model"], "reasoning" if "reasoning" in update else "parallel_tool_calls")
    if session.get("tracing") is not None and update.get("tracing", session["tracing"]) != session["tracing"]:
        raise Refusal("Tracing cannot be changed once it is enabled.", "invalid_value", "session.tracing")
    no_dead_prompt(update, "session.prompt", quirks)
    check.duplicate_labels(update.get("tools", []), "session.tools")
    result = copy.deepcopy(session)
    if "tools" in update:
        update = {**update, "tools": check.with_definitions(update["tools"], session["tools"], "session.tools")}
    _merge(result, copy.deepcopy(update))
    detection = result["audio"]["input"]["turn_detection"]
    if detection is not None:
        result["audio"]["input"]["turn_detection"] = _complete(detection, quirks)
    transcription = result["audio"]["input"]["transcription"]
    if transcription is not None:  # null ends what was set before
        kept = {name: value for name, value in transcription.items() if value is not None}
        result["audio"]["input"]["transcription"] = kept
    _check_transcription(result["audio"]["input"])
    if session["type"] == "realtime" and voice_locked and _voice(result) != _voice(session):
        raise Refusal("Cannot update a conversation's voice if assistant audio is present.", "cannot_update_voice")
    return result


def needs_reasoning_model(model: str, name: str) -> None:
    """Refuse `name` for models before 2.x. Raises Refusal; OpenAI's names neither the event nor the parameter."""
    if not model.startswith("gpt-realtime-2") or model.startswith("gpt-realtime-2025"):
        raise Refusal(
            f"Unsupported parameter: '{name}' is not supported with this model.",
            "unsupported_parameter",
            anonymous=True,
        )


def no_dead_prompt(given: dict[str, Any], path: str, quirks: Quirks) -> None:
    """Refuse a reusable prompt, of which there are none any more. Raises Refusal."""
    takes = datetime.now(UTC).date() <= _LAST_PROMPTS if quirks.prompts is None else quirks.prompts
    if given.get("prompt") is not None and not takes:
        message = f"Unsupported parameter: '{path}'. Reusable prompts were shut down on {_LAST_PROMPTS}."
        raise Refusal(message, "unsupported_parameter", path)


def _voice(session: dict[str, Any]) -> Any:
    return session["audio"]["output"]["voice"]


_WHOLE: Final = ("format", "tools", "truncation", "tool_choice", "tracing", "prompt", "voice", "include")
"""Objects that an update replaces; all others are merged."""


def _merge(into: dict[str, Any], update: dict[str, Any]) -> None:
    for name, value in update.items():
        held = into.get(name)
        other_kind = (
            isinstance(held, dict) and isinstance(value, dict) and value.get("type") not in (None, held.get("type"))
        )
        if isinstance(value, dict) and isinstance(held, dict) and name not in _WHOLE and not other_kind:
            _merge(held, value)
        else:
            into[name] = value


def _complete(detection: dict[str, Any], quirks: Quirks) -> dict[str, Any]:
    """Return turn detection with the defaults of its kind."""
    if detection["type"] == "server_vad":
        return server_vad(quirks) | detection
    return {
        "type": "semantic_vad",
        "eagerness": "auto",
        "create_response": True,
        "interrupt_response": True,
    } | detection


def _check_transcription(audio_in: dict[str, Any]) -> None:
    """Refuse settings that the transcription model does not accept."""
    settings = audio_in["transcription"]
    path = "session.audio.input.transcription"
    if settings is None:
        return
    if "model" not in settings:
        raise check.missing(f"{path}.model")
    model = settings["model"]
    if "delay" in settings and model != "gpt-realtime-whisper":
        raise _not_with(f"{path}.delay", model)
    for name in ("keywords", "languages"):
        if name in settings and model not in ("gpt-transcribe", "gpt-live-transcribe"):
            raise _not_with(f"{path}.{name}", model)
    if "language" in settings and "languages" in settings:
        raise Refusal("Only one of 'language' and 'languages' may be given.", "invalid_value", f"{path}.languages")
    if model == "gpt-realtime-whisper":
        if "prompt" in settings:
            raise _not_with(f"{path}.prompt", model)
        if audio_in["turn_detection"] is not None:
            raise Refusal(
                "Turn detection must be null with 'gpt-realtime-whisper'.",
                "invalid_value",
                "session.audio.input.turn_detection",
            )


def _not_with(path: str, model: str) -> Refusal:
    return Refusal(f"Unsupported parameter: '{path}' is not supported with '{model}'.", "unsupported_parameter", path)
