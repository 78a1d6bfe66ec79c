"""Client secrets: keys that live some minutes, with which a browser opens a session of its own at the vendor.

What is asked for is brought into the GA form of a session. Every field that it has is forwarded, and the flat names of
the API's beta and of earlier systems go to their places in it. What it does not have, or not any more, is left out with
a warning. Whether any other value is possible, the vendor says.

Vendor: https://platform.openai.com/docs/api-reference/realtime-sessions/create-realtime-client-secret
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Final, NamedTuple

from callflow.contracts.errors import SessionRefused, VendorRefused
from callflow.contracts.printable import line
from callflow.contracts.realtime_values import (
    LOGPROBS,
    NEITHER,
    NO_NOISE,
    NO_VOICE,
    NOISES,
    UNSENT,
    is_voice,
    takes_prompts,
)
from callflow.engines.openai_realtime.rest import VendorApi


LEAST_SECONDS: Final = 10
MOST_SECONDS: Final = 7200
SECONDS: Final = 15.0
"""How long the vendor may take."""
_MOST_WARNINGS: Final = 50
_LONGEST_NAME: Final = 60

_ALL: Final[Mapping[str, Any]] = {}
"""Stands for a value that is forwarded as it is."""


def _names(*names: str) -> Mapping[str, Any]:
    return dict.fromkeys(names, _ALL)


_INPUT: Final = {
    "format": _names("type", "rate"),
    "noise_reduction": _names("type", "strength"),
    "transcription": _names("model", "language", "prompt", "languages", "keywords", "delay"),
    "turn_detection": _names(
        "type", "threshold", "prefix_padding_ms", "silence_duration_ms", "idle_timeout_ms", "eagerness",
        "create_response", "interrupt_response",
    ),
}  # fmt: skip
_FIELDS: Final[Mapping[str, Mapping[str, Any]]] = {
    "realtime": {
        **_names("type", "model", "instructions", "output_modalities", "tools", "tool_choice", "parallel_tool_calls"),
        **_names("max_output_tokens", "truncation", "tracing", "include"),
        "audio": {"input": _INPUT, "output": {"format": _names("type", "rate"), **_names("voice", "speed")}},
        "reasoning": _names("effort"),
        "prompt": _names("id", "version", "variables"),
    },
    "transcription": {**_names("type", "include"), "audio": {"input": _INPUT}},
}
"""By the type of a session: its fields, and theirs."""
_OF_TURNS: Final = {
    "server_vad": ("threshold", "prefix_padding_ms", "silence_duration_ms", "idle_timeout_ms"),
    "semantic_vad": ("eagerness",),
}
"""What one kind of turn detection has and the other has not."""
_FLAT: Final = {
    "voice": "audio.output.voice", "speed": "audio.output.speed", "modalities": "output_modalities",
    "max_response_output_tokens": "max_output_tokens", "turn_detection": "audio.input.turn_detection",
    "transcription": "audio.input.transcription", "input_audio_transcription": "audio.input.transcription",
    "noise_reduction": "audio.input.noise_reduction", "input_audio_noise_reduction": "audio.input.noise_reduction",
    "input_audio_format": "audio.input.format", "output_audio_format": "audio.output.format",
}  # fmt: skip
"""Names of the beta and of earlier systems, and the place of each in a session."""
_FORMATS: Final = {"pcm16": "audio/pcm", "g711_ulaw": "audio/pcmu", "g711_alaw": "audio/pcma"}
_WHY: Final = {
    **UNSENT,
    "include_segments": "the interface has no such parameter any more",
    "server": "the API has no such parameter",
}


class ClientSecretRequest(NamedTuple):
    """What is asked of the vendor."""

    body: dict[str, Any]
    warnings: list[str]
    """A line for each value that is left out."""


class ClientSecret(NamedTuple):
    """A key for a browser. It is written down nowhere."""

    value: str
    expires_at: int
    """Unix seconds: until then sessions may begin with it."""


def read_request(
    body: Mapping[str, Any], *, model: str, instructions: str, seconds: int, today: date
) -> ClientSecretRequest:
    """Read the body of a request. `model`, `seconds`: what holds where it says nothing. `instructions`: those of a
    session whose prompt is not sent, and that has none. `today`: on which it is asked (UTC). Raises SessionRefused."""
    problems: list[str] = []
    warnings: list[str] = []
    lives = _seconds(body.get("expires_after"), seconds, problems)
    others = [name for name in body if name not in ("session", "expires_after")]
    warnings += [f"{_shown(name)} is left out: {_WHY.get(name, 'a client secret has none')}" for name in others]
    given = {} if body.get("session") is None else body["session"]
    if not isinstance(given, dict):
        raise SessionRefused([*problems, 'session must be an object, such as {"instructions": "Be kind."}.'])
    kind = given.get("type", "realtime")
    if not isinstance(kind, str) or kind not in _FIELDS:
        raise SessionRefused([*problems, 'session.type must be "realtime" or "transcription".'])
    session = _in_places({**given, "type": kind}, warnings)
    session = _known(session, _FIELDS[kind], "session.", warnings)
    _tidy(session, warnings)
    if kind == "realtime":
        session.setdefault("model", model)
        _instruct(session, instructions, today, problems, warnings)
    if problems:
        raise SessionRefused(problems)
    expires = {"anchor": "created_at", "seconds": lives}
    return ClientSecretRequest({"expires_after": expires, "session": session}, warnings[:_MOST_WARNINGS])


def _instruct(
    session: dict[str, Any], instructions: str, today: date, problems: list[str], warnings: list[str]
) -> None:
    """See that the session has instructions, or a prompt while there still are some."""
    given, prompt = session.get("instructions"), session.get("prompt")
    has_prompt = isinstance(prompt, dict) and bool(prompt.get("id"))
    is_instructed = isinstance(given, str) and bool(given.strip())
    if not has_prompt and not is_instructed:
        problems.append(NEITHER)
    if takes_prompts(today):
        if prompt is not None:
            warnings.append(f"session.prompt is sent; {UNSENT['prompt_id']}")
        return
    if session.pop("prompt", None) is not None:
        instead = "" if is_instructed else ", and the session has the instructions of coming calls"
        warnings.append(f"session.prompt is left out: {UNSENT['prompt_id']}{instead}")
        if not is_instructed:
            session["instructions"] = instructions


async def mint(api: VendorApi, request: ClientSecretRequest) -> ClientSecret:
    """Ask the vendor for a client secret. Raises VendorRefused; with 502 if the answer has none."""
    told = await api.ask("POST", "/realtime/client_secrets", request.body, seconds=SECONDS)
    inner = told.get("client_secret")
    around = inner if isinstance(inner, dict) else told
    value = inner if isinstance(inner, str) else around.get("value")
    expires = around.get("expires_at", told.get("expires_at"))
    if not isinstance(value, str) or not value.strip():
        raise VendorRefused(502, "OpenAI's answer has no client secret in it")
    return ClientSecret(value, int(expires) if isinstance(expires, int | float) else 0)


def _seconds(given: Any, usual: int, problems: list[str]) -> int:
    if given is None:
        return usual
    if not isinstance(given, dict):
        problems.append('expires_after must be an object, such as {"anchor": "created_at", "seconds": 600}.')
        return usual
    if given.get("anchor", "created_at") != "created_at":
        problems.append('expires_after.anchor must be "created_at".')
    seconds = given.get("seconds", usual)
    is_whole = not isinstance(seconds, bool) and (
        isinstance(seconds, int) or (isinstance(seconds, float) and seconds.is_integer())
    )
    if not is_whole or not LEAST_SECONDS <= seconds <= MOST_SECONDS:
        problems.append(f"expires_after.seconds must be a whole number from {LEAST_SECONDS} to {MOST_SECONDS}.")
        return usual
    return int(seconds)


def _in_places(given: Mapping[str, Any], warnings: list[str]) -> dict[str, Any]:
    """Return a session whose flat names are in their places; a value that stands there already is stronger."""
    session = {name: value for name, value in given.items() if name not in _FLAT}
    for name, path in _FLAT.items():
        if name not in given:
            continue
        value = given[name]
        if "transcription" in name and isinstance(value, dict):
            value = _transcription(value, session, name, warnings)
        elif "noise_reduction" in name and isinstance(value, str):
            value = {"type": value}
        elif name.endswith("_format") and isinstance(value, str):
            value = {"type": _FORMATS.get(value, value)}
        *where, last = path.split(".")
        place: Any = session
        for each in where:
            place = place.setdefault(each, {}) if isinstance(place, dict) else None
        if not isinstance(place, dict) or last in place:
            warnings.append(f"session.{name} is left out: session.{path} is there, too")
        else:
            place[last] = value
    return session


def _transcription(value: dict[str, Any], session: dict[str, Any], name: str, warnings: list[str]) -> Any:
    """Return the transcription of an earlier system's form in that of the API."""
    told = {each: of for each, of in value.items() if each not in ("enabled", "logprobs") and of not in (None, "")}
    if value.get("enabled") is False or value.get("type") == "none":
        return None
    if value.get("logprobs") is True:
        session.setdefault("include", [LOGPROBS])
    if "include_segments" in told:
        warnings.append(f"session.{name}.include_segments is left out: {_WHY['include_segments']}")
        del told["include_segments"]
    return told


