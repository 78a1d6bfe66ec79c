"""A conference: who is in it, who hears whom, when it begins and ends, and its status callbacks.

https://www.twilio.com/docs/voice/twiml/conference
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from time import monotonic
from typing import Final, Literal
from urllib.parse import urljoin

from callflow.sandbox.common.phone import tone
from callflow.sandbox.twilio import dial_verb
from callflow.sandbox.twilio.call import Call
from callflow.sandbox.twilio.errors import TwimlError
from callflow.sandbox.twilio.exchange import Exchange


Reason = Literal["moderator_ended_conference", "participant_updated_via_api", "participant_hung_up"]

_BEEP: Final = tone(100, 1200.0)
_EVENT_OF: Final = {
    "conference-start": "start",
    "conference-end": "end",
    "participant-join": "join",
    "participant-leave": "leave",
}


@dataclass(eq=False, slots=True)
class Participant:
    """A call in a conference. `left` says why it is in it no longer."""

    call: Call
    noun: dial_verb.Conference
    left: Reason | None = None
    failed: bool = False
    """Its waitUrl could not be played, so that it never was in the conference properly."""
    was_heard: bool = False
    waiting: asyncio.Task[None] | None = None


class Conference:
    """A conference from its first participant to its last."""

    def __init__(self, exchange: Exchange[Call], first: dial_verb.Conference, base: str) -> None:
        self.sid = "CF" + secrets.token_hex(16)
        self.name = first.name
        self.participants: list[Participant] = []
        self.state: Literal["init", "in-progress", "completed"] = "init"
        # Twilio docs: the first participant sets the status callback, what later ones say of it is ignored.
        self._callback = (urljoin(base, first.callback[0]) if first.callback[0] else "", first.callback[1])
        self._events = first.events
        self._exchange = exchange
        self._sequence = 0

    def join(self, call: Call, noun: dial_verb.Conference, base: str) -> Participant:
        """Add a call. Raises TwimlError when its label is taken, or when the conference is full."""
        if noun.label and noun.label in (each.noun.label for each in self.participants):
            raise TwimlError(16025, f"there is a participant with the label {noun.label}")
        if len(self.participants) >= noun.most:
            # Which error it is when a conference is full is not documented (unknown).
            raise TwimlError(16020, "the conference has as many participants as it may")
        others = tuple(self.participants)
        participant = Participant(call, noun)
        self.participants.append(participant)
        call.note(f"joined the conference {self.name}")
        self._tell("participant-join", participant)
        if call.faults.join_loses_leg:
            for other in others:
                other.call.end("completed", by="callee")
                self.leave(other, "participant_hung_up")
        if self.state == "init" and len(self.participants) > 1 and any(each.noun.starts for each in self.participants):
            self._begin()
        elif self.state == "init":
            participant.waiting = self._exchange.tasks.spawn(self._wait(participant, base), "conference wait")
        self._mix()
        if "enter" in noun.beeps_at:
            self._beep(participant)
        return participant

    def leave(self, participant: Participant, reason: Reason) -> None:
        """Remove a call, and end the conference when that is its end. Does nothing the second time."""
        if participant.left is not None:
            return
        participant.left = reason
        self.participants.remove(participant)
        self._stop_waiting(participant)
        participant.call.note(f"left the conference {self.name}: {reason}")
        participant.call.heard_by = []
        self._mix()
        if "exit" in participant.noun.beeps_at:
            self._beep(participant)
        more = {"ReasonParticipantLeft": reason, "ParticipantCallStatus": participant.call.status}
        self._tell("participant-leave", participant, more)
        if reason == "moderator_ended_conference":
            return
        if participant.noun.ends:
            for other in tuple(self.participants):
                self.leave(other, "moderator_ended_conference")
            self._end("participant-with-end-conference-on-exit-left", participant)
        elif not self.participants:
            self._end("last-participant-left", participant)

    def _begin(self) -> None:
        self.state = "in-progress"
        for each in self.participants:
            self._stop_waiting(each)
        self._tell("conference-start")

    def _end(self, reason: str, last: Participant) -> None:
        if self.state == "completed":
            return
        self.state = "completed"
        more = {"ReasonConferenceEnded": reason, "CallSidEndingConference": last.call.sid}
        if last.noun.label:
            more["ParticipantLabelEndingConference"] = last.noun.label
        self._tell("conference-end", None, more)
        self._exchange.changed()

    def _mix(self) -> None:
        """Let everybody hear everybody else, but the muted ones. Before it has begun nobody hears anybody."""
        for each in self.participants:
            others = [other.call for other in self.participants if other is not each]
            each.call.heard_by = list(others) if self.state == "in-progress" and not each.noun.muted else []
            each.was_heard = each.was_heard or (self.state == "in-progress" and bool(others))
        self._exchange.changed()

    def _beep(self, about: Participant) -> None:
        if self.state == "in-progress":
            for each in self.participants:
                if each is not about:
                    each.call.phone.line("beep").play(_BEEP, monotonic())

    async def _wait(self, participant: Participant, base: str) -> None:
        """Play what is heard before the conference begins. Twilio docs: behind the end of waitUrl there is silence."""
        call, url = participant.call, participant.noun.wait_url
        if url is None:
            await call.announcer.music()
        elif url:
            extra = {"ConferenceSid": self.sid, "FriendlyName": self.name}
            try:
                await call.wait_in(urljoin(base, url), participant.noun.wait_method, extra)
            except TwimlError:
                participant.failed = True
                self.leave(participant, "participant_updated_via_api")

    def _stop_waiting(self, participant: Participant) -> None:
        if participant.waiting is not None and participant.waiting is not asyncio.current_task():
            participant.waiting.cancel()

    def _tell(self, event: str, about: Participant | None = None, more: Mapping[str, str] | None = None) -> None:
        url, method = self._callback
        if not url or _EVENT_OF[event] not in self._events:
            return
        params = {
            "AccountSid": self._exchange.account_sid,
            "ConferenceSid": self.sid,
            "FriendlyName": self.name,
            "StatusCallbackEvent": event,
            "SequenceNumber": str(self._sequence),
            "Timestamp": format_datetime(datetime.now(UTC)),
        }
        self._sequence += 1
        if about is not None:
            params |= {
                "CallSid": about.call.sid,
                "Muted": str(about.noun.muted).lower(),
                "Hold": "false",
                "Coaching": "false",
                "EndConferenceOnExit": str(about.noun.ends).lower(),
                "StartConferenceOnEnter": str(about.noun.starts).lower(),
            }
            if about.noun.label:
                params["ParticipantLabel"] = about.noun.label
        faults = about.call.faults if about is not None else self._exchange.faults
        self._exchange.webhooks.notify("conference", url, method, {**params, **(more or {})}, faults, event)
