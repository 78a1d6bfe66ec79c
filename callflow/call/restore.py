"""Restores a call from its journal, for the process that continues the call. Pure.

The machine's state comes from replaying its events. The agent's state comes from the notes: who said what, how much was
heard, which tools were called, and whether they have answered.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from callflow.agent.agent_state import AgentState
from callflow.agent.conversation import Turn
from callflow.agent.prompts import shown, tool_answered, tool_unknown, typed, typing_lost, whispered
from callflow.agent.session_ids import last_number
from callflow.call import machine, requests_after_move
from callflow.call.command_ids import CommandPlace
from callflow.call.deadlines import COUNTED, GO_ON
from callflow.call.dtmf import MASK, KeyBuffer, as_source
from callflow.call.legs import by_machine
from callflow.call.lost_tools import UNKNOWN_RESULT, LostTools
from callflow.call.outbound_order import OutboundOrder
from callflow.call.replay import replay
from callflow.call.take_over import TAKES_OVER
from callflow.contracts import commands, events
from callflow.contracts.caller_lookup import LookedUp
from callflow.contracts.event import part_of
from callflow.contracts.events import (
    CALLER,
    DeadlinePassed,
    LegIds,
    MuteRequested,
    TransferRequested,
)
from callflow.contracts.media import HandoverInput
from callflow.journal import notes
from callflow.journal.journal import JournalEntry
from callflow.journal.notes import Note, UnknownNote
from callflow.journal.timeline import broke_in
from callflow.media.remote_line import ENCODING as REMOTE


_IDS: Final = ("item", "id")
"""Where events and notes have ids of the model: of turns, tool calls, and tools that it runs itself."""
_NOT_ON_RECORD: Final = CommandPlace(0, 0)
_LEFT_SECONDS: Final = 60.0
"""A request that the next process has not carried out after so long was written down when that process had read the
journal already: the conversation has gone on without it."""


@dataclass(slots=True)
class RestoredCall:
    """A call of another process, as read from its journal."""

    call: str
    carrier: str
    ids: LegIds
    from_number: str
    to_number: str
    began: float
    """Unix time, in seconds."""
    model: machine.Model
    steps: int
    at: float = 0.0
    """When the last entry of the call was written, in Unix time (seconds)."""
    streams: int = 0
    """How many media streams were requested."""
    stream: str = ""
    """The carrier's id of the newest one that started; "": none did, or it has none."""
    mark: str = ""
    """Of the process that took the last step: see `CallRecovered.mark`."""
    answer_command: CommandPlace = _NOT_ON_RECORD
    """The place of the command that answered the call."""
    hangup: CommandPlace | None = None
    """That of the command that ended the call; None: there is none, or the carrier has confirmed it."""
    armed: dict[str, float] = field(default_factory=dict)
    """When each deadline was armed that is running (Unix time, in seconds)."""
    counted: dict[str, float] = field(default_factory=dict)
    """How many seconds of a deadline of `GO_ON` were over when it was last stopped, or armed again."""
    keys: KeyBuffer = field(default_factory=KeyBuffer)
    """The caller's keys: the entry that was being typed, and those reported once. Times are Unix time, in seconds."""
    turns: list[Turn] = field(default_factory=list)
    opening_is_over: bool = False
    opening_in_full: bool = False
    """The caller has heard the whole protected sentence."""
    unanswered: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Tool calls without a known result: their `tool_called` events, by id."""
    lost_tools: LostTools = field(default_factory=LostTools)
    """Those, and the ones of processes of before."""
    left: list[events.Event] = field(default_factory=list)
    """Requests that came while the previous process handed the call over, oldest first: they are still to be done."""
    left_since: float = math.inf
    """From when on another process has had the call, and could do them. Unix time, in seconds."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Settings that operators had changed when the call began."""
    profile: tuple[str, int] = ("", 0)
    """The profile under which the call began, and its version in the database; 0: the database had none."""
    changes: dict[str, Any] = field(default_factory=dict)
    """Settings that were changed in mid-call."""
    usage: dict[str, Any] = field(default_factory=dict)
    handed_over: bool = False
    """The previous process handed the call over; False: it ended without a handover."""
    given: bool = False
    """It lives, and had the call a moment ago."""
    quiet: bool = False
    """Nobody spoke at the moment of the handover."""
    first_word_ms: int | None = None
    """From the answer to the agent's first audio, in ms; None: there was none."""
    interruptions: int = 0
    recordings: list[str] = field(default_factory=list)
    paused_at: float | None = None
    """When the pause of its recordings began, in Unix time (seconds); None: there is none."""
    carrier_records: bool = False
    """The carrier records, as far as it was told to."""
    address: str = ""
    """Our public address, as the carrier knew it when the call began."""
    looked_up: LookedUp | None = None
    """What the caller lookup told; None: it was not asked."""
    order: OutboundOrder | None = None
    """What was asked for, of an outbound call; without its config."""
    part_of: OutboundOrder | None = None
    """That of the outbound call whose other side it is; without its config."""
    transfer: TransferRequested | None = None
    """The last transfer that was requested."""
    human: LegIds = field(default_factory=LegIds)
    """The carrier's ids of the person's leg."""
    answered_at: float | None = None
    """When it was answered, in Unix time (seconds)."""
    joined_at: float | None = None
    """When caller and person were joined, in Unix time (seconds)."""
    was_listened: bool = False
    """What they said was being written down."""
    muted: set[Literal["caller", "agent"]] = field(default_factory=set)
    """Who is muted."""
    engine: str = ""
    """The second engine, if the call had come to it."""
    last_session: int = 1
    """The highest number of a session of the model that ids tell of: see `session_ids.last_number`."""
    taken_by: str = ""
    """Who spoke with the caller in place of the agent."""
    was_taken: bool = False
    """Somebody has spoken with the caller in place of the agent."""
    muted_for: str = ""
    """For whom the agent was muted still."""
    cuts: list[Turn] = field(default_factory=list)
    """Turns of the agent that were being played when the line broke."""
    handover_input: Callable[[], Awaitable[HandoverInput]] | None = None
    """Asks the process that has given the call away for what the caller said to it last, and for the end of its stream.
    Never raises; takes some tenths of a second at most. None: there is none to be asked."""
    problems: tuple[int, str] | None = None
    """How many entries cannot be read, and the problem of the first; None: all can be read."""

    def count(self, deadline: str, at: float) -> None:
        """Note that a deadline is stopped, or armed again, at this time (Unix time, in seconds)."""
        if deadline in GO_ON and (since := self.armed.pop(deadline, None)) is not None:
            self.counted[deadline] = self.counted.get(deadline, 0.0) + at - since

    def elapsed(self, now: float) -> dict[str, float]:
        """Return how many seconds of each deadline of `GO_ON` are over, for `Deadlines.restore`."""
        running = {name: now - at for name, at in self.armed.items() if name in GO_ON}
        return {name: self.counted.get(name, 0.0) + running.get(name, 0.0) for name in {*self.counted, *running}}

    @property
    def agent_state(self) -> AgentState:
        """The state with which the call's agent continues."""
        return AgentState(
            turns=self.turns,
            interruptions=self.interruptions,
            greeting_is_over=self.opening_is_over,
            changes=self.changes,
            usage=self.usage,
            first_word_ms=self.first_word_ms,
            left_quietly=self.quiet and not self.taken_by,
            unanswered=dict.fromkeys(self.unanswered, UNKNOWN_RESULT),
            engine=self.engine,
            last_session=self.last_session,
            had_session=self.model.media != "none",
            met_person=self.was_taken or self.joined_at is not None,
        )


