"""The pages of the public listener: health, readiness, status, public address, and paths of earlier systems.

No page shows calls. A path may be shared with a carrier's webhooks: see `WebhookRoute.only_with`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Protocol

from quart import Quart, Response, abort, request

from callflow.cluster.node_paths import FORWARDED
from callflow.history.tables import iso
from callflow.switchboard.readiness import RETRY_AFTER


Receive = Callable[[], Awaitable[Response]]
Shared = dict[str, list[tuple[str, Receive]]]
"""By path: query parameters that make a GET a webhook, each with the handler of the webhook."""

_NONCE: Final = re.compile(rb"(?:^|&)nonce=([A-Za-z0-9_-]{1,64})(?=&|$)")
_MOST_QUERY: Final = 500
"""Bytes of a query in which it is looked for: to decode a whole one takes 0.1 s for 60 kB, unsigned."""
_STATUS: Final = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Callflow</title></head>
<body><h1>Callflow is running!</h1><p>It answers the phone at this address.</p></body>
</html>
"""


class Address(Protocol):
    """Our public address."""

    def base(self) -> str: ...


def create_pages(app: Quart, address: Address, unready: Callable[[], str]) -> Shared:
    """Add the pages to the app. `address`: returns our public address. `unready`: see `switchboard.readiness`.
    Returns the paths that webhooks may share."""
    shared: Shared = {"/": []}
    commit = _commit()

    @app.get("/")
    async def index() -> Any:
        for parameter, receive in shared["/"]:
            if f"{parameter}=".encode() in request.query_string:
                return await receive()
        if FORWARDED in request.scope:
            abort(404)  # it is a webhook of a carrier that only the node has which sends it
        return {"message": "Media Stream Server is running!"}

    @app.get("/health")
    async def health() -> Response:
        """Answer OK and the `nonce` of the query, by which a tunnel can be checked from outside."""
        found = _NONCE.search(request.query_string[:_MOST_QUERY])
        echo = f" {found[1].decode()}" if found is not None else ""
        return Response(f"OK{echo}", content_type="text/plain")

    @app.get("/ready")
    async def ready() -> Response:
        """Answer a load balancer whether new calls are to be sent here: 200, or 503 and a word why not."""
        word = unready()
        response = Response(word or "ready", 503 if word else 200, content_type="text/plain")
        if word:
            response.headers["Retry-After"] = str(RETRY_AFTER[word])
        return response

    @app.get("/status")
    async def status() -> Response:
        return Response(_STATUS, content_type="text/html; charset=utf-8")

    @app.get("/public-url")
    async def public_url() -> dict[str, str]:
        return {"publicUrl": address.base()}

    @app.get("/api/version")
    async def about() -> dict[str, Any]:
        """Answer the running commit, the time, and the paths of this listener."""
        routes = sorted({rule.rule for rule in app.url_map.iter_rules() if rule.endpoint != "static"})
        return {"ok": True, "commit": commit, "time": iso(time.time()), "routes": routes}

    return shared


def _commit() -> str:
    """Return the commit of the running checkout, or the version of an installed package."""
    git = Path(__file__).parents[3] / ".git"
    try:
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        return (git / head.removeprefix("ref: ")).read_text(encoding="utf-8").strip() if "ref: " in head else head
    except OSError:
        return version("callflow")
