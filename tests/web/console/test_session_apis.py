"""What both listeners have for sessions of others, made from the settings."""

from __future__ import annotations

from typing import Any

import pytest

from callflow.config.settings import Settings
from callflow.web.console.session_apis import make_session_apis


def made(**values: Any) -> Any:
    settings = Settings(**values)
    return make_session_apis(settings, lambda: settings)


@pytest.mark.parametrize(("url", "asks"), [("", ""), ("self", "self"), ("https://control.example/secret-path", "url")])
def test_whom_calls_ask_is_told_without_the_address(url: str, asks: str) -> None:
    assert made(realtime_control_url=url).asks == asks


def test_client_secrets_are_of_the_model_and_instructions_of_coming_calls() -> None:
    now = [Settings(instructions="Be kind.", model="gpt-realtime-mini")]
    secrets = make_session_apis(Settings(realtime_expires_seconds=90), lambda: now[0]).secrets
    assert (secrets.instructions(), secrets.model(), secrets.seconds) == ("Be kind.", "gpt-realtime-mini", 90)
    assert secrets.origin == "wss://api.openai.com"
    now[0] = Settings(instructions="Be short.", model="gpt-realtime")
    assert (secrets.instructions(), secrets.model()) == ("Be short.", "gpt-realtime"), "whenever one is made"


def test_a_model_of_another_address_is_reached_there() -> None:
    secrets = made(openai_realtime_url="wss://model.example:8443/v1/realtime?model=x").secrets
    assert secrets.origin == "wss://model.example:8443"
    assert secrets.socket == "wss://model.example:8443/v1/realtime?model=x"
