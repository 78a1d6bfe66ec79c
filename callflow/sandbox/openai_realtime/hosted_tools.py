"""Tools that the emulated server runs itself (MCP): their servers are asked what they can do once they are named.

Vendor: https://platform.openai.com/docs/guides/realtime-mcp
"""

from __future__ import annotations

from typing import Any, Final

from callflow.sandbox.openai_realtime.items import Item
from callflow.sandbox.openai_realtime.state import SessionState


_USUAL: Final = ("find",)
_SCHEMA: Final = {"type": "object", "properties": {}}


class HostedTools:
    """The MCP servers of one session."""

    def __init__(self, session: SessionState) -> None:
        self._session = session
        self._listed: dict[str, dict[str, Any]] = {}

    def named(self, tools: list[dict[str, Any]]) -> None:
        """List what each server can do that was not named before, or has changed."""
        for tool in tools:
            if tool["type"] == "mcp" and self._listed.get(tool["server_label"]) != tool:
                self._listed[tool["server_label"]] = tool
                self._list(tool)

    def _list(self, tool: dict[str, Any]) -> None:
        session = self._session
        item = Item(
            {"id": session.new_id("mcpl"), "type": "mcp_list_tools", "server_label": tool["server_label"], "tools": []}
        )
        previous = session.conversation.append(item)
        session.emit("conversation.item.added", previous_item_id=previous, item=item.public())
        session.emit("mcp_list_tools.in_progress", item_id=item.id)
        allowed = tool.get("allowed_tools")
        names = allowed if isinstance(allowed, list) else (allowed or {}).get("tool_names", _USUAL)
        item.data["tools"] = [{"name": name, "input_schema": _SCHEMA} for name in names]
        session.emit("mcp_list_tools.completed", item_id=item.id)
        session.emit("conversation.item.done", previous_item_id=previous, item=item.public())
