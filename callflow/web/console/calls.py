"""The routes for calls on the operators' listener: look at one, change its session, end it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, cast

from quart import Quart, Response

from callflow.config.session_changes import Asked
from callflow.contracts.errors import BadRequest, SessionRefused
from callflow.contracts.printable import quoted
from callflow.history.history import History
from callflow.switchboard.switchboard import Switchboard
from callflow.web.console.history_query import whole_number
from callflow.web.console.large_answers import answers
from callflow.web.console.large_answers.processes import LargeAnswers, is_large
from callflow.web.console.live_call import live_call
from callflow.web.console.requested_by import WAYS, requester
from callflow.web.responses import (
    error_response,
    history_not_open,
    json_object,
    json_response,
    pieces_response,
    query_parameters,
    suggestion,
)


_END_EXAMPLE: Final = '{"when": "goodbye"}'
_OVER: Final = "This call is over already."
_SESSION_EXAMPLE: Final = '{"speed": 0.9}'
_MOST_WARNINGS: Final = 50
_MOST_ENTRIES: Final = 1_000_000_000


def add_calls(
    app: Quart,
    switchboard: Callable[[], Switchboard],
    history: History,
    *,
    large: LargeAnswers,
    has_token: bool,
    checked: Callable[[Mapping[str, Any]], Asked],
) -> None:
    """Add the routes to the app. `large`: makes large answers. `has_token`: operators need CONSOLE_TOKEN. `checked`:
    reads the requested changes of a session, as `control_changes.of_session` does."""
    journal = history.journal

    @app.get("/api/calls/<call>")
    @query_parameters("after")
    async def timeline(call: str) -> Response:
        """Answer every step of one call in order (time, event, transition, commands), the notes in between, and its
        conversation. `?after=N`: without the first N of them, and of a call that is in memory without the conversation;
        for those who ask again and again."""
        after = whole_number("after", 0, 0, _MOST_ENTRIES)
        is_followed = after > 0 and journal.is_whole(call)
        is_in_history = history.is_readable and not journal.trouble and not is_followed
        row = await history.store.conversation(call) if is_in_history else None
        if row is not None:  # a conversation of an earlier system has no call of ours, and no journal
            call = row["call_id"] or row["stream_sid"]
        if row is not None and is_large(row) and not journal.waiting_of(call):
            return pieces_response(await large.whole("timeline", row, call, after))
        entries = await asyncio.to_thread(journal.read, call)
        if is_in_history and not journal.is_whole(call):
            entries = await history.store.journal(call) or entries
        if not entries and row is None:
            return _no_call(call) if history.is_readable else history_not_open()
        conversation = await answers.details(history.store, row) if row is not None else None
        return pieces_response(await asyncio.to_thread(answers.timeline_of, call, entries, after, conversation))

    @app.post("/api/calls/<call>/session")
    async def change(call: str) -> Response:
        """Change the session of a live call: names of settings, or a session of the Realtime API. The answer lists the
        changes left out."""
        asked = await _session_changes(checked)
        live = live_call(switchboard(), call)
        by = requester(has_token=has_token)
        left_out = live.requests.step_in.change(asked.taken, by) if asked.taken else []
        return json_response({"warnings": [*asked.warnings, *left_out][:_MOST_WARNINGS]})

    @app.post("/api/calls/<call>/hangup")
    async def hang_up(call: str) -> Response:
        """End a live call: `{"when": "goodbye"}`, after a goodbye that the caller hears; `{"when": "now"}`: at once."""
        when, by = _way_to_end(await json_object(_END_EXAMPLE, may_be_empty=True)), requester(has_token=has_token)
        live = switchboard().live(call)
        if live is not None and live.hang_up(when, by):
            return json_response({"call": call, "when": when, "by": by})
        if live is not None or journal.has(call):
            return error_response(409, _OVER)
        if not history.is_readable:
            return history_not_open()
        if await history.store.journal(call) or await history.store.conversation(call):
            return error_response(409, _OVER)
        return _no_call(call)


def _no_call(call: str) -> Response:
    return error_response(404, f"There is no call {quoted(call)}; GET /api/calls/live lists them.")


def _way_to_end(body: Mapping[str, Any]) -> Literal["goodbye", "now"]:
    """Read the way in which to end a call. Raises BadRequest."""
    if unknown := [name for name in body if name != "when"]:
        raise BadRequest(
            400, *(f"There is no {quoted(name)} in this body{suggestion(name, ['when'])}" for name in unknown[:20])
        )
    when = body.get("when", WAYS[0])
    if isinstance(when, str) and when in WAYS:
        return cast(Literal["goodbye", "now"], when)
    given = f", not {quoted(when)}" if isinstance(when, str) else ""
    raise BadRequest(400, f'when must be "goodbye" or "now"{given}.')


async def _session_changes(checked: Callable[[Mapping[str, Any]], Asked]) -> Asked:
    """Read the requested changes of a session from the body. Raises BadRequest or OutOfBounds."""
    body = await json_object(_SESSION_EXAMPLE)
    try:
        return await asyncio.to_thread(checked, body)
    except SessionRefused as refusal:
        raise BadRequest(400, *refusal.problems) from None
