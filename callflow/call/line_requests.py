"""What operators and the agent's tools may do with a call's line: hold, mute, words and keys.

A request becomes an event in the call's mailbox, which says who asked; the machine decides. Each method returns "" if
the event was posted, or a sentence that says why not.

Words and keys may be secret, so events and commands only name them: `Words` has them, in memory, until they are used.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final, Literal

from msgspec.structs import replace

from callflow.call import machine
from callflow.call.call_config import CallConfig
from callflow.call.dtmf import MASK
from callflow.contracts import events
from callflow.contracts.carrier import CarrierCan
from callflow.contracts.events import DTMF_KEYS, Event
from callflow.media.audio_gates import AudioGates


SENDS_KEYS: Final = "send_dtmf"
"""The name of the agent's tool that presses keys."""
MOST_DIGITS: Final = 32
"""Keys and waits of one request: as many as Twilio takes with a dial, which is the lowest limit of a carrier."""
MOST_TEXT: Final = 1000
"""Characters that are said on one request."""
WAITS: Final = "wW"
_MOST_KEPT: Final = 16

NO_CALLER: Final = "The agent does not have the caller now: wait until they talk again, and try again then."
ON_HOLD: Final = "The caller is on hold: resume first."
TRANSFERRED: Final = "A transfer of this call is under way."
NOT_ON_HOLD: Final = "The caller is not on hold."
OPENING: Final = "The caller is still hearing the sentence that opens the call, which must not be cut: wait for it."
MUTED: Final = "The agent is muted, so the caller would not hear it: end that first."
NO_VOICE: Final = "The model is away, and this carrier has no voice beside the media stream: try again in a moment."
TAKEN: Final = "%s speaks with the caller in place of the agent: give the caller back first."
REMOTE: Final = (
    "The audio of this call goes straight between the caller and the model, so it cannot be held, muted, recorded or "
    "listened to here, and nothing can be played into it."
)
_TAKES_CALLER: Final[dict[type[Event], str]] = {
    events.TransferRequested: TRANSFERRED,
    events.HoldRequested: ON_HOLD,
    **dict.fromkeys(
        (events.GoodbyeRequested, events.EndRequested, events.HangupRequested, events.CallHangup), NO_CALLER
    ),
}
"""What takes the caller away once it is carried out. Until then it is in the mailbox: the model does not know of it."""
NO_KEYS: Final = (
    f"digits must be 1 to {MOST_DIGITS} of 0-9, A-D, *, # and the waits w (half a second) and W (a second)."
)


class Words:
    """The texts and digits of requests that are not carried out yet, by id."""

    def __init__(self) -> None:
        self._kept: dict[str, str] = {}
        self._by: dict[str, str] = {}
        self._number = 0

    def keep(self, text: str, by: str) -> str:
        """Keep a text, and return its id. Beyond 16 of them the oldest is forgotten: its request was refused. `by`: who
        asked for it."""
        self._number += 1
        self._kept[str(self._number)], self._by[str(self._number)] = text, by
        for kept in (self._kept, self._by):
            if len(kept) > _MOST_KEPT:
                del kept[next(iter(kept))]
        return str(self._number)

    def by(self, name: str) -> str:
        """Return who asked for a text, also when it was taken; "": that is not known."""
        return self._by.get(name, "")

    def take(self, name: str) -> str:
        """Return a text, once; "": there is none."""
        return self._kept.pop(name, "")


