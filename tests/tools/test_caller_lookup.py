"""The function of tools.py that is asked about callers: found by its name, never known to the model."""

from __future__ import annotations

from pathlib import Path

import pytest

from callflow.contracts.caller_lookup import Question, read_answer
from callflow.contracts.errors import LookupFailed, ToolsError
from callflow.contracts.tools import Caller, ToolCall
from callflow.tools.builtin import CallToolset
from callflow.tools.caller_lookup import FunctionAsked
from callflow.tools.loader import ToolLoader, load
from callflow.tools.registry import HOOK


QUESTION = Question(call="a call", carrier="twilio", from_number="+15550100001", to_number="+15550100002")
SOURCE = """
def who(call):
    return {"variables": {"told": f"{call.call} {call.carrier} {call.from_number} {call.to_number}"}}

async def fails(call):
    raise ValueError("a secret")

def big(call):
    return {"variables": {"x": "y" * 200_000}}

def wrong(caller):
    pass

limit = 3
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tools.py"
    path.write_text(SOURCE)
    return path


async def test_it_is_told_whose_call_it_is(file: Path) -> None:
    asked = FunctionAsked(ToolLoader(file, hook="who").current, 5)
    found = read_answer(await asked(QUESTION))
    assert found.variables == {"told": "a call twilio +15550100001 +15550100002"}


async def test_what_goes_wrong_is_told_without_its_words(file: Path) -> None:
    with pytest.raises(LookupFailed, match="failed: ValueError") as error:
        await FunctionAsked(ToolLoader(file, hook="fails").current, 5)(QUESTION)
    assert "secret" not in str(error.value)
    with pytest.raises(LookupFailed, match="16 kB"):
        read_answer(await FunctionAsked(ToolLoader(file, hook="big").current, 5)(QUESTION))


async def test_the_model_neither_knows_nor_reaches_it(file: Path) -> None:
    tools = load(file, "who")
    assert tools.definitions == []
    box = CallToolset(tools, Caller("a call", "", ""), {})
    for name in ("who", HOOK):
        answer = await box.run(ToolCall("1", name, "{}"), 5)
        assert not answer.ok
        assert "there is no tool" in answer.output


@pytest.mark.parametrize(
    ("name", "why"),
    [("missing", "no such function"), ("limit", "no such function"), ("wrong", "one parameter of the name `call`")],
)
def test_a_name_that_cannot_be_asked_is_refused(file: Path, name: str, why: str) -> None:
    with pytest.raises(ToolsError, match=why):
        load(file, name)


def test_a_changed_file_without_it_leaves_the_tools_as_they_were(file: Path) -> None:
    loader = ToolLoader(file, hook="who")
    file.write_text("# nothing is left\n")
    loader.refresh()
    assert loader.current().hook is not None
