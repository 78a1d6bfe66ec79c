"""A secret in the wrong place, and an address with one in it: each setting is named, and no value shown."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from callflow.config import validators as values
from callflow.config.display import masked
from callflow.config.loader import load
from callflow.config.profiles import Profiles
from callflow.config.settings import SECRETS, Settings
from callflow.contracts.errors import SettingsError
from tests.config.test_settings import Here, here, problems


__all__ = ["here"]  # a fixture


TOKEN = "Zq9-console-token-7731"
PASTED = ["sk-proj-Zq9vendor0123456789", "KEY0123456789ABCDEF_Zq9vendor", TOKEN, "postgresql://u:Zq9pass word@h/x"]


@pytest.mark.proof
@pytest.mark.parametrize("pasted", PASTED)
@pytest.mark.parametrize("name", sorted(Settings.model_fields.keys() - SECRETS))
@pytest.mark.exhaustive
def test_a_secret_in_any_other_setting_is_named_by_that_and_never_shown(
    name: str, pasted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONSOLE_TOKEN", TOKEN)
    monkeypatch.setenv(name.upper(), pasted)
    try:
        settings = load()
    except SettingsError as error:
        (said,) = error.problems
        assert said.startswith(f"{name.upper()} (environment) "), said
    else:
        assert "://" in pasted, "a key was taken for a value"
        said = f"{masked(settings)} {settings!r}"
    assert "Zq9" not in said, said


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://u:Zq9/secret@h/x", "postgresql://u:Zq9@secret@h/x", "postgresql://u:Zq9 secret@h/x",
        "postgresql://u:Zq9?secret@h/x", "postgresql://u:Zq9#secret@h/x", "postgresql://u:12/Zq9@h/x",
        "postgresql://u:Zq9\\secret@h/x", "postgresql://u@h:Zq9/x", "postgresql://u:Zq9", "postgres://u:Zq9@h/x#y",
        "postgresql://u@h/x?password=Zq9@secret",
    ],
)  # fmt: skip
def test_a_database_that_can_be_read_in_two_ways_is_refused_with_what_to_do(address: str, here: Here) -> None:
    here(env=f"DATABASE_URL='{address}'")
    assert problems() == [f"DATABASE_URL (.env) {values.UNREADABLE}"]


@pytest.mark.parametrize("scheme", ["mysql", "postgresql+asyncpg", "Zq9", "sqlite"])
def test_a_database_of_another_kind_is_refused_and_not_echoed(scheme: str, here: Here) -> None:
    here(env=f"DATABASE_URL={scheme}://u:Zq9secret@h/x")
    assert problems() == ["DATABASE_URL (.env) must be sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME"]


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://u:p@h/x", "postgres://u:p%2Fq%40r%20s@h:5432/x?sslmode=require", "postgresql://u:p:q!$&'()*+,;=@h/x",
        "postgresql:///x?host=/run/postgresql", "postgresql://u@/x?host=/tmp&password=a/b", "postgresql://u@[::1]:5432/x",
        "postgresql://ü:pä%ss@h/x", "sqlite:///data/my calls.db", "sqlite:////home/me@work/callflow.db",
    ],
)  # fmt: skip
def test_a_database_that_can_be_read_in_one_way_is_taken(address: str) -> None:
    assert Settings(database_url=address).database_url == address


@pytest.mark.parametrize("name", ["telnyx_api_base", "twilio_api_base", "openai_realtime_url", "public_base_url"])
@pytest.mark.parametrize(
    "rest", ["u:Zq9/secret@h/x", "u:12/Zq9@h", "u:Zq9@secret@h", "h:Zq9secret", "u:Zq9 x@h", "Zq9\\@h"]
)
def test_any_other_address_that_can_be_read_in_two_ways_is_refused_and_not_echoed(
    name: str, rest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name.upper(), f"{'wss' if name.startswith('openai') else 'https'}://{rest}")
    (said,) = problems()
    assert said.startswith(f"{name.upper()} (environment) "), said
    assert "Zq9" not in said


def test_nothing_that_pydantic_says_holds_a_value() -> None:
    wrong = {"port": "Zq9", "database_url": "postgresql://u:Zq9/x@h/x", "openai_api_key": "Zq9 x", "rng_seconds": "Zq9"}
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate(wrong)
    assert "Zq9" not in f"{caught.value} {caught.value!r}"


def test_a_secret_in_the_place_of_a_name_is_not_shown(here: Here) -> None:
    here(
        toml='"sk-proj-Zq9vendor01234" = 1\nopenai_apikey = "Zq9"\n[profiles.a]\nnumbers = ["1"]',
        env="sk-Zq9 vendor0123\n",
    )
    first, second, third = load().warnings
    assert first == "settings.toml: unknown key that is not shown, because it looks like a secret"
    assert second == 'settings.toml: unknown key "openai_apikey" — did you mean "openai_api_key"?'
    assert third == ".env, line 1: ignored, because it is not of the form NAME=value"


@pytest.mark.parametrize("pasted", PASTED[:3])
def test_a_secret_in_a_profile_is_named_by_that_and_never_shown(pasted: str, here: Here) -> None:
    values_of = f'voice = "{pasted}"\nspeed = "{pasted}"'
    for line in values_of.splitlines():
        here(toml=f"[profiles.a]\nnumbers = ['1']\n{line}", env=f"CONSOLE_TOKEN={TOKEN}")
        with pytest.raises(SettingsError) as caught:
            Profiles(load())
        (said,) = caught.value.problems
        assert said.startswith(f"{line.split()[0].upper()} (settings.toml, profile a) "), said
        assert "Zq9" not in said
    here(toml=f"[profiles.a]\nnumbers = ['1']\n'{PASTED[0]}' = 1")
    (warning,) = Profiles(load()).warnings
    assert "Zq9" not in warning


def test_a_secret_under_an_older_name_is_not_shown(here: Here) -> None:
    here(env="REALTIME_WS_TIMEOUT_MS=sk-proj-Zq9vendor0123456789\nREALTIME_CONTROL_SECRET=Zq9")
    said = "\n".join(load().warnings)
    assert "REALTIME_WS_TIMEOUT_MS (.env) is not used: it must be a number" in said
    assert "Zq9" not in said
