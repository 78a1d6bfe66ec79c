"""The values of the settings of the control endpoint, and what keeps the server from starting with them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from callflow.config import control_endpoint
from callflow.config.settings import Settings


@pytest.mark.parametrize(
    ("secrets", "wrong"),
    [
        ({"realtime_control_admin_secret": "x" * 31}, "has 31 characters"),
        ({"realtime_control_admin_secret": "ab" * 16}, "hardly has two"),
        ({"realtime_control_admin_secret": "0123456789abcdef" * 2, "console_token": "0123456789abcdef" * 2}, "another"),
        ({"realtime_control_secret": "s" * 20, "realtime_control_signing_secret": "s" * 20}, "cannot sign"),
        ({"realtime_control_admin_secret": "0123456789abcdef" * 2}, ""),
        ({}, ""),
    ],
)
def test_weak_secrets_keep_the_server_from_starting(secrets: dict[str, str], wrong: str) -> None:
    given: dict[str, Any] = {name: SecretStr(value) for name, value in secrets.items()}
    found = control_endpoint.problems(Settings(**given))
    assert (len(found), wrong in "".join(found)) == (1 if wrong else 0, True)
    assert not any(value in line for value in secrets.values() for line in found)


@pytest.mark.parametrize(
    "given", ["a b", "turn; drop", "session.updated", "session_changed", ",".join("abcdefghijklmnopqrstu")]
)
def test_what_is_no_list_of_events_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="must"):
        control_endpoint.events(given)
    assert control_endpoint.events(" session.created , turn,turn") == "session.created, turn"


@pytest.mark.parametrize("given", ["", " , ,"])
def test_no_events_are_no_events(given: str) -> None:
    assert control_endpoint.events(given) == ""


@pytest.mark.parametrize("given", ["x\u2028y", "Turn", "x" * 41, "türn", "turn;", "session.created.x"])
def test_a_name_that_no_entry_has_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="with commas between them"):
        control_endpoint.events(given)


def test_as_many_events_as_there_may_be_are_taken_and_each_counts_once() -> None:
    names = [f"e_{letter}" for letter in "abcdefghijklmnopqrst"]
    assert control_endpoint.events(",".join(names * 2)) == ", ".join(names)


@pytest.mark.parametrize("given", ["self", " SELF ", "Self"])
def test_this_server_itself_may_be_asked(given: str) -> None:
    assert control_endpoint.url(given) == "self"


@pytest.mark.parametrize("given", ["selfish", "ftp://x", "https://", "self.example"])
def test_any_other_word_is_an_address_or_nothing(given: str) -> None:
    with pytest.raises(ValueError, match=r"http|URL"):
        control_endpoint.url(given)


def test_everything_that_is_wrong_with_the_secrets_is_told_at_once() -> None:
    same: Any = SecretStr("s" * 20)
    found = control_endpoint.problems(
        Settings(realtime_control_secret=same, realtime_control_signing_secret=same, realtime_control_admin_secret=same)
    )
    assert len(found) == 3
