"""What `/api/checks` tells in words, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import SecretStr

from callflow.config.settings import Settings
from callflow.config.setup_checks import setup_findings, status
from callflow.contracts.diagnostics import Finding
from callflow.contracts.secret_text import NOT_SHOWN, Secrets
from callflow.switchboard.health import findings, service
from callflow.switchboard.switchboard import Switchboard
from tests.web.console.stage import Stage, play


SPENT: dict[str, Any] = {"calls": 3, "usd": 1.5}


def board(live: int, *, is_accepting: bool = True) -> Switchboard:
    return cast(Switchboard, SimpleNamespace(calls=[None] * live, is_accepting=is_accepting, counts={}))


def first(found: Iterable[Finding]) -> Finding:
    return next(iter(found))


def budget(used: float | None) -> list[Finding]:
    whole = SPENT if used is None else {**SPENT, "used": used}
    return list(findings.of_budget({"known": True, "all": whole, "profiles": []}))


def test_what_is_well_says_so_and_the_page_gets_both_lists(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        told = (await the.get("/api/checks")).json()
        assert {one["about"]: one["state"] for one in told["now"]} == {
            "calls": "ok", "carriers": "ok", "model": "ok", "database": "ok", "journal": "ok", "time": "ok",
            "clock": "ok", "disk": "ok", "events": "ok",
        }  # fmt: skip
        assert told["setup"] == []
        assert all(one["since"] and len(one["hour"]) == 60 and one["hour"][-1] == "0" for one in told["now"])
        the.history.journal.trouble = "disk full"
        told = (await the.get("/api/checks")).json()
        (bad,) = [one for one in told["now"] if one["state"] == "wrong"]
        assert (bad["about"], "disk full" in bad["what"], bool(bad["remedy"])) == ("journal", True, True)

    play(tmp_path, main)


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (first(findings.of_calls(board(2), 10)), "ok"),
        (first(findings.of_calls(board(8), 10)), "note"),
        (first(findings.of_calls(board(10), 10)), "wrong"),
        (first(findings.of_calls(board(0, is_accepting=False), 10)), "wrong"),
        (findings.of_engine({"state": "open", "next_probe_in": 4.0, "why": "401"}), "wrong"),
        (findings.of_engine({"state": "probing", "why": ""}), "note"),
        (findings.of_loop(40.0, is_overloaded=True), "wrong"),
        (findings.of_loop(40.0, is_overloaded=False), "note"),
        (findings.of_loop(0.0, is_overloaded=False, felt_ms=40.0), "note"),
        (findings.of_loop(0.0, is_overloaded=False, felt_ms=400.0, why=findings.lost_time(9.0, 2.0, 15)), "wrong"),
        (findings.of_loop(0.0, is_overloaded=False, felt_ms=20.0), "ok"),
        (findings.of_carriers(0, 1, 15), "ok"),
        (findings.of_carriers(0, 3, 15), "note"),
        (findings.of_carriers(3, 0, 15), "note"),
        (findings.of_clock(-3.5, 15), "note"),
        (findings.of_disk(100 << 20), "wrong"),
        (findings.of_disk(1 << 30), "note"),
        (findings.of_disk(None), "note"),
        (budget(None)[0], "ok"),
        (budget(0.85)[0], "note"),
        (budget(1.0)[0], "wrong"),
        (findings.of_events({"ok": True, "waiting": 0, "dead": 2}), "note"),
        (findings.of_events({"ok": False, "waiting": 3, "dead": 0, "trouble": "HTTP 500"}), "wrong"),
    ],
)
def test_each_state_has_words_and_what_is_not_well_has_a_next_step(found: Finding, state: str) -> None:
    assert found.state == state
    assert found.what
    assert bool(found.remedy) == (state != "ok") or state == "note"


def test_the_setup_is_a_checklist() -> None:
    found = setup_findings(Settings(openai_api_key=SecretStr("sk-1234567890abcdef")), "", ["a warning"])
    states = {one.about: one.state for one in found}
    assert states == {
        "public address": "wrong", "carriers": "wrong", "model": "ok", "operators": "ok", "settings": "note",
    }  # fmt: skip
    assert setup_findings(Settings(), "https://calls.example", [])[0].state == "ok"


def test_a_server_with_openais_sip_alone_has_its_carrier() -> None:
    given: Any = {"openai_api_key": "sk-1234567890abcdef", "openai_webhook_secret": "whsec_MDEyMzQ1Njc4OWFiY2RlZg=="}
    states = {one.about: one.state for one in setup_findings(Settings(**given), "https://calls.example", [])}
    assert (states.get("carriers"), states["OpenAI SIP"]) == (None, "ok")


def test_which_credentials_are_set_is_told_and_never_what_they_are(tmp_path: Path) -> None:
    key, token = "sk-1234567890abcdef", "0123456789abcdef0123456789abcdef"
    given: Any = {"openai_api_key": key, "twilio_account_sid": f"AC{token}", "twilio_auth_token": token}

    async def main(the: Stage) -> None:
        answer = await the.get("/api/status")
        told = answer.json()
        assert told["credentialsSet"] is True
        assert [name for name, is_set in told["credentials"].items() if is_set] == [
            "OPENAI_API_KEY", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN",
        ]  # fmt: skip
        assert told["webhooks"]["Twilio voice webhook"] == "https://calls.example/"
        assert not {key, token} & set(answer.body.decode().replace("AC", "").split('"'))

    play(tmp_path, main, settings=Settings(**given))
    assert status(Settings(openai_api_key=SecretStr(key)), "")["credentialsSet"] is False


def test_a_secret_is_not_told() -> None:
    (told,) = service.shown([Finding("settings", "note", "the key opensesame12 is odd")], Secrets(["opensesame12"]))
    assert told.what == NOT_SHOWN
