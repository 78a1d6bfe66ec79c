"""What a picture of a call shows: read from its journal, and from its recording."""

from __future__ import annotations

import contextlib
import wave
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

from callflow.agent.conversation import Turn
from callflow.cli.picture.drawing import COLUMNS, CallPicture, TurnPair, Wait, Words
from callflow.contracts import events, printable
from callflow.contracts.hangup_causes import why
from callflow.journal import aliases, notes
from callflow.journal.notes import Note, UnknownNote


_MOST_EXCHANGES: Final = 40
_MOST_TEXT: Final = 400
"""Characters of one turn, or of either part of one that was cut off."""
TimedEvent = tuple[float, Mapping[str, Any]]
"""When, in Unix time (seconds), and the event or note of a journal entry, as plain data."""
Part = tuple[float, BinaryIO]
"""A recording of the call, as WAV, and the Unix time of its first sample. A call has several after a server died."""


@dataclass
class _Said:
    """One turn of the agent's, as far as the notes have told."""

    begins: list[float] = field(default_factory=list)
    text: str = ""
    is_whole: bool = True
    wait: Wait | None = None
    cut: notes.Cut | None = None
    cut_at: float = 0.0
    by_caller: bool = False
    heard_ms: int = 0
    of_ms: int = 0
    played_ms: int = 0

    def words(self, zero: float) -> Words:
        begin = min(self.begins)
        at = round(begin - zero, 3)
        if self.cut is None and self.is_whole:
            return Words(at, _beginning(self.text))
        if self.cut is None:  # the model is gone in mid-sentence: its text had run ahead of its audio
            turn = Turn("agent", "", self.text)
            turn.break_off(self.played_ms)
            ended = round(begin + self.played_ms / 1000 - zero, 3)
            heard, unheard = _end(turn.heard_text), _beginning(turn.unheard_text)
            return Words(at, heard, unheard, ended, heard_ms=self.played_ms)
        return Words(
            at,
            _end(self.cut.heard_text),
            _beginning(self.cut.unheard_text),
            round(self.cut_at - zero, 3),
            self.by_caller,
            self.heard_ms,
            self.of_ms,
        )


def picture_of(told: Iterable[TimedEvent], parts: Sequence[Part], *, made_by: str = "") -> CallPicture:
    """Make the picture of a call; its axis begins with the first part of the recording. Raises wave.Error or
    EOFError."""
    seconds, caller, agent = loudness(parts)
    reader = _Reader(parts[0][0])
    for at, event in told:
        reader.read(at, event)
    exchanges = reader.exchanges()
    return CallPicture(
        carrier=reader.carrier,
        seconds=seconds,
        caller=caller,
        agent=agent,
        exchanges=tuple(exchanges[:_MOST_EXCHANGES]),
        more=max(len(exchanges) - _MOST_EXCHANGES, 0),
        ended=reader.ended,
        made_by=made_by,
    )


def loudness(parts: Sequence[Part]) -> tuple[float, str, str]:
    """Return the seconds from the first part to the end of the last, and the peaks of caller and agent as texts: two
    hex digits a column, against the loudest of all. Between two parts there is silence. Raises wave.Error for a file
    that has not two channels of 16 bits."""
    with contextlib.ExitStack() as stack:
        files = [(at - parts[0][0], stack.enter_context(wave.open(file, "rb"))) for at, file in parts]
        seconds = max(at + file.getnframes() / file.getframerate() for at, file in files)
        caller, agent = [0] * COLUMNS, [0] * COLUMNS
        for at, file in files:
            if (file.getnchannels(), file.getsampwidth()) != (2, 2):
                raise wave.Error("a recording of a call has two channels of 16 bits")
            for column, peaks in _peaks(file, at, max(seconds, 0.001) / COLUMNS):
                caller[column], agent[column] = max(caller[column], peaks[0]), max(agent[column], peaks[1])
    loudest = max(*caller, *agent, 1)
    left, right = ("".join(f"{peak * 255 // loudest:02x}" for peak in each) for each in (caller, agent))
    return round(seconds, 3), left, right


