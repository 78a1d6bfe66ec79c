"""What operators and the agent's own tools may request of a call: to end it, and to connect the caller with a person.
`line_requests.py` has what they may do with its line, `step_in.py` what with the model and its tools.

A request becomes an event in the call's mailbox; the machine decides what follows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal

from callflow.agent.agent import Agent
from callflow.agent.tool_calls import ENDS_CALL
from callflow.call import machine
from callflow.call.call_config import CallConfig
from callflow.call.line_requests import NO_CALLER, SENDS_KEYS, TRANSFERRED, LineRequests
from callflow.call.mailbox import Mailbox
from callflow.call.recordings import Recordings
from callflow.call.step_in import StepIn
from callflow.contracts import events
from callflow.contracts.back_references import to_owner
from callflow.contracts.carrier import CarrierCan
from callflow.contracts.events import Event
from callflow.contracts.sip_addresses import SIP, TEL
from callflow.contracts.tools import TransferAction
from callflow.journal import notes
from callflow.journal.notes import Note
from callflow.media.audio_gates import AudioGates


OPERATOR: Final = "operator"
"""The cause of a call ended by an operator."""
TRANSFERS_CALL: Final = "transfer_call"
"""The name of the agent's tool that connects the caller with a person."""
PAUSES: Final = "pause_recording"
RESUMES: Final = "resume_recording"
"""The names of the agent's tools that keep a card number out of the recording."""
MOST_SUMMARY: Final = 1000
"""Characters that a person is told of a call."""
_MOST_REASON: Final = 200
ENDING: Final = "The call is ending."
HELD: Final = "The caller is on hold: try again when they are back."
_UNKNOWN: Final = "Nobody of this name can be called."
_NOT_CALLED: Final = "{target} is not being called after all. {why} Tell the caller so, and go on helping them."


def referred(number: str, can: frozenset[CarrierCan]) -> str:
    """Return how a carrier with these capabilities connects a caller with this number: as it is; or as the address of
    a telephone, to which the caller is referred, where it can do nothing else."""
    return number if not number or "transfers" in can or number.startswith(SIP) else f"{TEL}{number}"


