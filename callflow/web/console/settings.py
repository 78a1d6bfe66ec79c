"""The routes that explain the settings of calls, and tell what limits them."""

from __future__ import annotations

import json
from collections.abc import Callable

from quart import Quart, Response, request

from callflow.switchboard.setting_service import SettingService
from callflow.switchboard.switchboard import Switchboard
from callflow.web.console.identity import own_business
from callflow.web.console.node_fan_out import NodeFanOut
from callflow.web.responses import json_response, large_json_response, query_parameters


def add_settings(
    app: Quart, service: SettingService, switchboard: Callable[[], Switchboard], fan_out: NodeFanOut | None = None
) -> None:
    """Add the routes to the app. `fan_out`: the other nodes; None: there are none."""

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
        """Tell what limits calls, and what a minute of each profile costs. Each node has room and dials of its own."""
        told = service.limits(len(switchboard().calls), own_business())
        for answer in (await fan_out.answers()).values() if fan_out is not None else ():
            other = json.loads(answer.body)
            told["dialsPerMinute"] += other["dialsPerMinute"]
            for name, count in other["calls"].items():
                if count is not None:
                    told["calls"][name] += count
        return json_response(told)
