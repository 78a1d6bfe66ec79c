"""The carriers' webhooks: each request is read, verified and parsed into events, and each event goes to its call.

Unreadable requests get 400, requests not signed by the carrier 403, too large requests 413, and requests that fail
through our own fault 503, upon which a carrier sends the webhook again. No request gets 500.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import cast

from quart import Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from callflow.cluster.node_paths import FORWARDED
from callflow.contracts.carrier import Carrier, CarrierRequest, WebhookReply, WebhookRoute
from callflow.contracts.commands import Speak
from callflow.contracts.errors import CallElsewhere, Forged, Malformed, Overloaded
from callflow.contracts.events import WebhookEvent
from callflow.switchboard.switchboard import Switchboard
from callflow.web.public.address import PublicAddress
from callflow.web.public.request import WebhookHold, error_response, read_request, refusals, target_of
from callflow.web.public.routing import MISLED, WebhookRouting


log = logging.getLogger(__name__)

_MOST_REASON = 300
"""The most characters of a reason in the log, because it may quote the request."""
_ANOTHERS = "another node has this call"
_TRIES = 3
"""How often a webhook is sent to a node that hangs, each time for two seconds: together more than its lease."""


class WebhookEndpoint:
    """The handler of one path that a carrier's webhooks use."""

    def __init__(
        self,
        carrier: Carrier,
        route: WebhookRoute,
        switchboard: Callable[[], Switchboard],
        address: PublicAddress,
        webhook_hold: Callable[[], WebhookHold],
        routing: Callable[[], WebhookRouting | None] = lambda: None,
    ) -> None:
        """Each request asks for `switchboard`, `webhook_hold` and `routing`, because they are made when the server
        starts. `address`: takes the public address to which a verified webhook was sent. `routing`: among the nodes of
        a cluster; None: this process serves alone."""
        self._carrier, self._route, self._routing = carrier, route, routing
        self._switchboard, self._address, self._webhook_hold = switchboard, address, webhook_hold

    async def __call__(self) -> Response:
        """Answer the present request."""
        body = cast(bytes, await request.get_data())
        if len(body) > self._route.most_body:
            raise RequestEntityTooLarge
        webhook = read_request(request.scope, request.method, body, self._address)
        try:
            self._carrier.verify(webhook)
            webhook_events = self._carrier.parse(webhook)
        except (Forged, Malformed) as error:
            return self._refuse(error)
        if not self._address.known:
            self._address.learn(webhook.url[: -len(target_of(request.scope))])
        reply: WebhookReply | None = None
        routing = self._routing()
        for webhook_event in webhook_events:
            if routing is not None and (answer := await self._elsewhere(routing, webhook_event, body)) is not None:
                return answer
            if routing is not None:
                await routing.tell_others(request.scope, webhook_event, request.method, body)
            try:
                await self._webhook_hold().hold(webhook_event)
                if routing is not None and await routing.is_misled(request.scope, webhook_event):
                    return error_response(MISLED, _ANOTHERS)
                if routing is not None and await routing.is_anothers(webhook_event):
                    return error_response(503, _ANOTHERS)
                reply = await self._dispatch(webhook_event)
            except Overloaded as error:
                refusals.say("overloaded", "%s webhook refused for now: %s", self._carrier.name, error)
                return error_response(503, str(error))
            except CallElsewhere as error:
                found = await self._let_go_of(str(error), routing, webhook_event, body)
                if isinstance(found, Response):
                    return found
                reply = found
        reply = reply or self._carrier.reply(None, ())
        return Response(reply.body, reply.status, content_type=reply.content_type)

    async def _elsewhere(self, routing: WebhookRouting, webhook_event: WebhookEvent, body: bytes) -> Response | None:
        """Send a webhook to the node that it is for, and return the answer. None: it is for this node.

        It may be for this node when the other one has not answered: its calls have been taken over then, and a new call
        that was only to go there begins here. A carrier that takes commands from the reply does not send a webhook
        again, so this goes on until a node that hangs has lost its calls."""
        to, by_name = "", True
        for tries in range(_TRIES):
            to = await routing.elsewhere(request.scope, webhook_event, may_place=tries == 0, by_name=by_name)
            if not to:
                return None
            answer = await routing.forward(request.scope, webhook_event, request.method, body, to)
            if answer is not None and answer.status_code != MISLED:
                return answer
            if answer is not None and by_name:
                by_name = False
                continue
            if not await routing.is_gone(to) and "answers_in_reply" not in self._carrier.can:
                break
        if not await routing.elsewhere(request.scope, webhook_event, may_place=False, by_name=by_name):
            return None
        return error_response(503, f"node {to} has this call, and does not answer")

    async def _let_go_of(
        self, call: str, routing: WebhookRouting | None, webhook_event: WebhookEvent, body: bytes
    ) -> WebhookReply | Response:
        """Send a webhook after its call, of which this node has just let go. Where nobody has the call, or it has come
        back, it is taken here once more, because a carrier asks only a few times."""
        answer = None
        if routing is not None:
            to = await routing.owner(call)
            if to in ("", routing.me):
                with contextlib.suppress(CallElsewhere, Overloaded):
                    await self._webhook_hold().hold(webhook_event)
                    return await self._dispatch(webhook_event)
            elif to and request.scope.get(FORWARDED):
                return error_response(MISLED, _ANOTHERS)  # whoever has sent it here sends it there
            elif to:
                answer = await routing.forward(request.scope, webhook_event, request.method, body, to)
        if answer is None or answer.status_code == MISLED:
            return error_response(503, _ANOTHERS)
        return answer

    async def _dispatch(self, webhook_event: WebhookEvent) -> WebhookReply:
        """Pass one event to its call. Raises on failure, so that the carrier sends the webhook again. A carrier that
        takes commands from the reply gets an apology to say instead, because after an error it would play its own error
        message."""
        switchboard = self._switchboard()
        if log.isEnabledFor(logging.DEBUG):
            call, what = switchboard.name_of(webhook_event), webhook_event.event.trigger
            log.debug("call %s: %s webhook %s, delivery %s", call, self._carrier.name, what, webhook_event.id)
        try:
            return await switchboard.dispatch(self._carrier, webhook_event)
        except Exception as error:
            if "answers_in_reply" not in self._carrier.can or isinstance(error, CallElsewhere):
                raise
            log.exception("%s webhook failed because of an internal error", self._carrier.name)
            apology = CarrierRequest(Speak(sentence="sorry"), webhook_event.id, "", webhook_event.ids)
            return self._carrier.reply(webhook_event.event, [apology])

    def _refuse(self, error: Forged | Malformed) -> Response:
        kind, reason = type(error).__name__, str(error)[:_MOST_REASON]
        refusals.say(f"{self._carrier.name} {kind}", "%s webhook refused: %s", self._carrier.name, reason)
        return error_response(self._route.forged_status if isinstance(error, Forged) else 400, str(error))
