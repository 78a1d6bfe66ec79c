"""The route that decides a call again from its journal."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec

from callflow.journal.journal import JournalEntry
from tests.web.console.stage import CALL, Stage, play


LINES = (Path(__file__).parents[2] / "histories" / "telnyx-talked.jsonl").read_text(encoding="utf-8").splitlines()
ENTRIES = [dataclasses.replace(msgspec.json.decode(line, type=JournalEntry).renewed(), call=CALL) for line in LINES]
PATH = f"/api/calls/{CALL}/replay"


async def put(the: Stage, entries: list[JournalEntry]) -> None:
    for entry in entries:
        the.history.journal.note(entry)
    await the.write()


def test_a_call_that_would_be_decided_so_again_is_said_to_be_the_same(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await put(the, ENTRIES)
        steps = sum(1 for entry in ENTRIES if entry.is_step and entry.before != "hangup")
        told = (await the.get(PATH)).json()
        assert told == {"call": CALL, "verdict": "same", "steps": steps, "differ": 0, "differences": []}

    play(tmp_path, main)


def test_each_decision_that_comes_out_otherwise_is_shown_with_its_moment(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        place = next(place for place, entry in enumerate(ENTRIES) if entry.name == "call_answered")
        other = dataclasses.replace(ENTRIES[place], commands=[])
        await put(the, [*ENTRIES[:place], other, *ENTRIES[place + 1 :]])
        told = (await the.get(PATH)).json()
        assert (told["verdict"], told["differ"]) == ("different", 1)
        (shown,) = told["differences"]
        assert (shown["event"], shown["what"], shown["recorded"]) == ("call_answered", "commands", [])
        assert "greet" in [each["command"] for each in shown["replayed"]]
        assert shown["at"] == round(other.at - ENTRIES[0].at, 3)

    play(tmp_path, main)


def test_what_cannot_be_replayed_is_refused_with_the_reason(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await the.write_call()
        answers = [await the.get(path) for path in (PATH, "/api/calls/nobody/replay")]
        assert [answer.status for answer in answers] == [409, 404]
        assert "no step" in answers[0].json()["error"]

    play(tmp_path, main)


def test_a_history_that_is_not_open_says_so(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        assert (await the.get(PATH)).status == 503

    play(tmp_path, main, opened=False)
