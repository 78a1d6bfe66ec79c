"""The operators' side, apart from the carriers': what the calls are doing and what they did.

Loopback only, unless a token is set. Host and Origin are checked, so that no page in an operator's browser can read it.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, cast

from quart import Quart, Response, request, send_from_directory
from quart.wrappers.response import DataBody
from werkzeug.exceptions import RequestedRangeNotSatisfiable

from callflow.config import session_changes
from callflow.config.session_changes import Asked
from callflow.contracts.errors import BadQuery, BadRequest, SessionRefused
from callflow.contracts.printable import quoted
from callflow.history.history import History
from callflow.history.query import Query
from callflow.history.store import Store
from callflow.journal.journal import JournalEntry
from callflow.journal.redaction import Redactor
from callflow.mcp.http import McpEndpoint
from callflow.switchboard.session_overrides import SessionOverrides
from callflow.switchboard.switchboard import Switchboard
from callflow.web.console.auth import Admission, Entrance
from callflow.web.console.history import add_history, full, whole_number
from callflow.web.console.index_page import add_index
from callflow.web.console.recordings import RecordingResponse
from callflow.web.console.requested_by import ASKED_BY, COMMAND_LINE, CONSOLE, OPERATOR, WAYS
from callflow.web.console.session import add_session
from callflow.web.responses import answer_errors, answered, meant, not_open, object_of, refused, takes


_END_EXAMPLE: Final = '{"when": "goodbye"}'
_OVER: Final = "This call is over already."
_EXAMPLE: Final = '{"speed": 0.9}'
_MOST_WARNINGS: Final = 50


def create_console(
    switchboard: Callable[[], Switchboard],
    history: History,
    kept: SessionOverrides,
    *,
    host: str,
    redact: Redactor,
    token: str = "",
    tools: Callable[[], Sequence[Mapping[str, Any]]] = tuple,
    checked: Callable[[Mapping[str, Any]], Asked] = session_changes.read,
    engine: Callable[[], Mapping[str, Any]] = dict,
) -> Quart:
    """`redact`: what enters the record here goes through it. `tools`: the definitions of what the agent can do.
    `checked`: as `session_changes.read`. `engine`: whether it takes calls."""
    app = Quart("callflow-operators", static_folder=None)
    app.response_class = RecordingResponse
    app.url_map.merge_slashes = False  # it answers `//` with a redirect
    app.config["MAX_CONTENT_LENGTH"] = None  # the entrance has its bounds, and hands over whole bodies
    journal = history.journal
    answer_errors(app)

    @app.after_request
    async def head(response: Response) -> Response:
        """What will not be sent is not read either."""
        if request.method == "HEAD":
            response.response = DataBody(b"")
        return response

    async def store() -> Store:
        if not history.is_readable:
            raise BadQuery("the record is not open yet: try again in a second")
        return history.store

    door = McpEndpoint(app.asgi_app, store)
    app.asgi_app = Entrance(door, Admission(host, token))  # type: ignore[method-assign]
    app.after_serving(door.close)

    add_index(app)

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
            "engine": dict(engine()),
        }

    @app.get("/api/calls")
    async def calls() -> dict[str, Any]:
        """The live calls, and the names of the newest on record, newest last."""
        recorded = journal.calls()
        if history.is_readable and not journal.trouble:
            rows = await history.store.find(Query(limit=100))
            names = [row["call_id"] or row["stream_sid"] for row in reversed(rows)]
            recorded = [*names, *(name for name in recorded if name not in names)]  # written in a moment
        return {"live": [call.describe() for call in switchboard().calls], "recorded": recorded}

    @app.get("/api/calls/<call>")
    async def timeline(call: str) -> Response:
        """Every step of one call in order: time, event, transition, commands; and notes of its audio in between; and
        what is on record of it."""
        is_on_record = history.is_readable and not journal.trouble
        row = await history.store.conversation(call) if is_on_record else None
        if row is not None:  # one of an earlier system has no call of ours, and no records
            call = row["call_id"] or row["stream_sid"]
        records = journal.read(call)
        if is_on_record and (not records or journal.is_full(call)):
            records = await history.store.journal(call) or records
        if not records and row is None:
            there_is_none = f"There is no call {quoted(call)}; GET /api/calls lists them."
            return refused(404, there_is_none) if history.is_readable else not_open()
        conversation = await full(history, row) if row is not None else None
        return await asyncio.to_thread(_told, call, records, conversation)

    @app.post("/api/calls/<call>/session")
    async def change(call: str) -> Response:
        """Change the session of a live call, by names of settings; the answer says what was left out."""
        asked = await session_of(checked)
        live = switchboard().live(call)
        if live is None:
            return refused(404, f"There is no live call {quoted(call)}; GET /api/calls lists them.")
        left_out = live.agent.update(asked.taken) if asked.taken else []
        return answered({"warnings": [*asked.warnings, *left_out][:_MOST_WARNINGS]})

    @app.post("/api/calls/<call>/hangup")
    async def hang_up(call: str) -> Response:
        """End a live call: `{"when": "goodbye"}`, which the caller hears out first, or `{"when": "now"}`."""
        when, by = wanted_end(await object_of(_END_EXAMPLE, may_be_empty=True)), asked_by(has_token=bool(token))
        live = switchboard().live(call)
        if live is not None and live.hang_up(when, by):
            return answered({"call": call, "when": when, "by": by})
        if live is not None or journal.read(call):
            return refused(409, _OVER)
        if not history.is_readable:
            return not_open()
        if await history.store.journal(call) or await history.store.conversation(call):
            return refused(409, _OVER)
        return refused(404, f"There is no call {quoted(call)}; GET /api/calls lists them.")

    @app.get("/api/calls/<call>/recording")
    @takes("part")
    async def recording(call: str) -> Response:
        """Stereo WAV; `?part=2` is the second one of a call that was recorded in parts."""
        if not history.is_readable:
            return not_open()
        part = whole_number("part", 1, 0, 1 << 31)
        row = await history.store.conversation(call)
        parts = (row["recording"] or "").split(",") if row is not None else []
        if row is None or not 1 <= part <= len(parts) or not (history.recordings / parts[part - 1]).is_file():
            return refused(404, "There is no such recording.")
        grows = row["ended_at"] is None or any(each.id == row["call_id"] for each in switchboard().calls)
        try:
            answer = await send_from_directory(history.recordings.absolute(), parts[part - 1], conditional=True)
        except RequestedRangeNotSatisfiable:
            size = (history.recordings / parts[part - 1]).stat().st_size
            sentence = f"The recording has {size} bytes, and what Range asks for is not one part of it."
            return refused(416, sentence, Content_Range=f"bytes */{size}")
        if answer.status_code == 412:
            return refused(412, "The recording is another one than If-Match asks for.")
        answer.headers["Cache-Control"] = "private, no-store" if grows else "private, max-age=600"
        return answer

    add_history(app, history, redact)
    add_session(app, history, kept)

    @app.get("/tools")
    async def list_tools() -> Response:
        """What the agent can do, as the model is told."""
        return answered(list(tools()))

    return app


def wanted_end(body: Mapping[str, Any]) -> Literal["goodbye", "now"]:
    """Raises Unfit."""
    if unknown := [name for name in body if name != "when"]:
        raise BadRequest(
            400, *(f"There is no {quoted(name)} in this body{meant(name, ['when'])}" for name in unknown[:20])
        )
    when = body.get("when", WAYS[0])
    if isinstance(when, str) and when in WAYS:
        return cast(Literal["goodbye", "now"], when)
    given = f", not {quoted(when)}" if isinstance(when, str) else ""
    raise BadRequest(400, f'when must be "goodbye" or "now"{given}.')


def asked_by(*, has_token: bool) -> str:
    """Who asks, as it stands on record."""
    if request.headers.get(ASKED_BY, "") == COMMAND_LINE:
        return COMMAND_LINE
    return CONSOLE if has_token else OPERATOR


async def session_of(checked: Callable[[Mapping[str, Any]], Asked]) -> Asked:
    """What the body wants of a session. Raises Unfit or NotPlain."""
    body = await object_of(_EXAMPLE)
    try:
        return await asyncio.to_thread(checked, body)
    except SessionRefused as refusal:
        raise BadRequest(400, *refusal.problems) from None


def _told(call: str, records: Sequence[JournalEntry], conversation: dict[str, Any] | None) -> Response:
    told = [dataclasses.asdict(record) for record in records]
    return answered({"call": call, "records": told, "conversation": conversation})
