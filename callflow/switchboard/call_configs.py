"""Makes the config of each call, from the settings, the operators' changes and the profile of the number.

This is the only file that maps settings to the configs of call, agent and media; `engine_choice.py` does the same for
engines, `carriers/registry.py` for carriers.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from cachetools import FIFOCache

from callflow.agent.agent_config import AgentConfig
from callflow.call.call_config import CallConfig
from callflow.call.outbound_order import OutboundOrder
from callflow.config import opening_hours, session_limits, session_overrides, transfer_targets
from callflow.config.dial_rules import DialRules
from callflow.config.fields import from_settings
from callflow.config.kept_profiles import KeptProfile, label_of
from callflow.config.profiles import Profiles
from callflow.config.setting_names import present
from callflow.config.settings import Settings
from callflow.contracts import printable, prompt_variables
from callflow.contracts.caller_lookup import LookedUp
from callflow.contracts.errors import SettingsError
from callflow.engines import model_catalog
from callflow.engines.common.account import Account
from callflow.media import clips
from callflow.media.media_config import MediaConfig
from callflow.switchboard import engine_choice
from callflow.switchboard.engine_choice import MakeEngine


log = logging.getLogger(__name__)

_DIAL_GRACE_SECONDS: Final = 15
"""How long after the end of its ringing the carrier may tell of it, before the call is given up."""
_SEMANTIC_MS: Final = 9000
"""A model with semantic turn detection may wait for eight seconds before it ends the caller's turn."""
_MOST_EARLIER: Final = 32
"""The most earlier rules that are kept, for restored calls that began under them."""
_QUEUE_SECONDS: Final = 120
"""How long a carrier may keep a call in its queue. Twilio begins with one a second by default."""
Began = tuple[str, int]
"""The profile under which a call began, and its version in the database; 0: the database had no such profile."""


def deadline_seconds(settings: Settings) -> dict[str, float]:
    """Return the length of each deadline of the machine, by its name in `callflow.call.machine.DEADLINES`."""
    return {
        "queue": _QUEUE_SECONDS,
        "dial": settings.dial_seconds + _DIAL_GRACE_SECONDS,
        "transfer": settings.transfer_ring_seconds + settings.transfer_accept_seconds,
        "join": settings.join_seconds,
        "bridged": settings.max_bridged_seconds,
        "hold": settings.max_hold_seconds,
        "ring": settings.answer_seconds,
        "stream": settings.stream_seconds,
        "restream": settings.restream_seconds,
        "engine": settings.engine_seconds,
        "backoff": settings.engine_retry_seconds,
        "grace": settings.stream_grace_seconds,
        "beep": settings.beep_seconds,
        "message": settings.voicemail_seconds,
        "farewell": settings.farewell_seconds,
        "last_words": settings.goodbye_seconds,
        "warning": max(settings.max_call_seconds - settings.max_call_warning_seconds, 0.0),
        "call": min(settings.max_call_warning_seconds, settings.max_call_seconds),
    }


def filled(config: CallConfig, variables: Mapping[str, str]) -> CallConfig:
    """Return the config with each `{{name}}` of instructions and greeting replaced. Reads nothing, and takes little
    time."""
    make = config.agent.make_engine
    asked = make.config.instructions if isinstance(make, MakeEngine) else ""
    instructions = prompt_variables.fill(asked, variables)
    greeting = prompt_variables.fill(config.agent.greeting, variables)
    if isinstance(make, MakeEngine) and instructions.text != asked:
        make = make.with_instructions(instructions.text)
    left_out = tuple(dict.fromkeys([*instructions.unknown, *greeting.unknown]))
    return replace(config, agent=replace(config.agent, make_engine=make, greeting=greeting.text), left_out=left_out)


def _listener(make: MakeEngine) -> MakeEngine:
    """Make sessions that only transcribe: they answer nothing, and begin with no instructions."""
    silent = replace(
        make.config, turn_detection="server_vad", vad_create_response=False, vad_interrupt_response=False,
        vad_idle_timeout_ms=0, min_interruption_ms=0, instructions="", prompt_id="", tracing="off",
    )  # fmt: skip
    return MakeEngine(silent, make.account, "openai_realtime")


def with_key(config: CallConfig, api_key: str) -> CallConfig:
    """Return the config with another key of the engine. The account of that key is that call's alone, so that what the
    vendor says of it means nothing for other calls."""
    make = config.agent.make_engine
    if not isinstance(make, MakeEngine):
        return config
    make = make.with_key(api_key)
    return replace(config, agent=replace(config.agent, make_engine=make), make_listener=_listener(make))


