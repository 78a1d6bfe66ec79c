"""What is said about a name that is none, wherever it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from callflow.config.loader import load
from callflow.config.settings import Settings, suggestion
from tests.config.test_settings import Here, here


__all__ = ["here"]  # a fixture


def words(text: str) -> list[str]:
    return re.findall(r"\S+", text)


MISSPELT = {
    "TELNYX_APIKEY": "TELNYX_API_KEY", "OPENAI_KEY": "OPENAI_API_KEY", "OPEN_AI_API_KEY": "OPENAI_API_KEY",
    "OPENAI_APIKEY": "OPENAI_API_KEY", "OPENAI-API-KEY": "OPENAI_API_KEY", "TELNYX_PUBLICKEY": "TELNYX_PUBLIC_KEY",
    "TWILIO_SID": "TWILIO_ACCOUNT_SID", "TWILIO_TOKEN": "TWILIO_AUTH_TOKEN", "TWILIO_ACOUNT_SID": "TWILIO_ACCOUNT_SID",
    "PORTT": "PORT", "CALLFLOW_PORT": "PORT", "CALLFLOW_LOG_LEVEL": "LOG_LEVEL", "LOG_LEVELS": "LOG_LEVEL",
    "DATABASE_URI": "DATABASE_URL", "DATA_DIRS": "DATA_DIR", "DATADIR": "DATA_DIR", "VOICES": "VOICE",
    "VAD_SILENCE": "VAD_SILENCE_MS", "OPENAI_MODEL": "MODEL", "OPENAI_REALTIME_MODEL": "MODEL", "OPENAI_VOICE": "VOICE",
    "MAX_CONCURENT_CALLS": "MAX_CONCURRENT_CALLS", "PUBLIC_BASE_URI": "PUBLIC_BASE_URL", "TOOL_FILE": "TOOLS_FILE",
    "NGROK_TOKEN": "NGROK_AUTH_TOKEN",
}  # fmt: skip


@pytest.mark.parametrize(("given", "meant"), MISSPELT.items())
def test_a_misspelt_variable_is_told_with_what_was_probably_meant(
    given: str, meant: str, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = f'unknown name "{given}" — did you mean "{meant}"?'
    monkeypatch.setenv(given, "Zq9")
    assert load().warnings == (f"environment: {said}",)
    monkeypatch.delenv(given)
    here(env=f"{given}=Zq9")
    assert load().warnings == (f".env: {said}",)


@pytest.mark.parametrize("given", ["portt", "Telnyx_ApiKey", "openai_key"])
def test_in_small_letters_as_well(given: str, here: Here) -> None:
    here(env=f"{given}=x")
    assert f'"{given}" — did you mean "' in load().warnings[0]


@pytest.mark.parametrize(
    ("given", "meant"), [("POTR", "PORT"), ("SILENCE_MS", "VAD_SILENCE_MS"), ("HOSTS", "HOST"), ("MODES", "MODEL")]
)
def test_a_file_of_our_own_is_read_with_more_imagination_than_the_environment(
    given: str, meant: str, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    here(env=f"{given}=x")
    assert f'did you mean "{meant}"?' in load().warnings[0]
    here()
    monkeypatch.setenv(given, "x")
    assert all(given not in line for line in load().warnings) or given == "HOSTS"


def test_variables_of_other_programs_are_left_in_peace(monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = words("""
        PATH HOME USER LOGNAME LANG LANGUAGE LC_ALL SHELL TERM PWD OLDPWD HOSTNAME HOSTTYPE DISPLAY EDITOR
        PAGER TZ TMPDIR MAIL MODE XDG_DATA_DIRS XDG_DATA_HOME XDG_SESSION_ID XDG_RUNTIME_DIR
        DBUS_SESSION_BUS_ADDRESS SSH_AUTH_SOCK VIRTUAL_ENV PYTHONPATH COLUMNS LINES PROMPT PS1 COMPUTERNAME
        APPDATA PROGRAMDATA SYSTEMROOT HTTP_PROXY NO_PROXY CI GITHUB_ACTIONS GITHUB_TOKEN AWS_ACCESS_KEY_ID
        DOCKER_HOST KUBERNETES_PORT KUBERNETES_SERVICE_HOST NODE_ENV DEBUG VERBOSE PGHOST PGPORT
        POSTGRES_PASSWORD MYSQL_HOST NGROK_CONFIG INVOCATION_ID JOURNAL_STREAM SYSTEMD_EXEC_PID DYNO
        WEB_CONCURRENCY
    """)
    for name in foreign:
        monkeypatch.setenv(name, "x")
    assert load().warnings == ()


@pytest.mark.parametrize("name", ["TELNYX_FOO", "TWILIO_REGION", "OPENAI_MAX_RETRIES", "REALTIME_FOO", "CALLFLOW_FOO"])
def test_one_that_is_for_us_and_is_like_none_is_told_as_well(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "Zq9")
    assert load().warnings == (f'environment: unknown name "{name}"; it is not used',)


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ('[profile.sales]\nnumbers = ["+15550100002"]', '"profile" — did you mean "profiles"?'),
        ('[profils.sales]\nnumbers = ["+15550100002"]', '"profils" — did you mean "profiles"?'),
        ('[Profiles.sales]\nnumbers = ["+15550100002"]', '"Profiles" — did you mean "profiles"?'),
        ('[[profile]]\nnumbers = ["+15550100002"]', '"profile" — did you mean "profiles"?'),
        ('[sales]\nnumbers = ["+15550100002"]', '"sales" — the settings of some numbers are a table [profiles.sales]'),
        ("[server]\nport = 7", '"server" — settings stand in no table: move them above'),
        ("[callflow]\nx = 7", '"callflow" — there are no tables but [profiles.NAME]'),
        ('numbers = ["+15550100002"]', '"numbers" — numbers stand in the table of their profile'),
        ('VOICE = "cedar"', '"VOICE" — did you mean "voice"?'),
        ("vad-silence-ms = 3", '"vad-silence-ms" — did you mean "vad_silence_ms"?'),
        ("silence_ms = 3", '"silence_ms" — did you mean "vad_silence_ms"?'),
        ('realtime_default_voice = "cedar"', '"realtime_default_voice" — did you mean "voice"?'),
        ('loglevel = "info"', '"loglevel" — did you mean "log_level"?'),
        ("max_calls = 3", '"max_calls" — did you mean "max_'),
        ('zzzz = "cedar"', '"zzzz"'),
    ],
)  # fmt: skip
def test_a_key_of_settings_toml_that_is_none_is_told_with_what_was_meant(toml: str, said: str, here: Here) -> None:
    here(toml=toml)
    (told,) = load().warnings
    assert told.startswith(f"settings.toml: unknown key {said}"), told


def test_of_two_names_for_one_setting_the_one_that_loses_is_told(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    here(env="PUBLIC_URL=https://a.example\nPUBLIC_BASE_URL=https://b.example\nREALTIME_DEFAULT_VOICE=ash\nVOICE=cedar")
    settings = load()
    assert (settings.public_base_url, settings.voice) == ("https://b.example", "cedar")
    assert set(settings.warnings) == {
        ".env: PUBLIC_URL is not used, because PUBLIC_BASE_URL is there, too",
        ".env: REALTIME_DEFAULT_VOICE is not used, because VOICE is there, too",
    }
    here(toml='public_url = "https://a.example"\npublic_base_url = "https://b.example"')
    assert load().warnings == ("settings.toml: public_url is not used, because public_base_url is there, too",)


def test_a_value_in_quotes_in_the_environment_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", '"data"')
    monkeypatch.setenv("GREETING", 'Say "hello" to "them"')
    monkeypatch.setenv("REALTIME_DEFAULT_VOICE", "'cedar'")
    said = "is in quotes, and here they count as part of the value; remove them"
    assert set(load().warnings) == {
        f"VOICE (environment, as REALTIME_DEFAULT_VOICE) {said}", f"DATA_DIR (environment) {said}",
    }  # fmt: skip


def test_no_known_name_has_a_suggestion() -> None:
    assert [name for name in Settings.model_fields if suggestion(name)] == []


def test_the_sample_and_the_committed_settings_are_no_misspelling() -> None:
    root = Path(__file__).parents[2]
    assert load(toml=root / "settings.toml", env_file=root / ".env.sample").warnings == ()