def _peaks(file: wave.Wave_read, at: float, width: float) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield each column of the picture with the peaks of left and right channel. The file is read in pieces, because a
    call may be long."""
    rate = file.getframerate()
    column = min(int(at / width), COLUMNS - 1)
    while True:
        end = round(((column + 1) * width - at) * rate) if column < COLUMNS - 1 else file.getnframes()
        both = array("h", file.readframes(max(end - file.tell(), 0)))
        if both:
            yield column, (max(max(both[0::2]), -min(both[0::2])), max(max(both[1::2]), -min(both[1::2])))
        column += 1
        if column >= COLUMNS or file.tell() >= file.getnframes():
            return


def _beginning(text: str) -> str:
    text = printable.whole(text)
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]} …"


def _end(text: str) -> str:
    """Shorten text that was heard, from its beginning: the last words matter, because the cut follows them."""
    text = printable.whole(text)
    return text if len(text) <= _MOST_TEXT else f"… {text[-_MOST_TEXT:]}"


class _Reader:
    def __init__(self, zero: float) -> None:
        self.carrier = self.ended = self._direction = ""
        self._zero = zero
        self._caller: list[Words] = []
        self._notes: list[Words] = []
        self._items: dict[str, _Said] = {}
        self._spoke: float | None = None
        self._lost = False

    def read(self, at: float, event: Mapping[str, Any]) -> None:
        event = aliases.event(dict(event))
        if event.get("event") in events.KINDS:
            self._event(at, event)
        else:
            self._read_note(at, notes.read(event))

    def _read_note(self, at: float, note: Note | UnknownNote) -> None:
        match note:
            case notes.Began() if note.carrier:
                self.carrier, self._direction = note.carrier, note.direction
            case notes.CallerSpeaks():
                self._spoke = at if self._spoke is None else self._spoke
            case notes.Turn(who="caller"):
                begins = min(self._spoke or at, at - note.ago_ms / 1000)
                self._caller.append(Words(self._at(begins), _beginning(note.text)))
                self._spoke = None
            case notes.Turn(who="agent"):
                said = self._item(note.item, at - note.ago_ms / 1000)
                said.text, said.is_whole = note.text, note.whole
            case notes.Heard():
                said = self._item(note.item, at - note.ms / 1000)
                said.played_ms = max(said.played_ms, note.ms)
            case notes.Latency():
                parts = (note.detection_ms, note.engine_ms, note.own_ms, note.carrier_ms)
                self._item(note.item, at).wait = Wait(*parts)
            case notes.Interrupted() | notes.CutOff():
                for cut in note.cuts:
                    self._cut(at, cut, note.by_caller, late=isinstance(note, notes.CutOff))
            case notes.Ended() if not self.ended:
                self.ended = why(note.cause, None, self._direction)
            case notes.Digits():
                self._caller.append(Words(self._at(at), _beginning(f"keys: {note.digits}"), is_note=True))
            case notes.Filler() | notes.Clip():
                self._note(at, f"a recorded sentence: {note.clip.replace('-', ' ')}")
            case notes.EngineRotated():
                self._note(at, "the model's session is replaced")

    def _cut(self, at: float, cut: notes.Cut, by_caller: bool, *, late: bool) -> None:
        """`late`: it is told afterwards, perhaps by another process, that the line broke."""
        if late and cut.item in self._items:
            at = min(at, min(self._items[cut.item].begins) + cut.heard_ms / 1000)
        said = self._item(cut.item, at - cut.heard_ms / 1000)
        said.cut, said.cut_at, said.by_caller = cut, at, by_caller
        said.heard_ms += cut.heard_ms
        said.of_ms += cut.received_ms

    def _event(self, at: float, event: Mapping[str, Any]) -> None:
        match event:
            case {"event": "call_hangup", "cause": str(cause)} if not self.ended:
                self.ended = why(cause, event.get("source"), self._direction)
            case {"event": "engine_lost"}:
                self._lost = True
                self._note(at, "the model's connection is lost")
            case {"event": "engine_ready"} if self._lost:
                self._lost = False
                self._note(at, "another session of the model takes over")
            case {"event": "tool_called", "tool": str(tool)}:
                self._note(at, f"calls {tool}")
            case {"event": "tool_finished", "tool": str(tool)}:
                self._note(at, f"{tool} {'answers' if event.get('ok') else 'fails'} after {event.get('ms')} ms")
            case {"event": "call_recovered"}:
                self._note(at, "the process died, and another took the call back")

    def _note(self, at: float, text: str) -> None:
        self._notes.append(Words(self._at(at), _beginning(text), is_note=True))

    def _item(self, name: str, begins: float) -> _Said:
        said = self._items.setdefault(name, _Said())
        said.begins.append(begins)
        return said

    def _at(self, at: float) -> float:
        return round(at - self._zero, 3)

    def exchanges(self) -> list[TurnPair]:
        """Return the turns in the order in which they began: a new one whenever the caller speaks after the agent."""
        said = [(each.words(self._zero), each) for each in self._items.values() if each.text or each.cut]
        entries: list[tuple[Words, _Said | None, bool]] = [
            *((words, None, True) for words in self._caller),
            *((words, None, False) for words in self._notes),
            *((words, each, False) for words, each in said),
        ]
        entries.sort(key=lambda entry: entry[0].at)
        found: list[TurnPair] = []
        caller: list[Words] = []
        agent: list[Words] = []
        waited: list[tuple[Wait, float]] = []

        def close() -> None:
            if caller or agent:
                wait, until = waited[0] if waited else (None, 0.0)
                found.append(TurnPair(tuple(caller), tuple(agent), wait, until))
            caller.clear()
            agent.clear()
            waited.clear()

        for words, each, is_callers in entries:
            if is_callers and agent:
                close()
            (caller if is_callers else agent).append(words)
            if each is not None and each.wait is not None:
                waited.append((each.wait, words.at))
        close()
        return found
