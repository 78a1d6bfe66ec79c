"""Which engine a session gets, and what is said about engines before a call."""

from __future__ import annotations

import asyncio
from typing import Any

from callflow.config.settings import Settings
from callflow.contracts.engine import AudioDelta, EngineChosen, EngineEvent, SessionContext, SessionLost, SessionReady
from callflow.engines.common.account import Account
from callflow.engines.openai_live.adapter import OpenAILive
from callflow.engines.openai_live.live_config import session
from callflow.engines.openai_realtime.adapter import OpenAIRealtime
from callflow.engines.openai_realtime.session_fallback import AcceptOffer
from callflow.switchboard import call_configs, engine_choice
from callflow.switchboard.call_configs import CallConfigs
from callflow.switchboard.tool_service import ToolService
from callflow.tools.registry import Tool, Tools


def test_without_a_second_engine_the_first_is_used_whatever_happens() -> None:
    async def scene() -> None:
        make = engine_choice.make_engine(Settings(), Account())
        heard: list[EngineEvent] = []
        for number in (1, 2, 3):
            assert isinstance(make(SessionContext("c", number), heard.append), OpenAIRealtime)
        assert heard == []

    asyncio.run(scene())


def test_the_model_that_the_address_names_is_the_one_that_is_asked_for_priced_and_shown() -> None:
    url = "wss://api.openai.com/v1/realtime"
    for query, model in (("?model=gpt-realtime-2.1-mini", "gpt-realtime-2.1-mini"), ("?model=", "gpt-realtime-2.1")):
        settings = Settings(openai_realtime_url=url + query)
        config = engine_choice.realtime_config(settings)
        assert config.address == f"{url}?model={model}"
        assert AcceptOffer(config, SessionContext("c"), Account()).first()["model"] == model
        assert (
            config.model == engine_choice.speaking_model(settings) == engine_choice.priced_models(settings)[0] == model
        )
        assert engine_choice.describe_engines(settings)["model"] == model


def test_a_second_engine_changes_nothing_of_what_the_first_may_miss() -> None:
    async def scene() -> None:
        second, first = Settings(fallback_engine="openai_live"), Settings(engine="openai_live")
        for settings in (second, first, Settings()):
            config = call_configs.call_config(settings, Account()).agent
            assert (config.missed_start_after_ms, config.missed_end_after_ms) == (1500, 2500)
            session = config.make_engine(SessionContext("c", 1), lambda event: None)
            assert ("decides_itself" in session.can) == (settings is first)

    asyncio.run(scene())


def test_a_call_that_has_lost_its_first_engine_stays_with_the_second_and_others_do_not() -> None:
    async def scene() -> None:
        make = engine_choice.make_engine(Settings(fallback_engine="openai_live"), Account())
        heard: list[EngineEvent] = []
        first = make(SessionContext("c", 1), heard.append)
        assert isinstance(first, OpenAIRealtime)
        for told in (SessionReady(), AudioDelta("r", "i", 0, b""), SessionLost("reset")):
            first._notify(told)
        assert heard[-1] == SessionLost("reset", retry=True)
        again = make(SessionContext("c", 2), heard.append)  # a broken connection alone moves nobody
        assert isinstance(again, OpenAIRealtime)
        again._notify(SessionLost("HTTP 401", retry=False))
        assert heard[-1] == SessionLost("HTTP 401", retry=True), "the call would end, with an engine left"
        assert isinstance(make(SessionContext("c", 3), heard.append), OpenAILive)
        assert [each.engine for each in heard if isinstance(each, EngineChosen)] == ["openai_live"]
        assert isinstance(make(SessionContext("c", 4), heard.append), OpenAILive)
        assert len([each for each in heard if isinstance(each, EngineChosen)]) == 1
        assert isinstance(make(SessionContext("d", 1), heard.append), OpenAIRealtime)

    asyncio.run(scene())


def test_an_engine_that_was_ready_and_never_spoke_is_left() -> None:
    async def scene() -> None:
        make = engine_choice.make_engine(Settings(engine="openai_live", fallback_engine="openai_realtime"), Account())
        heard: list[EngineEvent] = []
        mute = make(SessionContext("c", 1), heard.append)
        assert isinstance(mute, OpenAILive)
        mute._notify(SessionReady())
        assert isinstance(make(SessionContext("c", 2), heard.append), OpenAIRealtime)

    asyncio.run(scene())


