"""What `doctor` finds out about the model: a session is opened under every profile, as a call would open it, and the
vendor is asked which models it switches off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from callflow.app import Application
from callflow.cli.model_shutdowns import models_in_use
from callflow.config.openai_addresses import rest_root
from callflow.config.session_limits import tool_names
from callflow.contracts.diagnostics import Finding
from callflow.contracts.engine import Engine, EngineEvent, ErrorReported, SessionContext, SessionLost, SessionReady
from callflow.contracts.errors import VendorRefused
from callflow.contracts.tools import Caller
from callflow.engines.openai_live.adapter import OpenAILive
from callflow.engines.openai_live.live_config import LiveConfig, functions, spoken_voice
from callflow.engines.openai_realtime.adapter import OpenAIRealtime
from callflow.engines.openai_realtime.model_shutdowns import shutdown_dates, shutdowns
from callflow.engines.openai_realtime.rest import VendorApi
from callflow.engines.openai_realtime.session_config import RealtimeConfig
from callflow.switchboard.engine_choice import LIVE, engines_of, live_config, realtime_config
from callflow.tools.builtin import CallToolset


_SECONDS: Final = 12.0
"""For one session, and for the question about the models."""
_REMEDY: Final = "change the setting that it names, or ask for access at platform.openai.com"


async def model_findings(application: Application) -> AsyncIterator[Finding]:
    """Yield what each profile's session says, and each model that ends. Nobody speaks, so that it costs nothing, or, of
    openai_live, the second for which a session is open."""
    async for finding in _sessions(application):
        yield finding
    settings = application.settings
    api = VendorApi(rest_root(settings), settings.openai_api_key.get_secret_value())
    try:
        dates = await shutdown_dates(api, seconds=_SECONDS)
    except VendorRefused as refused:
        yield Finding("models", "note", f"when the vendor switches them off is not known: {refused}")
        return
    today = datetime.now().astimezone().date()
    used = models_in_use(application.configs)
    for model in used:
        for told in shutdowns(dates, [model], today):
            what, _, remedy = told.partition(": ")
            yield Finding("models", "wrong" if dates[model] <= today else "note", what, remedy)
    if not dates.keys() & set(used):
        yield Finding("models", "ok", f"none of {', '.join(used)} has a day on which the vendor switches it off")


async def _sessions(application: Application) -> AsyncIterator[Finding]:
    """Open one session for each profile and each of its engines; of those with the same session, one."""
    tried: dict[tuple[RealtimeConfig | LiveConfig, frozenset[str] | None], str] = {}
    for profile, chosen in application.configs.rules.profiles.all().items():
        for engine in engines_of(chosen):
            is_second = engine != chosen.engine
            about = " ".join(["session", *[profile] * bool(profile), *["(second engine)"] * is_second])
            config = live_config(chosen) if engine == LIVE else realtime_config(chosen)
            allowed = frozenset(tool_names(chosen.agent_tools)) or None
            if (config, allowed) in tried:
                yield Finding(about, "ok", f"the same as {tried[config, allowed]}")
                continue
            tried[config, allowed] = about
            caller = Caller("doctor", "", "", allowed=allowed)
            tools = CallToolset(application.tools.current(), caller, {"end_call": print}).definitions
            lost, complaints = await _tried(config, SessionContext("doctor", tools=tools))
            for complaint in complaints:
                yield Finding(about, "wrong", complaint, _REMEDY)
            if lost:
                yield Finding(about, "wrong", f"none opens: {lost}", _REMEDY)
            elif not complaints:
                yield Finding(about, "ok", f"{config.model} takes it: {_taken(config, tools)}")


def _taken(config: RealtimeConfig | LiveConfig, tools: Sequence[Mapping[str, Any]]) -> str:
    if isinstance(config, LiveConfig):
        count = len(functions(tools)) if config.delegation_model else 0
        by = f" called by {config.delegation_model}" if count else ""
        return f"voice {spoken_voice(config) or 'its own'}, tools: {count}{by}"
    model = config.transcription_model
    writes = f"written down by {model}" if model else "not written down"
    return f"voice {config.voice}, callers {writes}, tools: {len(tools)}"


async def _tried(config: RealtimeConfig | LiveConfig, context: SessionContext) -> tuple[str, list[str]]:
    """Open a session. Returns why it did not open ("": it did), and what the vendor refused of it."""
    opened: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    complaints: list[str] = []

    def hear(event: EngineEvent) -> None:
        if isinstance(event, ErrorReported):
            complaints.append(event.message)
        elif isinstance(event, SessionReady | SessionLost) and not opened.done():
            opened.set_result(event.reason if isinstance(event, SessionLost) else "")

    engine: Engine
    if isinstance(config, LiveConfig):
        engine = OpenAILive(config, context, hear)
    else:
        engine = OpenAIRealtime(config, context, hear)
    running = asyncio.create_task(engine.run(), name="doctor's session")
    try:
        async with asyncio.timeout(_SECONDS):
            return await opened, complaints
    except TimeoutError:
        return f"no answer within {_SECONDS:g} s", complaints
    finally:
        await engine.close()
        await asyncio.gather(running, return_exceptions=True)
