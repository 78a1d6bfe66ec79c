"""Translate between a session as the OpenAI Realtime API writes it and the names of the settings. Pure.

`{"audio": {"output": {"voice": "cedar"}}}` is `voice = "cedar"`. The flat names of the API's beta and of earlier
systems (`turn_detection`, `input_audio_transcription`, `modalities` …) and the names of the settings are accepted as
well. Every message names the place in the body where the value stands. Vendor: the object `session` of the Realtime
API's `session.update` (developers.openai.com, API reference, Realtime).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from callflow.config.call_settings import CallSettings
from callflow.config.display import key as shown_key
from callflow.config.setting_names import FORMER
from callflow.config.settings import Settings
from callflow.config.settings import suggestion as setting_meant
from callflow.contracts.realtime_values import LOGPROBS, UNSENT


_MOST_GUESSES: Final = 20
_LONGEST_NAME: Final = 60
_FORMATS: Final = {
    "audio/pcmu": "pcmu", "g711_ulaw": "pcmu", "pcmu": "pcmu", "ulaw": "pcmu",
    "audio/pcm": "pcm24", "pcm16": "pcm24", "pcm24": "pcm24", "pcm": "pcm24",
}  # fmt: skip
_LAST: Final = ("semantic", "enabled")
"""Read after the other keys of their object, because they change what those say."""
_NULL_IS: Final = {"turn_detection": "none", "noise_reduction": "none"}
"""What null switches off in a session of the API, by the name of the setting, and how the setting says so."""
_ENDED_BY_NULL: Final = ("language", "prompt")
"""What null ends in a transcription that goes on."""
_OFF: Final = '; {"type": "none"} switches it off'
_READ_ONLY: Final = "it is told by the API, and cannot be set"


@dataclass
class Named:
    """What a body asks for, by setting. A value of None: the setting is not kept any more."""

    values: dict[str, Any] = field(default_factory=dict)
    paths: dict[str, str] = field(default_factory=dict)
    """By setting: the place in the body where it stands."""
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    _guesses: int = 0

    def put(self, name: str, path: str, value: Any) -> None:
        """Take a value for a setting; another value for the same setting is a problem."""
        if name in self.values and self.values[name] != value:
            self.problems.append(f"{path} and {self.paths[name]} are one setting: give it once")
            return
        self.values[name], self.paths[name] = value, path

    def leave(self, path: str, why: str) -> None:
        """Leave a value out, with a warning."""
        self.warnings.append(f"{path} is left out: {why}")

    def in_words_of(self, line: str) -> str:
        """Return a line that begins with a setting, with the place in the body instead of the setting's name."""
        name, space, rest = line.partition(" ")
        return f"{self.paths.get(name, name)}{space}{rest}"

    def unknown(self, path: str, key: str, known: Mapping[str, object]) -> None:
        """Leave an unknown name out, with a warning that names the one that was probably meant."""
        is_top = not path.removeprefix("session.")
        where = "a session has" if is_top else f"{path[:-1]} has"
        self._guesses += 1
        meant = ""
        if self._guesses <= _MOST_GUESSES and len(key) <= _LONGEST_NAME:
            meant = _meant(key.lower(), known, is_top=is_top)
        hint = f" (did you mean {path}{meant}?)" if meant else ""
        self.leave(_at(path, key), f"{where} no such setting{hint}")


class _Node(NamedTuple):
    """What may stand at one place in the body."""

    names: tuple[str, ...]
    """The settings that null resets there."""
    read: Callable[[Named, str, Any], None]
    off: str = ""
    """A warning for null, which switches something off in the API and only resets a setting here."""
    inner: Mapping[str, Any] = {}
    """The places within an object."""


def named(body: Mapping[str, Any]) -> Named:
    """Read a body: a session, or an object with a session in it, as in `session.update`."""
    found = Named()
    if "session" not in body:
        _object(found, "", body, SESSION)
        return found
    if isinstance(body["session"], dict):
        _object(found, "session.", body["session"], SESSION)
    else:
        found.problems.append('session must be an object, such as {"voice": "cedar"}')
    for key in body.keys() - {"session", "type", "event_id"}:
        found.leave(_at("", key), "it stands beside session, and not in it")
    return found


