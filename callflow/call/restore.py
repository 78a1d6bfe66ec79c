"""A call made again from its record, for the process that takes it back. Pure.

The machine's part comes from its events, replayed; what the agent must know comes from the notes: who said what, how
much of it was heard, what tools were asked to do and whether they have answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from callflow.agent.agent_state import AgentState
from callflow.agent.conversation import Turn
from callflow.agent.prompts import tool_answered, tool_unknown, typed
from callflow.call import machine
from callflow.call.dtmf import MASK
from callflow.call.replay import replay
from callflow.contracts import commands
from callflow.contracts.events import LegIds
from callflow.journal import notes
from callflow.journal.journal import BEGAN, JournalEntry
from callflow.journal.timeline import broke_in


@dataclass(slots=True)
class RestoredCall:
    call: str
    carrier: str
    ids: LegIds
    from_number: str
    to_number: str
    began: float
    model: machine.Model
    steps: int
    at: float = 0.0
    """When the last of it was written."""
    streams: int = 0
    """How many media streams were asked for."""
    answer: tuple[int, int] = (0, 0)
    """Step and ordinal of the command that answered it."""
    hangup: tuple[int, int] | None = None
    """The same of one that ended it, if the carrier has not confirmed that."""
    armed: dict[str, float] = field(default_factory=dict)
    """When each deadline was wound up, in Unix time."""
    turns: list[Turn] = field(default_factory=list)
    opening_is_over: bool = False
    opening_in_full: bool = False
    """The caller has heard all of it."""
    unanswered: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Tool calls that were to run, and of which nobody knows what became of them."""
    kept: Mapping[str, Any] = field(default_factory=dict)
    """Settings that operators had changed when it began."""
    changes: dict[str, Any] = field(default_factory=dict)
    """Settings that were changed in mid-call."""
    usage: dict[str, Any] = field(default_factory=dict)
    handed_over: bool = False
    """The process before let go of it at a moment of its own choice."""
    quiet: bool = False
    """And nobody spoke at that moment."""
    first_word_ms: int | None = None
    """The caller has heard the agent before, so long after the answer."""
    interruptions: int = 0
    recordings: list[str] = field(default_factory=list)
    address: str = ""
    """Our own, as the carrier knew it when the call began."""
    cuts: list[Turn] = field(default_factory=list)
    """What the agent was saying when the line broke."""
    odd: tuple[int, str] | None = None
    """How many records make no sense, and what is wrong with the first of them."""

    @property
    def agent_state(self) -> AgentState:
        """What the call's agent must know of it."""
        return AgentState(
            turns=self.turns,
            interruptions=self.interruptions,
            greeting_is_over=self.opening_is_over,
            changes=self.changes,
            usage=self.usage,
            first_word_ms=self.first_word_ms,
            left_quietly=self.quiet,
        )


def restore_call(records: Sequence[JournalEntry]) -> RestoredCall | None:
    """None: the record does not begin with the call's beginning, so there is nothing to go by."""
    began = next((record for record in records if record.event.get("event") == BEGAN), None)
    if began is None:
        return None
    said = began.event
    done = replay(records, lenient=True)
    call = RestoredCall(
        began.call, str(said.get("carrier", "")), _ids(said), str(said.get("from", "")), str(said.get("to", "")),
        began.at, done.model, done.steps,
    )  # fmt: skip
    talk = _Talk()
    for record in (each.renewed() for each in records):
        try:
            _read(call, talk, record)
        except Exception as error:  # a caller is waiting: what one record says is worth less than the call
            count, first = call.odd or (0, f"{type(error).__name__} in {record.event.get('event')!r:.60}")
            call.odd = count + 1, first
    call.address = str(said.get("address", ""))
    kept = said.get("kept")
    call.kept = kept if isinstance(kept, dict) else {}
    call.turns, call.cuts = talk.turns()
    call.turns += [Turn("system", "", tool_unknown(*_asked(each))) for each in call.unanswered.values()]
    return call