class Requests:
    """The requests of one call."""

    def __init__(
        self,
        config: CallConfig,
        model: Callable[[], machine.Model],
        mailbox: Mailbox,
        recordings: Recordings,
        *,
        post: Callable[[Event], object],
        note: Callable[[Note], object],
        redact: Callable[[str], str],
        can: frozenset[CarrierCan],
        gates: AudioGates,
        agent: Callable[[], Agent],
    ) -> None:
        """`model`: returns the machine's memory of the call. `redact`: removes private data from a text. `can`: the
        carrier's capabilities. The rest: see `LineRequests`."""
        self._config, self._model, self._mailbox, self._recordings = config, model, mailbox, recordings
        self._post, self._note, self._redact, self._can, self._agent = post, note, redact, can, agent
        self.line = LineRequests(
            config, model, can=can, gates=gates, post=post, awaits=mailbox.has,
            opening=lambda: agent().protected_greeting.is_open,
        )  # fmt: skip
        self.step_in = StepIn(model, agent, self.line, recordings, note)

    def of_tools(self, *, outbound: bool) -> dict[str, Callable[..., Any]]:
        """Return what the agent's built-in tools do, by their names. `outbound`: we dialled the call."""
        acts: dict[str, Callable[..., Any]] = {ENDS_CALL: to_owner(self._end_by_agent)}
        if self._recordings.is_offered:
            acts[PAUSES], acts[RESUMES] = to_owner(self._pause_by_agent), to_owner(self._resume_by_agent)
        if self._config.dtmf_tool == "always" or (self._config.dtmf_tool == "outbound" and outbound):
            acts[SENDS_KEYS] = to_owner(self.line.press_by_agent)
        if self._config.transfer_targets and {"transfers", "refers"} & self._can:
            names = list(self._config.transfer_targets)
            acts[TRANSFERS_CALL] = TransferAction(names, to_owner(self._transfer_by_agent))
        return acts

    def hang_up(self, when: Literal["goodbye", "now"], by: str) -> None:
        """End the call, after a goodbye or at once; repeated clicks of an operator count once. `by`: see
        `callflow.web.console.requested_by`."""
        kind = events.HangupRequested if when == "now" else events.GoodbyeRequested
        if not self._mailbox.has(kind):
            self.line.hand_on()  # else nobody would hear the agent's goodbye
            self._post(kind(reason=OPERATOR, by=by))

    def transfer(
        self, target: str, number: str, *, by: str, summary: str = "", mode: Literal["warm", "cold", "refer"] = "warm"
    ) -> str:
        """Connect the caller with a person. Returns a sentence that says why not; "": it is asked for. `target`: the
        person's name. `number`: in E.164, or with `refer` a SIP address."""
        if why := self._why_not_transferred():
            return why
        self.line.hand_on()
        self._post(
            events.TransferRequested(
                mode=mode, target=target, number=number, summary=summary[:MOST_SUMMARY], by=by,
                ring_seconds=int(self._config.transfer_ring_seconds), takes_back=self._config.transfer_take_back,
                notice=self._config.listen_notice if mode == "warm" and "listens" in self._can else "",
            )
        )  # fmt: skip
        return ""

    def _why_not_transferred(self) -> str:
        """Return a sentence that says why the caller cannot be connected with anybody now; "": they can. What the
        mailbox has is done by the time that a request would be."""
        model, awaits = self._model(), self._mailbox.has
        if model.farewell or machine.is_over(model):
            return ENDING
        if model.transfer or awaits(events.TransferRequested):
            return TRANSFERRED
        if self.line.is_on_hold or awaits(events.HoldRequested):
            return HELD
        return NO_CALLER if model.state != machine.STREAMING or model.engine == "lost" else ""

    def after(self, step: machine.Step) -> None:
        """Tell the agent of a transfer that the machine did not begin: the agent's tool has said that it would."""
        asked = step.event
        if isinstance(asked, events.TransferRequested) and asked.by == "agent" and not step.taken:
            why = self._why_not_transferred() or NO_CALLER
            if why != ENDING:
                text = _NOT_CALLED.format(target=asked.target or "the person", why=why)
                self._agent().prompter.learn(f"{text[:1].upper()}{text[1:]}", speak=True)

    def record(self, *, on: bool, by: str) -> bool:
        """Let the carrier record from now on, or no longer. Returns False if that is not possible now: the call is not
        answered yet, is over, or its recording is paused, or waits until the caller was told of it; or its audio does
        not come here."""
        if self._model().state in (machine.RINGING, machine.HANGUP) or (on and self._will_be_paused):
            return False
        if self.line.is_remote or (on and not self._recordings.may_begin):
            return False
        if self._carrier_will_record != on:
            self._post(events.RecordRequested(on=on, by=by))
        return True

    def pause(self, *, on: bool, by: str) -> bool:
        """Keep nothing of the call for a while, neither sound nor words, or again. Returns False if that is not
        possible now: nothing records, or the call is not answered yet or over."""
        carrier = self._carrier_will_record
        is_any = carrier or self._recordings.is_any
        if self._model().state in (machine.RINGING, machine.HANGUP) or (on and not is_any):
            return False
        if self._will_be_paused != on:
            self._post(events.PauseRequested(on=on, carrier=carrier, by=by))
        return True

    # What was asked for before, and is still in the mailbox, is done by the time that a further request is.

    @property
    def _carrier_will_record(self) -> bool:
        asked = self._mailbox.last(events.RecordRequested)
        return self._recordings.by_carrier if asked is None else asked.on

    @property
    def _will_be_paused(self) -> bool:
        asked = self._mailbox.last(events.PauseRequested)
        return self._recordings.pause.is_on if asked is None else asked.on

    def _pause_by_agent(self) -> bool:
        return self.pause(on=True, by="agent")

    def _resume_by_agent(self) -> bool:
        return self.pause(on=False, by="agent")

    def _transfer_by_agent(self, target: str, summary: str) -> tuple[str, str]:
        """See `TransferAction`."""
        number = referred(self._config.transfer_targets.get(" ".join(target.split()).casefold(), ""), self._can)
        mode: Literal["warm", "refer"] = "refer" if number.startswith((*SIP, TEL)) else "warm"
        why = self.transfer(target, number, by="agent", summary=summary, mode=mode) if number else _UNKNOWN
        return mode, why

    def _end_by_agent(self, reason: str = "") -> None:
        self._note(notes.EndCall(reason=self._redact(reason)[:_MOST_REASON]))
        self._post(events.EndRequested(reason="agent", by="agent"))
