"""Runs `<Dial>`: rings other phones for a call and connects the two humans, or puts the call into a conference.

Vendor: www.twilio.com/docs/voice/twiml/dial.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import Final
from urllib.parse import urljoin

from callflow.sandbox.common.callee import Callee, pick_up
from callflow.sandbox.common.recordings import Recording
from callflow.sandbox.twilio import dial_verb
from callflow.sandbox.twilio.amd import Detector
from callflow.sandbox.twilio.call import Call
from callflow.sandbox.twilio.conference import Conference
from callflow.sandbox.twilio.dial_verb import Dial, Number
from callflow.sandbox.twilio.errors import TwimlError
from callflow.sandbox.twilio.exchange import Exchange
from callflow.sandbox.twilio.ringing import ring


_E164 = re.compile(r"\+[1-9]\d{5,14}")
_REFUSED: Final = {21214: 13224, 21215: 13227, 21216: 13225, 21217: 13223}
"""The errors of `<Dial>` for those with which the REST API refuses a number (`Account.refused`)."""


class SecondLegs:
    """What the calls of an exchange dial."""

    def __init__(self, exchange: Exchange[Call]) -> None:
        self._exchange = exchange
        self.conferences: list[Conference] = []
        """Every conference, in the order in which they began."""

    async def dial(self, call: Call, dial: Dial, base: str) -> dict[str, str] | None:
        """Run a `<Dial>` until it is over. Returns what its `action` is told; None: the next verb follows anyway."""
        if dial.conference is not None:
            call.answer()
            return await self._confer(call, dial, dial.conference, base)
        if not dial.answers_on_bridge:
            call.answer()
        caller_id = dial.caller_id or call.from_number
        if not self._may_show(call, caller_id):
            call.warn(TwimlError(13214, f"callerId {caller_id} is neither on this call nor of this account"))
            return _told("failed")
        told = _told("failed")
        for nouns in [(noun,) for noun in dial.numbers] if dial.one_by_one else [dial.numbers]:
            told = await _Attempt(self._exchange, call, dial, base, caller_id).run(nouns)
            if told["DialCallStatus"] == "completed":
                break
        return told

    def _may_show(self, call: Call, number: str) -> bool:
        """Twilio docs: the calling number, the called number, or one of the account or verified by it."""
        exchange = self._exchange
        own = number in exchange.numbers or number in exchange.account.verified
        return own or number in (call.from_number, call.to_number)

    # Conferences

    async def _confer(self, call: Call, dial: Dial, noun: dial_verb.Conference, base: str) -> dict[str, str] | None:
        room = next((each for each in self.conferences if each.name == noun.name and each.state != "completed"), None)
        if room is None:
            room = Conference(self._exchange, noun, base)
            self.conferences.append(room)
        try:
            participant = room.join(call, noun, base)
        except TwimlError as error:
            call.fail(error)
            return None
        if dial.hangs_up_on_star:
            call.on_star = lambda: room.leave(participant, "participant_hung_up")
        recording = _record(call, dial, "", base)
        try:
            with contextlib.suppress(TimeoutError):
                longest = dial.time_limit * self._exchange.timing.second_s
                await self._exchange.changed.until(lambda: participant.left, longest, call.story)
        finally:
            gone = call.state == "ended"
            room.leave(participant, "participant_hung_up" if gone else "participant_updated_via_api")
            call.on_star = None
        if participant.failed:
            return _told("failed")
        # Twilio docs: the status is "answered", and neither the sid nor the length of a call is told.
        return {
            "DialCallStatus": "answered",
            "DialBridged": str(participant.was_heard).lower(),
            **_recorded(call, recording),
        }


class _Attempt:
    """The ringing of some phones at the same time for one call, and its conversation with whom answers first."""

    def __init__(self, exchange: Exchange[Call], call: Call, dial: Dial, base: str, caller_id: str) -> None:
        self._exchange, self._call, self._dial, self._base = exchange, call, dial, base
        self._caller_id = caller_id
        self._legs: dict[Call, Number] = {}
        self._picked_up: dict[Call, Callee] = {}
        self._ringing: asyncio.Task[None] | None = None
        self._recording: Recording | None = None

    async def run(self, nouns: tuple[Number, ...]) -> dict[str, str]:
        """Dial these, until all is over. Returns what the `action` is told."""
        call = self._call
        for noun in nouns:
            self._begin(noun)
        if not self._legs:
            return _told("failed")
        self._ringing = self._exchange.tasks.spawn(call.announcer.ring(), "ringing tone")
        self._recording = _record(call, self._dial, "ringing", self._base)
        try:
            await self._exchange.changed.until(
                lambda: self._picked_up or all(leg.state == "ended" for leg in self._legs), None, call.story
            )
            leg = next(iter(self._picked_up), None)
            for other in self._legs:
                if other is not leg:
                    other.end("canceled", by="carrier")
            if leg is None:
                leg = next(reversed(self._legs))
                return _told(leg.status, leg) | _recorded(call, self._recording)
            bridged = await self._talk(leg, self._legs[leg])
            told = _told("completed", leg, bridged=bridged) | _recorded(call, self._recording)
            if leg.redirected:
                del told["DialCallDuration"]
            return told
        finally:
            self._stop_ringing()
            self._part()

    def _begin(self, noun: Number) -> None:
        call, exchange, account = self._call, self._exchange, self._exchange.account
        refused = next((code for start, code in account.refused.items() if noun.to.startswith(start)), None)
        alive = sum(each.direction != "inbound" and each.state != "ended" for each in exchange.calls.values())
        if not _E164.fullmatch(noun.to) and not noun.to.startswith(("sip:", "sips:")):
            call.fail(TwimlError(13223, f"{noun.to!r} is no phone number"))
        elif refused is not None or (account.trial and noun.to not in account.verified):
            call.fail(TwimlError(_REFUSED.get(refused or 0, 13224), f"{noun.to} is not dialled"))
        elif account.calls_at_once is not None and alive >= account.calls_at_once:
            call.fail(TwimlError(10004, "the account has as many calls as it may"))
        else:
            leg = Call(
                exchange,
                call.number,
                from_number=self._caller_id,
                to_number=noun.to,
                direction="outbound-dial",
                phone=exchange.phones.get(noun.to),
                faults=exchange.faults_of.get(noun.to),
                parent=call,
            )
            url, method = noun.callback
            leg.callback = (urljoin(self._base, url) if url else "", method)
            leg.callback_events = noun.events
            leg.fallback = ("", "POST")
            self._legs[leg] = noun
            leg.chore(self._ring(leg), "dialling")

    async def _ring(self, leg: Call) -> None:
        longest = self._dial.timeout * self._exchange.timing.second_s
        if (callee := await ring(self._exchange, leg, longest)) is not None:
            self._picked_up[leg] = callee
            leg.answer()
            leg.limit(self._dial.time_limit)
            leg.chore(pick_up(callee, leg), "callee")
            self._exchange.changed()

    async def _talk(self, leg: Call, noun: Number) -> bool:
        """Connect the call with the leg that has answered, until one of them goes. Returns whether they talked."""
        call, exchange = self._call, self._exchange
        if noun.send_digits:
            leg.digits_sent.append(noun.send_digits)
        if noun.detection.get("MachineDetection"):
            self._detect(leg, noun)
        if not self._dial.answers_on_bridge:
            self._stop_ringing()
        if noun.url:
            await leg.screen(urljoin(self._base, noun.url), noun.method)
        self._stop_ringing()
        loses = call.faults.join_loses_leg
        if loses:
            leg.end("completed", by="callee")
        if leg.state == "ended" or leg.redirected or call.state == "ended":
            return False
        call.answer()
        call.heard_by, leg.heard_by = [leg], [call]
        call.note(f"connected with {leg.to_number}")
        leg.note("connected with its parent")
        self._recording = self._recording or _record(call, self._dial, "answer", self._base)
        if self._dial.hangs_up_on_star:
            call.on_star = lambda: leg.end("completed", by="caller")
        await exchange.changed.until(lambda: leg.state == "ended" or leg.redirected, None, call.story)
        return True

    def _detect(self, leg: Call, noun: Number) -> None:
        values = dict(noun.detection)
        if url := values.get("AsyncAmdStatusCallback"):
            values["AsyncAmdStatusCallback"] = urljoin(self._base, url)
        else:
            self._call.warn(TwimlError(21262, "machineDetection without amdStatusCallback"))
        detector = Detector(self._exchange, leg, self._picked_up[leg], values)
        self._exchange.tasks.spawn(detector.report() if url else detector.run(), "detection")

    def _stop_ringing(self) -> None:
        if self._ringing is not None:
            self._ringing.cancel()
            self._ringing = None

    def _part(self) -> None:
        """End what is left. A leg that was given a document of its own stays: it is a call like any other now."""
        call = self._call
        call.on_star = None
        for leg in self._legs:
            if call in leg.heard_by:
                leg.heard_by, call.heard_by = [], []
            if not leg.redirected:
                by = call.ended_by or "carrier"
                leg.end("canceled" if leg.answered_at is None else "completed", by=by)
        if self._recording is not None and call.recorder.running is self._recording:
            call.recorder.stop()


def _told(status: str, leg: Call | None = None, *, bridged: bool = False) -> dict[str, str]:
    told = {"DialCallStatus": status, "DialBridged": str(bridged).lower()}
    if leg is not None:
        # Whether the length is told of a leg that nobody answered is not documented (unknown).
        told |= {"DialCallSid": leg.sid, "DialCallDuration": str(leg.duration)}
    return told


def _record(call: Call, dial: Dial, when: str, base: str) -> Recording | None:
    """Begin the recording that `record` asks for, from then on ("": from now on). One at a time is emulated."""
    if not dial.record or when not in dial.record or call.recorder.running is not None:
        return None
    values = {**dial.recording, "RecordingChannels": "dual" if dial.record.endswith("-dual") else "mono"}
    if url := values.get("RecordingStatusCallback"):
        values["RecordingStatusCallback"] = urljoin(base, url)
    return call.recorder.start(values, "DialVerb")


def _recorded(call: Call, recording: Recording | None) -> dict[str, str]:
    return {"RecordingUrl": call.recorder.url(recording)} if recording is not None else {}
