"""The routes by which an operator steps into a live call: whisper to its model, answer its tools."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
from quart import Quart, Response

from callflow.call.step_in import MOST_WHISPER
from callflow.contracts.errors import BadRequest
from callflow.contracts.tools import ToolAnswer
from callflow.switchboard.switchboard import Switchboard
from callflow.web.console.live_call import live_call, only, taken
from callflow.web.console.requested_by import requester
from callflow.web.responses import json_object, json_response


_WHISPER: Final = '{"text": "Offer ten percent.", "now": false}'
_ANSWER: Final = '{"output": {"approved": true}}'
MOST_ANSWER: Final = 16_000


def add_step_in(app: Quart, switchboard: Callable[[], Switchboard], *, has_token: bool) -> None:
    """Add the routes to the app. `has_token`: operators need CONSOLE_TOKEN."""

    @app.get("/api/calls/<call>/acts")
    async def acts(call: str) -> Response:
        """Answer what an operator needs to act in a live call: to whom it can be transferred, who is muted, whether the
        caller is on hold, and which tool calls wait for a person."""
        live = live_call(switchboard(), call)
        line = live.requests.line
        return json_response(
            {
                "call": call,
                "targets": list(live.config.transfer_targets) if "transfers" in live.carrier.can else [],
                "on_hold": line.is_on_hold,
                "muted": line.muted,
                "waiting": live.requests.step_in.waiting(),
            }
        )

    @app.post("/api/calls/<call>/whisper")
    async def whisper(call: str) -> Response:
        """Tell the model something that the caller does not hear. It uses it from its next answer on, or with
        `"now": true` speaks about it at once."""
        body = await json_object(_WHISPER)
        only(body, "text", "now")
        text, now = body.get("text"), body.get("now", False)
        if not isinstance(text, str) or not text.strip() or len(text) > MOST_WHISPER:
            raise BadRequest(400, f"text must be for the model, {MOST_WHISPER} characters at most, such as {_WHISPER}.")
        if not isinstance(now, bool):
            raise BadRequest(400, f"now must be true or false, such as {_WHISPER}.")
        by = requester(has_token=has_token)
        why = live_call(switchboard(), call).requests.step_in.whisper(text.strip(), by, now=now)
        return taken(why, call, now=now)

    @app.post("/api/calls/<call>/tools/<tool>")
    async def answer(call: str, tool: str) -> Response:
        """Answer a tool call that waits for a person: `{"output": …}`, any JSON, or `{"error": "…"}`. The first answer
        counts."""
        told = _answer_of(await json_object(_ANSWER))
        by = requester(has_token=has_token)
        why = live_call(switchboard(), call).requests.step_in.answer_tool(tool, told, by)
        return taken(why, call, tool=tool)


def _answer_of(body: dict[str, Any]) -> ToolAnswer:
    """Read the answer. Raises BadRequest."""
    only(body, "output", "error")
    if len(body) != 1:
        raise BadRequest(400, f"Give either output or error, such as {_ANSWER}.")
    if "error" in body and (not isinstance(body["error"], str) or not body["error"].strip()):
        raise BadRequest(400, "error must be a sentence for the model.")
    output = msgspec.json.encode(body["output"] if "output" in body else {"error": body["error"].strip()}).decode()
    if len(output) > MOST_ANSWER:
        raise BadRequest(400, f"The answer must not be longer than {MOST_ANSWER} characters.")
    return ToolAnswer(output, ok="output" in body)
