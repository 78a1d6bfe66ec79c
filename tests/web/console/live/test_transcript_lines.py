"""The lines of one call: what was heard and not what was generated, and nothing twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from callflow.journal.notes import Began, Cut, CutOff, Ended, Interrupted, Note, Turn
from callflow.web.console.live.log_feed import events_in
from callflow.web.console.live.story import Stories
from callflow.web.console.live.transcript_lines import transcript_lines
from tests.web.console.live.test_story import AT, note, stories
from tests.web.console.stage import CALL, Stage, play


ANSWER = Turn(who="agent", item="i1", text="We open at nine, and the code is 4711.")
CUT = Interrupted(cuts=(Cut(item="i1", heard_ms=600, heard_text="We open", unheard_text="at nine …"),), by_caller=True)
UNTOLD = CutOff(cuts=(Cut(item="i2", heard_ms=300, heard_text="Good"),))
SILENT = CutOff(cuts=(Cut(item="i3"),))
ASKED = Turn(who="caller", item="i0", text="When?")


class Viewer:
    """Reads lines, and comes back behind the last one."""

    def __init__(self, of: Stories) -> None:
        self._stories, self.last = of, 0

    async def reads(self, lines: int = 0) -> list[tuple[str, str]]:
        """Read so many lines, or all of a call that is over."""
        found: list[tuple[str, str]] = []
        pieces = transcript_lines(self._stories, CALL, self.last)
        async for piece in pieces:
            assert piece.startswith(b"id: ")
            told: list[dict[str, Any]] = [dict(data) for _, data in events_in(piece)]
            found += [(line["type"], line["text"]) for line in told]
            self.last = int(piece.rpartition(b"id: ")[2].partition(b"\n")[0])
            if len(found) == lines:
                break
        await pieces.aclose()
        return found


def write(the: Stage, *told: Note, at: float = AT) -> None:
    for seconds, each in enumerate(told):
        note(the, each, at + seconds)


def test_of_a_turn_that_was_cut_before_there_is_what_was_heard(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        write(the, Began(), ASKED, ANSWER, CUT, UNTOLD, SILENT, Ended(cause="normal_clearing"))
        viewer = Viewer(stories(the))
        said = [("user", "When?"), ("assistant", "We open"), ("assistant", "Good"), ("ended", "normal_clearing")]
        assert await viewer.reads() == said

    play(tmp_path, main)


def test_a_turn_that_is_cut_later_is_told_as_cut_also_to_one_who_was_away(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        write(the, Began(), ANSWER)
        viewer, other = Viewer(of := stories(the)), Viewer(of)
        for each in (viewer, other):
            assert await each.reads(1) == [("assistant", ANSWER.text)]
        write(the, CUT, at=AT + 5)
        assert await viewer.reads(1) == [("cut", "We open")]
        write(the, Ended(), at=AT + 9)
        assert await viewer.reads() == [("ended", "")]
        assert await other.reads() == [("cut", "We open"), ("ended", "")]

    play(tmp_path, main)


def test_whoever_has_all_of_a_call_that_is_over_is_told_so(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        write(the, Began(), ASKED)
        viewer = Viewer(of := stories(the))
        await viewer.reads(1)
        assert not await of.is_told(CALL, viewer.last)
        write(the, Ended(), at=AT + 5)
        assert not await of.is_told(CALL, viewer.last)
        assert await viewer.reads() == [("ended", "")]
        assert await of.is_told(CALL, viewer.last)

    play(tmp_path, main)
