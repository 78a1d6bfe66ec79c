"""What an account refuses of a session is remembered for its next ones, for a while, and nothing else of that name."""

from __future__ import annotations

from typing import Any

import pytest

from callflow.engines.common.refused_fields import FieldPath, RefusedFields, tool_names
from tests.configs import realtime_config
from tests.engines.test_session_refusal import HANG_UP, SHOP, full


def test_memory_is_bounded_and_fades() -> None:
    now = 0.0
    memory, session = RefusedFields(lambda: now), full()
    for n in range(1000):
        now = float(n)
        memory.keep(str(n), session, [("reasoning",)])
    assert len(memory._known) == 64
    now = 1000.0
    assert memory.recall("999", session) == (("reasoning",),)
    assert memory.recall("0", session) == ()
    memory.keep("999", session, [("reasoning",)])
    now = 999.0 + 3600
    assert memory.recall("999", session) == (), "and it is not kept longer for being refused again"
    memory.keep("999", session, [("reasoning",)])
    now += 1
    assert memory.recall("999", session) == (("reasoning",),)
    memory.keep("x", session, ())
    assert memory.recall("x", session) == ()


def test_what_is_remembered_is_what_was_refused_and_nothing_else_of_that_name() -> None:
    paths: list[FieldPath] = [
        ("tools", "mcp:shop", "foo"),
        ("audio", "input", "transcription"),
        ("audio", "input", "format"),
    ]
    memory, session = RefusedFields(), full(HANG_UP, {**SHOP, "foo": 1})
    memory.keep("a", session, paths)
    assert list(memory.recall("a", full({**SHOP, "foo": 1}))) == paths, "other tools, other places"
    assert memory.recall("b", session) == ()
    mended = full(SHOP, config=realtime_config(transcription_model="whisper-1", engine_audio="pcm24"))
    assert memory.recall("a", mended) == ()


@pytest.mark.parametrize(
    "path",
    [("reasoning", "effort"), ("reasoning", "no", "such"), ("nothing",), ("tools", "mcp:nobody"), ("tools",),
     ("tools", "mcp:shop", "a", "b")],
)  # fmt: skip
def test_any_path_can_be_remembered_and_is_recalled_for_the_same_session(path: FieldPath) -> None:
    memory, session = RefusedFields(lambda: 0.0), full()
    memory.keep("a", session, [path, path])
    assert memory.recall("a", session) == (path,)


@pytest.mark.parametrize("odd", [{}, {"tools": None}, {"tools": {}}, {"tools": [], "reasoning": "high"}])
def test_a_session_of_another_form_recalls_nothing_of_it(odd: dict[str, Any]) -> None:
    memory = RefusedFields(lambda: 0.0)
    memory.keep("a", full(), [("tools", "mcp:shop", "foo"), ("reasoning", "effort")])
    assert memory.recall("a", odd) == ()


def test_each_tool_has_a_name_of_its_own_that_does_not_depend_on_its_place() -> None:
    assert tool_names([HANG_UP, SHOP]) == ["function:hang_up", "mcp:shop"]
    assert tool_names([SHOP, HANG_UP]) == ["mcp:shop", "function:hang_up"]
    assert tool_names([]) == []
    twice = tool_names([SHOP, SHOP, {}, {}, {"type": "mcp"}, {"server_label": "shop", "name": "x", "type": "mcp"}])
    assert len(set(twice)) == 6