def models_of(config: CallConfig) -> tuple[str, str]:
    """Return the model that speaks and the one that transcribes; "": there is none."""
    make = config.agent.make_engine
    if not isinstance(make, MakeEngine):
        return "", ""
    if make.live is not None and pays_by_the_second(config):
        return make.live.model, ""
    return make.config.model, make.config.transcription_model


def pays_by_the_second(config: CallConfig) -> bool:
    """Return whether a session is paid for as long as it is open, and not for what is said: a call that is dialled
    opens its own with the dial, so that the first word is not late."""
    make = config.agent.make_engine
    return isinstance(make, MakeEngine) and make.live is not None and make.engine == engine_choice.LIVE


def call_config(
    settings: Settings,
    account: Account,
    profile: str = "",
    overrides: Mapping[str, Any] | None = None,
    version: int = 0,
) -> CallConfig:
    """Return the config of a call under the settings of its number. `overrides`, `version`: see `CallConfig`.

    Raises SettingsError if there are no clips in the language of the settings.
    """
    _check_fallback(settings, profile)
    _check_route(settings, profile)
    make = engine_choice.make_engine(settings, account)
    deadlines = deadline_seconds(settings)
    by_silence = settings.turn_detection == "server_vad"
    listens = settings.listen_while_bridged and settings.transcription_model
    agent = from_settings(
        AgentConfig,
        settings,
        make_engine=make,
        max_call_warning_seconds=deadlines["call"],
        missed_start_after_ms=max(1500, settings.vad_prefix_padding_ms + 1200),
        missed_end_after_ms=max(2500, settings.vad_silence_ms + 1500) if by_silence else _SEMANTIC_MS,
    )
    config = from_settings(
        CallConfig,
        settings,
        agent=agent,
        media=from_settings(MediaConfig, settings),
        clips=_clips(settings, profile),
        deadline_seconds=deadlines,
        remote_seconds=engine_choice.remote_seconds(settings),
        profile=profile,
        profile_version=version,
        left_out=(),
        overrides=overrides or {},
        record_after_opening=False,
        plain_disclosure=settings.disclosure,
        sip_address=settings.openai_sip_uri if settings.openai_sip_on else "",
        opening=opening_hours.read(settings.hours, settings.hours_zone),
        allowed_tools=frozenset(session_limits.tool_names(settings.agent_tools)) or None,
        transfer_targets=transfer_targets.read(settings.transfer_targets),
        listen_notice=settings.listen_notice.strip() if listens else "",
        make_listener=_listener(make),
    )
    return config.announced() if settings.record or settings.carrier_record else config


def _check_fallback(settings: Settings, profile: str) -> None:
    number = settings.fallback_number
    if not number:
        return
    where = f"settings.toml, profile {profile}" if profile else settings.origin("fallback_number")
    if number in (settings.telnyx_from_number, settings.twilio_from_number):
        raise SettingsError([f"FALLBACK_NUMBER ({where}): it is this line itself, so callers would come back here"])
    if why := DialRules.of(settings).check(number):
        raise SettingsError([f"FALLBACK_NUMBER ({where}): {why}"])


def _check_route(settings: Settings, profile: str) -> None:
    if settings.route == "sip" and not (settings.openai_sip_on and settings.openai_sip_uri):
        where = f"settings.toml, profile {profile}" if profile else settings.origin("route")
        raise SettingsError([f'ROUTE="sip" ({where}): set OPENAI_WEBHOOK_SECRET and OPENAI_PROJECT_ID'])


def _clips(settings: Settings, profile: str) -> Mapping[str, clips.Clip]:
    try:
        return clips.load(settings.clip_language)
    except OSError:
        where = f"settings.toml, profile {profile}" if profile else settings.origin("clip_language")
        what = "there are no clips in that language, only in " + ", ".join(f'"{each}"' for each in clips.languages())
        raise SettingsError([f'CLIP_LANGUAGE="{settings.clip_language}" ({where}): {what}']) from None


