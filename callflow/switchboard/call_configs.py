"""How calls are conducted: from the settings, what operators have changed since, and the profile of the number dialled.

Which voice model there is, this file knows; which carriers, `carriers/registry.py`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from callflow.agent.agent_config import AgentConfig
from callflow.call.call_config import CallConfig
from callflow.config import session_overrides
from callflow.config.fields import from_settings
from callflow.config.profiles import Profiles
from callflow.config.settings import Settings
from callflow.contracts.errors import SettingsError
from callflow.engines import model_catalog
from callflow.engines.openai_realtime import session_config
from callflow.engines.openai_realtime.account import Account
from callflow.engines.openai_realtime.adapter import OpenAIRealtime
from callflow.engines.openai_realtime.session_config import RealtimeConfig
from callflow.media import clips
from callflow.media.media_config import MediaConfig


log = logging.getLogger(__name__)

_DEFAULT_TEMPERATURE: Final = Settings.model_fields["temperature"].default
_SEMANTIC_MS: Final = 9000
"""A model that listens for meaning may think about a pause for eight seconds."""
_MOST_EARLIER: Final = 8


def realtime_config(settings: Settings) -> RealtimeConfig:
    """The engine's config: its fields are named like the settings, but for what is secret or ours to decide."""
    return from_settings(
        RealtimeConfig,
        settings,
        api_key=settings.openai_api_key.get_secret_value(),
        url=settings.openai_realtime_url,
        temperature=None if settings.temperature == _DEFAULT_TEMPERATURE else settings.temperature,
        connect_seconds=settings.engine_seconds,
        buffer_seconds=settings.engine_buffer_seconds,
    )


def deadline_seconds(settings: Settings) -> dict[str, float]:
    """How long each deadline of the machine is, by its name in `callflow.call.machine.DEADLINES`."""
    return {
        "ring": settings.ring_seconds,
        "stream": settings.stream_seconds,
        "restream": settings.restream_seconds,
        "engine": settings.engine_seconds,
        "backoff": settings.engine_retry_seconds,
        "grace": settings.stream_grace_seconds,
        "farewell": settings.farewell_seconds,
        "last_words": settings.last_words_seconds,
        "warning": max(settings.max_call_seconds - settings.max_call_warning_seconds, 0.0),
        "call": min(settings.max_call_warning_seconds, settings.max_call_seconds),
    }


def call_config(
    settings: Settings, account: Account, profile: str = "", kept: Mapping[str, Any] | None = None
) -> CallConfig:
    """How a call is conducted under these settings: those of its own number. `kept`: see `CallConfig`.

    Raises SettingsError where there are no clips in the language that was asked for.
    """
    engine = realtime_config(settings)
    announced = settings.record_announcement if settings.record else ""
    deadlines = deadline_seconds(settings)
    by_silence = settings.turn_detection == "server_vad"
    agent = from_settings(
        AgentConfig,
        settings,
        make_engine=lambda context, hear: OpenAIRealtime(engine, context, hear, account),
        disclosure=f"{announced} {settings.disclosure}".strip(),
        max_call_warning_seconds=deadlines["call"],
        deaf_after_ms=max(1500, settings.vad_prefix_padding_ms + 1200),
        unended_after_ms=max(2500, settings.vad_silence_ms + 1500) if by_silence else _SEMANTIC_MS,
    )
    return from_settings(
        CallConfig,
        settings,
        agent=agent,
        media=from_settings(MediaConfig, settings),
        clips=_clips(settings, profile),
        deadline_seconds=deadlines,
        profile=profile,
        kept=kept or {},
        record_after_opening=bool(announced),
    )


def _clips(settings: Settings, profile: str) -> Mapping[str, clips.Clip]:
    try:
        return clips.load(settings.clip_language)
    except OSError:
        where = f"settings.toml, profile {profile}" if profile else settings.origin("clip_language")
        what = "there are no clips in that language, only in " + ", ".join(f'"{each}"' for each in clips.languages())
        raise SettingsError([f'CLIP_LANGUAGE="{settings.clip_language}" ({where}): {what}']) from None


@dataclass(frozen=True)
class Rules:
    """How calls are conducted under what operators keep just now."""

    kept: Mapping[str, Any]
    """By names of settings, in their proper form: see `callflow.config.session_overrides`."""
    settings: Settings
    profiles: Profiles
    configs: Mapping[str, CallConfig]
    """By profile; "": numbers that have none."""


class CallConfigs:
    def __init__(self, settings: Settings, account: Account) -> None:
        """Reads files. Raises SettingsError."""
        self.settings = settings
        self._account = account
        self.rules = self.rules_under({})
        self._earlier: dict[str, Rules] = {}

    def rules_under(self, kept: Mapping[str, Any]) -> Rules:
        """Reads files. Raises SettingsError."""
        settings = session_overrides.effective(self.settings, kept)
        profiles = Profiles(settings)
        configs = {name: call_config(chosen, self._account, name, kept) for name, chosen in profiles.all().items()}
        return Rules(kept, settings, profiles, configs)

    def prepare(self, kept: Mapping[str, Any]) -> None:
        """For a call that began while this was kept. Reads files."""
        key = json.dumps(kept, sort_keys=True)
        if kept == self.rules.kept or key in self._earlier:
            return
        usable, _ = session_overrides.decode({name: json.dumps(value) for name, value in kept.items()}, self.settings)
        try:
            rules = self.rules_under(usable)
        except SettingsError as error:
            log.error("what was kept when a call began cannot be used any more: %s", error)
            rules = self.rules
        while len(self._earlier) >= _MOST_EARLIER:
            self._earlier.pop(next(iter(self._earlier)))
        self._earlier[key] = rules

    def config(self, to_number: str, kept: Mapping[str, Any] | None = None) -> CallConfig:
        """How a call to this number is conducted. `kept`: what was when it began, if that was prepared; None: what is
        now."""
        rules = self.rules
        if kept is not None and kept != rules.kept:
            rules = self._earlier.get(json.dumps(kept, sort_keys=True), rules)
        return rules.configs[rules.profiles.name_for(to_number)]

    def number(self, told: str) -> str:
        """A telephone number in its one form; what is none, as it is."""
        return self.rules.profiles.numbers.told(told)

    @property
    def warnings(self) -> list[str]:
        """What was asked for and will not be, and models that are about to go; a line each."""
        found = list(self.rules.profiles.warnings)
        today = datetime.now().astimezone().date()
        for name, chosen in self.rules.profiles.all().items():
            about = session_config.warnings(realtime_config(chosen))
            for model in (chosen.model, chosen.transcription_model):
                about += [warning] if (warning := model_catalog.shutdown_warning(model, today)) else []
            found += [f"profile {name}: {line}" if name else line for line in about if name == "" or line not in found]
        return found
