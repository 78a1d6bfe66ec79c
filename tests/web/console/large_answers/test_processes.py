"""Large answers from a process of their own: the same bytes, and whatever becomes of the process, an answer."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import pickle
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from sqlalchemy import URL

from callflow.contracts.errors import WorkerFailed
from callflow.contracts.log_format import FORM, Formatter
from callflow.history.database import Database, url_of
from callflow.history.query import Query
from callflow.history.store import Store
from callflow.history.tables import conversations
from callflow.history.tables import items as items_table
from callflow.journal.journal import JournalEntry
from callflow.journal.notes import Began
from callflow.web.console.large_answers import answers, processes, worker
from callflow.web.console.large_answers.processes import LargeAnswers
from tests.e2e.product import until
from tests.web.console.stage import CALL, Stage, play


pytestmark = pytest.mark.process
ALL = Query(limit=1000)


@asynccontextmanager
async def large(the: Stage) -> AsyncIterator[LargeAnswers]:
    await the.write_call()
    answers = LargeAnswers(the.history.store)
    try:
        yield answers
    finally:
        everyone = list(answers._all)
        await answers.close()
        for process in everyone:
            await until(lambda: not process.is_alive, "the end of the processes", 5)  # noqa: B023


def scene(folder: Path, main: Callable[[Stage, LargeAnswers], Coroutine[Any, Any, None]]) -> None:
    async def played(the: Stage) -> None:
        async with large(the) as made:
            await main(the, made)

    play(folder, played)


async def row_of(the: Stage) -> dict[str, Any]:
    row = await the.history.store.conversation(CALL)
    assert row is not None
    return row


async def collected(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


def message(what: object) -> bytes:
    data = pickle.dumps(what)
    return worker.LENGTH.pack(len(data)) + data


def pid(made: LargeAnswers) -> int:
    (process,) = made._free
    assert process._popen is not None
    return process._popen.pid


def test_another_process_makes_the_same_answers(tmp_path: Path) -> None:
    async def main(the: Stage, made: LargeAnswers) -> None:
        store, row = the.history.store, await row_of(the)
        for name, *arguments in (("earlier", row), ("timeline", row, CALL, 0), ("timeline", row, CALL, 2)):
            assert await made.whole(name, *arguments) == await answers.whole(store, name, *arguments), name
        first = pid(made)
        for name in ("json", "csv"):
            body = await collected(made.stream(name, ALL))
            assert body == await collected(answers.here(store, name, ALL)), name
        nothing = await collected(made.stream("json", Query(caller="+15559999999", limit=1000)))
        assert nothing == await collected(answers.here(store, "json", Query(caller="+15559999999", limit=1000)))
        assert pid(made) == first, "each answer starts a process"

    scene(tmp_path, main)


def test_a_process_that_is_killed_costs_no_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main(the: Stage, made: LargeAnswers) -> None:
        row = await row_of(the)
        here = await answers.whole(the.history.store, "earlier", row)
        assert await made.whole("earlier", row) == here
        (process,) = made._free
        assert process._popen is not None
        process._popen.kill()
        assert await made.whole("earlier", row) == here
        await until(lambda: not process.is_alive, "its end", 5)
        assert process not in made._all, "it is asked again"
        assert await made.whole("earlier", row) == here

    scene(tmp_path, main)


def test_an_answer_that_broke_off_does_not_look_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(the: Stage, made: LargeAnswers) -> None:
        with contextlib.closing(sqlite3.connect(str(url_of("", str(tmp_path)).database))) as file:
            file.execute("UPDATE conversations SET profile = ?", ["x" * 4_000_000])  # more than a pipe holds
            file.commit()
        stream = made.stream("csv", ALL)
        await anext(stream)
        for process in made._all:
            process.kill()
        with pytest.raises(WorkerFailed):
            await collected(stream)
        assert (await collected(made.stream("csv", ALL))).count(b"\n") >= 2

    scene(tmp_path, main)


def test_what_cannot_be_started_is_made_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def main(the: Stage, made: LargeAnswers) -> None:
        row = await row_of(the)
        here = await answers.whole(the.history.store, "earlier", row)
        for command in (("/there/is/no/such/program",), ("true",)):
            monkeypatch.setattr(processes, "_COMMAND", command)
            assert await made.whole("earlier", row) == here
            assert await collected(made.stream("csv", ALL))
            assert not made._all, "a process that cannot be asked is kept"

    scene(tmp_path, main)
    assert "the server makes them" in caplog.text


def test_there_are_few_processes_at_a_time(tmp_path: Path) -> None:
    async def main(the: Stage, made: LargeAnswers) -> None:
        streams = [made.stream("csv", ALL) for _ in range(4)]
        for each in streams:
            await anext(each)
        assert len(made._all) == processes._MOST
        ends = [await collected(each) for each in streams]
        assert len(set(ends)) == 1

    scene(tmp_path, main)


def test_mcp_has_a_process_also_while_the_others_are_busy(tmp_path: Path) -> None:
    """Its package encodes an answer on the loop, in one step: of a long call, that took 5 ms of the callers' audio."""
    ask = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    headers = [(b"content-type", b"application/json"), (b"accept", b"application/json, text/event-stream")]

    async def main(the: Stage, made: LargeAnswers) -> None:
        streams = [made.stream("csv", ALL) for _ in range(3)]
        for each in streams:
            await anext(each)
        asked = [made.mcp(headers, msgspec.json.encode(ask)) for _ in range(2)]
        assert [status for status, _, _ in await asyncio.gather(*asked)] == [200, 200]
        assert len(made._all) == processes._MOST + 1
        another = made.stream("csv", ALL)
        await anext(another)
        assert len(made._free) == 1, "an export has the process of MCP"
        for each in (*streams, another):
            await collected(each)

    scene(tmp_path, main)


