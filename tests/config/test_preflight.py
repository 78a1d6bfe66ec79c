"""What keeps `serve` from starting, and that no secret is ever shown."""

import base64
import secrets as secrets_
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from callflow.config.display import masked
from callflow.config.loader import load
from callflow.config.preflight import check_serve
from callflow.config.settings import Settings


PUBLIC_KEY = base64.b64encode(bytes(range(32))).decode()
TOKEN = "a-token-of-24-characters"


# --- What keeps `serve` from starting


def ready(**changes: object) -> Settings:
    given = {"openai_api_key": "sk-1", "telnyx_api_key": "KEY1", "telnyx_public_key": PUBLIC_KEY} | changes
    return Settings.model_validate(given)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"telnyx_public_key": "", "allow_unsigned_webhooks": True},
        {"console_host": "0.0.0.0", "console_token": TOKEN},
        {"console_token": secrets_.token_hex(16)},  # as the operators' port suggests it
        {"caller_lookup": "who_calls"},
        {"console_host": "::1"},
        {"console_host": "localhost"},
        {"console_host": "127.8.9.1"},
        {"port": 0, "console_port": 0},
    ],
)
def test_serve_may_start(changes: dict[str, object]) -> None:
    assert check_serve(ready(**changes)) == []


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"openai_api_key": ""}, ["OPENAI_API_KEY", "python server.py demo"]),
        ({"events_url": "https://you.example/"}, ["EVENTS_SECRET", "nothing is sent unsigned", "python3 -c", "whsec_"]),
        ({"caller_lookup": "https://you.example/"}, ["EVENTS_SECRET", "CALLER_LOOKUP is an address", "whsec_"]),
        ({"telnyx_api_key": ""}, ["TELNYX_API_KEY is not set, but TELNYX_PUBLIC_KEY is"]),
        ({"telnyx_api_key": "", "allow_unsigned_webhooks": True}, ["TELNYX_API_KEY is not set"]),
        ({"telnyx_public_key": ""}, ["TELNYX_PUBLIC_KEY is not set, but TELNYX_API_KEY is"]),
        ({"telnyx_api_key": "", "telnyx_public_key": ""}, ["No carrier", "TELNYX_API_KEY and TELNYX_PUBLIC_KEY"]),
        ({"console_host": "0.0.0.0"}, ["CONSOLE_TOKEN", 'CONSOLE_HOST="0.0.0.0"']),
        ({"console_host": "::"}, ["CONSOLE_TOKEN"]),
        ({"console_host": "my.example"}, ["CONSOLE_TOKEN"]),
        ({"console_token": "fifteen-letters"}, ["CONSOLE_TOKEN has 15 characters", "16"]),
        ({"console_port": 6000}, ["CONSOLE_PORT=6000 is also PORT"]),
        ({"console_port": 6000, "host": "0.0.0.0", "console_host": "127.0.0.1"}, ["CONSOLE_PORT=6000 is also PORT"]),
    ],
)
def test_serve_may_not_start(changes: dict[str, object], names: list[str]) -> None:
    (said,) = check_serve(ready(**changes))
    assert all(name in said for name in names), said


def test_a_bare_start_names_everything_that_is_missing() -> None:
    assert len(check_serve(Settings())) == 2


# --- What is shown


secrets = st.text(string.ascii_letters + string.digits, min_size=4, max_size=80).map("Zq9-{}".format)


@given(openai=secrets, telnyx=secrets, console=secrets)
def test_masked_output_never_contains_a_secret(openai: str, telnyx: str, console: str) -> None:
    settings = Settings(
        openai_api_key=SecretStr(openai),
        telnyx_api_key=SecretStr(telnyx),
        console_token=SecretStr(console),
        telnyx_api_base=f"https://user:{console}@a.example",
        voice=f"sk-{openai}",
    )
    shown = f"{masked(settings)} {settings!r} {settings}"
    for secret in (openai, telnyx, console):
        assert secret not in shown
        assert secret[:-4] not in shown


def test_masked_rows_say_what_is_set_and_from_where(tmp_path: Path) -> None:
    toml, env_file = tmp_path / "settings.toml", tmp_path / ".env"
    toml.write_text('voice = "cedar"')
    env_file.write_text("OPENAI_API_KEY=sk-0123456789abcdef\nCONSOLE_TOKEN=short")
    settings = load({"allow_unsigned_webhooks": True}, toml=toml, env_file=env_file)
    rows = {name: (value, origin) for name, value, origin in masked(settings)}
    assert rows["OPENAI_API_KEY"] == ("set (…cdef)", ".env")
    assert rows["CONSOLE_TOKEN"] == ("set", ".env")
    assert rows["TELNYX_API_KEY"] == ("missing", "default")
    assert rows["VOICE"] == ("cedar", "settings.toml")
    assert rows["ALLOW_UNSIGNED_WEBHOOKS"] == ("true", "command line")
    assert list(rows) == [name.upper() for name in Settings.model_fields]