def without_null(session: Mapping[str, Any]) -> dict[str, Any]:
    """Return a session with what null switches off in the API written as the settings say it, and without any other
    null: for a session that keeps nothing which null could take back."""
    found: dict[str, Any] = {}
    for name, value in session.items():
        plain = name.removeprefix("input_audio_")
        if isinstance(value, Mapping) and name in ("audio", "input", "output", "session"):
            found[name] = without_null(value)
        elif value is None and plain in _NULL_IS:
            found[name] = {"type": _NULL_IS[plain]}
        elif value is None and plain == "transcription":
            found[name] = {"enabled": False}
        elif isinstance(value, Mapping) and plain == "transcription":
            found[name] = {each: "" if of is None and each in _ENDED_BY_NULL else of for each, of in value.items()}
        elif value is None and plain == "include":
            found[name] = []
        elif value is None and name.startswith("max_") and name.endswith("output_tokens"):
            found[name] = "inf"
        elif value is not None:
            found[name] = value
    return found


def _object(found: Named, path: str, given: Mapping[str, Any], nodes: Mapping[str, _Node]) -> None:
    for key, value in sorted(given.items(), key=lambda item: item[0] in _LAST):
        node = nodes.get(key)
        if node is not None:
            _node(found, f"{path}{key}", value, node)
        elif not path.removeprefix("session.") and key in Settings.model_fields:
            found.problems.append(f"{path}{key} holds for the whole server: set it in .env or settings.toml")
        else:
            found.unknown(path, key, nodes)


def _meant(key: str, known: Mapping[str, Any], *, is_top: bool) -> str:
    """Return the place within this object that an unknown key was probably meant for; "": none."""
    if key in known:
        return key
    near = difflib.get_close_matches(key, [name for name in known if name not in FORMER], n=1, cutoff=0.65)
    meant = setting_meant(key) if is_top and (not near or key not in near[0]) else None
    inside = [one for one in _paths(known, "") if one.rpartition(".")[2] == key and "." in one]
    if inside:
        return min(inside, key=lambda one: (not one.startswith(("audio", "turn")), len(one)))
    return near[0] if near else meant if meant and meant in known else ""


def _paths(nodes: Mapping[str, Any], before: str) -> list[str]:
    found = []
    for key, node in nodes.items():
        found += [f"{before}{key}", *_paths(node.inner, f"{before}{key}.")]
    return found


def _node(found: Named, path: str, value: Any, node: _Node) -> None:
    if value is not None:
        node.read(found, path, value)
        return
    for name in node.names:
        found.put(name, path, None)
    if node.off:
        found.warnings.append(f"{path}: null takes away what is kept of it{node.off}")


def _at(path: str, key: str) -> str:
    """Return the path of a key that may hold any text, as it may be shown."""
    shown = shown_key(key)
    if key.isidentifier() and key.isascii() and shown == f'"{key}"':
        return f"{path}{key}"
    return f"{path}{shown}" if shown.startswith('"') else f"{path}a name {shown},"


# How each is read


def _as(name: str) -> _Node:
    return _Node((name,), lambda found, path, value: found.put(name, path, value))


def _left(why: str) -> _Node:
    return _Node((), lambda found, path, value: found.leave(path, why))


def _ignored() -> _Node:
    return _Node((), lambda found, path, value: None)


def _of(nodes: Mapping[str, _Node], other: Callable[[Named, str, Any], None] | None = None, off: str = "") -> _Node:
    """Make the node of an object; `other` reads a value that is no object, if there may be one."""

    def read(found: Named, path: str, value: Any) -> None:
        if isinstance(value, dict):
            _object(found, f"{path}.", value, nodes)
        elif other is not None:
            other(found, path, value)
        else:
            found.problems.append(f"{path} must be an object, such as {{{', '.join(list(nodes)[:3])}}}")

    return _Node(tuple(dict.fromkeys(name for node in nodes.values() for name in node.names)), read, off, nodes)


def _type(found: Named, path: str, value: Any) -> None:
    if value != "realtime":
        found.problems.append(f'{path} must be "realtime": there are no other sessions here')


def _put(name: str) -> Callable[[Named, str, Any], None]:
    return lambda found, path, value: found.put(name, path, value)