async def test_an_answer_over_mcp_takes_no_process_from_the_others() -> None:
    database = SimpleNamespace(url="sqlite://")
    made = LargeAnswers(cast(Any, SimpleNamespace(database=database, country="US")))
    async with made._turn_of_mcp:
        assert [made._take() is not None for _ in range(4)] == [True] * (processes._MOST + 1) + [False]
    assert made._take() is None
    await made.close()


async def test_what_an_answer_was_made_of_is_not_left_to_the_loop_to_free() -> None:
    """Thousands of entries and items were freed where the answer ended: in one callback, of 3 ms."""
    entry = JournalEntry.of(Began(), call=CALL, at=1.0)

    class OfOne(Store):
        async def journal(self, call: str, *, hidden: bool = False) -> list[JournalEntry]:
            return entries

        async def items(self, conversation: int) -> list[dict[str, Any]]:
            return items

        async def details(self, conversation: int) -> dict[str, Any]:
            return {}

        async def pages(self, query: Query) -> AsyncIterator[list[dict[str, Any]]]:
            yield [row]

    row: dict[str, Any] = dict.fromkeys(column.name for column in conversations.c) | {"id": 1, "stream_sid": "s"}
    store = OfOne(Database(URL.create("sqlite", database="x")))
    for name, *arguments in (("timeline", row, CALL, 0), ("earlier", row), ("json", ALL)):
        entries, items = [entry], [dict.fromkeys((column.name for column in items_table.c), "")]
        assert await answers.whole(store, name, *arguments)
        assert not items, name
        assert not entries or name != "timeline"


def test_a_client_that_goes_away_leaves_nothing_behind(tmp_path: Path) -> None:
    async def main(the: Stage, made: LargeAnswers) -> None:
        with contextlib.closing(sqlite3.connect(str(url_of("", str(tmp_path)).database))) as file:
            file.execute("UPDATE conversations SET profile = ?", ["x" * 4_000_000])  # more than a pipe holds
            file.commit()
        stream = made.stream("csv", ALL)
        await anext(stream)
        (process,) = made._all
        await stream.aclose()  # type: ignore[attr-defined]
        assert not made._all
        await until(lambda: not process.is_alive, "the end of a process whose answer nobody reads", 5)

        waiting = asyncio.create_task(made.whole("earlier", await row_of(the)))
        await until(lambda: bool(made._all), "another process", 5)
        (process,) = made._all
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert not made._all
        await until(lambda: process._popen is None or process._popen.poll() is not None, "its end", 5)

    scene(tmp_path, main)


