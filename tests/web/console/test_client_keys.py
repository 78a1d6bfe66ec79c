"""The keys that a request for a call brings: read, or left out with a line that says so, and never repeated."""

from __future__ import annotations

from typing import Any

import pytest

from callflow.contracts.carrier import CarrierAccount
from callflow.web.console.client_keys import NAMES, read_account, read_key


KEY = "sk-of-whoever-asks"


def read(body: dict[str, Any], *, allowed: bool) -> tuple[str, list[str], list[str]]:
    problems: list[str] = []
    warnings: list[str] = []
    return read_key(body, allowed, problems, warnings), problems, warnings


def test_without_the_setting_each_is_left_out() -> None:
    key, problems, warnings = read(dict.fromkeys(NAMES, KEY), allowed=False)
    assert (key, problems) == ("", [])
    assert warnings == [f"{name} is not used: the keys of the server are" for name in NAMES]


def test_with_it_the_engines_key_is_used() -> None:
    assert read(dict.fromkeys(NAMES, KEY), allowed=True) == (KEY, [], [])
    assert read({}, allowed=True) == read({"openaiApiKey": None}, allowed=True) == ("", [], [])


@pytest.mark.parametrize(
    "value", [7, ["sk-1"], "sk with blanks", '"sk-1"', "sk-ünicode", "KEY0123456789ABCDEF_ab", "s" * 999]
)
def test_what_is_no_key_is_refused_without_being_repeated(value: object) -> None:
    key, problems, _ = read({"openaiApiKey": value}, allowed=True)
    assert key == ""
    assert len(problems) == 1
    assert problems[0].startswith("openaiApiKey ")
    assert str(value) not in problems[0]


SID = f"AC{'0a' * 16}"


def test_a_carriers_account_is_used_with_the_setting_only() -> None:
    body = {"twilioAccountSid": SID, "twilioAuthToken": "a token"}
    assert read_account(body, True, []) == CarrierAccount(SID, "a token")
    assert "a token" not in repr(read_account(body, True, []))
    assert read_account(body, False, []) is None
    assert read_account({"twilioAccountSid": "", "twilioAuthToken": None}, True, []) is None


@pytest.mark.parametrize(
    "body",
    [
        {"twilioAccountSid": SID}, {"twilioAuthToken": "t0ken"}, {"twilioAccountSid": SID, "twilioAuthToken": ""},
        {"twilioAccountSid": "AC1", "twilioAuthToken": "t0ken"}, {"twilioAccountSid": 7, "twilioAuthToken": "t0ken"},
        {"twilioAccountSid": SID, "twilioAuthToken": "t0ken" * 200},
    ],
)  # fmt: skip
def test_half_an_account_or_none_is_refused_without_being_repeated(body: dict[str, Any]) -> None:
    problems: list[str] = []
    assert read_account(body, True, problems) is None
    assert len(problems) == 1
    assert "t0ken" not in problems[0]
