"""The WebSocket `/logs`, as an earlier system's page used it: what happens in all live calls, and requests to one.

A request is a client event of the Realtime API, of the kinds of `_KINDS`, and says in `streamSid` or `callId` which
call it is for; with one live call it may leave that out. It needs the role *operate*. What is not taken gets an
`error`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from quart import Quart, websocket

from callflow.call.call import Call
from callflow.cluster.node_paths import FORWARDED
from callflow.config.session_changes import Asked
from callflow.contracts.bounded_json import read
from callflow.contracts.errors import BadRequest, DatabaseError, OutOfBounds, PeerAway, SessionRefused
from callflow.contracts.printable import quoted, to_json
from callflow.contracts.tools import ToolAnswer
from callflow.history.history import History
from callflow.switchboard.session_overrides import SessionOverrides
from callflow.switchboard.switchboard import Switchboard
from callflow.web.console.identity import ASKING, CONFIGURE, OPERATE, own_business
from callflow.web.console.live.other_logs import OtherLogs
from callflow.web.console.live.service import LiveService
from callflow.web.console.request_body import OF_SESSION
from callflow.web.console.requested_by import asker
from callflow.web.console.step_in import MOST_ANSWER


_SEND_SECONDS: Final = 30.0
"""How long a viewer may take for a message."""
_MOST_TEXT: Final = 2000
_UPDATE, _ITEM = "session.update", "conversation.item.create"
_KINDS: Final = (_UPDATE, _ITEM)
_ANSWER: Final = "function_call_output"
_TRY_LATER: Final = 1013


def add_logs(
    app: Quart,
    service: LiveService,
    switchboard: Callable[[], Switchboard],
    history: History,
    overrides: SessionOverrides,
    checked: Callable[[Mapping[str, Any]], Asked],
    other_logs: OtherLogs | None = None,
    *,
    has_token: bool,
) -> None:
    """Add the socket to the app. `checked`: reads the requested changes of a session. `other_logs`: those of the other
    nodes; None: there are none. `has_token`: operators need CONSOLE_TOKEN."""

    @app.websocket("/logs")
    async def logs() -> None:
        """Tell what happens in all live calls, and take requests."""
        with service.seats.seat() as is_let_in:
            await websocket.accept()
            if not is_let_in:
                await websocket.close(_TRY_LATER, "there are too many viewers")
                return
            async with asyncio.TaskGroup() as tasks:
                receiving = tasks.create_task(_receive(), name="requests of /logs")
                await _send()
                receiving.cancel()
            await websocket.close(_TRY_LATER, "the connection was too slow, or the server stops: come back")

    async def _send() -> None:
        messages = service.logs.messages(
            own_business(), own=FORWARDED in websocket.scope, deltas=ASKING.get().may(OPERATE)
        )
        try:
            async for message in messages:
                async with asyncio.timeout(_SEND_SECONDS):
                    await websocket.send(message)
        except TimeoutError:
            pass
        finally:
            await messages.aclose()

    async def _receive() -> None:
        while True:
            message = await websocket.receive()
            try:
                answer = await take(message)
            except BadRequest as refused:
                answer = {"type": "error", "error": {"type": "invalid_request_error", "message": str(refused)}}
            await websocket.send(to_json(answer).decode())

    async def take(message: str | bytes) -> dict[str, Any]:
        """Carry a request out, and return the answer. Raises BadRequest."""
        request = _read(message)
        kind = request.get("type")
        if kind not in _KINDS:
            given = f"not {quoted(kind)}" if isinstance(kind, str) else "as type"
            raise BadRequest(400, f"/logs takes {' and '.join(_KINDS)}, {given}.")
        if not ASKING.get().may(OPERATE):
            raise BadRequest(403, "Your token may view, and not change calls.")
        if other_logs is not None and FORWARDED not in websocket.scope:
            name, node = _named_elsewhere(request)
            if node:
                try:
                    return await other_logs.ask(node, name, request, list(websocket.headers.items()))
                except PeerAway:
                    raise BadRequest(
                        503, "The node that has this call does not answer: try again in a moment."
                    ) from None
        call = _addressed(request)
        return await _update(call, request) if kind == _UPDATE else _add_item(call, request)

    def _named_elsewhere(request: Mapping[str, Any]) -> tuple[str, str]:
        """Return the call of another node that a request is for, and the node; "" and "": it is for none."""
        name = _named(request)
        if not isinstance(name, str) or switchboard().is_live(name):
            return "", ""
        return service.logs.elsewhere(name, own_business())

    def _addressed(request: Mapping[str, Any]) -> Call | None:
        """Return the call that a request is for; None: there is no live call, and it names none. Raises BadRequest."""
        name, business = _named(request), own_business()
        calls = [each for each in switchboard().calls if business in ("", each.config.business)]
        if name is None:
            if len(calls) + service.logs.count_elsewhere(business) > len(calls[:1]):
                raise BadRequest(
                    400,
                    "Several calls are live, or one at another node: say in streamSid or callId which one this is for.",
                )
            return calls[0] if calls else None
        call = service.logs.call(name, business) if isinstance(name, str) else None
        if call is None:
            raise BadRequest(404, "There is no live call of this streamSid or callId.")
        return call

    async def _update(call: Call | None, request: Mapping[str, Any]) -> dict[str, Any]:
        """Change the session of a live call, and without an address that of coming calls, too."""
        session = request.get("session")
        if not isinstance(session, dict):
            raise BadRequest(400, 'session.update needs a session, such as {"voice": "cedar"}.')
        left_out: list[str] = []
        by = asker(has_token=has_token)
        try:
            if call is not None:
                asked = await asyncio.to_thread(checked, session)
                left_out = [*asked.warnings, *(call.requests.step_in.change(asked.taken, by) if asked.taken else [])]
            if _named(request) is None and may_change_all() and history.is_readable:
                await overrides.change(session, by=by)
            elif call is None:
                raise BadRequest(
                    404, "There is no live call, and the session of coming calls cannot be changed here now."
                )
        except SessionRefused as refused:
            raise BadRequest(400, " ".join(refused.problems)) from None
        except (DatabaseError, OSError):
            raise BadRequest(503, "The history cannot be used at the moment: try again.") from None
        return {"type": "request.taken", "request": _UPDATE, **_of(call), "warnings": left_out}

    def _add_item(call: Call | None, request: Mapping[str, Any]) -> dict[str, Any]:
        """Give the model of a live call a fact, or the answer to a tool call that waits for a person; it goes on by
        itself."""
        if call is None:
            raise BadRequest(404, "There is no live call.")
        item, by = request.get("item"), asker(has_token=has_token)
        if isinstance(item, dict) and item.get("type") == _ANSWER:
            if why := call.requests.step_in.answer_tool(*_output(item), by):
                raise BadRequest(409, why)
        else:
            text = _text(item)
            call.agent.respond_to(text, shown=service.redact.text(text), by=by)
        return {"type": "request.taken", "request": _ITEM, **_of(call)}


def may_change_all() -> bool:
    """Return whether whoever asks may change the session of all coming calls: one business may not change the
    others'."""
    return ASKING.get().may(CONFIGURE) and not own_business()


