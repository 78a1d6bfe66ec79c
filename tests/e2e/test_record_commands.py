"""`calls` and `replay`: every line that somebody may write has an answer, or one sentence and its exit code."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import server
from tests.e2e.process import ROOT, SERVER
from tests.e2e.product import product, run
from tests.e2e.talk import talk
from tests.history.test_read_only import earlier


@dataclass
class Commands:
    folder: Path
    out: pytest.CaptureFixture[str]
    call: str = ""
    """A call on record."""

    def run(self, *words: str) -> tuple[int, str, str]:
        try:
            code = server.main(words)
        except SystemExit as left:
            code = int(left.code or 0)
        said = self.out.readouterr()
        return code, said.out, said.err

    def refused(self, code: int, sentence: str, *words: str) -> None:
        """With one line."""
        found, out, err = self.run(*words)
        assert (found, out) == (code, ""), (words, found, out, err)
        assert sentence in err, (words, err)
        assert err.count("\n") == 1, (words, err)
        assert err.rstrip().endswith((".", "?", "DATA_DIR")), err
        assert "Traceback" not in err

    def answers(self, *words: str) -> str:
        code, out, err = self.run(*words)
        assert (code, err) == (0, ""), (words, code, err)
        return out


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    """In a folder whose record is one of the earlier system."""
    monkeypatch.chdir(tmp_path)
    for name in ("DATA_DIR", "DEFAULT_COUNTRY", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/old.db")
    earlier(tmp_path / "old.db")
    return Commands(tmp_path, capsys)


@pytest.fixture
def recorded(commands: Commands, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """The same with a record of ours, of two calls."""
    url = f"sqlite:///{commands.folder}/ours.db"

    async def main() -> str:
        async with product(database_url=url, data_dir=str(commands.folder / "data")) as the:
            for _ in range(2):
                one = await talk(the)
                await one.phone.hears(0.1)
                await one.call.hang_up()
                await the.quiet()
            await the.app.journal.flushed()
            return the.app.journal.calls()[-1]

    commands.call = run(main())
    monkeypatch.setenv("DATABASE_URL", url)
    return commands


def test_an_earlier_record_is_listed_found_and_told(commands: Commands) -> None:
    before = (commands.folder / "old.db").read_bytes()
    listed = commands.answers("calls")
    names = [line.split()[2] for line in listed.splitlines() if line.startswith(" 2025-")]
    assert names == ["MZold2", "MZold1"]
    assert [line.split("unknown")[1].strip() for line in listed.splitlines() if " MZ" in line] == [
        "no end is in the history",
        "why is not in the history",
    ]
    for name in names:
        assert f"call {name}, of an earlier system" in commands.answers("calls", name), (
            "a call that is listed is denied"
        )
    told = commands.answers("calls", "mzOLD1")
    assert "ended: why is not in the history" in told
    assert "2.000 s  agent: Welcome to the bakery" in told
    assert "5.250 s  caller: A loaf of rye please" in told
    assert "MZold1" in commands.answers("calls", "--text", "rye")
    assert "MZold1" in commands.answers("calls", "--number", "(555) 010-0001")
    commands.refused(2, 'calls begin with "MZ": MZold2, MZold1', "calls", "MZ")
    commands.refused(2, "there is no journal", "calls", "MZold1", "--save", "x.jsonl")
    commands.refused(2, "nothing to replay", "replay", "MZold1")
    assert [each.name for each in commands.folder.iterdir()] == ["old.db"]
    assert (commands.folder / "old.db").read_bytes() == before


def test_whoever_called_the_other_person_is_listed(recorded: Commands) -> None:
    listed = recorded.answers("calls")
    assert "way" in listed
    rows = [line.split() for line in listed.splitlines() if "+15550100001" in line]
    assert [row[3:5] for row in rows] == [["in", "+15550100001"]] * 2
    assert "from +15550100001 to +15550100002" in recorded.answers("calls", recorded.call)
    with sqlite3.connect(recorded.folder / "ours.db") as database:
        dialled = "UPDATE conversations SET direction = 'outbound', hangup_source = 'callee' WHERE call_id = ?"
        database.execute(dialled, [recorded.call])
    database.close()
    rows = [line.split() for line in recorded.answers("calls").splitlines() if "+15550100001" in line]
    assert [row[3:5] for row in rows] == [["out", "+15550100001"], ["in", "+15550100001"]]
    told = recorded.answers("calls", recorded.call)
    assert "outbound, from +15550100002 to +15550100001" in told
    assert "by the person who was called" in told


def test_odd_words_have_one_line_and_their_exit_code(recorded: Commands) -> None:
    call, folder = recorded.call, recorded.folder
    (folder / "notes.txt").write_text("my own notes")
    (folder / "empty.jsonl").touch()
    (folder / "nothing").mkdir()
    for code, sentence, words in (
        (1, 'No call in the history begins with "nope"', ["calls", "nope"]),
        (1, 'No call in the history begins with "nope"', ["replay", "nope"]),
        (1, "No call in the history begins with", ["calls", "é\u202e%_" * 300]),
        (1, "No call in the history begins with", ["calls", "%"]),
        (1, "No call in the history begins with", ["calls", "_" * 8]),
        (2, "is empty", ["calls", ""]), (2, "is empty", ["calls", "  "]), (2, "is empty", ["replay", ""]),
        (2, "is no date: write 2026-01-31", ["calls", "--since", "tomorrow"]),
        (2, "is no date", ["calls", "--until", "2026-13-01"]), (2, "is no date", ["calls", "--since", "2026-1-1"]),
        (2, "--since is empty", ["calls", "--since", ""]), (2, "--number is empty", ["calls", "--number", " "]),
        (2, "--text is empty", ["calls", "--text", ""]), (2, "no word", ["calls", "--text", "!?"]),
        (2, "--limit", ["calls", "--limit", "x"]), (2, "--limit", ["calls", "--limit", "0"]),
        (2, "--limit", ["calls", "--limit", "-1"]), (2, "--limit", ["calls", "--limit", "501"]),
        (2, "--limit", ["calls", "--limit", "1.5"]),
        (2, "--save writes down one call", ["calls", "--save", "x.jsonl"]),
        (2, "--save is empty", ["calls", call, "--save", ""]),
        (2, "--text: this chooses among the calls", ["calls", call, "--text", "hello"]),
        (2, "cannot be written: No such file", ["calls", call, "--save", "/nonexistent/x"]),
        (2, "cannot be written: Is a directory", ["calls", call, "--save", str(folder)]),
        (2, "cannot be written: Not a directory", ["calls", call, "--save", "notes.txt/x"]),
        (2, "cannot be written: No space left", ["calls", call, "--save", "/dev/full"]),
        (2, "no journal of a call: choose another name", ["calls", call, "--save", "notes.txt"]),
        (1, "There is no file none.jsonl", ["replay", "none.jsonl"]),
        (1, "There is no file", ["replay", "no/such/file"]),
        (2, "is a device", ["replay", "/dev/zero"]), (2, "ends in .jsonl", ["replay", "nothing"]),
        (2, "line 1", ["replay", "notes.txt"]), (2, "nothing to replay", ["replay", "empty.jsonl"]),
        (2, "not a journal that `calls --save` wrote", ["replay", "ours.db"]),
        (2, "Say what to replay", ["replay"]), (2, "Say what to replay", ["replay", call, "--since", "7d"]),
        (2, "is no date", ["replay", "--since", "soon"]), (2, "90s, 30m", ["replay", "--since", "7x"]),
        (2, "--since is empty", ["replay", "--since", " "]), (2, "calendar", ["replay", "--since", "999999w"]),
        (2, "", ["calls", "a", "b"]),
    ):  # fmt: skip
        recorded.refused(code, sentence, *words)
    assert (folder / "notes.txt").read_text() == "my own notes"
    assert call[:8] in recorded.answers("calls", call[:6].upper())


def test_what_is_saved_is_private_and_replays(recorded: Commands) -> None:
    path = recorded.folder / "call.jsonl"
    for _ in range(2):  # the same name again: it is a record, and is replaced
        assert f"of call {recorded.call} are in" in recorded.answers("calls", recorded.call[:8], "--save", "call.jsonl")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = recorded.answers("replay", "call.jsonl")
    assert again == recorded.answers("replay", recorded.call)
    assert "every transition and command as recorded" in again


def test_a_folder_and_the_calls_since_a_day_are_replayed_with_one_summary(recorded: Commands) -> None:
    folder = recorded.folder / "kept"
    folder.mkdir()
    calls = sorted(line.split()[2] for line in recorded.answers("calls").splitlines() if line.startswith(" 20"))
    assert len(calls) == 2
    for number, call in enumerate(calls):
        recorded.answers("calls", call, "--save", str(folder / f"{number}.jsonl"))
    whole = recorded.answers("replay", str(folder))
    steps = sum(_steps(path) for path in folder.iterdir())
    assert whole == f"2 calls, {steps} steps, 0 differ\n"
    for since in ("1h", "90s", "2w", "1.5d", "2020-01-31", "2020-01-31T12:00:00Z"):
        assert recorded.answers("replay", "--since", since) == whole, since
    for since in ("0s", "2100-01-01"):
        assert recorded.answers("replay", "--since", since) == "0 calls, 0 steps, 0 differ\n"

    path = folder / "1.jsonl"
    kept = [json.loads(line) for line in path.read_text().splitlines()]
    odd = [one for one in kept if one["before"] == "streaming" == one["after"] and one["commands"]]
    for one in odd:
        one["commands"] = []
    kept[-1]["at"] += 1
    path.write_text("".join(json.dumps(each) + "\n" for each in kept))
    (folder / "2.jsonl").write_text("{}")
    code, out, err = recorded.run("replay", str(folder))
    assert code == 1
    assert len(odd) > 0
    assert out.splitlines()[-1] == f"2 calls, {steps} steps, {len(odd)} differ"
    assert "2.jsonl is not a journal" in err
    for one in odd:
        line = (
            f"call {one['call']} diverges at step {one['step']} ({one['event']['event']}), in what is called commands:"
        )
        place = out.splitlines().index(line)
        assert out.splitlines()[place + 1] == "  in the journal  []"
        assert out.splitlines()[place + 2].startswith("  comes out now  [{'command':")
    path.unlink()
    code, out, err = recorded.run("replay", str(folder))
    assert (code, out.split(",")[0]) == (2, "1 call"), "one of the files cannot be used"


def _steps(path: Path) -> int:
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    return sum(1 for one in entries if one["before"] not in ("", "hangup"))


def _without_step(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one for one in records if one["step"] != 2]


def _of_two_calls(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [*records, {**records[-1], "call": "another"}]


def _odd_tries(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**one, "event": {**one["event"], "engine_tries": "many"}} for one in records]


def _odd_fields(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**one, "event": {key: [] for key in one["event"]} | {"event": one["event"]["event"]}} for one in records]


def _odd_commands(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**one, "commands": [{"what": 1}] * len(one["commands"])} for one in records]


@pytest.mark.parametrize(
    ("spoil", "code", "sentence"),
    [
        (_without_step, 1, "diverges at step 2"), (_of_two_calls, 2, "several calls"),
        (_odd_tries, 2, "makes no sense"), (_odd_fields, None, ""), (_odd_commands, 1, "in what is called commands"),
    ],
)  # fmt: skip
def test_a_spoilt_record_is_told_as_such(
    recorded: Commands,
    spoil: Callable[[list[dict[str, Any]]], list[dict[str, Any]]],
    code: int | None,
    sentence: str,
) -> None:
    path = recorded.folder / "call.jsonl"
    recorded.answers("calls", recorded.call, "--save", str(path))
    records = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(each) + "\n" for each in spoil(records)))
    found, out, err = recorded.run("replay", str(path))
    assert found == code or (code is None and found in (1, 2))
    assert sentence in out + err
    for garbage in (b"\xff\xfe\x00", b"[" * 5000, b"{}", b'{"call":1}', b"null", b'"\\ud800"'):
        path.write_bytes(garbage)
        recorded.refused(2, "line 1", "replay", str(path))


def test_a_number_of_another_country_is_not_missed_in_silence(
    recorded: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = recorded.answers("calls", "--number", "030 12345678")
    assert "No such calls are in the history." in told
    assert "looked for as a number of US (default_country)" in told
    monkeypatch.setenv("DEFAULT_COUNTRY", "DE")
    assert "looked for as a number of DE" in recorded.answers("calls", "--number", "030 12345678")
    for number in ("+49 30 12345678", "0049 30 12345678", "anonymous", "1001", "sip:+493012345678@trunk.example"):
        assert recorded.answers("calls", "--number", number) == "No such calls are in the history.\n", number
    assert "country" not in recorded.answers("calls", "--text", "nobody-said-that")


def test_a_record_that_cannot_be_read_is_told_with_what_to_do(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    (commands.folder / "text.db").write_text("no database")
    for name, sentence in (("none.db", "start Callflow's server once"), ("text.db", "is no SQLite database")):
        monkeypatch.setenv("DATABASE_URL", f"sqlite:///{commands.folder}/{name}")
        for words in (["calls"], ["calls", "x"], ["replay", "x"]):
            commands.refused(2, sentence, *words)
    assert not (commands.folder / "none.db").exists()


def test_nobody_reads_on(recorded: Commands) -> None:
    """`| head`: quietly, whatever was to come."""
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": os.environ["DATABASE_URL"]}
    for words in (["calls"], ["calls", recorded.call], ["replay", recorded.call], ["calls", "--help"]):
        process = subprocess.Popen(
            [sys.executable, SERVER, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=ROOT
        )
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
        process.stderr.close()
        assert (err, process.wait()) == (b"", 141), words


@pytest.mark.proof
def test_a_full_disk_and_closed_streams_are_no_fault_of_the_record(recorded: Commands) -> None:
    environment = {"PATH": os.environ["PATH"], "DATABASE_URL": os.environ["DATABASE_URL"]}
    command = f"{sys.executable} {SERVER} calls"
    for words, streams, code, said in (
        ("", ">/dev/full", 2, "What there is to print cannot be written: No space left on device.\n"),
        (recorded.call, ">/dev/full", 2, "What there is to print cannot be written: No space left on device.\n"),
        ("", ">&-", 0, ""), ("", ">/dev/null <&-", 0, ""), (recorded.call, "<&- >&- 2>&-", 0, ""),
        ("nope", "2>&-", 1, ""), ("nope", ">&-", 1, 'No call in the history begins with "nope".'),
    ):  # fmt: skip
        shell = ["sh", "-c", f"exec {command} {words} {streams}"]
        done = subprocess.run(shell, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
        assert (done.returncode, done.stdout) == (code, ""), (words, streams, done)
        assert done.stderr.startswith(said), (words, streams, done.stderr)
        assert "Traceback" not in done.stderr


async def test_calls_can_be_read_while_they_are_written(
    commands: Commands, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    async with product(database_url=database_url, data_dir=str(commands.folder / "data")) as the:
        one = await talk(the)
        await the.app.journal.flushed()
        for words in (("calls",), ("calls", the.call.id), ("replay", the.call.id)):
            code, out, err = await asyncio.to_thread(commands.run, *words)
            assert (code, err) == (0, ""), words
            assert the.call.id[:8] in out
        await one.call.hang_up()
        await the.quiet()
