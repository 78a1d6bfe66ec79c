"""The routes for profiles on the operators' listener: look at them, change one, and go back to an earlier version."""

from __future__ import annotations

from typing import Final

from quart import Quart, Response

from callflow.contracts.errors import ProfileRefused
from callflow.history.history import History
from callflow.switchboard.profile_service import ProfileService
from callflow.switchboard.shielded_changes import ShieldedChanges
from callflow.web.console.identity import own_business
from callflow.web.console.requested_by import requester
from callflow.web.console.session import seen_version
from callflow.web.responses import (
    error_response,
    history_not_open,
    json_object,
    json_response,
    large_json_response,
)


_EXAMPLE: Final = '{"numbers": ["+15550100002"], "voice": "cedar"}'
_SEEN: Final = '{"version": 3}'
_MOST_VERSION: Final = (1 << 31) - 1


def add_profiles(
    app: Quart, history: History, service: ProfileService, shielded: ShieldedChanges, *, has_token: bool
) -> None:
    """Add the routes to the app. `has_token`: operators need CONSOLE_TOKEN."""

    @app.get("/api/profiles")
    async def list_profiles() -> Response:
        """List the profiles of settings.toml and of the database, which wins where both have one."""
        told = await service.listed(own_business())
        return await large_json_response(lambda: told)

    @app.get("/api/profiles/<name>")
    async def profile(name: str) -> Response:
        """Answer the settings of calls under a profile, each with its origin."""
        return json_response(await service.describe(name, business=own_business()))

    @app.put("/api/profiles/<name>")
    async def put_profile(name: str) -> Response:
        """Make a profile, or put another one in its place."""
        return await change(name, whole=True)

    @app.patch("/api/profiles/<name>")
    async def change_profile(name: str) -> Response:
        """Change some settings of a profile; null leaves one to the others again."""
        return await change(name, whole=False)

    async def change(name: str, *, whole: bool) -> Response:
        body = await json_object(_EXAMPLE)
        if not history.is_readable:
            return history_not_open()
        by, own = requester(has_token=has_token), own_business()
        return json_response(await shielded(service.put(name, body, by=by, whole=whole, business=own)))

    @app.delete("/api/profiles/<name>")
    async def delete_profile(name: str) -> Response:
        """Delete a profile of the database. One of the same name in settings.toml holds again."""
        seen = seen_version(await json_object(_SEEN, may_be_empty=True))
        if not history.is_readable:
            return history_not_open()
        await shielded(service.delete(name, by=requester(has_token=has_token), seen=seen))
        return json_response({"success": True})

    @app.get("/api/profiles/<name>/versions")
    async def versions(name: str) -> Response:
        """List the versions of a profile, the newest first: when, by whom, and what was changed."""
        if not history.is_readable:
            return history_not_open()
        return json_response(await service.versions(name, own_business()))

    @app.get("/api/profiles/<name>/versions/<int:version>")
    async def one_version(name: str, version: int) -> Response:
        """Answer one version of a profile."""
        if not history.is_readable:
            return history_not_open()
        return json_response(await service.version(name, min(version, _MOST_VERSION), own_business()))

    @app.post("/api/profiles/<name>/versions/<int:version>/restore")
    async def restore(name: str, version: int) -> Response:
        """Go back to an earlier version, which becomes the newest."""
        seen = seen_version(await json_object(_SEEN, may_be_empty=True))
        if not history.is_readable:
            return history_not_open()
        by, own, number = requester(has_token=has_token), own_business(), min(version, _MOST_VERSION)
        return json_response(await shielded(service.restore(name, number, by=by, seen=seen, business=own)))

    @app.errorhandler(ProfileRefused)
    async def refused(error: ProfileRefused) -> Response:
        several = f"{len(error.reasons)} things keep this profile from being changed."
        return error_response(error.status, error.reasons[0] if len(error.reasons) == 1 else several, error.reasons)
