"""Outbound calls: checks what is asked for, opens the call, and waits for the carrier's answer to the dial.

A request with a key makes one call, however often it is sent, also after a restart: the id of the call follows from the
key, and nothing is dialled before the journal has the call.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple
from weakref import WeakValueDictionary

from callflow.call.call import Call
from callflow.call.call_config import CallConfig
from callflow.call.legs import NOT_WRITTEN
from callflow.call.outbound_leg import OutboundLeg
from callflow.call.outbound_order import OutboundOrder
from callflow.contracts.carrier import Carrier, CarrierAccount, TakesAccounts
from callflow.contracts.e164 import is_e164
from callflow.contracts.errors import CarrierError, DialRefused, Overloaded, SettingsError
from callflow.contracts.events import LegIds
from callflow.contracts.printable import quoted
from callflow.contracts.rate_limit import RateLimit
from callflow.history.history import History
from callflow.history.idempotency_keys import call_of
from callflow.journal import notes
from callflow.switchboard.call_configs import CallConfigs, with_key
from callflow.switchboard.switchboard import Switchboard


_ANSWER_SECONDS: Final = 12.0
"""How long a request waits for the carrier's answer to the dial; the call goes on without it."""
_LOOK_SECONDS: Final = 0.1
"""Interval of the looks whether another node has the call, which happens only where the same key came in twice."""
_MOST_KEY: Final = 255
_MOST_AT_WORK: Final = 1000
"""Requests with a key at the same time."""
_BUSY_SECONDS: Final = 5
_NOT_YOURS: Final = "There is no such profile, or no such number of ours to call from."
_WRONG_KEY: Final = "This Idempotency-Key belongs to another call, which was asked for in other words: use a new key."


@dataclass(frozen=True, slots=True, kw_only=True)
class DialRequest:
    """What somebody asks for. Numbers are as they were given."""

    to_number: str
    from_number: str = ""
    """"": that of the settings."""
    carrier: str = ""
    """"": the first one that can dial."""
    profile: str = ""
    session: Mapping[str, Any] = field(default_factory=dict)
    """Settings for this call alone, by name; they have been checked."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """For `{{name}}` in instructions and greeting; they have been checked."""
    record: bool = False
    key: str = ""
    """"": every request makes a call of its own."""
    by: str = ""
    api_key: str = field(default="", repr=False)
    """The key of the engine for this call alone; "": that of the settings. It is written down nowhere: a process that
    goes on with the call has that of the settings."""
    account: CarrierAccount | None = field(default=None, repr=False)
    """Whose call it is at the carrier, for this call alone; None: the account of the settings. As with `api_key`."""
    business: str = ""
    """The call must be this one's, and so must be our number; "": whose it is does not matter."""
    keys_of: str = ""
    """The business whose keys `key` is one of; "": of those who are bound to none."""


@dataclass(frozen=True, slots=True)
class Dialled:
    """The call that a request has made, or had made before."""

    call: str
    carrier: str
    carrier_id: str
    """"": the carrier has not named it yet."""
    state: str
    is_new: bool
    left_out: tuple[str, ...] = ()
    """See `CallConfig.left_out`."""


class Preview(NamedTuple):
    """What would become of a request."""

    carrier: str
    from_number: str
    config: CallConfig
    why: str
    """Why the number is not dialled; "": it may be."""


