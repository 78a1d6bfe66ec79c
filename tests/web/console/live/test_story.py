"""The story of one call: read from memory or the database, and added to as it goes on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from callflow.contracts.json_slices import PIECE
from callflow.journal.journal import JournalEntry
from callflow.journal.notes import AgentSpeaks, Began, Ended, Fact, Note
from callflow.journal.redaction import Redactor
from callflow.web.console.live.log_feed import events_in
from callflow.web.console.live.story import Stories
from tests.web.console.stage import CALL, FakeCall, Stage, play


AT = 1_700_000_000.0


def stories(the: Stage) -> Stories:
    return Stories(lambda: the.board, the.history, Redactor())


def note(the: Stage, note: Note, at: float, call: str = CALL) -> None:
    the.history.journal.note(JournalEntry.of(note, call=call, at=at))


async def read(pieces: AsyncGenerator[bytes, None], until: int | str) -> list[tuple[str, Any]]:
    """Events of a viewer: so many, or as far as that kind."""
    found: list[tuple[str, Any]] = []
    async with asyncio.timeout(10):
        async for piece in pieces:
            found += events_in(piece)
            if len(found) == until:
                return found
    return found


def kinds(events: list[tuple[str, Any]]) -> list[str]:
    return [data["kind"] if event == "entry" else event for event, data in events]


def test_a_call_that_is_over_is_told_from_the_database(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await the.write(Began(carrier="telnyx"), AgentSpeaks(), Ended(cause="operator"))
        the.history.journal._calls.clear()
        told = await read(stories(the).watch(CALL, 0), "over")
        assert kinds(told) == ["began", "agent_speaks", "ended", "over"]
        assert told[-1][1] == {"result": "success", "cause": "operator"}
        first, second = told[0][1], told[1][1]
        assert (first["at"], second["at"], first["note"]["carrier"]) == (0.0, 1.0, "telnyx")
        rest = await read(stories(the).watch(CALL, second["seq"]), "over")
        assert kinds(rest) == ["ended", "over"]

    play(tmp_path, main)


def test_numbers_are_the_same_from_memory_and_from_the_database(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        for at, one in (
            (AT, Began()),
            (AT + 1, Fact(text="a")),
            (AT + 1, Fact(text="b")),
            (AT - 5, Ended()),
        ):
            note(the, one, at)
        await the.history.journal.flushed()
        from_memory = await read(stories(the).watch(CALL, 0), "over")
        the.history.journal._calls.clear()
        from_database = await read(stories(the).watch(CALL, 0), "over")
        assert from_memory == from_database
        numbers = [data["seq"] for event, data in from_memory if event == "entry"]
        assert numbers == sorted(set(numbers)), "also where a clock stood still or stepped back"
        assert numbers[-1] < 2**53, "JavaScript's numbers are whole up to there"

    play(tmp_path, main)


def test_what_is_written_while_the_rest_is_read_is_told_once(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        for in_memory in (True, False):
            call = f"c-{in_memory}"
            note(the, Began(), AT, call)
            await the.history.journal.flushed()
            for number in range(20):
                note(the, Fact(text=f"before {number}"), AT + 1, call)  # some of these are not committed yet
            if not in_memory:
                the.history.journal._calls.clear()
            watched = stories(the)
            pieces = watched.watch(call, 0)
            reading = asyncio.create_task(read(pieces, "over"))
            for number in range(20):
                await asyncio.sleep(0)
                note(the, Fact(text=f"meanwhile {number}"), AT + 2, call)
            await asyncio.sleep(0.01)
            note(the, Ended(), AT + 3, call)
            told = await reading
            texts = [data["note"]["text"] for event, data in told if event == "entry" and data["kind"] == "told"]
            assert texts == [f"before {n}" for n in range(20)] + [f"meanwhile {n}" for n in range(20)]
            assert watched._open == {}

    play(tmp_path, main)


def test_a_call_with_more_entries_than_memory_keeps_is_told_whole(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        note(the, Began(), AT)
        for number in range(1200):
            note(the, Fact(text=str(number)), AT + number)
        watched = stories(the)
        pieces = watched.watch(CALL, 0)
        assert len(await read(pieces, 1201)) == 1201
        note(the, Ended(), AT + 2000)
        assert kinds(await read(pieces, "over")) == ["ended", "over"]

    play(tmp_path, main)


def test_words_that_are_being_spoken_are_told_as_they_grow_and_no_card_number_in_them(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        note(the, Began(), AT)
        turn = SimpleNamespace(who="agent", item="i", text="My card is 4111 1111", is_written=False)
        hidden: set[str] = set()
        conversation = SimpleNamespace(turns=[turn])
        transcripts = SimpleNamespace(age_ms=lambda item: 0)
        pause = SimpleNamespace(hides=lambda told, at: told["item"] in hidden)
        agent = SimpleNamespace(conversation=conversation, transcripts=transcripts)
        the.calls[CALL] = cast(FakeCall, SimpleNamespace(agent=agent, recordings=SimpleNamespace(pause=pause)))
        watched = stories(the)
        pieces = watched.watch(CALL, 0)
        assert kinds(await read(pieces, 1)) == ["began"]
        ((_, told),) = await read(pieces, 1)
        assert told == {"who": "agent", "item": "i", "text": "My card is …"}
        turn.text = "Call +1 (555"
        await read(pieces, 1)
        ((_, veiled),) = (await read(watched.watch(CALL, 0, veiled=True), 2))[1:]
        assert veiled["text"] == "Call +•••", "whoever may only view would put a number together"
        turn.text += " and that is all"
        ((_, told),) = await read(pieces, 1)
        assert told["text"].endswith("that is all")
        hidden.add("i")
        turn.text += ", says the caller in a pause of the recording"
        note(the, Ended(), AT + 1)
        assert kinds(await read(pieces, "over")) == ["ended", "over"]

    play(tmp_path, main)


def test_a_journal_that_cannot_be_read_fails_this_viewer_and_not_the_next(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        await the.write(Began(), Ended())
        the.history.journal._calls.clear()
        watched = stories(the)
        read_all, the.history.store.keyed_journal = the.history.store.keyed_journal, _broken  # type: ignore[method-assign]
        with pytest.raises(OSError, match="no disk"):
            await read(watched.watch(CALL, 0), 1)
        assert watched._open == {}
        the.history.store.keyed_journal = read_all  # type: ignore[method-assign]
        assert kinds(await read(watched.watch(CALL, 0), "over")) == ["began", "ended", "over"]

    play(tmp_path, main)


async def _broken(call: str) -> Any:
    raise OSError("no disk")


def test_a_frame_is_one_event_whatever_was_said(tmp_path: Path) -> None:
    async def main(the: Stage) -> None:
        text = "one\n\nevent: over\ndata: {}\n\n\u2028\ud800"
        note(the, Began(), AT)
        note(the, Fact(text=text), AT + 1)
        note(the, Ended(), AT + 2)
        pieces = [piece async for piece in stories(the).watch(CALL, 0)]
        assert b"".join(pieces).count(b"\n\n") == 4
        told = [json.loads(line[6:]) for line in b"".join(pieces).split(b"\n") if line.startswith(b"data: ")]
        assert told[1]["note"]["text"].startswith("one\n\nevent: over")

    play(tmp_path, main)


def test_a_long_story_comes_in_small_pieces_with_time_for_the_audio_between(tmp_path: Path) -> None:
    """To read and send all of it took one callback of the loop 8 ms."""

    async def main(the: Stage) -> None:
        words = "What is said in a long call. " * 20
        for number in range(200):
            note(the, Fact(text=words), AT + number)
        note(the, Ended(), AT + 300)
        loop, turns = asyncio.get_running_loop(), 0

        def turn() -> None:
            nonlocal turns
            turns += 1
            loop.call_soon(turn)

        turn()
        found = [(len(piece), turns) async for piece in stories(the).watch(CALL, 0)]
        *pieces, _last = [size for size, _ in found]
        assert len(pieces) > 5
        assert max(pieces) < PIECE + 2 * len(words), pieces
        at = [moment for _, moment in found[:-1]]
        assert at == sorted(set(at)), f"several pieces in one turn of the loop: {at}"

    play(tmp_path, main)
