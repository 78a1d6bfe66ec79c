"""What the session of one call cannot have of its own: it may be narrower than its profile, never wider."""

from __future__ import annotations

from typing import Any

import pytest

from callflow.config.session_limits import beyond, of_profile, tool_names
from callflow.config.settings import Settings


PROFILE = Settings(
    max_call_seconds=600, max_bridged_seconds=900, agent_tools="book, pay", transfer_targets="desk = +15550100010"
)


@pytest.mark.parametrize(
    "session",
    [
        {}, {"voice": "ash"}, {"max_call_seconds": 600}, {"max_call_seconds": 1}, {"max_bridged_seconds": 900},
        {"agent_tools": "book"}, {"agent_tools": " pay ,book,"}, {"transfer_targets": ""}, {"mcp_approval": "deny"},
        {"transfer_targets": "desk = +15550100010"},
    ],
)  # fmt: skip
def test_what_is_as_narrow_or_narrower_is_taken(session: dict[str, Any]) -> None:
    assert beyond(session, PROFILE) == []


@pytest.mark.parametrize(
    ("session", "word"),
    [
        ({"business": "bakery"}, "business"), ({"business": ""}, "business"),
        ({"profile_daily_usd": 0}, "profile_daily_usd"),
        ({"over_budget": "refuse"}, "over_budget"), ({"max_call_seconds": 600.1}, "its profile has 600"),
        ({"max_call_seconds": float("inf")}, "can only go down"), ({"max_bridged_seconds": 901}, "its profile has 900"),
        ({"mcp_approval": "approve"}, "mcp_approval"),
        ({"agent_tools": ""}, "can only be fewer: its profile has book, pay"),
        ({"agent_tools": " , "}, "agent_tools"), ({"agent_tools": "book,delete"}, "agent_tools"),
        ({"agent_tools": "Book"}, "agent_tools"), ({"transfer_targets": "desk = +12025550100"}, "transfer_targets"),
        ({"transfer_targets": "boss = +15550100010"}, "its profile has desk"),
    ],
)  # fmt: skip
def test_what_goes_beyond_is_named_once(session: dict[str, Any], word: str) -> None:
    (line,) = beyond(session, PROFILE)
    assert word in line


def test_a_profile_that_allows_all_lets_a_call_choose() -> None:
    everything = Settings(mcp_approval="approve")
    assert beyond({"agent_tools": "x", "mcp_approval": "approve"}, everything) == []
    assert "none" in beyond({"transfer_targets": "desk = +15550100010"}, everything)[0]


def test_everything_that_is_wrong_is_told_at_once() -> None:
    session = {"business": "x", "max_call_seconds": 601, "agent_tools": "x", "transfer_targets": "a = +15550100011"}
    assert len(beyond(session, PROFILE)) == 4
    assert len(of_profile({"business": 1, "over_budget": 2, "voice": 3})) == 2
    assert (tool_names(""), tool_names(" a,, b ,")) == ([], ["a", "b"])
