"""Which calls begin with a sentence that the caller cannot interrupt."""

from __future__ import annotations

import dataclasses

import pytest

from callflow.agent.agent_config import AgentConfig
from tests.agent.offline import Scene
from tests.in_loop import in_loop


@pytest.mark.parametrize(
    ("disclosure", "greeting", "protected", "opens"),
    [
        ("", "", False, False),
        ("", "", True, False),
        ("", "Say hello.", False, False),
        ("", "Say hello.", True, True),
        ("This call is recorded.", "", False, True),
        ("This call is recorded.", "Say hello.", True, True),
    ],
)
@in_loop
async def test_a_protected_beginning_needs_words(disclosure: str, greeting: str, protected: bool, opens: bool) -> None:
    config: AgentConfig = Scene().turns._config
    chosen = dataclasses.replace(config, disclosure=disclosure, greeting=greeting, greeting_protected=protected)
    assert chosen.opens_protected is opens
