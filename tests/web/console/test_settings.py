"""What settings mean and what limits calls, as the operators' page asks for it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest

from callflow.config.call_settings import CallSettings
from callflow.config.settings import Settings
from callflow.engines.common.account import Account
from callflow.switchboard.call_configs import CallConfigs
from callflow.switchboard.setting_service import SettingService
from tests.web.console.stage import Stage, play


ALL, TAXIS = "a-token-of-some-characters", "another-token-of-characters"
PROFILES = {
    "cabs": {
        "numbers": ["+15550100002"], "business": "taxis", "greeting": "Greet {{name}}.",
        "instructions": "Be {{ mood }}.",
        "transfer_targets": "desk = +15550100010", "turn_detection": "semantic_vad", "model": "gpt-realtime-1.5",
    },
    "bread": {"numbers": ["+15550100003"], "business": "bakery", "model": "some-model", "transcription_model": ""},
}  # fmt: skip


def settings() -> Settings:
    made = Settings(max_daily_usd=5, dial_allow="+1")
    made._profiles = {name: dict(each) for name, each in PROFILES.items()}
    return made


def played(folder: Path, main: Any) -> None:
    play(folder, main, token=ALL, settings=settings(), named_tokens=f"desk:view:taxis:{TAXIS}")


def test_every_setting_of_calls_is_explained(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        told = (await the.get("/api/settings")).json()
        by_name = {each["name"]: each for each in told["fields"]}
        assert list(by_name) == list(CallSettings.model_fields)
        assert all(each["text"] and each["heading"] and each["kind"] for each in by_name.values())
        assert by_name["speed"] | {"text": "", "heading": ""} == {
            "name": "speed", "heading": "", "text": "", "inCall": True, "default": 1.0, "kind": "number",
            "whole": False, "least": 0.25, "most": 1.5,
        }  # fmt: skip
        assert by_name["max_output_tokens"]["choices"] == ["inf"]
        assert by_name["turn_detection"]["choices"] == ["server_vad", "semantic_vad", "none"]
        assert [by_name[name]["inCall"] for name in ("model", "instructions", "temperature", "max_call_seconds")] == [
            False, True, False, False,
        ]  # fmt: skip

    played(tmp_path, main)


@pytest.mark.parametrize(
    ("profile", "some", "not_some"),
    [
        ("", {"temperature", "prompt_id", "vad_eagerness"}, {"vad_threshold", "reasoning_effort", "voice"}),
        ("cabs", {"vad_threshold", "vad_silence_ms", "reasoning_effort"}, {"vad_eagerness", "transcription_prompt"}),
        ("bread", {"transcription_prompt", "transcription_language"}, {"vad_threshold", "instructions"}),
    ],
)
def test_what_this_model_does_not_take_is_said(
    tmp_path: Path, profile: str, some: set[str], not_some: set[str]
) -> None:
    async def main(the: Stage) -> None:
        told = (await the.get(f"/api/settings?profile={profile}")).json()
        assert some <= told["notTaken"].keys()
        assert not not_some & told["notTaken"].keys()
        assert (await the.get("/api/settings?profile=nobody")).status == 404

    played(tmp_path, main)


def test_limits_and_prices_are_told_by_profile(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        the.live()
        told = (await the.get("/api/limits")).json()
        assert (told["calls"], told["day"], told["allow"]) == (
            {"live": 1, "most": 7},
            {"minutes": None, "usd": 5.0},
            "+1",
        )
        by_name = {each["profile"]: each for each in told["profiles"]}
        assert by_name.keys() == {"", "cabs", "bread"}
        assert by_name["cabs"]["variables"] == ["mood", "name"]
        assert by_name["cabs"]["targets"] == {"desk": "+15550100010"}
        assert by_name["cabs"]["minute"] == pytest.approx((600 * 32 + 1200 * 64) / 1e6 + 0.0045)
        assert by_name["bread"]["minute"] is None

    played(tmp_path, main)


@pytest.mark.parametrize(("engine", "ringing"), [("openai_live", 20), ("openai_realtime", 0)])
def test_what_a_call_costs_has_its_ringing_where_the_model_is_paid_for_that(
    engine: Literal["openai_live", "openai_realtime"], ringing: float
) -> None:
    """Its session opens with the dial: each number that nobody answered cost money that no estimate had."""
    config = CallConfigs(Settings(engine=engine, dial_seconds=20), Account()).config("+15550100002")
    assert SettingService.of_call(config)["ringing"] == ringing


def test_a_business_is_not_told_the_number_of_another_one() -> None:
    carrier: Any = SimpleNamespace(can={"dials"}, from_number="+15550100002")
    service = SettingService(CallConfigs(settings(), Account()), {"telnyx": carrier}, max_calls=7)
    numbers = {name: service.limits(0, name)["carriers"][0]["from"] for name in ("", "taxis", "bakery")}
    assert numbers == {"": "+15550100002", "taxis": "+15550100002", "bakery": ""}


def test_a_business_sees_its_own_profiles_and_whoever_views_no_whole_number(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        the.live(business="bakery")
        the.headers = {"authorization": f"Bearer {TAXIS}"}
        told = (await the.get("/api/limits")).json()
        assert [each["profile"] for each in told["profiles"]] == ["cabs"]
        assert told["calls"]["live"] is None
        assert told["profiles"][0]["targets"] == {"desk": "+1555•••0010"}
        assert (await the.get("/api/settings?profile=cabs")).status == 200
        assert (await the.get("/api/settings?profile=bread")).status == 404
        assert (await the.get("/api/settings")).status == 404

    played(tmp_path, main)


def test_a_profile_that_was_never_changed_has_no_versions(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await the.profiles.load()
        answer = await the.get("/api/profiles/cabs/versions")
        assert (answer.status, answer.json()) == (200, {"name": "cabs", "versions": []})

    played(tmp_path, main)