def _read(call: RestoredCall, talk: _Talk, record: JournalEntry) -> None:
    event = record.event
    call.at = record.at
    if record.is_step:
        call.handed_over = call.quiet = False
        for ordinal, command in enumerate(record.commands):
            _command(call, record, ordinal, command)
        call.from_number = call.from_number or str(event.get("from_number", ""))
        call.to_number = call.to_number or str(event.get("to_number", ""))
    match event:
        case {"event": str(name)} if name == notes.HandedOver.kind:
            call.handed_over, call.quiet = True, bool(event.get("quiet"))
        case {"event": "ids"}:
            call.ids = _ids(event)
        case {"event": str(name), "number": str(number)} if name == notes.NumberId.kind:
            call.ids = replace(call.ids, number=number)
        case {"event": "command_done", "command": "hangup" | "reject"}:
            call.hangup = None
        case {"event": "command_failed", "command": "hangup" | "reject"}:
            call.hangup = None
        case {"event": "tool_called", "id": name} if record.taken:
            call.unanswered[name] = event
        case {"event": "tool_finished", "id": name}:
            asked = call.unanswered.pop(name, event)
            talk.fact(record.at, tool_answered(*_asked(asked), str(event.get("output", ""))))
        case {"event": "protected"}:
            call.opening_is_over = True
            call.opening_in_full = bool(event.get("in_full"))
        case {"event": "session_changed", "changes": dict(changes)}:
            call.changes |= changes
        case {"event": "usage"}:
            call.usage = dict(event.get("total", {}))
        case {"event": "first_word"}:
            call.first_word_ms = int(event.get("ms", 0))
        case {"event": "recording", "file": str(name)}:
            call.recordings = name.split(",")
        case _:
            talk.read(record.at, event)
            call.interruptions += broke_in(event)


def _command(call: RestoredCall, record: JournalEntry, ordinal: int, command: Mapping[str, Any]) -> None:
    match command:
        case {"command": commands.Answer.name} if not command.get("again"):
            call.streams += 1
            call.answer = (record.step, ordinal)
        case {"command": commands.StartStream.name}:
            call.streams += 1
        case {"command": commands.Hangup.name | commands.Reject.name}:
            call.hangup = (record.step, ordinal)
        case {"command": commands.Arm.name, "deadline": str(name)}:
            call.armed[name] = record.at


def _ids(event: Mapping[str, Any]) -> LegIds:
    return LegIds(**{each.name: str(event.get(each.name, "")) for each in fields(LegIds)})


def _asked(tool: Mapping[str, Any]) -> tuple[str, str]:
    return str(tool.get("tool", "")), str(tool.get("arguments", ""))


class _Talk:
    """Turns, from the notes about them, in the order in which they began."""

    def __init__(self) -> None:
        self._turns: list[tuple[float, Turn]] = []
        self._items: dict[str, Turn] = {}
        self._heard: dict[str, Mapping[str, Any]] = {}
        self._typed = ""

    def fact(self, at: float, words: str) -> None:
        self._turns.append((at, Turn("system", "", words)))

    def read(self, at: float, event: Mapping[str, Any]) -> None:
        match event:
            case {"event": "turn", "who": "caller" | "agent" as who, "item": str(item), "text": str(words)}:
                turn = self._item(at - event.get("ago_ms", 0) / 1000, who, item)
                turn.text, turn.is_complete = words, bool(event.get("whole", True))
            case {"event": "heard", "item": str(item)}:
                self._heard[item] = event
                turn = self._item(at, "agent", item)
                turn.text = turn.text if turn.is_complete else str(event.get("so_far") or turn.text)
                turn.is_heard = bool(event.get("done"))
            case {"event": "interrupted" | "cut_off", "cuts": list(cuts)}:
                for cut in cuts:
                    turn = self._item(at, "agent", str(cut.get("item", "")))
                    turn.cut(int(cut.get("heard_ms", 0)), int(cut.get("received_ms", 0)))
                    turn.text = turn.text or f"{cut.get('heard_text', '')} {cut.get('unheard_text', '')}".strip()
            case {"event": "told", "text": str(words)}:
                self.fact(at, words)
                self._typed = ""
            case {"event": "dtmf", "digit": str(digit)} if digit != MASK:
                self._typed += digit

    def _item(self, at: float, who: Any, item: str) -> Turn:
        if item not in self._items:
            self._items[item] = Turn(who, item, is_written=True)
            self._turns.append((at, self._items[item]))
        return self._items[item]

    def turns(self) -> tuple[list[Turn], list[Turn]]:
        """All of them, and those that nobody heard to their end before the line broke: they were heard as far as it was
        last noted."""
        cuts = []
        for item, turn in self._items.items():
            if turn.who != "agent" or turn.is_heard or turn.heard_ms is not None:
                continue
            heard = self._heard.get(item, {})
            turn.break_off(int(heard.get("ms", 0)), int(heard.get("of_ms", 0)) if turn.is_complete else 0)
            cuts.append(turn)
        if self._typed:
            self.fact(float("inf"), typed(" ".join(self._typed)))
        ordered = sorted(self._turns, key=lambda each: each[0])
        return [turn for _, turn in ordered if turn.text], [turn for turn in cuts if turn.text]
