"""What operators are shown beside the values of settings: what each means, where it holds, what limits calls, and what
a minute costs."""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from types import UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, MaxLen, MinLen
from pydantic.fields import FieldInfo

from callflow.call.call_config import CallConfig
from callflow.config.call_settings import CallSettings
from callflow.config.documentation import documented
from callflow.config.transfer_targets import read as read_targets
from callflow.contracts.carrier import Carrier
from callflow.contracts.errors import ProfileRefused
from callflow.contracts.realtime_values import VOICES
from callflow.engines import model_catalog
from callflow.engines.openai_realtime import session_config
from callflow.switchboard import engine_choice
from callflow.switchboard.call_configs import CallConfigs, models_of, pays_by_the_second


_VARIABLE: Final = re.compile(r"\{\{\s*([A-Za-z_]\w{0,63})\s*\}\}")
_LONG: Final = frozenset({
    "instructions", "greeting", "disclosure", "record_announcement", "transcription_prompt", "voicemail_message",
    "briefing_text", "listen_notice", "transfer_targets",
})  # fmt: skip
"""Texts that people write in lines."""
_NO_PROFILE: Final = "There is no such profile: GET /api/profiles lists them."


class SettingService:
    """The settings of calls, explained."""

    def __init__(self, configs: CallConfigs, carriers: Mapping[str, Carrier], *, max_calls: int) -> None:
        """`carriers`: by name. `max_calls`: at the same time."""
        self._configs, self._carriers, self._max_calls = configs, carriers, max_calls

    @functools.cached_property
    def _fields(self) -> list[dict[str, Any]]:
        return [
            {
                "name": each.name, "heading": each.heading, "text": each.text,
                "inCall": session_config.may_change(each.name),
                **_kind(each.name, CallSettings.model_fields[each.name]),
            }
            for each in documented(CallSettings)
        ]  # fmt: skip

    async def read(self) -> None:
        """Let a thread read what is written about the settings, the first time: 20 ms."""
        await asyncio.to_thread(lambda: self._fields)

    def fields(self, profile: str = "", business: str = "") -> dict[str, Any]:
        """Return each setting of calls: what it means, what it may be, whether a live call takes it. `notTaken`: why
        some do nothing under a profile ("": for all numbers). `business`: only its own profiles are there; "": all.
        `read` comes first.

        Raises ProfileRefused.
        """
        settings = self._configs.rules.profiles.all().get(profile)
        if settings is None or business not in ("", settings.business):
            raise ProfileRefused(404, _NO_PROFILE)
        return {
            "profile": profile,
            "engine": settings.engine,
            "model": engine_choice.speaking_model(settings),
            "minute": _minute(engine_choice.speaking_model(settings), engine_choice.transcribing_model(settings)),
            "notTaken": engine_choice.not_taken(settings),
            "fields": self._fields,
        }

    def limits(self, live: int, business: str = "") -> dict[str, Any]:
        """Return what limits calls, and for each profile what a minute costs, which variables it asks for, and to whom
        its calls may be transferred. `live`: how many calls there are. `business`: as for `fields`."""
        rules = self._configs.rules
        server = rules.settings
        profiles = [
            {
                "profile": name,
                "model": engine_choice.speaking_model(one),
                "minute": _minute(engine_choice.speaking_model(one), engine_choice.transcribing_model(one)),
                "seconds": one.max_call_seconds,
                "variables": _variables(one),
                "targets": read_targets(one.transfer_targets),
                "minutes": one.profile_daily_minutes or None,
                "usd": one.profile_daily_usd or None,
            }
            for name, one in sorted(rules.profiles.all().items())
            if business in ("", one.business)
        ]
        return {
            "calls": {"live": None if business else live, "most": self._max_calls},
            "perCaller": {
                "calls": server.max_calls_per_caller or None,
                "hour": server.max_calls_per_caller_hour or None,
            },
            "dialsPerMinute": server.dials_per_minute,
            "campaignShare": server.campaign_share,
            "allow": server.dial_allow,
            "deny": server.dial_deny,
            "day": {"minutes": server.max_daily_minutes or None, "usd": server.max_daily_usd or None},
            "carriers": [
                {"name": name, "from": one.from_number if self._is_of(one.from_number, business) else ""}
                for name, one in self._carriers.items()
                if "dials" in one.can
            ],
            "profiles": profiles,
        }

    def _is_of(self, number: str, business: str) -> bool:
        return not business or self._configs.business_of(number)[0] == business

    @staticmethod
    def of_call(config: CallConfig) -> dict[str, Any]:
        """Return what a call of this config costs and how long it may be. `ringing`: the seconds that it may ring,
        where the model is paid for them too, whether or not somebody answers."""
        return {
            "profile": config.profile, "model": models_of(config)[0], "minute": _minute(*models_of(config)),
            "seconds": sum(config.deadline_seconds[each] for each in ("warning", "call")),
            "ringing": config.dial_seconds if pays_by_the_second(config) and config.route != "sip" else 0,
        }  # fmt: skip


def _minute(model: str, transcription: str) -> float | None:
    """Return the price of a minute of both models; None: that of the one that speaks is unknown."""
    today = datetime.now(UTC).date()
    spoken = model_catalog.minute(model, today)
    written = model_catalog.minute(transcription, today) if transcription else 0.0
    return None if spoken is None else round(spoken + (written or 0.0), 4)


def _variables(settings: CallSettings) -> list[str]:
    return list(dict.fromkeys(_VARIABLE.findall(f"{settings.instructions}\n{settings.greeting}")))


def _kind(name: str, field: FieldInfo) -> dict[str, Any]:
    """Return how a field is asked for: `kind`, and `choices` or bounds."""
    told: dict[str, Any] = {"default": field.default}
    bounds: dict[type, Any] = {type(item): item for item in field.metadata}
    if name == "voice":
        return {**told, "kind": "text", "suggestions": list(VOICES)}
    if get_origin(field.annotation) is Literal:
        return {**told, "kind": "choice", "choices": list(get_args(field.annotation))}
    if get_origin(field.annotation) in (Union, UnionType):
        words = [word for kind in get_args(field.annotation) for word in get_args(kind)]
        return {**told, "kind": "mixed", "choices": words}
    if field.annotation is bool:
        return {**told, "kind": "flag"}
    if field.annotation in (int, float):
        told |= {"kind": "number", "whole": field.annotation is int}
        told |= {"least": bounds[Ge].ge} if Ge in bounds else {"above": bounds[Gt].gt} if Gt in bounds else {}
        return told | ({"most": bounds[Le].le} if Le in bounds else {})
    told |= {"kind": "long" if name in _LONG else "text", "empty": MinLen not in bounds}
    return told | ({"longest": bounds[MaxLen].max_length} if MaxLen in bounds else {})
