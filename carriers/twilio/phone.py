"""The line of the phone in the operators' page: an emulated Twilio that serves nobody but this server.

It has a name of its own, so that its calls are told from those of the account, and it reaches no telephone: whatever
would dial is refused here, whoever asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from callflow.contracts import commands
from callflow.contracts.carrier import PHONE, CarrierCan, CarrierRequest, WebhookReply
from callflow.contracts.errors import CarrierError
from callflow.contracts.events import Event, LegIds
from carriers.twilio.carrier import Twilio
from carriers.twilio.config import TwilioConfig


_REACHES_OTHERS = (commands.Dial, commands.Transfer, commands.Refer, commands.Join, commands.Listen)


class Phone(Twilio):
    """The line as a `callflow.contracts.carrier.Carrier`."""

    name = PHONE
    can: frozenset[CarrierCan] = Twilio.can - {"dials", "transfers", "refers", "listens", "tells_price"}

    def __init__(self, config: TwilioConfig) -> None:
        super().__init__(config)
        self._address = config.address

    def reply(self, event: Event | None, requests: Sequence[CarrierRequest], *, over: bool = False) -> WebhookReply:
        """Return the document, whose stream leads to this line's own address. What dials is left, to be refused."""
        own = [(given, self._own(given)) for given in requests if not isinstance(given.command, _REACHES_OTHERS)]
        reply = super().reply(event, [made for _, made in own], over=over)
        carried = [given for given, made in own if made not in reply.rest]
        return replace(reply, rest=tuple(given for given in requests if given not in carried))

    async def execute(self, request: CarrierRequest) -> None:
        """Send one command. Raises CarrierError, for one that dials always."""
        if isinstance(request.command, _REACHES_OTHERS):
            raise _no_telephone(request)
        await super().execute(self._own(request))

    async def dial(self, request: CarrierRequest) -> LegIds:
        """Refuse to dial. Raises CarrierError."""
        raise _no_telephone(request)

    def _own(self, request: CarrierRequest) -> CarrierRequest:
        """Return the request with this line's own address for its stream."""
        if not request.stream_url:
            return request
        own = "wss" + self._address().removeprefix("https")
        return replace(request, stream_url=own + urlsplit(request.stream_url).path)


def _no_telephone(request: CarrierRequest) -> CarrierError:
    return CarrierError(f"the phone of the operators' page reaches no other telephone: no {request.command.name}")