def test_what_the_engine_cannot_do_is_said_before_a_call() -> None:
    assert not any("openai_live" in line for line in CallConfigs(Settings(), Account()).warnings)
    found = CallConfigs(Settings(engine="openai_live", voice="no-such"), Account()).warnings
    assert any("tools are off" in line for line in found)
    assert any('no voice "no-such"' in line for line in found)
    same = CallConfigs(Settings(fallback_engine="openai_realtime"), Account()).warnings
    assert any("no second one" in line for line in same)
    sip: dict[str, Any] = {"engine": "openai_live", "route": "sip", "openai_project_id": "proj_a"}
    sip |= {"openai_api_key": "sk-a", "openai_webhook_secret": "whsec_YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4"}
    over_sip = CallConfigs(Settings(**sip), Account()).warnings
    assert any("calls over SIP have sessions of openai_realtime" in line for line in over_sip)
    assert not any("voicemail_message" in line or "record" in line for line in over_sip)
    sip |= {"machine_detection": True, "voicemail_message": "Call us back.", "carrier_record": True, "record": True}
    without_audio = CallConfigs(Settings(**sip, record_announcement="Recorded."), Account()).warnings
    for name in ("(voicemail_message)", "(carrier_record)", "(record)"):
        assert any('route is "sip"' in line and name in line for line in without_audio), name
    assert "min_interruption_ms" in engine_choice.not_taken(Settings(engine="openai_live"))


def test_tools_are_given_to_the_model_behind_the_session_alone() -> None:
    tool = {"type": "function", "name": "look", "description": "Look.", "parameters": {"type": "object"}}
    remote = {"type": "mcp", "server_label": "shop", "server_url": "https://shop.example"}
    context = SessionContext("c", tools=[tool, remote])
    without = session(engine_choice.live_config(Settings(engine="openai_live")), context)
    assert without["delegation"] == {"type": "client"}
    made = session(engine_choice.live_config(Settings(engine="openai_live", delegation_model="m")), context)
    assert made["delegation"]["responses"]["tools"] == [tool]


def test_tools_that_the_full_duplex_engine_does_not_call_are_said_before_a_call() -> None:
    remote = {
        "type": "mcp",
        "server_label": "shop",
        "server_url": "https://shop.example",
        "authorization": "secret-of-shop",
    }
    look = Tool("look", "Look.", {"type": "object", "properties": {}}, print)
    service = ToolService(lambda: Tools({"look": look}, (remote,)))
    live, turns = Settings(engine="openai_live"), Settings()
    of_all = service.warnings_of({"": turns, "duplex": live})
    (left_out, none_called) = [line for line in of_all if "openai_live" in line]
    assert left_out.startswith("profile duplex: ")
    assert "MCP servers (shop) are left out" in left_out
    assert "none of the tools (look) can be called: set delegation_model" in none_called
    assert not any("secret" in line for line in of_all)
    assert not any("leave to use" in line for line in service.warnings_of({"": live})), "of tools that nobody calls"
    assert not any(
        "look" in line for line in service.warnings_of({"": Settings(engine="openai_live", delegation_model="m")})
    )
    told = engine_choice.describe_engines(live)["notTaken"]
    assert "MCP" in told["mcp_approval"]
    assert "delegation_model" in told["agent_tools"]


def test_a_call_of_an_earlier_process_goes_on_with_the_second_engine_without_a_word() -> None:
    async def scene() -> None:
        make = engine_choice.make_engine(Settings(fallback_engine="openai_live"), Account())
        heard: list[EngineEvent] = []
        assert isinstance(make(SessionContext("c", 1, engine="openai_live"), heard.append), OpenAILive)
        assert isinstance(make(SessionContext("c", 2), heard.append), OpenAILive)
        assert isinstance(make(SessionContext("d", 1, engine="no-more-there"), heard.append), OpenAIRealtime)
        assert heard == []

    asyncio.run(scene())
