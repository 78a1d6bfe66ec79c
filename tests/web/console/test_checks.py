"""What `/api/checks` tells in words, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import SecretStr

from callflow.config.settings import Settings
from callflow.config.setup_checks import setup_findings
from callflow.contracts.diagnostics import Finding
from callflow.contracts.secret_text import NOT_SHOWN, Secrets
from callflow.switchboard.switchboard import Switchboard
from callflow.web.console import checks
from tests.web.console.stage import Stage, play


SPENT: dict[str, Any] = {"calls": 3, "usd": 1.5}


def board(live: int, *, is_accepting: bool = True) -> Switchboard:
    return cast(Switchboard, SimpleNamespace(calls=[None] * live, is_accepting=is_accepting, counts={}))


def first(found: Iterable[Finding]) -> Finding:
    return next(iter(found))


def budget(used: float | None) -> list[Finding]:
    whole = SPENT if used is None else {**SPENT, "used": used}
    return list(checks._budget({"known": True, "all": whole, "profiles": []}))


def test_what_is_well_says_so_and_the_page_gets_both_lists(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        told = (await the.get("/api/checks")).json()
        assert {one["about"]: one["state"] for one in told["now"]} == {
            "calls": "ok", "model": "ok", "database": "ok", "journal": "ok", "time": "ok", "disk": "ok", "events": "ok",
        }  # fmt: skip
        assert told["setup"] == []
        the.history.journal.trouble = "disk full"
        told = (await the.get("/api/checks")).json()
        (bad,) = [one for one in told["now"] if one["state"] == "wrong"]
        assert (bad["about"], "disk full" in bad["what"], bool(bad["remedy"])) == ("journal", True, True)

    play(tmp_path, main)


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (first(checks._calls(board(2), 10)), "ok"),
        (first(checks._calls(board(8), 10)), "note"),
        (first(checks._calls(board(10), 10)), "wrong"),
        (first(checks._calls(board(0, is_accepting=False), 10)), "wrong"),
        (checks._engine({"state": "open", "next_probe_in": 4.0, "why": "401"}), "wrong"),
        (checks._engine({"state": "probing", "why": ""}), "note"),
        (checks._loop(40.0, is_overloaded=True), "wrong"),
        (checks._disk(100 << 20), "wrong"),
        (checks._disk(1 << 30), "note"),
        (checks._disk(None), "note"),
        (budget(None)[0], "ok"),
        (budget(0.85)[0], "note"),
        (budget(1.0)[0], "wrong"),
        (checks._events({"ok": True, "waiting": 0, "dead": 2}), "note"),
        (checks._events({"ok": False, "waiting": 3, "dead": 0, "trouble": "HTTP 500"}), "wrong"),
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


def test_a_secret_is_not_told() -> None:
    told = checks._told(Finding("settings", "note", "the key opensesame12 is odd"), Secrets(["opensesame12"]))
    assert told["what"] == NOT_SHOWN