def restore_call(entries: Sequence[JournalEntry]) -> RestoredCall | None:
    """Return the call that these entries describe; None: there is no `began` note, so the call cannot be restored.

    Raises ValueError if the `began` note cannot be read. Other entries that cannot be read are skipped and counted in
    `problems`.
    """
    entries = [entry.renewed() for entry in entries]
    first = next((entry for entry in entries if entry.name == notes.Began.kind), None)
    if first is None:
        return None
    began = first.note
    if not isinstance(began, notes.Began):
        raise ValueError("the note of its beginning makes no sense")
    done = replay(entries, lenient=True)
    call = RestoredCall(
        first.call, began.carrier, _ids(began), began.from_number, began.to_number, first.at, done.model, done.steps,
        overrides=began.kept, profile=(began.profile, began.profile_version), address=began.address,
        order=_order(began) if began.direction == "outbound" else None,
        part_of=_order(began) if began.direction != "outbound" and part_of(_ids(began)) else None,
    )  # fmt: skip
    talk = _Talk()
    for entry in entries:
        try:
            _read(call, talk, entry)
        except Exception as error:  # a caller is waiting: losing one entry is better than losing the call
            count, problem = call.problems or (0, f"{type(error).__name__} in {entry.event.get('event')!r:.60}")
            call.problems = count + 1, problem
    call.lost_tools = LostTools(entries)
    call.armed = {name: at for name, at in call.armed.items() if name in call.model.armed}
    call.left = call.left if call.at - call.left_since <= _LEFT_SECONDS else []
    call.left += requests_after_move.unconfirmed(entries)
    call.taken_by = call.taken_by or call.muted_for
    call.turns, call.cuts = talk.turns()
    call.turns += [Turn("system", "", tool_unknown(*_asked(each))) for each in call.unanswered.values()]
    return call


