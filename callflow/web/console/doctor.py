"""The routes by which the doctor is asked from the page: one run at a time, whose findings are told as they come."""

from __future__ import annotations

from quart import Quart, Response

from callflow.switchboard.health.doctor import Doctor
from callflow.web.console.requested_by import requester
from callflow.web.responses import error_response, json_response, query_parameters


def add_doctor(app: Quart, doctor: Doctor, *, has_token: bool) -> None:
    """Add the routes to the app. `has_token`: operators need CONSOLE_TOKEN."""

    @app.post("/api/doctor")
    async def ask() -> Response:
        """Let the doctor look at everything that a first call needs. It changes nothing."""
        if not doctor.start(requester(has_token=has_token)):
            return error_response(409, "The doctor is at work already: GET /api/doctor tells what was found so far.")
        return json_response(doctor.describe(), 202)

    @app.get("/api/doctor")
    @query_parameters()
    async def told() -> Response:
        """Tell how far the last run is, and what it has found so far."""
        return json_response(doctor.describe())
