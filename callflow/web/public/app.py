"""The public listener: the webhook paths that carriers declare, their media sockets, and a few pages."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Protocol, cast

from quart import Quart, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from callflow.cluster.node_paths import FORWARDED
from callflow.contracts.carrier import Carrier
from callflow.contracts.printable import line
from callflow.switchboard.control.service import ControlService
from callflow.switchboard.readiness import NodeState, unready
from callflow.switchboard.switchboard import Switchboard
from callflow.web.public.address import PublicAddress
from callflow.web.public.control import add_control
from callflow.web.public.media_endpoint import MEDIA_PATHS, MediaEndpoint
from callflow.web.public.pages import create_pages
from callflow.web.public.request import BODY_SECONDS, MOST_BODY, MOST_PATH, WebhookHold, error_response, refusals
from callflow.web.public.routing import WebhookRouting
from callflow.web.public.webhooks import WebhookEndpoint
from callflow.web.responses import without_content_type
from callflow.web.web_app import WebApp


log = logging.getLogger(__name__)


class Startup(WebhookHold, NodeState, Protocol):
    """What the history and the cluster say of this process."""


def create_public(
    carriers: Sequence[Carrier],
    switchboard: Callable[[], Switchboard],
    address: PublicAddress,
    webhook_hold: Callable[[], Startup],
    control: ControlService | None = None,
    closed: Mapping[str, str] = MappingProxyType({}),
    routing: Callable[[], WebhookRouting | None] = lambda: None,
) -> Quart:
    """Make the app. Each request calls `switchboard` and `webhook_hold`, because both are made when the server starts.

    `control`: answers servers that carry calls; None: nobody does. `closed`: paths whose webhooks are refused because
    nothing could verify them, with what to do about it. `routing`: of webhooks among the nodes of a cluster.
    """
    app = WebApp("callflow")
    app.config["MAX_CONTENT_LENGTH"] = MOST_BODY
    app.config["BODY_TIMEOUT"] = BODY_SECONDS
    app.url_map.merge_slashes = False  # it answers `//` with a redirect, and carriers do not follow those
    pages = create_pages(app, address, lambda: unready(switchboard(), webhook_hold()))
    if control is not None:
        add_control(app, control)
    for carrier in carriers:
        for route in carrier.routes:
            endpoint = WebhookEndpoint(carrier, route, switchboard, address, webhook_hold, routing)
            methods = list(route.methods)
            if "GET" in methods and route.path in pages:
                methods.remove("GET")
                pages[route.path].append((route.only_with, endpoint))
            if methods:
                name = f"{carrier.name}:{route.path}"
                app.add_url_rule(route.path, name, endpoint.__call__, methods=methods, strict_slashes=True)
    for path, reason in closed.items():
        app.add_url_rule(
            path, f"closed:{path}", partial(_closed, reason, routing), methods=["POST"], strict_slashes=True
        )
    _answer_errors(app, routing)
    names = {carrier.name for carrier in carriers}
    app.asgi_app = MediaEndpoint(app.asgi_app, switchboard, address, webhook_hold, names)  # type: ignore[method-assign]
    return app


async def _closed(reason: str, routing: Callable[[], WebhookRouting | None]) -> Response:
    """Refuse a webhook, so that it is sent again: what is missing is ours. The node that has forwarded one has it."""
    if FORWARDED in request.scope:
        return error_response(404, reason)
    if (answer := await _of_another(routing)) is not None:
        return answer
    refusals.say(f"closed {reason}", "a webhook is refused: %s", reason)
    return error_response(503, reason)


async def _of_another(routing: Callable[[], WebhookRouting | None]) -> Response | None:
    """Return what another node answers to the present request, which nobody takes here; None: none takes it."""
    if (nodes := routing()) is None:
        return None
    try:
        body = cast(bytes, await request.get_data())
    except HTTPException:  # too large, or too slow
        return None
    return await nodes.forward_foreign(request.scope, request.method, body)


def _answer_errors(app: Quart, routing: Callable[[], WebhookRouting | None]) -> None:
    @app.errorhandler(HTTPException)
    async def refused(error: HTTPException) -> Response:
        code = error.code or 400
        is_media = request.path.startswith(MEDIA_PATHS)  # what follows may be a token
        if code in (404, 405) and not is_media and (answer := await _of_another(routing)) is not None:
            return answer
        where = "a media socket's address" if is_media else line(request.path)[:MOST_PATH]
        refusals.say(f"HTTP {code}", "a request is refused: HTTP %d to %s %s", code, request.method, where)
        response = error_response(code, error.description or error.name)
        if isinstance(error, MethodNotAllowed) and error.valid_methods:
            response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
        return response

    @app.errorhandler(Exception)
    async def our_fault(error: Exception) -> Response:
        log.error("a web handler failed", exc_info=error)
        return error_response(503, "an internal error; try again")

    @app.after_request
    async def plain(response: Response) -> Response:
        return without_content_type(response)