def _format(found: Named, path: str, value: Any) -> None:
    kind, rate = (value.get("type"), value.get("rate")) if isinstance(value, dict) else (value, None)
    known = _FORMATS.get(kind.strip().lower()) if isinstance(kind, str) else None
    if known is None:
        found.leave(path, "the model is asked for audio/pcmu, or for audio/pcm at 24000 Hz, whatever a call brings")
        return
    found.put("engine_audio", path, known)
    if rate not in (None, 24000 if known == "pcm24" else 8000):
        found.leave(f"{path}.rate", "each of the formats has one rate only")


def _voice(found: Named, path: str, value: Any) -> None:
    is_own = isinstance(value, dict) and value.keys() == {"id"}
    found.put("voice", path, value["id"] if is_own else value)


def _semantic(found: Named, path: str, value: Any) -> None:
    if not isinstance(value, bool):
        found.problems.append(f"{path} must be true or false")
    elif value:
        found.values.pop("turn_detection", None)
        found.put("turn_detection", path, "semantic_vad")


def _transcribes(found: Named, path: str, value: Any) -> None:
    if not isinstance(value, bool):
        found.problems.append(f"{path} must be true or false")
    elif not value:
        found.values.pop("transcription_model", None)
        found.put("transcription_model", path, "")


def _transcription_type(found: Named, path: str, value: Any) -> None:
    if value == "none":
        found.put("transcription_model", path, "")
    else:
        found.problems.append(f'{path} must be "none", or not there')


def _modalities(found: Named, path: str, value: Any) -> None:
    if isinstance(value, list) and "audio" in value and all(isinstance(each, str) for each in value):
        if len(value) > 1:
            found.leave(path, "of it only audio is taken, because a caller can hear nothing else")
        value = "audio"
    elif value == ["text"]:
        value = "text"
    found.put("output_modalities", path, value)


def _tool_choice(found: Named, path: str, value: Any) -> None:
    if isinstance(value, dict):
        if value.get("type") == "mcp":
            found.leave(path, "a tool of an MCP server cannot be chosen here")
            return
        value = value.get("name", value)
    found.put("tool_choice", path, value)


def _truncation(found: Named, path: str, value: Any) -> None:
    if isinstance(value, dict):
        for key in value.keys() - {"type", "retention_ratio"}:
            found.leave(_at(f"{path}.", key), "only retention_ratio is taken")
        value = value.get("retention_ratio", value.get("type", value))
    found.put("truncation", path, value)


def _tracing(found: Named, path: str, value: Any) -> None:
    if isinstance(value, dict):
        found.leave(path, 'what is in it is not sent: it is "auto" or "off" here')
        value = "auto"
    found.put("tracing", path, value)


def _parallel(found: Named, path: str, value: Any) -> None:
    found.put("parallel_tool_calls", path, {True: "on", False: "off"}[value] if isinstance(value, bool) else value)


def _include(found: Named, path: str, value: Any) -> None:
    if not isinstance(value, list):
        found.problems.append(f'{path} must be a list, such as ["{LOGPROBS}"]')
        return
    found.put("transcription_logprobs", path, LOGPROBS in value)
    if any(each != LOGPROBS for each in value):
        found.leave(path, f"of it only {LOGPROBS} is taken")


_SEGMENTS: Final = _left("the interface has no such parameter any more")
_TURNS: Final = _of(
    {
        "type": _as("turn_detection"),
        "threshold": _as("vad_threshold"),
        "prefix_padding_ms": _as("vad_prefix_padding_ms"),
        "silence_duration_ms": _as("vad_silence_ms"),
        "idle_timeout_ms": _as("vad_idle_timeout_ms"),
        "eagerness": _as("vad_eagerness"),
        "create_response": _as("vad_create_response"),
        "interrupt_response": _as("vad_interrupt_response"),
        "semantic": _Node(("turn_detection",), _semantic),
    },
    _put("turn_detection"),
    _OFF,
)
_TRANSCRIPTION: Final = _of(
    {
        "model": _as("transcription_model"),
        "language": _as("transcription_language"),
        "prompt": _as("transcription_prompt"),
        "logprobs": _as("transcription_logprobs"),
        "enabled": _Node((), _transcribes),
        "type": _Node((), _transcription_type),
        "include_segments": _SEGMENTS,
        **dict.fromkeys(("languages", "keywords", "delay"), _left("it is not sent here")),
    },
    off=_OFF,
)
_NOISE: Final = _of(
    {"type": _as("noise_reduction"), "strength": _left("it is not sent here")}, _put("noise_reduction"), _OFF
)
_FORMAT: Final = _Node(("engine_audio",), _format)
_VOICE: Final = _Node(("voice",), _voice)
_MODALITIES: Final = _Node(("output_modalities",), _modalities)

