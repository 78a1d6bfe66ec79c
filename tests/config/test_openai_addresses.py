"""Where OpenAI's REST API and its WebSocket are: each where it is said, or beside the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from callflow.config.loader import load
from callflow.config.openai_addresses import rest_root
from callflow.config.settings import Settings
from carriers.registry import openai_sip_config


SOCKET, BASE = "ws://127.0.0.1:9002/v1/realtime?model=x", "http://127.0.0.1:9001/v1"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_api_and_the_socket_at_two_hosts_are_both_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_BASE", f"{BASE}/")
    monkeypatch.setenv("OPENAI_REALTIME_URL", SOCKET)
    settings = load(toml=None)
    assert (settings.openai_realtime_url, rest_root(settings)) == (SOCKET, BASE)
    assert openai_sip_config(settings).calls_url == f"{BASE}/realtime/calls"
    assert not [line for line in settings.warnings if "OPENAI_" in line]


@pytest.mark.parametrize("name", ["OPENAI_API_BASE", "OPENAI_BASE_URL"])
def test_the_socket_is_beside_the_api_unless_it_is_said(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "https://a.example/v1/")
    settings = load(toml=None)
    assert settings.openai_realtime_url == "wss://a.example/v1/realtime"
    assert settings.origin("openai_realtime_url") == "environment, as OPENAI_API_BASE"
    Path(".env").write_text(f"OPENAI_REALTIME_URL={SOCKET}\n")
    assert load(toml=None).openai_realtime_url == SOCKET, "what is said in a weaker layer is said all the same"


def test_the_api_is_beside_the_socket_unless_it_is_said() -> None:
    assert rest_root(Settings()) == "https://api.openai.com/v1"
    assert rest_root(Settings(openai_realtime_url=SOCKET)) == "http://127.0.0.1:9002/v1"
    assert openai_sip_config(Settings()).calls_url == "https://api.openai.com/v1/realtime/calls"
