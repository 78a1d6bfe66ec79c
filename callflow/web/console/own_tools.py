"""The routes for the tools that operators define on the page: look at them, check one while it is written, change them.

No function runs for such a tool: a call of it waits in the console until a person answers (`step_in.py`)."""

from __future__ import annotations

import asyncio
from typing import Final

from quart import Quart, Response

from callflow.config.kept_profiles import VERSION
from callflow.contracts.errors import BadRequest, ToolRefused
from callflow.history.history import History
from callflow.switchboard.shielded_changes import ShieldedChanges
from callflow.switchboard.tool_service import ToolService
from callflow.tools import own
from callflow.web.console.requested_by import requester
from callflow.web.console.session import seen_version
from callflow.web.responses import (
    error_response,
    history_not_open,
    json_object,
    json_response,
    large_json_response,
    unknown_names,
)


_EXAMPLE: Final = '{"name": "ask_the_kitchen", "description": "…", "parameters": {"type": "object", "properties": {}}}'
_TEXT: Final = '{"text": "{\\"name\\": …}"}'
_SEEN: Final = '{"version": 3}'


def add_own_tools(
    app: Quart, history: History, service: ToolService, shielded: ShieldedChanges, *, has_token: bool
) -> None:
    """Add the routes to the app. `has_token`: operators need CONSOLE_TOKEN."""

    @app.get("/api/tools/own")
    async def own_tools() -> Response:
        """List the tools that were defined on the page, and templates for new ones."""
        told = service.listed()
        return await large_json_response(lambda: told)

    @app.post("/api/tools/check")
    async def check_tool() -> Response:
        """Say what is wrong with a definition, with line and column; nothing is kept."""
        body = await json_object(_TEXT)
        text = body.get("text")
        problems = unknown_names(body, ("text",))
        if not isinstance(text, str):
            problems.append(f"text must be the definition as it is written, such as {_TEXT}.")
        if problems:
            raise BadRequest(400, *problems)
        reading = await asyncio.to_thread(own.read_text, str(text))
        taken = service.names_taken(reading.definition["name"]) if reading.definition else []
        return json_response(
            {
                "ok": not reading.problems,
                "problems": [
                    {"text": each.text, "line": each.line or None, "column": each.column or None}
                    for each in reading.problems
                ],
                "warnings": [*reading.warnings, *taken],
                "definition": dict(reading.definition) or None,
            }
        )

    @app.post("/api/tools/own")
    async def make_tool() -> Response:
        """Make a tool: the body is its definition. It is offered to calls that begin later."""
        body = await json_object(_EXAMPLE)
        if not history.is_readable:
            return history_not_open()
        told = await shielded(service.put(body, by=requester(has_token=has_token)))
        return json_response(told, 201)

    @app.put("/api/tools/own/<name>")
    async def put_tool(name: str) -> Response:
        """Change a tool, or make it. Beside its definition, the body may have the `version` that was seen."""
        body = await json_object(_EXAMPLE)
        seen = seen_version({key: value for key, value in body.items() if key == VERSION})
        if not history.is_readable:
            return history_not_open()
        definition = {key: value for key, value in body.items() if key != VERSION}
        by = requester(has_token=has_token)
        return json_response(await shielded(service.put(definition, by=by, name=name, seen=seen)))

    @app.delete("/api/tools/own/<name>")
    async def delete_tool(name: str) -> Response:
        """Delete a tool. Calls that have begun keep it."""
        body = await json_object(_SEEN, may_be_empty=True)
        seen = seen_version(body)
        if not history.is_readable:
            return history_not_open()
        await shielded(service.delete(name, by=requester(has_token=has_token), seen=seen))
        return json_response({"success": True})

    @app.get("/api/tools/own/<name>/versions")
    async def tool_versions(name: str) -> Response:
        """List the versions of a tool, the newest first: when, by whom, and its definition (null: deleted)."""
        if not history.is_readable:
            return history_not_open()
        found = await service.versions(name)
        return await large_json_response(lambda: {"name": name, "versions": found})

    @app.errorhandler(ToolRefused)
    async def refused(error: ToolRefused) -> Response:
        several = f"{len(error.reasons)} things are wrong with this tool."
        return error_response(error.status, error.reasons[0] if len(error.reasons) == 1 else several, error.reasons)
