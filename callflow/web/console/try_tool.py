"""The route that runs one of the agent's tools for no call, to see what it answers."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Final

from quart import Quart, Response

from callflow.contracts.errors import BadRequest
from callflow.contracts.printable import quoted
from callflow.tools.registry import ToolContext, ToolResult, Tools
from callflow.web.responses import error_response, json_object, json_response, unknown_names


_EXAMPLE: Final = '{"arguments": {"city": "Oslo"}}'

TryTool = Callable[[str, str], Awaitable[ToolResult | None]]
"""Runs a tool by its name with arguments in JSON; None: there is no such tool here."""


def run_for_no_call(tools: Callable[[], Tools], seconds: Callable[[], float]) -> TryTool:
    """Return what runs a function of the tools file for no call."""

    async def run(name: str, arguments: str) -> ToolResult | None:
        current = tools()
        if name not in current.local:
            return None
        context = ToolContext(call="try", idempotency_key=f"try-{uuid.uuid4()}")
        return await current.run(name, arguments, context, seconds=seconds())

    return run


def add_try_tool(app: Quart, run: TryTool) -> None:
    """Add the route to the app."""

    @app.post("/tools/<name>/try")
    async def try_tool(name: str) -> Response:
        """Run a tool: `{"arguments": {…}}`. It does what it does in a call, with all effects."""
        body = await json_object(_EXAMPLE, may_be_empty=True)
        problems = unknown_names(body, ("arguments",))
        arguments = body.get("arguments", {})
        if not isinstance(arguments, dict):
            problems.append(f"arguments must be an object, such as in {_EXAMPLE}.")
        if problems:
            raise BadRequest(400, *problems)
        began = time.monotonic()
        result = await run(name, json.dumps(arguments))
        if result is None:
            return error_response(404, f"The tools file has no function {quoted(name)}: GET /tools lists all tools.")
        return json_response({"ok": result.ok, "output": _read(result.output), "ms": _ms(began)})


def _ms(began: float) -> int:
    return round((time.monotonic() - began) * 1000)


def _read(output: str) -> Any:
    try:
        return json.loads(output)
    except ValueError:
        return output