@dataclass(frozen=True)
class Rules:
    """The configs of calls under one set of changes by operators, and with these profiles of the database."""

    overrides: Mapping[str, Any]
    """The changes by setting, checked against the settings: see `callflow.config.session_overrides`."""
    settings: Settings
    profiles: Profiles
    configs: Mapping[str, CallConfig]
    """By profile; "": for numbers without a profile."""
    kept: Sequence[KeptProfile] = ()
    """All profiles of the database, also those that cannot be used."""


class CallConfigs:
    """The configs of all calls, under the present changes by operators and under earlier ones.

    Making a config reads files. So all configs are made at the start and after a change, never during a call.
    """

    def __init__(self, settings: Settings, account: Account) -> None:
        """`settings`: the settings of the files. `account`: shared by all sessions of the model. Raises
        SettingsError."""
        self.settings = settings
        self._account = account
        self.rules = Rules({}, settings, Profiles(settings), {})
        self.rules = self.rules_under({}, ())
        self.changing = asyncio.Lock()
        """Held by whoever makes new rules of the present ones."""
        self._earlier: FIFOCache[str, Rules] = FIFOCache(maxsize=_MOST_EARLIER)

    def rules_under(self, overrides: Mapping[str, Any], kept: Sequence[KeptProfile] | None = None) -> Rules:
        """Make the configs under these changes (values by setting). Reads files. Raises SettingsError.

        `kept`: the profiles of the database; None: the present ones. One that cannot be used is left out, and
        `Profiles.refused` says why.
        """
        if kept is None:
            kept = self.rules.kept
        before = self.rules
        settings = session_overrides.effective(self.settings, overrides)
        left_out: dict[str, list[str]] = {}
        while True:
            profiles = Profiles(settings, [one for one in kept if one.name not in left_out], before.profiles)
            configs, refused = self._configs(profiles, overrides, before)
            if not refused:
                break
            left_out |= refused
        profiles.refused |= left_out
        profiles.warnings += [line for lines in left_out.values() for line in lines]
        return Rules(overrides, settings, profiles, configs, kept)

    def _configs(
        self, profiles: Profiles, overrides: Mapping[str, Any], before: Rules
    ) -> tuple[dict[str, CallConfig], dict[str, list[str]]]:
        """Return the configs, and what is wrong with profiles of the database, by name."""
        configs: dict[str, CallConfig] = {}
        refused: dict[str, list[str]] = {}
        old = before.profiles.all() if before.overrides == overrides else {}
        for name, chosen in profiles.all().items():
            kept = profiles.kept.get(name)
            version = kept.version if kept is not None else 0
            if name in before.configs and old.get(name) is chosen and before.configs[name].profile_version == version:
                configs[name] = before.configs[name]
                continue
            try:
                configs[name] = call_config(chosen, self._account, name, overrides, version)
            except SettingsError as error:
                if kept is None:
                    raise
                refused[name] = [*error.problems, f"{label_of(name)} is not used"]
        return configs, refused

    def prepare(self, overrides: Mapping[str, Any], began: Began = ("", 0), kept: KeptProfile | None = None) -> None:
        """Make the configs for a call that began under these changes and is being restored. Reads files.

        `began`: its profile. `kept`: that profile in the version under which the call began; None: the database has
        none, or has it no more.
        """
        key = _key(overrides, began)
        if self._are_present(overrides, began) or key in self._earlier:
            return
        if began[1] and kept is None:
            log.error("%s: version %d is not there any more, and a call goes on under the present one", *_told(began))
            return
        usable, _ = session_overrides.decode(
            {name: json.dumps(value) for name, value in overrides.items()}, self.settings
        )
        try:
            rules = self.rules_under(usable, [kept] if kept is not None else [])
        except SettingsError as error:
            log.error("settings that were kept in the database when a call began cannot be used any more: %s", error)
            rules = self.rules
        self._earlier[key] = rules

    def config(
        self,
        to_number: str,
        overrides: Mapping[str, Any] | None = None,
        looked_up: LookedUp | None = None,
        began: Began | None = None,
    ) -> CallConfig:
        """Return the config of a call to this number. Reads nothing.

        `overrides`: the operators' changes under which the call began, if `prepare` has made their configs; None: the
        present changes. `looked_up`: what the caller lookup told; None: it was not asked. A profile that is not there
        is ignored. `began`: the profile under which a restored call began; None: it begins now.
        """
        rules = self._rules_of(overrides, began)
        config = rules.configs[rules.profiles.name_for(to_number)]
        if began is not None and began[1]:
            config = rules.configs.get(began[0], config)
        if looked_up is None:
            return config
        if looked_up.profile and not (began and began[1]):
            config = rules.configs.get(looked_up.profile, config)
        return filled(config, looked_up.variables)

    def outbound(
        self,
        from_number: str,
        profile: str,
        session: Mapping[str, Any],
        overrides: Mapping[str, Any] | None = None,
        variables: Mapping[str, str] | None = None,
        began: Began | None = None,
    ) -> CallConfig:
        """Return the config of an outbound call. Reads files, unless the call has no settings of its own.

        `profile`: its name; "": that of our number. `session`: settings for this call alone, by name. `overrides`,
        `began`: as for `config`. `variables`: for instructions and greeting. Raises SettingsError if there is no
        such profile, or if the settings cannot be used, or go beyond what those of the profile allow.
        """
        rules = self._rules_of(overrides, began)
        name = profile or rules.profiles.name_for(from_number)
        if name not in rules.configs:
            known = ", ".join(sorted(filter(None, rules.configs))) or "none: PUT /api/profiles/NAME makes one"
            raise SettingsError([f'there is no profile "{printable.line(name)[:60]}"; there is {known}'])
        config = rules.configs[name]
        if session:
            session = present(session)  # a campaign or a journal may keep a former name
            settings = rules.profiles.all()[name]
            if began is None and (problems := session_limits.beyond(session, settings)):
                raise SettingsError(problems)
            settings = settings.model_copy(update=dict(session))
            config = call_config(settings, self._account, name, rules.overrides, config.profile_version)
        return filled(config, variables or {})

    def restored(self, order: OutboundOrder, overrides: Mapping[str, Any], began: Began = ("", 0)) -> OutboundOrder:
        """Return the order of a restored call with its config. Reads files. `overrides`, `began`: those under which it
        began.

        Settings of its own that cannot be used any more are left out. Raises SettingsError if the others cannot be used
        either.
        """
        try:
            config = self.outbound(order.from_number, order.profile, order.session, overrides, order.variables, began)
        except SettingsError as error:
            log.error("an outbound call goes on without settings of its own: %s", error)
            config = self.outbound(order.from_number, "", {}, overrides, order.variables, began)
        return order.under(config)

    def _are_present(self, overrides: Mapping[str, Any], began: Began) -> bool:
        """Return whether a call under the present rules has the config of one that began under these."""
        if overrides != self.rules.overrides:
            return False
        name, version = began
        if not version:
            return not self.rules.kept
        kept = self.rules.profiles.kept.get(name)
        return kept is not None and kept.version == version

    def _rules_of(self, overrides: Mapping[str, Any] | None, began: Began | None) -> Rules:
        if overrides is None or self._are_present(overrides, began or ("", 0)):
            return self.rules
        return self._earlier.get(_key(overrides, began or ("", 0)), self.rules)

    def business_of(self, number: str, profile: str = "") -> tuple[str, str]:
        """Return whose a number of ours is, and whose a profile is; "": nobody's in particular, or there is no such
        profile. `profile` "": that of the number."""
        profiles = self.rules.profiles
        of_number = profiles.for_call(number).business
        if not profile:
            return of_number, of_number
        settings = profiles.all().get(profile)
        return of_number, settings.business if settings is not None else ""

    def number(self, given: str) -> str:
        """Return a telephone number as `+` and digits; other text as it is, with escapes for what would turn its
        direction round, or hide: whoever calls chooses it, and it is shown as who they are."""
        return printable.line(self.rules.profiles.numbers.e164_or_same(given))

    @property
    def warnings(self) -> list[str]:
        """A line for each setting without effect, and for each model that the vendor switches off."""
        found = list(self.rules.profiles.warnings)
        today = datetime.now().astimezone().date()
        for name, chosen in self.rules.profiles.all().items():
            about = engine_choice.warnings(chosen)
            for model in (engine_choice.speaking_model(chosen), engine_choice.transcribing_model(chosen)):
                about += [warning] if (warning := model_catalog.shutdown_warning(model, today)) else []
            found += [f"profile {name}: {line}" if name else line for line in about if name == "" or line not in found]
        return found


def _key(overrides: Mapping[str, Any], began: Began) -> str:
    """Return the key of earlier rules. Without a profile of the database it does not matter which one it is."""
    name, version = began
    return json.dumps([overrides, name if version else "", version], sort_keys=True)


def _told(began: Began) -> tuple[str, int]:
    return label_of(began[0]), began[1]
