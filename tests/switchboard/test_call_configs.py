"""How calls are conducted: by number, by what operators have changed, and by what held when a call began."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from callflow.call import machine
from callflow.call.call_config import CallConfig
from callflow.call.outbound_order import OutboundOrder
from callflow.config.kept_profiles import KeptProfile
from callflow.config.loader import load
from callflow.config.settings import Settings
from callflow.contracts.caller_lookup import LookedUp
from callflow.contracts.carrier import CarrierCan
from callflow.contracts.errors import SettingsError
from callflow.engines.common.account import Account
from callflow.switchboard import call_configs, engine_choice
from callflow.switchboard.call_configs import CallConfigs


SALES, OTHER = "+15550100002", "+15550100009"
PROFILES = f"""
stream_tries = 5
[profiles.sales]
numbers = ["{SALES}"]
engine_tries = 1
"""


@pytest.fixture
def configs(tmp_path: Path) -> CallConfigs:
    (tmp_path / "settings.toml").write_text(PROFILES, encoding="utf-8")
    return CallConfigs(load(toml=tmp_path / "settings.toml", env_file=None), Account())


def made(**settings: Any) -> CallConfigs:
    return CallConfigs(Settings(**settings), Account())


def test_a_call_over_sip_has_its_time_warning_and_goodbye_before_its_session_ends() -> None:
    """No other session can take over in it: the vendor would end it in the middle of a word."""
    one = Settings(max_call_seconds=7200, max_call_warning_seconds=30, session_seconds=3300, rotation_seconds=60)
    config = call_configs.call_config(one, Account())
    for can, warning in ((frozenset[CarrierCan](), 7170), (frozenset[CarrierCan](("media_is_remote",)), 3330)):
        deadlines = config.for_carrier(can).deadline_seconds
        assert (deadlines["warning"], deadlines["call"]) == (warning, 30)
    over_sip = one.model_copy(update={"openai_webhook_secret": SecretStr("whsec_x"), "openai_api_key": SecretStr("k")})
    assert any(
        "max_call_seconds is 3360 for calls over OpenAI's SIP" in line for line in engine_choice.warnings(over_sip)
    )
    assert not any("SIP" in line for line in engine_choice.warnings(one))


def test_a_number_has_the_config_of_its_profile(configs: CallConfigs) -> None:
    sales, other = configs.config(SALES), configs.config(OTHER)
    assert (sales.profile, sales.engine_tries, sales.stream_tries) == ("sales", 1, 5)
    assert (other.profile, other.engine_tries, other.stream_tries) == ("", 3, 5)
    assert configs.config("(555) 010-0002") is sales, "however the carrier writes the number"
    assert configs.number("(555) 010-0002") == SALES
    assert configs.number("anonymous") == "anonymous"
    assert configs.number("Мария 😀 مريم") == "Мария 😀 مريم"
    assert configs.number("0001\u202e2000105551+") == "0001\\u202e2000105551+", "it would be shown as another number"


def test_what_operators_change_holds_for_coming_calls_and_a_profile_is_stronger(configs: CallConfigs) -> None:
    configs.rules = configs.rules_under({"engine_tries": 7, "stream_tries": 2})
    sales, other = configs.config(SALES), configs.config(OTHER)
    assert (sales.engine_tries, sales.stream_tries) == (1, 2)
    assert (other.engine_tries, other.stream_tries) == (7, 2)
    assert sales.overrides == {"engine_tries": 7, "stream_tries": 2}


def test_a_call_goes_on_under_what_held_when_it_began() -> None:
    configs = made()
    began = {"engine_tries": 7}
    assert configs.config(OTHER, began).engine_tries == 3, "not prepared: as it is now"
    configs.prepare(began)
    assert configs.config(OTHER, began).engine_tries == 7
    assert configs.config(OTHER, {}).engine_tries == configs.config(OTHER).engine_tries == 3


def test_only_so_many_earlier_rules_are_kept_and_the_oldest_goes_first() -> None:
    configs = made()
    for tries in range(10, 44):
        configs.prepare({"engine_tries": tries})
    found = [configs.config(OTHER, {"engine_tries": tries}).engine_tries for tries in range(10, 44)]
    assert found == [3, 3, *range(12, 44)]


def test_earlier_rules_that_cannot_be_used_any_more_give_way_to_the_present_ones(
    caplog: pytest.LogCaptureFixture,
) -> None:
    configs = made()
    configs.prepare({"clip_language": "xx"})
    assert configs.config(OTHER, {"clip_language": "xx"}) is configs.config(OTHER)
    assert "cannot be used any more" in caplog.text


def test_clips_that_are_not_there_are_an_error_before_any_call(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r'^CLIP_LANGUAGE="xx" \(default\): there are no clips in that language'):
        made(clip_language="xx")
    (tmp_path / "settings.toml").write_text(f'{PROFILES}clip_language = "xx"\n', encoding="utf-8")
    with pytest.raises(SettingsError, match="profile sales"):
        CallConfigs(load(toml=tmp_path / "settings.toml", env_file=None), Account())


def test_every_deadline_of_the_machine_has_a_length() -> None:
    assert call_configs.deadline_seconds(Settings()).keys() == set(machine.DEADLINES)
    seconds = call_configs.deadline_seconds(Settings(max_call_seconds=100, max_call_warning_seconds=30))
    assert (seconds["warning"], seconds["call"]) == (70, 30)
    seconds = call_configs.deadline_seconds(Settings(max_call_seconds=20, max_call_warning_seconds=30))
    assert (seconds["warning"], seconds["call"]) == (0, 20)


def test_an_announcement_is_said_first_and_only_where_a_call_is_recorded() -> None:
    with_both = {"record_announcement": "We record.", "disclosure": "I am a machine."}
    recorded, other = made(record=True, **with_both).config(OTHER), made(**with_both).config(OTHER)
    assert (recorded.agent.disclosure, recorded.record_after_opening) == ("We record. I am a machine.", True)
    assert (other.agent.disclosure, other.record_after_opening) == ("I am a machine.", False)


def test_a_call_that_is_itself_to_be_recorded_is_announced_too_whatever_the_settings_say() -> None:
    configs = made(record_announcement="We record.", disclosure="I am a machine.")
    order = OutboundOrder(to_number="+15550100009", from_number=OTHER, carrier="telnyx", record=True)
    config = configs.restored(order, {}).config
    assert config is not None
    assert (config.agent.disclosure, config.record_after_opening) == ("We record. I am a machine.", True)
    assert config.carrier_record
    silent = made().restored(order, {}).config
    assert silent is not None
    assert (silent.carrier_record, silent.record_after_opening) == (True, False)


def test_what_is_not_sent_and_models_that_end_are_warned_of_once() -> None:
    assert made().warnings == []
    (line,) = made(temperature=0.3).warnings
    assert line.startswith("temperature is not sent")
    (line,) = made(model="gpt-realtime").warnings
    assert line.startswith("gpt-realtime w")


def test_what_the_caller_lookup_told_chooses_profile_and_words(configs: CallConfigs) -> None:
    def under(**told: Any) -> CallConfig:
        return configs.config(OTHER, None, LookedUp(outcome="answered", **told))

    assert under().profile == ""
    assert (under(profile="sales").profile, under(profile="sales").engine_tries) == ("sales", 1)
    assert under(profile="nobody").profile == ""
    assert configs.config(SALES, None, LookedUp(outcome="late")).profile == "sales"


def test_the_words_of_a_call_are_filled_in_and_those_of_the_others_are_not() -> None:
    configs = made(instructions="You talk with {{name}}, {{age}}.", greeting="Greet {{name}}, {{who}}.")
    looked_up = LookedUp(outcome="answered", variables={"name": "Ada"})
    one, other = configs.config(OTHER, None, looked_up), configs.config(OTHER)
    assert instructions(one).startswith("You talk with “Ada”, .")
    assert one.agent.greeting.startswith("Greet “Ada”, .")
    assert one.left_out == ("age", "who")
    assert instructions(other) == "You talk with {{name}}, {{age}}."
    assert (other.agent.greeting, other.left_out) == ("Greet {{name}}, {{who}}.", ())
    dialled = configs.outbound(OTHER, "", {}, None, {"who": "x"})
    assert dialled.left_out == ("name", "age")
    own = configs.outbound(OTHER, "", {"instructions": "{{name}} and {{name}}"}, None, {"name": "Ada"})
    assert instructions(own).startswith("“Ada” and “Ada”\n\n(")


def instructions(config: CallConfig) -> str:
    made: Any = config.agent.make_engine
    told: str = made.config.instructions
    return told


# Profiles of the database


def kept(name: str, number: str, version: int, **values: Any) -> KeptProfile:
    return KeptProfile(name, (number,), values, version)


def test_a_call_goes_on_under_the_version_of_its_profile_whatever_the_database_has_now(configs: CallConfigs) -> None:
    first, second = kept("sales", SALES, 1, engine_tries=7), kept("sales", OTHER, 2, engine_tries=9)
    configs.rules = configs.rules_under({}, [second])
    assert (configs.config(OTHER).engine_tries, configs.config(SALES).profile) == (9, "")
    for began, profile in ((("sales", 1), first), (("sales", 2), second), (("sales", 0), None)):
        configs.prepare({}, began, profile)
    restored = {version: configs.config(SALES, {}, None, ("sales", version)) for version in (0, 1, 2)}
    assert {version: (one.engine_tries, one.profile_version) for version, one in restored.items()} == {
        0: (1, 0), 1: (7, 1), 2: (9, 2),
    }  # fmt: skip
    dialled = configs.outbound(OTHER, "sales", {"speed": 1.2}, {}, {}, ("sales", 1))
    assert (dialled.engine_tries, dialled.profile_version) == (7, 1)
    configs.rules = configs.rules_under({}, [])
    assert configs.config(SALES, {}, None, ("sales", 1)).engine_tries == 7
    assert configs.config(SALES).engine_tries == 1, "that of the file holds again"


def test_a_version_that_is_not_there_any_more_gives_way_to_the_present_one(
    configs: CallConfigs, caplog: pytest.LogCaptureFixture
) -> None:
    configs.rules = configs.rules_under({}, [kept("sales", SALES, 150, engine_tries=9)])
    configs.prepare({}, ("sales", 3), None)
    assert configs.config(SALES, {}, None, ("sales", 3)).engine_tries == 9
    assert "version 3 is not there any more" in caplog.text


def test_a_profile_that_cannot_be_used_leaves_the_others_and_that_of_the_file(configs: CallConfigs) -> None:
    broken, fine = kept("sales", SALES, 1, clip_language="xx"), kept("desk", OTHER, 1, engine_tries=9)
    rules = configs.rules = configs.rules_under({}, [broken, fine])
    assert (configs.config(SALES).engine_tries, configs.config(OTHER).engine_tries) == (1, 9)
    assert any("no clips in that language" in line for line in rules.profiles.refused["sales"])
    assert any("profile sales of the database is not used" in line for line in configs.warnings)


def test_what_operators_change_for_all_numbers_keeps_the_profiles_of_the_database(configs: CallConfigs) -> None:
    configs.rules = configs.rules_under({}, [kept("desk", OTHER, 1, engine_tries=9)])
    before = configs.rules.configs["sales"]
    configs.rules = configs.rules_under({"stream_tries": 2})
    desk = configs.config(OTHER)
    assert (desk.engine_tries, desk.stream_tries, desk.overrides) == (9, 2, {"stream_tries": 2})
    assert configs.config(SALES) is not before
    same = configs.rules_under({"stream_tries": 2})
    assert same.configs["desk"] is desk, "what has not changed is not made anew"


LIMITED = {
    "max_call_seconds": 600, "max_bridged_seconds": 900, "agent_tools": "orders, hours",
    "transfer_targets": "sales = +15550100010, desk = sip:desk@pbx.example.com",
}  # fmt: skip


def of_sales(folder: Path, **more: Any) -> CallConfigs:
    lines = [f"{name} = {json.dumps(value)}" for name, value in ({"numbers": [SALES]} | LIMITED | more).items()]
    (folder / "settings.toml").write_text("\n".join(["[profiles.sales]", *lines]), encoding="utf-8")
    return CallConfigs(load(toml=folder / "settings.toml", env_file=None), Account())


@pytest.mark.parametrize(
    ("session", "why"),
    [
        ({"profile_daily_minutes": 0.0}, "profile_daily_minutes belongs to a profile"),
        ({"profile_daily_usd": 0.0}, "profile_daily_usd belongs to a profile"),
        ({"over_budget": "fallback"}, "over_budget belongs to a profile"),
        ({"business": "bakery"}, "business belongs to a profile"),
        ({"max_call_seconds": 601.0}, "max_call_seconds can only go down: its profile has 600"),
        ({"max_bridged_seconds": 80000.0}, "max_bridged_seconds can only go down: its profile has 900"),
        ({"mcp_approval": "approve"}, "mcp_approval cannot become approve"),
        ({"agent_tools": ""}, "agent_tools can only be fewer: its profile has orders, hours"),
        ({"agent_tools": "orders, refund"}, "agent_tools can only be fewer"),
        ({"transfer_targets": "sales = +15550100011"}, "targets can only be fewer: its profile has sales, desk"),
    ],
)  # fmt: skip
def test_the_session_of_one_call_lifted_what_its_profile_may_cost_and_reach(
    session: dict[str, Any], why: str, tmp_path: Path
) -> None:
    configs = of_sales(tmp_path)
    with pytest.raises(SettingsError, match=why):
        configs.outbound(SALES, "", session)
    # A call that goes on was allowed when it began.
    assert configs.outbound(SALES, "", session, {}, began=("", 0)).profile == "sales"


def test_the_session_of_one_call_may_be_narrower_than_its_profile(tmp_path: Path) -> None:
    configs = of_sales(tmp_path, mcp_approval="approve")
    fewer = {"max_call_seconds": 60.0, "agent_tools": "hours", "transfer_targets": "SALES = +15550100010"}
    config = configs.outbound(SALES, "", {**fewer, "mcp_approval": "approve"})
    assert (config.allowed_tools, dict(config.transfer_targets)) == (frozenset({"hours"}), {"sales": "+15550100010"})
    assert configs.outbound(OTHER, "", {"agent_tools": "hours"}).allowed_tools == frozenset({"hours"})