def _named(request: Mapping[str, Any]) -> Any:
    """Return what a request says of which call it is for; None: nothing."""
    return request.get("streamSid") or request.get("callId") or None


def _of(call: Call | None) -> dict[str, str]:
    return {} if call is None else {"callId": call.id}


def _read(message: str | bytes) -> dict[str, Any]:
    try:
        given = message.encode() if isinstance(message, str) else message
        if len(given) > OF_SESSION:
            raise BadRequest(400, f"A message has at most {OF_SESSION} bytes.")
        value = read(given)
    except (OutOfBounds, UnicodeEncodeError):
        raise BadRequest(400, "A message must be a JSON object.") from None
    if not isinstance(value, dict):
        raise BadRequest(400, "A message must be a JSON object.")
    return value


def _output(item: Mapping[str, Any]) -> tuple[str, ToolAnswer]:
    """Return which tool call an item answers, and the answer, a text that may be JSON. Raises BadRequest."""
    name, output = item.get("call_id"), item.get("output")
    if not isinstance(name, str) or not isinstance(output, str) or len(output) > MOST_ANSWER:
        raise BadRequest(400, f"{_ANSWER} needs a call_id and an output, a text of {MOST_ANSWER} characters at most.")
    try:
        read(output.encode())
    except (OutOfBounds, UnicodeEncodeError):
        output = to_json(output).decode()
    return name, ToolAnswer(output, ok=True)


def _text(item: Any) -> str:
    """Return the words of a message of the API. Raises BadRequest for any other item."""
    content = item.get("content") if isinstance(item, dict) and item.get("type") == "message" else None
    parts = content if isinstance(content, list) else []
    given = [part.get("text") for part in parts if isinstance(part, dict) and part.get("type") == "input_text"]
    texts = [each for each in given if isinstance(each, str)]
    text = " ".join(texts).strip()
    if not text or len(texts) < len(parts) or len(text) > _MOST_TEXT:
        raise BadRequest(
            400, f"The item must be a message of input_text, {_MOST_TEXT} characters at most, or a {_ANSWER}."
        )
    return text
