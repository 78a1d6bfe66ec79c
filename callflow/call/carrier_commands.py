"""Sends one call's commands to its carrier: commands become requests, and results come back as events.

A webhook's reply may carry some requests (Twilio: TwiML); the others are sent over the carrier's API. The result is a
`CommandDone` or a `CommandFailed` for the machine. HTTP retries are in `carriers/common/http_client.py`; what follows
when they are used up is decided in the machine's table (`answer_failed`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Any, Literal

from callflow.call.call_config import CallConfig
from callflow.call.command_ids import FIRST_ANSWER, CommandPlace, command_id
from callflow.call.legs import Legs
from callflow.call.line_requests import Words
from callflow.call.machine import FALLBACK
from callflow.call.outbound_leg import OutboundLeg
from callflow.call.services import alone
from callflow.call.stream_lease import StreamLease
from callflow.contracts import commands, events
from callflow.contracts.carrier import Carrier, CarrierRequest, WebhookReply
from callflow.contracts.command_fence import fenced
from callflow.contracts.commands import Command
from callflow.contracts.engine import SessionOffer
from callflow.contracts.errors import CarrierError
from callflow.contracts.events import Event, LegIds
from callflow.contracts.log_format import CALL


log = logging.getLogger(__name__)


class CarrierCommands:
    """Requests and results of one call. The only state kept here is which command answered the call, and whose
    turn it is among the commands of its recording."""

    def __init__(
        self,
        call: str,
        carrier: Carrier,
        streams: StreamLease,
        *,
        post: Callable[[Event], None],
        own: Callable[[Coroutine[Any, Any, None], str], None],
        run_after_call: Callable[[Coroutine[Any, Any, None]], object],
        legs: Legs,
        words: Words,
        offer: Callable[[], SessionOffer | None] = lambda: None,
        may_act: Callable[[str], Awaitable[bool]] = alone,
        replaces: Callable[[], str | None] = lambda: None,
        under_way: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """`post`: takes the results. `own`: runs a task that ends with the call. `run_after_call`: runs a task that
        must finish even when the call is over. `legs`: those of the call. `offer`: returns the engine's session with
        which the carrier answers the call, if it does. `may_act`: see `CallServices`; asked of what is late.
        `replaces`: see `ProcessHandover.stream_elsewhere`. `under_way`: lasts until the carrier has answered."""
        self._legs, self._words, self._offer = legs, words, offer
        self._call, self._carrier, self._streams = call, carrier, streams
        self._post, self._own, self._run_after_call, self._may_act = post, own, run_after_call, may_act
        self._replaces, self._under_way = replaces, under_way
        self._recording = asyncio.Lock()
        self.answered_by = FIRST_ANSWER
        """The place of the answer command: a repeated answer command has the same id."""
        self.mark = ""
        """Of this process."""

    def request(
        self,
        command: Command,
        place: CommandPlace,
        *,
        ids: LegIds,
        from_number: str = "",
        to_number: str = "",
        at: float = 0.0,
        config: CallConfig,
    ) -> CarrierRequest:
        """Make the request for the command of this place.

        A command that requests a media stream opens another stream; but a repeated answer command requests the newest
        stream again.
        """
        own, other = self._legs.ids(command, ids)
        text = ""
        if isinstance(command, commands.Brief):
            text = self._legs.briefing(config.briefing_text, from_number, to_number)
        elif isinstance(command, commands.Speak) and command.sentence == FALLBACK:
            text = config.fallback_text
        elif isinstance(command, commands.LeadToSip):
            text = config.sip_address
        elif isinstance(command, commands.Join):
            text = self._legs.notice(command)
        elif isinstance(command, (commands.Announce, commands.SendDtmf)):
            text = self._words.take(command.id)
        from_number, to_number = self._legs.numbers(command, from_number, to_number)
        url = secret = name = ""
        if _has_stream(command):
            if isinstance(command, commands.Answer) and command.again:
                place = self.answered_by
                self._streams.renew()
            else:
                self._streams.open()
            url, secret, name = self._streams.url, self._streams.secret, self._streams.name
        return CarrierRequest(
            command=command,
            id=command_id(self._call, *place),
            call=self._call,
            ids=own,
            other=other,
            text=text,
            stream_url=url,
            stream_secret=secret,
            stream_name=name,
            from_number=from_number,
            to_number=to_number,
            at=at,
            replaces_stream=self._replaces() if isinstance(command, commands.StartStream) else None,
            offer=self._offer() if isinstance(command, commands.Answer) else None,
        )

    def reply(self, event: Event, requests: Sequence[CarrierRequest], *, over: bool) -> WebhookReply:
        """Make the reply to the webhook that reported this event. `over`: the call has ended.

        The carrier reports no result for requests that the reply carries, so these count as done at once, and an answer
        command counts as answered. The reply's `rest` is left to be sent.
        """
        reply = self._carrier.reply(event, requests, over=over)
        for request in requests:
            if request not in reply.rest:
                self._post(events.CommandDone(leg=request.command.leg, command=request.command.name))
                if isinstance(request.command, commands.Answer):
                    self._post(events.CallAnswered())
        return reply

    def send(self, request: CarrierRequest) -> None:
        """Send the request over the carrier's API, in a task. Dial, hang-up and reject are carried through even when
        the call is over, but nothing once another process has it."""
        with fenced(self._may_act, self._call, monotonic):
            self._begin(request)

    def _begin(self, request: CarrierRequest) -> None:
        dialled = self._legs.dialled(request.command.leg)
        if isinstance(request.command, commands.Dial) and dialled is not None:
            self._start(partial(dialled.dial, request), self._run_after_call)
        elif isinstance(request.command, (commands.Hangup, commands.Reject)):
            self._start(partial(self._hang_up, request, dialled, self._post), self._run_after_call)
        else:
            in_turn = isinstance(request.command, (commands.Record, commands.PauseRecord))
            work = partial(self._in_turn if in_turn else self._execute, request, self._post)
            self._start(work, lambda task: self._own(task, request.command.name))

    def _start(
        self, work: Callable[[], Coroutine[Any, Any, None]], run: Callable[[Coroutine[Any, Any, None]], object]
    ) -> None:
        """Begin at once: a call that is given to another node before the task has its turn would take it along."""
        under_way = ExitStack()
        under_way.enter_context(self._under_way())
        run(_carried_out(work, under_way))

    def close(self) -> None:
        """Let go of the call. Results of requests that are under way are still reported to it, others are not."""
        self._post = _nobody

    async def _in_turn(self, request: CarrierRequest, post: Callable[[Event], None]) -> None:
        """Send a command of the recording when those before it are done: the end of a pause must not overtake it."""
        async with self._recording:
            await self._execute(request, post)

    async def _hang_up(
        self, request: CarrierRequest, dialled: OutboundLeg | None, post: Callable[[Event], None]
    ) -> None:
        """Send a hang-up; while the leg is still being dialled, once its ids are known."""
        if dialled is not None and not request.ids.control:
            ids = await dialled.wait_to_hang_up()
            if ids is None:
                return  # nothing was dialled; or a webhook will tell of the leg, see `callflow.switchboard`
            request = replace(request, ids=ids)
        await self._execute(request, post)

    async def _execute(self, request: CarrierRequest, post: Callable[[Event], None]) -> None:
        name = request.command.name

        def leg() -> str:
            return self._legs.present(request.command.leg, request.ids)

        CALL.set(self._call)
        try:
            await self._carrier.execute(request)
        except CarrierError as error:
            log.warning("call %s: %s failed: %s", self._call, name, error)
            effect: Literal["", "unknown"] = ""
            by = ""
            if isinstance(request.command, commands.SendDtmf):  # keys must not be pressed a second time
                effect, by = "unknown" if error.unknown else "", self._words.by(request.command.id)
            failed = events.CommandFailed(
                leg=leg(), command=name, gone=error.gone, effect=effect, reason=str(error), by=by
            )
            post(failed)
        except Exception as error:
            log.exception("call %s: %s failed because of an internal error", self._call, name)
            post(events.CommandFailed(leg=leg(), command=name, reason=type(error).__name__))
        else:
            post(events.CommandDone(leg=leg(), command=name))
            if isinstance(request.command, commands.Answer) and "media_is_remote" in self._carrier.can:
                post(events.CallAnswered())


async def _carried_out(work: Callable[[], Coroutine[Any, Any, None]], under_way: ExitStack) -> None:
    with under_way:
        await work()


def _has_stream(command: Command) -> bool:
    """Whether the command requests a media stream."""
    if isinstance(command, commands.Dial):
        return command.stream
    return isinstance(command, (commands.Answer, commands.StartStream))


def _nobody(event: Event) -> None:
    """Take an event that no call is left for."""
