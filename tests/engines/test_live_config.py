"""The configuration of Live sessions: what is asked for, what is left out, and that each is told."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from callflow.contracts.engine import ContextItem, SessionContext
from callflow.contracts.tools import ToolCall
from callflow.engines.openai_live import live_config
from callflow.engines.openai_live.live_config import MOST_INSTRUCTIONS, LiveConfig
from tests.engines.test_live_delegation import CONFIG, TOOLS


SHOP = {"type": "mcp", "server_label": "shop", "server_url": "https://shop.example", "headers": {"a": "secret"}}


def config(**changes: Any) -> LiveConfig:
    return dataclasses.replace(CONFIG, **changes)


def session(*tools: dict[str, Any], told: Any = (), **changes: Any) -> dict[str, Any]:
    return live_config.session(config(**changes), SessionContext("call", tools=tools), told)


@pytest.mark.parametrize(
    ("voice", "asked"),
    [("marin", "marin"), ("voice_123", {"id": "voice_123"}), ("alloy?", None), ("", None), ("Marin", None)],
)
def test_a_voice_that_it_does_not_have_is_not_asked_for_and_that_is_told(voice: str, asked: Any) -> None:
    audio = session(voice=voice)["audio"]
    assert audio.get("output", {}).get("voice") == asked
    assert audio["format"] == {"type": "audio/pcmu", "rate": 8000}
    told = [line for line in live_config.warnings(config(voice=voice)) if "no voice" in line]
    assert bool(told) is (asked is None)
    assert live_config.spoken_voice(config(voice=voice)) == (voice if asked is not None else "")


@pytest.mark.parametrize(("length", "told"), [(0, False), (MOST_INSTRUCTIONS, False), (MOST_INSTRUCTIONS + 1, True)])
def test_instructions_are_cut_where_the_vendor_takes_no_more_and_that_is_told(length: int, told: bool) -> None:
    text = "x" * length
    made = session(*TOOLS, instructions=text)
    assert made["instructions"] == made["delegation"]["responses"]["instructions"] == text[:MOST_INSTRUCTIONS]
    found = [line for line in live_config.warnings(config(instructions=text)) if "characters of instructions" in line]
    assert bool(found) is told


@pytest.mark.parametrize(
    ("tools", "model", "kind"), [((), "gpt-5", "client"), ((SHOP,), "gpt-5", "client"), ((*TOOLS,), "", "client"),
                                 ((*TOOLS, SHOP), "gpt-5", "responses")],
)  # fmt: skip
def test_tools_are_delegated_only_if_there_are_some_and_somebody_calls_them(
    tools: tuple[dict[str, Any], ...], model: str, kind: str
) -> None:
    delegation = session(*tools, delegation_model=model)["delegation"]
    assert delegation["type"] == kind
    if kind == "responses":
        assert delegation["responses"]["tools"] == TOOLS
        assert delegation["responses"]["model"] == model


@pytest.mark.parametrize(
    ("choice", "asked"),
    [("auto", None), ("none", "none"), ("required", "required"), ("look", {"type": "function", "name": "look"}),
     ("of another number", None), ("", None)],
)  # fmt: skip
def test_which_tool_is_to_be_chosen(choice: str, asked: Any) -> None:
    assert session(*TOOLS, tool_choice=choice)["delegation"]["responses"].get("tool_choice") == asked


@pytest.mark.parametrize(("setting", "asked"), [("default", None), ("on", True), ("off", False)])
def test_whether_tools_may_run_beside_each_other(setting: str, asked: Any) -> None:
    made = session(*TOOLS, parallel_tool_calls=setting)["delegation"]["responses"]
    assert made.get("parallel_tool_calls") is asked


def test_of_a_tool_only_what_the_interface_knows_is_sent() -> None:
    odd = {**TOOLS[0], "strict": True, "x": 1}
    assert live_config.functions([odd, SHOP, {"type": "web_search"}, {}]) == TOOLS


def test_what_was_said_before_is_told_in_order_and_by_whom() -> None:
    told = [
        ContextItem("caller", "Hello?"), ContextItem("agent", "Good day."), ContextItem("system", "They typed 1."),
        ToolCall("call_1", "look", "{}"),
    ]  # fmt: skip
    made = session(told=told)["input"]
    assert [(each["role"], each["content"][0]["type"]) for each in made] == [
        ("user", "input_text"), ("assistant", "output_text"), ("developer", "input_text"), ("developer", "input_text"),
    ]  # fmt: skip
    assert [each["content"][0]["text"] for each in made[:3]] == ["Hello?", "Good day.", "They typed 1."]
    assert "Do not call it again" in made[3]["content"][0]["text"]
    assert "input" not in session(), "nothing was said"


@pytest.mark.parametrize(
    ("item", "text"),
    [(ContextItem("caller", "Hello?"), "The caller said: Hello?"), (ContextItem("agent", "So."), "You said: So."),
     (ContextItem("system", "They typed 1."), "They typed 1.")],
)  # fmt: skip
def test_a_fact_says_whose_words_it_tells(item: ContextItem, text: str) -> None:
    assert live_config.fact(item) == text


@pytest.mark.parametrize(
    ("tools", "model", "lines"),
    [((), "", 0), ((*TOOLS,), "gpt-5", 0), ((*TOOLS,), "", 1), ((SHOP,), "gpt-5", 1), ((*TOOLS, SHOP), "", 2)],
)
def test_each_kind_of_tool_that_cannot_be_called_is_one_line(
    tools: tuple[dict[str, Any], ...], model: str, lines: int
) -> None:
    found = live_config.tool_warnings(config(delegation_model=model), tools)
    assert len(found) == lines
    assert "secret" not in str(found)


def test_a_profile_without_tools_is_not_warned_of_them() -> None:
    quiet = live_config.warnings(config(delegation_model=""), tools=False)
    assert not [line for line in quiet if "tools are off" in line]
    assert [line for line in live_config.warnings(config(delegation_model="")) if "tools are off" in line]


def test_what_is_not_taken_cannot_be_changed_for_all() -> None:
    live_config.not_taken().clear()
    assert live_config.not_taken()["speed"]


def test_the_key_and_the_address_are_not_in_the_log() -> None:
    shown = repr(config(api_key="sk-secret", url="wss://user:secret@x"))
    assert "secret" not in shown