def _known(given: Mapping[str, Any], fields: Mapping[str, Any], path: str, warnings: list[str]) -> dict[str, Any]:
    """Return the fields that the API has."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        if name not in fields:
            if not (path.endswith("turn_detection.") and name == "semantic"):  # see `_turns`
                shown = f"{path}{_shown(name)}"
                warnings.append(f"{shown} is left out: {_WHY.get(name, 'the API has no such field')}")
                continue
            found[name] = value
        elif fields[name] and isinstance(value, dict):
            found[name] = _known(value, fields[name], f"{path}{name}.", warnings)
        else:
            found[name] = value
    return found


def _tidy(session: dict[str, Any], warnings: list[str]) -> None:
    """Bring values into the form in which the API takes them."""
    if session.get("max_output_tokens", 0) is None:
        session["max_output_tokens"] = "inf"
    modalities = session.get("output_modalities")
    if isinstance(modalities, list) and len(modalities) > 1 and "audio" in modalities:
        session["output_modalities"] = ["audio"]
        warnings.append("session.output_modalities: of it only audio is sent, because a session takes one of them")
    prompt = session.get("prompt")
    if isinstance(prompt, dict):
        version = prompt.get("version")
        if isinstance(version, int) and not isinstance(version, bool):
            prompt["version"] = str(version)
    audio = session.get("audio")
    of_input, output = (audio.get(side) if isinstance(audio, dict) else None for side in ("input", "output"))
    for side in (of_input, output):
        _format(side, warnings)
    if isinstance(output, dict) and isinstance(voice := output.get("voice"), str) and not is_voice(voice):
        del output["voice"]
        warnings.append(f'session.audio.output.voice "{_shown(voice)}" is left out: {NO_VOICE}')
    if not isinstance(of_input, dict):
        return
    noise = of_input.get("noise_reduction")
    if isinstance(noise, dict) and noise.get("type") in ("none", None):
        of_input["noise_reduction"] = None
    elif isinstance(noise, dict) and noise["type"] not in NOISES:
        del of_input["noise_reduction"]
        warnings.append(f"session.audio.input.noise_reduction is left out: {NO_NOISE}")
    if isinstance(of_input.get("turn_detection"), dict):
        of_input["turn_detection"] = _turns(of_input["turn_detection"], warnings)


def _format(side: Any, warnings: list[str]) -> None:
    wanted = side.get("format") if isinstance(side, dict) else None
    if isinstance(wanted, dict) and wanted.get("type") in ("audio/pcmu", "audio/pcma") and "rate" in wanted:
        del wanted["rate"]
        warnings.append(f"the rate of {wanted['type']} is left out: it is always 8000 Hz, and the API takes none")
    elif isinstance(wanted, dict) and wanted.get("type") == "audio/pcm":
        wanted.setdefault("rate", 24000)


def _turns(given: dict[str, Any], warnings: list[str]) -> dict[str, Any] | None:
    if given.pop("semantic", None) is True and given.get("type") == "server_vad":
        given["type"] = "semantic_vad"
    kind = given.get("type")
    if kind == "none":
        return None
    others = [name for each, names in _OF_TURNS.items() if each != kind for name in names] if kind in _OF_TURNS else []
    for name in [name for name in given if name in others]:
        del given[name]
        warnings.append(f"session.audio.input.turn_detection.{name} is left out: {kind} has none")
    return given


def _shown(name: str) -> str:
    return line(name)[:_LONGEST_NAME]
