"""A remote tool server's keys go to the model's vendor and to nobody else."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from callflow.contracts import remote_tools
from callflow.contracts.engine import SessionContext
from callflow.contracts.errors import ToolsError
from callflow.contracts.tools import Caller
from callflow.engines.openai_realtime.session_config import session
from callflow.tools.builtin import CallToolset
from callflow.tools.loader import load
from tests.configs import realtime_config
from tests.e2e.product import product


SERVER = """
tools = [{
    "type": "mcp", "server_label": "orders", "server_description": "Orders", "connector_id": "c",
    "allowed_tools": ["find"], "require_approval": "never", "server_url": "https://user:Zq9pass@orders.example:8443/mcp?key=Zq9query",
    "authorization": "Zq9token", "headers": {"X-Api-Key": "Zq9header"}, "new_field": "Zq9new"}]
"""


def tools(folder: Path, text: str) -> CallToolset:
    (folder / "tools.py").write_text(text, encoding="utf-8")
    return CallToolset(load(folder / "tools.py"), Caller("call", "", ""), {})


def test_people_see_where_it_is_and_what_it_may_do(tmp_path: Path) -> None:
    (shown,) = (each for each in tools(tmp_path, SERVER).shown if each["type"] == "mcp")
    assert shown == {
        "type": "mcp", "server_label": "orders", "server_description": "Orders", "connector_id": "c",
        "allowed_tools": ["find"], "require_approval": "never", "server_url": "https://orders.example:8443/mcp?…",
        "authorization": "…", "headers": "…", "new_field": "…",
    }  # fmt: skip


def test_the_vendor_is_told_all_of_it(tmp_path: Path) -> None:
    box = tools(tmp_path, SERVER)
    sent = json.dumps(session(realtime_config(), SessionContext("call", tools=box.definitions)))
    assert all(key in sent for key in ("Zq9pass", "Zq9query", "Zq9token", "Zq9header", "Zq9new"))


def test_its_keys_are_known_so_that_an_error_that_repeats_them_is_not_told(tmp_path: Path) -> None:
    (definition,) = (each for each in tools(tmp_path, SERVER).definitions if each["type"] == "mcp")
    assert set(remote_tools.keys_of(definition)) == {"Zq9pass", "Zq9query", "Zq9token", "Zq9header"}
    bearer = {"type": "mcp", "headers": {"Authorization": "Bearer Zq9"}}
    assert set(remote_tools.keys_of(bearer)) == {"Bearer Zq9", "Zq9"}
    assert set(remote_tools.keys_of({"type": "function", "name": "x"})) == set()


@pytest.mark.parametrize(
    "text",
    [
        'tools = [{"type": "remote", "authorization": "Zq9token"}]',
        'tools = [{"type": "mcp", "authorization": "Zq9token"}]',
        'tools = ["Zq9token"]',
        'tools = [("Zq9token", len)]',
        'tools = [({"name": "x"}, "Zq9token")]',
    ],
)
def test_a_definition_that_cannot_be_used_is_not_echoed(tmp_path: Path, text: str) -> None:
    with pytest.raises(ToolsError) as caught:
        tools(tmp_path, text)
    assert "Zq9" not in str(caught.value)


async def test_the_operators_port_shows_no_key(tmp_path: Path) -> None:
    tools(tmp_path, SERVER)
    async with product(tools_file=str(tmp_path / "tools.py")) as the, httpx.AsyncClient(trust_env=False) as client:
        told = (await client.get(f"http://127.0.0.1:{the.app.console_at[1]}/tools")).text
        assert "orders.example" in told
        assert "Zq9" not in told


def test_what_becomes_of_a_question_for_leave_is_said_for_each_server_that_asks() -> None:
    asks = {"type": "mcp", "server_label": "shop", "server_url": "https://shop.example"}
    partly = {**asks, "server_label": "stock", "require_approval": {"never": {"tool_names": ["count"]}}}
    never = {**asks, "server_label": "quiet", "require_approval": "never"}
    lines = remote_tools.leave([asks, partly, never], "decline")
    assert [line.split(":")[0] for line in lines] == ["MCP server shop", "MCP server stock"]
    assert all("declined (mcp_approval = decline)" in line for line in lines)
    assert "given (mcp_approval = approve)" in remote_tools.leave([asks], "approve")[0]
    assert "nobody to ask" in remote_tools.leave([asks], "ask")[0]
