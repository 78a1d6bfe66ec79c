"""A setting is taken under each name that it has had, wherever one can be written, and its present name wins."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from callflow.call.outbound_order import OutboundOrder
from callflow.config import control_changes, session_names, session_overrides
from callflow.config.kept_profiles import decode
from callflow.config.loader import load
from callflow.config.profiles import Profiles
from callflow.config.setting_names import ALIASES, FORMER, others, present
from callflow.config.settings import Settings
from callflow.contracts.errors import SessionRefused
from callflow.engines.common.account import Account
from callflow.switchboard.call_configs import CallConfigs


NUMBER = "+15550100002"
NAMES = pytest.mark.parametrize(("former", "name"), FORMER.items())


def test_a_former_name_is_taken_from_a_program_that_begins_the_server_in_its_own_code() -> None:
    assert Settings.model_validate({"ring_seconds": 7}).answer_seconds == 7
    assert Settings.model_validate({"ring_seconds": 7, "answer_seconds": 8}).answer_seconds == 8


@NAMES
def test_a_former_name_is_taken_in_each_layer(
    former: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml, env = tmp_path / "settings.toml", tmp_path / ".env"
    toml.write_text(f"{former} = 21", encoding="utf-8")
    env.write_text(f"{former.upper()}=22", encoding="utf-8")
    file = load(toml=toml, env_file=None)
    assert (getattr(file, name), file.origin(name), file.warnings) == (21, f"settings.toml, as {former}", ())
    assert getattr(load(toml=toml, env_file=env), name) == 22
    monkeypatch.setenv(former.upper(), "23")
    assert getattr(load(toml=toml, env_file=env), name) == 23


@NAMES
def test_of_both_names_in_a_layer_the_present_one_wins_and_it_is_told(former: str, name: str, tmp_path: Path) -> None:
    toml, env = tmp_path / "settings.toml", tmp_path / ".env"
    toml.write_text(f'{name} = 21\n{former} = 31\n[profiles.a]\nnumbers = ["{NUMBER}"]\n{name} = 22\n{former} = 32')
    env.write_text(f"{name.upper()}=23\n{former.upper()}=33", encoding="utf-8")
    file = load(toml=toml, env_file=None)
    profiles = Profiles(file)
    assert (getattr(file, name), getattr(profiles.for_call(NUMBER), name)) == (21, 22)
    assert file.warnings == (f"settings.toml: {former} is not used, because {name} is there, too",)
    assert profiles.warnings == [f"settings.toml, profile a: {former} is not used, because {name} is there, too"]
    both = load(toml=None, env_file=env)
    assert getattr(both, name) == 23
    assert f".env: {former.upper()} is not used, because {name.upper()} is there, too" in both.warnings


@NAMES
def test_a_former_name_is_taken_in_profiles_and_sessions(former: str, name: str, tmp_path: Path) -> None:
    toml = tmp_path / "settings.toml"
    toml.write_text(f'[profiles.a]\nnumbers = ["{NUMBER}"]\n{former} = 21', encoding="utf-8")
    in_file = Profiles(load(toml=toml, env_file=None))
    assert (getattr(in_file.for_call(NUMBER), name), in_file.warnings) == (21, [])
    kept = decode("a", {"numbers": json.dumps([NUMBER]), former: "22"}, Settings(), 1)
    assert (kept.values, kept.problems) == ({name: 22}, ())
    for session in ({former: 23}, {"session": {former: 23}}):
        wanted = session_overrides.wanted(session, Settings(), {})
        assert (wanted.values, wanted.warnings) == ({name: 23}, [])
    assert session_overrides.wanted({former: None}, Settings(), {}).gone == [name]
    assert control_changes.of_settings({former: 24}).taken == {name: 24}


@NAMES
def test_a_session_with_two_values_for_one_setting_is_refused(former: str, name: str) -> None:
    with pytest.raises(SessionRefused, match=f"{former} and {name} are one setting: give it once"):
        session_overrides.wanted({name: 21, former: 22}, Settings(), {})


@NAMES
def test_what_an_earlier_version_kept_of_a_call_is_taken(former: str, name: str) -> None:
    assert session_overrides.decode({former: "21"}, Settings()) == ({name: 21}, [])
    assert session_overrides.decode({former: "21", name: "22"}, Settings()) == ({name: 22}, [])
    configs = CallConfigs(Settings(), Account())
    asked = configs.outbound("", "", {former: 300})  # as the journal of a call and the database of a campaign have it
    assert asked == configs.outbound("", "", {name: 300})
    assert asked != configs.outbound("", "", {})
    configs.prepare({former: 300})
    assert configs.config(NUMBER, {former: 300}, began=("", 0)).overrides == {name: 300}


def test_a_mistyped_name_is_never_told_to_mean_a_former_one() -> None:
    warnings = session_names.named({"patience_second": 3, "join_m": 40}).warnings
    assert not any(f"{former}?" in line for line in warnings for former in FORMER), warnings


def test_each_other_name_stands_for_a_setting_and_is_none() -> None:
    assert set(ALIASES.values()) <= Settings.model_fields.keys()
    assert not ALIASES.keys() & Settings.model_fields.keys()
    assert present({"ring_seconds": 1, "voice": "ash"}) == {"answer_seconds": 1, "voice": "ash"}
    assert others(["answer_seconds", "voice"]) == ["ring_seconds"]


def test_an_order_has_one_digest_whatever_the_name_of_its_setting() -> None:
    """A dial that is repeated after an update, with the same Idempotency-Key, is the same call."""
    order = OutboundOrder(to_number="+15550100001", from_number="+15550100002", carrier="telnyx")
    digests = {replace(order, session={name: 7.0}).fingerprint() for name in ("ring_seconds", "answer_seconds")}
    assert digests == {"3aea524e27e111f9328e0d262d5d75cc"}  # as version 0.1 has made it
