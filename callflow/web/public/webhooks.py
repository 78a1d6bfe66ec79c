"""The carriers' webhooks: each request is read, verified and parsed into events, and each event goes to its call.

Unreadable requests get 400, requests not signed by the carrier 403, too large requests 413, and requests that fail
through our own fault 503, upon which a carrier sends the webhook again. No request gets 500.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import cast

from quart import Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from callflow.cluster.destination import AGAIN, MISLED, Here, Refused, To
from callflow.cluster.forwarding import OTHER_CARRIERS
from callflow.contracts.carrier import Carrier, CarrierRequest, WebhookReply, WebhookRoute
from callflow.contracts.commands import Speak
from callflow.contracts.errors import CallElsewhere, Forged, Malformed, Overloaded
from callflow.contracts.events import WebhookEvent
from callflow.switchboard.switchboard import Switchboard
from callflow.web.public.address import PublicAddress
from callflow.web.public.request import WebhookHold, error_response, read_request, refusals, target_of
from callflow.web.public.routing import WebhookRouting


log = logging.getLogger(__name__)

_MOST_REASON = 300
"""The most characters of a reason in the log, because it may quote the request."""
_ANOTHERS = "another node has this call"
_OTHER_KEYS = (400, 403, 404, 405)
"""What a node answers to a webhook that this one has verified, if its keys of the carrier are others or missing."""
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
        for webhook_event in webhook_events:
            try:
                answer = await self._take(webhook_event, body)
            except Overloaded as error:
                refusals.say("overloaded", "%s webhook refused for now: %s", self._carrier.name, error)
                return error_response(503, str(error))
            if isinstance(answer, Response):
                return answer
            reply = answer
        reply = reply or self._carrier.reply(None, ())
        return Response(reply.body, reply.status, content_type=reply.content_type)

    async def _take(self, webhook_event: WebhookEvent, body: bytes) -> WebhookReply | Response:
        """Pass one event to its call, here or at another node, and return its answer. Raises Overloaded.

        A call that this node lets go of meanwhile is looked for once more, and may have come back: a carrier asks only
        a few times."""
        routing, let_go = self._routing(), ""
        for _ in range(2):
            found = await self._destination(routing, webhook_event, body, let_go)
            if isinstance(found, Response):
                return found
            if routing is not None and not let_go:
                await routing.tell_others(request.scope, webhook_event, request.method, body, found.owner)
            await self._webhook_hold().look_up(webhook_event)
            try:
                return await self._dispatch(webhook_event)
            except CallElsewhere as error:
                let_go = str(error)
            if routing is None:
                break
            await routing.wound_up(let_go)
        return error_response(AGAIN, _ANOTHERS)

    async def _destination(
        self, routing: WebhookRouting | None, webhook_event: WebhookEvent, body: bytes, let_go: str
    ) -> Here | Response:
        """Return that a webhook is for this node, or the answer of the node that it is for. Raises Overloaded.

        After a wait it is decided anew: a call that was just coming may have gone on to a third node. A node that knows
        no other one can send it to none, so that it waits for its start first."""
        hold = self._webhook_hold()
        if routing is None or routing.is_alone:
            await hold.begun(webhook_event)
        if routing is None:
            return Here()
        found = await self._lead(routing, webhook_event, body, let_go)
        if not isinstance(found, Response) and await hold.begun(webhook_event):
            found = await self._lead(routing, webhook_event, body, let_go)
        if isinstance(found, Here) and await hold.hold(webhook_event, coming=found.coming):
            found = await self._lead(routing, webhook_event, body, let_go)
        if isinstance(found, To):
            return error_response(AGAIN, f"node {found.node} has this call, and does not answer")
        return found

    async def _lead(
        self, routing: WebhookRouting, webhook_event: WebhookEvent, body: bytes, let_go: str
    ) -> Here | To | Response:
        """Send a webhook to the node that it is for, and return the answer; or that it is for this node, or for one
        that does not answer.

        It may be for this node when the other one has not answered: its calls have been taken over then, and a new call
        that was only to go there begins here. So does one that the other node cannot take, for want of this carrier's
        keys. A carrier that takes commands from the reply does not send a webhook again, so this goes on until a node
        that hangs has lost its calls."""
        left, is_misled = _TRIES, False
        while True:
            found = await routing.destination(
                request.scope, webhook_event, let_go=let_go, by_name=not (let_go or is_misled),
                may_place=left == _TRIES and not let_go,
            )  # fmt: skip
            if isinstance(found, Refused):
                return error_response(found.status, _ANOTHERS)
            if isinstance(found, Here) or not left:
                return found
            left -= 1
            answer = await routing.forward(request.scope, webhook_event, request.method, body, found.node)
            if answer is not None and answer.status_code in _OTHER_KEYS:
                refusals.say(f"keys {found.node}", OTHER_CARRIERS, found.node, self._carrier.name)
            elif answer is not None and answer.status_code != MISLED:
                return answer
            if answer is not None and not is_misled:
                is_misled = True
            elif not await routing.is_gone(found.node) and "answers_in_reply" not in self._carrier.can:
                left = 0

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
