"""Tools that a person answers: how they are declared, and that no function of theirs is run in a call."""

from __future__ import annotations

from pathlib import Path

import pytest

from callflow.contracts.errors import AskOperator, ToolsError
from callflow.contracts.tools import Caller, ToolCall
from callflow.tools.builtin import CallToolset
from callflow.tools.loader import load


DECLARED = """
tools = [{
    "type": "function", "name": "approve", "description": "Ask a colleague whether a discount is possible.",
    "parameters": {"type": "object", "properties": {"percent": {"type": "number"}}, "required": ["percent"]},
    "answered_by": "operator"%s}]
"""


def declared(folder: Path, more: str = "") -> Path:
    path = folder / "tools.py"
    path.write_text(DECLARED % more, encoding="utf-8")
    return path


@pytest.mark.parametrize(("more", "seconds"), [("", 60), (', "seconds": 20', 20)])
async def test_its_definition_is_the_models_and_its_answer_a_persons(tmp_path: Path, more: str, seconds: int) -> None:
    box = CallToolset(load(declared(tmp_path, more)), Caller("call", "", ""), {})
    (told,) = (each for each in box.definitions if each["name"] == "approve")
    assert set(told) == {"type", "name", "description", "parameters"}
    with pytest.raises(AskOperator) as asked:
        await box.run(ToolCall("c", "approve", '{"percent": 10}'), 5)
    assert asked.value.seconds == seconds


@pytest.mark.parametrize("seconds", ["0", "-1", "601", "True", "'soon'", "None"])
def test_a_caller_does_not_wait_for_ever(tmp_path: Path, seconds: str) -> None:
    with pytest.raises(ToolsError, match="seconds must be a number above 0"):
        load(declared(tmp_path, f', "seconds": {seconds}'))
