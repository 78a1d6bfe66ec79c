"""Which tools are not run again after their process was lost."""

from __future__ import annotations

from typing import Any

import pytest

from callflow.call.lost_tools import NOT_AGAIN, UNKNOWN_RESULT, LostTools
from callflow.contracts.tools import ToolCall
from callflow.journal.journal import JournalEntry


def called(name: str, arguments: str = '{"table":4,"at":"7"}', *, taken: bool = True) -> JournalEntry:
    event = {"event": "tool_called", "id": name, "tool": "book", "arguments": arguments}
    return JournalEntry("call", 1, 1.0, event, "streaming", "streaming", taken=taken)


def finished(name: str, output: Any = "{}") -> JournalEntry:
    return JournalEntry("call", 0, 2.0, {"event": "tool_finished", "id": name, "tool": "book", "output": output})


@pytest.mark.parametrize(
    ("entries", "is_lost"),
    [
        ([], False),
        ([called("a")], True),
        ([called("a", taken=False)], False),
        ([called("a"), finished("a")], False),
        ([called("a"), finished("a", UNKNOWN_RESULT)], True),
        ([called("a"), called("b"), finished("b")], True),
        ([called("a"), finished("a", UNKNOWN_RESULT), called("b"), finished("b")], True),
    ],
    ids=["none", "it was running", "it was never run", "answered", "lost by a process of before", "one of two", "once"],
)
def test_a_tool_is_lost_whose_outcome_nobody_knows(entries: list[JournalEntry], is_lost: bool) -> None:
    assert LostTools(entries).refusal(ToolCall("z", "book", '{"at": "7", "table": 4}')) == (
        NOT_AGAIN if is_lost else None
    )


def test_the_same_tool_with_other_arguments_and_another_one_run() -> None:
    lost = LostTools([called("a"), called("b", "{broken")])
    assert lost.refusal(ToolCall("z", "book", '{"table": 5, "at": "7"}')) is None
    assert lost.refusal(ToolCall("z", "cancel", '{"table": 4, "at": "7"}')) is None
    assert lost.refusal(ToolCall("z", "book", "{broken")) == NOT_AGAIN
