"""When a tool runs again whose process was lost."""

from __future__ import annotations

from typing import Any

import pytest

from callflow.call.lost_tools import ASK_FIRST, NOT_AGAIN, UNKNOWN_RESULT, LostTools
from callflow.contracts.tools import ToolCall
from callflow.journal.journal import JournalEntry


def called(name: str, arguments: str = '{"table":4,"at":"7"}', *, taken: bool = True) -> JournalEntry:
    event = {"event": "tool_called", "id": name, "tool": "book", "arguments": arguments}
    return JournalEntry("call", 1, 1.0, event, "streaming", "streaming", taken=taken)


def finished(name: str, output: Any = "{}") -> JournalEntry:
    return JournalEntry("call", 0, 2.0, {"event": "tool_finished", "id": name, "tool": "book", "output": output})


AGAIN = ToolCall("z", "book", '{"at": "7", "table": 4}')


@pytest.mark.parametrize(
    ("entries", "answers"),
    [
        ([], [None, None]),
        ([called("a")], [ASK_FIRST, None, None]),
        ([called("a", taken=False)], [None]),
        ([called("a"), finished("a")], [None]),
        ([called("a"), finished("a", UNKNOWN_RESULT)], [ASK_FIRST, None]),
        ([called("a"), called("b"), finished("b")], [ASK_FIRST, None]),
        ([called("a"), finished("a", UNKNOWN_RESULT), called("b"), finished("b")], [ASK_FIRST, None]),
        ([called("a"), finished("a", UNKNOWN_RESULT), called("b")], [NOT_AGAIN, NOT_AGAIN]),
    ],
    ids=[
        "none", "it was running", "it was never run", "answered", "lost by a process of before", "one of two", "once",
        "two processes were lost with it",
    ],
)  # fmt: skip
def test_what_the_model_is_answered_when_it_wants_a_tool_again(entries: list[JournalEntry], answers: list[Any]) -> None:
    lost = LostTools(entries)
    assert [lost.refusal(AGAIN) for _ in answers] == answers


def test_the_same_tool_with_other_arguments_and_another_one_run() -> None:
    lost = LostTools([called("a"), called("b", "{broken")])
    assert lost.refusal(ToolCall("z", "book", '{"table": 5, "at": "7"}')) is None
    assert lost.refusal(ToolCall("z", "cancel", '{"table": 4, "at": "7"}')) is None
    assert lost.refusal(ToolCall("z", "book", "{broken")) == ASK_FIRST