SESSION: Final[Mapping[str, _Node]] = {
    **{name: _as(name) for name in CallSettings.model_fields},
    **{former: _as(name) for former, name in FORMER.items()},
    "type": _Node((), _type),
    "audio": _of({
        "input": _of({
            "format": _FORMAT, "turn_detection": _TURNS, "transcription": _TRANSCRIPTION, "noise_reduction": _NOISE,
        }),
        "output": _of({"format": _FORMAT, "voice": _VOICE, "speed": _as("speed")}),
    }),
    "voice": _VOICE,
    "turn_detection": _TURNS,
    "transcription": _TRANSCRIPTION,
    "input_audio_transcription": _TRANSCRIPTION,
    "noise_reduction": _NOISE,
    "input_audio_noise_reduction": _NOISE,
    "input_audio_format": _FORMAT,
    "output_audio_format": _FORMAT,
    "output_modalities": _MODALITIES,
    "modalities": _MODALITIES,
    "max_response_output_tokens": _as("max_output_tokens"),
    "tool_choice": _Node(("tool_choice",), _tool_choice),
    "truncation": _Node(("truncation",), _truncation),
    "tracing": _Node(("tracing",), _tracing),
    "reasoning": _of({"effort": _as("reasoning_effort")}),
    "parallel_tool_calls": _Node(("parallel_tool_calls",), _parallel),
    "include": _Node(("transcription_logprobs",), _include),
    "include_segments": _SEGMENTS,
    "prompt": _of({
        "id": _as("prompt_id"), "version": _as("prompt_version"),
        "variables": _left(UNSENT["prompt_id"]),
    }),
    "tools": _left("what the agent can do stands in TOOLS_FILE"),
    "server": _left("the API has no such parameter"),
    "event_id": _ignored(),
    **dict.fromkeys(("id", "object", "expires_at", "client_secret"), _left(_READ_ONLY)),
}  # fmt: skip


def session(settings: CallSettings) -> dict[str, Any]:
    """Return these settings as a session of the API, in the form that `named` reads.

    What is off is written as such (`"none"`, `""`), not as null, because null resets a setting.
    """
    of_input: dict[str, Any] = {
        "format": _format_of(settings.engine_audio),
        "turn_detection": {
            "type": settings.turn_detection,
            "threshold": settings.vad_threshold,
            "prefix_padding_ms": settings.vad_prefix_padding_ms,
            "silence_duration_ms": settings.vad_silence_ms,
            "idle_timeout_ms": settings.vad_idle_timeout_ms,
            "eagerness": settings.vad_eagerness,
            "create_response": settings.vad_create_response,
            "interrupt_response": settings.vad_interrupt_response,
        },
        "transcription": {
            "model": settings.transcription_model,
            "language": settings.transcription_language,
            "prompt": settings.transcription_prompt,
        },
        "noise_reduction": {"type": settings.noise_reduction},
    }
    is_own = settings.voice.startswith("voice_")
    return {
        "type": "realtime",
        "model": settings.model,
        "instructions": settings.instructions,
        "output_modalities": [settings.output_modalities],
        "audio": {
            "input": of_input,
            "output": {
                "format": _format_of(settings.engine_audio),
                "voice": {"id": settings.voice} if is_own else settings.voice,
                "speed": settings.speed,
            },
        },
        "max_output_tokens": settings.max_output_tokens,
        "tool_choice": settings.tool_choice,
        "parallel_tool_calls": {"on": True, "off": False}.get(settings.parallel_tool_calls, "default"),
        "reasoning": {"effort": settings.reasoning_effort},
        "truncation": settings.truncation,
        "tracing": settings.tracing,
        "include": [LOGPROBS] if settings.transcription_logprobs else [],
    }


def _format_of(engine_audio: str) -> dict[str, Any]:
    return {"type": "audio/pcmu"} if engine_audio == "pcmu" else {"type": "audio/pcm", "rate": 24000}