class Dialer:
    """Makes outbound calls of requests."""

    def __init__(
        self,
        switchboard: Switchboard,
        history: History,
        configs: CallConfigs,
        carriers: Mapping[str, Carrier],
        *,
        may_dial: Callable[[str, str], Awaitable[str]],
        per_minute: int,
    ) -> None:
        """`carriers`: by name. `may_dial`: returns why a number is not dialled for a business; "": it may be.
        `per_minute`: how many calls may be asked for."""
        self._switchboard, self._history, self._configs = switchboard, history, configs
        self._carriers = carriers
        self.may_dial = may_dial
        """As it was given."""
        self._pace = RateLimit(per_second=per_minute / 60, at_once=per_minute)
        self._loop = asyncio.get_running_loop()
        self.elsewhere: Callable[[DialRequest], Awaitable[Dialled]] | None = None
        """Has a node of the cluster make the call, and raises as `dial` does."""
        self._at_work: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """A lock for each call id, as long as a request with its key is at work or waits."""

    async def dial(self, request: DialRequest) -> Dialled:
        """Make the call, or find the one that an earlier request with this key has made.

        Raises DialRefused; CarrierError if the carrier has refused to dial.
        """
        # What is written down nowhere is told to no other node either.
        if self.elsewhere is not None and request.account is None and not request.api_key:
            # Which carrier is decided here: another node may have other keys, and would choose by them.
            return await self.elsewhere(replace(request, carrier=self._order(request).carrier))
        return await self.dial_here(request)

    async def dial_here(self, request: DialRequest) -> Dialled:
        """Make the call at this node. Raises as `dial`."""
        order = self._order(request)
        if not request.key:
            return await self._dial(str(uuid.uuid4()), order, request)
        if len(request.key) > _MOST_KEY or not request.key.isprintable():
            raise DialRefused(400, f"An Idempotency-Key has {_MOST_KEY} printable characters at most.")
        call = call_of(request.key, request.keys_of)
        async with self._alone(call):
            return await self._earlier(call, order) or await self._dial(call, order, request)

    async def check(self, request: DialRequest) -> tuple[str, tuple[str, ...], str]:
        """Check everything but the number to be called. Returns the name of the carrier, the names of variables that
        instructions and greeting ask for and the request has not, and whose the calls are. Raises DialRefused."""
        carrier, own = self._carrier_and_own(request)
        config = await self._config(own, request)
        return carrier, config.left_out, config.business

    def own_number(self, request: DialRequest) -> str:
        """Return our number that a request would call from. Raises DialRefused."""
        return self._carrier_and_own(request)[1]

    async def outline(self, request: DialRequest) -> Preview:
        """Return how a call would be conducted, whoever is called. Raises DialRefused."""
        carrier, own = self._carrier_and_own(request)
        return Preview(carrier, own, await self._config(own, request), "")

    async def preview(self, request: DialRequest) -> Preview:
        """Check everything, the number to be called included, and dial nothing. Raises DialRefused."""
        order = self._order(request)
        config = await self._config(order.from_number, request)
        why = await self.may_dial(order.to_number, config.business)
        if not why and (full := self._switchboard.dial_refusal(config)):
            why = f"{full[:1].upper()}{full[1:]}."
        return Preview(order.carrier, order.from_number, config, why)

    @asynccontextmanager
    async def _alone(self, call: str) -> AsyncIterator[None]:
        """Let the requests with one key come one after another."""
        if len(self._at_work) >= _MOST_AT_WORK and call not in self._at_work:
            raise DialRefused(503, "Too many calls are being dialled: try again in a moment.", wait=_BUSY_SECONDS)
        lock = self._at_work.setdefault(call, asyncio.Lock())
        async with lock:
            yield

    def _order(self, request: DialRequest) -> OutboundOrder:
        """Return the request with everything that it leaves open. Raises DialRefused."""
        carrier, own = self._carrier_and_own(request)
        _check_form("toNumber", request.to_number)
        if own == request.to_number:
            raise DialRefused(400, "toNumber is our own number: nobody else would answer.")
        return OutboundOrder(
            to_number=request.to_number, from_number=own, carrier=carrier, profile=request.profile,
            session=request.session, variables=request.variables, record=request.record, by=request.by,
        )  # fmt: skip

    def _carrier_and_own(self, request: DialRequest) -> tuple[str, str]:
        """Return the carrier's name, and our number. Raises DialRefused."""
        carrier = self._carrier(request)
        own = request.from_number or self._carriers[carrier].from_number
        if not own:
            name = f"{carrier.upper()}_FROM_NUMBER"
            raise DialRefused(400, f'No number is known to call from: give it as "from", or set {name}.')
        _check_form("from", own)
        return carrier, own

    async def _config(self, own: str, asked: DialRequest) -> CallConfig:
        """Return the config of a call from a number of ours. Raises DialRefused, also if `asked.business` may not make
        it, and if it asks for what this call cannot have."""
        profile, business = asked.profile, asked.business
        if business and self._configs.business_of(own, profile) != (business, business):
            raise DialRefused(404, _NOT_YOURS)
        make = self._configs.outbound
        try:
            config = await asyncio.to_thread(make, own, profile, asked.session, variables=asked.variables)
        except SettingsError as error:
            raise DialRefused(400, *(f"{problem[:1].upper()}{problem[1:]}." for problem in error.problems)) from None
        if config.route == "sip" and (cannot := _without_audio(config, asked)):
            raise DialRefused(400, *cannot)
        return config

    def _carrier(self, request: DialRequest) -> str:
        name, own = request.carrier, request.from_number
        dialling = [each.name for each in self._carriers.values() if "dials" in each.can]
        if request.account is not None:
            dialling = [each for each in dialling if isinstance(self._carriers[each], TakesAccounts)]
            if not dialling or (name and name not in dialling):
                raise DialRefused(400, "The account that was given is not one of the carrier that is to dial.")
        if not dialling:
            raise DialRefused(503, "No carrier that can dial is set up: set the keys of Telnyx or Twilio.")
        if not name:
            return next((each for each in dialling if own or self._carriers[each].from_number), dialling[0])
        if name not in dialling:
            raise DialRefused(400, f"carrier must be {' or '.join(dialling)}, not {quoted(name)}.")
        return name

    async def _dial(self, call: str, order: OutboundOrder, asked: DialRequest) -> Dialled:
        config = await self._config(order.from_number, asked)
        why = await self.may_dial(order.to_number, config.business)
        if why:
            raise DialRefused(403, why)
        if asked.api_key:
            config = with_key(config, asked.api_key)
        if not self._pace.take(self._loop.time()):
            raise DialRefused(429, "More calls are asked for than DIALS_PER_MINUTE allows.", wait=_BUSY_SECONDS)
        carrier = self._carriers[order.carrier]
        if asked.account is not None and isinstance(carrier, TakesAccounts):
            carrier.use_account(call, asked.account)
        order = replace(order.under(config), ring_seconds=int(config.dial_seconds))
        try:
            opened = self._switchboard.dial(call, carrier, order)
        except Overloaded as error:
            raise DialRefused(503, f"This call was not dialled: {error}.", wait=_BUSY_SECONDS) from None
        leg = opened.legs.caller
        ids = await self._ids(opened, leg) if leg is not None else None
        if opened.is_handed_over and asked.key:
            return await self._made_elsewhere(call, order)
        if ids is None and leg is not None and leg.is_settled:
            if leg.error is not None and str(leg.error) == NOT_WRITTEN:
                raise DialRefused(
                    503,
                    "The call was not dialled, because it could not be written down: ask again, with a new key.",
                    wait=1,
                )
            raise leg.error or CarrierError("the carrier did not dial")
        carrier_id = ids.control if ids is not None else ""
        return Dialled(call, order.carrier, carrier_id, opened.model.state, is_new=True, left_out=config.left_out)

    async def _ids(self, opened: Call, leg: OutboundLeg) -> LegIds | None:
        """Return what the carrier calls the leg; None: it has not said, or another node has the call."""
        until = self._loop.time() + _ANSWER_SECONDS
        while True:
            ids = await leg.wait(_LOOK_SECONDS)
            if ids is not None or leg.is_settled or opened.is_handed_over or self._loop.time() > until:
                return ids

    async def _made_elsewhere(self, call: str, order: OutboundOrder) -> Dialled:
        """Return the call that another node has made, which got the same request at the same moment. Raises
        DialRefused."""
        until = self._loop.time() + _ANSWER_SECONDS
        while True:
            made = await self._earlier(call, order)
            if made is not None and (made.carrier_id or self._loop.time() > until):
                return made
            if self._loop.time() > until:
                raise DialRefused(503, "Another node was asked for the same call, and has not made it.", wait=1)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _earlier(self, call: str, order: OutboundOrder) -> Dialled | None:
        """Return the call that this key has made before. Raises DialRefused if it was asked for in other words, or if
        the history cannot be asked."""
        live = self._switchboard.live(call)
        if live is not None:
            if live.order is None or live.order.fingerprint() != order.fingerprint():
                raise DialRefused(422, _WRONG_KEY)
            return Dialled(call, live.carrier.name, live.ids.control, live.model.state, is_new=False)
        if not self._history.is_readable:
            raise DialRefused(503, "The history is not open, so whether this key was used is not known.", wait=1)
        row = await self._history.store.conversation(call, hidden=True)
        if row is None:
            return None
        entries = await self._history.store.journal(call, hidden=True)
        began = next((entry.note for entry in entries if entry.name == notes.Began.kind), None)
        if isinstance(began, notes.Began) and began.order != order.fingerprint():
            raise DialRefused(422, _WRONG_KEY)
        return Dialled(call, row["carrier"] or "", row["carrier_call_id"] or "", row["state"] or "", is_new=False)


def _without_audio(config: CallConfig, asked: DialRequest) -> list[str]:
    """Return a sentence for what is asked for and cannot be where whoever answers is led to a SIP address."""
    found = []
    if str(asked.session.get("voicemail_message", "")).strip():
        found.append(
            "voicemailMessage: no message can be left where calls are led to OpenAI's SIP (route); leave it out, and "
            "with machineDetection the call ends at a machine."
        )
    if asked.record and config.record_announcement:
        found.append(
            "record: record_announcement cannot be said where calls are led to OpenAI's SIP (route), so the recording "
            "would never begin; leave record out."
        )
    return found


def _check_form(name: str, number: str) -> None:
    """Raise DialRefused unless a number is in E.164."""
    if not is_e164(number):
        raise DialRefused(
            400, f"{name} must be a number in E.164: + and country code and number, such as +15550100001."
        )
