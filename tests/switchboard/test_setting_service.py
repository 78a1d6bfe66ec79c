"""Settings, limits and prices as operators are told of them."""

from __future__ import annotations

import copy
import functools
import threading
from types import SimpleNamespace
from typing import Any, Literal

import pytest

from callflow.config.call_settings import CallSettings
from callflow.config.documentation import Documented
from callflow.config.settings import Settings
from callflow.contracts.errors import ProfileRefused
from callflow.engines.common.account import Account
from callflow.switchboard import setting_service
from callflow.switchboard.call_configs import CallConfigs
from callflow.switchboard.setting_service import SettingService


PROFILES: dict[str, dict[str, Any]] = {
    "cabs": {"numbers": ["+15550100002"], "business": "taxis", "greeting": "Hello {{name}}, {{ name }}!",
             "instructions": "Be {{ mood }}. Not {mood}, {{1st}} or {{}}.", "model": "gpt-realtime"},
    "bread": {"numbers": ["+15550100003"], "business": "bakery", "model": "a-model-of-tomorrow"},
}  # fmt: skip


def settings() -> Settings:
    made = Settings(max_daily_usd=5)
    made._profiles = {name: dict(each) for name, each in PROFILES.items()}
    return made


@functools.cache
def service() -> SettingService:
    """One for all: it reads the documentation."""
    return SettingService(CallConfigs(settings(), Account()), {}, max_calls=7)


async def test_what_is_written_about_the_settings_is_read_by_a_thread_once_somebody_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Source and syntax tree of the class take 20 ms: neither the start nor anybody's audio waits for that."""
    readers: list[threading.Thread] = []

    def documented(kind: type[CallSettings]) -> list[Documented]:
        readers.append(threading.current_thread())
        return [Documented("voice", "Model", "Who speaks.")]

    monkeypatch.setattr(setting_service, "documented", documented)
    one = SettingService(CallConfigs(settings(), Account()), {}, max_calls=7)
    assert readers == [], "it is not read by the start"
    await one.read()
    await one.read()
    assert [each["text"] for each in one.fields()["fields"]] == ["Who speaks."]
    assert len(readers) == 1
    assert readers[0] is not threading.main_thread()


@pytest.mark.parametrize(("engine", "ringing"), [("openai_live", 20), ("openai_realtime", 0)])
def test_what_a_call_costs_has_its_ringing_where_the_model_is_paid_for_that(
    engine: Literal["openai_live", "openai_realtime"], ringing: float
) -> None:
    """Its session opens with the dial: each number that nobody answered cost money that no estimate had."""
    config = CallConfigs(Settings(engine=engine, dial_seconds=20), Account()).config("+15550100002")
    assert SettingService.of_call(config)["ringing"] == ringing


def test_a_business_is_not_told_the_number_of_another_one() -> None:
    carrier: Any = SimpleNamespace(can={"dials"}, from_number="+15550100002")
    one = copy.copy(service())
    one._carriers = {"telnyx": carrier}
    numbers = {name: one.limits(0, name)["carriers"][0]["from"] for name in ("", "taxis", "bakery")}
    assert numbers == {"": "+15550100002", "taxis": "+15550100002", "bakery": ""}


def test_each_field_is_asked_for_in_a_way_that_its_default_fits() -> None:
    fields = {each["name"]: each for each in service().fields()["fields"]}
    assert set(fields) == set(CallSettings.model_fields)
    for name, field in fields.items():
        kind, default = field["kind"], field["default"]
        if kind == "choice":
            assert default in field["choices"], name
        elif kind == "flag":
            assert isinstance(default, bool), name
        elif kind == "number":
            assert field.get("least", float("-inf")) <= default <= field.get("most", float("inf")), name
            assert "above" not in field or default > field["above"], name
            assert isinstance(default, int) or not field["whole"], name
        elif kind in ("text", "long"):
            assert default or field.get("empty", True), name
            assert len(default) <= field.get("longest", 10**9), name
        else:
            assert kind == "mixed", name
    assert fields["instructions"]["kind"] == "long"
    assert "suggestions" in fields["voice"]


def test_a_business_has_its_own_profiles_and_no_others() -> None:
    one = service()
    assert one.fields("cabs", "taxis")["profile"] == one.fields("cabs")["profile"] == "cabs"
    for name, business in (("bread", "taxis"), ("", "taxis"), ("nothing", ""), ("nothing", "taxis")):
        with pytest.raises(ProfileRefused) as refused:
            one.fields(name, business)
        assert refused.value.status == 404
    assert [each["profile"] for each in one.limits(3, "taxis")["profiles"]] == ["cabs"]
    assert [each["profile"] for each in one.limits(3)["profiles"]] == ["", "bread", "cabs"]


def test_how_many_calls_there_are_is_told_to_those_who_see_them_all() -> None:
    assert service().limits(3)["calls"] == {"live": 3, "most": 7}
    assert service().limits(3, "taxis")["calls"] == {"live": None, "most": 7}
    assert service().limits(0)["day"] == {"minutes": None, "usd": 5}


def test_the_variables_of_a_profile_are_named_once_each() -> None:
    (cabs,) = service().limits(0, "taxis")["profiles"]
    assert cabs["variables"] == ["mood", "name"]


def test_a_minute_without_a_price_has_none() -> None:
    minutes = {each["profile"]: each["minute"] for each in service().limits(0)["profiles"]}
    assert minutes["bread"] is None
    assert minutes["cabs"] > 0
    assert service().fields("bread")["minute"] is None


def test_only_carriers_that_dial_are_named() -> None:
    dials: Any = SimpleNamespace(can={"dials"}, from_number="")
    takes: Any = SimpleNamespace(can=set(), from_number="+15550100009")
    one = copy.copy(service())
    one._carriers = {"telnyx": dials, "openai_sip": takes}
    assert one.limits(0)["carriers"] == [{"name": "telnyx", "from": ""}]
