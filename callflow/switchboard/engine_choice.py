"""Makes the engine of each session of a call: the one that the call's number asks for, or its second.

This is the only file that names the engines. A second engine is used

- for a session that begins while the breaker of the first is open, and that of the second is not;
- for the next session of a call whose first engine could not be reached, refused, or said nothing at all.

A call that has come to its second engine stays there, in the next process as well: to go back would be a second break
in one conversation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from cachetools import FIFOCache

from callflow.config.fields import from_settings
from callflow.config.settings import Settings
from callflow.contracts.engine import (
    AudioDelta,
    Engine,
    EngineChosen,
    EngineEvent,
    EngineListener,
    SessionContext,
    SessionLost,
    SessionOffer,
    SessionReady,
)
from callflow.contracts.realtime_values import model_at
from callflow.engines.common.account import Account
from callflow.engines.openai_live import adapter as live
from callflow.engines.openai_live import live_config as live_sessions
from callflow.engines.openai_live.live_config import LiveConfig
from callflow.engines.openai_realtime import adapter as realtime
from callflow.engines.openai_realtime import session_config as realtime_sessions
from callflow.engines.openai_realtime.session_config import RealtimeConfig
from callflow.engines.openai_realtime.session_fallback import AcceptOffer


EngineName = Literal["openai_realtime", "openai_live"]
LIVE: Final = "openai_live"

_DEFAULT_TEMPERATURE: Final = Settings.model_fields["temperature"].default
_MOST_CALLS: Final = 10_000
"""The most calls of which it is remembered how their engine fared."""
_OF_TOOLS: Final = ("agent_tools", "tool_choice", "parallel_tool_calls")
_NO_TOOLS: Final = "delegation_model is empty, so that no tool is called"
_SHARE: Final = 1 / 3
"""Of the time in which an engine must be there, how much the first has to connect, so that enough is left for the
second."""


def realtime_config(settings: Settings) -> RealtimeConfig:
    """Return the config of turn-based sessions. Its fields have the names of settings, except for those given here."""
    return from_settings(
        RealtimeConfig,
        settings,
        api_key=settings.openai_api_key.get_secret_value(),
        url=settings.openai_realtime_url,
        model=realtime_model(settings),
        temperature=None if settings.temperature == _DEFAULT_TEMPERATURE else settings.temperature,
        connect_seconds=settings.engine_seconds,
        buffer_seconds=settings.engine_buffer_seconds,
    )


def live_config(settings: Settings) -> LiveConfig:
    """Return the config of full-duplex sessions."""
    return from_settings(
        LiveConfig,
        settings,
        api_key=settings.openai_api_key.get_secret_value(),
        url=settings.openai_live_url,
        connect_seconds=settings.engine_seconds,
        buffer_seconds=settings.engine_buffer_seconds,
    )


def realtime_model(settings: Settings) -> str:
    """Return the model of turn-based sessions: the one in their address, if that names one."""
    return model_at(settings.openai_realtime_url) or settings.model


def remote_seconds(settings: Settings) -> float:
    """Return the longest call over the vendor's SIP under these settings: its session cannot be replaced by another, so
    the call ends when that would be due."""
    return settings.session_seconds + settings.rotation_seconds


def engines_of(settings: Settings) -> list[str]:
    """Return the engine that calls under these settings use, and the second one, if there is one."""
    second = [settings.fallback_engine] if settings.fallback_engine not in ("", settings.engine) else []
    return [settings.engine, *second]


def speaking_model(settings: Settings) -> str:
    """Return the model that speaks in calls under these settings."""
    return settings.live_model if settings.engine == LIVE else realtime_model(settings)


def transcribing_model(settings: Settings) -> str:
    """Return the model that transcribes in calls under these settings and has a price of its own; "": none."""
    return "" if settings.engine == LIVE else settings.transcription_model


def priced_models(settings: Settings) -> list[str]:
    """Return every model that calls under these settings may be billed for, of both engines; "" where there is none."""
    found: list[str] = []
    for name in engines_of(settings):
        if name == LIVE:
            found += [settings.live_model, settings.delegation_model]
        else:
            found += [realtime_model(settings), settings.transcription_model]
    return found


def warnings(settings: Settings) -> list[str]:
    """Return a line for each setting without effect under these engines, and for what an engine cannot do."""
    names = engines_of(settings)
    found = realtime_sessions.warnings(realtime_config(settings)) if "openai_realtime" in names else []
    found += live_sessions.warnings(live_config(settings)) if LIVE in names else []
    if settings.engine == LIVE:
        reasons = live_sessions.not_taken()
        changed = [name for name in reasons if getattr(settings, name) != Settings.model_fields[name].default]
        found += [f"engine openai_live: {name} has no effect: {reasons[name]}" for name in changed]
    if settings.engine == LIVE and settings.route == "sip":
        found.append('route is "sip": calls over SIP have sessions of openai_realtime, and not of openai_live')
    found += _without_audio(settings) if settings.route == "sip" else []
    longest = remote_seconds(settings)
    if settings.openai_sip_on and settings.max_call_seconds > longest:
        found.append(
            f"max_call_seconds is {longest:g} for calls over OpenAI's SIP (session_seconds and rotation_seconds), "
            "because their session ends after an hour"
        )
    if settings.fallback_engine == settings.engine:
        found.append(f"fallback_engine is the engine {settings.engine} itself, so that there is no second one")
    return found


def _without_audio(settings: Settings) -> list[str]:
    """Return a line for what a call cannot have whose audio does not come here."""
    found = []
    if settings.machine_detection and settings.voicemail_message.strip():
        found.append("no message is left on answering machines, where the call just ends (voicemail_message)")
    if settings.carrier_record and settings.record_announcement:
        found.append("what is dialled is not recorded (carrier_record), because nobody says record_announcement first")
    if settings.record:
        found.append("what is said there is not recorded here (record)")
    return [f'route is "sip": {line}' for line in found]


def calls_remote_tools(settings: Settings) -> bool:
    """Return whether an engine of these settings calls tools of MCP servers."""
    return engines_of(settings) != [LIVE]


def tool_warnings(settings: Settings, tools: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each kind of tool that an engine of these settings does not call. `tools`: the definitions of
    those that the operator has written."""
    return live_sessions.tool_warnings(live_config(settings), tools) if LIVE in engines_of(settings) else []