class LineRequests:
    """The requests about one call's line."""

    def __init__(
        self,
        config: CallConfig,
        model: Callable[[], machine.Model],
        *,
        can: frozenset[CarrierCan],
        gates: AudioGates,
        opening: Callable[[], bool],
        post: Callable[[Event], object],
        awaits: Callable[[type[Event]], bool],
    ) -> None:
        """`model`: returns the machine's memory of the call. `can`: the carrier's capabilities. `opening`: returns
        whether the caller is still to hear the protected sentence. `awaits`: returns whether an event of this kind is
        still to be taken."""
        self._config, self._model, self._can, self._awaits = config, model, can, awaits
        self.words = Words()
        """What commands name."""
        self._gates, self._opening, self._post = gates, opening, post
        self.taken_by = ""
        """Who speaks with the caller in place of the agent, and as what the events name them; "": nobody does."""
        self.hand_on: Callable[[], None] = lambda: None
        """Called when the caller leaves whoever speaks with them in place of the agent, for another person or a
        goodbye."""

    @property
    def is_remote(self) -> bool:
        """Whether the audio does not come here."""
        return "media_is_remote" in self._can

    @property
    def is_on_hold(self) -> bool:
        """Whether the caller is on hold."""
        return "hold" in self._model().armed

    @property
    def is_being_transferred(self) -> bool:
        """Whether another person is being rung, or has the caller."""
        return bool(self._model().transfer)

    @property
    def muted(self) -> list[str]:
        """Who is muted: caller, agent."""
        return self._gates.muted

    def hold(self, by: str) -> str:
        """Put the caller on hold; nothing changes if they are already. `by`: see
        `callflow.web.console.requested_by`."""
        model = self._model()
        if self.is_on_hold and not self._awaits(events.ResumeRequested):
            return ""
        if self.is_remote:
            return REMOTE
        if model.state != machine.STREAMING or (model.engine, model.media) != ("ready", "open") or model.farewell:
            return NO_CALLER
        if self.is_being_transferred or self._awaits(events.TransferRequested):
            return TRANSFERRED
        if self._opening():
            return OPENING
        self._post(events.HoldRequested(by=by))
        return ""

    def resume(self, by: str) -> str:
        """Take the caller off hold."""
        if not self.is_on_hold and not self._awaits(events.HoldRequested):
            return NOT_ON_HOLD
        self._post(events.ResumeRequested(by=by))
        return ""

    def mute(self, party: Literal["caller", "agent"], on: bool, by: str, *, for_person: bool = False) -> str:
        """Mute a party, or end that. `for_person`: of the agent, so that a person can speak in its place."""
        if self.is_remote:
            return REMOTE
        if on and not self._has_caller():
            return NO_CALLER
        if party == "agent" and self.taken_by and not for_person:
            return TAKEN % shown(self.taken_by)
        if on and self._opening():
            return OPENING
        taken_away = [why for kind, why in _TAKES_CALLER.items() if self._awaits(kind)]
        if on and for_person and taken_away:
            return taken_away[0]  # the machine would not let the person speak, and nobody would hear them
        self._post(events.MuteRequested(party=party, on=on, by=by, for_person=for_person))
        return ""

    def say(self, text: str, by: str) -> str:
        """Say a text to the caller, word for word: by the agent, or by the carrier's voice while the agent is away."""
        otherwise: Literal["", "carrier"] = "carrier" if "speaks_beside_stream" in self._can else ""
        model = self._model()
        if not self._has_caller() or model.media != "open":
            return NO_CALLER
        if self.is_on_hold:
            return ON_HOLD
        if self.taken_by:
            return TAKEN % shown(self.taken_by)
        if "agent" in self.muted:
            return MUTED
        if not otherwise and (model.engine, model.state) != ("ready", machine.STREAMING):
            return NO_VOICE
        self._post(events.SayRequested(id=self.words.keep(text, by), text=text, otherwise=otherwise, by=by))
        return ""

    def press(self, digits: str, by: str) -> str:
        """Press keys, for the other end to hear."""
        if not are_digits(digits):
            return NO_KEYS
        if self.is_remote:
            return REMOTE
        if not self._has_caller() or self._model().media != "open":
            return NO_CALLER
        if self.is_on_hold:
            return ON_HOLD
        shown = MASK * len(digits) if self._config.dtmf_sensitive else digits
        way: Literal["carrier", "tones"] = "carrier" if "sends_digits" in self._can else "tones"
        self._post(events.DtmfRequested(id=self.words.keep(digits, by), digits=shown, way=way, by=by))
        return ""

    def press_by_agent(self, digits: str) -> str:
        """Press keys for the agent's tool."""
        return self.press("".join(digits.split()), by="agent")

    def without_digits(self, called: events.ToolCalled) -> events.ToolCalled:
        """Return a tool call without the digits that the tool presses, if these must not be written down."""
        if called.tool != SENDS_KEYS or not self._config.dtmf_sensitive:
            return called
        return replace(called, arguments=json.dumps({"digits": MASK}))

    def _has_caller(self) -> bool:
        model = self._model()
        return model.state in (machine.STREAMING, machine.RECOVERING) and not model.farewell


def shown(by: str) -> str:
    """Return how somebody is called in a sentence. `by`: see `callflow.web.console.requested_by`."""
    return by.removeprefix("token ") if by.startswith("token ") else "An operator"


def are_digits(digits: str) -> bool:
    """Return whether these are keys and waits that can be sent in one request."""
    return 0 < len(digits) <= MOST_DIGITS and all(digit in DTMF_KEYS or digit in WAITS for digit in digits)
