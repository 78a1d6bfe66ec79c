"""The operators' listener, apart from the carriers': what the calls are doing and what they did.

Loopback only, unless a token is set. Host and Origin are checked, so that no page in an operator's browser can read it.
"""

from __future__ import annotations

import dataclasses
import hmac
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from quart import Quart, Response, abort, request, send_from_directory

from callflow.history.store import Query
from callflow.journal import Record
from callflow.keeper import Keeper
from callflow.switchboard import Switchboard
from callflow.web.history import add_history, full
from callflow.web.mcp_door import McpDoor


_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class Refusal(Exception):
    """What was asked for cannot be done: a line for each reason."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def create_operators(
    switchboard: Callable[[], Switchboard],
    keeper: Keeper,
    *,
    host: str,
    token: str = "",
    tools: Callable[[], Sequence[Mapping[str, Any]]] = tuple,
    checked: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict,
) -> Quart:
    """`tools`: the definitions of what the agent can do. `checked`: changes to a call's settings in their proper form;
    raises Refusal."""
    app = Quart("callflow-operators")
    journal = keeper.journal
    hosts = _LOCAL | {host}

    def refuse(headers: Mapping[str, str]) -> tuple[int, str] | None:
        asked = headers.get("host", "")
        if not token and (urlsplit(f"//{asked}").hostname or "") not in hosts:
            return 421, "This listener is not known under that name.\n"
        origin = headers.get("origin", "")
        if origin and urlsplit(origin).netloc != asked:
            return 403, "Not for pages of another origin.\n"
        given = headers.get("authorization", "").removeprefix("Bearer ")
        if token and not hmac.compare_digest(given.encode(), token.encode()):
            return 401, "A token is needed: Authorization: Bearer CONSOLE_TOKEN.\n"
        return None

    @app.before_request
    async def admit() -> Response | None:
        refused = refuse({name.lower(): value for name, value in request.headers.items()})
        return None if refused is None else Response(refused[1], refused[0], content_type="text/plain; charset=utf-8")

    door = McpDoor(app.asgi_app, keeper.store, refuse)
    app.asgi_app = door  # type: ignore[method-assign]
    app.after_serving(door.close)

    @app.get("/health")
    async def health() -> dict[str, Any]:
        board = switchboard()
        record: dict[str, Any] = {"ok": not journal.trouble, "waiting": journal.waiting, **journal.counts}
        if journal.trouble:
            record["trouble"] = journal.trouble
        return {
            "ok": True,
            "accepting": board.is_accepting,
            "calls": len(board.calls),
            "counts": dict(board.counts),
            "journal": record,
        }

    @app.get("/api/calls")
    async def calls() -> dict[str, Any]:
        """The live calls, and the names of the newest on record, newest last."""
        recorded = journal.calls()
        if not journal.trouble:
            rows = await keeper.store.find(Query(limit=100))
            names = [row["call_id"] or row["stream_sid"] for row in reversed(rows)]
            recorded = [*names, *(name for name in recorded if name not in names)]  # written in a moment
        return {"live": [call.describe() for call in switchboard().calls], "recorded": recorded}

    @app.get("/api/calls/<call>")
    async def timeline(call: str) -> dict[str, Any]:
        """Every step of one call in order: time, event, transition, commands; and notes of its audio in between; and
        what is on record of it."""
        records = journal.read(call)
        if not records or journal.is_full(call):
            records = await _on_record(keeper, call) or records
        if not records:
            abort(404)
        row = await keeper.store.conversation(call) if not journal.trouble else None
        return {
            "call": call,
            "records": [dataclasses.asdict(record) for record in records],
            "conversation": await full(keeper, row) if row is not None else None,
        }

    @app.post("/api/calls/<call>/session")
    async def change(call: str) -> tuple[dict[str, Any], int]:
        """Change the session of a live call, by names of settings; the answer says what was left out."""
        body = await request.get_json(silent=True)
        if not isinstance(body, dict):
            return {"errors": ["the body must be a JSON object of settings"]}, 400
        live = next((each for each in switchboard().calls if each.id == call), None)
        if live is None:
            return {"errors": ["there is no live call of this name"]}, 404
        try:
            return {"warnings": live.agent.update(checked(body))}, 200
        except Refusal as refusal:
            return {"errors": list(refusal.problems)}, 400

    @app.get("/api/calls/<call>/recording")
    async def recording(call: str) -> Response:
        """Stereo WAV; `?part=2` is the second one of a call that was recorded in parts."""
        row = await keeper.store.conversation(call)
        parts = (row["recording"] or "").split(",") if row is not None else [""]
        number = request.args.get("part", "1")
        if not number.isdigit() or not 1 <= int(number) <= len(parts) or not parts[int(number) - 1]:
            return Response('{"error":"There is no such recording."}', 404, content_type="application/json")
        return await send_from_directory(keeper.recordings.absolute(), parts[int(number) - 1], conditional=True)

    add_history(app, keeper)

    @app.get("/tools")
    async def list_tools() -> Response:
        """What the agent can do, as the model is told."""
        return Response(msgspec.json.encode(list(tools())), content_type="application/json")

    return app


async def _on_record(keeper: Keeper, call: str) -> list[Record]:
    return [] if keeper.journal.trouble else await keeper.store.journal(call)
