"""The routes for client secrets, with which a browser opens a session of its own at the vendor.

A secret stands in the answer and nowhere else: neither in the log nor in the history.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from quart import Quart, Response

from callflow.contracts.errors import BadRequest, SessionRefused, VendorRefused
from callflow.engines.openai_realtime.client_secrets import LEAST_SECONDS, MOST_SECONDS, mint, read_request
from callflow.engines.openai_realtime.rest import VendorApi
from callflow.web.responses import error_response, json_object, json_response


_EXAMPLE: Final = '{"session": {"instructions": "Be kind."}}'


@dataclass(frozen=True, slots=True)
class ClientSecretService:
    """What client secrets are made with."""

    api: VendorApi
    socket: str
    """The address of the model's WebSocket, which may name a model in its query."""
    origin: str
    """Of that address; "": no page may reach it."""
    model: Callable[[], str]
    """Returns the model of coming calls."""
    instructions: Callable[[], str]
    """Returns their instructions."""
    seconds: int
    """How long a secret lives where a request does not say it."""


def add_client_secrets(app: Quart, service: ClientSecretService) -> None:
    """Add the routes to the app."""

    @app.get("/api/realtime-token")
    async def client_secret_about() -> Response:
        """Answer what a page needs to know before it asks for one: address, model, how long a secret may live."""
        return json_response(
            {
                "url": service.socket.partition("?")[0] if service.origin else "",
                "model": service.model(),
                "seconds": {"least": LEAST_SECONDS, "most": MOST_SECONDS, "usual": service.seconds},
            }
        )

    @app.post("/api/realtime-token")
    async def make_client_secret() -> Response:
        """Make a client secret: `{"expires_after": {"seconds": 600}, "session": {…}}`."""
        body = await json_object(_EXAMPLE)
        try:
            asked = read_request(
                body, model=service.model(), instructions=service.instructions(), seconds=service.seconds,
                today=datetime.now(UTC).date(),
            )  # fmt: skip
        except SessionRefused as refusal:
            raise BadRequest(400, *refusal.problems) from None
        try:
            made = await mint(service.api, asked)
        except VendorRefused as refused:
            return error_response(refused.status, f"{refused}.")
        inner = {"value": made.value, "expires_at": made.expires_at}
        told: dict[str, Any] = {"client_secret": inner, **inner}
        if asked.warnings:
            told["warnings"] = asked.warnings
        return json_response(told)
