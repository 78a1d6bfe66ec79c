"""Transcripts of both sides: writes each turn into the journal once, when its text is complete."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Container
from typing import Final

from callflow.agent.conversation import Turn, cut_note
from callflow.agent.late_transcripts import TOO_LATE
from callflow.agent.turn_manager import TurnManager
from callflow.contracts.engine import ItemAdded, Transcript, TranscriptFailed
from callflow.journal import notes
from callflow.journal.notes import Note


log = logging.getLogger(__name__)

_REMEMBERED: Final = 64
"""The most items without a text; beyond it the oldest is forgotten."""


class Transcripts:
    """Collects the texts of both sides from the engine, and writes the turns into the journal."""

    def __init__(
        self,
        call: str,
        turns: TurnManager,
        *,
        note: Callable[[Note], None],
        forget_audio: Callable[[], None],
        caller_said: Callable[[str, str], None],
    ) -> None:
        """`forget_audio`: called when the audio of the caller's last turn is no longer needed. `caller_said`: called
        with item and text of each final transcript of the caller, until the call ends."""
        self._call, self._turns, self._note = call, turns, note
        self._forget_audio, self._caller_said = forget_audio, caller_said
        self._clock = asyncio.get_running_loop().time
        self._opened: dict[str, float] = {}
        """Items without a text, and when they were opened, on the loop's clock."""
        self._has_warned = False
        self.is_late = False
        """The call is over, and transcripts are still awaited."""

    def item_added(self, heard: ItemAdded) -> None:
        """Open a turn: its place in the conversation is fixed now, its text comes later."""
        self._turns.conversation.opened(heard.who, heard.item)
        self._opened.setdefault(heard.item, self._clock())
        if len(self._opened) > _REMEMBERED:
            del self._opened[next(iter(self._opened))]
        if heard.who == "caller" and self._turns.taking.caller_item(heard.item):
            self._turns.interruption.caller_item(heard.item)

    def transcript(self, heard: Transcript) -> None:
        """Add a piece of a turn's text, or replace the text by the complete one (`final`)."""
        turn = self._turns.conversation.words(heard.who, heard.item, heard.text, final=heard.final)
        if not heard.final:
            return
        if heard.who == "caller":
            if self._turns.taking.transcribed(heard.item):
                self._forget_audio()
            if not self.is_late:
                self._caller_said(heard.item, heard.text)
        if turn is not None and (turn.who == "caller" or turn.has_sound):
            self._write(turn, whole=turn.who == "caller" or not self.is_late or turn.is_complete)
        elif turn is not None and (self.is_late or not self._turns.taking.is_responding):
            self.item_over(heard.item, broken=True)  # the text comes late, and no audio of it was heard

    def failed(self, heard: TranscriptFailed) -> None:
        """Note that a turn of the caller will get no transcript."""
        turn = self._turns.conversation.opened("caller", heard.item)
        now = self._clock()
        began = self._opened.get(heard.item, now)
        ago = round((now - began) * 1000)
        self._note(notes.NotTranscribed(item=heard.item, reason=heard.reason, ago_ms=ago))
        if turn is not None and turn.text:
            self._write(turn, whole=False)  # a part of the text has come
        self._opened.pop(heard.item, None)
        if heard.reason == TOO_LATE:
            log.info("call %s: the caller's last words have no transcript: %s", self._call, heard.reason)
        elif not self._has_warned:
            self._has_warned = True
            log.warning("call %s: the caller's words have no transcript: %s", self._call, heard.reason)

    def age_ms(self, item: str) -> int:
        """Return how long ago a turn was opened whose text is not complete; 0 for any other."""
        now = self._clock()
        return round((now - self._opened.get(item, now)) * 1000)

    def item_over(self, item: str, *, broken: bool) -> None:
        """End a turn of the agent. Text without any audio counts as not said. `broken`: the engine did not finish the
        turn."""
        conversation = self._turns.conversation
        if (turn := conversation.never_sounded(item)) is not None:
            self._opened.pop(item, None)
            turn.is_written = True
            self._note(notes.CutOff(cuts=(cut_note(item, 0, 0, turn),)))
            return
        turn = conversation.turn(item)
        if turn is None or turn.who != "agent" or not turn.has_sound or turn.interrupted:
            return
        if broken:
            conversation.incomplete(turn)
        if turn.text and (broken or not turn.is_written):
            self._write(turn, whole=not broken)

    def finish(self, still_to_come: Container[str]) -> None:
        """Write the turns that are not in the journal yet, except the items in `still_to_come`."""
        for turn in self._turns.conversation.turns:
            if turn.item and turn.text and not turn.is_written and turn.item not in still_to_come:
                if turn.who == "agent":
                    self.item_over(turn.item, broken=True)
                if not turn.is_written:
                    self._write(turn, whole=False)

    def _write(self, turn: Turn, *, whole: bool) -> None:
        """Write a turn into the journal. `ago_ms` in the note is the time since the turn began, which may be before
        earlier entries."""
        now = self._clock()
        ago = round((now - self._opened.pop(turn.item, now)) * 1000)
        turn.is_written = True
        self._note(
            notes.Turn(
                who="caller" if turn.who == "caller" else "agent",
                item=turn.item,
                text=turn.text,
                ago_ms=ago,
                whole=whole,
            )
        )
