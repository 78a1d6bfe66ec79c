"""The routes that tell which credentials there are, and in words what is set up, how the server is, since when, and
what to do about what is missing.

It tells what `/health`, `/metrics` and `/api/budget` tell in figures. Everything is looked at when it is asked for.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from quart import Quart, Response

from callflow.contracts.diagnostics import Finding
from callflow.switchboard.health.service import HealthService, named_setup
from callflow.web.responses import json_response, query_parameters


def add_checks(app: Quart, service: HealthService) -> None:
    """Add the route to the app."""

    def told(shown: Finding, kept: Finding, at: float) -> dict[str, Any]:
        """Return a finding and its past; `kept`: the finding under the name by which its past is known."""
        seen = service.finding_history
        past = {"since": seen.since(kept.name), "hour": seen.hour(kept.name, at)}
        return {**dataclasses.asdict(shown), **past}

    @app.get("/api/status")
    @query_parameters()
    async def status() -> Response:
        """Tell which credentials are set, never what they are, and where the carriers' webhooks are to go."""
        return json_response(await service.status())

    @app.get("/api/checks")
    @query_parameters()
    async def checks() -> Response:
        """Tell what is set up, and how the server is: a list each of what was looked at."""
        look = await service.look()
        setup = [told(one, named_setup(one), look.at) for one in look.setup]
        now = [told(one, one, look.at) for one in look.now]
        return json_response({"node": service.node, "at": look.at, "setup": setup, "now": now})
