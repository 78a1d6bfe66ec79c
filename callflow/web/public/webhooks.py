"""The public listener: the doors that carriers declare, their media sockets, and a sign of life.

Nothing here answers 500: what cannot be read is 400, what is not signed 403, what is too large 413, and a fault of our
own 503, which tells a carrier to try again.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import cast

import msgspec
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope
from quart import Quart, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge

from callflow.contracts.carrier import Carrier, CarrierRequest, WebhookReply, WebhookRoute
from callflow.contracts.commands import Speak
from callflow.contracts.errors import Forged, Malformed, Overloaded
from callflow.contracts.printable import line
from callflow.switchboard.switchboard import Switchboard
from callflow.web.public.address import PublicAddress
from callflow.web.public.media_endpoint import MEDIA_PATHS, MediaEndpoint
from callflow.web.public.pages import Receive, create_pages
from callflow.web.public.request import BODY_SECONDS, MOST_BODY, MOST_PATH, Gate, _target, read_request, refusals
from callflow.web.responses import without_kind


log = logging.getLogger(__name__)


App = Callable[[Scope, ASGIReceiveCallable, ASGISendCallable], Awaitable[None]]


def create_public(
    carriers: Sequence[Carrier],
    switchboard: Callable[[], Switchboard],
    address: PublicAddress,
    gate: Callable[[], Gate],
) -> Quart:
    app = Quart("callflow")
    app.config["MAX_CONTENT_LENGTH"] = MOST_BODY
    app.config["BODY_TIMEOUT"] = BODY_SECONDS
    app.url_map.merge_slashes = False  # it answers `//` with a redirect, and carriers do not follow those
    pages = create_pages(app, address)

    for carrier in carriers:
        for door in carrier.routes:
            receive = _webhook(carrier, door, switchboard, address, gate)
            methods = list(door.methods)
            if "GET" in methods and door.path in pages:
                methods.remove("GET")
                pages[door.path].append((door.only_with, receive))
            if methods:
                name = f"{carrier.name}:{door.path}"
                app.add_url_rule(door.path, name, receive, methods=methods, strict_slashes=True)

    @app.errorhandler(HTTPException)
    async def refused(error: HTTPException) -> Response:
        code = error.code or 400
        is_media = request.path.startswith(MEDIA_PATHS)  # what follows may be a token
        where = "a media socket's address" if is_media else line(request.path)[:MOST_PATH]
        refusals.say(f"HTTP {code}", "a request is refused: HTTP %d to %s %s", code, request.method, where)
        response = _answer(code, error.description or error.name)
        if isinstance(error, MethodNotAllowed) and error.valid_methods:
            response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
        return response

    @app.after_request
    async def plain(response: Response) -> Response:
        return without_kind(response)

    @app.errorhandler(Exception)
    async def our_fault(error: Exception) -> Response:
        log.error("a web handler failed", exc_info=error)
        return _answer(503, "a fault of ours; try again")

    app.asgi_app = MediaEndpoint(app.asgi_app, switchboard, address, gate)  # type: ignore[method-assign]
    return app


def _webhook(
    carrier: Carrier,
    door: WebhookRoute,
    switchboard: Callable[[], Switchboard],
    address: PublicAddress,
    gate: Callable[[], Gate],
) -> Receive:
    async def receive() -> Response:
        body = cast(bytes, await request.get_data())
        if len(body) > door.most_body:
            raise RequestEntityTooLarge
        wanted = read_request(request.scope, request.method, body, address)
        try:
            carrier.verify(wanted)
            signals = carrier.parse(wanted)
        except (Forged, Malformed) as error:
            refusals.say(
                f"{carrier.name} {type(error).__name__}", "%s webhook refused: %s", carrier.name, str(error)[:300]
            )
            return _answer(403 if isinstance(error, Forged) else 400, str(error))
        if not address.known:
            address.learn(wanted.url[: -len(_target(request.scope))])
        reply: WebhookReply | None = None
        for signal in signals:
            await gate().hold(signal)
            if log.isEnabledFor(logging.DEBUG):
                call, what = switchboard().name_of(signal), signal.event.trigger
                log.debug("call %s: %s webhook %s, delivery %s", call, carrier.name, what, signal.id)
            try:
                reply = await switchboard().dispatch(carrier, signal)
            except Exception as error:
                if "answers_in_reply" not in carrier.can:  # it will try again; the other plays an error of its own
                    if isinstance(error, Overloaded):
                        refusals.say("overloaded", "%s webhook refused for now: %s", carrier.name, error)
                        return _answer(503, str(error))
                    raise
                log.exception("%s webhook failed through a fault of our own", carrier.name)
                reply = carrier.reply(
                    signal.event, [CarrierRequest(Speak(sentence="sorry"), signal.id, "", signal.ids)]
                )
        reply = reply or carrier.reply(None, ())
        return Response(reply.body, reply.status, content_type=reply.content_type)

    return receive


def _answer(status: int, message: str) -> Response:
    body = msgspec.json.encode({"success": False, "error": message[:300]})
    response = Response(body, status, content_type="application/json")
    if status == 503:
        response.headers["Retry-After"] = "1"
    return response