def not_taken(settings: Settings) -> Mapping[str, Any]:
    """Return the settings that do nothing under the first engine: a reason, in a sentence, by the setting's name."""
    if settings.engine == LIVE:
        needs = {} if settings.delegation_model else dict.fromkeys(_OF_TOOLS, _NO_TOOLS)
        return {**live_sessions.not_taken(), **needs}
    return realtime_sessions.not_taken(realtime_config(settings))


def describe_engines(settings: Settings) -> dict[str, Any]:
    """Return what operators are told of the engines of these settings: `name`, `model`, `second` ("": none), and by
    name the settings that the first does not take (`notTaken`)."""
    first, *second = engines_of(settings)
    missing = not_taken(settings)
    return {"name": first, "model": speaking_model(settings), "second": "".join(second), "notTaken": dict(missing)}


@dataclass(slots=True)
class _Fared:
    """How the engines of one call have fared."""

    on_second: bool = False
    last: _Watch | None = None


@dataclass(eq=False, slots=True)
class _Watch:
    """Listens along with the call to a session that has a second engine behind it."""

    hear: EngineListener
    fared: _Fared
    is_ready: bool = False
    spoke: bool = False

    def __call__(self, heard: EngineEvent) -> None:
        kind = type(heard)
        if kind is AudioDelta:
            self.spoke = True
        elif kind is SessionReady:
            self.is_ready = True
        elif isinstance(heard, SessionLost) and not (self.is_ready and heard.retry):
            self.fared.on_second = True
            heard = SessionLost(heard.reason, retry=True)  # by the other engine
        self.hear(heard)


@dataclass(frozen=True, slots=True)
class MakeEngine:
    """Makes the sessions of calls: see `callflow.contracts.engine.MakeEngine`."""

    config: RealtimeConfig
    account: Account
    engine: EngineName
    second: EngineName | None = None
    live: LiveConfig | None = None
    _fared: FIFOCache[str, _Fared] = field(default_factory=lambda: FIFOCache(_MOST_CALLS), repr=False, compare=False)

    def __call__(self, context: SessionContext, hear: EngineListener) -> Engine:
        if context.remote:  # the carrier has accepted it as a session of this engine
            return self._make("openai_realtime", context, hear)
        if self.second is None:
            return self._make(self.engine, context, hear)
        fared = self._fared.get(context.call)
        if fared is None:
            fared = self._fared[context.call] = _Fared(on_second=context.engine == self.second)
        why = ""
        first, second = self._account_of(self.engine), self._account_of(self.second)
        last, fared.last = fared.last, None
        if fared.on_second:
            why = "the first engine was lost in this call" if last is not None else ""
        elif first.is_open and not second.is_open:
            why = f"the first engine takes no calls: {first.why}"
        elif last is not None and last.is_ready and not last.spoke:
            why = "the first engine has said nothing"
        if not why and not fared.on_second:
            fared.last = _Watch(hear, fared)
            return self._make(self.engine, context, fared.last)
        fared.on_second = True
        if why:
            hear(EngineChosen(self.second, why))
        return self._make(self.second, context, hear)

    def describe(self, context: SessionContext) -> SessionOffer:
        """Return the session with which a call is accepted: see `callflow.contracts.engine.DescribesSessions`."""
        return AcceptOffer(self.config, context, self.account)

    def with_instructions(self, instructions: str) -> MakeEngine:
        """Return the same with other instructions."""
        live = None if self.live is None else replace(self.live, instructions=instructions)
        return replace(self, config=replace(self.config, instructions=instructions), live=live)

    def with_key(self, api_key: str) -> MakeEngine:
        """Return the same with another key, whose account is its own."""
        live = None if self.live is None else replace(self.live, api_key=api_key)
        return replace(self, config=replace(self.config, api_key=api_key), live=live, account=Account())

    def _account_of(self, engine: str) -> Account:
        return self.account.beside if engine == LIVE else self.account

    def _make(self, engine: str, context: SessionContext, hear: EngineListener) -> Engine:
        account = self._account_of(engine)
        if engine == LIVE:
            assert self.live is not None
            return live.OpenAILive(self.live, context, hear, account)
        return realtime.OpenAIRealtime(self.config, context, hear, account)


def make_engine(settings: Settings, account: Account) -> MakeEngine:
    """Return what makes the sessions of calls under these settings, and load what it needs."""
    names = engines_of(settings)
    config, full_duplex = realtime_config(settings), live_config(settings) if LIVE in names else None
    realtime.prepare(config)
    if full_duplex is not None:
        live.prepare(full_duplex)
        _ = account.beside  # so that it is watched from the start
    second = settings.fallback_engine if len(names) > 1 and settings.fallback_engine else None
    if second is not None:
        seconds = round(settings.engine_seconds * _SHARE, 1)
        if settings.engine == LIVE and full_duplex is not None:
            full_duplex = replace(full_duplex, connect_seconds=seconds)
        else:
            config = replace(config, connect_seconds=seconds)
    return MakeEngine(config, account, settings.engine, second, full_duplex)
