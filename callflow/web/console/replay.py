"""The route that decides a call again from its journal, and tells whether it comes out as it is written there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from quart import Quart, Response

from callflow.call.replay import replay
from callflow.contracts.printable import quoted
from callflow.history.history import History
from callflow.journal.journal import JournalEntry
from callflow.web.responses import error_response, history_not_open, large_json_response, query_parameters


_MOST_SHOWN: Final = 50
"""Differences that are told; all are counted."""


def add_replay(app: Quart, history: History) -> None:
    """Add the route to the app."""
    one_at_a_time = asyncio.Lock()
    """A long call takes a core for a second; its thread leaves the loop little."""

    @app.get("/api/calls/<call>/replay")
    @query_parameters()
    async def verdict(call: str) -> Response:
        """Decide a call again from its journal with the present table, as `python server.py replay` does. Nothing is
        changed. `verdict`: `same`, or `different` with `differ` and the first `differences`."""
        entries = await _entries(history, call)
        if not entries:
            missing = error_response(404, f"There is no journal of a call {quoted(call)}, so nothing can be replayed.")
            return missing if history.is_readable else history_not_open()
        if not any(entry.is_step for entry in entries):
            return error_response(409, "There is no step in the journal of this call yet, so nothing can be replayed.")
        async with one_at_a_time:
            try:
                told = await asyncio.to_thread(_verdict_of, call, entries)
            except Exception as error:  # whatever a journal of another version holds
                return error_response(409, f"The journal of this call makes no sense here ({type(error).__name__}).")
        return await large_json_response(lambda: told)


async def _entries(history: History, name: str) -> Sequence[JournalEntry]:
    """Return the whole journal of a call that somebody names by any of its ids."""
    journal = history.journal
    is_in_history = history.is_readable and not journal.trouble
    row = await history.store.conversation(name) if is_in_history else None
    call = (row["call_id"] or row["stream_sid"]) if row is not None else name
    entries = await asyncio.to_thread(journal.read, call)
    if is_in_history and not journal.is_whole(call):
        entries = await history.store.journal(call) or entries
    return entries


def _verdict_of(call: str, entries: Sequence[JournalEntry]) -> dict[str, Any]:
    done = replay(entries, lenient=True)
    first = entries[0].at
    at = {entry.step: round(entry.at - first, 3) for entry in reversed(entries) if entry.is_step}
    shown = [
        {
            "step": each.step, "at": at.get(each.step, 0.0), "event": each.event, "what": each.what,
            "recorded": each.recorded, "replayed": each.replayed,
        }
        for each in done.divergences[:_MOST_SHOWN]
    ]  # fmt: skip
    return {
        "call": call,
        "verdict": "different" if done.divergences else "same",
        "steps": done.taken,
        "differ": len(done.divergences),
        "differences": shown,
    }
