"""The routes for the session of coming calls on the operators' listener: read, change, reset to the files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from quart import Quart, Response

from callflow.config.kept_profiles import VERSION
from callflow.contracts.errors import BadRequest, SessionRefused
from callflow.history.history import History
from callflow.switchboard.session_overrides import SessionOverrides
from callflow.switchboard.shielded_changes import ShieldedChanges
from callflow.web.console.requested_by import requester
from callflow.web.responses import history_not_open, json_object, json_response, unknown_names


_EXAMPLE: Final = '{"voice": "cedar"}'
_SEEN: Final = '{"version": 3}'


def add_session(
    app: Quart, history: History, overrides: SessionOverrides, shielded: ShieldedChanges, *, has_token: bool
) -> None:
    """Add the routes to the app. `has_token`: operators need CONSOLE_TOKEN."""

    @app.get("/api/session")
    async def session() -> Response:
        """Answer the settings of coming calls, as a session of the Realtime API and by name, each with its origin."""
        return json_response(await overrides.describe())

    @app.patch("/api/session")
    async def change_session() -> Response:
        """Change settings of coming calls; null returns to the value of the files. `version`: see `seen_version`."""
        body = await json_object(_EXAMPLE)
        seen = seen_version({VERSION: body.pop(VERSION, None)})
        if not history.is_readable:
            return history_not_open()
        try:
            work = overrides.change(body, by=requester(has_token=has_token), seen=seen)
            return json_response(await shielded(work))
        except SessionRefused as refusal:
            raise BadRequest(400, *refusal.problems) from None

    @app.delete("/api/session")
    async def forget_session() -> Response:
        """Return to the settings of the files. `version`: see `seen_version`."""
        seen = seen_version(await json_object(_SEEN, may_be_empty=True))
        if not history.is_readable:
            return history_not_open()
        return json_response(await shielded(overrides.forget(by=requester(has_token=has_token), seen=seen)))

    @app.get("/api/session/versions")
    async def session_versions() -> Response:
        """List the versions of these changes, the newest first: when, by whom, and what was changed."""
        if not history.is_readable:
            return history_not_open()
        return json_response({"versions": await overrides.versions()})

    @app.get("/api/session/versions/<int:version>")
    async def session_version(version: int) -> Response:
        """Answer one version of these changes."""
        if not history.is_readable:
            return history_not_open()
        return json_response(await overrides.version(version))

    @app.post("/api/session/versions/<int:version>/restore")
    async def restore_session(version: int) -> Response:
        """Go back to an earlier version, which becomes the newest."""
        seen = seen_version(await json_object(_SEEN, may_be_empty=True))
        if not history.is_readable:
            return history_not_open()
        by = requester(has_token=has_token)
        try:
            return json_response(await shielded(overrides.restore(version, by=by, seen=seen)))
        except SessionRefused as refusal:
            raise BadRequest(400, *refusal.problems) from None


def seen_version(body: Mapping[str, Any]) -> int | None:
    """Return the version that whoever asks has seen; None: they do not say. Raises BadRequest."""
    problems = unknown_names(body, (VERSION,))
    seen = body.get(VERSION)
    if seen is not None and (not isinstance(seen, int) or isinstance(seen, bool) or seen < 0):
        problems.append(f"version must be the number of the version that you have seen: {_SEEN}.")
    if problems:
        raise BadRequest(400, *problems)
    return seen