def _read(call: RestoredCall, talk: _Talk, entry: JournalEntry) -> None:
    call.at = entry.at
    call.last_session = max(call.last_session, last_number(_ids_in(entry.event)))
    if entry.is_step:
        event = entry.event
        call.handed_over = call.quiet = False
        call.left = _without_first(call.left, requests_after_move.carried_out(entry.event))
        call.left_since = min(call.left_since, entry.at)
        if entry.name == events.CallRecovered.name:
            call.mark = str(event.get("mark", ""))
        if entry.before == machine.RINGING and entry.after not in (machine.RINGING, machine.HANGUP):
            call.answered_at = call.answered_at or entry.at
        if entry.after == machine.BRIDGED != entry.before:
            call.joined_at = entry.at
        for ordinal, command in enumerate(entry.commands):
            _command(call, entry, ordinal, command)
        call.from_number = call.from_number or str(event.get("from_number", ""))
        call.to_number = call.to_number or str(event.get("to_number", ""))
    note = entry.note
    if note is None:
        _event(call, talk, entry)
    else:
        _note(call, talk, entry.at, note)


def _ids_in(told: Mapping[str, Any]) -> list[str]:
    """Return the ids of the model in an event or a note, and in its cuts: of speech that was cut off at once, nothing
    else may be written down."""
    cuts = told.get("cuts", ())
    parts = [told, *(cut for cut in cuts if isinstance(cut, Mapping))] if isinstance(cuts, list) else [told]
    return [str(part.get(key, "")) for part in parts for key in _IDS]


def _without_first(left: list[events.Event], name: str) -> list[events.Event]:
    """Return the requests that are left after a step has taken one of this name."""
    done = next((event for event in left if event.name == name), None)
    return [event for event in left if event is not done]


