"""The route that tells what the calls of today took, and what they may take."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from quart import Quart, Response
from sqlalchemy.exc import SQLAlchemyError

from callflow.web.responses import error_response, json_response, query_parameters


Spending = Callable[[], Awaitable[dict[str, Any]]]


def add_budget(app: Quart, spending: Spending) -> None:
    """Add the route to the app. `spending`: see `Budget.describe`."""

    @app.get("/api/budget")
    @query_parameters()
    async def budget() -> Response:
        """Tell what the calls of today took: in all, by profile, by caller, and each live call."""
        try:
            return json_response(await spending())
        except (SQLAlchemyError, OSError):
            return error_response(503, "The history cannot be read at the moment: try again in a second.")
