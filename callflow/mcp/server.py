"""An MCP server with which language models read the history of the calls. It changes nothing.

Its tools and resources have the names and arguments of an earlier system; two tools are new. It is built on the
low-level server of the package `mcp`: the high-level one adds titles to the schemas, words errors in its own way, and
announces prompts that do not exist.
Protocol: https://modelcontextprotocol.io/specification
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError

from callflow.contracts.errors import BadQuery, McpToolError
from callflow.contracts.hangup_causes import ended
from callflow.contracts.json_slices import json_slices
from callflow.contracts.printable import line
from callflow.history.query import MOST, Query
from callflow.history.store import Store
from callflow.history.views import earlier, plain
from callflow.journal.timeline import lines, local


log = logging.getLogger(__name__)

NAME: Final = "twilio-conversations"
"""The name in the configurations of its clients since that earlier system."""
VERSION: Final = "1.0.0"
_LIMIT: Final = 50
_RESOURCES: Final = 100
_SCHEME: Final = "conversation://"
_INVALID: Final = -32602
_NOT_FOUND: Final = -32002
_INTERNAL: Final = -32603

Arguments = Mapping[str, Any]
Tool = Callable[[Store, Arguments], Awaitable[Any]]


def make_server(open_store: Callable[[], Awaitable[Store]]) -> Server[Any]:
    """Make the server. `open_store` raises McpToolError or BadQuery when there is no history to read."""

    async def list_tools(_: Any, __: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[tool for tool, _ in _TOOLS.values()])

    async def call_tool(_: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        try:
            if params.name not in _TOOLS:
                raise McpToolError(f"there is no tool {params.name[:80]!r}; there are {', '.join(_TOOLS)}")
            answer = await _TOOLS[params.name][1](await open_store(), params.arguments or {})
            note = answer.note if isinstance(answer, _Nothing) else ""
            return _result(await asyncio.to_thread(_json, answer), note)
        except (McpToolError, BadQuery) as error:
            return _result(f"Error: {line(str(error))}", is_error=True)
        except Exception as error:
            log.exception("the tool %s failed", params.name)
            return _result(f"Error: {_unreadable(error)}", is_error=True)

    async def list_resources(_: Any, __: Any) -> types.ListResourcesResult:
        try:
            rows = await (await open_store()).find(Query(limit=_RESOURCES))
        except (McpToolError, BadQuery):
            rows = []
        except Exception as error:
            log.exception("the resources cannot be listed")
            raise MCPError(_INTERNAL, _unreadable(error)) from None
        return types.ListResourcesResult(resources=[_resource(row) for row in rows])

    async def read_resource(_: Any, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        uri = str(params.uri)
        if not uri.startswith(_SCHEME):
            raise MCPError(_INVALID, f"resources here are {_SCHEME}…, not {line(uri[:80])}")
        try:
            answer = await _details(await open_store(), {"streamSid": uri.removeprefix(_SCHEME).rstrip("/")})
            text = await asyncio.to_thread(_json, answer)
        except (McpToolError, BadQuery) as error:
            raise MCPError(_NOT_FOUND, line(str(error))) from None
        except Exception as error:
            log.exception("a resource cannot be read")
            raise MCPError(_INTERNAL, _unreadable(error)) from None
        content = types.TextResourceContents(uri=uri, mime_type="application/json", text=text)
        return types.ReadResourceResult(contents=[content])

    return Server(
        NAME,
        version=VERSION,
        instructions="The telephone calls that Callflow has answered. Times are ISO 8601 in UTC.",
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_read_resource=read_resource,
    )


def _json(answer: Any) -> str:
    return b"".join(json_slices(answer, margin=b"")).decode()


def _unreadable(error: Exception) -> str:
    return f"the history cannot be read ({type(error).__name__}): the log says why"


def _result(text: str, note: str = "", *, is_error: bool = False) -> types.CallToolResult:
    content = [types.TextContent(type="text", text=each) for each in (text, note) if each]
    return types.CallToolResult(content=list(content), is_error=is_error)


class _Nothing(list[Any]):
    """An empty list of results, and a note that explains how the query was read."""

    note = ""


async def _found(store: Store, wanted: Query) -> list[Any]:
    found = await store.find(wanted)
    rows = await asyncio.to_thread(lambda: [earlier(row) for row in found])
    if not rows:
        rows = _Nothing()
        rows.note = line(await asyncio.to_thread(store.assumed, wanted))
    return rows


def _resource(row: Mapping[str, Any]) -> types.Resource:
    at = local(row["started_at"])
    who = row["caller_number"] or row["phone_number"]
    return types.Resource(
        uri=f"{_SCHEME}{row['stream_sid']}",
        name=line(f"Conversation {who} - {at}"),
        description=line(f"Conversation of {at} (caller: {row['caller_number'] or 'unknown'})"),
        mime_type="application/json",
    )


# Arguments


def _text(arguments: Arguments, name: str, *, needed: bool = False) -> str:
    value = arguments.get(name)
    if value is None or value == "":
        if needed:
            raise McpToolError(f"{name} is needed")
        return ""
    if not isinstance(value, str):
        raise McpToolError(f"{name} must be a text")
    return value


def _limit(arguments: Arguments) -> int:
    value = arguments.get("limit", _LIMIT)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value):
        raise McpToolError(f"limit must be a number from 1 to {MOST}")
    return int(min(max(value, 1), MOST))


# Tools


async def _conversations(store: Store, arguments: Arguments) -> Any:
    sid = _text(arguments, "phoneNumberSid")
    number = "" if sid else _text(arguments, "phoneNumber")
    return await _found(store, Query(called=number, called_id=sid, limit=_limit(arguments)))


async def _details(store: Store, arguments: Arguments) -> Any:
    row = await _conversation(store, arguments)
    return {"conversation": _known(row), "items": await _items(store, row)}


async def _items(store: Store, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    items = await store.items(row["id"])

    def told() -> list[dict[str, Any]]:
        shown = [plain(item) for item in items]
        items.clear()  # here, because freeing thousands of them takes its time, too
        return shown

    return await asyncio.to_thread(told)


async def _conversation(store: Store, arguments: Arguments) -> dict[str, Any]:
    name = _text(arguments, "streamSid", needed=True)
    row = await store.conversation(name)
    if row is None:
        raise McpToolError(f"there is no conversation {name[:80]!r} in the history")
    return row


def _known(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in earlier(row).items() if name != "created_at"}


async def _by_date(store: Store, arguments: Arguments) -> Any:
    wanted = Query(since=_text(arguments, "startDate"), until=_text(arguments, "endDate"), limit=_limit(arguments))
    return await _found(store, wanted)


async def _by_caller(store: Store, arguments: Arguments) -> Any:
    wanted = Query(caller=_text(arguments, "callerNumber", needed=True), limit=_limit(arguments))
    return await _found(store, wanted)


async def _by_words(store: Store, arguments: Arguments) -> Any:
    wanted = Query(words=_text(arguments, "query", needed=True), limit=_limit(arguments))
    return await _found(store, wanted)


async def _timeline(store: Store, arguments: Arguments) -> Any:
    row = await _conversation(store, arguments)
    entries = await store.journal(row["call_id"]) if row["call_id"] else []
    items = [] if entries else await _items(store, row)

    def told() -> dict[str, Any]:
        return {
            "conversation": _known(row),
            "ended": ended(row),
            "timeline": [{"seconds": at, "what": what} for at, what in lines(entries, row["started_at"], items)],
        }

    return await asyncio.to_thread(told)


_NUMBERED: Final = {"limit": {"type": "number", "description": f"How many at most, 1 to {MOST}", "default": _LIMIT}}
_STREAM: Final = {"streamSid": {"type": "string", "description": "Its stream_sid, or Callflow's id of the call"}}


def _tool(name: str, description: str, properties: dict[str, Any], *required: str) -> types.Tool:
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        schema["required"] = list(required)
    return types.Tool(
        name=name,
        description=description,
        input_schema=schema,
        annotations=types.ToolAnnotations(read_only_hint=True, open_world_hint=False),
    )


_TOOLS: Final[dict[str, tuple[types.Tool, Tool]]] = {
    tool.name: (tool, run)
    for tool, run in (
        (
            _tool(
                "get_conversations",
                "Lists the telephone conversations, newest first: all, or those with one of our numbers.",
                {
                    "phoneNumber": {
                        "type": "string",
                        "description": "The number that was called: +15550100002",
                    },
                    "phoneNumberSid": {"type": "string", "description": "The carrier's id of that number; goes first"},
                    **_NUMBERED,
                },
            ),
            _conversations,
        ),
        (
            _tool(
                "get_conversation_details",
                "Everything that was said in one conversation, in order.",
                _STREAM,
                "streamSid",
            ),
            _details,
        ),
        (
            _tool(
                "search_conversations",
                "Finds the conversations that began between two moments, both included. A date means the whole day.",
                {
                    "startDate": {"type": "string", "description": "ISO 8601: 2026-01-31 or 2026-01-31T12:00:00Z"},
                    "endDate": {"type": "string", "description": "ISO 8601; a date includes that day"},
                    **_NUMBERED,
                },
            ),
            _by_date,
        ),
        (
            _tool(
                "search_conversations_by_caller",
                "Finds the conversations with one caller.",
                {"callerNumber": {"type": "string", "description": "The caller's number"}, **_NUMBERED},
                "callerNumber",
            ),
            _by_caller,
        ),
        (
            _tool(
                "search_conversations_by_text",
                "Finds the conversations in which all of these words were said, newest first.",
                {
                    "query": {
                        "type": "string",
                        "description": "Words; in quotes: one after another; with * behind: what begins like that",
                    },
                    **_NUMBERED,
                },
                "query",
            ),
            _by_words,
        ),
        (
            _tool(
                "get_conversation_timeline",
                "What happened in one call, second by second: webhooks, transitions, commands, words; why it ended.",
                _STREAM,
                "streamSid",
            ),
            _timeline,
        ),
    )
}