def _event(call: RestoredCall, talk: _Talk, entry: JournalEntry) -> None:
    if call.handed_over and not entry.is_step and (request := requests_after_move.read(entry.event)) is not None:
        call.left.append(request)
        call.left_since = math.inf
    match entry.event:
        case {"event": events.MediaStarted.name}:
            call.stream, talk.is_remote = str(entry.event.get("stream", "")), entry.event.get("encoding") == REMOTE
        case {"event": events.PauseRequested.name, "on": bool(on)} if entry.taken:
            call.paused_at = (call.paused_at or entry.at) if on else None
        case {"event": "command_failed", "command": commands.Record.name}:
            call.carrier_records = False
        case {"event": "command_done" | "command_failed", "command": "hangup" | "reject"}:
            call.hangup = None
        case {"event": TransferRequested.name} if entry.taken:
            requested = events.from_json(dict(entry.event))
            assert isinstance(requested, TransferRequested)
            call.transfer, call.human, call.was_listened = requested, LegIds(), False
        case {"event": DeadlinePassed.name, "deadline": str(name)} if name in GO_ON:
            call.armed.pop(name, None)
            call.counted[name] = math.inf if name in COUNTED else 0.0
        case {"event": MuteRequested.name, "party": "caller" | "agent" as party, "on": on} if entry.taken:
            (call.muted.add if on else call.muted.discard)(party)
            by = str(entry.event.get("by", ""))
            if party == "agent":
                call.muted_for = by.removeprefix(TAKES_OVER) if on and by.startswith(TAKES_OVER) else ""
        case {"event": "tool_called", "id": name} if entry.taken:
            call.unanswered[name] = entry.event
        case {"event": "tool_finished", "id": name}:
            asked = call.unanswered.pop(name, entry.event)
            talk.fact(entry.at, tool_answered(*_asked(asked), str(entry.event.get("output", ""))))
        case {"event": events.Dtmf.name | events.CarrierNotice.name as name, "digit": str(digit)}:
            is_new = call.keys.is_new(str(entry.event.get("delivery", "")))
            if entry.event.get("leg", CALLER) == CALLER:
                source = as_source(str(entry.event.get("source")))
                if name == events.Dtmf.name:
                    call.keys.count(digit.upper(), source, entry.at)
                elif is_new:
                    call.keys.repeat(digit.upper(), source, entry.at)


def _note(call: RestoredCall, talk: _Talk, at: float, note: Note | UnknownNote) -> None:
    match note:
        case notes.HandedOver():
            call.handed_over, call.quiet = True, note.quiet
        case notes.CallerSpeaks() | notes.AgentSpeaks():  # after the handover: while it was being written
            call.quiet = False
        case notes.CallerLookup():
            call.looked_up = LookedUp(outcome=note.outcome, variables=_variables(note.variables), profile=note.profile)
        case notes.Ids(of="human"):
            call.human = _ids(note)
        case notes.Ids():
            call.ids = _ids(note)
        case notes.NumberId():
            call.ids = replace(call.ids, number=note.number)
        case notes.Protected():
            call.opening_is_over, call.opening_in_full = True, note.in_full
        case notes.SessionChanged():
            call.changes |= note.changes
        case notes.Usage():
            call.usage = dict(note.total)
        case notes.FirstWord():
            call.first_word_ms = int(note.ms)
        case notes.EngineChosen():
            call.engine = note.engine
        case notes.Listening(state="began"):
            call.was_listened = True
        case notes.TakeOver():
            call.taken_by, call.was_taken = note.by if note.state != "ended" else "", True
        case notes.Recording():
            call.recordings = note.file.split(",")
        case notes.Digits():
            call.keys.take()
            talk.typed = note.digits
        case UnknownNote() if note.why:
            raise ValueError(note.why)
        case _:
            talk.read(at, note)
            call.interruptions += broke_in(note)


def _command(call: RestoredCall, entry: JournalEntry, ordinal: int, command: Mapping[str, Any]) -> None:
    match command:
        case {"command": commands.Record.name, "on": bool(on)}:
            call.carrier_records = on
        case {"command": commands.Answer.name} if not command.get("again"):
            call.carrier_records = bool(command.get("record"))
            call.streams += 1
            call.answer_command = CommandPlace(entry.step, ordinal, call.mark)
        case {"command": commands.Dial.name, "leg": events.CALLER} if entry.step == 1:
            call.carrier_records = bool(command.get("record"))
            call.streams += bool(command.get("stream"))
        case {"command": commands.Dial.name, "stream": True}:
            call.streams += 1
        case {"command": commands.StartStream.name}:
            call.carrier_records = bool(command.get("record")) or call.carrier_records
            call.streams += 1
        case {"command": commands.Transfer.name, "fallback": True, "number": str(number), "ring_seconds": int(seconds)}:
            call.transfer, call.human = by_machine(number, seconds), LegIds()
        case {"command": commands.Hangup.name | commands.Reject.name}:
            call.hangup = CommandPlace(entry.step, ordinal, call.mark)
        case {"command": commands.Arm.name, "deadline": str(name)}:
            call.count(name, entry.at)
            call.armed[name] = entry.at
        case {"command": commands.Disarm.name, "deadline": str(name)}:
            call.count(name, entry.at)
            if name in GO_ON and name not in COUNTED:
                call.counted[name] = 0.0


