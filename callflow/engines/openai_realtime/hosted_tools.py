"""Reports what tools of MCP servers have done, which the vendor runs: no call of them comes here otherwise.

Vendor: https://platform.openai.com/docs/guides/realtime-mcp
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from callflow.contracts.engine import HostedTool
from callflow.contracts.tools import MOST_ARGUMENTS
from callflow.engines.common.channel import Channel
from callflow.engines.openai_realtime.server_events import ServerEvent


_MOST_KNOWN: Final = 256
_MOST_NAME: Final = 200
_MOST_TOLD: Final = 300


class HostedTools:
    """The tools that the vendor runs in one session."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._told: dict[str, None] = {}
        """Ids of calls that were reported."""
        self._labels: dict[str, str] = {}
        """Items in which the tools of a server are listed, each with the server."""

    def item(self, item: Any) -> None:
        """Report an item once, if it is a call that has come to its end: it comes with its response, too."""
        if not isinstance(item, dict) or not isinstance(item.get("id"), str):
            return
        if item.get("type") == "mcp_list_tools":
            _keep(self._labels, item["id"], _name(item.get("server_label")))
        output, error = item.get("output"), item.get("error")
        if item.get("type") != "mcp_call" or item["id"] in self._told or (output is None and error is None):
            return
        _keep(self._told, item["id"], None)
        ok = error is None
        arguments, told = (self._shown(each) for each in (item.get("arguments"), output if ok else error))
        server, tool = _name(item.get("server_label")), _name(item.get("name"))
        called = HostedTool(item["id"][:_MOST_NAME], server, tool, arguments, told, ok)
        self._channel.notify(called)
        if not ok:
            self._channel.report("mcp_call", f"{called.name} has failed: {called.output}"[:_MOST_TOLD])

    def listing_failed(self, event: ServerEvent) -> None:
        """Report that the tools of a server are not known, so that the agent has none of them.

        Vendor: https://platform.openai.com/docs/api-reference/realtime-server-events/mcp_list_tools/failed
        """
        server = self._labels.get(event.item_id or "", "") or "a server"
        why = f"the tools of {server} (MCP) cannot be listed, so that the agent has none of them"
        self._channel.report("mcp_list_tools", self._channel.secrets.safe_text(why))

    def _shown(self, value: Any) -> str:
        return self._channel.secrets.safe_text(_text(value))[:MOST_ARGUMENTS]


def _keep(kept: dict[str, Any], name: str, value: Any) -> None:
    kept[name] = value
    while len(kept) > _MOST_KNOWN:
        del kept[next(iter(kept))]


def _name(value: Any) -> str:
    return value[:_MOST_NAME] if isinstance(value, str) else ""


def _text(value: Any) -> str:
    """Return a result or an error as text: of an error what it says, if it says something."""
    said = value.get("message") if isinstance(value, dict) else value
    if isinstance(said, str):
        return said
    try:
        return "" if value is None else msgspec.json.encode(value).decode()
    except RecursionError:
        return ""
