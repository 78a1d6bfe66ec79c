"""From the settings to the configs: nothing is misspelt, nothing is lost, and no default stands in two places."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from callflow.agent.agent_config import AgentConfig
from callflow.call.call_config import CallConfig
from callflow.config.call_settings import CallSettings
from callflow.config.fields import from_settings
from callflow.config.settings import Settings
from callflow.contracts.realtime_values import UNSENT
from callflow.engines.common.account import Account
from callflow.engines.openai_live.live_config import LiveConfig
from callflow.engines.openai_realtime.session_config import RealtimeConfig
from callflow.media import clips
from callflow.media.media_config import MediaConfig
from callflow.switchboard import call_configs, engine_choice
from carriers import registry
from carriers.openai_sip.carrier import OpenAISipConfig
from carriers.telnyx.carrier import TelnyxConfig
from carriers.twilio.config import TwilioConfig
from tests.source_facts import facts


ROOT = Path(__file__).parents[2]
CONFIGS = [
    RealtimeConfig, LiveConfig, TelnyxConfig, TwilioConfig, OpenAISipConfig, AgentConfig, CallConfig, MediaConfig,
]  # fmt: skip


@pytest.mark.parametrize("config", CONFIGS)
def test_a_config_has_no_defaults_of_its_own(config: Any) -> None:
    missing = dataclasses.MISSING
    own = [one.name for one in dataclasses.fields(config) if (one.default, one.default_factory) != (missing, missing)]
    assert own == [], "the default of a setting stands in callflow/config, and nowhere else"


# A misspelt name


@dataclass(frozen=True, kw_only=True)
class Misspelt:
    voice: str
    vioce: str


@dataclass(frozen=True, kw_only=True)
class Right:
    voice: str
    more: int


def test_a_field_that_is_no_setting_is_an_error_at_once() -> None:
    with pytest.raises(TypeError, match=r"^Misspelt: there is no setting vioce$"):
        from_settings(Misspelt, Settings())
    with pytest.raises(TypeError, match="mroe"):
        from_settings(Right, Settings(), more=1, mroe=2)
    assert from_settings(Right, Settings(voice="cedar"), more=1) == Right(voice="cedar", more=1)


def test_every_config_is_made_from_the_settings() -> None:
    engine, call = engine_choice.realtime_config(Settings()), call_configs.call_config(Settings(), Account())
    assert (engine.voice, call.media.playout_lead_ms, call.dtmf_end) == ("marin", 400, "#")


# A setting that is lost

NOT_SENT = {"prompt_version"}
"""Accepted for the sake of older settings. (Of the others that are not sent, the engine's config warns.)"""
ANOTHER: dict[str, Any] = {
    "vad_idle_timeout_ms": 6000, "max_output_tokens": 100, "truncation": 0.5, "dtmf_end": "*",
    "transcription_language": "de", "carrier_language": "de", "stream_target_legs": "both",
    "telnyx_public_key": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "telnyx_api_base": "https://a.example/v2",
    "twilio_account_sid": "AC" + "1" * 32, "twilio_api_key": "SK" + "1" * 32, "twilio_api_base": "https://a.example",
    "openai_api_base": "https://a.example/v1",
    "openai_realtime_url": "wss://a.example", "openai_live_url": "wss://a.example", "fallback_engine": "openai_live",
    "telnyx_from_number": "+15550100002",
    "twilio_from_number": "+15550100002", "transfer_targets": "sales = +15550100010", "fallback_number": "+15550100010",
    "failover_url": "https://backup.example", "hours": "10-12", "hours_zone": "Europe/Berlin",
    "openai_project_id": "proj_2", "openai_sip_host": "sip-eu.api.openai.com",
}  # fmt: skip
BASE: dict[str, Any] = {"record": True, "greeting": "Hello.", "hours": "9-18", "listen_while_bridged": True,
                        "openai_api_key": "sk-of-the-tests", "openai_webhook_secret": "whsec_MDEyMzQ1Njc4OWFiY2RlZg==",
                        "openai_project_id": "proj_1"}  # fmt: skip
"""So that what depends on these makes a difference."""


def another(name: str, field: FieldInfo) -> Any:
    """Some value of this setting that is not its default, nor the one in BASE."""
    if name in ANOTHER:
        return ANOTHER[name]
    now = BASE.get(name, field.default)
    kind = field.annotation
    if get_origin(kind) is Literal:
        return next(each for each in get_args(kind) if each != now)
    if kind is bool:
        return not now
    if kind in (int, float):
        bounds = [each for each in field.metadata if hasattr(each, "le")]
        return now + 1 if not bounds or now + 1 <= bounds[0].le else now / 2
    if name == "business":
        return "harbour-taxis"
    if kind is SecretStr:
        return SecretStr("a-key-of-the-tests")
    return f"{now} And more."


def plain(config: Any) -> dict[str, Any]:
    """A config as values that can be compared, without what is made anew each time."""
    return {
        one.name: plain(value) if dataclasses.is_dataclass(value) else value
        for one in dataclasses.fields(config)
        if one.name not in ("make_engine", "make_listener", "address", "clips")
        for value in [getattr(config, one.name)]
    }


def configs(settings: Settings) -> list[dict[str, Any]]:
    """All that the settings are turned into: for a call, its engine, its media, and for the carriers."""
    made: list[Any] = [engine_choice.realtime_config(settings), engine_choice.live_config(settings)]
    made.append(call_configs.call_config(settings, Account()))
    made += [registry.telnyx_config(settings, str), registry.twilio_config(settings, str)]
    made.append(registry.openai_sip_config(settings))
    return [{"engines": engine_choice.engines_of(settings)}, *map(plain, made)]


def carriers_settings() -> Iterator[str]:
    for name in Settings.model_fields.keys() - CallSettings.model_fields.keys():
        if re.match(
            r"telnyx_|twilio_|carrier_|command_|stream_target|openai_|allow_unsigned|(apology|goodbye|busy)_", name
        ):
            yield name


CONDUCTS = sorted({*CallSettings.model_fields, *carriers_settings()} - NOT_SENT - {"clip_language"})


@pytest.mark.parametrize("name", CONDUCTS)
@pytest.mark.exhaustive
def test_a_setting_that_conducts_calls_reaches_a_config(name: str) -> None:
    changed = Settings(**BASE | {name: another(name, Settings.model_fields[name])})
    assert getattr(changed, name) != getattr(Settings(**BASE), name), "the test must change it"
    assert configs(changed) != configs(Settings(**BASE)), f"{name} reaches no config"


def test_the_language_of_the_clips_reaches_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clips, "load", lambda language: {f"a clip in {language}": None})
    made = call_configs.call_config(Settings(clip_language="de"), Account())
    assert list(made.clips) == ["a clip in de"]


def test_what_reaches_no_config_is_known_not_to_be_sent() -> None:
    assert UNSENT.keys() >= NOT_SENT
    assert configs(Settings(**BASE, prompt_version="2")) == configs(Settings(**BASE))


@pytest.mark.exhaustive
def test_every_other_setting_is_read_somewhere() -> None:
    read: set[str] = set()
    for path in [ROOT / "server.py", *(ROOT / "carriers").rglob("*.py"), *(ROOT / "callflow").rglob("*.py")]:
        read |= facts(path).attributes
    assert set(Settings.model_fields) - set(CONDUCTS) - NOT_SENT - read == set()