def _order(began: notes.Began) -> OutboundOrder:
    return OutboundOrder(
        to_number=began.to_number, from_number=began.from_number, carrier=began.carrier, profile=began.profile,
        session=began.session_settings, variables=_variables(began.variables), digest=began.order,
        record=began.record,
    )  # fmt: skip


def _variables(written: Mapping[str, Any]) -> dict[str, str]:
    return {name: value for name, value in written.items() if isinstance(value, str)}


def _ids(note: notes.Began | notes.Ids) -> LegIds:
    return LegIds(control=note.control, leg=note.leg, session=note.session, number=note.number)


def _asked(tool: Mapping[str, Any]) -> tuple[str, str]:
    return str(tool.get("tool", "")), str(tool.get("arguments", ""))


class _Talk:
    """Collects turns from their notes, in the order in which the turns began."""

    def __init__(self) -> None:
        self._turns: list[tuple[float, Turn]] = []
        self._items: dict[str, Turn] = {}
        self._heard: dict[str, notes.Heard] = {}
        self.typed = ""
        """An entry on the keypad that the model was not told of yet."""
        self.is_remote = False
        """The engine plays its speech itself, and goes on without us."""

    def fact(self, at: float, words: str) -> None:
        self._turns.append((at, Turn("system", "", words)))

    def read(self, at: float, note: Note | UnknownNote) -> None:
        match note:
            case notes.Turn(who="caller" | "agent" as who):
                turn = self._item(at - note.ago_ms / 1000, who, note.item)
                turn.text, turn.is_complete = note.text, note.whole
            case notes.Heard():
                self._heard[note.item] = note
                turn = self._item(at, "agent", note.item)
                turn.text = turn.text if turn.is_complete else note.so_far or turn.text
                turn.is_heard = note.done
            case notes.Interrupted() | notes.CutOff():
                for cut in note.cuts:
                    turn = self._item(at, "agent", cut.item)
                    turn.cut(cut.heard_ms, cut.received_ms)
                    turn.text = turn.text or f"{cut.heard_text} {cut.unheard_text}".strip()
            case notes.Fact():
                self.fact(at, note.text)
                self.typed = ""
            case notes.Whispered():
                self.fact(at, whispered(note.text))
            case notes.ImageShown():
                self.fact(at, shown(note.text))

    def _item(self, at: float, who: Any, item: str) -> Turn:
        if item not in self._items:
            self._items[item] = Turn(who, item, is_written=True)
            self._turns.append((at, self._items[item]))
        return self._items[item]

    def turns(self) -> tuple[list[Turn], list[Turn]]:
        """Return all turns, and the turns that were not heard to their end before the line broke. Those count as heard
        up to the last `heard` note; where the speech never came here, as heard: our end broke nothing off."""
        cuts = []
        for item, turn in self._items.items():
            if turn.who != "agent" or turn.is_heard or turn.heard_ms is not None:
                continue
            if self.is_remote:
                turn.is_heard = turn.is_complete
                continue
            heard = self._heard.get(item, notes.Heard(item=item))
            turn.break_off(heard.ms, heard.of_ms if turn.is_complete else 0)
            cuts.append(turn)
        if self.typed:
            self.fact(math.inf, typing_lost() if MASK in self.typed else typed(" ".join(self.typed)))
        ordered = sorted(self._turns, key=lambda each: each[0])
        return [turn for _, turn in ordered if turn.text], [turn for turn in cuts if turn.text]