def test_a_client_that_does_not_read_keeps_no_process_from_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export has no deadline, and two that nobody read had all processes for as long as their clients liked."""

    async def main(the: Stage, made: LargeAnswers) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(processes, "_TAKEN_SECONDS", 0.05)
            stream = made.stream("csv", ALL)
            await anext(stream)
            await until(lambda: not made._all, "the end of a process whose answer nobody reads", 5)
        with pytest.raises(WorkerFailed, match="not read"):
            await collected(stream)
        assert await collected(made.stream("csv", ALL))

    scene(tmp_path, main)


async def test_each_conversation_of_an_export_is_a_line() -> None:
    class OfThree(Store):
        async def pages(self, query: Query) -> AsyncIterator[list[dict[str, Any]]]:
            for page in ([1], [2, 3]):
                yield [{"id": number} for number in page]

    async def details(store: Store, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "items": ["some words"] * 10_000 * (row["id"] == 2)}

    store = OfThree(Database(URL.create("sqlite", database="x")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers, "details", details)
        pieces = [piece async for piece in answers.json(store, ALL)]
    begin, *lines, end = b"".join(pieces).splitlines()
    assert (begin, end) == (b"[", b"]")
    assert [msgspec.json.decode(line.rstrip(b","))["id"] for line in lines] == [1, 2, 3]
    assert max(map(len, pieces)) < 70_000, "a long conversation comes in pieces"


def test_an_idle_process_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_IDLE_SECONDS", 0.05)

    async def main(the: Stage, made: LargeAnswers) -> None:
        await made.whole("earlier", await row_of(the))
        (process,) = made._free
        await until(lambda: not made._all and not process.is_alive, "the end of the idle process", 5)

    scene(tmp_path, main)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(worker.LENGTH.pack(1000) + b"half a", id="half a message"),
        pytest.param(message((URL.create("sqlite", database="/there/is/no.db"), "US")), id="a history that is away"),
    ],
)
def test_it_ends_with_the_server_and_says_nothing_past_its_log(sent: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    """A server that is killed closes the pipe."""
    child = processes._start()
    told, _ = child.communicate(sent, 10)
    assert (child.returncode, capfd.readouterr().err) == (0, "")
    assert not told or told.startswith(worker.LENGTH.pack(worker.FAILED))


async def test_a_database_that_is_away_is_no_end_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver tells it by an OSError, as a pipe tells that the server has ended."""

    async def away(store: Store) -> AsyncIterator[bytes]:
        yield b"begun"
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setitem(cast(Any, answers.ANSWERS), "away", away)
    out = io.BytesIO()
    await worker.answer(Store(Database(URL.create("sqlite", database="x"))), ("away", ()), out)
    why = b"[Errno 111] Connection refused"
    length = worker.LENGTH.pack
    assert out.getvalue() == length(5) + b"begun" + length(worker.FAILED) + length(len(why)) + why


def test_what_a_process_logs_is_in_the_servers_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """The server redacts what is logged, and makes a line of each entry."""
    program = """
import logging
from callflow.web.console.large_answers import answers, worker

async def loud(store):
    try:
        raise LookupError("of the process")
    except LookupError:
        logging.getLogger("callflow.loud").exception("first\\nsecond")
    yield b"made"

answers.ANSWERS["loud"] = loud
worker.main()
"""
    monkeypatch.setattr(processes, "_COMMAND", (sys.executable, "-P", "-c", program))

    async def main(the: Stage, made: LargeAnswers) -> None:
        assert await made.whole("loud") == [b"made"]

    scene(tmp_path, main)
    (entry,) = [record for record in caplog.records if record.name == "callflow.loud"]
    assert (entry.levelname, entry.getMessage()) == ("ERROR", "first\nsecond")
    assert "LookupError: of the process" in Formatter(FORM).format(entry)
    assert "first" not in capfd.readouterr().err


def test_a_process_is_of_the_same_program_wherever_the_server_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "sqlalchemy.py").write_text("raise ImportError('this is no library')")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    program = """
from callflow.web.console.large_answers import answers, worker

async def where(store):
    yield worker.__file__.encode()

answers.ANSWERS["where"] = where
worker.main()
"""
    monkeypatch.setattr(processes, "_COMMAND", (*processes._COMMAND[:-2], "-c", program))

    async def main(the: Stage, made: LargeAnswers) -> None:
        assert await made.whole("where") == [worker.__file__.encode()]
        assert os.getsid(pid(made)) != os.getsid(0), "Ctrl-C in the server's terminal would end it in the middle"

    scene(tmp_path / "data", main)
