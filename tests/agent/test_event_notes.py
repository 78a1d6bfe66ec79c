"""What is only written down is written down whole."""

from __future__ import annotations

from typing import Any

import pytest

from callflow.agent.event_notes import NOTED
from callflow.contracts.engine import EngineChosen, ErrorReported, HostedTool, McpApproval
from callflow.journal import notes
from tests.agent.offline import Scene
from tests.in_loop import in_loop


TOLD = [
    EngineChosen("openai_live", "the first one is away"),
    McpApproval("shop", "buy", approved=False),
    HostedTool("m1", "shop", "buy", "{}", "no such tool", ok=False),
    ErrorReported("bad_value", "no such voice"),
]


def test_each_event_that_is_written_down_is_tried_here() -> None:
    assert {type(told) for told in TOLD} == set(NOTED)


@pytest.mark.parametrize("told", TOLD, ids=lambda told: type(told).__name__)
@in_loop
async def test_a_note_has_all_that_the_engine_has_told_and_can_be_read_again(told: Any) -> None:
    scene = Scene()
    scene.ready()
    scene.notes.clear()
    scene.tell(told, told)
    note = scene.notes[0]
    assert scene.notes == [note, note], "nothing says that it is the same one"
    assert {name: getattr(note, name) for name in told._fields} == told._asdict()
    assert notes.read(notes.to_json(note)) == note
    assert len(scene.events) == 1, "it decides nothing"
