"""Find settings that have no effect because of the value of another one. Pure.

Only values that differ from the default are mentioned, because `settings.toml` holds all defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final, NamedTuple

from pydantic import ValidationError

from callflow.config import client_keys
from callflow.config.call_settings import CallSettings
from callflow.config.setting_names import present
from callflow.config.settings import Settings
from callflow.contracts.realtime_values import model_at


class _Rule(NamedTuple):
    """The settings `names` have no effect while `holds` is true."""

    names: tuple[str, ...]
    holds: Callable[[CallSettings], bool]
    why: str


_VAD: Final = ("vad_threshold", "vad_prefix_padding_ms", "vad_silence_ms")
_CONDUCT: Final = (
    _Rule(
        ("live_model", "delegation_model"),
        lambda s: "openai_live" not in (s.engine, s.fallback_engine),
        "the engine openai_live is not used",
    ),
    _Rule(_VAD, lambda s: s.turn_detection == "semantic_vad", 'turn_detection is "semantic_vad"'),
    _Rule(("vad_eagerness",), lambda s: s.turn_detection == "server_vad", 'turn_detection is "server_vad"'),
    _Rule(
        (*_VAD, "vad_eagerness", "vad_create_response", "vad_interrupt_response"),
        lambda s: s.turn_detection == "none",
        'turn_detection is "none"',
    ),
    _Rule(
        ("transcription_language", "transcription_prompt", "transcription_logprobs"),
        lambda s: not s.transcription_model,
        "transcription_model is empty, so that nothing is written down",
    ),
    _Rule(("greeting_protected",), lambda s: not s.greeting, "there is no greeting"),
    _Rule(
        ("over_budget",),
        lambda s: s.over_budget == "fallback" and not s.fallback_number,
        "there is no fallback_number, so that callers hear a sentence",
    ),
    _Rule(
        ("when_full",),
        lambda s: s.when_full == "fallback" and not s.fallback_number,
        "there is no fallback_number, so that callers hear a sentence",
    ),
    _Rule(
        ("listen_while_bridged",),
        lambda s: not s.transcription_model,
        "transcription_model is empty, so that nothing is written down",
    ),
    _Rule(("listen_notice",), lambda s: not s.listen_while_bridged, "listen_while_bridged is false"),
    _Rule(("hours_zone", "when_closed"), lambda s: not s.hours, "hours is empty, so that the line is always open"),
    _Rule(
        ("when_closed",),
        lambda s: bool(s.hours) and s.when_closed == "fallback" and not s.fallback_number,
        "there is no fallback_number, so that callers hear a sentence",
    ),
    _Rule(("prompt_version",), lambda s: not s.prompt_id, "there is no prompt_id"),
    _Rule(("no_input_asks",), lambda s: not s.no_input_seconds, "no_input_seconds is 0"),
    _Rule(
        ("max_call_warning_seconds",),
        lambda s: s.max_call_warning_seconds >= s.max_call_seconds,
        "it is not shorter than max_call_seconds",
    ),
    _Rule(
        ("tool_filler_after_ms",),
        lambda s: s.tool_filler_after_ms >= s.tool_timeout_seconds * 1000,
        "a tool is given up before that (tool_timeout_seconds)",
    ),
    _Rule(
        ("engine_retry_seconds",), lambda s: s.engine_tries < 2, "engine_tries is below 2, so that there is no pause"
    ),
    _Rule(("restream_seconds",), lambda s: not s.stream_tries, "stream_tries is 0"),
    _Rule(("response_retry_seconds",), lambda s: not s.response_retries, "response_retries is 0"),
)
_OF_TWILIO: Final = (
    "twilio_from_number", "twilio_api_key", "twilio_shared_keys", "twilio_api_base", "twilio_greeting_text",
    "twilio_pause_seconds", "twilio_after_text", "twilio_resume_seconds", "twilio_media_signature",
)  # fmt: skip
_OF_TELNYX: Final = (
    "telnyx_connection_id", "telnyx_from_number", "telnyx_machine_detection", "telnyx_api_base", "stream_target_legs",
)  # fmt: skip


def of_conduct(
    chosen: CallSettings,
    written: Collection[str],
    named: Callable[[str], str] = str.upper,
    heirs: Iterable[CallSettings] = (),
) -> list[str]:
    """Return a line for each reason why some settings of calls have no effect.

    `written`: the names of the settings that were set; others are not mentioned. `named`: turns a name into what the
    line calls it. `heirs`: settings that have all of these but what they say themselves: what has an effect in one of
    them is not mentioned.
    """
    found, everywhere = [], [chosen, *heirs]
    for names, holds, why in _CONDUCT:
        if (idle := _different(chosen, names, written)) and all(map(holds, everywhere)):
            found.append(_line(map(named, idle), why))
    return found


def _of_profiles(settings: Settings) -> list[CallSettings]:
    """Return the settings of the profiles in settings.toml, but of those that cannot be used."""
    found: list[CallSettings] = []
    tables: list[object] = list(settings.profiles.values())
    for table in tables:
        wanted = present(table) if isinstance(table, Mapping) else {}
        try:
            kept = settings.model_dump(include=set(CallSettings.model_fields))
            found.append(CallSettings(**(kept | {key: wanted[key] for key in kept.keys() & wanted.keys()})))
        except ValidationError:
            pass
    return found


def lines(settings: Settings) -> list[str]:
    """Return a line for each reason why some settings have no effect, of calls and of the whole server."""

    def named(name: str) -> str:
        return f"{name.upper()} ({settings.origin(name)})"

    def say(why: str, *names: str) -> None:
        if idle := _different(settings, names, written):
            found.append(_line(map(named, idle), why))

    written = {name for name in type(settings).model_fields if settings.origin(name) != "default"}
    found = of_conduct(settings, written, named, _of_profiles(settings))
    if not settings.twilio_on:
        say("Twilio is off (TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN turn it on)", *_OF_TWILIO)
    if not settings.telnyx_on:
        say("Telnyx is off (TELNYX_API_KEY and TELNYX_PUBLIC_KEY turn it on)", *_OF_TELNYX)
    if not settings.events_url:
        say("there is no EVENTS_URL", *([] if settings.lookup_url else ["events_secret"]), "events_words")
    if not settings.caller_lookup:
        say("there is no CALLER_LOOKUP", "caller_lookup_seconds")
    if far := client_keys.elsewhere(settings):
        names = " and ".join(name.upper() for name in far)
        say(f"{names} {'is' if len(far) == 1 else 'are'} not on this machine", "allow_client_creds")
    if not settings.public:
        say("no tunnel is asked for (--public, or PUBLIC=true, opens one)", "ngrok_auth_token", "ngrok_download")
    model = model_at(settings.openai_realtime_url)
    if model and model != settings.model:
        say("OPENAI_REALTIME_URL names another one", "model")
    return found


def _different(settings: CallSettings, names: Collection[str], written: Collection[str]) -> list[str]:
    fields = type(settings).model_fields
    return [name for name in names if name in written and getattr(settings, name) != fields[name].default]


def _line(named: Iterable[str], why: str) -> str:
    names = list(named)
    return f"{', '.join(names)} {'does' if len(names) == 1 else 'do'} nothing, because {why}"
