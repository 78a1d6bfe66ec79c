"""The routes that explain the settings of calls, and tell what limits them."""

from __future__ import annotations

from collections.abc import Callable

from quart import Quart, Response, request

from callflow.switchboard.setting_service import SettingService
from callflow.switchboard.switchboard import Switchboard
from callflow.web.console.identity import own_business
from callflow.web.responses import json_response, large_json_response, query_parameters


def add_settings(app: Quart, service: SettingService, switchboard: Callable[[], Switchboard]) -> None:
    """Add the routes to the app."""

    @app.get("/api/settings")
    @query_parameters("profile")
    async def settings() -> Response:
        """Tell of each setting of calls what it means, what it may be, and where it holds."""
        await service.read()
        told = service.fields(request.args.get("profile", ""), own_business())
        return await large_json_response(lambda: told)

    @app.get("/api/limits")
    @query_parameters()
    async def limits() -> Response:
        """Tell what limits calls, and what a minute of each profile costs."""
        return json_response(service.limits(len(switchboard().calls), own_business()))
